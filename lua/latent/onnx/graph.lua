--- A graph of ONNX while it grows. A value of the model stands in it as a symbol: the name of what computes it, beside
-- a tensor that our own layers have computed for the example, from which shapes and types are known.
--
-- ONNX's convolutions, pools and norms want channels first, ours are last. A symbol may be known under both orders:
-- what comes out of a convolution has its channels first, activations leave it so, and a Transpose stands only where a
-- layer needs the other order.
-- @module latent.onnx.graph
local core = require "latent.core"

local M = {}

--- A value of the model: `x` the example's tensor, `last` its name with the channels last as in ours, `first` with the
-- channels first; one of the two may not be there yet.
local Symbol = {__name = "value of an ONNX graph"}
M.Symbol = Symbol

--- Whether a value is a symbol.
function M.is_symbol(value) return getmetatable(value) == Symbol end

local Graph = {}
Graph.__index = Graph

--- An empty graph.
-- @tparam int opset
-- @treturn table
function M.new(opset)
  return setmetatable({nodes = {}, constants = {}, inputs = {}, outputs = {}, opset = opset, path = "",
    taken = {}}, Graph)
end

-- A name that is not taken yet: "conv/Relu", "conv/Relu_2".
local function fresh(self, stem)
  local n, name = 1, stem
  while self.taken[name] do
    n = n + 1
    name = ("%s_%d"):format(stem, n)
  end
  self.taken[name] = true
  return name
end

--- What messages call the layer that is being written.
function Graph:place() return self.path == "" and "model" or self.path end

--- Keeps a name from nodes and constants.
-- @tparam string name
function Graph:reserve(name) self.taken[name] = true end

--- Adds a node of the layer that is being written.
-- @tparam string op
-- @tparam {string,...} inputs names; "" for one that is left out
-- @tparam ?table attributes
-- @tparam ?int count of outputs, 1 unless given
-- @treturn string ... their names
function Graph:node(op, inputs, attributes, count)
  local name, outputs = fresh(self, self:place() .. "/" .. op), {}
  for i = 1, count or 1 do outputs[i] = i == 1 and name or ("%s:%d"):format(name, i) end
  self.nodes[#self.nodes + 1] = {op = op, name = name, inputs = inputs, outputs = outputs,
    attributes = attributes or {}}
  return table.unpack(outputs)
end

--- A constant.
-- @tparam Tensor x
-- @tparam ?string name of a parameter, "weight"; else it is called after the layer alone
-- @treturn string its name
function Graph:constant(x, name)
  name = fresh(self, (self.path == "" and "" or self.path .. ".") .. (name or "constant"))
  self.constants[name] = x:detach():clone()
  return name
end

--- A number as a constant of a type.
function Graph:number(value, dtype)
  return self:constant(core.zeros({1}, {dtype = dtype or "float32"}):fill_(value):reshape{}, "number")
end

--- Whole numbers as a constant: a shape, axes.
function Graph:shape(list) return self:constant(core.tensor(list, {dtype = "i64"}), "shape") end

--- A symbol.
-- @tparam Tensor x the example's value
-- @tparam table names {last =} or {first =}
function Graph:symbol(x, names)
  return setmetatable({graph = self, x = x, last = names.last, first = names.first}, Symbol)
end

-- The axes of a transposition, counted from 0.
local function to_first(dims)
  local axes = {0, dims - 1}
  for d = 1, dims - 2 do axes[d + 2] = d end
  return axes
end
local function to_last(dims)
  local axes = {0}
  for d = 2, dims - 1 do axes[d] = d end
  axes[dims] = 1
  return axes
end

--- The name of a symbol with its channels last, as ours are.
function Graph:channels_last(symbol)
  if not symbol.last then symbol.last = self:node("Transpose", {symbol.first}, {perm = to_last(symbol.x:dim())}) end
  return symbol.last
end

--- The name of a symbol with its channels first.
function Graph:channels_first(symbol)
  if not symbol.first then
    local dims = symbol.x:dim()
    -- Of rows both orders are one.
    symbol.first = dims < 3 and symbol.last or self:node("Transpose", {symbol.last}, {perm = to_first(dims)})
  end
  return symbol.first
end

--- A function of each element by itself: of the order that is there.
-- @tparam function f (name) -> name
-- @tparam Symbol symbol
-- @tparam Tensor x the result of the example
function Graph:elementwise(f, symbol, x)
  if symbol.last then return self:symbol(x, {last = f(symbol.last)}) end
  return self:symbol(x, {first = f(symbol.first)})
end

--- A function of two values that broadcast, or of one and a number.
function Graph:binary(op, a, b, x)
  if M.is_symbol(a) and M.is_symbol(b) then
    local same = a.x:dim() == b.x:dim()
    if same and a.first and b.first and not (a.last and b.last) then
      return self:symbol(x, {first = self:node(op, {a.first, b.first})})
    end
    return self:symbol(x, {last = self:node(op, {self:channels_last(a), self:channels_last(b)})})
  end
  local function name_of(v, name)
    if M.is_symbol(v) then return name end
    return core.is_tensor(v) and self:constant(v) or self:number(v, x.dtype)
  end
  local symbol = M.is_symbol(a) and a or b
  if core.is_tensor(a) or core.is_tensor(b) then -- its axes are ours
    self:channels_last(symbol)
  end
  return self:elementwise(function(name) return self:node(op, {name_of(a, name), name_of(b, name)}) end, symbol, x)
end

--- Leaves only the nodes and constants that lead to the outputs.
function Graph:prune()
  local needed, nodes, constants = {}, {}, {}
  for _, entry in ipairs(self.outputs) do needed[entry[1]] = true end
  for i = #self.nodes, 1, -1 do
    local entry = self.nodes[i]
    local used = false
    for _, name in ipairs(entry.outputs) do used = used or needed[name] end
    if used then
      table.insert(nodes, 1, entry)
      for _, name in ipairs(entry.inputs) do needed[name] = true end
    end
  end
  for name, x in pairs(self.constants) do
    if needed[name] then constants[name] = x end
  end
  self.nodes, self.constants = nodes, constants
end

--- Names a result.
function Graph:output(name, symbol)
  local last = self:channels_last(symbol)
  self.path = ""
  local entry = {op = "Identity", name = name, inputs = {last}, outputs = {name}, attributes = {}}
  self.nodes[#self.nodes + 1] = entry
  self.outputs[#self.outputs + 1] = {name, symbol.x}
end

--- Names what goes in.
function Graph:input(name, x)
  self.inputs[#self.inputs + 1] = {name, x}
  self:reserve(name)
  return self:symbol(x, {last = name})
end

return M
