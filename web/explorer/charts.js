// Charts by uPlot (uplot/), and figures of latent.plot from the tables that lua/latent/explorer/figures.lua makes of
// them.

const dash = [6, 4];

function axisOf(label, extra = {}) {
  return {label: label || undefined, labelSize: label ? 20 : 0, labelGap: 2, stroke: cssColour("soft"), size: 28, gap: 3,
    font: "12px system-ui, sans-serif", labelFont: "13px system-ui, sans-serif",
    grid: {stroke: cssColour("grid"), width: 1}, ticks: {stroke: cssColour("line"), width: 1, size: 4}, ...extra};
}

// The legend names the series; values stand at the axes.
const legendOf = (series, colours, f = {}) => ({show: f.legend !== false && series.some(s => s.label), live: false,
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

// Series in the order of their points, which may go back and forth; what is null is a gap.
function drawSeries(u, f) {
  const c = u.ctx, r = devicePixelRatio, box = u.bbox, m = 4 * r, ends = [box.top + box.height, box.top];
  const X = v => u.valToPos(v, "x", true), Y = v => u.valToPos(v, "y", true);
  c.save();
  c.beginPath();
  c.rect(box.left - m, box.top - m, box.width + 2 * m, box.height + 2 * m);
  c.clip();
  c.lineCap = c.lineJoin = "round";
  c.font = `${12 * r}px system-ui, sans-serif`;
  f.series.forEach((s, i) => {
    const at = s.x.map((x, k) => x === null || s.y[k] === null ? null : [X(x), Y(s.y[k])]);
    const line = (points, width, dashes = []) => {
      let last = null;
      c.lineWidth = width * r;
      c.setLineDash(dashes.map(v => v * r));
      c.beginPath();
      for (const p of points) {
        if (p && !last) c.moveTo(...p);
        if (p) c.lineTo(...p);
        last = p;
      }
      c.stroke();
    };
    c.strokeStyle = c.fillStyle = colourOf(s.color, i + (f.taken || 0));
    const edges = s.low && at.map((p, k) => p && s.low[k] !== null && s.high[k] !== null
      ? [s.low, s.high].map((list, j) => [p[0], Number.isFinite(Y(list[k])) ? Y(list[k]) : ends[j]]) : null);
    if (edges && s.band) {
      const runs = [[]];
      for (const e of edges) e ? runs.at(-1).push(e) : runs.push([]);
      c.globalAlpha = 0.2;
      c.beginPath();
      for (const run of runs) [...run.map(e => e[0]), ...run.map(e => e[1]).reverse()].forEach((p, k) => k ? c.lineTo(...p) : c.moveTo(...p));
      c.fill();
      c.globalAlpha = 1;
    } else if (edges) {
      for (const e of edges.filter(Boolean)) {
        line(e, 1.5);
        for (const [x, y] of e) line([[x - m, y], [x + m, y]], 1.5);
      }
    }
    if (s.line !== false) line(at, s.width || 2, s.dashed ? dash : []);
    at.forEach((p, k) => {
      if (!p) return;
      if (s.line === false || (s.markers ?? f.markers)) {
        c.beginPath();
        c.arc(...p, 3.5 * r, 0, 7);
        c.fill();
      }
      if (s.texts) {
        const left = p[0] > box.left + 0.88 * box.width;
        c.textAlign = left ? "right" : "left";
        c.fillStyle = cssColour("ink");
        c.fillText(s.texts[k], p[0] + (left ? -6 : 6) * r, p[1] - 6 * r);
        c.fillStyle = c.strokeStyle;
      }
    });
  });
  c.restore();
}

// What uPlot is told of series that drawSeries draws: their names, and columns from which it finds the ranges.
function seriesOf(f) {
  const columns = f.series.flatMap(s => [s, ...(s.low ? [{x: s.x, y: s.low}, {x: s.x, y: s.high}] : [])]);
  return [columns.map(s => ({label: s.label || "", class: s.label ? undefined : "unnamed", paths: () => null, points: {show: false}})),
    joined(columns), columns.map(s => colourOf(s.color, f.series.indexOf(s) + (f.taken || 0)))];
}

// Those without a name are none of the legend's.
const hideUnnamed = u => u.root.querySelectorAll(".unnamed").forEach(row => { row.style.display = "none"; });

function lineChart(place, f, width, height) {
  const [series, data, colours] = seriesOf(f);
  return new uPlot({width, height, title: f.title, scales: scalesOf(f), series: [{label: f.xlabel || "x"}, ...series],
    axes: [axisOf(f.xlabel), axisOf(f.ylabel, {size: 46})], cursor: {points: {show: false}},
    hooks: {ready: [hideUnnamed], draw: [u => drawSeries(u, f)]}, legend: legendOf(f.series, colours, f)}, data, place);
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
    legend: legendOf(f.series, f.series.map((s, i) => colourOf(s.color, i)), f)}, [xs, ...f.series.map(s => s.y)], place);
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
    scales: {x: {time: false, range: x}, y: {range: y}}, legend: f.bare ? {show: false} : legendOf(f.groups, f.groups.map((g, i) => colourOf(g.color, i)), f),
    cursor: f.bare ? {show: false} : {}, padding: f.bare ? [6, 6, 0, 0] : undefined,
    axes: [axisOf(f.xlabel), axisOf(f.ylabel, {size: f.bare ? 34 : 46})],
    hooks: {draw: f.names ? [u => nameClasses(u, f.groups)] : [], ready: f.ready ? [f.ready] : []}}, data, place);
}

// What gives the colour of a field's value, [red, green, blue]: null of none.
function shadeOf(f) {
  const [low, high] = f.zrange, stops = f.palette.map(text => [1, 3, 5].map(i => parseInt(text.slice(i, i + 2), 16)));
  return v => {
    if (v === null) return null;
    const t = Math.min(1, Math.max(0, (v - low) / (high - low || 1))) * (stops.length - 1), at = Math.min(stops.length - 2, Math.floor(t));
    return stops[at].map((a, k) => a + (stops[at + 1][k] - a) * (t - at));
  };
}
const onShade = rgb => rgb && rgb[0] * 0.3 + rgb[1] * 0.59 + rgb[2] * 0.11 < 130 ? "#fff" : "#222";

// Lines of equal value: in each square of four neighbours, from where one side meets the level to where the next does.
function drawLevels(u, f, X, Y, shade) {
  const c = u.ctx, v = f.values, n = f.columns;
  for (const level of f.levels) {
    const rgb = shade(level);
    c.strokeStyle = f.kind === "contour" ? `rgb(${rgb})` : onShade(rgb);
    c.lineWidth = (f.kind === "contour" ? 2 : 1.2) * devicePixelRatio;
    c.beginPath();
    for (let r = 0; r + 1 < f.rows; r++) {
      for (let k = 0; k + 1 < n; k++) {
        const corners = [[k, r], [k + 1, r], [k + 1, r + 1], [k, r + 1]], found = [];
        if (corners.some(([a, b]) => v[b * n + a] === null)) continue;
        corners.forEach(([a, b], i) => {
          const [d, e] = corners[(i + 1) % 4], from = v[b * n + a], to = v[e * n + d], t = (level - from) / (to - from);
          if (from > level !== to > level) found.push([X(a + (d - a) * t), Y(b + (e - b) * t)]);
        });
        for (let i = 0; i + 1 < found.length; i += 2) {
          c.moveTo(...found[i]);
          c.lineTo(...found[i + 1]);
        }
      }
    }
    c.stroke();
  }
}

// The bar right of the axes that says which colour is which value.
function drawBar(u, f, shade) {
  const c = u.ctx, r = devicePixelRatio, {left, top, width, height} = u.bbox, x = left + width + 12 * r, [low, high] = f.zrange;
  for (let i = 0; i < 100; i++) {
    c.fillStyle = `rgb(${shade(high + (low - high) * i / 99)})`;
    c.fillRect(x, top + height * i / 100, 12 * r, height / 100 + 1);
  }
  c.font = `${12 * r}px system-ui, sans-serif`;
  c.textBaseline = "middle";
  c.textAlign = "left";
  c.fillStyle = cssColour("soft");
  for (const t of [0, 0.25, 0.5, 0.75, 1]) {
    const v = low * (1 - t) + high * t;
    c.fillText(Math.abs(v) < 1e-9 * (high - low) ? 0 : +v.toPrecision(3), x + 17 * r, top + height * (1 - t));
  }
  if (f.scale) {
    c.translate(x + 66 * r, top + height / 2);
    c.rotate(-Math.PI / 2);
    c.textAlign = "center";
    c.fillText(f.scale, 0, 0);
  }
}

// Fields: cells as colours or lines of equal value, with series over them, under axes by uPlot.
function fieldChart(place, f, width, height) {
  const image = new ImageData(f.columns, f.rows), canvas = document.createElement("canvas"), shade = shadeOf(f);
  canvas.width = f.columns;
  canvas.height = f.rows;
  f.values.forEach((v, i) => { if (v !== null) image.data.set([...shade(v), 255], 4 * i); });
  canvas.getContext("2d").putImageData(image, 0, 0);
  const [x0, x1] = f.x, [y0, y1] = f.y, heat = f.kind === "heatmap";
  const steps = (names, counted) => ({...(heat && {grid: {show: false}}),
    ...(names ? {splits: () => names.map((_, i) => i + 1), values: () => names}
      : counted && heat && {incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]})});
  const under = u => {
    const c = u.ctx, box = u.bbox;
    c.imageSmoothingEnabled = false;
    if (heat) c.drawImage(canvas, box.left, box.top, box.width, box.height);
  };
  const over = u => {
    const c = u.ctx, r = devicePixelRatio, box = u.bbox;
    const X = k => u.valToPos(x0 + (k + 0.5) * (x1 - x0) / f.columns, "x", true);
    const Y = k => u.valToPos(f.down ? y0 + (k + 0.5) * (y1 - y0) / f.rows : y1 - (k + 0.5) * (y1 - y0) / f.rows, "y", true);
    c.save();
    c.beginPath();
    c.rect(box.left, box.top, box.width, box.height);
    c.clip();
    const longest = Math.max(...(f.texts || []).map(t => t.length)) + 1;
    const size = Math.min(13 * r, box.width / f.columns / longest / 0.6, box.height / f.rows / 1.4);
    c.font = `${size}px system-ui, sans-serif`;
    c.textAlign = "center";
    c.textBaseline = "middle";
    if (size >= 6 * r) (f.texts || []).forEach((text, i) => {
      c.fillStyle = onShade(shade(f.values[i]));
      c.fillText(text, X(i % f.columns), Y(Math.floor(i / f.columns)));
    });
    if (f.levels) drawLevels(u, f, X, Y, shade);
    c.restore();
    drawSeries(u, f);
    c.save();
    drawBar(u, f, shade);
    c.restore();
  };
  const [series, data, colours] = seriesOf(f);
  if (!data[0].length) data[0] = [x0, x1];
  return new uPlot({width, height, title: f.title, cursor: {show: false}, legend: legendOf(f.series, colours, f),
    padding: [8, f.scale ? 86 : 66, 0, 0], series: [{label: f.xlabel || "x"}, ...series],
    scales: {x: {time: false, range: f.xrange}, y: {range: f.yrange, dir: f.down ? -1 : 1}},
    axes: [axisOf(f.xlabel, steps(f.xnames, f.counted.x)), axisOf(f.ylabel,
      {size: Math.max(46, ...(f.ynames || []).map(t => 12 + 7 * t.length)), ...steps(f.ynames, f.counted.y)})],
    hooks: {ready: [hideUnnamed], drawClear: [under], draw: [over]}}, data, place);
}

const CHARTS = {lines: lineChart, bars: barChart, scatter: scatterChart, heatmap: fieldChart, contour: fieldChart};

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
    const make = CHARTS[f.kind], inner = el("div"); // as wide as there is room within the figure's padding
    place.append(inner);
    keepDrawn(inner, width => make(inner, f, width, Math.round(Math.min(460, Math.max(240, width * (f.kind === "scatter"
      || f.x ? 0.85 : 0.6))))));
  }
  if (f.missing) place.append(el("div", {className: "from"}, `Not drawn in this page: ${f.missing.join(", ")}.`));
}
