--- PNG, as far as grey pictures need it: every bit depth and colour type is read, also interlaced; 8-bit grey and
-- RGB are written. Every chunk's checksum is compared, and the picture's size with the data before memory is taken.
-- @module latent.image.png

local core = require "latent.core"

local M = {}

local SIGNATURE = "\137PNG\r\n\26\n"

--- The most pixels that a picture may have, and the longest side.
M.max_pixels, M.max_side = 1 << 24, 32767

local MOST_DEFLATED = 1032 -- deflate packs no byte string more tightly than 1 to this

local GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
local CHANNELS = {[GREY] = 1, [RGB] = 3, [PALETTE] = 1, [GREY_ALPHA] = 2, [RGB_ALPHA] = 4}
local DEPTHS = {[GREY] = {1, 2, 4, 8, 16}, [RGB] = {8, 16}, [PALETTE] = {1, 2, 4, 8}, [GREY_ALPHA] = {8, 16},
  [RGB_ALPHA] = {8, 16}}

-- Reading: chunks.

-- The next chunk's type, data and end, or nil and a message.
local function read_chunk(bytes, at)
  if at + 11 > #bytes then return nil, "ends before its last chunk" end
  local length = (">I4"):unpack(bytes, at)
  if length > #bytes - at - 11 then return nil, "ends inside a chunk" end
  local kind, data = bytes:sub(at + 4, at + 7), bytes:sub(at + 8, at + 7 + length)
  if core.crc32(kind .. data) ~= (">I4"):unpack(bytes, at + 8 + length) then
    return nil, ("the checksum of chunk %q is wrong"):format(kind)
  end
  return kind, data, at + 12 + length
end

local function contains(list, value)
  for _, item in ipairs(list or {}) do
    if item == value then return true end
  end
  return false
end

local function parse_header(data)
  if #data ~= 13 then return nil, "its header has the wrong length" end
  local width, height, depth, color, compression, filter, interlace = (">I4I4BBBBB"):unpack(data)
  if width < 1 or height < 1 or width > M.max_side or height > M.max_side or width * height > M.max_pixels then
    return nil, ("%d x %d pixels; expected 1 to %d a side and at most %d"):format(width, height, M.max_side,
      M.max_pixels)
  end
  if not contains(DEPTHS[color], depth) then
    return nil, ("colour type %d with %d bits does not exist"):format(color, depth)
  end
  if compression ~= 0 or filter ~= 0 or interlace > 1 then return nil, "its header asks for what does not exist" end
  return {width = width, height = height, depth = depth, color = color, interlaced = interlace == 1,
    channels = CHANNELS[color], most = (1 << depth) - 1}
end

local CHUNKS = {}

function CHUNKS.PLTE(picture, data)
  if #data == 0 or #data % 3 ~= 0 or #data > 768 then return nil, "its palette has the wrong length" end
  picture.palette = data
  return true
end

-- One transparency for each entry of a palette, or the one colour that is transparent.
function CHUNKS.tRNS(picture, data)
  local color = picture.color
  if color == GREY and #data == 2 or color == RGB and #data == 6 then
    picture.clear = {(">" .. ("I2"):rep(#data // 2)):unpack(data)}
  elseif color == PALETTE then
    picture.alphas = data
  end
  return true
end

-- The header's picture with its data as one string, or nil and a message.
local function read_chunks(bytes)
  local kind, data, at = read_chunk(bytes, #SIGNATURE + 1)
  if not kind then return nil, data end
  if kind ~= "IHDR" then return nil, "its header is missing" end
  local picture, message = parse_header(data)
  if not picture then return nil, message end
  local parts = {}
  repeat
    kind, data, at = read_chunk(bytes, at)
    if not kind then return nil, data end
    if kind == "IDAT" then
      parts[#parts + 1] = data
    elseif CHUNKS[kind] then
      local ok
      ok, message = CHUNKS[kind](picture, data)
      if not ok then return nil, message end
    elseif kind ~= "IEND" and kind:byte(1) & 32 == 0 then -- a capital: it must be understood
      return nil, ("chunk %q is not known"):format(kind)
    end
  until kind == "IEND"
  if picture.color == PALETTE and not picture.palette then return nil, "its palette is missing" end
  picture.packed = table.concat(parts)
  return picture
end

-- Reading: rows. A row is a list of bytes; filters add what stands left, above, or both.

local function paeth(left, above, corner)
  local estimate = left + above - corner
  local dl, da, dc = math.abs(estimate - left), math.abs(estimate - above), math.abs(estimate - corner)
  if dl <= da and dl <= dc then return left end
  return da <= dc and above or corner
end

local FILTERS = {
  [0] = function() end,
  function(row, _, step)
    for i = step + 1, #row do row[i] = row[i] + row[i - step] & 255 end
  end,
  function(row, above)
    for i = 1, #row do row[i] = row[i] + above[i] & 255 end
  end,
  function(row, above, step)
    for i = 1, #row do row[i] = row[i] + ((row[i - step] or 0) + above[i]) // 2 & 255 end
  end,
  function(row, above, step)
    for i = 1, #row do
      row[i] = row[i] + paeth(row[i - step] or 0, above[i], above[i - step] or 0) & 255
    end
  end,
}

-- The samples of a row of bytes, at most 8 or 16 bits each.
local function samples_of(row, count, depth)
  if depth == 8 then return row end
  local samples, most = {}, (1 << depth) - 1
  for i = 1, count do
    if depth == 16 then
      samples[i] = row[2 * i - 1] << 8 | row[2 * i]
    else
      local bit = (i - 1) * depth
      samples[i] = row[(bit >> 3) + 1] >> 8 - depth - (bit & 7) & most
    end
  end
  return samples
end

-- Pixels: from samples to one number in 0..1, transparent parts before white.

local function blend(value, alpha) return value * alpha + (1 - alpha) end

-- Rec. 601 luma of the stored values, which is what grey conversions commonly mean.
local function luma(r, g, b) return 0.299 * r + 0.587 * g + 0.114 * b end

local PIXELS = {}

PIXELS[GREY] = function(picture, s, i)
  if picture.clear and s[i] == picture.clear[1] then return 1 end
  return s[i] / picture.most
end

PIXELS[GREY_ALPHA] = function(picture, s, i) return blend(s[i] / picture.most, s[i + 1] / picture.most) end

PIXELS[RGB] = function(picture, s, i)
  local clear = picture.clear
  if clear and s[i] == clear[1] and s[i + 1] == clear[2] and s[i + 2] == clear[3] then return 1 end
  return luma(s[i], s[i + 1], s[i + 2]) / picture.most
end

PIXELS[RGB_ALPHA] = function(picture, s, i)
  return blend(luma(s[i], s[i + 1], s[i + 2]) / picture.most, s[i + 3] / picture.most)
end

PIXELS[PALETTE] = function(picture, s, i)
  local r, g, b = picture.palette:byte(3 * s[i] + 1, 3 * s[i] + 3)
  if not b then return nil end
  local alpha = picture.alphas and picture.alphas:byte(s[i] + 1) or 255
  return blend(luma(r, g, b) / 255, alpha / 255)
end

-- The rectangles of pixels that follow one another in the data: {x, y, step x, step y, width, height}.
local INTERLACED = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}

local function passes_of(picture)
  if not picture.interlaced then return {{0, 0, 1, 1, picture.width, picture.height}} end
  local passes = {}
  for _, p in ipairs(INTERLACED) do
    local width = (picture.width - p[1] + p[3] - 1) // p[3]
    local height = (picture.height - p[2] + p[4] - 1) // p[4]
    if width > 0 and height > 0 then passes[#passes + 1] = {p[1], p[2], p[3], p[4], width, height} end
  end
  return passes
end

local function row_bytes(picture, width) return (width * picture.channels * picture.depth + 7) // 8 end

-- Puts the pixels of one pass into `values`; the position behind its data, or nil and a message.
local function read_pass(picture, pass, data, at, values)
  local x0, y0, step_x, step_y, width, height = table.unpack(pass)
  local length, pixel = row_bytes(picture, width), PIXELS[picture.color]
  local step, above = math.max(picture.channels * picture.depth // 8, 1), {}
  for i = 1, length do above[i] = 0 end
  for y = 0, height - 1 do
    local filter = FILTERS[data:byte(at)]
    if not filter then return nil, ("row %d has filter %d, which does not exist"):format(y + 1, data:byte(at)) end
    local row = {data:byte(at + 1, at + length)}
    filter(row, above, step)
    local samples = samples_of(row, width * picture.channels, picture.depth)
    local to = (y0 + y * step_y) * picture.width + x0 + 1
    for x = 0, width - 1 do
      local value = pixel(picture, samples, x * picture.channels + 1)
      if not value then return nil, "a pixel has a colour that its palette lacks" end
      values[to + x * step_x] = value
    end
    above, at = row, at + 1 + length
  end
  return at
end

--- Whether bytes begin as a PNG file does.
-- @tparam string bytes
-- @treturn boolean
function M.is(bytes) return bytes:sub(1, #SIGNATURE) == SIGNATURE end

--- Reads a picture as grey values.
-- @tparam string bytes of the file
-- @return a list of numbers in 0..1, row by row, height and width; or nil and a message
function M.decode(bytes)
  local picture, message = read_chunks(bytes)
  if not picture then return nil, message end
  local passes, expected = passes_of(picture), 0
  for _, pass in ipairs(passes) do expected = expected + pass[6] * (1 + row_bytes(picture, pass[5])) end
  if expected // MOST_DEFLATED > #picture.packed then return nil, "its data are too short for its size" end
  local data
  data, message = core.inflate(picture.packed, "zlib", expected)
  if not data then return nil, message end
  if #data ~= expected then return nil, ("holds %d bytes, expected %d"):format(#data, expected) end
  local values, at = {}, 1
  for i = 1, picture.width * picture.height do values[i] = 0 end
  for _, pass in ipairs(passes) do
    at, message = read_pass(picture, pass, data, at, values)
    if not at then return nil, message end
  end
  return values, picture.height, picture.width
end

local function chunk(kind, data)
  return (">I4"):pack(#data) .. kind .. data .. (">I4"):pack(core.crc32(kind .. data))
end

--- The bytes of a PNG file with 8 bits a sample.
-- @tparam string samples height x width x channels bytes
-- @tparam int height
-- @tparam int width
-- @tparam int channels 1 (grey) or 3 (RGB)
-- @treturn string
function M.encode(samples, height, width, channels)
  local rows, length = {}, width * channels
  for y = 0, height - 1 do rows[y + 1] = "\0" .. samples:sub(y * length + 1, (y + 1) * length) end
  local header = (">I4I4BBBBB"):pack(width, height, 8, channels == 3 and RGB or GREY, 0, 0, 0)
  return SIGNATURE .. chunk("IHDR", header) .. chunk("IDAT", core.deflate(table.concat(rows), "zlib", 9))
    .. chunk("IEND", "")
end

return M
