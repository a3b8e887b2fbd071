// A grid of images: only tiles in view are in the page, all keys work, images get labels.

import { picture } from "./pictures.js";
import { big, count, get, give, h, on, say, share, store, undo } from "./studio.js";

const GAP = 6;
const CAPTION = 20;
const HEAD = 58; // of a section
const BEYOND = 400; // pixels drawn above and below the view
const DRAW_BEYOND_MS = 50; // after a jump, what is in view comes first
const UNKNOWN = 255;

/** Read a list as `image_lists.ImageList.to_bytes` writes it. */
export function readList(buffer) {
  const view = new DataView(buffer);
  const [headLength, n] = [view.getInt32(0, true), view.getInt32(4, true)];
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, headLength)));
  let place = 8 + headLength;
  const take = (Kind, size) => {
    const part = new Kind(buffer.slice(place, place + n * size));
    place += n * size;
    return part;
  };
  return {
    ...head, n,
    rows: take(Int32Array, 4), labels: take(Int16Array, 2), answers: take(Int16Array, 2), sure: take(Uint8Array, 1),
  };
}

export const fetchList = async (path) => readList(await (await get(path)).arrayBuffer());

export class Grid {
  /**
   * @param place the element; it becomes a list box.
   * @param given side: of a tile in pixels; name: for screen readers; empty: text for no images.
   */
  constructor(place, { side = 92, name = "Images", empty = "No images." } = {}) {
    Object.assign(this, { place, side, empty, cursor: 0, anchor: 0, selected: new Set(), tiles: new Map() });
    this.list = { sections: [], classes: [], n: 0, rows: [], labels: [], answers: [], sure: [] };
    this.heads = h("div", { class: "heads" });
    this.surface = h("div", { class: "surface", tabindex: "0", "aria-multiselectable": "true", "aria-label": name });
    place.append(this.heads, this.surface);
    this.surface.addEventListener("keydown", (event) => this.onKey(event));
    this.surface.addEventListener("focus", () => this.draw());
    place.addEventListener("pointerdown", (event) => this.onPointer(event));
    place.addEventListener("dblclick", (event) => this.tileOf(event) !== null && this.zoom());
    addEventListener("scroll", () => this.later(), { passive: true });
    new ResizeObserver(() => this.lay()).observe(place);
    on("answers", () => this.readAnswers());
  }

  show(list, { keepPlace = false } = {}) {
    this.list = list;
    this.rowPlace = null;
    this.selected.clear();
    if (!keepPlace) this.cursor = this.anchor = 0;
    this.cursor = Math.max(0, Math.min(this.cursor, list.n - 1));
    this.clear();
    this.lay();
    this.onselect?.();
  }

  focus() {
    this.surface.focus({ preventScroll: true });
  }

  clear() {
    this.surface.replaceChildren();
    this.heads.replaceChildren();
    this.tiles.clear();
  }

  resize(side) {
    const top = this.topOf(this.cursor);
    const inView = top - this.offset();
    this.side = side;
    this.clear();
    this.lay();
    if (inView > 0 && inView < innerHeight) scrollBy(0, this.topOf(this.cursor) - this.offset() - inView);
  }

  /** Place sections and lines; 100,000 images are numbers here, not elements. */
  lay() {
    const width = this.place.clientWidth;
    if (!width) return;
    this.columns = Math.max(1, Math.floor((width + GAP) / (this.side + GAP)));
    this.cell = (width + GAP) / this.columns - GAP;
    this.lineHeight = this.cell + CAPTION + GAP;
    let top = 0, start = 0;
    this.parts = this.list.sections.map((section) => {
      const head = section.title ? HEAD : 0;
      const lines = Math.ceil(section.count / this.columns);
      const part = { ...section, start, top: top + head, headTop: top, lines };
      top += head + lines * this.lineHeight + (head ? 18 : 0);
      start += section.count;
      return part;
    });
    this.surface.style.height = `${Math.max(top, this.list.n ? 0 : 60)}px`;
    this.clear();
    this.draw();
  }

  /** The name of a class, as the list numbers them. */
  className(label) {
    return label < 0 ? "no label" : this.list.classes[label] ?? "";
  }

  partOf(i) {
    return this.parts?.find((part) => i >= part.start && i < part.start + part.count);
  }

  topOf(i) {
    const part = this.partOf(i);
    return part ? part.top + Math.floor((i - part.start) / this.columns) * this.lineHeight : 0;
  }

  offset() {
    return -this.surface.getBoundingClientRect().top;
  }

  later() {
    if (this.isWaiting) return;
    this.isWaiting = true;
    requestAnimationFrame(() => {
      this.isWaiting = false;
      this.draw();
    });
  }

  /** Draw what is in view; what is beyond it follows, when its pictures are on their way. */
  draw() {
    if (!this.parts || !store.state) return;
    this.drawWithin(0);
    this.isBeyondDue ||= setTimeout(() => {
      this.isBeyondDue = 0;
      this.drawWithin(BEYOND);
    }, DRAW_BEYOND_MS);
  }

  drawWithin(margin) {
    const wanted = this.placesWithin(margin), kept = this.placesWithin(BEYOND);
    this.place.querySelectorAll(".empty").forEach((old) => old.remove());
    // An empty list box is none, for those who hear the page.
    if (this.list.n) this.surface.setAttribute("role", "listbox");
    else this.surface.removeAttribute("role");
    if (!this.list.n) this.place.append(h("p", { class: "empty faint" }, this.empty));
    for (const part of this.parts) if (part.title && !part.head?.isConnected) part.head = this.drawHead(part);
    for (const [i, tile] of this.tiles) {
      if (kept.has(i)) continue;
      tile.remove();
      this.tiles.delete(i);
    }
    for (const i of wanted) if (!this.tiles.has(i)) this.drawTile(i);
    for (const i of this.tiles.keys()) this.mark(i);
    const current = this.tiles.get(this.cursor);
    if (current) this.surface.setAttribute("aria-activedescendant", current.id);
    else this.surface.removeAttribute("aria-activedescendant");
  }

  /** Places of the images in view, and of those so many pixels above and below it. */
  placesWithin(margin) {
    const from = this.offset() - margin, to = this.offset() + innerHeight + margin;
    const found = new Set();
    for (const part of this.parts) {
      const first = Math.max(0, Math.floor((from - part.top) / this.lineHeight));
      const last = Math.min(part.lines - 1, Math.floor((to - part.top) / this.lineHeight));
      for (let line = first; line <= last; line++) {
        for (let column = 0; column < this.columns; column++) {
          const at = line * this.columns + column;
          if (at < part.count) found.add(part.start + at);
        }
      }
    }
    return found;
  }

  drawHead(part) {
    const head = h("div", { class: "section-head" },
      h("h2", {}, part.is_random ? h("span", { class: "dice", "aria-hidden": "true" }) : null, part.title), h("span", { class: "faint" }, part.note));
    head.style.top = `${part.headTop}px`;
    this.heads.append(head);
    return head;
  }

  drawTile(i) {
    const row = this.list.rows[i];
    const part = this.partOf(i);
    const at = i - part.start;
    const tile = h("div", { class: "tile", role: "option", id: `${this.place.id}-${i}` },
      picture(row, h("img", { alt: "", draggable: "false", decoding: "async" })),
      h("span", { class: "caption" }, h("span", { class: "label" }), h("span", { class: "sure" })),
    );
    tile.dataset.i = i;
    tile.style.width = `${this.cell}px`;
    tile.style.setProperty("--side", `${this.cell}px`);
    tile.style.transform = `translate(${(at % this.columns) * (this.cell + GAP)}px, ${part.top + Math.floor(at / this.columns) * this.lineHeight}px)`;
    this.surface.append(tile);
    this.tiles.set(i, tile);
  }

  mark(i) {
    const tile = this.tiles.get(i);
    const { answers, labels, sure } = this.list;
    const answer = answers[i], label = answer >= 0 ? answer : labels[i];
    const isAnswered = answer >= 0;
    const name = this.className(label);
    const certain = isAnswered ? "✓" : sure[i] === UNKNOWN ? "" : `${sure[i]} %`;
    const text = `${name}|${certain}|${isAnswered}`;
    if (tile.dataset.text !== text) {
      tile.dataset.text = text;
      tile.querySelector(".label").textContent = name;
      tile.querySelector(".sure").textContent = certain;
      tile.classList.toggle("answered", isAnswered);
      tile.classList.toggle("wrong", isAnswered && labels[i] >= 0 && labels[i] !== answer);
      tile.classList.toggle("unlabeled", label < 0);
      const said = isAnswered ? "answered" : certain ? `${certain} sure` : "";
      tile.setAttribute("aria-label", `image ${this.list.rows[i]}, ${name}${said ? `, ${said}` : ""}`);
    }
    tile.setAttribute("aria-selected", this.selected.has(i) ? "true" : "false");
    tile.classList.toggle("current", i === this.cursor);
  }

  tileOf(event) {
    const tile = event.target.closest?.(".tile");
    return tile && this.place.contains(tile) ? Number(tile.dataset.i) : null;
  }

  onPointer(event) {
    const i = this.tileOf(event);
    if (i === null || event.button) return;
    this.focus();
    if (event.shiftKey) {
      event.preventDefault();
      this.selectTo(i);
    } else if (event.ctrlKey || event.metaKey) {
      if (!this.selected.size && this.cursor !== i) this.selected.add(this.cursor);
      this.selected.has(i) ? this.selected.delete(i) : this.selected.add(i);
      this.anchor = i;
    } else {
      this.selected.clear();
      this.anchor = i;
    }
    this.cursor = i;
    this.draw();
    this.onselect?.();
  }

  selectTo(i) {
    const [from, to] = [Math.min(i, this.anchor), Math.max(i, this.anchor)];
    this.selected = new Set(Array.from({ length: to - from + 1 }, (_, at) => from + at));
  }

  /** What a key acts on: the selected images, or the current one. */
  chosen() {
    return this.selected.size ? [...this.selected].sort((a, b) => a - b) : this.list.n ? [this.cursor] : [];
  }

  move(to, isRange) {
    const next = Math.max(0, Math.min(this.list.n - 1, to));
    if (isRange) this.selectTo(next);
    else {
      this.selected.clear();
      this.anchor = next;
    }
    this.cursor = next;
    this.reveal();
    this.draw();
    this.onselect?.();
  }

  reveal() {
    const top = this.topOf(this.cursor) - this.offset();
    const bar = 120;
    if (top < bar) scrollBy(0, top - bar);
    else if (top + this.lineHeight > innerHeight) scrollBy(0, top + this.lineHeight - innerHeight + 12);
  }

  /** One line up or down, into the next section where this one ends. */
  lineFrom(i, by) {
    const part = this.partOf(i);
    if (!part) return i;
    const column = (i - part.start) % this.columns;
    const line = Math.floor((i - part.start) / this.columns) + by;
    if (line >= 0 && line < part.lines) return part.start + Math.min(line * this.columns + column, part.count - 1);
    const number = this.parts.indexOf(part) + Math.sign(by);
    let other = this.parts[number];
    while (other && !other.count) other = this.parts[this.parts.indexOf(other) + Math.sign(by)];
    if (!other) return by < 0 ? part.start + column : part.start + part.count - 1;
    const lineThere = by < 0 ? other.lines - 1 : 0;
    return other.start + Math.min(lineThere * this.columns + column, other.count - 1);
  }

  onKey(event) {
    if (!this.list.n || document.querySelector("dialog[open]:not(.zoom)")) return;
    const { key, shiftKey } = event;
    const page = Math.max(1, Math.floor((innerHeight - 160) / this.lineHeight));
    const moves = {
      ArrowLeft: () => this.cursor - 1, ArrowRight: () => this.cursor + 1,
      ArrowUp: () => this.lineFrom(this.cursor, -1), ArrowDown: () => this.lineFrom(this.cursor, 1),
      PageUp: () => this.cursor - page * this.columns, PageDown: () => this.cursor + page * this.columns,
      Home: () => 0, End: () => this.list.n - 1,
    };
    if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "a") {
      this.selected = new Set(Array.from({ length: this.list.n }, (_, i) => i));
    } else if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    } else if (moves[key]) {
      this.move(moves[key](), shiftKey);
      this.onmove?.();
    } else if (event.repeat) {
      if (key !== " ") return; // a key held down is one answer
    } else if (key === "Enter") {
      this.confirm();
    } else if (key === "Backspace" || key === "Delete") {
      this.label(null);
    } else if (key === " ") {
      this.zoom();
    } else if (key === "Escape") {
      this.selected.clear();
    } else if (key === "u") {
      this.undo();
    } else {
      const label = store.state.keys.indexOf(key);
      if (label < 0) return;
      this.label(store.state.classes[label]);
    }
    event.preventDefault();
    this.draw();
    this.onselect?.();
  }

  /** Give the chosen images a class, by its name; null takes answers back. */
  async label(name) {
    const chosen = this.chosen();
    if (!chosen.length || !store.state.classes.length) return;
    this.advance(chosen);
    await this.give(chosen.map((i) => [i, name]));
  }

  async confirm() {
    const { answers, labels } = this.list;
    const chosen = this.chosen();
    const shown = chosen.map((i) => [i, answers[i] >= 0 ? answers[i] : labels[i]]).filter(([, label]) => label >= 0);
    if (!shown.length) {
      say("There is no label to confirm; press the key of a class.");
      return;
    }
    this.advance(chosen);
    await this.give(shown.map(([i, label]) => [i, this.className(label)]));
  }

  /** Save answers, [place, name of a class or null] each; what is not saved is not shown. */
  async give(pairs) {
    const { answers, classes, rows } = this.list; // another one may be shown meanwhile
    const groups = new Map();
    for (const [i, name] of pairs) {
      const why = this.partOf(i)?.why ?? "chosen";
      const key = JSON.stringify([name, why]);
      if (!groups.has(key)) groups.set(key, { name, why, places: [] });
      groups.get(key).places.push(i);
    }
    for (const { name, why, places } of groups.values()) {
      const before = places.map((i) => answers[i]);
      const label = name === null ? -1 : classes.indexOf(name);
      for (const i of places) answers[i] = label;
      this.draw();
      if (await give(places.map((i) => rows[i]), name, why)) continue;
      places.forEach((i, at) => (answers[i] = before[at]));
      break;
    }
    this.draw();
  }

  /** Go to the image after those just answered. */
  advance(chosen) {
    const last = chosen[chosen.length - 1];
    this.selected.clear();
    this.cursor = this.anchor = Math.min(last + 1, this.list.n - 1);
    this.reveal();
    this.draw();
    this.onmove?.();
    this.onselect?.();
  }

  /** Take the last answer back, and go to its image: the next key is meant for it. */
  async undo() {
    const [row] = await undo();
    const place = row === undefined ? -1 : this.list.rows.indexOf(row);
    if (place < 0) return;
    this.move(place, false);
    this.onmove?.();
  }

  /** Read answers again that were given elsewhere, or undone. */
  async readAnswers() {
    if (!this.list.n) return;
    const { list } = this;
    const known = await this.answers();
    list.rows.forEach((row, i) => (list.answers[i] = list.classes.indexOf(known.get(row))));
    this.draw();
  }

  /** All answers: number of the image → name of its class. */
  async answers() {
    const found = await fetchList("api/list?answers=answered");
    return new Map(Array.from(found.rows, (row, at) => [row, found.classes[found.answers[at]]]));
  }

  async zoom() {
    if (this.dialog || !this.list.n) return;
    const picture = h("img", { class: "big", alt: "" });
    const about = h("div", { class: "about" });
    const close = h("button", { class: "quiet close", type: "button", "aria-label": "Close", onclick: () => this.dialog?.close() }, "✕");
    // Keys act on the image, and not on the button to close: the focus is on the dialog.
    this.dialog = h("dialog", { class: "zoom", "aria-label": "One image", tabindex: "-1", autofocus: true }, close, picture, about);
    document.body.append(this.dialog);
    const fill = async () => {
      const row = this.list.rows[this.cursor];
      picture.src = big(row);
      const found = await (await get(`api/image?row=${row}`)).json();
      if (!this.dialog || row !== this.list.rows[this.cursor]) return;
      about.replaceChildren(...this.describe(found));
      if (!this.dialog.contains(document.activeElement)) this.dialog.focus();
    };
    this.onmove = fill;
    this.dialog.addEventListener("keydown", (event) => {
      if ((event.key === " " && !event.repeat) || event.key === "Escape") {
        event.preventDefault();
        this.dialog.close();
      } else if (!event.target.matches("button") || event.key !== "Enter") {
        this.onKey(event);
      }
      event.stopPropagation();
    });
    this.dialog.addEventListener("close", () => {
      this.dialog.remove();
      this.dialog = this.onmove = null;
      this.focus();
    });
    this.dialog.showModal();
    this.dialog.focus();
    await fill();
  }

  describe(found) {
    const label = found.answer >= 0 ? found.answer : found.label;
    const { classes, keys } = store.state;
    const nameOf = (y) => (y < 0 ? "no label" : classes[y] ?? "");
    const best = found.proba.map((p, y) => [p, y]).sort((a, b) => b[0] - a[0]).slice(0, 6).filter(([p]) => p > 0.005);
    return [
      h("p", { class: "faint id" }, found.id),
      h("h2", {}, nameOf(label), h("small", {}, found.answer >= 0 ? "your answer" : found.confidence === null ? "" : `${found.confidence} % sure`)),
      found.problem ? h("p", { class: "bad" }, found.problem) : null,
      h("div", { class: "choices" }, ...classes.map((name, y) =>
        h("button", { type: "button", class: "choice", "aria-pressed": found.answer === y ? "true" : "false", onclick: () => this.label(name) },
          keys[y] ? h("kbd", {}, keys[y]) : null, name))),
      best.length ? h("div", { class: "bars" }, ...best.map(([p, y]) => {
        const fill = h("i", {});
        fill.style.width = `${100 * p}%`;
        return h("div", {}, h("span", {}, classes[y]), h("span", { class: "track" }, fill), h("span", { class: "number" }, share(p)));
      })) : null,
      h("h3", {}, found.votes.length ? "Votes" : "No function votes on this image."),
      h("ul", { class: "votes" }, ...found.votes.map(({ function: name, vote }) =>
        h("li", {}, h("a", { href: `function?name=${encodeURIComponent(name)}` }, name), h("b", {}, vote < 0 ? "one of several" : classes[vote])))),
      found.twins.length ? h("h3", {}, `${count(found.twins.length)} nearly the same`) : null,
      found.twins.length ? h("div", { class: "strip" }, ...found.twins.slice(0, 12).map((row) => picture(row, h("img", { alt: "" })))) : null,
      found.twins.length ? h("p", {}, h("button", { type: "button", class: "button", onclick: () => this.labelTwins(found) }, `Label those without an answer: ${nameOf(label)}`)) : null,
    ].filter(Boolean);
  }

  async labelTwins(found) {
    const label = found.answer >= 0 ? found.answer : found.label;
    if (label < 0) return say("Label this image first.");
    const known = await this.answers();
    const rows = [found.row, ...found.twins].filter((row) => !known.has(row));
    if (rows.length) await give(rows, store.state.classes[label], "nearly the same");
    await this.readAnswers();
  }
}

/** Buttons that give the selected images a class; they also show the keys. */
export function palette(place, grid) {
  const draw = () => {
    const { classes, keys } = store.state;
    const n = grid.selected.size;
    place.replaceChildren(
      ...classes.map((name, y) =>
        h("button", { type: "button", class: "choice", onclick: () => grid.label(name) }, keys[y] ? h("kbd", {}, keys[y]) : null, name)),
      h("span", { class: "faint chosen" }, n > 1 ? `${count(n)} selected` : ""),
      h("button", { type: "button", class: "quiet", onclick: () => grid.undo() }, h("kbd", {}, "u"), "undo"),
    );
  };
  let drawn = "";
  const update = () => {
    const text = JSON.stringify([store.state?.classes, grid.selected.size]);
    if (store.state && text !== drawn) {
      drawn = text;
      draw();
    }
  };
  grid.onselect = update;
  on("state", update);
}
