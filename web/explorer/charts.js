// Charts by uPlot (uplot/), and figures of latent.plot from the tables that lua/latent/explorer/figures.lua makes of
// them.

const dash = [6, 4];

function axisOf(label, extra = {}) {
  return {label: label || undefined, labelSize: label ? 20 : 0, labelGap: 2, stroke: cssColour("soft"), size: 28, gap: 3,
    font: "12px system-ui, sans-serif", labelFont: "13px system-ui, sans-serif",
    grid: {stroke: cssColour("grid"), width: 1}, ticks: {stroke: cssColour("line"), width: 1, size: 4}, ...extra};
}

// The legend names the series; values stand at the axes.
const legendOf = (series, colours) => ({show: series.some(s => s.label), live: false,
  markers: {width: 1, stroke: () => cssColour("line"), fill: (u, i) => colours[i - 1]}});

// Charts are drawn anew where the width or the colours change.
const drawnCharts = new Map();

function keepDrawn(place, make) {
  const old = drawnCharts.get(place);
  if (old) {
    old.watch.disconnect();
    if (old.chart) old.chart.destroy();
  }
  const entry = {
    width: 0,
    redraw() {
      const width = Math.floor(place.clientWidth);
      if (!width) return;
      entry.width = width;
      if (entry.chart) entry.chart.destroy();
      entry.chart = make(width);
    },
  };
  entry.watch = new ResizeObserver(() => {
    if (Math.floor(place.clientWidth) !== entry.width) entry.redraw();
  });
  drawnCharts.set(place, entry);
  entry.redraw();
  entry.watch.observe(place);
  return entry;
}

addEventListener("colours", () => {
  for (const [place, entry] of drawnCharts) {
    if (place.isConnected) entry.redraw();
    else drawnCharts.delete(place);
  }
});

// ---- what the kinds of figures are to uPlot ----

const colourOf = (colour, i) => typeof colour === "string" ? colour : COLOURS[((colour ?? i + 1) - 1) % COLOURS.length];

// Series over their own x as columns over one: the union, ascending.
function joined(series) {
  const at = new Map();
  for (const s of series) for (const x of s.x) if (x !== null) at.set(x, 0);
  const xs = [...at.keys()].sort((a, b) => a - b);
  xs.forEach((x, i) => at.set(x, i));
  return [xs, ...series.map(s => {
    const column = new Array(xs.length).fill(undefined);
    s.x.forEach((x, i) => { if (x !== null) column[at.get(x)] = s.y[i]; });
    return column;
  })];
}

function scalesOf(f) {
  const log = f.log || "";
  return {
    x: {time: false, distr: log.includes("x") ? 3 : 1, ...(f.xrange && {range: f.xrange})},
    y: {distr: log.includes("y") ? 3 : 1, ...(f.yrange && {range: f.yrange})},
  };
}

function lineChart(place, f, width, height) {
  const series = f.series.map((s, i) => ({
    label: s.label || "y", stroke: colourOf(s.color, i), width: s.line === false ? 0 : s.width || 2,
    dash: s.dashed ? dash : undefined, spanGaps: false,
    points: {show: s.line === false || !!(s.markers ?? f.markers), size: 6, fill: colourOf(s.color, i)},
  }));
  const bands = [], data = joined(f.series);
  f.series.forEach((s, i) => {
    if (!s.low) return;
    const [, low, high] = joined([{x: s.x, y: s.low}, {x: s.x, y: s.high}]);
    const colour = colourOf(s.color, i);
    for (const edge of [high, low]) {
      series.push({stroke: colour, width: s.band ? 0 : 1, dash: [2, 3], points: {show: false}, label: ""});
      data.push(joined([...f.series, {x: s.x, y: edge}]).at(-1));
    }
    bands.push({series: [series.length - 1, series.length], fill: colour + "33"});
  });
  return new uPlot({width, height, title: f.title, scales: scalesOf(f), bands, series: [{label: f.xlabel || "x"}, ...series],
    axes: [axisOf(f.xlabel), axisOf(f.ylabel, {size: 46})],
    legend: legendOf(f.series, f.series.map((s, i) => colourOf(s.color, i)))}, data, place);
}

// Bars side by side: each series has its share of a group's width.
function barChart(place, f, width, height) {
  const n = f.series.length, groups = f.series[0].y.length;
  const xs = Array.from({length: groups}, (_, i) => i);
  const series = f.series.map((s, i) => ({label: s.label || "value", fill: colourOf(s.color, i), width: 0,
    points: {show: false},
    paths: (u, at, i0, i1) => uPlot.paths.bars({size: [0.8 / n, 100], align: 0,
      disp: {x0: {unit: 1, values: v => v.data[0].map(x => x - 0.4 + i * 0.8 / n)},
        size: {unit: 1, values: v => v.data[0].map(() => 0.8 / n * (f.touching ? 1 : 0.94))}}})(u, at, i0, i1)}));
  const low = Math.min(0, ...f.series.flatMap(s => s.y)), high = Math.max(0, ...f.series.flatMap(s => s.y));
  const every = Math.max(1, Math.ceil(groups * (Math.max(...f.names.map(t => t.length)) + 2) * 7 / (width - 80)));
  return new uPlot({width, height, title: f.title, series: [{label: f.xlabel || "x", value: (u, v) => f.names[v] ?? "–"}, ...series],
    scales: {x: {time: false, range: [-0.6, groups - 0.4]}, y: {range: f.yrange || [low, (high || 1) * 1.06]}},
    axes: [axisOf(f.xlabel, {splits: () => xs.filter(x => x % every === 0), values: (u, v) => v.map(x => f.names[x]),
      grid: {show: false}}), axisOf(f.ylabel, {size: 46})],
    legend: legendOf(f.series, f.series.map((s, i) => colourOf(s.color, i)))}, [xs, ...f.series.map(s => s.y)], place);
}

// The ranges that give both axes one unit.
function equalRanges(x, y, width, height) {
  const unit = Math.max((x[1] - x[0]) / width, (y[1] - y[0]) / height);
  const grow = ([a, b], length) => [(a + b - unit * length) / 2, (a + b + unit * length) / 2];
  return [grow(x, width), grow(y, height)];
}

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) if (Number.isFinite(v)) { low = Math.min(low, v); high = Math.max(high, v); }
  if (low > high) return [-1, 1];
  const margin = 0.04 * (high - low) || 0.5;
  return [low - margin, high + margin];
}

const median = list => [...list].sort((a, b) => a - b)[(list.length - 1) >> 1];

// The names of the classes at their medians, so that colour is not all that tells them.
function nameClasses(u, groups) {
  const c = u.ctx, ratio = devicePixelRatio;
  c.save();
  c.font = `bold ${14 * ratio}px system-ui, sans-serif`;
  c.textAlign = "center";
  c.textBaseline = "middle";
  for (const g of groups) {
    if (g.x.length < 2) continue;
    const x = u.valToPos(median(g.x), "x", true), y = u.valToPos(median(g.y), "y", true);
    c.lineWidth = 5 * ratio;
    c.strokeStyle = cssColour("card");
    c.strokeText(g.label, x, y);
    c.fillStyle = cssColour("ink");
    c.fillText(g.label, x, y);
  }
  c.restore();
}

// Points of the plane, one colour a class: columns over all points' x, each with the points of its class.
function scatterChart(place, f, width, height) {
  const points = f.groups.flatMap((g, k) => g.x.map((x, i) => ({x, y: g.y[i], k}))).sort((a, b) => a.x - b.x);
  const data = [points.map(p => p.x), ...f.groups.map((g, k) => points.map(p => p.k === k ? p.y : undefined))];
  let x = f.xrange || extent(points.map(p => p.x)), y = f.yrange || extent(points.map(p => p.y));
  const inner = [width - (f.bare ? 40 : 70), height - (f.bare ? 30 : 60)];
  if (f.equal !== false) [x, y] = equalRanges(x, y, ...inner);
  const size = f.size || (points.length > 1500 ? 4 : points.length > 150 ? 5.5 : 8);
  const series = f.groups.map((g, i) => ({label: g.label ?? "", width: 0, stroke: colourOf(g.color, i), paths: () => null,
    points: {show: true, size, width: 0.8, stroke: cssColour("halo"), fill: colourOf(g.color, i)}}));
  return new uPlot({width, height, title: f.title, series: [{label: f.xlabel || "x"}, ...series],
    scales: {x: {time: false, range: x}, y: {range: y}}, legend: f.bare ? {show: false} : legendOf(f.groups, f.groups.map((g, i) => colourOf(g.color, i))),
    cursor: f.bare ? {show: false} : {}, padding: f.bare ? [6, 6, 0, 0] : undefined,
    axes: [axisOf(f.xlabel), axisOf(f.ylabel, {size: f.bare ? 34 : 46})],
    hooks: {draw: f.names ? [u => nameClasses(u, f.groups)] : [], ready: f.ready ? [f.ready] : []}}, data, place);
}

// Cells as colours, under axes by uPlot.
function heatChart(place, f, width, height) {
  const [low, high] = f.zrange, c = document.createElement("canvas");
  c.width = f.columns;
  c.height = f.rows;
  const image = new ImageData(f.columns, f.rows);
  f.values.forEach((v, i) => {
    const t = v === null ? NaN : Math.min(1, Math.max(0, (v - low) / (high - low || 1)));
    const rgb = Number.isNaN(t) ? [200, 60, 60] : [[68, 1, 84], [49, 104, 142], [53, 183, 121], [253, 231, 37]];
    const at = Math.min(2, Math.floor(t * 3)), part = t * 3 - at;
    const mix = Number.isNaN(t) ? rgb : rgb[at].map((a, k) => a + (rgb[at + 1][k] - a) * part);
    image.data.set([...mix, 255], 4 * i);
  });
  c.getContext("2d").putImageData(image, 0, 0);
  const [x0, x1] = f.x, [y0, y1] = f.y, named = (names, from) => names && {
    splits: () => names.map((_, i) => from + i), values: () => names};
  return new uPlot({width, height, title: f.title, legend: {show: false}, cursor: {show: false},
    series: [{}, {paths: () => null, points: {show: false}}],
    scales: {x: {time: false, range: [x0, x1]}, y: {range: [y0, y1]}},
    axes: [axisOf(f.xlabel, named(f.xnames, Math.min(x0, x1) + 0.5) || {}),
      axisOf(f.ylabel, {size: 46, ...named(f.ynames && [...f.ynames].reverse(), y0 + 0.5)})],
    hooks: {drawClear: [u => {
      const box = u.bbox;
      u.ctx.imageSmoothingEnabled = false;
      u.ctx.drawImage(c, box.left, box.top, box.width, box.height);
    }]}}, [[x0, x1], [y0, y1]], place);
}

const CHARTS = {lines: lineChart, bars: barChart, scatter: scatterChart, heatmap: heatChart};

// Images row by row, enlarged; each has its own canvas, so that a phone can show few beside each other.
function imageTiles(place, f) {
  const [low, high] = f.range;
  for (const row of f.rows) {
    if (row.label) place.append(el("div", {}, row.label));
    const tiles = el("div", {className: "tiles"});
    tiles.style.gridTemplateColumns = `repeat(${f.columns}, minmax(0, ${Math.min(320, Math.max(40, 640 / f.columns))}px))`;
    for (let k = 0; k < row.count; k++) {
      const canvas = el("canvas", {className: "pixels", width: f.width, height: f.height, role: "img", "aria-label": row.label || "image"});
      const image = new ImageData(f.width, f.height), n = f.width * f.height;
      for (let i = 0; i < n; i++) {
        const at = (k * n + i) * f.channels, grey = c => (row.values[at + c] - low) * 255 / (high - low);
        const colour = f.channels === 3 ? [grey(0), grey(1), grey(2)] : [grey(0), grey(0), grey(0)];
        image.data.set([...(f.invert ? colour.map(v => 255 - v) : colour), 255], 4 * i);
      }
      canvas.getContext("2d").putImageData(image, 0, 0);
      tiles.append(canvas);
    }
    place.append(tiles);
  }
}

// A figure of latent.plot, drawn into an element.
function drawFigure(place, f) {
  if (f.kind === "panels") {
    if (f.title) place.append(el("div", {className: "caption"}, f.title));
    const grid = el("div", {className: "panels"});
    place.append(grid);
    for (const part of f.figures) {
      const cell = el("div");
      grid.append(cell);
      drawFigure(cell, part);
    }
  } else if (f.kind === "images") {
    if (f.title) place.append(el("div", {className: "caption"}, f.title));
    imageTiles(place, f);
  } else {
    const make = CHARTS[f.kind];
    keepDrawn(place, width => make(place, f, width, Math.round(Math.min(460, Math.max(240, width * (f.kind === "scatter"
      || f.kind === "heatmap" ? 0.85 : 0.6))))));
  }
}
