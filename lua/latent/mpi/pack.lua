--- Plain Lua values and tensors as bytes, for other ranks: nil, booleans, integers, floats, strings, tensors, and
-- tables of these, which may hold one another but not themselves. Types and bits stay.
-- @module latent.mpi.pack
local core = require "latent.core"
local options = require "latent.base.options"

local M = {}

local DEEPEST = 100

local writers = {}

local function write(out, value, name, depth)
  local kind = core.is_tensor(value) and "tensor" or math.type(value) or type(value)
  local writer = writers[kind]
  if not writer then
    core.raise(("%s: value: expected plain values and tensors, got %s"):format(name, options.describe(value)))
  end
  writer(out, value, name, depth)
end

writers["nil"] = function(out) out[#out + 1] = "n" end
function writers.boolean(out, value) out[#out + 1] = value and "t" or "f" end
function writers.integer(out, value) out[#out + 1] = ("<c1i8"):pack("i", value) end
function writers.float(out, value) out[#out + 1] = ("<c1d"):pack("d", value) end
function writers.string(out, value) out[#out + 1] = ("<c1s8"):pack("s", value) end

function writers.tensor(out, value)
  local shape = value.shape
  local sizes = {}
  for i = 1, #shape do sizes[i] = ("<i8"):pack(shape[i]) end
  out[#out + 1] = ("<c1s1s1"):pack("x", value.dtype, table.concat(sizes))
  out[#out + 1] = ("<s8"):pack(value:bytes())
end

function writers.table(out, value, name, depth)
  if depth == DEEPEST then
    core.raise(("%s: value: expected tables at most %d deep, and none inside itself"):format(name, DEEPEST))
  end
  local at, count = #out + 1, 0
  out[at] = ""
  for key, part in pairs(value) do
    write(out, key, name, depth + 1)
    write(out, part, name, depth + 1)
    count = count + 1
  end
  out[at] = ("<c1i8"):pack("{", count)
end

--- A value as bytes.
-- @param value
-- @tparam string name of the function, for messages
-- @treturn string
function M.pack(value, name)
  local out = {}
  write(out, value, name, 0)
  return table.concat(out)
end

local readers = {}

local function read(bytes, at)
  return readers[bytes:sub(at, at)](bytes, at + 1)
end

readers.n = function(_, at) return nil, at end
readers.t = function(_, at) return true, at end
readers.f = function(_, at) return false, at end
readers.i = function(bytes, at) return ("<i8"):unpack(bytes, at) end
readers.d = function(bytes, at) return ("<d"):unpack(bytes, at) end
readers.s = function(bytes, at) return ("<s8"):unpack(bytes, at) end

readers.x = function(bytes, at)
  local dtype, sizes, data
  dtype, sizes, data, at = ("<s1s1s8"):unpack(bytes, at)
  local shape = {}
  for i = 1, #sizes // 8 do shape[i] = ("<i8"):unpack(sizes, 8 * i - 7) end
  return core.from_bytes(data, shape, dtype), at
end

readers["{"] = function(bytes, at)
  local count, key, value
  local result = {}
  count, at = ("<i8"):unpack(bytes, at)
  for _ = 1, count do
    key, at = read(bytes, at)
    value, at = read(bytes, at)
    result[key] = value
  end
  return result, at
end

--- What `pack` made bytes of.
-- @tparam string bytes of another rank of the same job
-- @return the value
function M.unpack(bytes) return (read(bytes, 1)) end

return M
