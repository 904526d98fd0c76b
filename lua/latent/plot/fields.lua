--- Numbers over two axes: heat maps, and lines of equal value.
-- @module latent.plot.fields

local core = require "latent.core"
local axes = require "latent.plot.axes"
local chart = require "latent.plot.chart"
local images = require "latent.plot.images"
local kinds = require "latent.plot.kinds"
local options = require "latent.base.options"
local script_of = require "latent.plot.script"
local series_of = require "latent.plot.series"
local shapes = require "latent.base.shapes"
local values = require "latent.plot.values"

local raise = core.raise

local M = {}

local number = script_of.number

-- From the lowest value to the highest. `dark` says from which share on a text on it is white.
local PALETTES = {
  blue = {"#ffffff", "#cfe2f5", "#7fb2e2", "#1d6ec4", "#0b2f5c", dark = 0.55},
  fire = {"#000004", "#3b1260", "#93275f", "#e2583a", "#fbb032", "#fdfbc9", light = 0.6},
  diverging = {"#8c2d06", "#e08b52", "#ffffff", "#6aa5dd", "#0b3f7c", dark = 0.8, dark_below = 0.2},
  grey = {"#ffffff", "#000000", dark = 0.5},
}
-- For lines on white, where pale ones would not be seen.
local LINES = {"#3b1260", "#93275f", "#d8472b", "#e39a12"}
local PALETTE_NAMES = {"blue", "fire", "diverging", "grey"}
local SHADES = " .:-=+*#%@" -- in a text terminal
local CONTOURS = 10 -- lines, unless it is said how many
M.MOST_WRITTEN = 60 -- cells a side in which numbers are written
local MOST_RECTANGLES = 1000 -- cells drawn as rectangles, which stay sharp; between more of them seams are seen

local COMMON = {
  {"values", "any", nil, "[rows, columns]; may be the first element"},
  {"x", "any", nil, "[columns], or {first, last}: where the columns stand (equal steps)"},
  {"y", "any", nil, "[rows], or {first, last}: where the rows stand, upwards"},
  {"range", kinds.range, nil, "of the colours (default: from the lowest to the highest value)"},
  {"colors", options.one_of(PALETTE_NAMES), nil, "default: by what is drawn"},
  {"scale", kinds.text, nil, "what the colours mean, beside their bar"},
  {"series", "list", {}, "lines and points over it, each as `plot.lines` takes it"},
}

local function declare(fname, rows, without)
  local all = table.move(COMMON, 1, #COMMON, 1, {})
  return kinds.declare(fname, table.move(rows, 1, #rows, #all + 1, all), true, without)
end

-- ---- reading ----

-- The matrix as {values, rows, columns, lo, hi}.
local function read_matrix(fname, v)
  local list, shape = values.read(fname .. ": values", v)
  if #shape ~= 2 or #list == 0 then
    raise(("%s: values: expected [rows, columns], got %s"):format(fname, shapes.text(shape)))
  end
  local lo, hi = values.extent(list)
  if not lo then
    raise(fname .. ": values: no finite value to draw")
  end
  return {values = list, rows = shape[1], columns = shape[2], lo = lo, hi = hi}
end

-- First place and step of n rows or columns; nil where none are given.
local function read_places(fname, name, v, n)
  if v == nil then return nil end
  local list = values.list(("%s: %s"):format(fname, name), v)
  if #list ~= n and #list ~= 2 then
    raise(("%s: %s: expected %d numbers, or {first, last}, got %d"):format(fname, name, n, #list))
  end
  local first, last = list[1], list[#list]
  local step = n > 1 and (last - first) / (n - 1) or 1
  if not values.is_finite(step) or step <= 0 then
    raise(("%s: %s: expected numbers that rise"):format(fname, name))
  end
  for i = 1, #list == n and n or 0 do
    if math.abs(list[i] - (first + (i - 1) * step)) > 0.01 * step then
      raise(("%s: %s: expected equal steps, got %.6g where %.6g would be"):format(fname, name, list[i],
        first + (i - 1) * step))
    end
  end
  return {first = first, step = step}
end

local function range_of(o, matrix)
  if o.range then return o.range end
  local lo, hi = matrix.lo, matrix.hi
  if o.colors == "diverging" then
    hi = math.max(math.abs(lo), math.abs(hi))
    lo = -hi
  end
  if axes.is_narrow(lo, hi) then lo, hi = axes.widen(lo, hi, 0.5) end
  return {lo, hi}
end

local function colors_of(o, matrix)
  o.colors = o.colors or (matrix.lo < 0 and matrix.hi > 0 and "diverging" or "blue")
  return PALETTES[o.colors]
end

-- ---- colours ----

local function set_palette(s, palette)
  local stops = {}
  for i, color in ipairs(palette) do
    stops[i] = ("%s '%s'"):format(number((i - 1) / (#palette - 1)), color)
  end
  s:add("set palette defined (%s)", table.concat(stops, ", "))
end

-- The bar right of an area that says which colour is which value.
local function color_bar(s, area, scale, text)
  local em = s.em
  local x, w = area.x + area.w + 1.1 * em, 1.1 * em
  s:add("set cbrange [%s:%s]", number(scale.from), number(scale.to))
  local ticks = {}
  for i, tick in ipairs(scale.ticks) do
    ticks[i] = ("%s %s"):format(script_of.quote((tick[2]:gsub("%%", "%%%%"))), number(tick[1]))
  end
  s:add("set cbtics enhanced scale 0.4 (%s)", table.concat(ticks, ", "))
  s:add("set colorbox vertical user origin %s size screen %.8f, screen %.8f noborder",
    s:at(x, area.y + area.h), w / s.width, area.h / s.height)
  if text then
    local labels = (axes.label_length(scale) + 1) * s.char
    s:label(text, x + w + labels + 1.2 * em, area.y + area.h / 2, "rotate by 90 center")
  end
end

-- How wide the bar is with its labels and the scale's name, in pixels.
local function bar_width(s, scale, text)
  return (text and 4.4 or 2.2) * s.em + (axes.label_length(scale) + 1) * s.char
end

-- What stands beside the area, for its margin: the longest label, and room for the scale's name.
local function beside(scale, text)
  local names = {("0"):rep(axes.label_length(scale) + 1)}
  if text then names[1] = names[1] .. "000" end
  return names
end

-- The area beside which there is room for the bar, and for a legend outside: that one is beyond the bar.
local function layout_beside(s, o, rect, ax, ay, scale, outside)
  local beyond = outside and bar_width(s, scale, o.scale)
  return chart.layout(s, o, rect, ax, ay, outside or beside(scale, o.scale), beyond)
end

-- ---- what lies over a field ----

-- Default colours begin behind those of the palette that are not seen on the field: a blue on blue or grey, and
-- vermilion on orange.
local TAKEN = {blue = 1, grey = 1, diverging = 2}

-- Series over a field whose rows stand upwards or from the top. What draws them behind the elements of the field, and
-- the names in a legend outside.
local function read_over(fname, o, rows_from_top)
  local list = series_of.read(fname, o.series)
  for _, series in ipairs(rows_from_top and list or {}) do
    for _, part in ipairs{"y", "low", "high"} do
      for i, v in ipairs(series[part] or {}) do series[part][i] = rows_from_top + 1 - v end
    end
  end
  local names = chart.labels_of(list)
  local legend = #names > 0 and chart.legend_of(o.legend, "auto") or nil
  local function draw(s, elements, rect, area, ax, ay, scale)
    local drawn = series_of.places(list, ax, ay)
    local where = legend
    if where == "auto" then
      where = chart.choose_corner(s, rect, drawn, names, ax, ay)
      if where == "outside" then where = "top right" end -- there is no room left for it
    end
    chart.key(s, where, area, names, bar_width(s, scale, o.scale))
    series_of.add(elements, s, list, drawn, ax, ay, false, TAKEN[o.colors])
    s:plot(elements)
  end
  return draw, legend == "outside" and names or nil
end

local function levels_of(fname, o, matrix)
  if type(o.levels) == "table" then
    if not values.extent(o.levels) then raise(fname .. ": levels: none of them is finite") end
    return table.move(o.levels, 1, #o.levels, 1, {})
  end
  local lo, hi = o.range and o.range[1] or matrix.lo, o.range and o.range[2] or matrix.hi
  local list, step = {}, (hi - lo) / (o.levels + 1)
  for i = 1, o.levels do list[i] = lo + i * step end
  return list
end

-- Every point of the field with its value: x, y, z.
local function points_of(list, field)
  local x, y = {}, {}
  for i = 1, #list do
    x[i] = field.x.first + (i - 1) % field.columns * field.x.step
    y[i] = field.y.first + (i - 1) // field.columns * field.y.step
  end
  return values.pack(x, y, list)
end

-- Gnuplot finds the lines of equal value: they go into a block of its own, from which they are drawn.
local function find_contours(s, list, field, levels)
  local texts = {}
  for i, level in ipairs(levels) do texts[i] = number(level) end
  local layout = ("record=(%d,%d) format='%s'"):format(field.columns, field.rows, ("%double"):rep(3))
  s:add("set contour base; unset surface; set cntrparam levels discrete %s", table.concat(texts, ", "))
  s:add("set table $contours; splot %s using 1:2:3; unset table; unset contour; set surface",
    s:data(points_of(list, field), layout))
end

-- ---- heat maps ----

local LEVELS = {type = "int|{number,...}", words = function() return "how many, or a list of values" end,
  check = function(where, v)
    if math.type(v) == "integer" and v >= 1 and v <= 100 then return v end
    if type(v) ~= "table" and not values.is_tensor(v) then
      raise(("%s: expected how many (1 to 100), or a list of values, got %s"):format(where, options.describe(v)))
    end
    return values.list(where, v)
  end}

local read_heatmap = declare("plot.heatmap", {
  {"levels", LEVELS, nil, "lines of equal value over the colours: how many, or of which values"},
  {"xnames", "any", nil, "of the columns"}, {"ynames", "any", nil, "of the rows, the first on top"},
  {"format", "any", nil, 'such as "%.1f": writes the values into the cells'}},
  {xrange = true, yrange = true}) -- all cells are drawn

-- Numbers 1..n as names, as many as have room; "" for the others.
local function counted(n, room)
  local every = math.max(1, axes.nice_step(n * (#tostring(n) + 1.5) / room, 1))
  local list = {}
  for i = 1, n do list[i] = i % every == 0 and tostring(i) or "" end
  return list
end

-- An axis of n cells: at their places, or with their names.
local function cell_axis(places, names, n, room)
  if places then
    local half = places.step / 2
    return axes.new(places.first - half, places.first + (n - 1) * places.step + half, {count = math.max(3, room / 9)})
  end
  local axis = axes.named(names or counted(n, room))
  axis.from, axis.to = 0.5, n + 0.5
  return axis
end

local function reversed(list)
  local out = {}
  for i, value in ipairs(list) do out[#list + 1 - i] = value end
  return out
end

-- Rows from below, as gnuplot counts: the first is the lowest where rows have places, else the highest.
local function rows_upwards(matrix, upwards)
  if upwards then return matrix.values end
  local out, columns = {}, matrix.columns
  for r = 1, matrix.rows do
    table.move(matrix.values, (matrix.rows - r) * columns + 1, (matrix.rows - r + 1) * columns,
      (r - 1) * columns + 1, out)
  end
  return out
end

-- Whether a text on a value's colour is to be white.
local function is_dark(palette, share)
  if palette.light then return share < palette.light end
  return share > palette.dark or palette.dark_below ~= nil and share < palette.dark_below
end

local function write_cells(s, o, list, field, area)
  local longest, texts = 1, {}
  for i, value in ipairs(list) do
    texts[i] = values.number_text("plot.heatmap", o.format, value)
    longest = math.max(longest, script_of.length(texts[i]))
  end
  local room = math.min(area.w / field.columns / (longest + 0.6) / s.char, area.h / field.rows / (1.5 * s.em))
  if room < 0.45 and not s.text_only then return end -- too small to be read
  local font = s.text_only and "" or s:font(math.min(1, room))
  for i, text in ipairs(texts) do
    local x = field.x.first + (i - 1) % field.columns * field.x.step
    local y = field.y.first + (i - 1) // field.columns * field.y.step
    local share = (list[i] - field.range[1]) / (field.range[2] - field.range[1])
    s:add("set label %s at first %s, first %s center noenhanced front textcolor rgb '%s' %s", script_of.quote(text),
      number(x), number(y), is_dark(field.palette, share) and "#ffffff" or "#222222", font)
  end
end

-- In a text terminal a character stands for a value.
local function shaded(s, list, field)
  local levels, elements = {}, {}
  for i, value in ipairs(list) do
    if values.is_finite(value) then
      local share = (value - field.range[1]) / (field.range[2] - field.range[1])
      local level = math.max(1, math.min(#SHADES, math.floor(share * #SHADES) + 1))
      local group = levels[level] or {{}, {}}
      levels[level] = group
      group[1][#group[1] + 1] = field.x.first + (i - 1) % field.columns * field.x.step
      group[2][#group[2] + 1] = field.y.first + (i - 1) // field.columns * field.y.step
    end
  end
  for level = 2, #SHADES do
    local group = levels[level]
    if group then
      elements[#elements + 1] = ("%s using 1:2 with points pt '%s' notitle"):format(
        s:doubles(values.pack(group[1], group[2]), 2), SHADES:sub(level, level))
    end
  end
  if #elements == 0 then elements[1] = "1/0 notitle" end
  return elements
end

local function cells(s, list, field)
  local layout = ("array=(%d,%d) origin=(%s,%s) dx=%s dy=%s format='%%double'"):format(field.columns, field.rows,
    number(field.x.first), number(field.y.first), number(field.x.step), number(field.y.step))
  return {("%s using 1 with image%s notitle"):format(s:data(values.pack(list), layout),
    #list <= MOST_RECTANGLES and " pixels" or "")}
end

-- Lines of equal value that are seen on the colours: white where a text would be.
local function contrasting(field)
  local palette, lo, span = field.palette, field.range[1], field.range[2] - field.range[1]
  local function beyond(sign, share) return ("$3 %s %s"):format(sign, number(lo + share * span)) end
  local dark = palette.light and beyond("<", palette.light) or beyond(">", palette.dark)
  if palette.dark_below then dark = dark .. " || " .. beyond("<", palette.dark_below) end
  return ("$contours using 1:2:(%s ? 0xffffff : 0x444444) with lines lw 1.2 lc rgb variable notitle"):format(dark)
end

local ONE = {first = 1, step = 1}

--- What someone else who draws a field needs to know of its colours.
-- @tparam string kind "heatmap" or "contour"
-- @tparam table arguments of the figure, which are right
-- @treturn table {palette = colours from the lowest value to the highest, range, levels, taken = how many default
--   colours the first series is behind}
function M.look(kind, arguments)
  local o = {colors = arguments.colors, range = arguments.range}
  local matrix, levels, palette = read_matrix(kind, arguments.values or arguments[1]), arguments.levels
  if levels or kind == "contour" then
    o.levels = LEVELS.check(kind, levels or CONTOURS)
    levels = levels_of(kind, o, matrix)
  end
  if kind == "contour" then
    matrix.lo, matrix.hi = values.extent(levels)
    palette = PALETTES[o.colors] or LINES
  else
    palette = colors_of(o, matrix)
  end
  return {palette = table.move(palette, 1, #palette, 1, {}), range = range_of(o, matrix), levels = levels,
    taken = TAKEN[o.colors] or 0}
end

--- See latent.plot.heatmap.
function M.heatmap(arguments, fname)
  local o = read_heatmap(arguments)
  local matrix = read_matrix(fname, o.values or arguments[1])
  local palette = colors_of(o, matrix)
  local x, y = read_places(fname, "x", o.x, matrix.columns), read_places(fname, "y", o.y, matrix.rows)
  local xnames = o.xnames and kinds.texts(fname .. ": xnames", o.xnames, matrix.columns, "one a column")
  local ynames = o.ynames and kinds.texts(fname .. ": ynames", o.ynames, matrix.rows, "one a row")
  if x and xnames or y and ynames then
    raise(fname .. ": expected places or names of an axis, got both")
  end
  local range, list = range_of(o, matrix), rows_upwards(matrix, y ~= nil)
  local field = {rows = matrix.rows, columns = matrix.columns, x = x or ONE, y = y or ONE, range = range,
    palette = palette}
  local written = o.format and math.max(matrix.rows, matrix.columns) <= M.MOST_WRITTEN
  local draw_over, outside = read_over(fname, o, not y and matrix.rows)
  local levels = o.levels and levels_of(fname, o, matrix)
  if levels and (matrix.rows < 2 or matrix.columns < 2) then
    raise(("%s: levels: expected at least 2 rows and columns, got [%d, %d]"):format(fname, matrix.rows,
      matrix.columns))
  end

  local panel = chart.panel_of(o, chart.WIDTH * 0.8, chart.HEIGHT)
  function panel.draw(s, rect)
    local ax = cell_axis(x, xnames, matrix.columns, rect.w / s.char)
    local ay = cell_axis(y, ynames and reversed(ynames) or not y and reversed(counted(matrix.rows, rect.h / 6)),
      matrix.rows, rect.h / 12)
    local scale = axes.new(range[1], range[2], {count = math.max(3, rect.h / 65)})
    local area, texts = layout_beside(s, o, rect, ax, ay, scale, outside)
    chart.frame(s, texts, rect, area, ax, ay)
    s:add("unset grid; unset key; set border 0; set tics scale 0")
    set_palette(s, palette)
    color_bar(s, area, scale, o.scale)
    if written then write_cells(s, o, list, field, area) end
    if levels then find_contours(s, list, field, levels) end
    local elements = (s.text_only and shaded or cells)(s, list, field)
    if levels then elements[#elements + 1] = contrasting(field) end
    draw_over(s, elements, rect, area, ax, ay, scale)
    s:add("unset colorbox")
  end
  return panel
end

-- ---- lines of equal value ----

local read_contour = declare("plot.contour", {{"levels", LEVELS, CONTOURS, "how many, or which values"},
  {"image", "any", nil, "under the lines, as large as the field: as `plot.image` takes it, the first row on top"}})

--- See latent.plot.contour.
function M.contour(arguments, fname)
  local o = read_contour(arguments)
  local matrix = read_matrix(fname, o.values or arguments[1])
  if matrix.rows < 2 or matrix.columns < 2 then
    raise(("%s: values: expected at least 2 rows and columns, got [%d, %d]"):format(fname, matrix.rows, matrix.columns))
  end
  local x = read_places(fname, "x", o.x, matrix.columns) or ONE
  local y = read_places(fname, "y", o.y, matrix.rows) or ONE
  local field, levels = {rows = matrix.rows, columns = matrix.columns, x = x, y = y}, levels_of(fname, o, matrix)
  matrix.lo, matrix.hi = values.extent(levels)
  local range = range_of(o, matrix)
  local xrange = o.xrange or {x.first, x.first + (matrix.columns - 1) * x.step}
  local yrange = o.yrange or {y.first, y.first + (matrix.rows - 1) * y.step}
  local draw_over, outside = read_over(fname, o)
  local layer = o.image ~= nil and images.layer(fname, o.image)

  local panel = chart.panel_of(o, chart.WIDTH * 0.8, chart.HEIGHT)
  panel.limits = {x = xrange, y = yrange}
  function panel.draw(s, rect, limits)
    local ax, ay = chart.axes_of(s, rect, limits and limits.x or xrange, limits and limits.y or yrange)
    local scale = axes.new(range[1], range[2], {count = math.max(3, rect.h / 65)})
    local area, texts = layout_beside(s, o, rect, ax, ay, scale, outside)
    chart.frame(s, texts, rect, area, ax, ay)
    set_palette(s, PALETTES[o.colors] or LINES)
    color_bar(s, area, scale, o.scale)
    find_contours(s, matrix.values, field, levels)
    s:add("unset key")
    local elements = {"$contours using 1:2:3 with lines lw 2 lc palette notitle"}
    if layer and not s.text_only then
      table.insert(elements, 1, layer(s, {x.first, x.first + (matrix.columns - 1) * x.step},
        {y.first, y.first + (matrix.rows - 1) * y.step}))
    end
    draw_over(s, elements, rect, area, ax, ay, scale)
    s:add("unset colorbox")
  end
  return panel
end

return M
