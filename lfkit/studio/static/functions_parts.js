// Small drawings of a function's figures.

import { h, share } from "./studio.js";

/** Draw a share with its 95 % interval on a line from 0 to 1. */
export function interval({ accuracy, interval: ends, right, judged }) {
  if (accuracy === null || accuracy === undefined) return h("span", { class: "faint" }, "no answers yet");
  const range = h("i", { class: "range" }), point = h("i", { class: "point" });
  range.style.left = `${100 * ends[0]}%`;
  range.style.width = `${100 * (ends[1] - ends[0])}%`;
  point.style.left = `${100 * accuracy}%`;
  const said = `${share(accuracy)} of ${judged} votes right, 95 % interval ${share(ends[0])} to ${share(ends[1])}`;
  return h("span", { class: "accuracy", title: said },
    h("b", { class: "number" }, share(accuracy)), h("span", { class: "line", role: "img", "aria-label": said }, range, point),
    h("small", { class: "faint" }, `${right} of ${judged}`));
}
