--- Named tensors in a safetensors file: the format of weights here, and of PyTorch users.
-- A file is: the header's length (8 bytes, little-endian), the header (JSON: a name, dtype, shape
-- and byte range for each tensor), the elements. Nothing in a file is believed before it is checked
-- against the file's size, so a damaged file costs a message and no memory.
-- @module latent.safetensors

local lt = require "latent"
local core = require "latent.core"
local dtypes = require "latent.base.dtypes"
local files = require "latent.base.files"
local json = require "latent.json"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"
local raise = core.raise

local M = {}

local MAX_HEADER = 100 * 1000 * 1000 -- the limit that the format itself sets
local MAX_AXES = 8

-- Saving.

local DTYPE_NAMES = dtypes.written

local function check_tensors(fname, tensors)
  if type(tensors) ~= "table" then
    raise(fname .. ": tensors: expected a table of tensors, got " .. options.describe(tensors))
  end
  local names = {}
  for name, tensor in pairs(tensors) do
    if type(name) ~= "string" or not utf8.len(name) then
      raise(fname .. ": tensors: expected names that are UTF-8 strings, got "
        .. options.describe(name))
    end
    if name == "__metadata__" then
      raise(fname .. ": tensors: the name __metadata__ is the format's own")
    end
    if not lt.is_tensor(tensor) then
      raise(('%s: tensors: "%s": expected a tensor, got %s'):format(
        fname, name, options.describe(tensor)))
    end
    if not DTYPE_NAMES[tensor.dtype] then
      raise(('%s: tensors: "%s": dtype %s cannot be saved'):format(
        fname, name, tensor.dtype))
    end
    names[#names + 1] = name
  end
  return names
end

local function check_metadata(fname, metadata)
  if metadata == nil then return nil end
  if type(metadata) ~= "table" then
    raise(fname .. ": metadata: expected a table, got " .. options.describe(metadata))
  end
  for key, value in pairs(metadata) do
    if type(key) ~= "string" or type(value) ~= "string" then
      raise(("%s: metadata: expected strings, got %s: %s (the format knows no other)")
        :format(fname, options.describe(key), options.describe(value)))
    end
  end
  return next(metadata) and metadata
end

local function header_of(tensors, names, metadata)
  local header, offset = {__metadata__ = metadata}, 0
  for _, name in ipairs(names) do
    local tensor = tensors[name]
    local dtype = DTYPE_NAMES[tensor.dtype]
    local stop = offset + tensor:numel() * dtypes.kinds[dtype].size
    header[name] = {
      dtype = dtype,
      shape = json.array {table.unpack(tensor.shape)},
      data_offsets = {offset, stop},
    }
    offset = stop
  end
  local text = json.encode(header)
  return text .. (" "):rep(-#text % 8) -- so that the elements are aligned
end

--- Writes the bytes of a file that holds the tensors; `save` is what one mostly wants.
-- The elements come last, in the order of the names.
-- @param file anything with `file:write(...)` as Lua's files have it
-- @tparam table tensors name -> tensor (any dtype and shape)
-- @tparam ?table metadata a table of strings
-- @treturn ?boolean true; nil where it fails
-- @treturn ?string the message then
function M.write(file, tensors, metadata)
  if io.type(file) ~= "file" and not (type(file) == "table" and file.write) then
    raise("safetensors.write: file: expected an open file, got " .. (io.type(file) or options.describe(file)))
  end
  local names = check_tensors("safetensors.write", tensors)
  -- By their bytes, in any locale: the data lie in the order of the names.
  core.plainly(table.sort, names)
  local header = header_of(tensors, names, check_metadata("safetensors.write", metadata))
  local ok, message = file:write(("<I8"):pack(#header), header)
  for _, name in ipairs(names) do
    if not ok then return nil, message end
    ok, message = file:write(tensors[name]:bytes())
  end
  return ok, message
end

local save_options = options.declare("safetensors.save", {
  {"metadata", "any", nil, "a table of strings, kept in the file"}})

--- Saves tensors under names, atomically: the file is whole and new, or what it was before.
-- @tparam string path
-- @tparam table tensors name -> tensor (any dtype and shape)
-- @tparam ?table opts
-- @treturn boolean true
-- @raise where the file cannot be written
function M.save(path, tensors, opts)
  if type(path) ~= "string" then
    raise("safetensors.save: path: expected a string, got " .. options.describe(path))
  end
  opts = save_options(opts)
  -- Misuse is raised before a file is begun.
  check_tensors("safetensors.save", tensors)
  check_metadata("safetensors.save", opts.metadata)
  return files.save(path, function(file)
    return M.write(file, tensors, opts.metadata)
  end)
end

-- Loading.
-- Each check returns a value, or nil and what is wrong.

local function read_header(file, size)
  if size < 8 then return nil, ("too short: %d bytes"):format(size) end
  local length = ("<I8"):unpack(file:read(8) or ("\255"):rep(8))
  -- As a signed number a length of 2^63 or more is negative.
  if length < 0 or length > size - 8 or length > MAX_HEADER then
    return nil, ("the header claims %.0f bytes, the file has %d after its length"):format(
      length < 0 and length + 2.0 ^ 64 or length, size - 8)
  end
  local header, message = json.decode(length > 0 and file:read(length) or "")
  if header == nil then return nil, "header: " .. message end
  if json.type(header) ~= "object" then return nil, "header: expected an object, found " .. json.type(header) end
  return header, length
end

local function is_list(value, length)
  if json.type(value) ~= "array" or (length and #value ~= length) then return false end
  for _, item in ipairs(value) do
    if math.type(item) ~= "integer" or item < 0 then return false end
  end
  return true
end

-- Fields that the format does not know yet are passed over, as its reference implementation does.
local function check_entry(entry, data_size)
  if json.type(entry) ~= "object" then return nil, "expected an object" end
  local dtype, shape, offsets = entry.dtype, entry.shape, entry.data_offsets
  if type(dtype) ~= "string" then return nil, "dtype: expected a string" end
  if not dtypes.kinds[dtype] then
    return nil, ("dtype %s is not supported (supported: %s)"):format(options.shown(dtype), dtypes.list)
  end
  if not is_list(shape) then return nil, "shape: expected an array of sizes" end
  if #shape > MAX_AXES then
    return nil, ("shape: expected at most %d axes, found %d"):format(MAX_AXES, #shape)
  end
  if not is_list(offsets, 2) or offsets[1] > offsets[2] or offsets[2] > data_size then
    return nil, ("data_offsets: expected a range within 0 .. %d"):format(data_size)
  end
  local expected = dtypes.shape_bytes(shape, dtypes.kinds[dtype].size, data_size)
  if offsets[2] - offsets[1] ~= expected then
    return nil, ("shape %s of %s does not fill %d bytes"):format(
      shapes.text(shape), dtype, offsets[2] - offsets[1])
  end
  return true
end

local function check_metadata_read(metadata)
  if metadata == nil or metadata == json.null then return {} end
  if json.type(metadata) ~= "object" then return nil, "__metadata__: expected an object" end
  for _, value in pairs(metadata) do
    if type(value) ~= "string" then return nil, "__metadata__: expected strings" end
  end
  return metadata
end

-- The names in the order of their data, when they cover it without gap or overlap.
local function check_layout(header, data_size)
  local names = {}
  for name, entry in pairs(header) do
    local ok, message = check_entry(entry, data_size)
    if not ok then return nil, ('"%s": %s'):format(options.shown(name), message) end
    names[#names + 1] = name
  end
  table.sort(names, function(a, b)
    local x, y = header[a].data_offsets, header[b].data_offsets
    if x[1] ~= y[1] then return x[1] < y[1] end
    if x[2] ~= y[2] then return x[2] < y[2] end
    return a < b
  end)
  local reached = 0
  for _, name in ipairs(names) do
    local from, to = table.unpack(header[name].data_offsets)
    if from ~= reached then
      return nil, ('"%s": its data %s what lies before it (byte %d, expected %d)'):format(
        options.shown(name), from < reached and "overlaps" or "leaves a gap to", from, reached)
    end
    reached = to
  end
  if reached ~= data_size then
    return nil, ("%d bytes after the last tensor's data"):format(data_size - reached)
  end
  return names
end

-- Header, names in the order of their data, and metadata; the file stands where the data begin.
local function read_layout(file, size)
  local header, length = read_header(file, size)
  if not header then return nil, length end
  local metadata, message = check_metadata_read(header.__metadata__)
  if not metadata then return nil, message end
  header.__metadata__ = nil
  local names
  names, message = core.plainly(check_layout, header, size - 8 - length)
  if not names then return nil, message end
  return header, names, metadata
end

local function read_file(file, size)
  local header, names, metadata = read_layout(file, size)
  if not header then return nil, names end
  local tensors = {}
  for _, name in ipairs(names) do
    local entry = header[name]
    local bytes, message = dtypes.read(file, entry.dtype, entry.data_offsets[2] - entry.data_offsets[1])
    if not bytes then return nil, ('"%s": %s'):format(options.shown(name), message) end
    tensors[name] = lt.from_bytes(bytes, entry.shape, dtypes.tensor_dtype(entry.dtype))
  end
  return tensors, metadata
end

--- Loads every tensor of a file. F32, F64, U8 and I64 arrive as they are; I8, I16, I32, U16 and U32 become i64,
-- BOOL u8, F16, BF16 and U64 float32 (U64 rounded to the nearest, see latent.base.dtypes); any other dtype is refused
-- by name.
-- @tparam string path
-- @return a table name -> tensor and a table of the metadata (empty when there is none); or nil and
--   a message
function M.load(path)
  if type(path) ~= "string" then
    raise("safetensors.load: path: expected a string, got " .. options.describe(path))
  end
  local file, size = files.open(path)
  if not file then return nil, size end
  local tensors, result = read_file(file, size)
  file:close()
  if not tensors then return nil, ("%s: %s"):format(path, result) end
  return tensors, options.beside(result)
end

-- The tensors of a file, those whose elements can stay there as such.
local function open_file(path, file, size)
  local header, names, metadata = read_layout(file, size)
  if not header then return nil, names end
  local tensors, begin = {}, file:seek()
  for _, name in ipairs(names) do
    local entry = header[name]
    local offset, bytes = begin + entry.data_offsets[1], entry.data_offsets[2] - entry.data_offsets[1]
    local x, message
    local dtype = dtypes.tensor_dtype(entry.dtype)
    local stays = dtypes.kept[entry.dtype] and offset % dtypes.kinds[entry.dtype].size == 0
    if stays then
      x, message = core.map_file(path, offset, entry.shape, dtype)
    else
      file:seek("set", offset)
      x, message = dtypes.read(file, entry.dtype, bytes)
      x = x and core.from_bytes(x, entry.shape, dtype)
    end
    if not x then return nil, ('"%s": %s'):format(options.shown(name), message) end
    tensors[name] = x
  end
  return tensors, metadata
end

--- Opens a file and leaves the elements of F32, U8 and I64 tensors there: they are read when they are looked at, and
-- what is written into a tensor stays out of the file. The others are converted, as `load` does. The file must not
-- become shorter as long as the tensors are in use; `save` puts a new one in its place, which does no harm.
-- @tparam string path
-- @return as `load`
function M.open(path)
  options.expect("safetensors.open", "path", path, "string")
  local file, size = files.open(path)
  if not file then return nil, size end
  local tensors, result = open_file(path, file, size)
  file:close()
  if not tensors then return nil, ("%s: %s"):format(path, result) end
  return tensors, options.beside(result)
end

--- Reads and checks a file's header alone.
-- @tparam string path
-- @treturn ?table the metadata; nil where the file cannot be read
-- @treturn ?string the message then
function M.read_metadata(path)
  options.expect("safetensors.read_metadata", "path", path, "string")
  local file, size = files.open(path)
  if not file then return nil, size end
  local header, message, metadata = read_layout(file, size)
  file:close()
  if not header then return nil, ("%s: %s"):format(path, message) end
  return options.beside(metadata)
end

return M
