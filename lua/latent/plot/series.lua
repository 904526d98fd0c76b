--- Series: lines and points over common axes, of plot.lines and over the fields of plot.heatmap and plot.contour. What
-- cannot be drawn breaks a line; a point between two such gaps is drawn as a dot, for a line that leads nowhere would
-- not be seen.
-- @module latent.plot.series

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
local MARKER = "pt 7 ps 0.8"
local CAP = 0.3 -- half the width of an error bar's end, in units of the text size
local DOT = 0.002 -- of the axes: a run of points that spans less is a dot

local series_options = options.reader("plot: series", {{"x", "any"}, {"y", "any"}, {"label", kinds.text},
  {"color", kinds.colour}, {"width", kinds.at_least(0)}, {"dashed", kinds.flag}, {"markers", kinds.flag},
  {"line", kinds.flag}, {"texts", "any"}, {"error", "any"}, {"band", kinds.flag}})

-- How far the error goes down and up at each point: one list for both, or {down, up}.
local function read_error(name, series, count)
  if series.error == nil then return nil end
  local both = type(series.error) == "table" and not values.is_tensor(series.error) and #series.error == 2
    and type(series.error[1]) ~= "number"
  if both then core.check_list(series.error, name .. ": error") end
  local down = values.list(name .. ": error", both and series.error[1] or series.error)
  local up = both and values.list(name .. ": error", series.error[2]) or down
  if #down ~= count or #up ~= count then
    raise(("%s: error has %d values and y has %d"):format(name, #down, count))
  end
  for i = 1, count do
    if down[i] < 0 or up[i] < 0 then
      raise(("%s: error: expected numbers of at least 0, got %.6g"):format(name, math.min(down[i], up[i])))
    end
  end
  return {down = down, up = up}
end

local function read_one(fname, i, series)
  local name = ("%s: series %d"):format(fname, i)
  if type(series) ~= "table" or values.is_tensor(series) then
    raise(name .. ": expected a table such as {y = values, label = \"name\"}")
  end
  series = series_options(series, name)
  local y = values.list(name .. ": y", series.y, "gaps")
  local x = series.x and values.list(name .. ": x", series.x) or chart.count_up(#y)
  if #x ~= #y then
    raise(("%s: x has %d values and y has %d"):format(name, #x, #y))
  end
  local texts = series.texts == nil and {} or kinds.texts(name .. ": texts", series.texts, #y, "one a point")
  local spread, low, high = read_error(name, series, #y), nil, nil
  if spread then
    low, high = {}, {}
    for k = 1, #y do low[k], high[k] = y[k] - spread.down[k], y[k] + spread.up[k] end
  end
  return {x = x, y = y, low = low, high = high, o = series, texts = texts, label = series.label}
end

--- The first point of each run between gaps that a line would not show, and whether there are other runs.
local function dots_of(drawn, x, y)
  local dots, others = {x = {}, y = {}}, false
  local start, left, right, low, high
  for i = 1, #drawn.x + 1 do
    local u, v = axes.share(x, drawn.x[i] or 0 / 0), axes.share(y, drawn.y[i] or 0 / 0)
    if values.is_finite(u) and values.is_finite(v) then
      start, left, right = start or i, math.min(left or u, u), math.max(right or u, u)
      low, high = math.min(low or v, v), math.max(high or v, v)
    elseif start then
      if right - left < DOT and high - low < DOT then
        dots.x[#dots.x + 1], dots.y[#dots.y + 1] = drawn.x[start], drawn.y[start]
      else
        others = true
      end
      start, left, right, low, high = nil, nil, nil, nil, nil
    end
  end
  return dots, others
end

-- Bars of the error, or a band of it. A band lies below everything.
local function add_error(elements, s, series, index, drawn, y)
  if not series.low then return end
  local low, high = axes.map(y, series.low), axes.map(y, series.high)
  for i = 1, y.log and #low or 0 do
    if series.low[i] <= 0 then low[i] = y.from end -- below all that a logarithmic axis has
  end
  local colour = chart.colour_of(series.o.color, index)
  local source = s:doubles(values.pack(drawn.x, drawn.y, low, high), 4)
  if series.o.band and not s.text_only then
    table.insert(elements, 1, ("%s using 1:3:4 with filledcurves fs transparent solid 0.2 noborder %s notitle"):format(
      source, colour))
  elseif s.text_only then
    elements[#elements + 1] = ("%s using 1:2:3:4 with yerrorbars %s pt 0 notitle"):format(source, colour)
  else -- arrows with flat heads: gnuplot's error bars leave a hole in what lies under their points
    local bar = "%s using 1:3:(0):($4 - $3) with vectors heads size screen %.8f,90 %s lw 1.5 notitle"
    elements[#elements + 1] = bar:format(source, CAP * s.em / s.width, colour)
  end
end

--- Adds what draws a series: its line or its points, and where it is a line, dots for single points.
local function add_series(elements, s, series, index, markers, drawn, x, y)
  local o = series.o
  local show_markers = o.markers == nil and markers or o.markers
  local style = o.line == false and "points" or show_markers and "linespoints" or "lines"
  local dots, others
  if style == "lines" then
    dots, others = dots_of(drawn, x, y)
    style = (others or #dots.x == 0) and "lines" or "points"
  end
  local colour = chart.colour_of(o.color, index)
  local words = {s:doubles(values.pack(drawn.x, drawn.y), 2), "using 1:2 with " .. style, colour}
  if style ~= "points" then
    words[#words + 1] = ("lw %s dt %d"):format(number(o.width or 2), o.dashed and 2 or 1)
  end
  if style ~= "lines" then
    words[#words + 1] = MARKER
  end
  words[#words + 1] = series.label and ("title %s noenhanced"):format(quote(series.label)) or "notitle"
  elements[#elements + 1] = table.concat(words, " ")
  if style == "lines" and #dots.x > 0 then
    elements[#elements + 1] = ("%s using 1:2 with points %s %s notitle"):format(
      s:doubles(values.pack(dots.x, dots.y), 2), colour, MARKER)
  end
end

-- The corners beside a point where a text may stand, the best first; near an edge only those away from it.
local RIGHT_UP = {right = true, up = true, place = "left offset character 0.5,0.6"}
local RIGHT_DOWN = {right = true, up = false, place = "left offset character 0.5,-0.6"}
local LEFT_UP = {right = false, up = true, place = "right offset character -0.7,0.5"}
local LEFT_DOWN = {right = false, up = false, place = "right offset character -0.7,-0.6"}
local CORNERS = {RIGHT_UP, LEFT_DOWN, RIGHT_DOWN, LEFT_UP}
local AT_THE_LEFT, AT_THE_RIGHT = {RIGHT_UP, RIGHT_DOWN}, {LEFT_UP, LEFT_DOWN}

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
local function write_texts(s, series, drawn, x, y)
  for i, text in ipairs(series.texts) do
    local place, height = axes.share(x, drawn.x[i]), axes.share(y, drawn.y[i])
    local corners = place > 0.88 and AT_THE_RIGHT or place < 0.12 and AT_THE_LEFT or CORNERS
    local side = corners[1].place
    for k = #corners, 1, -1 do
      if not passes(series, i, corners[k]) then side = corners[k].place end
    end
    if place >= 0 and place <= 1 and height >= 0 and height <= 1 then -- false for NaN
      s:add("set label %s at first %s, first %s %s noenhanced front textcolor rgb '#222222'", quote(text),
        number(drawn.x[i]), number(drawn.y[i]), side)
    end
  end
end

--- Reads series.
-- @tparam string fname of the function, for messages
-- @tparam {table,...} given each as plot.lines takes it
-- @treturn {table,...}
function M.read(fname, given)
  local list = {}
  for i, series in ipairs(given) do list[i] = read_one(fname, i, series) end
  return list
end

--- Where the points of series stand on two axes.
-- @treturn {table,...} {x, y} of each
function M.places(list, x, y)
  local drawn = {}
  for i, series in ipairs(list) do
    drawn[i] = {x = axes.map(x, series.x), y = axes.map(y, series.y)}
  end
  return drawn
end

--- Adds what draws series to the elements of a plot.
-- @tparam {string,...} elements
-- @tparam table s script
-- @tparam {table,...} list of `read`
-- @tparam {table,...} drawn of `places`
-- @tparam table x axis
-- @tparam table y axis
-- @tparam ?boolean markers for all series
-- @tparam ?int taken how many colours of the palette the first is behind
function M.add(elements, s, list, drawn, x, y, markers, taken)
  for i, series in ipairs(list) do
    add_error(elements, s, series, i + (taken or 0), drawn[i], y)
    add_series(elements, s, series, i + (taken or 0), markers, drawn[i], x, y)
    write_texts(s, series, drawn[i], x, y)
  end
end

return M
