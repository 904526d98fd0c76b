--- Recurrent layers, attention and transformers in ONNX: see latent.onnx.layers.
-- @module latent.onnx.sequences
local core = require "latent.core"
local graphs = require "latent.onnx.graph"
local lt = require "latent"

local raise = core.raise

local M = {}

local function refuse(g, layer, why) raise(("onnx.save: %s: %s: %s"):format(g:place(), tostring(layer), why)) end

-- ---- recurrent layers ----

-- Gates of [inputs, gates * hidden] or [gates * hidden] in another order, [gates * hidden, inputs] as ONNX has them.
local function gates_of(x, order, hidden)
  local parts, axis = {}, x:dim()
  for i, gate in ipairs(order) do parts[i] = x:detach():slice(axis, (gate - 1) * hidden + 1, gate * hidden) end
  local joined = lt.cat(parts, axis)
  return axis == 2 and joined:transpose() or joined
end

-- Weights of one layer, both directions.
local function weights_of(layer, index, order)
  local w, r, b = {}, {}, {}
  for direction = 1, layer.directions do
    local suffix = ("_l%d%s"):format(index - 1, direction == 2 and "_reverse" or "")
    local function part(name) return gates_of(layer[name .. suffix], order, layer.hidden) end
    w[direction], r[direction] = part "weight_ih", part "weight_hh"
    if layer["bias_ih" .. suffix] then b[direction] = lt.cat({part "bias_ih", part "bias_hh"}, 1) end
  end
  return lt.stack(w, 1), lt.stack(r, 1), b[1] and lt.stack(b, 1)
end

-- op, the places of its gates among ours, and attributes
local function recurrent(op, order, attributes)
  return function(g, layer, x, y, state, lengths)
    if state ~= nil or lengths ~= nil then refuse(g, layer, "with a first state or lengths it cannot be exported") end
    local name, ends = g:node("Transpose", {g:channels_last(x)}, {perm = {1, 0, 2}}), {}
    for index = 1, layer.layers do
      local w, r, b = weights_of(layer, index, order)
      local inputs = {name, g:constant(w, "weight_ih"), g:constant(r, "weight_hh"), b and g:constant(b, "bias")}
      local given = {hidden_size = layer.hidden, direction = layer.directions == 2 and "bidirectional" or "forward"}
      for key, value in pairs(attributes and attributes(layer) or {}) do given[key] = value end
      local outputs = {g:node(op, inputs, given, op == "LSTM" and 3 or 2)}
      -- [time, directions, batch, hidden] to [time, batch, directions * hidden]
      name = g:node("Reshape", {g:node("Transpose", {outputs[1]}, {perm = {0, 2, 1, 3}}), g:shape{0, 0, -1}})
      for k = 2, #outputs do
        ends[k - 1] = ends[k - 1] or {}
        ends[k - 1][index] = outputs[k]
      end
    end
    local out = g:symbol(y[1], {last = g:node("Transpose", {name}, {perm = {1, 0, 2}})})
    local states = {}
    for k, list in ipairs(ends) do
      local example = op == "LSTM" and y[2][k] or y[2]
      states[k] = g:symbol(example, {last = g:node("Concat", list, {axis = 0})})
    end
    return out, op == "LSTM" and states or states[1]
  end
end

M.RNN = recurrent("RNN", {1}, function(layer)
  local word = layer.nonlinearity == "relu" and "Relu" or "Tanh"
  return {activations = layer.directions == 2 and {word, word} or {word}}
end)
-- Ours: input, forget, cell, output; ONNX's: input, output, forget, cell.
M.LSTM = recurrent("LSTM", {1, 4, 2, 3})
-- Ours: reset, update, new; ONNX's: update, reset, new.
M.GRU = recurrent("GRU", {2, 1, 3}, function() return {linear_before_reset = 1} end)

-- A single step: a sequence of one, from a state of zeros.
local function cell(op, order, attributes)
  return function(g, layer, x, y, state)
    if state ~= nil then refuse(g, layer, "with a state that is given it cannot be exported") end
    local function gates(name) return lt.stack({gates_of(layer[name], order, layer.hidden)}, 1) end
    local inputs = {g:node("Reshape", {g:channels_last(x), g:shape{1, -1, layer.inputs}}),
      g:constant(gates "weight_ih", "weight_ih"), g:constant(gates "weight_hh", "weight_hh")}
    if layer.bias_ih then inputs[4] = g:constant(lt.cat({gates "bias_ih", gates "bias_hh"}, 2), "bias") end
    local given = {hidden_size = layer.hidden}
    for key, value in pairs(attributes and attributes(layer) or {}) do given[key] = value end
    local outputs, states = {g:node(op, inputs, given, op == "LSTM" and 3 or 2)}, {}
    for k = 2, #outputs do
      states[k - 1] = g:symbol(op == "LSTM" and y[k - 1] or y,
        {last = g:node("Reshape", {outputs[k], g:shape{-1, layer.hidden}})})
    end
    return op == "LSTM" and states or states[1]
  end
end

M.RNNCell = cell("RNN", {1}, function(layer)
  return {activations = {layer.nonlinearity == "relu" and "Relu" or "Tanh"}}
end)
M.LSTMCell = cell("LSTM", {1, 4, 2, 3})
M.GRUCell = cell("GRU", {2, 1, 3}, function() return {linear_before_reset = 1} end)

-- ---- attention ----

-- What is added to the scores, as a constant; nil where nothing is.
local function mask_of(g, layer, opts, queries, keys, dtype)
  if opts.key_padding_mask then refuse(g, layer, "key_padding_mask belongs to a batch and cannot be exported") end
  local sum = opts.attn_mask
  local zero = lt.zeros(1, {dtype = dtype})
  if sum and sum.dtype == "u8" then sum = lt.where(sum, -math.huge, zero) end
  if sum and sum:dim() == 3 then refuse(g, layer, "attn_mask of each head cannot be exported") end
  if opts.is_causal then
    local causal = lt.where(lt.ones(queries, keys):triu(1):gt(0), -math.huge, zero)
    sum = sum and sum + causal or causal
  end
  return sum and g:constant(sum, "mask")
end

-- [batch, time, features] through one third of the weights, [batch, heads, time, features of a head]; or, of the keys,
-- with the last two axes exchanged.
local function project(g, layer, x, third)
  local f = layer.features
  local first, last = (third - 1) * f + 1, third * f
  local name = g:node("MatMul", {g:channels_last(x),
    g:constant(layer.in_proj_weight:detach():slice(2, first, last), "in_proj_weight")})
  if layer.in_proj_bias then
    name = g:node("Add", {name, g:constant(layer.in_proj_bias:detach():slice(1, first, last), "in_proj_bias")})
  end
  name = g:node("Reshape", {name, g:shape{0, 0, layer.heads, f // layer.heads}})
  return g:node("Transpose", {name}, {perm = third == 2 and {0, 2, 3, 1} or {0, 2, 1, 3}})
end

function M.MultiheadAttention(g, layer, query, y, key, value, opts)
  if type(key) == "table" and not graphs.is_symbol(key) then key, opts = nil, key end
  key = key or query
  value = value or key
  local scores = g:node("MatMul", {project(g, layer, query, 1), project(g, layer, key, 2)})
  scores = g:node("Mul", {scores, g:number((layer.features // layer.heads) ^ -0.5, y[1].dtype)})
  local mask = mask_of(g, layer, opts or {}, query.x:size(2), key.x:size(2), y[1].dtype)
  if mask then scores = g:node("Add", {scores, mask}) end
  local weights = g:node("Softmax", {scores}, {axis = -1})
  local name = g:node("Transpose", {g:node("MatMul", {weights, project(g, layer, value, 3)})}, {perm = {0, 2, 1, 3}})
  name = g:node("Reshape", {name, g:shape{0, 0, layer.features}})
  local out = layer.out_proj(g:symbol(y[1], {last = name}))
  local mean = g.opset < 18 and g:node("ReduceMean", {weights}, {axes = {1}, keepdims = 0})
    or g:node("ReduceMean", {weights, g:shape{1}}, {keepdims = 0})
  return out, g:symbol(y[2], {last = mean})
end

function M.TransformerEncoderLayer(_, layer, x, _, opts)
  local function attend(y) return (layer.self_attn(y, opts)) end
  local function feed(y)
    y = layer.linear1(y)
    return layer.linear2(layer.activation == "gelu" and y:gelu() or y:relu())
  end
  if layer.norm_first then
    x = x + attend(layer.norm1(x))
    return x + feed(layer.norm2(x))
  end
  x = layer.norm1(x + attend(x))
  return layer.norm2(x + feed(x))
end

function M.TransformerEncoder(_, layer, x, _, opts)
  for i = 1, #layer.layers do x = layer.layers[i](x, opts) end
  return layer.norm and layer.norm(x) or x
end

function M.SinusoidalPositions(g, layer, x, y)
  local rows = layer._table:slice(1, 1, y:size(2))
  return g:symbol(y, {last = g:node("Add", {g:channels_last(x), g:constant(rows, "positions")})})
end

return M
