// All images: filters and order stand in the address, so that reload and back work.

import { Grid, fetchList, palette } from "./grid.js";
import { count, h, on, say, store } from "./studio.js";

const form = document.getElementById("filters");
const again = document.getElementById("again");
const grid = new Grid(document.getElementById("grid"), { name: "Images", empty: "No image fits." });
palette(document.getElementById("palette"), grid);

const FIELDS = ["class", "function", "vote", "answers", "sort"];
const DEFAULTS = { class: "", function: "", vote: "any", answers: "all", sort: "data" };
let wanted = null;

function read() {
  const given = new URLSearchParams(location.search);
  return Object.fromEntries(FIELDS.map((name) => [name, given.get(name) ?? DEFAULTS[name]]));
}

function fill() {
  const { classes, functions } = store.state;
  const asked = read();
  const options = {
    class: [["", "all"], ...classes.map((name) => [name, name]), ["none", "no label"]],
    vote: [["any", "votes"], ["none", "abstains"], ["conflict", "in conflict"], ...classes.map((name) => [name, `votes ${name}`])],
    function: [["", "any"], ...functions.map(({ name }) => [name, name.replaceAll("_", " ")])],
  };
  for (const [name, choices] of Object.entries(options)) {
    const select = form.elements[name];
    const known = [...select.options].map((one) => one.value).join("\n");
    if (known !== choices.map(([value]) => value).join("\n")) select.replaceChildren(...choices.map(([value, text]) => h("option", { value }, text)));
  }
  for (const name of FIELDS) form.elements[name].value = asked[name];
  document.getElementById("vote-label").hidden = !asked.function;
  grid.side = Number(localStorage.getItem("side") ?? 92);
  form.elements.size.value = grid.side;
}

async function show({ keepPlace = false } = {}) {
  const asked = read();
  const query = new URLSearchParams(Object.entries(asked).filter(([name, value]) => value !== DEFAULTS[name]));
  const mine = (wanted = Symbol("request"));
  try {
    const list = await fetchList(`api/list?${query}`);
    if (mine !== wanted) return;
    again.hidden = true;
    grid.show(list, { keepPlace });
    document.getElementById("count").textContent = `${count(list.n)} images${store.state.has_all || !store.state.functions.length ? "" : ` (${store.state.grid_scope})`}`;
  } catch (error) {
    say(error.message);
  }
}

form.addEventListener("change", (event) => {
  if (event.target.name === "size") return;
  const query = new URLSearchParams();
  for (const name of FIELDS) {
    const { value } = form.elements[name];
    if (value !== DEFAULTS[name]) query.set(name, value);
  }
  history.pushState(null, "", `images${query.size ? `?${query}` : ""}`);
  fill();
  scrollTo(0, 0);
  show();
});
form.elements.size.addEventListener("input", ({ target }) => {
  localStorage.setItem("side", target.value);
  grid.resize(Number(target.value));
});
form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("popstate", () => {
  fill();
  show();
});
again.addEventListener("click", () => show());

let isFirst = true;
let had = "";
on("state", (state) => {
  fill();
  const has = `${state.has_all} ${state.classes.join()}`;
  if (isFirst || has !== had) {
    const keepPlace = !isFirst;
    isFirst = false;
    had = has;
    show({ keepPlace }).then(() => keepPlace || grid.focus());
  }
});
on("full", () => {
  if (!isFirst && grid.list.n) again.hidden = false;
});
