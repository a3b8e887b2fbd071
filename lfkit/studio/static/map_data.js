// What the map shows of each image, read from the server into typed arrays.

import { mixed, packed } from "./point_cloud.js";
import { get } from "./studio.js";

export const UNKNOWN = 255; // instead of a confidence in percent
const NAMED = [
  "#3b78c2", "#ef8a2b", "#d9485a", "#2fa39a", "#5aa445",
  "#d9b21f", "#9a66b5", "#f08bb4", "#8a6248", "#20b6d6",
];
const SURE = [126, 149, 178];
const UNSURE = [235, 94, 40];

// Places and labels; null while images are still being looked at. Arranged by "look" or
// "labels"; `anew`: by the labels there are now.
export async function readMap(by, anew = false) {
  const answer = await get(`api/map?by=${by}${anew ? "&anew=1" : ""}`);
  if (answer.status === 202) return null;
  const data = await answer.arrayBuffer();
  const [length, n] = new Int32Array(data, 0, 2);
  let at = 8 + length + ((4 - (length % 4)) % 4);
  const take = (Kind, count) => {
    const found = new Kind(data, at, count);
    at += found.byteLength;
    return found;
  };
  const places = take(Float32Array, 2 * n);
  const x = new Float32Array(n);
  const y = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    x[i] = places[2 * i];
    y[i] = places[2 * i + 1];
  }
  return {
    n, x, y,
    label: take(Int16Array, n),
    answer: take(Int16Array, n),
    confidence: take(Uint8Array, n),
  };
}

// Rows of a list, such as those that a function votes on.
export async function readRows(query) {
  const answer = await get(`api/list?${new URLSearchParams(query)}`);
  const data = await answer.arrayBuffer();
  const [length, n] = new Int32Array(data, 0, 2);
  return new Int32Array(data, 8 + length, n);
}

// The color of a class, the same on every page load; any number of classes.
export function classColor(y) {
  if (y < NAMED.length) return NAMED[y];
  const hue = (y * 137.508) % 360;
  return `hsl(${hue.toFixed(0)} 60% ${y % 2 ? 45 : 60}%)`;
}

const probe = document.createElement("canvas").getContext("2d", {
  willReadFrequently: true,
});

// Any CSS color as one number.
export function number(color) {
  probe.fillStyle = color;
  probe.fillRect(0, 0, 1, 1);
  const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
  return packed(red, green, blue);
}

// From sure (0 % doubt) to unsure: 101 colors.
export function doubtColors() {
  const sure = packed(...SURE);
  const unsure = packed(...UNSURE);
  return Uint32Array.from({ length: 101 }, (_, percent) =>
    mixed(unsure, sure, Math.min(1, (percent / 100) * 1.6)),
  );
}
