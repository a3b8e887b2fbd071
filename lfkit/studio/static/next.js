// What to look at next: images in groups, each with why it is shown.

import { Grid, fetchList, palette } from "./grid.js";
import { on, say } from "./studio.js";

const grid = new Grid(document.getElementById("grid"), { side: 96, name: "What to look at next", empty: "Write the names of your classes, CLASSES = [...], in your functions' file." });
palette(document.getElementById("palette"), grid);
const more = document.getElementById("more");

async function show() {
  try {
    grid.show(await fetchList("api/next"));
    grid.focus();
  } catch (error) {
    say(error.message);
  }
}

more.addEventListener("click", () => {
  scrollTo(0, 0);
  show();
});

let had = "";
on("state", (state) => {
  document.getElementById("estimate").textContent = state.estimate;
  const has = `${state.classes.join()} ${state.has_looks}`;
  if (has !== had && (!had || !grid.list.n)) show();
  had = has;
});
