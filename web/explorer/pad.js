// A pad to draw a digit on, with a pointer or with keys: strokes of a round pen, in units of 28 pixels a side.

const CELLS = 28, PEN = 2.2;

class Pad {
  // `changed(image)`: 28 by 28 values from 0 (paper) to 255 (ink), row by row, or null where it is empty.
  constructor(canvas, changed, said) {
    Object.assign(this, {canvas, changed, said, strokes: [], at: [14, 6], down: false, keys: false, version: 0});
    canvas.addEventListener("pointerdown", event => {
      canvas.setPointerCapture(event.pointerId);
      this.keys = this.down = false;
      this.drawing = true;
      this.strokes.push([this.placeOf(event)]);
      this.draw();
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { this.drawing = false; });
    canvas.addEventListener("pointermove", event => {
      if (!this.drawing) return;
      for (const e of event.getCoalescedEvents ? event.getCoalescedEvents() : [event]) {
        this.strokes.at(-1).push(this.placeOf(e));
      }
      this.draw();
    });
    canvas.addEventListener("keydown", event => this.key(event));
    canvas.addEventListener("blur", () => { this.keys = this.down = false; this.paint(); });
    this.draw();
  }

  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * CELLS, (event.clientY - box.top) / box.height * CELLS];
  }

  key(event) {
    const by = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (by) {
      this.at = this.at.map((v, i) => Math.min(CELLS - 1, Math.max(1, v + by[i])));
      if (this.down) this.strokes.at(-1).push([...this.at]);
    } else if (event.key === " ") {
      this.down = !this.down;
      if (this.down) this.strokes.push([[...this.at]]);
      this.said(this.down ? "The pen is down: arrows draw." : "The pen is up.");
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
    } else {
      return;
    }
    this.keys = true;
    event.preventDefault();
    this.draw();
  }

  undo() {
    this.strokes.pop();
    this.down = false;
    this.draw();
  }

  clear() {
    this.strokes = [];
    this.given = null;
    this.down = false;
    this.draw();
  }

  // Another image, [28, 28] from 0 to 255, in the place of strokes.
  put(image) {
    this.strokes = [];
    this.given = image;
    this.draw();
  }

  ink(c, size) {
    c.strokeStyle = c.fillStyle = "#fff";
    c.lineWidth = PEN * size / CELLS;
    c.lineCap = c.lineJoin = "round";
    for (const stroke of this.strokes) {
      c.beginPath();
      stroke.forEach(([x, y], i) => (i ? c.lineTo(x * size / CELLS, y * size / CELLS)
        : c.moveTo(x * size / CELLS, y * size / CELLS)));
      if (stroke.length === 1) c.lineTo(stroke[0][0] * size / CELLS + 0.1, stroke[0][1] * size / CELLS);
      c.stroke();
    }
  }

  paint() {
    const c = this.canvas.getContext("2d"), size = this.canvas.width;
    c.clearRect(0, 0, size, size);
    if (this.given) {
      const image = new ImageData(CELLS, CELLS), small = new OffscreenCanvas(CELLS, CELLS);
      this.given.forEach((v, i) => image.data.set([v, v, v, 255], 4 * i));
      small.getContext("2d").putImageData(image, 0, 0);
      c.imageSmoothingEnabled = true;
      c.drawImage(small, 0, 0, size, size);
    }
    this.ink(c, size);
    if (this.keys) {
      c.beginPath();
      c.arc(this.at[0] * size / CELLS, this.at[1] * size / CELLS, 9, 0, 2 * Math.PI);
      c.lineWidth = 3;
      c.strokeStyle = this.down ? "#ff8a4c" : "#7db4f0";
      c.stroke();
    }
  }

  draw() {
    this.version++;
    if (this.strokes.length) this.given = null;
    this.paint();
    this.changed(this.given || (this.strokes.length ? this.image() : null));
  }

  // The strokes as MNIST's makers did it: scaled so that the longer side is 20 pixels, the centre of mass in the middle
  // of 28 by 28.
  image() {
    const size = 280, large = new OffscreenCanvas(size, size), c = large.getContext("2d", {willReadFrequently: true});
    this.ink(c, size);
    const {data} = c.getImageData(0, 0, size, size);
    let left = size, right = -1, top = size, bottom = -1, mass = 0, mx = 0, my = 0;
    for (let i = 0; i < size * size; i++) {
      const v = data[4 * i + 3], x = i % size, y = (i - x) / size;
      if (!v) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
      mass += v;
      mx += v * x;
      my += v * y;
    }
    const scale = 20 / Math.max(right - left + 1, bottom - top + 1, 20);
    const small = new OffscreenCanvas(CELLS, CELLS), s = small.getContext("2d", {willReadFrequently: true});
    s.imageSmoothingQuality = "high";
    s.drawImage(large, 14 - (mx / mass + 0.5) * scale, 14 - (my / mass + 0.5) * scale, size * scale, size * scale);
    const out = s.getImageData(0, 0, CELLS, CELLS).data;
    return Float32Array.from({length: CELLS * CELLS}, (_, i) => out[4 * i + 3]);
  }
}
