--- Reads IDX files, the format that MNIST and its relatives come in, plain or gzip.
-- An IDX file is: two zero bytes, a byte for the element type, a byte for the number of axes, one
-- big-endian 32-bit size an axis, then the elements. Only unsigned bytes (type 8) are taken.
-- Knows nothing of what the elements mean.
-- @module latent.idx

local core = require "latent.core"
local options = require "latent.options"
local dtypes = require "latent.dtypes"
local files = require "latent.files"
local raise = core.raise

local M = {}

local TYPES = {
  [0x09] = "signed bytes", [0x0B] = "16-bit integers", [0x0C] = "32-bit integers",
  [0x0D] = "32-bit floats", [0x0E] = "64-bit floats",
}

local MAX_AXES = 4

--- An open IDX file.
-- @type Reader
-- @tfield string path
-- @tfield {int,...} shape of the whole array
-- @tfield boolean gzip whether the file is compressed
local Reader = {}
Reader.__index = Reader
Reader.__name = "reader" -- in messages

-- A source gives the next n bytes (fewer at the end), from a file or from an inflated string.
local function file_source(file)
  return {
    read = function(_, n) return n == 0 and "" or file:read(n) or "" end,
    close = function() file:close() end,
  }
end

local function string_source(bytes)
  local at = 1
  return {
    read = function(_, n)
      local part = bytes:sub(at, at + n - 1)
      at = at + n
      return part
    end,
    close = function() bytes, at = "", 1 end,
  }
end

-- The source, the number of bytes that it holds and whether they were packed; or nil and a message.
local function open_source(path)
  local file, size = files.open(path)
  if not file then return nil, size end
  local magic = file:read(2) or ""
  file:seek("set", 0)
  if magic ~= "\31\139" then return file_source(file), size, false end
  local packed = file:read("a")
  file:close()
  local bytes, message = core.inflate(packed)
  if not bytes then return nil, ("%s: damaged gzip file: %s"):format(path, message) end
  return string_source(bytes), #bytes, true
end

local function times(shape) return table.concat(shape, " x ") end

-- Reads the header: the shape, or nil and what is wrong with it.
local function read_header(source, size)
  local magic = source:read(4)
  if #magic < 4 then return nil, ("too short for an IDX file: %d bytes"):format(size) end
  local zeros, element, axes = (">I2BB"):unpack(magic)
  if zeros ~= 0 or (element ~= 8 and not TYPES[element]) then
    return nil, ("not an IDX file: expected the magic 00 00 08, found %02x %02x %02x"):format(
      magic:byte(1, 3))
  end
  if element ~= 8 then
    return nil, ("expected elements that are unsigned bytes, found %s"):format(TYPES[element])
  end
  if axes < 1 or axes > MAX_AXES then
    return nil, ("expected 1 to %d axes, found %d"):format(MAX_AXES, axes)
  end
  local sizes = source:read(4 * axes)
  if #sizes < 4 * axes then return nil, "ends inside its header" end
  local shape = { (">" .. ("I4"):rep(axes)):unpack(sizes) }
  shape[#shape] = nil -- the last thing unpacked is a position
  return shape
end

-- Compares the shape with what the file holds.
local function check_size(shape, size)
  local header = 4 + 4 * #shape
  local body = size - header
  local expected = dtypes.shape_bytes(shape, 1, body)
  if expected == body then return true end
  if expected < body then
    return nil, ("%d bytes after the end of its %s elements"):format(body - expected, times(shape))
  end
  if math.min(table.unpack(shape)) == 0 then return nil, ("its shape %s is too large"):format(times(shape)) end
  return nil, ("truncated: expected %s elements, found %d bytes"):format(times(shape), body)
end

--- Opens an IDX file and checks its magic, axes and size. Read it in blocks and close it.
-- @tparam string path
-- @treturn ?Reader nil where the file is none, or damaged
-- @treturn ?string the message then
function M.open(path)
  local source, size, gzip = open_source(path)
  if not source then return nil, size end
  local shape, message = read_header(source, size)
  if shape then
    local ok
    ok, message = check_size(shape, size)
    if not ok then shape = nil end
  end
  if not shape then
    source:close()
    return nil, ("%s: %s"):format(path, message)
  end
  local row = 1
  for axis = 2, #shape do row = row * shape[axis] end
  return setmetatable({
    path = path, shape = shape, gzip = gzip, source = source, row = row, left = shape[1],
  }, Reader)
end

--- The bytes of the next `count` rows (first axis), fewer at the end of the file.
-- @tparam int count
-- @treturn ?string the bytes; nil where the file is damaged
-- @treturn int|string the number of rows, or the message
function Reader:read(count)
  if math.type(count) ~= "integer" or count < 0 then
    raise("idx: read: count: expected a number of rows, got " .. options.describe(count))
  end
  count = math.min(count, self.left)
  local bytes = self.source:read(count * self.row)
  if #bytes ~= count * self.row then return nil, self.path .. ": changed while it was read" end
  self.left = self.left - count
  return bytes, count
end

--- Closes the file.
function Reader:close() self.source:close() end

Reader.__close = Reader.close

--- Reads a whole IDX file.
-- @tparam string path
-- @treturn ?Tensor u8, of the file's shape; nil where the file is none, or damaged
-- @treturn ?string the message then
function M.read(path)
  local reader, message = M.open(path)
  if not reader then return nil, message end
  local bytes
  bytes, message = reader:read(reader.shape[1])
  reader:close()
  if not bytes then return nil, message end
  return require("latent").from_bytes(bytes, reader.shape, "u8")
end

return M
