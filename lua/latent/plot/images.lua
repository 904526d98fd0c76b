--- Pictures: one image, a grid of images over latent coordinates, labelled rows of images.
-- @module latent.plot.images

local core = require "latent.core"
local axes = require "latent.plot.axes"
local canvas = require "latent.plot.canvas"
local chart = require "latent.plot.chart"
local kinds = require "latent.plot.kinds"
local options = require "latent.base.options"
local script_of = require "latent.plot.script"
local values = require "latent.plot.values"

local raise = core.raise

local M = {}

local number, more_lines = script_of.number, script_of.more_lines
local IMAGE_SIDE, GRID_SIDE, ROWS_SIDE = 448, 960, 800 -- pixels a picture is enlarged to, about
local MOST_ZOOM = 16
local NEAR, FAR, MOST_BEYOND = 1.2, 5, 0.25 -- told: many values beyond 1.2 (not a decoder's few), or one beyond 5
local EM, CHAR = script_of.EM, script_of.CHAR

-- {lo, hi} or "auto".
local RANGE = {type = "{number,number}|string", words = function() return '{black, white} or "auto"' end,
  check = function(where, range)
    if range ~= "auto" and type(range) ~= "table" then
      raise(where .. ': expected {lowest, highest} or "auto"')
    end
    return range == "auto" and range or kinds.range.check(where, range)
  end}
-- Options of all three.
local PICTURE = {
  {"title", kinds.text},
  {"range", RANGE, nil, 'default: {-1, 1}, {0, 255} for u8 tensors; "auto": from the lowest to the highest value'},
  {"zoom", kinds.at_least(1, true), nil, "how many pixels one becomes"},
  {"invert", kinds.flag, nil, "black for white"},
}
local function gap_option(default) return {"gap", kinds.at_least(0, true), default, "pixels between the images"} end

--- Lowest and highest finite value of sets of images.
local function extent_of(list)
  local lo, hi
  for _, images in ipairs(list) do
    local a, b = values.extent(images.values)
    lo, hi = a and math.min(a, lo or a) or lo, b and math.max(b, hi or b) or hi
  end
  return lo, hi
end

--- Tells the user where the usual range does not fit: pixels 0..255 would be drawn black and white. A few values
-- somewhat beyond it are a decoder's, and no mistake.
local function tell_beyond(fname, list)
  local lo, hi, beyond, count = math.huge, -math.huge, 0, 0
  for _, images in ipairs(list) do
    for _, v in ipairs(images.values) do
      lo, hi = v < lo and v or lo, v > hi and v or hi
      beyond = (v < -NEAR or v > NEAR) and beyond + 1 or beyond
    end
    count = count + #images.values
  end
  if beyond > count * MOST_BEYOND or lo < -FAR or hi > FAR then
    io.stderr:write(('%s: values from %.4g to %.4g are drawn from -1 (black) to 1 (white), and %.3g %% of them are '
      .. 'beyond; range = "auto" or {lo, hi} shows them\n'):format(fname, lo, hi, 100 * beyond / count))
  end
end

--- The values that are drawn black and white.
local function range_of(fname, range, list, bytes)
  if range == "auto" then
    local lo, hi = extent_of(list)
    if not lo then
      return {-1, 1} -- of nothing but NaN
    elseif lo == hi and math.abs(lo) < 1e9 then
      return {lo - 0.5, hi + 0.5}
    end
    return {axes.widen(lo, hi, 0)}
  elseif range ~= nil then
    return range
  elseif bytes then
    return {0, 255}
  end
  tell_beyond(fname, list)
  return {-1, 1}
end

--- Lays images out, unless the picture would be too large for gnuplot.
local function tile(fname, rows, o)
  local w, h = canvas.size(rows, o)
  chart.check_size(fname, w, h)
  return canvas.tile(rows, o)
end

local function zoom_of(zoom, side, size)
  return zoom or math.max(1, math.min(MOST_ZOOM, side // size))
end

--- Height of a title over a picture `width` pixels wide.
local function title_height(title, width)
  local _, lines = script_of.wrap(title, width)
  return lines > 0 and (1.3 + 1.55 * lines) * EM or 0.8 * EM
end

--- The element of a plot that draws a canvas so that its pixels fill the area exactly.
local function canvas_element(s, picture, x, y)
  local dx, dy = (x[2] - x[1]) / picture.w, (y[2] - y[1]) / picture.h
  local source = s:data(picture.bytes, ("array=(%d,%d) format='%%uchar'"):format(picture.w, picture.h))
  return ("%s flipy origin=(%s,%s) dx=%s dy=%s using 1:2:3 with rgbimage notitle"):format(
    source, number(x[1] + dx / 2), number(y[1] + dy / 2), number(dx), number(dy))
end

local function draw_canvas(s, picture, x, y) s:plot{canvas_element(s, picture, x, y)} end

local function start(s, rect, area)
  s:clear()
  s:area(area, rect)
  s:add("unset border; unset grid; unset xtics; unset ytics")
end

local image_options = kinds.declare("plot.image", {{"image", "any", nil, "[H, W], [H, W, 1 or 3] or [1, H, W, 1 or 3]"},
  table.unpack(PICTURE)})

--- See latent.plot.image.
function M.image(arguments, fname)
  local o = image_options(arguments)
  local data = o.image
  if data == nil then
    data = arguments[1]
  end
  local images = values.images(fname .. ": image", data, 1)
  if images.n ~= 1 then
    raise(("%s: image: expected one image, got %d"):format(fname, images.n))
  end
  local picture = tile(fname, {{images = images, first = 1, count = 1}}, {
    range = range_of(fname, o.range, {images}, images.bytes), gap = 0, invert = o.invert,
    zoom = zoom_of(o.zoom, IMAGE_SIDE, math.max(images.w, images.h)),
  })
  local margin = math.floor(EM)
  local panel = {pictures = true, in_cells = {picture = picture}}
  panel.width = picture.w + 2 * margin
  local top = math.floor(title_height(o.title, panel.width))
  panel.height = picture.h + top + margin
  function panel.draw(s, rect)
    local area = {x = rect.x + margin, y = rect.y + top, w = picture.w, h = picture.h}
    start(s, rect, area)
    s:add("set xrange [0:1] noextend; set yrange [0:1] noextend")
    s:titles({title = script_of.wrap(o.title, panel.width)}, area, rect)
    draw_canvas(s, picture, {0, 1}, {0, 1})
  end
  return panel
end

--- An image that lies under something else and fills its axes.
-- @tparam string fname
-- @param data as plot.image takes it
-- @treturn function (script, {x0, x1}, {y0, y1}) -> element of a plot
function M.layer(fname, data)
  local images = values.images(fname .. ": image", data, 1)
  if images.n ~= 1 then
    raise(("%s: image: expected one image, got %d"):format(fname, images.n))
  end
  local picture = tile(fname, {{images = images, first = 1, count = 1}}, {zoom = 1, gap = 0,
    range = range_of(fname, nil, {images}, images.bytes)})
  return function(s, x, y) return canvas_element(s, picture, x, y) end
end

-- A grid over coordinates -----------------------------------------------------------------------------

--- Coordinates of n cells: {first, last} or one number a cell.
local function coordinates(name, given, n)
  if given == nil then
    given = {1, n}
  end
  local list = values.list(name, given)
  if #list == 2 and n > 1 then
    local first, last = list[1], list[2]
    for i = 1, n do
      local t = (i - 1) / (n - 1)
      local v = first + (last - first) * (i - 1) / (n - 1)
      list[i] = values.is_finite(v) and v or first * (1 - t) + last * t
    end
  elseif n == 1 then
    list[2] = nil
  end
  if #list ~= n then
    raise(("%s: has %d coordinates for %d images (or give {first, last})"):format(name, #list, n))
  end
  for i, v in ipairs(list) do
    if not values.is_finite(v) or (i > 1 and v == list[i - 1]) then
      raise(name .. ": expected finite coordinates, each one different from the last")
    end
  end
  return list
end

--- The numbers of a list as text, with as few digits as tell them apart.
local function distinct_texts(list)
  local texts
  for digits = 3, 17 do
    local seen, clash = {}, false
    texts = {}
    for i, v in ipairs(list) do
      texts[i] = ("%." .. digits .. "g"):format(v)
      clash = clash or seen[texts[i]] and seen[texts[i]] ~= v
      seen[texts[i]] = v
    end
    if not clash then
      break
    end
  end
  return texts
end

--- The axis under cells at these coordinates, and whether it runs downwards through the list. `characters`:
-- how many all its labels may have.
local function cell_axis(list, count, characters)
  local n = #list
  local step = n > 1 and (list[n] - list[1]) / (n - 1) or 1
  local even = true
  for i = 2, n do
    even = even and math.abs(list[i] - list[i - 1] - step) < 1e-4 * math.abs(step)
  end
  local half = math.abs(step) / 2
  local lo, hi = math.min(list[1], list[n]) - half, math.max(list[1], list[n]) + half
  if even and values.is_finite(lo) and values.is_finite(hi) and not axes.is_narrow(lo, hi) then
    return axes.new(lo, hi, {count = count, characters = characters}), step < 0
  end
  local axis, longest, texts = {from = 0.5, to = n + 0.5, log = false, ticks = {}}, 0, distinct_texts(list)
  for _, text in ipairs(texts) do
    longest = math.max(longest, #text)
  end
  count = math.max(1, math.min(count, characters and characters // (longest + 2) or count))
  for i = 1, n, math.max(1, math.ceil(n / count)) do
    axis.ticks[#axis.ticks + 1] = {i, texts[i]}
  end
  return axis, false
end

local function grid_shape(fname, o, images)
  local lead = images.lead
  if #lead == 2 then
    return lead[1], lead[2]
  end
  local function length(list)
    local n = list and (values.is_tensor(list) and list.shape[1] or #list)
    return n and n > 2 and n or nil
  end
  local nx, ny = o.columns or length(o.x), length(o.y)
  nx = nx or ny and images.n // ny or math.floor(math.sqrt(images.n) + 0.5)
  ny = images.n // nx
  if nx * ny ~= images.n then
    raise(("%s: images: %d do not fill rows of %d (give columns = ...)"):format(fname, images.n, nx))
  end
  return ny, nx
end

--- Rows for canvas.tile, the top one first; row 1 of the data is at y[1].
local function grid_rows(images, ny, nx, downwards)
  local rows = {}
  for r = 1, ny do
    local row = downwards and r or ny - r + 1
    rows[r] = {images = images, first = (row - 1) * nx + 1, count = nx}
  end
  return rows
end

--- Reverses the images of each row, for x coordinates that fall.
local function mirror(images, nx)
  local size = images.h * images.w * images.c
  local out = {}
  for i = 0, images.n - 1 do
    local from = i - i % nx + (nx - 1 - i % nx)
    table.move(images.values, from * size + 1, from * size + size, i * size + 1, out)
  end
  images.values = out
end

local grid_options = kinds.declare("plot.image_grid", {
  {"images", "any", nil, "[ny, nx, H, W] or [ny * nx, H, W], with or without channels"},
  {"x", "any", nil, "{first, last} or one coordinate a column (default: 1..n)"},
  {"y", "any", nil, "the same a row"},
  {"columns", kinds.at_least(1, true), nil, "nx where it cannot be told"},
  {"xlabel", kinds.text}, {"ylabel", kinds.text}, gap_option(0), table.unpack(PICTURE),
})

--- See latent.plot.image_grid.
function M.image_grid(arguments, fname)
  local o = grid_options(arguments)
  local images = values.images(fname .. ": images", o.images, 2)
  local ny, nx = grid_shape(fname, o, images)
  local xs, ys = coordinates(fname .. ": x", o.x, nx), coordinates(fname .. ": y", o.y, ny)
  local zoom = zoom_of(o.zoom, GRID_SIDE, math.max(nx * images.w, ny * images.h))
  local width, height = nx * images.w * zoom, ny * images.h * zoom
  local x, leftwards = cell_axis(xs, 10, width / CHAR)
  local y, downwards = cell_axis(ys, math.max(1, math.min(10, height // (2 * EM))))
  if leftwards then
    mirror(images, nx)
  end
  local picture = tile(fname, grid_rows(images, ny, nx, downwards), {
    range = range_of(fname, o.range, {images}, images.bytes), invert = o.invert, zoom = zoom,
    gap = o.gap,
  })
  local xlabel, ylabel = chart.wrap(o.xlabel, picture.w + 4 * EM), chart.wrap(o.ylabel, picture.h + 2 * EM)
  local left = math.floor((1.6 + (ylabel and 1.6 or 0) + more_lines(ylabel)) * EM + axes.label_length(y) * CHAR)
  local right, bottom = math.floor(1.6 * EM), math.floor(((xlabel and 4 or 2.4) + more_lines(xlabel)) * EM)
  local panel = {pictures = true, width = picture.w + left + right}
  panel.in_cells = {picture = picture, below = ("%s from %.4g to %.4g, %s from %.4g to %.4g upwards"):format(
    o.xlabel or "x", x.from, x.to, o.ylabel or "y", y.from, y.to)}
  local top = math.floor(math.max(title_height(o.title, panel.width - 4 * EM), 1.2 * EM))
  panel.height = picture.h + top + bottom
  function panel.draw(s, rect)
    local area = {x = rect.x + left, y = rect.y + top, w = picture.w, h = picture.h}
    s:clear()
    s:area(area, rect)
    s:axis("x", x)
    s:axis("y", y)
    local title = script_of.wrap(o.title, panel.width - 4 * EM)
    s:titles({title = title, xlabel = xlabel, ylabel = ylabel}, area, rect)
    s:add("unset grid")
    draw_canvas(s, picture, {x.from, x.to}, {y.from, y.to})
  end
  return panel
end

-- Labelled rows ---------------------------------------------------------------------------------------

local rows_options = kinds.declare("plot.image_rows", {
  {"rows", "any", nil, "{{label = text, images = [n, H, W] or [n, H, W, 1 or 3]}, ...}"},
  {"titles", "any", nil, "one a column"}, gap_option(6), table.unpack(PICTURE),
})
local read_row = options.reader("plot.image_rows: row", {{"label", kinds.text}, {"images", "any"}})

local function read_rows(fname, rows)
  if type(rows) ~= "table" or #rows == 0 then
    raise(fname .. ": rows: expected a list of {label = ..., images = ...}")
  end
  local list, sets, bytes = {}, {}, true
  for i, row in ipairs(rows) do
    local name = ("%s: row %d"):format(fname, i)
    row = read_row(row, name)
    local images = values.images(name .. ": images", row.images, 1)
    local first = list[1] and list[1].images or images
    if images.h ~= first.h or images.w ~= first.w then
      raise(("%s: images: are %dx%d, but those of row 1 are %dx%d"):format(
        name, images.h, images.w, first.h, first.w))
    end
    bytes, sets[i] = bytes and images.bytes, images
    list[i] = {images = images, first = 1, count = images.n, label = row.label}
  end
  return list, sets, bytes
end

local function rows_layout(o, list, titles, picture, gap, columns)
  local longest, more = 0, 0
  for _, text in ipairs(titles) do
    more = math.max(more, more_lines(text))
  end
  for _, row in ipairs(list) do
    longest = math.max(longest, script_of.longest_line(row.label or ""))
  end
  local margin = math.floor(EM)
  local m = {left = margin + (longest > 0 and math.ceil(longest * CHAR + EM) or 0), margin = margin}
  m.width = picture.w + m.left + margin
  m.title = math.floor(title_height(o.title, m.width - 4 * EM))
  m.top = m.title + (o.titles and math.floor((1.5 + more) * EM) or 0)
  m.height = picture.h + m.top + margin
  m.step_x, m.step_y = (picture.w + gap) / columns, (picture.h + gap) / #list
  m.tile_w, m.tile_h = m.step_x - gap, m.step_y - gap
  return m
end

--- See latent.plot.image_rows.
function M.image_rows(arguments, fname)
  local o = rows_options(arguments)
  local list, sets, bytes = read_rows(fname, o.rows)
  local columns = 0
  for _, row in ipairs(list) do
    columns = math.max(columns, row.count)
  end
  if o.titles and (type(o.titles) ~= "table" or #o.titles > columns) then
    raise(("%s: titles: expected a list of at most %d, one a column"):format(fname, columns))
  end
  local titles = o.titles and kinds.texts(fname .. ": titles", o.titles, #o.titles, "one a column") or {}
  local first, gap = list[1].images, o.gap
  local picture = tile(fname, list, {
    range = range_of(fname, o.range, sets, bytes), gap = gap, invert = o.invert,
    zoom = zoom_of(o.zoom, ROWS_SIDE, math.max(columns, 6) * first.w),
  })
  local m = rows_layout(o, list, titles, picture, gap, columns)
  local labels = {}
  for i, row in ipairs(list) do labels[i] = row.label or "" end
  local panel = {pictures = true, width = m.width, height = m.height,
    in_cells = {picture = picture, labels = labels, titles = titles, columns = columns}}
  function panel.draw(s, rect)
    local area = {x = rect.x + m.left, y = rect.y + m.top, w = picture.w, h = picture.h}
    start(s, rect, area)
    s:add("set xrange [0:1] noextend; set yrange [0:1] noextend")
    s:titles({title = script_of.wrap(o.title, m.width - 4 * EM)}, area, rect)
    for i, row in ipairs(list) do
      if row.label then
        local middle = area.y + (i - 1) * m.step_y + m.tile_h / 2
        s:label(row.label, area.x - 0.7 * EM, middle - more_lines(row.label) * EM / 2, "right")
      end
    end
    for i, text in ipairs(titles) do
      s:label(text, area.x + (i - 1) * m.step_x + m.tile_w / 2, area.y - (0.8 + more_lines(text)) * EM, "center")
    end
    draw_canvas(s, picture, {0, 1}, {0, 1})
  end
  return panel
end

return M
