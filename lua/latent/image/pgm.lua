--- PGM and PPM, the plainest of pictures: grey ones, P5 (bytes) and P2 (text), and those in colour, P6 and P3, are
-- read; P5 and P6 are written.
-- @module latent.image.pgm

local core = require "latent.core"
local png = require "latent.image.png" -- for the limits of a picture's size

local M = {}

-- The number at a position and the position behind it; comments run from # to the line's end.
local function number(bytes, at)
  while true do
    local digits, next_at = bytes:match("^%s*(%d+)()", at)
    if digits then return tonumber(digits), next_at end
    at = bytes:match("^%s*#[^\n]*\n()", at)
    if not at then return nil end
  end
end

local function read_header(bytes)
  local width, height, most
  local at = 3
  width, at = number(bytes, at)
  if width then height, at = number(bytes, at) end
  if height then most, at = number(bytes, at) end
  if not most then return nil, "its header is cut off" end
  if width < 1 or height < 1 or width > png.max_side or height > png.max_side or width * height > png.max_pixels then
    return nil, ("%.0f x %.0f pixels; expected 1 to %d a side and at most %d"):format(width, height, png.max_side,
      png.max_pixels)
  end
  if most < 1 or most > 65535 then return nil, ("its largest value is %.0f, expected 1 to 65535"):format(most) end
  return {width = width, height = height, most = most, at = at}
end

-- One white space follows the header, then a byte a value, or two with the high one first.
local function find_bytes(bytes, picture)
  local expected = picture.width * picture.height * picture.channels * (picture.most > 255 and 2 or 1)
  local first = picture.at + 1
  if not bytes:find("^%s", picture.at) or #bytes - first + 1 < expected then
    return nil, ("ends after %d bytes of its pixels, expected %d"):format(math.max(#bytes - first + 1, 0), expected)
  end
  picture.at = first
  return true
end

local function find_text(bytes, picture)
  local count = picture.width * picture.height * picture.channels
  if #bytes - picture.at < 2 * count - 1 then return nil, ("is too short for %d pixels"):format(count) end
  return true
end

-- Each finds where the pixels begin: true, or nil and a message where the file cannot hold them all.
local KINDS = {P2 = {1, find_text}, P3 = {3, find_text}, P5 = {1, find_bytes}, P6 = {3, find_bytes}}

--- Whether bytes begin as a PGM or PPM file does.
-- @tparam string bytes
-- @treturn boolean
function M.is(bytes) return KINDS[bytes:match "^(P%d)[%s#]"] ~= nil end

--- Reads a picture.
-- @tparam string bytes of the file
-- @treturn ?Tensor [height, width], in 0..1, or in colour [height, width, 3]; nil where the data are damaged
-- @treturn ?string the message then
function M.decode(bytes)
  local picture, message = read_header(bytes)
  if not picture then return nil, message end
  local channels, find = table.unpack(KINDS[bytes:sub(1, 2)])
  picture.channels = channels
  local ok
  ok, message = find(bytes, picture)
  if not ok then return nil, message end
  return core.pgm_pixels(picture, bytes, find == find_text)
end

--- The bytes of a PGM file with 8 bits a pixel, or of a PPM file.
-- @tparam string samples height x width x channels bytes
-- @tparam int height
-- @tparam int width
-- @tparam int channels 1 (grey) or 3 (red, green, blue)
-- @treturn string
function M.encode(samples, height, width, channels)
  return ("%s\n%d %d\n255\n"):format(channels == 3 and "P6" or "P5", width, height) .. samples
end

return M
