--- For specs of figures: files read whole, PNG files read without the library's own reader, images made.

local assert = require "luassert"
local core = require "latent.core"

local M = {}

--- A whole file.
function M.read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "a"
  file:close()
  return bytes
end

--- Width and height of a PNG.
function M.png_size(path)
  local bytes = M.read(path)
  assert.equal("\137PNG\r\n\26\n", bytes:sub(1, 8))
  assert.equal("IHDR", bytes:sub(13, 16))
  return string.unpack(">I4I4", bytes, 17)
end

--- The pixels of an RGB PNG: rows of bytes, filters undone.
function M.png_rows(path)
  local bytes, data, at = M.read(path), {}, 9
  local width, height, depth, kind = string.unpack(">I4I4BB", bytes, 17)
  assert.same({8, 2}, {depth, kind})
  while at < #bytes do
    local size, name = string.unpack(">I4c4", bytes, at)
    if name == "IDAT" then
      data[#data + 1] = bytes:sub(at + 8, at + 7 + size)
    end
    at = at + size + 12
  end
  local raw, stride, rows = assert(core.inflate(table.concat(data))), width * 3, {}
  local before = {}
  for y = 1, height do
    local from = (y - 1) * (stride + 1) + 1
    local filter, row = raw:byte(from), {}
    for x = 1, stride do
      local a, b, c = row[x - 3] or 0, before[x] or 0, before[x - 3] or 0
      local p = a + b - c
      local da, db, dc = math.abs(p - a), math.abs(p - b), math.abs(p - c)
      local paeth = da <= db and da <= dc and a or db <= dc and b or c
      local add = ({[0] = 0, a, b, (a + b) // 2, paeth})[filter]
      row[x] = (raw:byte(from + x) + add) & 255
    end
    rows[y], before = row, row
  end
  return rows, width, height
end

--- An image of numbers: f(y, x), or 0.
function M.image(height, width, f)
  local image = {}
  for y = 1, height do
    image[y] = {}
    for x = 1, width do
      image[y][x] = f and f(y, x) or 0
    end
  end
  return image
end

return M
