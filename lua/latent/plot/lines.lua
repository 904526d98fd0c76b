--- Lines: several series over common axes.
-- @module latent.plot.lines

local axes = require "latent.plot.axes"
local chart = require "latent.plot.chart"
local check = require("latent.options").check
local raise = require("latent.core").raise
local script_of = require "latent.plot.script"
local values = require "latent.plot.values"

local M = {}

local quote, number = script_of.quote, script_of.number
local SERIES = { "x", "y", "label", "color", "width", "dashed", "markers", "line", "texts" }

local function read_series(fname, i, series)
  local name = ("%s: series %d"):format(fname, i)
  if type(series) ~= "table" or values.is_tensor(series) then
    raise(name .. ": expected a table such as {y = values, label = \"name\"}")
  end
  check(name, series, SERIES)
  local y = values.list(name .. ": y", series.y)
  local x = series.x and values.list(name .. ": x", series.x) or chart.count_up(#y)
  if #x ~= #y then
    raise(("%s: x has %d values and y has %d"):format(name, #x, #y))
  end
  if series.texts ~= nil and (type(series.texts) ~= "table" or #series.texts ~= #y) then
    raise(("%s: texts: expected a list of %d, one a point"):format(name, #y))
  end
  chart.at_least(name .. ": width", series.width, 0)
  chart.check_colour(name, series.color)
  return { x = x, y = y, o = series, label = series.label and tostring(series.label) }
end

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
  for _, axis in ipairs{ "x", "y" } do
    for _, series in ipairs(list) do
      local a, b = values.extent(series[axis], log[axis])
      lo[axis] = a and math.min(a, lo[axis] or a) or lo[axis]
      hi[axis] = b and math.max(b, hi[axis] or b) or hi[axis]
    end
    if not lo[axis] then
      raise(("%s: %s: no %s value to draw"):format(
        fname, axis, log[axis] and "positive finite" or "finite"))
    end
  end
  return lo, hi
end

local function log_axes(fname, log)
  if log ~= nil and log ~= "x" and log ~= "y" and log ~= "xy" then
    raise(('%s: log: expected "x", "y" or "xy", got %s'):format(fname, tostring(log)))
  end
  return { x = log == "x" or log == "xy", y = log == "y" or log == "xy" }
end

local function check_log_range(fname, name, range, log)
  if range and log and range[1] <= 0 then
    raise(("%s: %s: a logarithmic axis starts above 0"):format(fname, name))
  end
end

local function line_element(s, series, index, markers)
  local o = series.o
  local show_markers = o.markers == nil and markers or o.markers
  local style = o.line == false and "points" or show_markers and "linespoints" or "lines"
  local source = s:doubles(values.pack(series.x, series.y), 2)
  local title = series.label and ("title %s noenhanced"):format(quote(series.label)) or "notitle"
  local words = { source, "using 1:2 with " .. style, chart.colour_of(o.color, index) }
  if style ~= "points" then
    words[#words + 1] = ("lw %s dt %d"):format(number(o.width or 2), o.dashed and 2 or 1)
  end
  if style ~= "lines" then
    words[#words + 1] = "pt 7 ps 0.8"
  end
  words[#words + 1] = title
  return table.concat(words, " ")
end

-- The corners beside a point where a text may stand, the best first; near an edge only those away from it.
local RIGHT_UP = { right = true, up = true, place = "left offset character 0.5,0.6" }
local RIGHT_DOWN = { right = true, up = false, place = "left offset character 0.5,-0.6" }
local LEFT_UP = { right = false, up = true, place = "right offset character -0.7,0.5" }
local LEFT_DOWN = { right = false, up = false, place = "right offset character -0.7,-0.6" }
local CORNERS = { RIGHT_UP, LEFT_DOWN, RIGHT_DOWN, LEFT_UP }
local AT_THE_LEFT, AT_THE_RIGHT = { RIGHT_UP, RIGHT_DOWN }, { LEFT_UP, LEFT_DOWN }

-- Whether the line leaves point i through a corner, on its way to one of its neighbours.
local function passes(series, i, corner)
  if series.o.line == false then return false end
  for j = i - 1, i + 1, 2 do
    local x, y = series.x[j], series.y[j]
    if x and (x > series.x[i]) == corner.right and (y > series.y[i]) == corner.up then return true end
  end
  return false
end

-- Texts beside the points of a series, where its own line does not pass: best to the upper right.
local function write_texts(s, series, xrange, log)
  for i, text in ipairs(series.o.texts or {}) do
    local x = series.x[i]
    local place = log and math.log(x / xrange[1]) / math.log(xrange[2] / xrange[1])
      or (x - xrange[1]) / (xrange[2] - xrange[1])
    local corners = place > 0.88 and AT_THE_RIGHT or place < 0.12 and AT_THE_LEFT or CORNERS
    local side = corners[1].place
    for k = #corners, 1, -1 do
      if not passes(series, i, corners[k]) then side = corners[k].place end
    end
    if values.is_finite(x) and values.is_finite(series.y[i]) then
      s:add("set label %s at first %s, first %s %s noenhanced front textcolor rgb '#222222'", quote(tostring(text)),
        number(x), number(series.y[i]), side)
    end
  end
end

--- See latent.plot.lines.
function M.lines(arguments, fname)
  local o = chart.options_of(fname, arguments, chart.with_common("log", "markers"))
  local list = {}
  for i, series in ipairs(arguments) do
    list[i] = read_series(fname, i, series)
  end
  if #list == 0 then
    raise(fname .. ": expected at least one series {x = ..., y = ..., label = ...}")
  end
  local log = log_axes(fname, o.log)
  local lo, hi = extents(fname, list, log)
  local xrange = chart.range(fname .. ": xrange", o.xrange)
  local yrange = chart.range(fname .. ": yrange", o.yrange)
  check_log_range(fname, "xrange", xrange, log.x)
  check_log_range(fname, "yrange", yrange, log.y)
  local x0, x1 = axes.widen(lo.x, hi.x, 0.015, log.x)
  local y0, y1 = axes.widen(lo.y, hi.y, 0.05, log.y)
  xrange, yrange = xrange or { x0, x1 }, yrange or { y0, y1 }
  local whole = true
  for _, series in ipairs(list) do
    whole = whole and all_whole(series.x)
  end
  local names = chart.labels_of(list)
  local legend = #names > 0 and chart.legend_of(fname, o.legend, "auto") or nil

  local panel = chart.panel_of(fname, o, chart.WIDTH, chart.HEIGHT)
  function panel.draw(s, rect)
    local x = axes.new(xrange[1], xrange[2], { log = log.x, whole = whole, count = rect.w / 85 })
    local y = axes.new(yrange[1], yrange[2], { log = log.y, count = rect.h / 65 })
    local where = legend
    if where == "auto" then
      where = chart.choose_corner(s, rect, list, names, x, y)
    end
    local area, title = chart.layout(s, o, rect, x, y, where == "outside" and names)
    chart.frame(s, o, rect, area, title, x, y)
    chart.key(s, where, area, names)
    local elements = {}
    for i, series in ipairs(list) do
      elements[i] = line_element(s, series, i, o.markers)
      write_texts(s, series, xrange, log.x)
    end
    s:plot(elements)
  end
  return panel
end

return M
