// The map page: points that are colored, hovered, enclosed, labeled, and told apart.

import {
  UNKNOWN,
  classColor,
  doubtColors,
  number,
  readMap,
  readRows,
} from "./map_data.js";
import { Pointing } from "./map_pointing.js";
import { Selection } from "./map_selection.js";
import { PointCloud } from "./point_cloud.js";
import { count, h, load, on, store } from "./studio.js";

const ASK_AGAIN_MS = 700;
const REREAD_MS = 300;

const canvas = document.querySelector("#points");
const wait = document.querySelector("#wait");
const select = document.querySelector("#color");
const arrange = document.querySelector("#arrange");
const legend = document.querySelector("#legend");
const dark = window.matchMedia("(prefers-color-scheme: dark)");

let map; // typed arrays, one number per image
let cloud;
let selection;
let hidden = new Set(); // classes that the legend has switched off
let votes = null; // of the chosen function: one class, -1 or -2 (unknown), per image
let named = -1; // counts color changes, so that a slow answer does not undo a later one

async function main() {
  await load();
  const asked = new URLSearchParams(location.search);
  if (asked.get("arrange") === "labels") arrange.value = "labels";
  for (;;) {
    map = await readMap(arrange.value);
    if (map) break;
    wait.textContent = "The map is laid out when every image has been looked at …";
    await new Promise((go) => setTimeout(go, ASK_AGAIN_MS));
  }
  wait.textContent = "";
  cloud = new PointCloud(canvas, map.x, map.y);
  selection = new Selection(cloud, () => map);
  new Pointing(cloud, selection, document.querySelector("#over"), describe);
  cloud.resize();
  offerFunctions();
  const color = asked.get("color");
  if ([...select.options].some((each) => each.value === color)) select.value = color;
  await recolor();
  cloud.fit();
  new ResizeObserver(() => {
    const before = [cloud.width, cloud.height];
    cloud.resize();
    cloud.pan((cloud.width - before[0]) / 2, (cloud.height - before[1]) / 2);
  }).observe(canvas);
  dark.addEventListener("change", () => recolor());
  select.addEventListener("change", () => {
    hidden = new Set();
    remember("color", select.value);
    recolor();
  });
  arrange.addEventListener("change", () => rearrange());
  listen();
  canvas.dataset.ready = "true";
}

// The choices stand in the address, for reloads and bookmarks.
function remember(name, value) {
  const query = new URLSearchParams(location.search);
  query.set(name, value);
  history.replaceState(null, "", `?${query}`);
}

async function rearrange() {
  remember("arrange", arrange.value);
  wait.textContent = "Arranging the map …";
  arrange.disabled = true;
  try {
    const found = await readMap(arrange.value, arrange.value === "labels");
    if (found && found.n === map.n) {
      map = found;
      cloud.place(map.x, map.y);
      await recolor();
    }
    wait.textContent = "";
  } catch (error) {
    wait.textContent = error.message;
  }
  arrange.disabled = false;
}

function offerFunctions() {
  const chosen = select.value;
  select.querySelector("optgroup")?.remove();
  const names = store.state.functions.map((each) => each.name);
  const options = names.map((name) => h("option", { value: `votes:${name}` }, name));
  if (names.length) select.append(h("optgroup", { label: "votes of" }, ...options));
  if ([...select.options].some((each) => each.value === chosen)) select.value = chosen;
}

// What the hovered image is, in a line.
function describe(i) {
  const class_ = (y) => (y >= 0 ? store.state.classes[y] : "");
  if (map.answer[i] >= 0) return `${class_(map.answer[i])}, your answer`;
  if (map.label[i] < 0) return "no label";
  const sure = map.confidence[i];
  return class_(map.label[i]) + (sure === UNKNOWN ? "" : `, ${sure} % sure`);
}

async function recolor() {
  const mine = ++named;
  const what = select.value;
  if (what.startsWith("votes:")) {
    const found = await votesOf(what.slice("votes:".length));
    if (mine !== named) return;
    votes = found;
  }
  const style = getComputedStyle(document.documentElement);
  const none = number(style.getPropertyValue("--map-none").trim());
  cloud.background = number(style.getPropertyValue("--map-ground").trim());
  const groups = what === "doubt" ? null : groupsOf(what);
  if (groups) {
    const colors = store.state.classes.map((_, y) => number(classColor(y)));
    const layer = new Uint8Array(map.n);
    for (let i = 0; i < map.n; i++) {
      const y = groups[i];
      cloud.colors[i] = hidden.has(y) ? 0 : y < 0 ? none : colors[y];
      layer[i] = y < 0 ? 0 : what === "answer" ? 2 : 1;
    }
    cloud.stack(layer);
    showClasses(groups);
  } else {
    const ramp = doubtColors();
    const layer = new Uint8Array(map.n);
    for (let i = 0; i < map.n; i++) {
      const sure = map.confidence[i];
      cloud.colors[i] = sure === UNKNOWN ? none : ramp[100 - sure];
      layer[i] = sure === UNKNOWN ? 0 : 101 - sure;
    }
    cloud.stack(layer);
    showRamp(ramp);
  }
  cloud.draw();
}

function groupsOf(what) {
  if (what === "answer") return map.answer;
  if (what !== "label") return votes;
  const shown = map.label.slice();
  for (let i = 0; i < map.n; i++) if (map.answer[i] >= 0) shown[i] = map.answer[i];
  return shown;
}

async function votesOf(name) {
  const { classes, functions } = store.state;
  const found = new Int16Array(map.n).fill(-1);
  const one = functions.find((each) => each.name === name);
  const wanted = one?.classes?.length ? one.classes : classes;
  await Promise.all(
    wanted.map(async (vote) => {
      const y = classes.indexOf(vote);
      for (const row of await readRows({ function: name, vote })) found[row] = y;
    }),
  );
  return found;
}

function showClasses(groups) {
  const counts = new Map();
  for (const y of groups) counts.set(y, (counts.get(y) || 0) + 1);
  const order = [...counts.keys()].sort((a, b) => (a < 0 ? 1e9 : a) - (b < 0 ? 1e9 : b));
  const none = select.value === "label" ? "no label" : "none";
  const items = order.map((y) => {
    const dot = h("span", { class: "map-dot" });
    dot.style.background = y < 0 ? "var(--map-none)" : classColor(y);
    const button = h(
      "button",
      { type: "button", class: "quiet", "aria-pressed": String(!hidden.has(y)) },
      dot,
      `${y < 0 ? none : store.state.classes[y]} ${count(counts.get(y))}`,
    );
    button.title = "Show or hide";
    button.addEventListener("click", async () => {
      if (!hidden.delete(y)) hidden.add(y);
      await recolor();
      legend.querySelectorAll("button")[order.indexOf(y)]?.focus();
    });
    return h("li", {}, button);
  });
  legend.replaceChildren(...items);
}

function showRamp(ramp) {
  const bar = h("canvas", { width: ramp.length, height: 1, "aria-hidden": "true" });
  const context = bar.getContext("2d");
  const image = context.createImageData(ramp.length, 1);
  new Uint32Array(image.data.buffer).set(ramp);
  context.putImageData(image, 0, 0);
  const ends = h("span", {}, h("span", {}, "sure"), h("span", {}, "in doubt"));
  legend.replaceChildren(h("li", { class: "map-ramp" }, bar, ends));
}

// Labels change while the page is open, here or in another window; places do not.
let rereading = 0;
function reread() {
  clearTimeout(rereading);
  rereading = setTimeout(async () => {
    const found = await readMap(arrange.value);
    if (!found || found.n !== map.n) return;
    map = { ...found, x: map.x, y: map.y };
    selection.refresh();
    await recolor();
  }, REREAD_MS);
}

function listen() {
  on("answers", reread);
  on("full", reread);
  on("looks", rearrange); // images are seen otherwise, as by a network: places change
  on("state", offerFunctions);
}

main().catch((error) => {
  wait.textContent = error.message;
});
