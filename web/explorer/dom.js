// Small tools of the page: elements, colours, requests of which the latest alone matters.

const byId = id => document.getElementById(id);

// An element with attributes, properties that are functions (onclick) or booleans, and children.
function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function" || typeof value === "boolean") e[name] = value;
    else if (value !== undefined) e.setAttribute(name === "className" ? "class" : name, value);
  }
  e.append(...children);
  return e;
}

// The ten classes' colours: those of plots/style.gp, as far apart as can be for everybody.
const COLOURS = ["#1d6ec4", "#c8470f", "#2db26e", "#884474", "#250071", "#d1d313", "#d57ea3", "#5b5b4b", "#9196ff",
  "#1ae1e6"];

// The colours of style.css, as they are now.
const known = new Map();
function cssColour(name) {
  if (!known.has(name)) known.set(name, getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim());
  return known.get(name);
}

function setColours(theme) {
  document.documentElement.dataset.theme = theme;
  known.clear();
  dispatchEvent(new Event("colours"));
}

// f, called with the latest arguments only: while a call is under way others wait, and of these all but the last are
// dropped. So a pointer never runs ahead of the answers.
function latest(f) {
  let running = false, next = null;
  return async function call(...args) {
    next = args;
    if (running) return;
    running = true;
    try {
      while (next) {
        const now = next;
        next = null;
        await f(...now);
      }
    } finally {
      running = false;
    }
  };
}

const nextFrame = () => new Promise(resolve => requestAnimationFrame(resolve));
const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// What tests and the curious look at: performance.getEntriesByName("move"), how long the page takes from hearing of a
// move to the drawn picture.
function measured(name, start) {
  if (performance.getEntriesByName(name).length > 500) performance.clearMeasures(name);
  performance.measure(name, {start, end: performance.now()});
}

// "1 of 3"-like numbers for people.
const short = x => (Math.abs(x) < 0.005 ? 0 : x).toFixed(2).replace("-", "−");
const percent = p => (p >= 0.9995 ? "100" : (100 * p).toFixed(p < 0.0995 ? 1 : 0)) + " %";
