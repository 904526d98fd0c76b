// Pictures: values from -1 (black) to 1 (white), 32 by 32, drawn pixel by pixel.

const SIDE = 32, PIXELS = SIDE * SIDE;

function pixelsCanvas(label) {
  const canvas = el("canvas", {className: "pixels", width: SIDE, height: SIDE, role: "img"});
  if (label) canvas.setAttribute("aria-label", label);
  return canvas;
}

// Draws one picture of many. `low` and `high`: the values that are black and white. `covered`: a function of row and
// column that says which pixels were not measured.
function drawPixels(canvas, values, {index = 0, low = -1, high = 1, covered} = {}) {
  const image = new ImageData(SIDE, SIDE), scale = 255 / (high - low);
  for (let i = 0; i < PIXELS; i++) {
    const grey = (values[index * PIXELS + i] - low) * scale;
    const hidden = covered && covered(Math.floor(i / SIDE), i % SIDE);
    const hatch = (Math.floor(i / SIDE) + i) % 4 < 2 ? 96 : 72;
    image.data.set(hidden ? [hatch, hatch, hatch + 24, 255] : [grey, grey, grey, 255], 4 * i);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function clearPixels(canvas) { canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height); }

const COVERS = {
  none: undefined,
  top: row => row < SIDE / 2,
  bottom: row => row >= SIDE / 2,
  left: (row, column) => column < SIDE / 2,
  right: (row, column) => column >= SIDE / 2,
};

// A picture with its caption, as a figure.
function shot(title, detail = "") {
  const canvas = pixelsCanvas(title), small = el("span", {}, detail);
  const figure = el("figure", {}, canvas, el("figcaption", {}, title, small));
  return {figure, canvas, say: text => { small.textContent = text; }};
}
