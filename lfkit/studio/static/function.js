// One function: its figures, its code, and images that show what it does.

import { Grid, fetchList } from "./grid.js";
import { interval } from "./functions_parts.js";
import { figures, get, on, share, store } from "./studio.js";

const name = new URLSearchParams(location.search).get("name") ?? "";
const grid = new Grid(document.getElementById("grid"), { side: 84, name: `Images of ${name}`, empty: "Nothing to show yet." });
const at = (id) => document.getElementById(id);
let shown = "";

async function load() {
  at("name").textContent = name.replaceAll("_", " ");
  const one = await (await get(`api/function?name=${encodeURIComponent(name)}`)).json();
  at("doc").textContent = one.doc;
  at("source").textContent = one.source || "The code cannot be read.";
  at("code").hidden = !one.source;
  const failing = store.state.problem?.functions?.[name] ?? one.traceback;
  at("trace").hidden = !failing;
  at("trace").textContent = failing;
  figures(at("figures"), [
    ["Votes for", one.classes.join(", ")],
    ["Covers", share(one.coverage, 1)],
    ["Overlaps", share(one.overlaps, 1)],
    ["Conflicts", share(one.conflicts, 1)],
    ["Right on answers", interval(one)],
    ["Written in", one.place],
  ]);
  const version = `${one.key} ${store.state.answers} ${store.state.has_looks} ${store.state.is_current}`;
  if (version === shown) return;
  shown = version;
  grid.show(await fetchList(`api/function-images?name=${encodeURIComponent(name)}`), { keepPlace: true });
}

on("state", () => load().catch((error) => (at("doc").textContent = error.message)));
