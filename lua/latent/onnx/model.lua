--- A graph of ONNX as bytes: messages as onnx.proto has them (github.com/onnx/onnx, onnx/onnx.proto).
-- @module latent.onnx.model
local lt = require "latent"
local proto = require "latent.onnx.protobuf"
local sorted_keys = require "latent.base.sorted_keys"

local int, float, bytes, ints, each = proto.int, proto.float, proto.bytes, proto.ints, proto.each

local M = {}

local IR_VERSION = 8 -- of the file; what opset 17 came with

--- Our types and ONNX's numbers for them.
M.types = {float32 = 1, u8 = 2, i64 = 7, float64 = 11}

local function tensor(name, x)
  local dims = {}
  for d, size in ipairs(x.shape) do dims[d] = size end
  return ints(1, dims) .. int(2, M.types[x.dtype]) .. bytes(8, name) .. bytes(9, x:bytes())
end

-- By the type of the value: a whole number, a float (given as {float = x}), text, or a list of whole numbers or texts.
local function attribute(name, value)
  local head = bytes(1, name)
  if math.type(value) == "integer" then return head .. int(3, value) .. int(20, 2) end
  if type(value) == "string" then return head .. bytes(4, value) .. int(20, 3) end
  if value.float then return head .. float(2, value.float) .. int(20, 1) end
  if type(value[1]) == "string" then return head .. each(bytes, 9, value) .. int(20, 8) end
  return head .. each(int, 8, value) .. int(20, 7)
end

local function node(entry)
  local parts = {each(bytes, 1, entry.inputs), each(bytes, 2, entry.outputs), bytes(3, entry.name), bytes(4, entry.op)}
  for _, name in ipairs(sorted_keys(entry.attributes)) do
    parts[#parts + 1] = bytes(5, attribute(name, entry.attributes[name]))
  end
  return table.concat(parts)
end

-- What goes in or comes out: name, type and shape, whose first size may be any.
local function value_info(name, x, any_batch)
  local dims = {}
  for d, size in ipairs(x.shape) do
    dims[d] = bytes(1, d == 1 and any_batch and bytes(2, "batch") or int(1, size))
  end
  local shape = table.concat(dims)
  return bytes(1, name) .. bytes(2, bytes(1, int(1, M.types[x.dtype]) .. bytes(2, shape)))
end

--- A whole model.
-- @tparam table graph nodes {op, name, inputs, outputs, attributes}, constants by name, and lists of {name, tensor}:
-- inputs and outputs
-- @tparam table opts opset, dynamic_batch
-- @treturn string
function M.bytes(graph, opts)
  local parts = {}
  for i, entry in ipairs(graph.nodes) do parts[i] = bytes(1, node(entry)) end
  parts[#parts + 1] = bytes(2, "latent")
  for _, name in ipairs(sorted_keys(graph.constants)) do
    parts[#parts + 1] = bytes(5, tensor(name, graph.constants[name]))
  end
  for i, list in ipairs{graph.inputs, graph.outputs} do
    for _, entry in ipairs(list) do
      parts[#parts + 1] = bytes(10 + i, value_info(entry[1], entry[2], opts.dynamic_batch))
    end
  end
  return int(1, IR_VERSION) .. bytes(2, "latent") .. bytes(3, lt._VERSION:match "%S+$")
    .. bytes(7, table.concat(parts)) .. bytes(8, bytes(1, "") .. int(2, opts.opset))
end

return M
