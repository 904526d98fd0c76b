--- Pictures from numbers: turns image values into rows of RGB bytes and lays images out side by side.
-- Pixels are enlarged here, by whole factors, so that no output format can blur them.
-- @module latent.plot.canvas

local M = {}

local WHITE = "\255\255\255"
local NOT_A_NUMBER = "\200\71\15" -- a NaN must be seen, not drawn as a grey

local function level_of(value, lo, scale)
  if value ~= value then
    return nil
  end
  local level = (value - lo) * scale
  return level <= 0 and 0 or level >= 255 and 255 or math.floor(level + 0.5)
end

--- By what values are multiplied so that their span is an ordinary number.
local function unit_of(range)
  local span = range[2] - range[1]
  return span == math.huge and 0.25 or span < 1e-290 and 2.0 ^ 600 or 1
end

local function grey_pixels(zoom)
  local pixels = {}
  for level = 0, 255 do
    pixels[level] = string.char(level, level, level):rep(zoom)
  end
  return pixels
end

--- Pixel reader for a set of images: (image, row, column from 1) -> RGB bytes, `zoom` pixels wide.
local function reader(images, o)
  local unit = unit_of(o.range)
  local lo, hi = o.range[1] * unit, o.range[2] * unit
  local scale, zoom, c = 255 / (hi - lo), o.zoom, images.c
  local values, grey = images.values, grey_pixels(zoom)
  local bad = NOT_A_NUMBER:rep(zoom)
  return function(at)
    local first = level_of(values[at] * unit, lo, scale)
    if c == 1 then
      if not first then
        return bad
      end
      return grey[o.invert and 255 - first or first]
    end
    local green = level_of(values[at + 1] * unit, lo, scale)
    local blue = level_of(values[at + 2] * unit, lo, scale)
    if not (first and green and blue) then
      return bad
    end
    return string.char(first, green, blue):rep(zoom)
  end
end

--- The rows of image number `index`, enlarged across but not down.
local function image_rows(images, index, pixel)
  local rows, c, w = {}, images.c, images.w
  local at = (index - 1) * images.h * w * c + 1
  for y = 1, images.h do
    local row = {}
    for x = 1, w do
      row[x] = pixel(at)
      at = at + c
    end
    rows[y] = table.concat(row)
  end
  return rows
end

--- The size of a grid of images in pixels.
-- @tparam {table,...} rows as for `tile`
-- @tparam table o {zoom, gap}
-- @treturn int width
-- @treturn int height
-- @treturn int columns
function M.size(rows, o)
  local tile_w, tile_h = rows[1].images.w * o.zoom, rows[1].images.h * o.zoom
  local columns = 0
  for _, row in ipairs(rows) do
    columns = math.max(columns, row.count)
  end
  return columns * tile_w + (columns - 1) * o.gap, #rows * tile_h + (#rows - 1) * o.gap, columns
end

--- Lays images out in a grid.
-- @tparam {table,...} rows rows from the top: each {images = from values.images, first = index of its
--   first image, count = how many}; all of one height and width
-- @tparam table o {range = {lo, hi}, zoom, gap = white pixels between images, invert}
-- @treturn table {w, h, bytes, zoom} RGB, top row first
function M.tile(rows, o)
  local width, height, columns = M.size(rows, o)
  local tile_w = rows[1].images.w * o.zoom
  local between, blank = WHITE:rep(o.gap), WHITE:rep(tile_w)
  local lines = {}
  for r, row in ipairs(rows) do
    local pixel, tiles = reader(row.images, o), {}
    for i = 1, row.count do
      tiles[i] = image_rows(row.images, row.first + i - 1, pixel)
    end
    if r > 1 and o.gap > 0 then
      lines[#lines + 1] = WHITE:rep(width):rep(o.gap)
    end
    for y = 1, row.images.h do
      local parts = {}
      for i = 1, columns do
        parts[i] = tiles[i] and tiles[i][y] or blank
      end
      lines[#lines + 1] = table.concat(parts, between):rep(o.zoom)
    end
  end
  return {w = width, h = height, bytes = table.concat(lines), zoom = o.zoom}
end

return M
