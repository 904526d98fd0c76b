--- Scatter: points of the plane, one colour a class.
-- @module latent.plot.scatter

local core = require "latent.core"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"
local axes = require "latent.plot.axes"
local chart = require "latent.plot.chart"
local kinds = require "latent.plot.kinds"
local script_of = require "latent.plot.script"
local values = require "latent.plot.values"

local raise = core.raise

local M = {}

local quote, number = script_of.quote, script_of.number
local SHAPES = {7, 5, 9} -- disc, square, triangle: one for each round of the palette
local LETTERS = "0123456789abcdefghijklmnopqrst"
local MOST_CLASSES = chart.COLOURS * #SHAPES
local AREA = {w = 760, h = 660, least_w = 420, least_h = 400} -- pixels the axes may take

local read_options = kinds.declare("plot.scatter", {
  {"points", "any", nil, "[n, 2]"}, {"labels", "any", nil, "[n] numbers or strings"},
  {"names", "list", nil,
    "one a class (without classes: of 0, 1, ... if the labels are such, else of the sorted labels)"},
  {"classes", "any", nil, "the values in the order of the legend"},
  {"centers", kinds.flag, nil, "the names of the classes stand at their medians too"},
  {"equal", kinds.flag, true, "one scale for both axes"}, {"size", kinds.at_least(0), nil, "of a point"},
}, true)

local function read_points(fname, points)
  local flat, shape = values.read(fname .. ": points", points)
  if #flat == 0 then
    raise(fname .. ": points: is empty")
  elseif #shape ~= 2 or shape[2] ~= 2 then
    raise(("%s: points: expected shape [n, 2], got %s"):format(fname, shapes.text(shape)))
  end
  local x, y = {}, {}
  for i = 1, shape[1] do
    x[i], y[i] = flat[2 * i - 1], flat[2 * i]
  end
  return x, y
end

--- Labels may be a tensor, numbers or strings.
local function read_labels(fname, labels, count)
  local list
  if type(labels) == "table" and type(labels[1]) == "string" then
    list = core.check_list(labels, fname .. ": labels")
  else
    list = values.list(fname .. ": labels", labels)
    for i, label in ipairs(list) do
      list[i] = math.tointeger(label) or label
    end
  end
  if #list ~= count then
    raise(("%s: labels: has %d for %d points"):format(fname, #list, count))
  end
  return list
end

local function distinct(list)
  local seen, found = {}, {}
  for _, value in ipairs(list) do
    if not seen[value] then
      seen[value] = true
      found[#found + 1] = value
    end
  end
  table.sort(found, function(a, b)
    if type(a) == type(b) then
      return a < b
    end
    return type(a) == "number"
  end)
  return found
end

--- The classes in the order of their names: as given, else 0, 1, ... if that fits, else those that occur.
local function classes_of(o, labels)
  if o.classes then
    return o.classes
  end
  local found = distinct(labels)
  local last = found[#found]
  local count = o.names and #o.names or chart.COLOURS
  local from_zero = math.type(last) == "integer" and math.type(found[1]) == "integer" and found[1] >= 0
    and last < count
  if from_zero then
    local classes = {}
    for value = 0, o.names and count - 1 or last do
      classes[#classes + 1] = value
    end
    return classes
  end
  return found
end

--- The class of each point as a number from 1, and the legend: {{index, name}, ...}. Classes that were
-- neither named nor listed, and have no point, are left out of it.
local function class_numbers(fname, o, labels)
  local classes = classes_of(o, labels)
  if o.names and #o.names ~= #classes then
    raise(("%s: names: has %d for %d classes"):format(fname, #o.names, #classes))
  elseif #classes > MOST_CLASSES then
    raise(("%s: labels: %d classes, more than the %d that can be told apart"):format(
      fname, #classes, MOST_CLASSES))
  end
  local number_of, numbers, occurs = {}, {}, {}
  for i, value in ipairs(classes) do
    number_of[value] = i
  end
  for i, label in ipairs(labels) do
    local class = number_of[label]
    if not class then
      raise(("%s: labels: %s at position %d is not among classes"):format(fname, options.describe(label), i))
    end
    numbers[i], occurs[class] = class, true
  end
  local legend = {}
  for i, value in ipairs(classes) do
    if occurs[i] or o.names or o.classes then
      local name = o.names and o.names[i] -- false and nil have the value's
      legend[#legend + 1] = {i, kinds.to_text(fname .. ": names", name or value)}
    end
  end
  return numbers, legend
end

--- The spans of two ranges, or a quarter of both where one of them is no number, and which share they are.
local function spans_of(x, y)
  local share = x[2] - x[1] < math.huge and y[2] - y[1] < math.huge and 1 or 0.25
  return axes.part(x[1], x[2], share), axes.part(y[1], y[2], share), share
end

--- Widens one of two ranges so that a unit has the same length on both axes of an area.
local function equalise(x, y, w, h)
  local span_x, span_y, share = spans_of(x, y)
  local unit = math.max(span_x / w, span_y / h)
  local function grow(range, length)
    local middle, by = range[1] / 2 + range[2] / 2, unit * length / 2 / share
    return {math.max(-axes.LARGEST, middle - by), math.min(axes.LARGEST, middle + by)}
  end
  return grow(x, w), grow(y, h)
end

local function ranges_of(fname, o, x, y)
  local x0, x1 = values.extent(x)
  local y0, y1 = values.extent(y)
  local any = false
  for i = 1, #x do
    any = any or values.is_finite(x[i]) and values.is_finite(y[i])
  end
  if not any then
    raise(fname .. ": points: no finite value to draw")
  end
  return o.xrange or {axes.widen(x0, x1, 0.03)}, o.yrange or {axes.widen(y0, y1, 0.03)}
end

local function colour(class)
  return (class - 1) % chart.COLOURS + 1
end

local function shape(class)
  return SHAPES[(class - 1) // chart.COLOURS + 1]
end

--- Coordinates of the points whose class has a key in common: {[key] = {x, y, colour}}.
local function grouped(x, y, numbers, key_of)
  local groups = {}
  for i = 1, #x do
    local name = key_of(numbers[i])
    local group = groups[name] or {{}, {}, {}}
    groups[name] = group
    local at = #group[1] + 1
    group[1][at], group[2][at], group[3][at] = x[i], y[i], colour(numbers[i])
  end
  return groups
end

--- Points of one shape are drawn in the order of the data, so that no class lies on top of all others.
local function elements_of(s, x, y, numbers, entries, size)
  local groups, elements = grouped(x, y, numbers, shape), {}
  for _, point in ipairs(SHAPES) do
    local group = groups[point]
    if group then
      elements[#elements + 1] = ("%s using 1:2:3 with points pt %d ps %s lc variable notitle"):format(
        s:doubles(values.pack(group[1], group[2], group[3]), 3), point, number(size))
    end
  end
  for _, entry in ipairs(entries) do
    elements[#elements + 1] = ("keyentry with points pt %d ps 1.6 lc %d title %s noenhanced"):format(
      shape(entry[1]), colour(entry[1]), quote(entry[2]))
  end
  return elements
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

-- The name of each class at its median, on a box of white.
local function write_centers(s, x, y, numbers, entries)
  local own = grouped(x, y, numbers, function(class) return class end)
  if not s.text_only then s:add("set style textbox opaque margins 0.6,0.4 fillcolor rgb '#ffffff' noborder") end
  for _, entry in ipairs(entries) do
    local group = own[entry[1]]
    if group then
      local name, words = quote(entry[2]), "noenhanced"
      if not s.text_only then name, words = s:bold(entry[2], 1) end
      s:add("set label %s at first %s, first %s center front boxed textcolor rgb '#222222' %s", name,
        number(median(group[1])), number(median(group[2])), words)
    end
  end
end

--- In text, a letter or digit stands for a class.
local function text_elements(s, x, y, numbers, entries)
  local name_of, elements = {}, {}
  for _, entry in ipairs(entries) do
    name_of[entry[1]] = entry[2]
  end
  local groups = grouped(x, y, numbers, function(class)
    return class
  end)
  for class = 1, MOST_CLASSES do
    local group = groups[class]
    if group then
      local title = name_of[class] and "title " .. quote(name_of[class]) or "notitle"
      elements[#elements + 1] = ("%s using 1:2 with points pt '%s' %s"):format(
        s:doubles(values.pack(group[1], group[2]), 2), LETTERS:sub(class, class), title)
    end
  end
  return elements
end

local function point_size(count)
  return count <= 200 and 1 or count <= 2000 and 0.6 or 0.4
end

--- Size of a figure whose axes have one scale, so that the data fills it.
local function fitted_size(o, xrange, yrange, outside)
  local span_x, span_y = spans_of(xrange, yrange)
  local unit = math.max(span_x / AREA.w, span_y / AREA.h)
  local w, h = math.max(AREA.least_w, span_x / unit), math.max(AREA.least_h, span_y / unit)
  local x, y = axes.new(xrange[1], xrange[2], {}), axes.new(yrange[1], yrange[2], {})
  local em = script_of.EM
  local left, right, bottom = chart.margins(em, script_of.CHAR, o, x, y, outside)
  local top = (o.title and 2.85 or 1.4) * em
  return math.floor(w + left + right), math.floor(h + top + bottom)
end

--- See latent.plot.scatter.
function M.scatter(arguments, fname)
  local o = read_options(arguments)
  local x, y = read_points(fname, o.points)
  local numbers, entries
  if o.labels ~= nil then
    numbers, entries = class_numbers(fname, o, read_labels(fname, o.labels, #x))
  else
    numbers, entries = {}, {}
    for i = 1, #x do
      numbers[i] = 1
    end
  end
  local names = {}
  for i, entry in ipairs(entries) do
    names[i] = entry[2]
  end
  local xrange, yrange = ranges_of(fname, o, x, y)
  local equal = o.equal
  local legend = #names > 0 and chart.legend_of(o.legend, "outside") or nil
  if legend == "auto" then
    legend = "outside"
  end

  local width, height = chart.WIDTH, chart.HEIGHT
  if equal then
    width, height = fitted_size(o, xrange, yrange, legend == "outside" and names)
  end
  local panel = chart.panel_of(o, width, height)
  panel.limits = {x = xrange, y = yrange}
  function panel.draw(s, rect, limits)
    local across, up = limits and limits.x or xrange, limits and limits.y or yrange
    local ax, ay = chart.axes_of(s, rect, across, up)
    local area, texts = chart.layout(s, o, rect, ax, ay, legend == "outside" and names)
    for _ = 1, equal and 2 or 0 do -- the wider range may have longer labels, and they another area
      local before = axes.label_length(ay)
      ax, ay = chart.axes_of(s, rect, equalise(across, up, area.w, area.h))
      if axes.label_length(ay) <= before then break end
      area, texts = chart.layout(s, o, rect, ax, ay, legend == "outside" and names)
    end
    chart.frame(s, texts, rect, area, ax, ay)
    chart.key(s, legend, area, names)
    local places_x, places_y = axes.map(ax, x), axes.map(ay, y)
    if o.centers then write_centers(s, places_x, places_y, numbers, entries) end
    local size = o.size or point_size(#x) * math.min(1, math.sqrt(rect.w / chart.WIDTH))
    s:plot((s.text_only and text_elements or elements_of)(s, places_x, places_y, numbers, entries, size))
  end
  return panel
end

return M
