// The table of functions: what each does, and what the last save changed.

import { interval } from "./functions_parts.js";
import { count, figures, h, on, share } from "./studio.js";

const SVG = "http://www.w3.org/2000/svg";

/** Draw values over saves as a line; the last one as a dot. */
function sparkline(values) {
  const made = document.createElementNS(SVG, "svg");
  const [width, height] = [84, 22];
  made.setAttribute("viewBox", `0 0 ${width} ${height}`);
  made.setAttribute("class", "spark");
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", `coverage over the last ${values.length} saves: ${values.map((x) => share(x)).join(", ")}`);
  if (!values.length) return made;
  const top = Math.max(...values, 1e-9);
  const x = (i) => (values.length === 1 ? width - 4 : 3 + (i * (width - 7)) / (values.length - 1));
  const y = (value) => values.length === 1 ? height / 2 : height - 3 - ((height - 6) * value) / top;
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(" "));
  const dot = document.createElementNS(SVG, "circle");
  dot.setAttribute("cx", x(values.length - 1));
  dot.setAttribute("cy", y(values[values.length - 1]));
  dot.setAttribute("r", "2.4");
  made.append(line, dot);
  return made;
}

function row(one) {
  const link = `function?name=${encodeURIComponent(one.name)}`;
  const cover = h("i", {});
  cover.style.width = `${100 * one.coverage}%`;
  const classes = one.classes.length > 3 ? `${one.classes.slice(0, 3).join(", ")} and ${one.classes.length - 3} more` : one.classes.join(", ");
  const cells = h("tr", { class: one.is_broken ? "broken" : null, "data-function": one.name },
    h("th", { scope: "row" }, h("a", { href: link }, one.name.replaceAll("_", " ")), h("small", { class: "faint" }, [one.place, one.learns ? "learns from answers" : ""].filter(Boolean).join(" · "))),
    h("td", {}, classes),
    h("td", { class: "number covers" }, h("span", { class: "track" }, cover), h("span", { class: "value" }, share(one.coverage))),
    h("td", { class: "number" }, share(one.overlaps)),
    h("td", { class: "number" }, share(one.conflicts)),
    h("td", {}, interval(one)),
    h("td", {}, sparkline(one.trend)),
  );
  if (!one.traceback) return [cells];
  const said = one.is_broken ? "fails on every image; the version before is shown" : `failed on ${count(one.failed)} images`;
  return [cells, h("tr", { class: "fault" }, h("td", { colspan: "7" },
    h("details", { open: one.is_broken }, h("summary", {}, `${one.name} ${said}`), h("pre", { tabindex: "0" }, one.traceback))))];
}

on("state", (state) => {
  const { labels } = state;
  document.getElementById("change").textContent = state.last_change || (state.functions.length ? "Save your functions' file to see what changes." : "");
  const outside = document.getElementById("outside");
  outside.hidden = !state.outside.length;
  outside.textContent = state.outside.join(" ");
  const rows = labels ? [
    ["Covered", share(labels.covered / labels.of), `${count(labels.covered)} of ${count(labels.of)}`],
    ["Labeled", share(labels.labeled / labels.of), `${count(labels.labeled)}, on average ${share(labels.confidence)} sure`],
    ["In conflict", share(labels.conflicted / labels.of), count(labels.conflicted)],
    ["Labels right on answers", labels.seed_judged ? share(labels.seed_right / labels.seed_judged) : "—",
      labels.seed_judged ? `${labels.seed_right} of ${labels.seed_judged} held out (${share(labels.interval[0])} to ${share(labels.interval[1])})` : "answer a few images to see"],
  ] : [];
  figures(document.getElementById("figures"), rows);
  document.getElementById("table").hidden = !state.functions.length && Boolean(state.problem);
  const open = new Set([...document.querySelectorAll("#functions details[open] summary")].map((one) => one.textContent));
  const body = document.getElementById("functions");
  body.replaceChildren(...state.functions.flatMap(row));
  body.querySelectorAll("details").forEach((one) => open.has(one.firstChild.textContent) && (one.open = true));
  document.getElementById("scope").textContent = state.functions.length ? `Figures are of ${state.scope}${labels?.chosen ? `; labels by ${labels.chosen}` : ""}.` : "The functions are read…";
  document.getElementById("notes").replaceChildren(
    ...Object.entries(state.left_out).map(([name, why]) => h("li", {}, `${name} is left out: ${why}`)),
    ...state.notes.map((text) => h("li", {}, text)),
    [...Object.values(state.left_out), ...state.notes].some((text) => text.includes("seed"))
      ? h("li", {}, "Seed labels are your answers: the word of their file and of lfkit apply.")
      : "",
  );
});
