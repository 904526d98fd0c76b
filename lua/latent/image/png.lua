--- PNG: every bit depth and colour type is read, also interlaced; 8-bit grey and
-- RGB are written. Every chunk's checksum is compared, and the picture's size with the data before memory is taken.
-- @module latent.image.png

local core = require "latent.core"

local M = {}

local SIGNATURE = "\137PNG\r\n\26\n"

--- The most pixels that a picture may have, and the longest side.
M.max_pixels, M.max_side = 1 << 24, 32767

local MOST_DEFLATED = 1032 -- deflate packs no byte string more tightly than 1 to this

local GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
local DEPTHS = {[GREY] = {1, 2, 4, 8, 16}, [RGB] = {8, 16}, [PALETTE] = {1, 2, 4, 8}, [GREY_ALPHA] = {8, 16},
  [RGB_ALPHA] = {8, 16}}

-- Reading: chunks.

-- The next chunk's type, data and end, or nil and a message.
local function read_chunk(bytes, at)
  if at + 11 > #bytes then return nil, "ends before its last chunk" end
  local length = (">I4"):unpack(bytes, at)
  if length > #bytes - at - 11 then return nil, "ends inside a chunk" end
  local kind, data = bytes:sub(at + 4, at + 7), bytes:sub(at + 8, at + 7 + length)
  if core.crc32(data, core.crc32(kind)) ~= (">I4"):unpack(bytes, at + 8 + length) then
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
  return {width = width, height = height, depth = depth, color = color, interlaced = interlace == 1}
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

--- Whether bytes begin as a PNG file does.
-- @tparam string bytes
-- @treturn boolean
function M.is(bytes) return bytes:sub(1, #SIGNATURE) == SIGNATURE end

--- Reads a picture; what is transparent lies on white.
-- @tparam string bytes of the file
-- @tparam ?boolean color red, green and blue in place of grey
-- @treturn ?Tensor [height, width], in 0..1, or [height, width, 3]; nil where the data are damaged
-- @treturn ?string the message then
function M.decode(bytes, color)
  local picture, message = read_chunks(bytes)
  if not picture then return nil, message end
  picture.in_color = color
  local expected = core.png_size(picture)
  if expected // MOST_DEFLATED > #picture.packed then return nil, "its data are too short for its size" end
  local rows
  rows, message = core.inflate(picture.packed, "zlib", expected)
  if not rows then return nil, message end
  if #rows ~= expected then return nil, ("holds %d bytes, expected %d"):format(#rows, expected) end
  return core.png_pixels(picture, rows)
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
