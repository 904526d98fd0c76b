--- Figures of `latent.plot` as tables of numbers, for a page that draws them with a charting library. Each function of
-- the module is replaced by one that also keeps its arguments, so what is wrong with them is said as ever.
-- @module latent.explorer.figures
local core = require "latent.core"
local fields = require "latent.plot.fields"
local json = require "latent.json"
local plot = require "latent.plot"
local values = require "latent.plot.values"

local M = {}

local BINS = 30 -- of a histogram, unless it says otherwise

-- Options that change what a figure shows and that the page does not draw: it says so.
local UNDRAWN = {bars = {"format"}, contour = {"image"}, image_rows = {"titles"},
  image_grid = {"x", "y", "xlabel", "ylabel"}, panels = {"share"}}

-- What a figure was made of: {kind, arguments}, as long as there is the figure.
local made = setmetatable({}, {__mode = "k"})

-- A list for JSON, in which what is not finite is null.
local function array(list)
  for i = 1, #list do
    local v = list[i]
    if v ~= v or v == math.huge or v == -math.huge then list[i] = json.null end
  end
  return json.array(list)
end

local function numbers(value) return (values.read("figure", value, true)) end

local function texts(list)
  if not list then return nil end
  local out = {}
  for i, text in ipairs(list) do out[i] = tostring(text) end
  return json.array(out)
end

-- What charts have in common.
local function common(kind, a)
  local f = {kind = kind, title = a.title, xlabel = a.xlabel, ylabel = a.ylabel, log = a.log, markers = a.markers,
    equal = a.equal, size = a.size and 8 * a.size}
  if a.legend == false then f.legend = false end
  if a.xrange then f.xrange = array(numbers(a.xrange)) end
  if a.yrange then f.yrange = array(numbers(a.yrange)) end
  return f
end

local function count_up(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

-- The bounds of error bars: one number a point, or a list of down and up.
local function bounds(y, error)
  if error == nil then return nil end
  local pair = type(error) == "table" and #error == 2 and type(error[1]) ~= "number"
  local down, up = numbers(pair and error[1] or error), numbers(pair and error[2] or error)
  local low, high = {}, {}
  for i = 1, #y do low[i], high[i] = y[i] - down[i], y[i] + up[i] end
  return array(low), array(high)
end

local read = {}

-- Series as `plot.lines` takes them, and heat maps and contours over their fields.
local function series_of(list)
  local out = {}
  for i, s in ipairs(list) do
    local y = numbers(s.y)
    local low, high = bounds(y, s.error)
    out[i] = {x = array(s.x and numbers(s.x) or count_up(#y)), y = array(y), low = low, high = high,
      label = s.label, color = s.color, width = s.width, dashed = s.dashed, markers = s.markers, line = s.line,
      band = s.band, texts = texts(s.texts)}
  end
  return json.array(out)
end

function read.lines(a)
  local f = common("lines", a)
  f.series = series_of(a)
  return f
end

function read.scatter(a)
  local f, flat = common("scatter", a), numbers(a.points)
  local labels = a.labels
  if labels and type(labels[1]) ~= "string" then labels = numbers(labels) end
  local by_label, order, place = {}, {}, {}
  for i, label in ipairs(values.is_tensor(a.classes) and numbers(a.classes) or a.classes or {}) do place[label] = i end
  for i = 1, #flat // 2 do
    local label = labels and labels[i] or ""
    label = math.tointeger(label) or label
    if not by_label[label] then
      by_label[label] = {x = {}, y = {}}
      order[#order + 1] = label
    end
    local group = by_label[label]
    group.x[#group.x + 1], group.y[#group.y + 1] = flat[2 * i - 1], flat[2 * i]
  end
  table.sort(order, function(x, y)
    if type(x) == type(y) then return x < y end
    return type(x) == "number"
  end)
  f.groups, f.names = {}, a.centers
  for i, label in ipairs(order) do
    local group, class = by_label[label], place[label] or math.type(label) == "integer" and label + 1 or i
    f.groups[i] = {x = array(group.x), y = array(group.y), color = class,
      label = label ~= "" and tostring(a.names and a.names[class] or label) or nil}
  end
  json.array(f.groups)
  return f
end

function read.bars(a)
  local f = common("bars", a)
  f.series = {}
  for i, s in ipairs(a) do
    local plain = values.is_tensor(s) or type(s[1]) == "number"
    f.series[i] = {y = array(numbers(plain and s or s.values)), label = not plain and s.label or nil,
      color = not plain and s.color or nil}
  end
  f.names = texts(a.names or count_up(#f.series[1].y))
  json.array(f.series)
  return f
end

function read.histogram(a)
  local f, lists, low, high = common("bars", a), {}, math.huge, -math.huge
  for i, s in ipairs(a) do
    local plain = values.is_tensor(s) or type(s[1]) == "number"
    lists[i] = {list = numbers(plain and s or s.values), label = not plain and s.label or nil}
    local from, to = values.extent(lists[i].list)
    low, high = math.min(low, from or low), math.max(high, to or high)
  end
  if a.xrange then low, high = a.xrange[1], a.xrange[2] end
  local bins = a.bins or BINS
  local width = (high - low) / bins
  f.xrange, f.series, f.names, f.touching = nil, {}, {}, true
  for b = 1, bins do f.names[b] = ("%.3g"):format(low + (b - 0.5) * width) end
  for i, series in ipairs(lists) do
    local counts = {}
    for b = 1, bins do counts[b] = 0 end
    for _, v in ipairs(series.list) do
      local b = v >= low and v <= high and math.min(bins, (v - low) // math.max(width, 1e-300) + 1) // 1 | 0
      if b and counts[b] then counts[b] = counts[b] + 1 end
    end
    f.series[i] = {y = json.array(counts), label = series.label}
  end
  json.array(f.series)
  json.array(f.names)
  return f
end

-- Where n cells begin and end, of which the first and the last have places.
local function span(given, n)
  local places = given and numbers(given) or {1, n}
  local half = n > 1 and (places[#places] - places[1]) / (n - 1) / 2 or 0.5
  return json.array{places[1] - half, places[#places] + half}
end

-- A matrix as cells, the top row first: rows without places count downwards, and so does what lies over them.
local function field(kind, a, down)
  local f, look = common(kind, a), fields.look(kind, a)
  local list, shape = values.read("figure", a.values or a[1])
  local rows, columns = shape[1], shape[2]
  if not down then
    local turned = {}
    for r = rows, 1, -1 do table.move(list, (r - 1) * columns + 1, r * columns, #turned + 1, turned) end
    list = turned
  end
  if a.format and math.max(rows, columns) <= fields.MOST_WRITTEN then
    f.texts = {}
    for i, v in ipairs(list) do f.texts[i] = values.number_text("figure", a.format, v) end
    json.array(f.texts)
  end
  f.rows, f.columns, f.values, f.down, f.scale = rows, columns, array(list), down, a.scale
  f.palette, f.zrange, f.taken = json.array(look.palette), json.array(look.range), look.taken
  f.x, f.y, f.xnames, f.ynames = span(a.x, columns), span(a.y, rows), texts(a.xnames), texts(a.ynames)
  f.counted = {x = not a.x, y = not a.y}
  f.levels, f.series = look.levels and array(look.levels), series_of(a.series or {})
  return f
end

function read.heatmap(a)
  local f = field("heatmap", a, a.y == nil)
  f.xrange, f.yrange = f.x, f.y
  return f
end

-- The axes end at the outer places: half a cell less than cells would.
function read.contour(a)
  local f = field("contour", a, false)
  local function between(ends, n)
    local half = (ends[2] - ends[1]) / n / 2
    return json.array{ends[1] + half, ends[2] - half}
  end
  f.xrange, f.yrange = f.xrange or between(f.x, f.columns), f.yrange or between(f.y, f.rows)
  return f
end

-- Images [n, height, width, channels] as rows of pixels.
local function images_figure(a, columns, sets)
  local f = {kind = "images", title = a.title, columns = columns, rows = {}, invert = a.invert}
  local low, high, bytes = math.huge, -math.huge, true
  for i, set in ipairs(sets) do
    local images = values.images("figure", set.images, set.axes)
    local from, to = values.extent(images.values)
    low, high, bytes = math.min(low, from or low), math.max(high, to or high), bytes and images.bytes
    f.width, f.height, f.channels = images.w, images.h, images.c
    f.rows[i] = {label = set.label, count = images.n, values = array(images.values)}
    f.columns = f.columns or images.n
  end
  local range = a.range == "auto" and {low, high} or a.range or bytes and {0, 255} or {-1, 1}
  f.range = json.array(numbers(range))
  json.array(f.rows)
  return f
end

function read.image(a) return images_figure(a, 1, {{images = a.image or a[1], axes = 1}}) end

function read.image_rows(a)
  local sets, columns = {}, 1
  for i, row in ipairs(a.rows) do
    sets[i] = {images = row.images, label = row.label, axes = 1}
    columns = math.max(columns, values.images("figure", row.images, 1).n)
  end
  return images_figure(a, columns, sets)
end

-- The row of the largest y on top.
function read.image_grid(a)
  local images = values.images("figure", a.images, 2)
  local columns = #images.lead == 2 and images.lead[2] or a.columns or math.floor(math.sqrt(images.n) + 0.5)
  local f = images_figure(a, columns, {{images = a.images, axes = 2}})
  local list, size = f.rows[1].values, images.h * images.w * images.c * columns
  local turned = {}
  for r = images.n // columns, 1, -1 do table.move(list, (r - 1) * size + 1, r * size, #turned + 1, turned) end
  f.rows[1].values = json.array(turned)
  return f
end

function read.panels(figures, opts)
  local f = {kind = "panels", title = opts and opts.title, figures = {}}
  for i, figure in ipairs(figures) do f.figures[i] = M.table(figure) end
  json.array(f.figures)
  return f
end

--- The table of a figure.
-- @tparam Figure figure made after `install`
-- @treturn table
function M.table(figure)
  local from = made[figure]
  local f = core.plainly(read[from.kind], table.unpack(from.arguments, 1, from.arguments.n))
  local given, missing = from.arguments[from.arguments.n], {}
  for _, name in ipairs(given and UNDRAWN[from.kind] or {}) do
    if given[name] ~= nil then missing[#missing + 1] = name end
  end
  f.missing = #missing > 0 and json.array(missing) or nil
  return f
end

--- Has figures draw themselves in the page.
-- @tparam function draw of a figure's table
function M.install(draw)
  local function show(figure)
    draw(M.table(figure))
    return true
  end
  for kind in pairs(read) do
    local make = plot[kind]
    plot[kind] = function(...)
      local figure = make(...)
      made[figure] = {kind = kind, arguments = table.pack(...)}
      local class = getmetatable(figure)
      class.__display, class.show = show, show
      class.save = function(self, path)
        local f = M.table(self)
        f.file = tostring(path)
        draw(f)
        return path
      end
      return figure
    end
  end
  plot.show = show
end

return M
