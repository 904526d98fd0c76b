--- NumPy's .npy files: one array each.
-- All little-endian numbers are read: b1, i1 to i8, u1 to u8, f2, f4, f8, in C and in Fortran order. u1 becomes a
-- u8 tensor, everything else float32; what float32 cannot hold is rounded to the nearest (see latent.dtypes) unless
-- `exact = true` asks for an error. Headers are parsed, never executed, and compared with the file's size.
-- @module latent.npy

require "latent" -- tensors get their methods
local core = require "latent.core"
local dtypes = require "latent.dtypes"
local files = require "latent.files"
local options = require "latent.options"

local M = {}

local MAGIC = "\147NUMPY"
local MAX_AXES = 8

local DTYPES = {b1 = "BOOL", i1 = "I8", i2 = "I16", i4 = "I32", i8 = "I64", u1 = "U8", u2 = "U16", u4 = "U32",
  u8 = "U64", f2 = "F16", f4 = "F32", f8 = "F64"}
local WORDS = {c = "complex numbers", O = "Python objects", U = "text", S = "byte strings", V = "records",
  M = "dates", m = "time spans"}

-- The header is a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }

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
  if text:find("^%[", at) then return nil, "structured arrays are not supported; save each field by itself" end
  return nil, "descr: expected a string"
end

function VALUES.fortran_order(text, at)
  local word, stop = text:match("^(%a+)()", at)
  if word ~= "True" and word ~= "False" then return nil, "fortran_order: expected True or False" end
  return word, stop
end

VALUES.shape = parse_shape

-- The three fields of a header, or nil and a message.
local function parse_header(text)
  local fields, at = {}, text:match "^%s*{%s*()"
  if not at then return nil, "expected a dictionary" end
  while not text:find("^}", at) do
    local key, value_at = text:match("^['\"]([%w_]*)['\"]%s*:%s*()", at)
    if not key then return nil, "expected a name and a value" end
    if not VALUES[key] or fields[key] then return nil, ('unexpected name "%s"'):format(key) end
    local value, stop = VALUES[key](text, value_at)
    if not value then return nil, stop end
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

-- The dtype's name in latent.dtypes, or nil and a message.
local function parse_descr(descr)
  local order, kind, size = descr:match "^([<>|=])(%a)(%d*)$"
  if not order then return nil, ("dtype '%s' is not known"):format(descr) end
  if WORDS[kind] then
    return nil, ("dtype '%s' (%s) is not supported; expected numbers"):format(descr, WORDS[kind])
  end
  local dtype = DTYPES[kind .. size]
  if not dtype then return nil, ("dtype '%s' is not supported"):format(descr) end
  if order == ">" and size ~= "1" then
    return nil, ("dtype '%s' is big-endian, which is not supported; save it as x.astype('<%s%s')"):format(descr,
      kind, size)
  end
  return dtype
end

-- The header's text and the position behind it, or nil and a message.
local function find_header(bytes)
  if bytes:sub(1, 6) ~= MAGIC then return nil, "not a .npy file: its magic is missing" end
  local major = bytes:byte(7)
  if not major or #bytes < 10 then return nil, "ends inside its header" end
  if major < 1 or major > 3 then return nil, ("version %d of .npy is not known"):format(major) end
  if major > 1 and #bytes < 12 then return nil, "ends inside its header" end
  local length, at = (major == 1 and "<I2" or "<I4"):unpack(bytes, 9)
  if length > #bytes - at + 1 then return nil, "ends inside its header" end
  return bytes:sub(at, at + length - 1), at + length
end

local function decode(bytes, exact)
  local text, at = find_header(bytes)
  if not text then return nil, at end
  local header, message = core.plainly(parse_header, text)
  if not header then return nil, "header: " .. message end
  local dtype
  dtype, message = core.plainly(parse_descr, header.descr)
  if not dtype then return nil, message end
  local shape, held = header.shape, #bytes - at + 1
  if #shape > MAX_AXES then return nil, ("expected at most %d axes, found %d"):format(MAX_AXES, #shape) end
  local expected = dtypes.shape_bytes(shape, dtypes.kinds[dtype].size, held)
  if expected ~= held then
    return nil, ("shape (%s) of %s: %s"):format(table.concat(shape, ", "), header.descr,
      expected > held and "the file ends inside its data"
      or ("%d bytes follow its data"):format(held - expected))
  end
  local converted
  converted, message = dtypes.convert(bytes, dtype, at, held, exact)
  if not converted then return nil, message end
  if header.fortran_order == "False" or #shape < 2 then
    return core.from_bytes(converted, shape, dtypes.tensor_dtype(dtype))
  end
  -- Fortran order is C order of the axes turned round.
  local turned, order = {}, {}
  for i = 1, #shape do turned[i], order[i] = shape[#shape + 1 - i], #shape + 1 - i end
  return core.ops.permute(core.from_bytes(converted, turned, dtypes.tensor_dtype(dtype)), order)
end

--- The tensor in the bytes of a .npy file.
-- @tparam string bytes
-- @tparam ?table opts `exact = true`: a value that float32 cannot hold is an error
-- @treturn ?Tensor float32 or u8, of the array's shape; nil where the data are damaged or of another type
-- @treturn ?string the message then
function M.decode(bytes, opts)
  opts = options.check("npy.decode", opts, {"exact"})
  return decode(options.expect("npy.decode", "bytes", bytes, "string"), opts.exact)
end

--- The bytes of a .npy file (version 1.0, C order) with a tensor: '<f4' for float32, '|u1' for u8.
-- @tparam Tensor tensor
-- @treturn string
function M.encode(tensor)
  core.check_tensor(tensor, "npy.encode")
  local shape = tensor.shape
  local text = ("{'descr': '%s', 'fortran_order': False, 'shape': (%s%s), }"):format(
    tensor.dtype == "u8" and "|u1" or "<f4", table.concat(shape, ", "), #shape == 1 and "," or "")
  -- The data begin at a multiple of 64, and the header ends with a line end.
  text = text .. (" "):rep(-(10 + #text + 1) % 64) .. "\n"
  return MAGIC .. "\1\0" .. ("<s2"):pack(text) .. tensor:bytes()
end

--- Reads a .npy file.
-- @tparam string path
-- @tparam ?table opts `exact = true`: a value that float32 cannot hold is an error
-- @treturn ?Tensor float32 or u8, of the array's shape; nil where the data are damaged or of another type
-- @treturn ?string the message then
function M.load(path, opts)
  options.expect("npy.load", "path", path, "string")
  opts = options.check("npy.load", opts, {"exact"})
  local bytes, message = files.read_all(path)
  if not bytes then return nil, message end
  local tensor
  tensor, message = decode(bytes, opts.exact)
  if not tensor then return nil, ("%s: %s"):format(path, message) end
  return tensor
end

--- Writes a tensor as a .npy file, atomically.
-- @tparam string path
-- @tparam Tensor tensor any shape, float32 or u8
-- @treturn boolean true
-- @raise where the file cannot be written
function M.save(path, tensor)
  options.expect("npy.save", "path", path, "string")
  core.check_tensor(tensor, "npy.save")
  return files.save(path, M.encode(tensor))
end

return M
