// Small pictures, many with one request: a screenful of single ones would wait in line.
//
// `picture(row, image)` fills an <img>; rows asked for by one drawing travel together, in
// any order. The latest few thousand are held.

const AT_ONCE = 64; // a screenful is a few requests: the server works on them at once
const HELD = 4000;

const held = new Map(); // row → data: address, the one used last at the end
const waiting = new Map(); // row → the <img>s it is for
let look = ""; // changes when the same rows have other pictures
let isAsked = false;

// Pictures of other images, or drawn otherwise, have another address.
export function setLook(text) {
  look = text;
}

export function picture(row, image) {
  const address = held.get(row);
  if (address) {
    held.delete(row);
    held.set(row, address);
    image.src = address;
    return image;
  }
  const images = waiting.get(row);
  if (images) images.push(image);
  else waiting.set(row, [image]);
  if (!isAsked) {
    isAsked = true;
    queueMicrotask(ask); // when all is drawn, and not a frame later
  }
  return image;
}

async function ask() {
  isAsked = false;
  // What has been scrolled away meanwhile is not fetched.
  const rows = [...waiting].filter(([, images]) => images.some((one) => one.isConnected));
  const wanted = new Map(rows);
  waiting.clear();
  const [seen, beyond] = [[], []]; // what is in view travels first
  for (const [row, images] of wanted) (images.some(isSeen) ? seen : beyond).push(row);
  for (const numbers of [seen, beyond]) {
    const packs = [];
    for (let start = 0; start < numbers.length; start += AT_ONCE) {
      packs.push(fetchPack(numbers.slice(start, start + AT_ONCE), wanted));
    }
    await Promise.all(packs);
  }
}

function isSeen(image) {
  const box = image.getBoundingClientRect();
  return box.bottom > 0 && box.top < innerHeight;
}

async function fetchPack(rows, wanted) {
  try {
    const answer = await fetch(`thumbs?v=${look}&rows=${rows.join(",")}`);
    if (!answer.ok) return;
    const data = await answer.arrayBuffer();
    const view = new DataView(data);
    let place = 4 * (1 + rows.length);
    rows.forEach((row, i) => {
      const size = view.getUint32(4 * (i + 1), true);
      // Addresses of blobs would cost a millisecond each: another process keeps them.
      const address = `data:image/webp;base64,${base64(new Uint8Array(data, place, size))}`;
      place += size;
      hold(row, address);
      for (const image of wanted.get(row)) image.src = address;
    });
  } catch {
    // The studio has ended, or the page is being left: nothing can be shown.
  }
}

function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return btoa(text);
}

function hold(row, address) {
  held.delete(row);
  held.set(row, address);
  if (held.size > HELD) held.delete(held.keys().next().value);
}
