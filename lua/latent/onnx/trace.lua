--- Follows a model's forward function with symbols in the place of tensors: layers of the library are written by
-- latent.onnx.layers and latent.onnx.sequences, and in forward functions of one's own these also answer to operators
-- and to the ops below, as methods and as functions of `latent`.
-- @module latent.onnx.trace
local attempt = require "latent.base.attempt"
local core = require "latent.core"
local graphs = require "latent.onnx.graph"
local layers = require "latent.onnx.layers"
local lt = require "latent"
local module = require "latent.nn.module"
local options = require "latent.base.options"
local sequences = require "latent.onnx.sequences"
local sorted_keys = require "latent.base.sorted_keys"

local raise, is_symbol = core.raise, graphs.is_symbol

local M = {}

local WRITERS = {}
for _, family in ipairs{layers, sequences} do
  for kind, writer in pairs(family) do WRITERS[kind] = writer end
end
-- What calls its parts with the symbols: the example goes through these.
local CONTAINERS = {Sequential = true, TransformerEncoderLayer = true, TransformerEncoder = true}

-- ---- ops on symbols: (graph, result of the example, arguments...) -> name, or a symbol ----

local OPS = {}

for name, op in pairs{relu = "Relu", tanh = "Tanh", sigmoid = "Sigmoid", exp = "Exp", log = "Log", sqrt = "Sqrt",
  abs = "Abs", neg = "Neg", sin = "Sin", cos = "Cos", erf = "Erf"} do
  OPS[name] = function(g, y, x) return g:elementwise(function(n) return g:node(op, {n}) end, x, y) end
end
local OF_TWO = {matmul = true} -- of which either may be a list of numbers
for name, op in pairs{add = "Add", sub = "Sub", mul = "Mul", div = "Div", pow = "Pow", maximum = "Max",
  minimum = "Min"} do
  OPS[name] = function(g, y, a, b) return g:binary(op, a, b, y) end
  OF_TWO[name] = true
end
function OPS.square(g, y, x) return g:binary("Mul", x, x, y) end
function OPS.silu(g, y, x) return layers.SiLU(g, nil, x, y) end
function OPS.gelu(g, y, x, approximate) return layers.GELU(g, {approximate = approximate}, x, y) end

-- An axis from 1, or from the end, as ONNX counts it.
local function axis_of(axis) return axis > 0 and axis - 1 or axis end

for name, op in pairs{softmax = "Softmax", log_softmax = "LogSoftmax"} do
  OPS[name] = function(g, y, x, axis)
    local symbol = g:channels_last(x)
    if y.dtype ~= x.x.dtype then symbol = g:node("Cast", {symbol}, {to = y.dtype == "float64" and 11 or 1}) end
    return g:node(op, {symbol}, {axis = axis_of(axis or -1)})
  end
end

-- The first size is open, so that a batch of another size fits: 0 is that of x, -1 what the others leave.
function OPS.reshape(g, y, x)
  local shape = {table.unpack(y.shape)}
  if shape[1] then shape[1] = x.x:dim() > 0 and shape[1] == x.x:size(1) and 0 or -1 end
  return g:node("Reshape", {g:channels_last(x), g:shape(shape)})
end
OPS.flatten = OPS.reshape
function OPS.permute(g, _, x, ...)
  local axes = {...}
  if type(axes[1]) == "table" then axes = axes[1] end
  local perm = {}
  for d, axis in ipairs(axes) do perm[d] = axis > 0 and axis - 1 or x.x:dim() + axis end
  return g:node("Transpose", {g:channels_last(x)}, {perm = perm})
end
function OPS.transpose(g, _, x, a, b)
  local dims, perm = x.x:dim(), {}
  a, b = a or 1, b or 2
  a, b = a > 0 and a or dims + 1 + a, b > 0 and b or dims + 1 + b
  for d = 1, dims do perm[d] = d - 1 end
  perm[a], perm[b] = perm[b], perm[a]
  return g:node("Transpose", {g:channels_last(x)}, {perm = perm})
end
function OPS.slice(g, y, x, axis, first)
  first = first > 0 and first or x.x:size(axis) + 1 + first
  return g:node("Slice", {g:channels_last(x), g:shape{first - 1}, g:shape{first - 1 + y:size(axis)},
    g:shape{axis_of(axis)}})
end
function OPS.unsqueeze(g, _, x, axis) return g:node("Unsqueeze", {g:channels_last(x), g:shape{axis_of(axis)}}) end
function OPS.squeeze(g, _, x, axis)
  if not axis then raise "onnx.save: squeeze: say the axis" end
  if x.x:size(axis) ~= 1 then return x end
  return g:node("Squeeze", {g:channels_last(x), g:shape{axis_of(axis)}})
end
function OPS.matmul(g, _, a, b)
  local function name_of(v) return is_symbol(v) and g:channels_last(v) or g:constant(v) end
  return g:node("MatMul", {name_of(a), name_of(b)})
end
function OPS.cat(g, _, list, axis)
  local names = {}
  for i, x in ipairs(list) do names[i] = is_symbol(x) and g:channels_last(x) or g:constant(x) end
  return g:node("Concat", names, {axis = axis_of(axis or 1)})
end
for name, op in pairs{sum = "ReduceSum", mean = "ReduceMean"} do
  OPS[name] = function(g, _, x, axis, keep)
    local axes, attributes = {}, {keepdims = keep and 1 or 0}
    for i, a in ipairs(type(axis) == "table" and axis or {axis}) do axes[i] = axis_of(a) end
    if #axes == 0 then return g:node(op, {g:channels_last(x)}, attributes) end
    if op == "ReduceMean" and g.opset < 18 then
      attributes.axes = axes
      return g:node(op, {g:channels_last(x)}, attributes)
    end
    return g:node(op, {g:channels_last(x), g:shape(axes)}, attributes)
  end
end

--- The ops that symbols know.
M.ops = sorted_keys(OPS)

-- The example in the place of each symbol.
local function examples_of(...)
  local list = table.pack(...)
  for i = 1, list.n do
    local value = list[i]
    if is_symbol(value) then list[i] = value.x
    elseif type(value) == "table" and is_symbol(value[1]) then list[i] = {examples_of(table.unpack(value))} end
  end
  return table.unpack(list, 1, list.n)
end

local function has_symbol(...)
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if is_symbol(value) then return value end
    if type(value) == "table" and getmetatable(value) == nil then
      for _, item in ipairs(value) do
        if is_symbol(item) then return item end
      end
    end
  end
end

-- The names of what stands behind the tensors, in their order.
local NAMES = {sum = {"axis", "keepdim"}, mean = {"axis", "keepdim"}, gelu = {"approximate"},
  softmax = {"axis", "dtype"}, log_softmax = {"axis", "dtype"}, cat = {"axis"}, slice = {"axis", "first", "last"},
  permute = {"axes"}, transpose = {"a", "b"}, squeeze = {"axis"}, unsqueeze = {"axis"}}

-- Arguments with those that were given by name, as one table at the end or beside a list there, in their places.
local function in_order(name, ...)
  local list = table.pack(...)
  local last = NAMES[name] and list[list.n]
  if type(last) ~= "table" or is_symbol(last) then return ... end
  local items, named = options.separate(last)
  if #last == 0 then items, named = nil, last end
  list[list.n] = items
  for i, key in ipairs(NAMES[name]) do
    if named[key] ~= nil then list[i + 1] = named[key] end
  end
  return table.unpack(list, 1, #NAMES[name] + 1)
end

-- A list of numbers as the tensor that the op makes of it.
local function constant(name, value, symbol)
  return type(value) == "table" and not is_symbol(value) and core.tensor_like(value, name, symbol.x) or value
end

-- `real`: the library's own function.
local function apply(name, real, ...)
  local symbol = has_symbol(...)
  if OF_TWO[name] then
    local a, b = ...
    a, b = constant(name, a, symbol), constant(name, b, symbol)
    local y = real(examples_of(a, b))
    local made = OPS[name](symbol.graph, y, a, b)
    return is_symbol(made) and made or symbol.graph:symbol(y, {last = made})
  end
  local y = real(examples_of(...))
  local made = OPS[name](symbol.graph, y, in_order(name, ...))
  return is_symbol(made) and made or symbol.graph:symbol(y, {last = made})
end

local Symbol = graphs.Symbol
local real_ops = {} -- while a model is followed, those of `latent` answer to symbols
local FIELDS = {graph = true, x = true, last = true, first = true}

function Symbol.__index(self, key)
  if FIELDS[key] then return nil end
  if key == "shape" or key == "dtype" then return rawget(self, "x")[key] end
  if key == "size" or key == "dim" or key == "numel" then
    return function(s, ...) return s.x[key](s.x, ...) end
  end
  if not OPS[key] then
    raise(("onnx.save: %s: a value in the graph has no %s; it has operators and %s"):format(self.graph:place(),
      tostring(key), table.concat(M.ops, ", ")))
  end
  return function(...) return apply(key, real_ops[key] or lt[key], ...) end
end
function Symbol.__newindex(self, key, value)
  if FIELDS[key] then return rawset(self, key, value) end
  raise(("onnx.save: %s: parts of a value in the graph cannot be written"):format(self.graph:place()))
end
function Symbol.__len(self) return #self.x end
for event, name in pairs{__add = "add", __sub = "sub", __mul = "mul", __div = "div", __pow = "pow", __unm = "neg"} do
  Symbol[event] = function(a, b)
    if name == "neg" then return apply(name, real_ops.neg, a) end
    return apply(name, real_ops[name], a, b)
  end
end

-- ---- layers ----

local function title(g, layer) return ("%s: %s"):format(g:place(), layer.kind) end

-- Functions taken out of `latent` before, as by `local relu = lt.relu`, are the library's own. Where a function of the
-- user's holds one, those that answer to symbols take its place until the model has been followed. Functions share such
-- a place: where one has been answered, the others find the answer there.
local held = {}
local answers = setmetatable({}, {__mode = "k"}) -- the functions that answer to symbols, of all runs

local function answer(f, op_of, seen)
  if seen[f] then return end
  seen[f] = true
  local i = 1
  local name, value = debug.getupvalue(f, i)
  while name do
    local op = op_of[value]
    if op then
      held[#held + 1] = {f = f, i = i, real = value, answer = lt[op]}
      debug.setupvalue(f, i, lt[op])
    elseif type(value) == "function" and not answers[value] then
      answer(value, op_of, seen)
    end
    i = i + 1
    name, value = debug.getupvalue(f, i)
  end
end

-- What a function of the user's wrote into such a place meanwhile stays there.
local function put_back()
  for _, place in ipairs(held) do
    local _, value = debug.getupvalue(place.f, place.i)
    if value == place.answer then debug.setupvalue(place.f, place.i, place.real) end
  end
  held = {}
end

-- The forward function of a module of one's own, or a plain function.
local function follow(g, layer, f, ...)
  local op_of = {}
  for name, real in pairs(real_ops) do op_of[real] = name end
  answer(f, op_of, {})
  local results = table.pack(attempt(f, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  local message = tostring(results[2])
  if message:find("onnx.save: ", 1, true) then error(message, 0) end
  local taken = message:match "([%a_][%w_]*): expected [^\n]*got a value of an ONNX graph"
  if OPS[taken] then
    raise(("onnx.save: %s: its function calls a %s that was taken out of latent before, which cannot be followed; "
      .. "write lt.%s(...)"):format(title(g, layer), taken, taken))
  end
  raise(("onnx.save: %s: its function cannot be followed: %s (it may call layers, operators and %s)"):format(
    title(g, layer), message, table.concat(M.ops, ", ")))
end

local function write(g, layer, ...)
  if layer._hooks and layer._hooks[1] then
    raise(("onnx.save: %s: has hooks, which no file holds"):format(title(g, layer)))
  end
  if layer.kind == "Function" then
    for name, real in pairs(real_ops) do
      if real == layer.f then return apply(name, real, ...) end
    end
    return follow(g, layer, layer.f, ...)
  end
  if getmetatable(layer) == module.Module then return follow(g, layer, layer.forward, layer, ...) end
  local writer = WRITERS[layer.kind]
  if rawget(layer, "forward") then
    raise(("onnx.save: %s: its weights are computed at each call, which cannot be exported"):format(title(g, layer)))
  elseif not writer then
    raise(("onnx.save: %s: this layer cannot be exported"):format(title(g, layer)))
  end
  local x = ...
  if CONTAINERS[layer.kind] then return writer(g, layer, x, nil, select(2, ...)) end
  local y = table.pack(layer:forward(examples_of(...)))
  return writer(g, layer, x, y.n > 1 and y or y[1], select(2, ...))
end

-- In the place of a module's call.
local function intercept(paths)
  return function(layer, ...)
    local symbol = has_symbol(...)
    if not symbol then return module.call(layer, ...) end
    local g = symbol.graph
    local before = g.path
    g.path = paths[layer] or before
    local results = table.pack(write(g, layer, ...))
    g.path = before
    return table.unpack(results, 1, results.n)
  end
end

--- Calls a model with symbols.
-- @tparam Module model
-- @tparam {Symbol,...} inputs
-- @return what the model returns
function M.run(model, inputs)
  local paths = {}
  for _, entry in ipairs(model:modules()) do paths[entry[2]] = entry[1] end
  for name in pairs(OPS) do real_ops[name] = lt[name] end
  local _ <close> = setmetatable({}, {__close = function()
    module.intercept = nil
    put_back()
    for name, real in pairs(real_ops) do lt[name], real_ops[name] = real, nil end
  end})
  for name, real in pairs(real_ops) do
    lt[name] = function(...)
      if has_symbol(...) then return apply(name, real, ...) end
      return real(...)
    end
    answers[lt[name]] = true
  end
  module.intercept = intercept(paths)
  return core.no_grad(function() return model(table.unpack(inputs)) end)
end

return M
