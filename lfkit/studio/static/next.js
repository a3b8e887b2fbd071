// What to look at next: images in groups, each with why it is shown.

import { Grid, fetchList, palette } from "./grid.js";
import { on, say, store } from "./studio.js";

const grid = new Grid(document.getElementById("grid"), { side: 96, name: "What to look at next", empty: "Write the names of your classes, CLASSES = [...], in your functions' file." });
palette(document.getElementById("palette"), grid);
const more = document.getElementById("more");

async function show() {
  try {
    grid.show(await fetchList("api/next"));
    grid.focus();
    tellAsked(store.state.asked);
  } catch (error) {
    say(error.message);
  }
}

more.addEventListener("click", () => {
  scrollTo(0, 0);
  show();
});

// A list does not change under the hand of who labels it: it is shown when asked for.
const asked = document.getElementById("asked");
asked.querySelector("button").addEventListener("click", show);
function tellAsked(question) {
  asked.hidden = !question;
  if (!question) return;
  const left = question.open ? `${question.open} of ${question.of} images are open` : "all images are answered: it goes on";
  asked.querySelector("span").textContent = `lfkit active, round ${question.round}: ${left}.`;
  const isShown = grid.list.sections.some(({ title }) => title === `Asked for by lfkit active, round ${question.round}`);
  asked.querySelector("button").hidden = !question.open || isShown;
}

let had = "";
on("state", (state) => {
  document.getElementById("estimate").textContent = state.estimate;
  tellAsked(state.asked);
  const has = `${state.classes.join()} ${state.has_looks}`;
  if (has !== had && (!had || !grid.list.n)) show();
  had = has;
});
