// Pointer and keys on the map: hover, lasso, pan, zoom, and a ring for the keyboard.

import { thumb } from "./studio.js";

const STEP_PX = 14;
const LONG_STEP_PX = 56;
const LEAST_MOVE_PX = 4;
const ZOOM = 1.25;

const byId = (id) => document.querySelector(`#${id}`);

export class Pointing {
  constructor(cloud, selection, over, describe) {
    this.cloud = cloud;
    this.canvas = cloud.canvas;
    this.selection = selection;
    this.over = over;
    this.describe = describe;
    this.tool = "lasso";
    this.path = null; // of the lasso, [x0, y0, x1, y1, …]
    this.last = null; // where a pan has come to
    this.fingers = new Map();
    this.hovered = -1;
    this.ring = null; // of the keyboard: { x, y, r }
    this.#listenToPointer();
    this.#listenToTools();
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("blur", () => {
      this.ring = null;
      this.#mark();
    });
  }

  #listenToPointer() {
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => {
      this.path = null;
      this.#up(event);
    });
    canvas.addEventListener("pointerleave", () => this.#hover(-1));
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const lines = event.deltaMode === 1 ? 30 : 1;
        const [x, y] = place(event);
        this.#zoom(Math.exp(-event.deltaY * lines * 0.0016), x, y);
      },
      { passive: false },
    );
  }

  #listenToTools() {
    for (const tool of ["lasso", "move"]) {
      byId(tool).addEventListener("click", () => {
        this.tool = tool;
        byId("lasso").setAttribute("aria-pressed", String(tool === "lasso"));
        byId("move").setAttribute("aria-pressed", String(tool === "move"));
        this.canvas.classList.toggle("moves", tool === "move");
      });
    }
    byId("closer").addEventListener("click", () => this.#zoom(1.6));
    byId("farther").addEventListener("click", () => this.#zoom(1 / 1.6));
    byId("whole").addEventListener("click", () => {
      this.cloud.fit();
      this.#mark();
    });
  }

  #down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, place(event));
    this.ring = null;
    this.#hover(-1);
    if (this.fingers.size > 1) {
      this.path = null; // two fingers zoom
      this.last = null;
    } else if (this.tool === "move" || event.button === 1) {
      this.last = place(event);
    } else if (event.button === 0) {
      this.path = place(event);
    }
    this.#mark();
  }

  #move(event) {
    const [x, y] = place(event);
    if (!this.fingers.has(event.pointerId)) {
      if (event.pointerType !== "touch") this.#hover(this.cloud.nearest(x, y), x, y);
      return;
    }
    if (this.fingers.size === 2) this.#pinch(event.pointerId, x, y);
    this.fingers.set(event.pointerId, [x, y]);
    if (this.last) {
      this.cloud.pan(x - this.last[0], y - this.last[1]);
      this.last = [x, y];
    } else if (this.path) {
      const [px, py] = this.path.slice(-2);
      if (Math.hypot(x - px, y - py) >= LEAST_MOVE_PX) this.path.push(x, y);
    }
    this.#mark();
  }

  #up(event) {
    this.fingers.delete(event.pointerId);
    const path = this.path;
    this.path = this.last = null;
    if (path) {
      const how = event.shiftKey ? "add" : event.altKey ? "remove" : "new";
      if (path.length >= 6) this.selection.take(this.cloud.inside(path), how);
      else this.#click(path, how);
    }
    this.#mark();
  }

  // Without a line around it, the one point under the pointer is meant.
  #click([x, y], how) {
    const i = this.cloud.nearest(x, y);
    if (i >= 0) this.selection.take([i], how);
    else if (how === "new") this.selection.clear();
  }

  #pinch(id, x, y) {
    const [other] = [...this.fingers].filter(([key]) => key !== id).map(([, at]) => at);
    const [px, py] = this.fingers.get(id);
    const before = Math.hypot(px - other[0], py - other[1]);
    const after = Math.hypot(x - other[0], y - other[1]);
    if (before > 0) this.#zoom(after / before, (x + other[0]) / 2, (y + other[1]) / 2);
    this.cloud.pan((x - px) / 2, (y - py) / 2);
  }

  #zoom(factor, x, y) {
    this.cloud.zoom(factor, x, y);
    this.#hover(-1);
    this.#mark();
  }

  #hover(i, x, y) {
    const tip = byId("tip");
    if (i !== this.hovered) {
      this.hovered = i;
      tip.hidden = i < 0;
      if (i >= 0) {
        tip.querySelector("img").src = thumb(i);
        tip.querySelector("span").textContent = this.describe(i);
      }
      this.#mark();
    }
    if (i < 0) return;
    const right = x + tip.offsetWidth + 24 > this.cloud.width;
    const below = y + tip.offsetHeight + 24 > this.cloud.height;
    const left = right ? x - tip.offsetWidth - 14 : x + 14;
    const top = below ? y - tip.offsetHeight - 14 : y + 14;
    tip.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
  }

  // The ring is the keyboard's pointer: it hovers, and selects what lies in it.
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { width, height } = this.cloud;
    this.ring ??= { x: width / 2, y: height / 2, r: 40 };
    const ring = this.ring;
    const step = event.shiftKey ? LONG_STEP_PX : STEP_PX;
    const inside = () => this.cloud.within(ring.x, ring.y, ring.r);
    const does = {
      ArrowLeft: () => (ring.x -= step),
      ArrowRight: () => (ring.x += step),
      ArrowUp: () => (ring.y -= step),
      ArrowDown: () => (ring.y += step),
      "[": () => (ring.r = Math.max(8, ring.r / ZOOM)),
      "]": () => (ring.r = Math.min(300, ring.r * ZOOM)),
      "+": () => this.cloud.zoom(ZOOM, ring.x, ring.y),
      "=": () => this.cloud.zoom(ZOOM, ring.x, ring.y),
      "-": () => this.cloud.zoom(1 / ZOOM, ring.x, ring.y),
      Home: () => this.cloud.fit(),
      " ": () => this.selection.take(inside(), "add"),
      Enter: () => this.selection.take(inside(), "add"),
      Backspace: () => this.selection.take(inside(), "remove"),
    };
    if (!(event.key in does)) return;
    event.preventDefault();
    event.stopPropagation();
    does[event.key]();
    ring.x = Math.min(Math.max(ring.x, 0), width);
    ring.y = Math.min(Math.max(ring.y, 0), height);
    this.#hover(this.cloud.nearest(ring.x, ring.y, ring.r), ring.x, ring.y);
    this.#mark();
  }

  // Lasso, ring, and the point under the pointer, on a canvas of their own.
  #mark() {
    const { over, cloud } = this;
    over.width = cloud.canvas.width;
    over.height = cloud.canvas.height;
    const context = over.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const accent = style.getPropertyValue("--accent").trim() || "#2b63d9";
    context.scale(cloud.dense, cloud.dense);
    context.strokeStyle = accent;
    context.lineWidth = 1.5;
    if (this.path) {
      context.beginPath();
      for (let k = 0; k < this.path.length; k += 2) {
        context.lineTo(this.path[k], this.path[k + 1]);
      }
      context.closePath();
      context.globalAlpha = 0.1;
      context.fillStyle = accent;
      context.fill();
      context.globalAlpha = 1;
      context.stroke();
    }
    if (this.ring) circle(context, this.ring.x, this.ring.y, this.ring.r);
    if (this.hovered >= 0) {
      const [x, y] = cloud.screen(this.hovered);
      context.lineWidth = 2;
      circle(context, x, y, 6);
    }
  }
}

function circle(context, x, y, r) {
  context.beginPath();
  context.arc(x, y, r, 0, 2 * Math.PI);
  context.stroke();
}

function place(event) {
  const box = event.currentTarget.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}
