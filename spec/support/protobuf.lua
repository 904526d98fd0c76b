--- For specs: reads ONNX files by the numbers of onnx.proto's fields, independently of the library's writer.
local M = {}

local function varint(bytes, at)
  local n, shift = 0, 0
  while true do
    local byte = bytes:byte(at)
    assert(byte, "cut off")
    n, shift, at = n | (byte & 0x7f) << shift, shift + 7, at + 1
    if byte < 0x80 then return n, at end
    assert(shift < 70, "a number of more than ten bytes")
  end
end

--- The fields of a message: field number -> list of values, whole numbers or bytes.
function M.fields(bytes)
  local fields, at = {}, 1
  while at <= #bytes do
    local key, value, length
    key, at = varint(bytes, at)
    local wire = key & 7
    if wire == 0 then
      value, at = varint(bytes, at)
    elseif wire == 5 then
      value, at = ("<f"):unpack(bytes, at)
    else
      assert(wire == 2, "wire type " .. wire)
      length, at = varint(bytes, at)
      value = bytes:sub(at, at + length - 1)
      assert(#value == length, "cut off")
      at = at + length
    end
    local list = fields[key >> 3] or {}
    list[#list + 1], fields[key >> 3] = value, list
  end
  return fields
end

--- The whole numbers of a packed field.
function M.packed(bytes)
  local list, at = {}, 1
  while at <= #bytes do list[#list + 1], at = varint(bytes, at) end
  return list
end

local function attribute(bytes)
  local f = M.fields(bytes)
  local kind = f[20][1]
  local value = ({[1] = f[2], [2] = f[3], [3] = f[4], [7] = f[8] or {}, [8] = f[9]})[kind]
  return f[1][1], kind < 4 and value[1] or value
end

local function info(bytes)
  local f = M.fields(bytes)
  local tensor = M.fields(M.fields(f[2][1])[1][1])
  local shape = {}
  for i, dim in ipairs(M.fields(tensor[2][1])[1] or {}) do
    local d = M.fields(dim)
    shape[i] = d[1] and d[1][1] or d[2][1]
  end
  return {name = f[1][1], type = tensor[1][1], shape = shape}
end

--- A model: opset, nodes {op, name, inputs, outputs, attributes}, constants by name {shape, type, bytes}, inputs,
-- outputs.
function M.model(bytes)
  local top = M.fields(bytes)
  local graph = M.fields(top[7][1])
  local model = {version = top[1][1], producer = top[2][1], opset = M.fields(top[8][1])[2][1], nodes = {},
    constants = {}, inputs = {}, outputs = {}}
  for i, item in ipairs(graph[1] or {}) do
    local f = M.fields(item)
    local entry = {op = f[4][1], name = f[3][1], inputs = f[1] or {}, outputs = f[2], attributes = {}}
    for _, a in ipairs(f[5] or {}) do
      local name, value = attribute(a)
      entry.attributes[name] = value
    end
    model.nodes[i] = entry
  end
  for _, item in ipairs(graph[5] or {}) do
    local f = M.fields(item)
    model.constants[f[8][1]] = {shape = f[1] and M.packed(f[1][1]) or {}, type = f[2][1], bytes = f[9][1]}
  end
  for i, item in ipairs(graph[11] or {}) do model.inputs[i] = info(item) end
  for i, item in ipairs(graph[12] or {}) do model.outputs[i] = info(item) end
  return model
end

return M
