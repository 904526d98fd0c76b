--- Bars: histograms, and values side by side.
-- @module latent.plot.bars

local core = require "latent.core"
local axes = require "latent.plot.axes"
local chart = require "latent.plot.chart"
local kinds = require "latent.plot.kinds"
local options = require "latent.base.options"
local script_of = require "latent.plot.script"
local values = require "latent.plot.values"

local raise = core.raise

local M = {}

local quote, number = script_of.quote, script_of.number

-- For the width of a chart of bars before it is drawn, in pixels: a character of a name, and what lies beside the axes.
local NAME_CHAR, BESIDE = 8.5, 180

local histogram_options = kinds.declare("plot.histogram", {
  {"bins", kinds.at_least(1, true), 30, "over xrange"}}, true)
local read_histogram = options.reader("plot.histogram: series", {{"values", "any"}, {"label", kinds.text}})

local function histogram_series(fname, i, series)
  local name = ("%s: series %d"):format(fname, i)
  local list
  if values.is_tensor(series) or type(series) == "table" and type(series[1]) == "number" then
    series = {values = series}
  elseif type(series) ~= "table" then
    raise(name .. ": expected a tensor or {values = ..., label = ...}")
  end
  series = read_histogram(series, name)
  list = values.read(name .. ": values", series.values)
  if #list == 0 then
    raise(name .. ": values: is empty")
  end
  return {list = list, label = series.label}
end

local function count_bins(list, lo, hi, bins)
  local counts, width = {}, (hi - lo) / bins
  for b = 1, bins do
    counts[b] = 0
  end
  for i = 1, #list do
    local v = list[i]
    if values.is_finite(v) and v >= lo and v <= hi then
      local b = math.min(bins, (v - lo) // width + 1)
      counts[math.tointeger(b)] = counts[math.tointeger(b)] + 1
    end
  end
  return counts
end

local function bin_range(fname, list, range)
  if range then
    return range[1], range[2]
  end
  local lo, hi
  for _, series in ipairs(list) do
    local a, b = values.extent(series.list)
    lo, hi = a and math.min(a, lo or a) or lo, b and math.max(b, hi or b) or hi
  end
  if not lo then
    raise(fname .. ": values: no finite value to draw")
  elseif lo == hi and math.abs(lo) < 1e9 then
    return lo - 0.5, hi + 0.5
  end
  return axes.widen(lo, hi, 0)
end

--- See latent.plot.histogram.
function M.histogram(arguments, fname)
  local o = histogram_options(arguments)
  local list = {}
  for i, series in ipairs(arguments) do
    list[i] = histogram_series(fname, i, series)
  end
  if #list == 0 then
    raise(fname .. ": expected at least one series of values")
  end
  local bins = o.bins
  local lo, hi = bin_range(fname, list, o.xrange)
  local xrange = {axes.widen(lo, hi, 0.015)}
  local frame = axes.new(xrange[1], xrange[2], {})
  local first, last = frame.map(lo), frame.map(hi) -- bins are cut where they are drawn
  local width, tallest, centres = (last - first) / bins, 1, {}
  for b = 1, bins do
    centres[b] = first + (b - 0.5) * width
  end
  for _, series in ipairs(list) do
    series.counts = count_bins(axes.map(frame, series.list), first, last, bins)
    for _, count in ipairs(series.counts) do
      tallest = math.max(tallest, count)
    end
  end
  local yrange = o.yrange or {0, tallest * 1.06}
  local names = chart.labels_of(list)
  local legend = #names > 0 and chart.legend_of(o.legend, "auto") or nil

  local panel = chart.panel_of(o, chart.WIDTH, chart.HEIGHT)
  panel.limits = {x = xrange, y = yrange}
  function panel.draw(s, rect, limits)
    local x, y = chart.axes_of(s, rect, limits and limits.x or xrange, limits and limits.y or yrange, nil,
      {whole = true})
    local points = {}
    for i, series in ipairs(list) do
      points[i] = {x = centres, y = axes.map(y, series.counts)}
    end
    local where = legend
    if where == "auto" then
      where = chart.choose_corner(s, rect, points, names, x, y)
    end
    local area, texts = chart.layout(s, o, rect, x, y, where == "outside" and names)
    chart.frame(s, texts, rect, area, x, y)
    chart.key(s, where, area, names)
    s:add("set boxwidth %s absolute", number(width * (#list == 1 and 0.94 or 1)))
    local elements = {}
    for i, series in ipairs(list) do
      elements[i] = ("%s using 1:2 with boxes fs transparent solid %s noborder lc %d %s"):format(
        s:doubles(values.pack(points[i].x, points[i].y), 2), #list == 1 and "0.9" or "0.5",
        (i - 1) % chart.COLOURS + 1,
        series.label and ("title %s noenhanced"):format(quote(series.label)) or "notitle")
    end
    s:plot(elements)
  end
  return panel
end

local bar_options = kinds.declare("plot.bars", {
  {"names", "any", nil, "one a group (default: 1..n)"},
  {"format", "any", nil, 'such as "%.1f": writes the values above the bars'}}, true,
  {xrange = true}) -- all groups are drawn
local read_bars = options.reader("plot.bars: series", {{"values", "any"}, {"label", kinds.text},
  {"color", kinds.colour}})

local function bar_series(fname, i, series)
  local name = ("%s: series %d"):format(fname, i)
  if type(series) ~= "table" or values.is_tensor(series) or type(series[1]) == "number" then
    series = {values = series}
  end
  series = read_bars(series, name)
  return {y = values.list(name .. ": values", series.values), color = series.color, label = series.label}
end

--- A width at which long names do not touch each other.
local function room_for(groups)
  local longest = 0
  for _, name in ipairs(groups) do
    longest = math.max(longest, script_of.longest_line(name))
  end
  return math.min(kinds.MOST_PIXELS, BESIDE + #groups * (longest + 2) * NAME_CHAR)
end

--- Of the numbers 1, 2, ... those that have room beside each other; the others are "".
local function fitting(numbers, characters)
  local every = math.max(1, axes.nice_step(#numbers * (#numbers[#numbers] + 1.5) / characters, 1))
  local out = {}
  for i, text in ipairs(numbers) do
    out[i] = i % every == 0 and text or ""
  end
  return out
end

local function bar_axes_range(fname, list, yrange)
  local lo, hi, any = 0, 0, false
  for _, series in ipairs(list) do
    local a, b = values.extent(series.y)
    lo, hi, any = math.min(lo, a or lo), math.max(hi, b or hi), any or a
  end
  if not any then
    raise(fname .. ": values: no finite value to draw")
  elseif lo == hi then
    hi = 1
  end
  local room = axes.part(lo, hi, 0.08) -- above the highest bar, for its number
  return yrange or {lo < 0 and math.max(-axes.LARGEST, lo - room) or 0, math.min(axes.LARGEST, hi + room)}
end

--- The values as text to write above the bars.
local function texts_of(fname, format, list)
  if format == nil then
    return nil
  end
  local texts = {}
  for i, v in ipairs(list) do
    texts[i] = values.number_text(fname, format, v)
  end
  return texts
end

--- Writes the values above bars, in a font in which they do not touch; `room` is a bar's width in pixels.
local function write_values(s, series, centres, heights, room, y)
  local longest = 1
  for _, text in ipairs(series.texts) do
    longest = math.max(longest, script_of.length(text))
  end
  local scale = math.max(0.6, math.min(1, room / (longest * s.char * 1.15)))
  for i, text in ipairs(series.texts) do
    if text ~= "" then
      -- above the axis, also for a bar that hangs from it or that is none
      local height = values.is_finite(series.y[i]) and math.max(0, heights[i]) or 0
      height = math.max(y.from, math.min(y.to, height))
      s:add("set label %s at first %s, first %s center offset 0,0.6 noenhanced front %s", quote(text),
        number(centres[i]), number(height), s.text_only and "" or s:font(scale))
    end
  end
end

--- See latent.plot.bars.
function M.bars(arguments, fname)
  local o = bar_options(arguments)
  local list = {}
  for i, series in ipairs(arguments) do
    list[i] = bar_series(fname, i, series)
    list[i].texts = texts_of(fname, o.format, list[i].y)
    if #list[i].y ~= #list[1].y then
      raise(("%s: series %d has %d values and series 1 has %d"):format(
        fname, i, #list[i].y, #list[1].y))
    end
  end
  if #list == 0 then
    raise(fname .. ": expected at least one series {values = ..., label = ...}")
  end
  local count = #list[1].y
  local groups = kinds.texts(fname .. ": names", o.names or chart.count_up(count), count, "one for each value")
  local yrange = bar_axes_range(fname, list, o.yrange)
  local names = chart.labels_of(list)
  local legend = #names > 0 and chart.legend_of(o.legend, "outside") or nil

  local panel = chart.panel_of(o, math.max(chart.WIDTH, room_for(groups)), chart.HEIGHT)
  panel.limits = {y = yrange}
  function panel.draw(s, rect, limits)
    local x = axes.named(o.names and groups or fitting(groups, rect.w / s.char))
    local _, y = chart.axes_of(s, rect, {x.from, x.to}, limits and limits.y or yrange)
    local area, texts = chart.layout(s, o, rect, x, y, legend and names)
    chart.frame(s, texts, rect, area, x, y)
    chart.key(s, legend and "outside", area, names)
    local width = 0.8 / #list
    s:add("set boxwidth %s absolute; set grid noxtics", number(width * 0.94))
    local elements = {}
    for i, series in ipairs(list) do
      local centres = {}
      for g = 1, count do
        centres[g] = g + (i - (#list + 1) / 2) * width
      end
      local heights = axes.map(y, series.y)
      local source = s:doubles(values.pack(centres, heights), 2)
      elements[i] = ("%s using 1:2 with boxes fs solid 0.9 noborder %s %s"):format(source,
        chart.colour_of(series.color, i),
        series.label and ("title %s noenhanced"):format(quote(series.label)) or "notitle")
      if o.format then
        write_values(s, series, centres, heights, area.w / count * width, y)
      end
    end
    s:plot(elements)
  end
  return panel
end

return M
