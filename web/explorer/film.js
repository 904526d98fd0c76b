// A path through the plane as a film: equally long steps, each decoded, shown one after the other.

const FRAMES = 120, SHOWN = 12, FRAME_MS = 50;

// Points in equal distances along a path, whose ends stay.
function evenly(path, n) {
  const far = [0];
  for (let i = 1; i < path.length; i++) {
    far.push(far[i - 1] + Math.hypot(path[i][0] - path[i - 1][0], path[i][1] - path[i - 1][1]));
  }
  const whole = far.at(-1), out = [];
  for (let k = 0, i = 0; k < n; k++) {
    const d = whole * k / (n - 1);
    while (i < path.length - 2 && far[i + 1] < d) i++;
    const t = Math.min(1, (d - far[i]) / (far[i + 1] - far[i] || 1));
    out.push([0, 1].map(c => path[i][c] + t * (path[i + 1][c] - path[i][c])));
  }
  return out;
}

class Film {
  // `show(point, pictures, index, read)` draws a frame; `ended()` is called once, however the film ends.
  constructor(points, pictures, read, show, ended) {
    Object.assign(this, {points, pictures, read, show, ended, playing: true});
    this.run();
  }

  async run() {
    const begin = performance.now(), n = this.points.length;
    let last = -1;
    while (this.playing && last < n - 1) {
      const now = await nextFrame();
      const k = reducedMotion() ? n - 1 : Math.max(0, Math.min(n - 1, Math.floor((now - begin) / FRAME_MS)));
      if (k !== last && this.playing) this.show(this.points[k], this.pictures, k, this.read);
      last = k;
    }
    this.stop();
  }

  stop() {
    this.playing = false;
    if (this.ended) this.ended();
    this.ended = null;
  }
}

// Some of the frames beside each other.
function showStrip(place, pictures, n) {
  place.hidden = false;
  const shown = place.clientWidth < 400 ? 8 : SHOWN;
  place.replaceChildren(...Array.from({length: shown}, (_, i) => {
    const canvas = pixelsCanvas();
    canvas.setAttribute("aria-hidden", "true");
    drawPixels(canvas, pictures, {index: Math.round(i * (n - 1) / (shown - 1))});
    return canvas;
  }));
}
