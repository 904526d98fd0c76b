--- NumPy's .npy files: one array each.
-- Numbers in either byte order are read: b1, i1 to i8, u1 to u8, f2, f4, f8, in C and in Fortran order. u1 and b1
-- become u8 tensors, other whole numbers i64, f8 float64, f2 and f4 float32, and so does u8 (uint64), of which what
-- float32 cannot hold is rounded to the nearest unless `exact = true` asks for an error. Headers are parsed, never
-- executed, and compared with the file's size.
-- @module latent.npy

require "latent" -- tensors get their methods
local core = require "latent.core"
local dtypes = require "latent.base.dtypes"
local files = require "latent.base.files"
local options = require "latent.base.options"

local M = {}

local MAGIC = "\147NUMPY"
local MAX_AXES = 8

--- The longest header, with what stands before it, in bytes: a longer one describes no array of numbers.
M.max_header = 1 << 17

local DTYPES = {b1 = "BOOL", i1 = "I8", i2 = "I16", i4 = "I32", i8 = "I64", u1 = "U8", u2 = "U16", u4 = "U32",
  u8 = "U64", f2 = "F16", f4 = "F32", f8 = "F64"}
local DESCR = {float32 = "<f4", float64 = "<f8", u8 = "|u1", i64 = "<i8"}
local WORDS = {c = "complex numbers", O = "Python objects", U = "text", S = "byte strings", V = "records",
  M = "dates", m = "time spans"}

-- The header is a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4),}

-- The shape between its brackets, and the position behind it.
local function parse_shape(text, at)
  local inside, stop = text:match("^%(([%d%s,L]*)%)()", at)
  if not inside then return nil, "shape: expected a tuple of sizes" end
  local shape, position = {}, 1
  while true do
    local digits, next_at = inside:match("^%s*(%d+)L?%s*()", position)
    if not digits then break end
    local comma = inside:match("^,()", next_at)
    -- (3) would be a number in Python: a tuple of one needs its comma.
    if not comma and (#shape == 0 or next_at <= #inside) then return nil, "shape: expected a tuple of sizes" end
    local n = math.tointeger(tonumber(digits))
    if not n then return nil, "shape: a size is too large" end
    shape[#shape + 1], position = n, comma or next_at
    if not comma then break end
  end
  if inside:find("%S", position) then return nil, "shape: expected a tuple of sizes" end
  return shape, stop
end

local VALUES = {}

function VALUES.descr(text, at)
  local quote, descr, stop = text:match("^(['\"])([^'\"\\]*)%1()", at)
  if quote then return descr, stop end
  if text:find("^%[", at) then
    return nil, "structured arrays are not supported; save each field by itself", true
  end
  return nil, "descr: expected a string"
end

function VALUES.fortran_order(text, at)
  local word, stop = text:match("^(%a+)()", at)
  if word ~= "True" and word ~= "False" then return nil, "fortran_order: expected True or False" end
  return word, stop
end

VALUES.shape = parse_shape

-- The three fields of a header; or nil, a message and whether it describes what NumPy has and tensors have not.
local function parse_header(text)
  local fields, at = {}, text:match "^%s*{%s*()"
  if not at then return nil, "expected a dictionary" end
  while not text:find("^}", at) do
    local key, value_at = text:match("^['\"]([%w_]*)['\"]%s*:%s*()", at)
    if not key then return nil, "expected a name and a value" end
    if not VALUES[key] or fields[key] then return nil, ('unexpected name "%s"'):format(key:sub(1, 40)) end
    local value, stop, other = VALUES[key](text, value_at)
    if not value then return nil, stop, other end
    fields[key] = value
    local comma = text:match("^%s*,%s*()", stop)
    at = comma or text:match("^%s*()", stop)
    if not comma and not text:find("^}", at) then return nil, "expected a comma" end
  end
  if not text:find("^}%s*$", at) then return nil, "something follows the dictionary" end
  for key in pairs(VALUES) do
    if not fields[key] then return nil, ('"%s" is missing'):format(key) end
  end
  return fields
end

-- The dtype's name in latent.base.dtypes and whether its bytes come high one first; or nil, a message, and whether it
-- is a type that NumPy has and tensors have not.
local function parse_descr(descr)
  local order, kind, size = descr:match "^([<>|=]?)(%a)(%d*)$"
  kind = kind or descr:match "^[<>|=]?([mM])8%[[%w/]*%]$"
  local shown = ("dtype '%s'"):format(descr:sub(1, 40))
  if not kind then return nil, shown .. " is not known" end
  if WORDS[kind] then return nil, ("%s (%s) is not supported; expected numbers"):format(shown, WORDS[kind]), true end
  local dtype = DTYPES[kind .. size]
  if not dtype then return nil, shown .. " is not supported", true end
  -- Without a sign, or with "=", it is the order of the machine, which is little-endian wherever latent runs.
  return dtype, order == ">"
end

-- The header's text and the position behind it, or nil and a message.
local function find_header(bytes)
  if bytes:sub(1, 6) ~= MAGIC then return nil, "not a .npy file: its magic is missing" end
  local major = bytes:byte(7)
  if not major or #bytes < 10 then return nil, "ends inside its header" end
  if major < 1 or major > 3 then return nil, ("version %d of .npy is not known"):format(major) end
  if major > 1 and #bytes < 12 then return nil, "ends inside its header" end
  local length, at = (major == 1 and "<I2" or "<I4"):unpack(bytes, 9)
  if at - 1 + length > M.max_header then
    return nil, ("a header of %d bytes, expected at most %d"):format(length, M.max_header - at + 1)
  end
  if length > #bytes - at + 1 then return nil, "ends inside its header" end
  return bytes:sub(at, at + length - 1), at + length
end

-- The header of an array whose file has `size` bytes: dtype, big, descr, shape, fortran_order and `at`, where its
-- elements begin. Nil where it does not fit its file, with a message and whether all that is wrong is the dtype.
local function read_header(bytes, size)
  local text, at = find_header(bytes)
  if not text then return nil, at end
  local header, message, other = core.plainly(parse_header, text)
  if not header then return nil, "header: " .. message, other end
  local dtype, big
  dtype, big, other = core.plainly(parse_descr, header.descr)
  if not dtype then return nil, big, other end
  local shape, held = header.shape, size - at + 1
  if #shape > MAX_AXES then return nil, ("expected at most %d axes, found %d"):format(MAX_AXES, #shape) end
  local expected = dtypes.shape_bytes(shape, dtypes.kinds[dtype].size, held)
  if expected ~= held then
    return nil, ("shape (%s) of %s: %s"):format(table.concat(shape, ", "), header.descr,
      expected > held and "the file ends inside its data"
      or ("%d bytes follow its data"):format(held - expected))
  end
  header.dtype, header.big, header.at = dtype, big, at
  return header
end

--- Whether a file of `size` bytes that begins so holds the array that its header promises.
-- @tparam string start the file's first `max_header` bytes, all where it has fewer
-- @tparam int size
-- @return true; or nil and a message
-- @treturn ?boolean whether it is an array that NumPy has and tensors have not (text, records, complex numbers)
function M.check(start, size)
  options.expect("npy.check", "start", start, "string")
  local header, message, other = read_header(start, options.expect("npy.check", "size", size, "size"))
  if not header then return nil, message, other end
  return true
end

local function decode(bytes, exact)
  local header, message = read_header(bytes, #bytes)
  if not header then return nil, message end
  local shape, converted = header.shape
  converted, message = dtypes.convert(bytes, header.dtype, header.at, #bytes - header.at + 1, exact, header.big)
  if not converted then return nil, message end
  local dtype = dtypes.tensor_dtype(header.dtype)
  if header.fortran_order == "False" or #shape < 2 then return core.from_bytes(converted, shape, dtype) end
  -- Fortran order is C order of the axes turned round.
  local turned, order = {}, {}
  for i = 1, #shape do turned[i], order[i] = shape[#shape + 1 - i], #shape + 1 - i end
  return core.ops.permute(core.from_bytes(converted, turned, dtype), order)
end

local EXACT = {{"exact", "boolean", false, "a value that float32 cannot hold is an error"}}
local decode_options = options.declare("npy.decode", EXACT)

--- The tensor in the bytes of a .npy file.
-- @tparam string bytes
-- @tparam ?table opts
-- @treturn ?Tensor of the array's shape; nil where the data are damaged or of another type
-- @treturn ?string the message then
function M.decode(bytes, opts)
  opts = decode_options(opts)
  return decode(options.expect("npy.decode", "bytes", bytes, "string"), opts.exact)
end

--- Opens a file and leaves its elements there: they are read when they are looked at, and what is written into the
-- tensor stays out of the file. The file must not become shorter as long as the tensor is in use.
-- @tparam string path of an array of '<f4', '<f8', '|u1' or '<i8' in C order
-- @treturn ?Tensor of the array's type; nil where the file is missing or damaged, or would have to be converted
-- @treturn ?string the message then
function M.open(path)
  options.expect("npy.open", "path", path, "string")
  local file, size = files.open(path)
  if not file then return nil, size end
  local start = file:read(math.min(size, M.max_header)) or ""
  file:close()
  local header, message = read_header(start, size)
  local dtype = header and dtypes.kept[header.dtype]
  if header and not dtype or header and header.big then
    message = ("its elements are %s, which load converts; only '<f4', '<f8', '|u1' and '<i8' can stay in it"):format(
      header.descr)
  elseif header and header.fortran_order == "True" and #header.shape > 1 then
    message = "its elements are in Fortran order, which npy.load turns round"
  elseif header and (header.at - 1) % dtypes.kinds[header.dtype].size ~= 0 then
    message = ("its elements begin at byte %d, no multiple of their size of %d bytes; npy.load reads them"):format(
      header.at - 1, dtypes.kinds[header.dtype].size)
  elseif header then
    local tensor
    tensor, message = core.map_file(path, header.at - 1, header.shape, dtype)
    if tensor then return tensor end
  end
  return nil, ("%s: %s"):format(path, message)
end

--- The bytes of a .npy file (version 1.0, C order) with a tensor: '<f4' for float32, '<f8' for float64, '|u1' for u8,
-- '<i8' for i64.
-- @tparam Tensor tensor
-- @treturn string
function M.encode(tensor)
  core.check_tensor(tensor, "npy.encode")
  local shape = tensor.shape
  local text = ("{'descr': '%s', 'fortran_order': False, 'shape': (%s%s), }"):format(
    DESCR[tensor.dtype], table.concat(shape, ", "), #shape == 1 and "," or "")
  -- The data begin at a multiple of 64, and the header ends with a line end.
  text = text .. (" "):rep(-(10 + #text + 1) % 64) .. "\n"
  return MAGIC .. "\1\0" .. ("<s2"):pack(text) .. tensor:bytes()
end

local load_options = options.declare("npy.load", EXACT)

--- Reads a .npy file.
-- @tparam string path
-- @tparam ?table opts
-- @treturn ?Tensor of the array's shape; nil where the data are damaged or of another type
-- @treturn ?string the message then
function M.load(path, opts)
  options.expect("npy.load", "path", path, "string")
  opts = load_options(opts)
  local bytes, message = files.read_all(path)
  if not bytes then return nil, message end
  local tensor
  tensor, message = decode(bytes, opts.exact)
  if not tensor then return nil, ("%s: %s"):format(path, message) end
  return tensor
end

--- Writes a tensor as a .npy file, atomically.
-- @tparam string path
-- @tparam Tensor tensor any shape and dtype
-- @treturn boolean true
-- @raise where the file cannot be written
function M.save(path, tensor)
  options.expect("npy.save", "path", path, "string")
  core.check_tensor(tensor, "npy.save")
  return files.save(path, M.encode(tensor))
end

return M
