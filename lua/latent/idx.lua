--- Reads IDX files, the format that MNIST and its relatives come in, plain or gzip.
-- An IDX file is: two zero bytes, a byte for the element type, a byte for the number of axes, one
-- big-endian 32-bit size an axis, then the elements. Only unsigned bytes (type 8) are taken.
-- Knows nothing of what the elements mean.
-- @module latent.idx

local lt = require "latent"
local core = require "latent.core"
local dtypes = require "latent.base.dtypes"
local files = require "latent.base.files"
local options = require "latent.base.options"
local raise = core.raise

local M = {}

local TYPES = {
  [0x09] = "signed bytes", [0x0B] = "16-bit integers", [0x0C] = "32-bit integers",
  [0x0D] = "32-bit floats", [0x0E] = "64-bit floats",
}

local MAX_AXES = 4
local MOST_DEFLATED = 1032 -- deflate packs no byte string more tightly than 1 to this
local PIECE = 1 << 30 -- bytes unpacked at a time

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

local function times(shape) return table.concat(shape, " x ") end

-- Reads the header: the shape, or nil and what is wrong with it.
local function read_header(source)
  local magic = source:read(4)
  if #magic < 4 then return nil, ("too short for an IDX file: %d bytes"):format(#magic) end
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
  local shape = {(">" .. ("I4"):rep(axes)):unpack(sizes)}
  shape[#shape] = nil -- the last thing unpacked is a position
  return shape
end

-- The number of bytes that a file of this shape has, or math.huge, before anything overflows, where they are more
-- than `most` or no tensor can have the shape.
local function expected_size(shape, most)
  local header = 4 + 4 * #shape
  return header + dtypes.shape_bytes(shape, 1, most - header)
end

local function truncated(shape, size)
  return nil, ("truncated: expected %s elements, found %d bytes"):format(times(shape), size - 4 - 4 * #shape)
end

local function check_size(shape, size)
  local expected = expected_size(shape, size)
  if expected == size then return true end
  if expected == math.huge and math.min(table.unpack(shape)) == 0 then
    return nil, ("its shape %s is too large"):format(times(shape))
  elseif expected > size then
    return truncated(shape, size)
  end
  return nil, ("%d bytes after the end of its %s elements"):format(size - expected, times(shape))
end

-- The shape of a plain file of `size` bytes, or nil and what is wrong.
local function read_plain(source, size)
  local shape, message = read_header(source)
  if not shape then return nil, message end
  local ok
  ok, message = check_size(shape, size)
  if not ok then return nil, message end
  return shape
end

--- Unpacks an IDX file from gzip: as many bytes as its header promises, and never more.
-- @tparam string packed
-- @treturn ?string the whole file, header and elements; nil where it is damaged or something else
-- @treturn ?string the message then
function M.unpack(packed)
  local stream, damage = core.inflater(options.expect("idx.unpack", "packed", packed, "string")), nil
  local function read(count)
    local bytes, message = stream:read(count)
    damage = damage or message
    return bytes or ""
  end
  local head = read(4 + 4 * MAX_AXES)
  local shape, message = read_header(string_source(head))
  if damage then return nil, "damaged gzip file: " .. damage end
  if not shape then return nil, message end
  -- No stream unpacks to more than this; a header that asks for it is not believed.
  local expected = expected_size(shape, MOST_DEFLATED * #packed)
  if expected == math.huge then
    return nil, ("promises %s elements, which %d bytes of gzip cannot hold"):format(times(shape), #packed)
  end
  local parts = {head}
  local left = expected - #head
  while left > 0 and #parts[#parts] > 0 do
    parts[#parts + 1] = read(math.min(left, PIECE))
    left = left - #parts[#parts]
  end
  local more = left <= 0 and #read(1) or 0
  if damage then return nil, "damaged gzip file: " .. damage end
  if left > 0 then return truncated(shape, expected - left) end
  if left < 0 or more > 0 then
    return nil, ("there is more after the end of its %s elements"):format(times(shape))
  end
  return table.concat(parts)
end

-- The source of a file's bytes, behind its header, and its shape; or nil and a message.
local function open_source(path)
  local file, size = files.open(path)
  if not file then return nil, size end
  local magic = file:read(2) or ""
  file:seek("set", 0)
  local source = file_source(file)
  if magic == "\31\139" then
    local packed = file:read("a")
    file:close()
    local bytes, message = M.unpack(packed)
    if not bytes then return nil, ("%s: %s"):format(path, message) end
    source, size = string_source(bytes), #bytes
  end
  local shape, message = read_plain(source, size)
  if shape then return source, shape, magic == "\31\139" end
  source:close()
  return nil, ("%s: %s"):format(path, message)
end

--- Opens an IDX file and checks its magic, axes and size. Read it in blocks and close it.
-- @tparam string path
-- @treturn ?Reader nil where the file is none, or damaged
-- @treturn ?string the message then
function M.open(path)
  local source, shape, gzip = open_source(path)
  if not source then return nil, shape end
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

--- Opens a plain IDX file and leaves its elements there: they are read when they are looked at, and what is written
-- into the tensor stays out of the file. The file must not become shorter as long as the tensor is in use.
-- @tparam string path
-- @treturn ?Tensor u8, of the file's shape; nil where the file is none, damaged, or packed by gzip
-- @treturn ?string the message then
function M.map(path)
  local reader, message = M.open(options.expect("idx.map", "path", path, "string"))
  if not reader then return nil, message end
  reader:close()
  if reader.gzip then return nil, path .. ": is packed by gzip; unpack it to read it where it lies" end
  local tensor
  tensor, message = core.map_file(path, 4 + 4 * #reader.shape, reader.shape, "u8")
  if not tensor then return nil, ("%s: %s"):format(path, message) end
  return tensor
end

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
  return lt.from_bytes(bytes, reader.shape, "u8")
end

core.methods_of(Reader, "reader")

return M
