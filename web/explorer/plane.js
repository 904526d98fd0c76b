// The plane of two latent numbers: test images as dots, and a place in it that a pointer, a finger or keys move.

const STEPS = 40; // of an arrow key from edge to edge

class Plane {
  // `label`: for those who hear it; `moved(x, y, heard)` where the place has changed, `drawn(points)` where a path is:
  // without them the plane only shows.
  constructor(place, label, moved, drawn) {
    this.moved = moved;
    this.drawn = drawn;
    this.surface = moved ? el("div", {className: "surface live", tabindex: 0, role: "application",
      "aria-roledescription": "plane", "aria-label": label}) : el("div", {className: "surface", role: "img",
      "aria-label": label});
    this.over = el("canvas", {className: "over", "aria-hidden": "true"});
    this.surface.append(this.over);
    place.append(this.surface);
    this.at = [0, 0];
    this.path = [];
    this.drawing = false;
    if (moved) this.listen();
  }

  // Dots for codes [n, 2] with their labels; `equal`: one scale for both axes.
  show(codes, labels, equal = true) {
    const groups = COLOURS.map((_, k) => ({label: String(k), x: [], y: []}));
    labels.forEach((k, i) => {
      groups[k].x.push(codes[2 * i]);
      groups[k].y.push(codes[2 * i + 1]);
    });
    this.groups = groups;
    const figure = {groups, names: true, bare: true, equal, ready: chart => {
      this.chart = chart;
      this.lay();
    }};
    keepDrawn(this.surface, width => scatterChart(this.surface, figure, width,
      Math.round(Math.min(width * 0.92, innerHeight * 0.62))));
  }

  // The overlay lies over the plotting area.
  lay() {
    const box = this.chart.over, ratio = devicePixelRatio;
    const w = parseFloat(box.style.width), h = parseFloat(box.style.height);
    Object.assign(this.over.style, {left: box.style.left, top: box.style.top, width: w + "px", height: h + "px"});
    this.over.width = Math.round(w * ratio);
    this.over.height = Math.round(h * ratio);
    this.size = [w, h];
    this.surface.append(this.over);
    this.mark();
  }

  range(axis) {
    const scale = this.chart.scales[axis];
    return [scale.min, scale.max];
  }

  // ---- the pointer ----

  placeOf(event) {
    const box = this.over.getBoundingClientRect();
    const [x0, x1] = this.range("x"), [y0, y1] = this.range("y");
    const share = (v, from, length) => Math.min(1, Math.max(0, (v - from) / length));
    return [x0 + share(event.clientX, box.left, box.width) * (x1 - x0),
      y1 - share(event.clientY, box.top, box.height) * (y1 - y0)];
  }

  listen() {
    const surface = this.surface;
    surface.addEventListener("pointerdown", event => {
      if (!this.chart) return;
      surface.setPointerCapture(event.pointerId);
      if (this.drawing) this.path = [];
      this.move(this.placeOf(event));
    });
    surface.addEventListener("pointermove", event => {
      if (!this.chart) return;
      this.move(this.placeOf(event), this.drawing && event.buttons > 0);
    });
    surface.addEventListener("pointerup", () => {
      if (this.drawing && this.path.length > 1) this.drawn(this.path);
    });
    surface.addEventListener("keydown", event => this.key(event));
  }

  key(event) {
    if (!this.chart || event.ctrlKey || event.metaKey || event.altKey) return;
    const [x0, x1] = this.range("x"), [y0, y1] = this.range("y");
    const step = event.shiftKey ? 5 : 1, dx = step * (x1 - x0) / STEPS, dy = step * (y1 - y0) / STEPS;
    const [x, y] = this.at;
    const to = {ArrowLeft: [x - dx, y], ArrowRight: [x + dx, y], ArrowUp: [x, y + dy], ArrowDown: [x, y - dy],
      Home: [(x0 + x1) / 2, (y0 + y1) / 2]}[event.key];
    if (to) {
      const inside = (v, a, b) => Math.min(b, Math.max(a, v));
      this.move([inside(to[0], x0, x1), inside(to[1], y0, y1)], this.drawing);
    } else if (event.key === "Enter" && this.drawing && this.path.length > 1) {
      this.drawn(this.path);
    } else {
      return;
    }
    event.preventDefault();
  }

  move(to, traced = false) {
    this.at = to;
    if (traced) this.path.push(to);
    this.mark();
    this.moved(to[0], to[1], performance.now());
  }

  // ---- what lies over the dots ----

  spot([x, y]) {
    const [x0, x1] = this.range("x"), [y0, y1] = this.range("y");
    return [(x - x0) / (x1 - x0) * this.over.width, (y1 - y) / (y1 - y0) * this.over.height];
  }

  mark() {
    if (!this.chart) return;
    const c = this.over.getContext("2d"), ratio = devicePixelRatio, ink = cssColour("ink"), card = cssColour("card");
    c.clearRect(0, 0, this.over.width, this.over.height);
    const stroke = (width, colour) => {
      c.lineWidth = width * ratio;
      c.strokeStyle = colour;
      c.stroke();
    };
    if (this.path.length > 1) {
      c.beginPath();
      this.path.forEach((p, i) => (i ? c.lineTo : c.moveTo).apply(c, this.spot(p)));
      c.lineJoin = c.lineCap = "round";
      stroke(6, card);
      stroke(3, cssColour("accent"));
    }
    if (!this.at) return;
    if (this.spread) this.markSpread(c, stroke);
    const [x, y] = this.spot(this.at);
    c.beginPath();
    c.arc(x, y, 8 * ratio, 0, 2 * Math.PI);
    stroke(5, card);
    stroke(2.5, ink);
    c.beginPath();
    c.arc(x, y, 1.8 * ratio, 0, 2 * Math.PI);
    c.fillStyle = ink;
    c.fill();
  }

  // Two deviations around the place.
  markSpread(c, stroke) {
    const [x, y] = this.spot(this.at), [a, b] = this.spot([this.at[0] + 2 * this.spread[0], this.at[1] - 2 * this.spread[1]]);
    c.beginPath();
    c.ellipse(x, y, Math.max(1, a - x), Math.max(1, b - y), 0, 0, 2 * Math.PI);
    stroke(5, cssColour("card"));
    stroke(2.5, cssColour("accent"));
  }
}
