--- PyTorch's .pt and .pth files: state dicts and checkpoints, read without executing anything, and written.
-- Read is the zip format (PyTorch 1.6 and later) with tensors, dictionaries, lists, tuples, sets, numbers, strings,
-- booleans and None in it, and nothing else: a file with a whole model, or with anything that Python would have to
-- call, is refused by name. Tensors become float32, of float64 float64, of bytes (uint8) and truth values
-- u8, of other whole numbers i64. Views, also transposed and overlapping ones, become tensors of their own.
-- @usage model:load_state(assert(pt.load "weights.pt"), {layout = "torch"})
-- @module latent.pt

require "latent" -- tensors get their methods
local core = require "latent.core"
local dtypes = require "latent.base.dtypes"
local files = require "latent.base.files"
local json = require "latent.json"
local options = require "latent.base.options"
local pickle = require "latent.formats.pickle"
local zip = require "latent.formats.zip"

local fail = pickle.fail

local M = {}

local MAX_AXES = 8
local MAX_DEPTH = 100
local MAX_PICKLE = 1 << 26 -- bytes; the tensors' elements are not in it
-- Steps that a pickle may have beyond sixteen times the bytes that it takes in the file. PyTorch stores it unpacked;
-- packed by another program, that of a state dict shrinks to an eighth.
local FREE_STEPS = 100000
-- Elements that tensors may have beyond four times the file's bytes: views can repeat what is stored once.
local FREE_ELEMENTS = 1 << 22

local STORAGES = {Float = "F32", Double = "F64", Half = "F16", BFloat16 = "BF16", Long = "I64", Int = "I32",
  Short = "I16", Char = "I8", Byte = "U8", Bool = "BOOL"}

-- Reading: the names that may occur in a pickle, and what stands for them.

local WRITTEN = {float32 = "Float", float64 = "Double", u8 = "Byte", i64 = "Long"}

local function is_size(n) return math.type(n) == "integer" and n >= 0 end

local function check_sizes(value, what)
  if type(value) ~= "table" or value.kind ~= "tuple" and value.kind ~= "list" then
    fail("has a tensor whose %s is %s", what, pickle.describe(value))
  end
  if value.n > MAX_AXES then fail("has a tensor of %d axes, expected at most %d", value.n, MAX_AXES) end
  for i = 1, value.n do
    if not is_size(value[i]) then fail("has a tensor with the %s %s", what, pickle.describe(value[i])) end
  end
  return table.move(value, 1, value.n, 1, {})
end

-- The number of elements between a view's first and last, both included; more than `most` is a failure.
local function extent(shape, strides, most)
  local last = 0
  for i, size in ipairs(shape) do
    if size == 0 then return 0 end
    if strides[i] > 0 and size - 1 > most // strides[i] then fail "has a tensor larger than its storage" end
    last = last + (size - 1) * strides[i]
    if last >= most then fail "has a tensor larger than its storage" end
  end
  if most < 1 then fail "has a tensor larger than its storage" end
  return last + 1
end

-- torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks [, metadata])
local function rebuild_tensor(reader, arguments)
  local storage, offset = arguments[1], arguments[2]
  if arguments.n < 6 or type(storage) ~= "table" or storage.kind ~= "storage" or not is_size(offset) then
    fail "has a tensor without storage"
  end
  local shape, strides = check_sizes(arguments[3], "size"), check_sizes(arguments[4], "stride")
  if #shape ~= #strides then fail "has a tensor with more sizes than strides" end
  if offset > storage.numel then fail "has a tensor outside its storage" end
  local span = extent(shape, strides, storage.numel - offset)
  local bytes = dtypes.shape_bytes(shape, 1, reader.budget)
  if bytes > reader.budget then fail "has tensors far larger than what is stored" end
  reader.budget = reader.budget - bytes
  storage.users = storage.users + 1
  return {kind = "tensor", storage = storage, offset = offset, shape = shape, strides = strides, span = span}
end

-- Each item of a list took a byte of the pickle at least, and a list that becomes a set is used for nothing else:
-- what is copied has no more items than the pickle bytes, unless one list is made into a set again and again.
local function make_set(reader, arguments)
  local items = arguments[1] or pickle.new "list"
  if type(items) ~= "table" or items.kind ~= "list" and items.kind ~= "tuple" then fail "has a set of no list" end
  reader.items = reader.items - items.n
  if reader.items < 0 then fail "has sets with more items than the pickle has bytes" end
  return pickle.new("set", table.move(items, 1, items.n, 1, {}), items.n)
end

local function make_globals(reader)
  local globals = {
    ["collections.OrderedDict"] = function(arguments)
      if arguments.n > 0 then fail "has an ordered dictionary made from arguments" end
      return pickle.new "dict"
    end,
    ["torch._utils._rebuild_tensor_v2"] = function(arguments) return rebuild_tensor(reader, arguments) end,
    ["torch._utils._rebuild_parameter"] = function(arguments)
      local tensor = arguments[1]
      if type(tensor) ~= "table" or tensor.kind ~= "tensor" then fail "has a parameter without tensor" end
      return tensor
    end,
    ["torch.Size"] = function(arguments)
      local sizes = check_sizes(arguments[1], "size")
      return pickle.new("tuple", sizes, #sizes)
    end,
  }
  for _, module in ipairs{"builtins", "__builtin__"} do
    local function make(arguments) return make_set(reader, arguments) end
    globals[module .. ".set"], globals[module .. ".frozenset"] = make, make
  end
  for name in pairs(STORAGES) do globals["torch." .. name .. "Storage"] = true end
  return globals
end

-- ("storage", torch.FloatStorage, key, device, number of elements) -> a storage of the archive
local function find_storage(reader, id)
  local kind = type(id) == "table" and id.kind == "tuple" and id[1] == "storage" and type(id[2]) == "table"
    and id[2].kind == "name" and STORAGES[id[2].name:match "^torch%.(%w+)Storage$"]
  local key, numel = kind and id[3], kind and id[5]
  if not kind or type(key) ~= "string" or not is_size(numel) then fail "refers to something that is no storage" end
  local known = reader.storages[key]
  if known then
    if known.dtype ~= kind or known.numel ~= numel then fail('gives storage "%s" two types', options.shown(key)) end
    return known
  end
  local size = reader.archive:size(reader.root .. "data/" .. key)
  if not size then fail('refers to storage "%s", which is not in the file', options.shown(key)) end
  if size % dtypes.kinds[kind].size ~= 0 or size // dtypes.kinds[kind].size ~= numel then
    fail('claims %d elements of %s for storage "%s", which has %d bytes', numel, kind, options.shown(key), size)
  end
  local storage = {kind = "storage", key = key, dtype = kind, numel = numel, users = 0}
  reader.storages[key] = storage
  return storage
end

-- Reading: from a view of a storage to a tensor.

-- The axes from the one of the widest stride to the one of the narrowest, when the view has every element of
-- its span just once; nil otherwise. Axes of size 1 have any stride, and come last.
local function dense_order(view)
  local order, shape, strides = {}, view.shape, view.strides
  for i = 1, #shape do order[i] = i end
  table.sort(order, function(a, b)
    if (shape[a] == 1) ~= (shape[b] == 1) then return shape[b] == 1 end
    if shape[a] ~= 1 and strides[a] ~= strides[b] then return strides[a] > strides[b] end
    return a < b
  end)
  local expected = 1
  for k = #order, 1, -1 do
    local axis = order[k]
    if shape[axis] ~= 1 then
      if strides[axis] ~= expected then return nil end
      expected = expected * shape[axis]
    end
  end
  return order
end

local function is_identity(order)
  for i, axis in ipairs(order) do
    if i ~= axis then return false end
  end
  return true
end

local function permuted(converted, dtype, view, order)
  local shape, back = {}, {}
  for k, axis in ipairs(order) do shape[k], back[axis] = view.shape[axis], k end
  return core.ops.permute(core.from_bytes(converted, shape, dtype), back)
end

-- The elements of any view of a storage's bytes in row-major order, `width` bytes each.
local function gather(bytes, width, view)
  local shape, strides, out = view.shape, view.strides, {}
  local function walk(axis, at)
    if axis > #shape then
      out[#out + 1] = bytes:sub(at * width + 1, (at + 1) * width)
    elseif axis == #shape and strides[axis] == 1 then
      out[#out + 1] = bytes:sub(at * width + 1, (at + shape[axis]) * width)
    elseif axis == #shape and strides[axis] == 0 then
      out[#out + 1] = bytes:sub(at * width + 1, (at + 1) * width):rep(shape[axis])
    else
      for i = 0, shape[axis] - 1 do walk(axis + 1, at + i * strides[axis]) end
    end
  end
  walk(1, view.offset)
  return table.concat(out)
end

-- The storage's bytes stay in memory only until its last view has been made.
local function storage_bytes(reader, storage)
  local bytes = storage.bytes
  if not bytes then
    local message
    bytes, message = reader.archive:read(reader.root .. "data/" .. storage.key)
    if not bytes then fail("%s", message) end
  end
  storage.users = storage.users - 1
  storage.bytes = storage.users > 0 and bytes or nil
  return bytes
end

local function make_tensor(reader, view)
  local storage, dtype = view.storage, dtypes.tensor_dtype(view.storage.dtype)
  local bytes, size = storage_bytes(reader, storage), dtypes.kinds[storage.dtype].size
  if view.span == 0 then return core.from_bytes("", view.shape, dtype) end
  local order, first, count = dense_order(view), view.offset * size + 1, view.span * size
  -- What lies between a view's elements is not converted: a few of them may span a whole storage.
  if not order then
    bytes, first = gather(bytes, size, view), 1
    count = #bytes
  end
  local converted, message = dtypes.convert(bytes, storage.dtype, first, count, reader.exact)
  if not converted then fail('storage "%s": %s', options.shown(storage.key), message) end
  if order and not is_identity(order) then return permuted(converted, dtype, view, order) end
  return core.from_bytes(converted, view.shape, dtype)
end

-- Reading: from what the pickle holds to Lua's values.

local to_lua

local KINDS = {tensor = make_tensor}

function KINDS.dict(reader, dict, depth)
  local out = {}
  for i = 1, dict.n do out[dict[i]] = to_lua(reader, dict.values[i], depth) end
  return out
end

function KINDS.list(reader, list, depth)
  local out = {}
  for i = 1, list.n do
    local value = to_lua(reader, list[i], depth)
    if value == nil then value = json.null end
    out[i] = value
  end
  return out
end
KINDS.tuple = KINDS.list

function KINDS.set(_, set)
  local out = {}
  for i = 1, set.n do
    local item = set[i]
    if type(item) == "table" or item ~= item then fail("has a set with %s", pickle.describe(item)) end
    out[item] = true
  end
  return out
end

function to_lua(reader, value, depth)
  if value == pickle.none then return nil end
  if type(value) ~= "table" then return value end
  local made = reader.made[value]
  if made == false then fail "has a container that holds itself" end
  if made ~= nil then return made end
  if depth > MAX_DEPTH then fail("is nested deeper than %d", MAX_DEPTH) end
  local convert = KINDS[value.kind]
  if not convert then fail("holds %s where a value is expected", value.name or pickle.describe(value)) end
  reader.made[value] = false
  made = convert(reader, value, depth + 1)
  reader.made[value] = made
  return made
end

-- The folder in the archive that everything lies in, with its slash; or nil and a message.
local function find_root(archive)
  for _, name in ipairs(archive.names) do
    local root = name:match "^([^/]*/)data%.pkl$" or name:match "^()data%.pkl$" and ""
    if root then return root end
  end
  return nil, "a zip archive without data.pkl: not a file of torch.save"
end

local function read_archive(archive, size, exact)
  local root, message = find_root(archive)
  if not root then return nil, message end
  local order = archive:size(root .. "byteorder")
  if order then
    if order > #"little" then return nil, "byteorder is neither little nor big" end
    order, message = archive:read(root .. "byteorder")
    if not order then return nil, message end
    if order ~= "little" then return nil, "written by a big-endian machine, which is not supported" end
  end
  local length, packed = archive:size(root .. "data.pkl")
  if length > MAX_PICKLE then return nil, "data.pkl is larger than 64 MB" end
  local bytes
  bytes, message = archive:read(root .. "data.pkl")
  if not bytes then return nil, message end
  local reader = {archive = archive, root = root, exact = exact, storages = {}, made = {}, items = length,
    budget = 4 * size + FREE_ELEMENTS}
  local value
  value, message = pickle.decode(bytes, make_globals(reader), function(id) return find_storage(reader, id) end,
    math.min(length, FREE_STEPS + 16 * packed))
  if value == nil then
    local hint = message:find "refers to" and "; torch.save(model.state_dict(), path) writes what can be read" or ""
    return nil, "data.pkl " .. message .. hint
  end
  if value == pickle.none then return nil, "data.pkl holds None" end
  value, message = pickle.guard(to_lua, reader, value, 0)
  -- What went wrong in another member names the file and the member already.
  if value == nil then return nil, (message:sub(1, #archive.path) == archive.path and "" or "data.pkl ") .. message end
  return value
end

-- What a file that is no zip archive may be.
local OLD = "\128\2\138\10\108\252\156\70\249\32\106\168\80\25"

local function explain(path, message)
  local file = files.open(path)
  if not file then return message end
  local start = file:read(#OLD) or ""
  file:close()
  if start == OLD then
    return path .. ": in PyTorch's format from before 1.6; load it there and save it again with torch.save"
  end
  return message
end

local load_options = options.declare("pt.load", {
  {"exact", "boolean", false, "a value that float32 cannot hold is an error"}})

--- Reads a .pt or .pth file: tensors as tensors, dictionaries and sets as tables, lists and tuples as sequences.
-- None is left out of dictionaries and is `json.null` in lists. Dictionary keys keep their type.
-- @tparam string path
-- @tparam ?table opts
-- @return what was saved, of a state dict a table name -> tensor; nil where the file cannot be read
-- @treturn ?string the message then
function M.load(path, opts)
  options.expect("pt.load", "path", path, "string")
  opts = load_options(opts)
  local file, size = files.open(path)
  if not file then return nil, size end
  file:close()
  local archive, message = zip.open(path)
  if not archive then return nil, explain(path, message) end
  local value
  value, message = read_archive(archive, size, opts.exact)
  archive:close()
  if value == nil then
    if message:sub(1, #path + 1) ~= path .. ":" then message = ("%s: %s"):format(path, message) end
    return nil, message
  end
  return value
end

-- Writing: a pickle of protocol 2.

local encode

local function encode_integers(list)
  local out = {"("}
  for _, n in ipairs(list) do out[#out + 1] = encode(nil, n, 0) end
  return table.concat(out) .. "t"
end

local function encode_text(text) return "X" .. ("<s4"):pack(text) end

-- torch._utils._rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())
local function encode_tensor(writer, tensor)
  local key = writer.keys[tensor]
  if not key then
    key = ("%d"):format(#writer.tensors)
    writer.keys[tensor] = key
    table.insert(writer.tensors, tensor)
  end
  local shape, strides, stride = tensor.shape, {}, 1
  for i = #shape, 1, -1 do strides[i], stride = stride, stride * math.max(shape[i], 1) end
  return "ctorch._utils\n_rebuild_tensor_v2\n((" .. encode_text "storage"
    .. ("ctorch\n%sStorage\n"):format(WRITTEN[tensor.dtype])
    .. encode_text(key) .. encode_text "cpu" .. encode(nil, tensor:numel(), 0) .. "tQK\0"
    .. encode_integers(shape) .. encode_integers(strides) .. "\137ccollections\nOrderedDict\n)RtR"
end

local function encode_list(writer, list, depth)
  local out = {"]("}
  for i = 1, #list do out[#out + 1] = encode(writer, list[i], depth) end
  out[#out + 1] = "e"
  return table.concat(out)
end

local function encode_dict(writer, dict, depth)
  local keys, out = {}, {"}("}
  for key in pairs(dict) do
    if type(key) ~= "string" and type(key) ~= "number" then
      core.raise("pt.save: value: expected keys that are strings or numbers, got " .. options.describe(key))
    end
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if type(a) ~= type(b) then return type(a) == "number" end
    return a < b
  end)
  for _, key in ipairs(keys) do
    out[#out + 1] = encode(writer, key, depth) .. encode(writer, dict[key], depth)
  end
  out[#out + 1] = "u"
  return table.concat(out)
end

local function is_sequence(t)
  local count = 0
  for _ in pairs(t) do count = count + 1 end
  return count > 0 and count == #t
end

function encode(writer, value, depth)
  local kind = math.type(value) or type(value)
  if core.is_tensor(value) then return encode_tensor(writer, value) end
  if kind == "integer" then
    if value >= -(1 << 31) and value < 1 << 31 then return ("<c1i4"):pack("J", value) end
    return ("<c1I1i8"):pack("\138", 8, value)
  elseif kind == "float" then
    return (">c1d"):pack("G", value)
  elseif kind == "boolean" then
    return value and "\136" or "\137"
  elseif value == json.null then
    return "N"
  elseif kind == "string" then
    if not utf8.len(value) then core.raise "pt.save: value: expected strings in UTF-8" end
    return encode_text(value)
  elseif kind ~= "table" then
    core.raise("pt.save: value: expected tensors, tables, numbers, strings and booleans, got "
      .. options.describe(value))
  end
  if depth > MAX_DEPTH then core.raise(("pt.save: value: nested deeper than %d"):format(MAX_DEPTH)) end
  return (is_sequence(value) and encode_list or encode_dict)(writer, value, depth + 1)
end

--- Writes a .pt file that torch.load reads, also with weights_only = True; atomically.
-- @usage pt.save("weights.pt", model:state{layout = "torch"})
-- @tparam string path
-- @param value a table name -> tensor, or any nesting of tables with tensors, numbers, strings, booleans and
-- `json.null` (None); tables with the keys 1 to n become lists, others dictionaries
-- @treturn boolean true
-- @raise where the file cannot be written
function M.save(path, value)
  options.expect("pt.save", "path", path, "string")
  local writer = {tensors = {}, keys = {}}
  local members = {{"archive/data.pkl", "\128\2" .. core.plainly(encode, writer, value, 0) .. "."},
    {"archive/byteorder", "little"}}
  for i, tensor in ipairs(writer.tensors) do
    members[#members + 1] = {("archive/data/%d"):format(i - 1), function() return tensor:bytes() end}
  end
  members[#members + 1] = {"archive/version", "3\n"}
  return files.save(path, function(file) return zip.write(file, members, false, 64) end)
end

return M
