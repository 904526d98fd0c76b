--- Lines: several series over common axes; see latent.plot.series.
-- @module latent.plot.lines

local core = require "latent.core"
local axes = require "latent.plot.axes"
local chart = require "latent.plot.chart"
local kinds = require "latent.plot.kinds"
local options = require "latent.base.options"
local series_of = require "latent.plot.series"
local values = require "latent.plot.values"

local raise = core.raise

local M = {}

local read_options = kinds.declare("plot.lines", {
  {"log", options.one_of{"x", "y", "xy"}, nil, "the logarithmic axes"},
  {"markers", kinds.flag, nil, "for all series"},
}, true)

local function all_whole(list)
  for i = 1, #list do
    if list[i] ~= math.floor(list[i]) then
      return false
    end
  end
  return true
end

--- Lowest and highest x and y that can be drawn, over all series.
local function extents(fname, list, log)
  local lo, hi = {}, {}
  local function widen(axis, numbers)
    local a, b = values.extent(numbers, log[axis])
    lo[axis] = a and math.min(a, lo[axis] or a) or lo[axis]
    hi[axis] = b and math.max(b, hi[axis] or b) or hi[axis]
  end
  for _, axis in ipairs{"x", "y"} do
    for _, series in ipairs(list) do
      widen(axis, series[axis])
      if axis == "y" and series.low then
        widen("y", series.low)
        widen("y", series.high)
      end
    end
    if not lo[axis] then
      raise(("%s: %s: no %s value to draw"):format(
        fname, axis, log[axis] and "positive finite" or "finite"))
    end
  end
  return lo, hi
end

--- Raises where x can be drawn only where y cannot: a chart of nothing.
local function check_points(fname, list, log)
  for _, series in ipairs(list) do
    for i = 1, #series.x do
      local x, y = series.x[i], series.y[i]
      if values.is_finite(x) and values.is_finite(y) and not (log.x and x <= 0 or log.y and y <= 0) then return end
    end
  end
  raise(fname .. ": no point whose x and y can both be drawn")
end

local function log_axes(log)
  return {x = log == "x" or log == "xy", y = log == "y" or log == "xy"}
end

local function check_log_range(fname, name, range, log)
  if range and log and range[1] <= 0 then
    raise(("%s: %s: a logarithmic axis starts above 0"):format(fname, name))
  end
end

--- See latent.plot.lines.
function M.lines(arguments, fname)
  local o = read_options(arguments)
  local list = series_of.read(fname, arguments)
  if #list == 0 then
    raise(fname .. ": expected at least one series {x = ..., y = ..., label = ...}")
  end
  local log = log_axes(o.log)
  local lo, hi = extents(fname, list, log)
  check_points(fname, list, log)
  local xrange, yrange = o.xrange, o.yrange
  check_log_range(fname, "xrange", xrange, log.x)
  check_log_range(fname, "yrange", yrange, log.y)
  local x0, x1 = axes.widen(lo.x, hi.x, 0.015, log.x)
  local y0, y1 = axes.widen(lo.y, hi.y, 0.05, log.y)
  xrange, yrange = xrange or {x0, x1}, yrange or {y0, y1}
  local whole = true
  for _, series in ipairs(list) do
    whole = whole and all_whole(series.x)
  end
  local names = chart.labels_of(list)
  local legend = #names > 0 and chart.legend_of(o.legend, "auto") or nil

  local panel = chart.panel_of(o, chart.WIDTH, chart.HEIGHT)
  panel.limits = {x = xrange, y = yrange}
  function panel.draw(s, rect, limits)
    local x, y = chart.axes_of(s, rect, limits and limits.x or xrange, limits and limits.y or yrange,
      {log = log.x, whole = whole}, {log = log.y})
    local drawn = series_of.places(list, x, y)
    local where = legend
    if where == "auto" then
      where = chart.choose_corner(s, rect, drawn, names, x, y)
    end
    local area, texts = chart.layout(s, o, rect, x, y, where == "outside" and names)
    chart.frame(s, texts, rect, area, x, y)
    chart.key(s, where, area, names)
    local elements = {}
    series_of.add(elements, s, list, drawn, x, y, o.markers)
    s:plot(elements)
  end
  return panel
end

return M
