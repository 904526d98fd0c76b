--- Pictures: one image, a grid of images over latent coordinates, labelled rows of images.
-- @module latent.plot.images

local axes = require "latent.plot.axes"
local canvas = require "latent.plot.canvas"
local chart = require "latent.plot.chart"
local check = require("latent.options").check
local raise = require("latent.core").raise
local script_of = require "latent.plot.script"
local values = require "latent.plot.values"

local M = {}

local number = script_of.number
local IMAGE_SIDE, GRID_SIDE, ROWS_SIDE = 448, 960, 800 -- pixels a picture is enlarged to, about
local MOST_ZOOM = 16
local EM, CHAR = script_of.EM, script_of.CHAR

local function range_of(fname, range, bytes)
  return chart.range(fname .. ": range", range) or (bytes and { 0, 255 } or { -1, 1 })
end

local function zoom_of(fname, zoom, side, size)
  return chart.at_least(fname .. ": zoom", zoom, 1, true)
    or math.max(1, math.min(MOST_ZOOM, side // size))
end

--- Height of a title over a picture `width` pixels wide.
local function title_height(title, width)
  local _, lines = script_of.wrap(title, width)
  return lines > 0 and (1.3 + 1.55 * lines) * EM or 0.8 * EM
end

--- Draws a canvas so that its pixels fill the area exactly.
local function draw_canvas(s, picture, x, y)
  local dx, dy = (x[2] - x[1]) / picture.w, (y[2] - y[1]) / picture.h
  local source = s:data(picture.bytes, ("array=(%d,%d) format='%%uchar'"):format(picture.w, picture.h))
  s:plot{ ("%s flipy origin=(%s,%s) dx=%s dy=%s using 1:2:3 with rgbimage notitle"):format(
    source, number(x[1] + dx / 2), number(y[1] + dy / 2), number(dx), number(dy)) }
end

local function start(s, rect, area)
  s:clear()
  s:area(area, rect)
  s:add("unset border; unset grid; unset xtics; unset ytics")
end

--- See latent.plot.image.
function M.image(arguments, fname)
  local o = chart.options_of(fname, arguments, { "image", "title", "range", "zoom", "invert" })
  local data = o.image
  if data == nil then
    data = arguments[1]
  end
  local images = values.images(fname .. ": image", data, 1)
  if images.n ~= 1 then
    raise(("%s: image: expected one image, got %d"):format(fname, images.n))
  end
  local picture = canvas.tile({ { images = images, first = 1, count = 1 } }, {
    range = range_of(fname, o.range, images.bytes), gap = 0, invert = o.invert,
    zoom = zoom_of(fname, o.zoom, IMAGE_SIDE, math.max(images.w, images.h)),
  })
  local margin = math.floor(EM)
  local panel = { pictures = true }
  panel.width = picture.w + 2 * margin
  local top = math.floor(title_height(o.title, panel.width))
  panel.height = picture.h + top + margin
  function panel.draw(s, rect)
    local area = { x = rect.x + margin, y = rect.y + top, w = picture.w, h = picture.h }
    start(s, rect, area)
    s:add("set xrange [0:1] noextend; set yrange [0:1] noextend")
    s:titles({ title = script_of.wrap(o.title, panel.width) }, area, rect)
    draw_canvas(s, picture, { 0, 1 }, { 0, 1 })
  end
  return panel
end

-- A grid over coordinates -----------------------------------------------------------------------------

--- Coordinates of n cells: {first, last} or one number a cell.
local function coordinates(name, given, n)
  if given == nil then
    given = { 1, n }
  end
  local list = values.list(name, given)
  if #list == 2 and n > 1 then
    local first, last = list[1], list[2]
    for i = 1, n do
      list[i] = first + (last - first) * (i - 1) / (n - 1)
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

--- The axis under cells at these coordinates, and whether it runs downwards through the list.
local function cell_axis(list, count)
  local n = #list
  local step = n > 1 and (list[n] - list[1]) / (n - 1) or 1
  local even = true
  for i = 2, n do
    even = even and math.abs(list[i] - list[i - 1] - step) < 1e-4 * math.abs(step)
  end
  if even then
    local lo, hi = math.min(list[1], list[n]), math.max(list[1], list[n])
    local half = math.abs(step) / 2
    return axes.new(lo - half, hi + half, { count = count }), step < 0
  end
  local axis = { lo = 0.5, hi = n + 0.5, log = false, ticks = {} }
  local every = math.max(1, math.ceil(n / count))
  for i = 1, n, every do
    axis.ticks[#axis.ticks + 1] = { i, ("%.3g"):format(list[i]) }
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
  local columns = chart.at_least(fname .. ": columns", o.columns, 1, true)
  local nx, ny = columns or length(o.x), length(o.y)
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
    rows[r] = { images = images, first = (row - 1) * nx + 1, count = nx }
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

--- See latent.plot.image_grid.
function M.image_grid(arguments, fname)
  local o = chart.options_of(fname, arguments, { "images", "x", "y", "columns", "title", "xlabel", "ylabel",
    "range", "zoom", "gap", "invert" })
  local images = values.images(fname .. ": images", o.images, 2)
  local ny, nx = grid_shape(fname, o, images)
  local xs, ys = coordinates(fname .. ": x", o.x, nx), coordinates(fname .. ": y", o.y, ny)
  local x, leftwards = cell_axis(xs, 10)
  local y, downwards = cell_axis(ys, 10)
  if leftwards then
    mirror(images, nx)
  end
  local picture = canvas.tile(grid_rows(images, ny, nx, downwards), {
    range = range_of(fname, o.range, images.bytes), invert = o.invert,
    gap = chart.at_least(fname .. ": gap", o.gap, 0, true) or 0,
    zoom = zoom_of(fname, o.zoom, GRID_SIDE, math.max(nx * images.w, ny * images.h)),
  })
  local left = math.floor((1.6 + (o.ylabel and 1.6 or 0)) * EM + axes.label_length(y) * CHAR)
  local right, bottom = math.floor(1.6 * EM), math.floor((o.xlabel and 4 or 2.4) * EM)
  local panel = { pictures = true, width = picture.w + left + right }
  local top = math.floor(math.max(title_height(o.title, panel.width - 4 * EM), 1.2 * EM))
  panel.height = picture.h + top + bottom
  function panel.draw(s, rect)
    local area = { x = rect.x + left, y = rect.y + top, w = picture.w, h = picture.h }
    s:clear()
    s:area(area, rect)
    s:axis("x", x)
    s:axis("y", y)
    local title = script_of.wrap(o.title, panel.width - 4 * EM)
    s:titles({ title = title, xlabel = o.xlabel, ylabel = o.ylabel }, area, rect)
    s:add("unset grid")
    draw_canvas(s, picture, { x.lo, x.hi }, { y.lo, y.hi })
  end
  return panel
end

-- Labelled rows ---------------------------------------------------------------------------------------

local function read_rows(fname, rows)
  if type(rows) ~= "table" or #rows == 0 then
    raise(fname .. ": rows: expected a list of {label = ..., images = ...}")
  end
  local list, bytes = {}, true
  for i, row in ipairs(rows) do
    local name = ("%s: row %d"):format(fname, i)
    check(name, row, { "label", "images" })
    local images = values.images(name .. ": images", row.images, 1)
    local first = list[1] and list[1].images or images
    if images.h ~= first.h or images.w ~= first.w then
      raise(("%s: images: are %dx%d, but those of row 1 are %dx%d"):format(
        name, images.h, images.w, first.h, first.w))
    end
    bytes = bytes and images.bytes
    list[i] = { images = images, first = 1, count = images.n, label = row.label and tostring(row.label) }
  end
  return list, bytes
end

local function rows_layout(o, list, picture, gap, columns)
  local longest = 0
  for _, row in ipairs(list) do
    longest = math.max(longest, script_of.longest_line(row.label or ""))
  end
  local margin = math.floor(EM)
  local m = { left = margin + (longest > 0 and math.ceil(longest * CHAR + EM) or 0), margin = margin }
  m.width = picture.w + m.left + margin
  m.title = math.floor(title_height(o.title, m.width - 4 * EM))
  m.top = m.title + (o.titles and math.floor(1.5 * EM) or 0)
  m.height = picture.h + m.top + margin
  m.step_x, m.step_y = (picture.w + gap) / columns, (picture.h + gap) / #list
  m.tile_w, m.tile_h = m.step_x - gap, m.step_y - gap
  return m
end

--- See latent.plot.image_rows.
function M.image_rows(arguments, fname)
  local o = chart.options_of(fname, arguments,
    { "rows", "titles", "title", "range", "zoom", "gap", "invert" })
  local list, bytes = read_rows(fname, o.rows)
  local columns = 0
  for _, row in ipairs(list) do
    columns = math.max(columns, row.count)
  end
  if o.titles and (type(o.titles) ~= "table" or #o.titles > columns) then
    raise(("%s: titles: expected a list of at most %d, one a column"):format(fname, columns))
  end
  local first, gap = list[1].images, chart.at_least(fname .. ": gap", o.gap, 0, true) or 6
  local picture = canvas.tile(list, {
    range = range_of(fname, o.range, bytes), gap = gap, invert = o.invert,
    zoom = zoom_of(fname, o.zoom, ROWS_SIDE, math.max(columns, 6) * first.w),
  })
  local m = rows_layout(o, list, picture, gap, columns)
  local panel = { pictures = true, width = m.width, height = m.height }
  function panel.draw(s, rect)
    local area = { x = rect.x + m.left, y = rect.y + m.top, w = picture.w, h = picture.h }
    start(s, rect, area)
    s:add("set xrange [0:1] noextend; set yrange [0:1] noextend")
    s:titles({ title = script_of.wrap(o.title, m.width - 4 * EM) }, area, rect)
    for i, row in ipairs(list) do
      if row.label then
        s:label(row.label, area.x - 0.7 * EM, area.y + (i - 1) * m.step_y + m.tile_h / 2, "right")
      end
    end
    for i, text in ipairs(o.titles or {}) do
      s:label(text, area.x + (i - 1) * m.step_x + m.tile_w / 2, area.y - 0.8 * EM, "center")
    end
    draw_canvas(s, picture, { 0, 1 }, { 0, 1 })
  end
  return panel
end

return M
