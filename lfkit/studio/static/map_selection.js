// What is selected on the map: shown as pictures, labeled, told apart from the rest.

import { picture } from "./pictures.js";
import { count, give, h, post, store, undo } from "./studio.js";

const FIRST_SHOWN = 60;
const MORE = 180;

const byId = (id) => document.querySelector(`#${id}`);

export class Selection {
  constructor(cloud, map) {
    this.cloud = cloud;
    this.map = map; // a function: the labels are read anew
    this.rows = []; // in a mixed order that stays
    this.shown = FIRST_SHOWN;
    this.leftOut = new Set();
    byId("clear").addEventListener("click", () => this.clear());
    byId("more").addEventListener("click", () => {
      this.shown += MORE;
      this.#showTiles();
    });
    byId("rule").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#tellApart();
    });
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  // Select points; "add" joins them to those selected, "remove" takes them out.
  take(points, how = "new") {
    const chosen = this.cloud.selected;
    if (how === "new") chosen.fill(0);
    for (const i of points) chosen[i] = how === "remove" ? 0 : 1;
    const rows = [];
    for (let i = 0; i < chosen.length; i++) if (chosen[i]) rows.push(i);
    this.rows = mixedUp(rows);
    this.leftOut.clear();
    this.shown = FIRST_SHOWN;
    byId("rules").replaceChildren();
    byId("finding").textContent = "";
    this.refresh();
    this.cloud.draw();
  }

  clear() {
    if (this.rows.length) this.take([]);
  }

  get wanted() {
    return this.rows.filter((row) => !this.leftOut.has(row));
  }

  // Show the selection with the labels there are now.
  refresh() {
    byId("chosen").hidden = this.rows.length === 0;
    byId("nothing").hidden = this.rows.length > 0;
    if (!this.rows.length) return;
    this.#count();
    this.#showTiles();
    this.#offerClasses();
  }

  #count() {
    const n = this.wanted.length;
    byId("count").textContent = `${count(n)} image${n === 1 ? "" : "s"}`;
    const { label, answer } = this.map();
    const counts = new Map();
    for (const row of this.rows) {
      const y = answer[row] >= 0 ? answer[row] : label[row];
      counts.set(y, (counts.get(y) || 0) + 1);
    }
    const most = [...counts].sort((a, b) => b[1] - a[1]);
    this.commonest = most.find(([y]) => y >= 0)?.[0];
    const name = (y) => (y < 0 ? "no label" : store.state.classes[y]);
    const parts = most.slice(0, 4).map(([y, c]) => `${name(y)} ${count(c)}`);
    if (most.length > 4) parts.push("…");
    byId("mix").textContent = parts.join(" · ");
  }

  #showTiles() {
    const rows = this.rows.slice(0, this.shown);
    const tiles = rows.map((row) => {
      const tile = h(
        "button",
        {
          type: "button",
          title: "Click to leave it out",
          "aria-label": `Image ${row}`,
          "aria-pressed": String(!this.leftOut.has(row)),
        },
        picture(row, h("img", { alt: "" })),
      );
      tile.addEventListener("click", () => {
        if (!this.leftOut.delete(row)) this.leftOut.add(row);
        tile.setAttribute("aria-pressed", String(!this.leftOut.has(row)));
        this.#count();
      });
      return tile;
    });
    byId("tiles").replaceChildren(...tiles);
    const left = this.rows.length - rows.length;
    byId("more").hidden = left <= 0;
    byId("more").textContent = `Show more: ${count(left)} are left`;
  }

  #offerClasses() {
    const { classes, keys } = store.state;
    const buttons = classes.map((name, y) =>
      h(
        "button",
        { type: "button", class: "choice", onclick: () => this.label(name, y) },
        keys[y] ? h("kbd", {}, keys[y]) : null,
        name,
      ),
    );
    byId("classes").replaceChildren(...buttons);
    const target = byId("target");
    const before = target.value;
    target.replaceChildren(...classes.map((name, y) => new Option(name, y)));
    const first = before !== "" && Number(before) < classes.length ? before : this.commonest;
    target.value = String(first ?? 0);
  }

  // Give all that is selected one class.
  async label(name, y) {
    const rows = this.wanted;
    if (rows.length && (await give(rows, name, "chosen on the map"))) {
      for (const row of rows) this.map().answer[row] = y;
      this.#count();
    }
  }

  #key(event) {
    const isTyping = event.target.closest?.("input, select, textarea, dialog");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") this.clear();
    else if (event.repeat) return; // a key held down is one answer
    else if (event.key === "u") undo();
    else {
      const y = this.rows.length ? store.state.keys.indexOf(event.key) : -1;
      if (y < 0) return;
      this.label(store.state.classes[y], y);
    }
    event.preventDefault();
  }

  async #tellApart() {
    const finding = byId("finding");
    finding.textContent = "Measuring these images and others …";
    byId("rules").replaceChildren();
    const rows = this.wanted;
    try {
      const label = store.state.classes[Number(byId("target").value)];
      const { ranked } = await post("api/apart", { rows, label });
      if (rows.join() !== this.wanted.join()) return; // another selection by now
      const sorted = [...ranked].sort((a, b) => a.is_whole - b.is_whole);
      byId("rules").replaceChildren(...sorted.map((each, i) => asRule(each, i === 0)));
      finding.textContent = sorted.length
        ? "Paste one into your file of functions and save it."
        : "No feature tells them from the others.";
    } catch (error) {
      finding.textContent = error.message;
    }
  }
}

function asRule(found, isOpen) {
  const name = h("strong", {}, found.feature.replaceAll("_", " "));
  const number = found.number === null ? "" : `, ${found.number}:`;
  const what = found.is_whole
    ? ", all its numbers: learns from answers"
    : `${number} ${found.side} ${Number(found.cut.toPrecision(3))}`;
  const percent = (share) => `${Math.round(100 * share)} %`;
  const shares = found.is_whole
    ? `one of these comes before one of the others in ${percent(found.auc)} of all pairs`
    : `${percent(found.share_selected)} of these, ${percent(found.share_others)} of the others`;
  const code = h("pre", { tabindex: "0" }, found.snippet);
  const copy = h("button", { type: "button", class: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    copy.textContent = (await copied(found.snippet, code)) ? "Copied" : "Select and copy";
  });
  return h(
    "li",
    {},
    h("div", { class: "map-head" }, h("span", {}, name, what), copy),
    h("p", { class: "faint" }, shares),
    h("details", { open: isOpen }, h("summary", { class: "faint" }, "Code"), code),
  );
}

async function copied(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // A frame in a notebook may not write there: the text is selected instead.
    getSelection().selectAllChildren(shown);
    return document.execCommand("copy");
  }
}

// An order in which the first few are a fair sample; the same for the same rows.
function mixedUp(rows) {
  let seed = rows.length;
  const found = rows.slice();
  for (let i = found.length - 1; i > 0; i--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const j = seed % (i + 1);
    [found[i], found[j]] = [found[j], found[i]];
  }
  return found;
}
