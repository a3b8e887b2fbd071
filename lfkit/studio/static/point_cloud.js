// Tens of thousands of points on a canvas: drawn, found under the pointer, enclosed.
//
// Points live in typed arrays and are written into one ImageData, so a frame costs a few
// milliseconds and no point is an object. Places are in [0, 1]; the view says which part
// of that square is seen: screen = place * scale + offset, in CSS pixels.

const CELLS = 128; // of the grid that finds points near the pointer
const MOST_ZOOM = 400;

export class PointCloud {
  constructor(canvas, x, y) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.n = x.length;
    this.colors = new Uint32Array(this.n); // 0: not drawn
    this.selected = new Uint8Array(this.n);
    this.drawn = Uint32Array.from({ length: this.n }, (_, i) => i); // the last on top
    this.background = 0xffffffff;
    this.faded = 0.35; // of the color that is left outside a selection
    this.view = { scale: 1, left: 0, top: 0 };
    this.frame = 0;
    this.place(x, y);
  }

  // Give the same points other places.
  place(x, y) {
    this.x = x;
    this.y = y;
    this.#index();
  }

  // Points sorted by cell: those of cell c are order[starts[c]] to order[starts[c + 1]].
  #index() {
    const starts = new Uint32Array(CELLS * CELLS + 1);
    const cell = new Uint16Array(this.n);
    for (let i = 0; i < this.n; i++) {
      cell[i] = cellOf(this.y[i]) * CELLS + cellOf(this.x[i]);
      starts[cell[i] + 1]++;
    }
    for (let c = 0; c < CELLS * CELLS; c++) starts[c + 1] += starts[c];
    const next = starts.slice(0, -1);
    const order = new Uint32Array(this.n);
    for (let i = 0; i < this.n; i++) order[next[cell[i]]++] = i;
    this.starts = starts;
    this.order = order;
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    const dense = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(1, Math.round(clientWidth * dense));
    const height = Math.max(1, Math.round(clientHeight * dense));
    if (width !== this.canvas.width || height !== this.canvas.height || !this.pixels) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.image = this.context.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    this.dense = dense;
    this.width = clientWidth;
    this.height = clientHeight;
  }

  fit() {
    const margin = 24;
    const side = Math.max(1, Math.min(this.width, this.height) - 2 * margin);
    this.whole = side;
    this.view = {
      scale: side,
      left: (this.width - side) / 2,
      top: (this.height - side) / 2,
    };
    this.draw();
  }

  pan(dx, dy) {
    this.view.left += dx;
    this.view.top += dy;
    this.#keepInSight();
    this.draw();
  }

  // The place under (px, py) stays where it is.
  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const { scale, left, top } = this.view;
    const next = Math.min(Math.max(scale * factor, this.whole / 2), this.whole * MOST_ZOOM);
    const real = next / scale;
    this.view = { scale: next, left: px - (px - left) * real, top: py - (py - top) * real };
    this.#keepInSight();
    this.draw();
  }

  #keepInSight() {
    const { scale } = this.view;
    const keep = 60;
    this.view.left = Math.min(Math.max(this.view.left, keep - scale), this.width - keep);
    this.view.top = Math.min(Math.max(this.view.top, keep - scale), this.height - keep);
  }

  screen(i) {
    const { scale, left, top } = this.view;
    return [this.x[i] * scale + left, this.y[i] * scale + top];
  }

  draw() {
    if (!this.frame) {
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.#paint();
      });
    }
  }

  // Radius in device pixels: larger where there are few points, or one looks closely.
  get radius() {
    const few = this.n < 5000 ? 2.6 : this.n < 20000 ? 1.8 : 1.1;
    const close = Math.log2(this.view.scale / (this.whole || 1)) * 0.5;
    return Math.min(Math.max(few + close, 1), 6) * this.dense;
  }

  #paint() {
    const began = performance.now();
    const { width, height } = this.canvas;
    const pixels = this.pixels;
    pixels.fill(this.background);
    const stamp = disc(this.radius);
    let any = false;
    for (let i = 0; i < this.n && !any; i++) any = this.selected[i] === 1;
    // Selected points last, so that they are on top.
    const scale = this.view.scale * this.dense;
    const left = this.view.left * this.dense;
    const top = this.view.top * this.dense;
    const { reach, weights } = stamp;
    const offsets = stamp.dy.map((dy, s) => dy * width + stamp.dx[s]);
    for (let pass = 0; pass < (any ? 2 : 1); pass++) {
      for (let k = 0; k < this.n; k++) {
        const i = this.drawn[k];
        if (any && this.selected[i] !== pass) continue;
        let color = this.colors[i];
        if (color === 0) continue;
        const px = (this.x[i] * scale + left) | 0;
        const py = (this.y[i] * scale + top) | 0;
        if (px < reach || py < reach || px >= width - reach || py >= height - reach) continue;
        if (any && pass === 0) color = this.#dimmed(color);
        const at = py * width + px;
        for (let s = 0; s < offsets.length; s++) {
          const weight = weights[s];
          const to = at + offsets[s];
          pixels[to] = weight === 256 ? color : blended(color, pixels[to], weight);
        }
      }
    }
    this.context.putImageData(this.image, 0, 0);
    this.canvas.dataset.frameMs = (performance.now() - began).toFixed(1);
  }

  // Put points with less in `layer` below those with more; within one, mixed, so that
  // no class hides another because it comes later in the data.
  stack(layer) {
    const starts = new Uint32Array(257);
    for (let i = 0; i < this.n; i++) starts[layer[i] + 1]++;
    for (let c = 0; c < 256; c++) starts[c + 1] += starts[c];
    const step = coprime(this.n);
    for (let k = 0, i = 0; k < this.n; k++, i = (i + step) % this.n) {
      this.drawn[starts[layer[i]]++] = i;
    }
  }

  #dimmed(color) {
    if (this.dimmedOn !== this.background) {
      this.dimmed = new Map();
      this.dimmedOn = this.background;
    }
    let found = this.dimmed.get(color);
    if (found === undefined) {
      found = mixed(color, this.background, this.faded);
      this.dimmed.set(color, found);
    }
    return found;
  }

  // The drawn point nearest to a place on the screen; -1 if none is within reach.
  nearest(px, py, reach = 12) {
    let best = -1;
    let least = reach * reach;
    this.#near(px, py, reach, (i, gap) => {
      if (gap < least && this.colors[i] !== 0) {
        least = gap;
        best = i;
      }
    });
    return best;
  }

  within(px, py, radius) {
    const found = [];
    this.#near(px, py, radius, (i, gap) => {
      if (gap <= radius * radius && this.colors[i] !== 0) found.push(i);
    });
    return found;
  }

  #near(px, py, reach, visit) {
    const { scale, left, top } = this.view;
    const x = (px - left) / scale;
    const y = (py - top) / scale;
    const r = reach / scale;
    const lastRow = cellOf(y + r);
    const lastColumn = cellOf(x + r);
    for (let row = cellOf(y - r); row <= lastRow; row++) {
      for (let column = cellOf(x - r); column <= lastColumn; column++) {
        const c = row * CELLS + column;
        for (let k = this.starts[c]; k < this.starts[c + 1]; k++) {
          const i = this.order[k];
          const dx = (this.x[i] - x) * scale;
          const dy = (this.y[i] - y) * scale;
          visit(i, dx * dx + dy * dy);
        }
      }
    }
  }

  // Points inside a polygon of screen places, [x0, y0, x1, y1, …], by the even-odd rule.
  inside(polygon) {
    const { scale, left, top } = this.view;
    const count = polygon.length / 2;
    const xs = new Float64Array(count);
    const ys = new Float64Array(count);
    let [low, high, near, far] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let k = 0; k < count; k++) {
      xs[k] = (polygon[2 * k] - left) / scale;
      ys[k] = (polygon[2 * k + 1] - top) / scale;
      near = Math.min(near, xs[k]);
      far = Math.max(far, xs[k]);
      low = Math.min(low, ys[k]);
      high = Math.max(high, ys[k]);
    }
    const found = [];
    for (let i = 0; i < this.n; i++) {
      const x = this.x[i];
      const y = this.y[i];
      if (x < near || x > far || y < low || y > high || this.colors[i] === 0) continue;
      let odd = false;
      for (let a = 0, b = count - 1; a < count; b = a++) {
        if (ys[a] > y !== ys[b] > y) {
          const cross = ((xs[b] - xs[a]) * (y - ys[a])) / (ys[b] - ys[a]) + xs[a];
          if (x < cross) odd = !odd;
        }
      }
      if (odd) found.push(i);
    }
    return found;
  }
}

function cellOf(place) {
  return Math.min(Math.max((place * CELLS) | 0, 0), CELLS - 1);
}

// The pixels of a disc, and how much of each lies in it, of 256.
function disc(radius) {
  const reach = Math.ceil(radius);
  const found = { reach, dx: [], dy: [], weights: [] };
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const inside = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(x, y)));
      if (inside < 0.05) continue;
      found.dx.push(x);
      found.dy.push(y);
      found.weights.push(Math.round(256 * inside));
    }
  }
  return found;
}

// One color over another, red with blue and green by themselves.
function blended(color, under, weight) {
  const rest = 256 - weight;
  const outer = ((color & 0xff00ff) * weight + (under & 0xff00ff) * rest) >>> 8;
  const green = ((color & 0x00ff00) * weight + (under & 0x00ff00) * rest) >>> 8;
  return (0xff000000 | (outer & 0xff00ff) | (green & 0x00ff00)) >>> 0;
}

// A step that visits every one of n places once, far from its neighbours.
function coprime(n) {
  const divides = (a, b) => (b === 0 ? a : divides(b, a % b));
  let step = Math.max(1, Math.floor(n * 0.618));
  while (step > 1 && divides(n, step) !== 1) step--;
  return step;
}

// Colors are 0xAABBGGRR, as ImageData holds them on the machines there are.
export function packed(red, green, blue) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

export function mixed(color, other, share) {
  const part = (shift) => {
    const a = (color >>> shift) & 255;
    const b = (other >>> shift) & 255;
    return Math.round(a * share + b * (1 - share)) << shift;
  };
  return ((255 << 24) | part(16) | part(8) | part(0)) >>> 0;
}
