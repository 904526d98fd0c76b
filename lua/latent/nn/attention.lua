--- Attention and transformers on sequences [batch, time, features].
-- @module latent.nn.attention
local core = require "latent.core"
local input = require "latent.nn.input"
local layers = require "latent.nn.layers"
local lt = require "latent"
local module = require "latent.nn.module"
local normalization = require "latent.nn.normalization"
local options = require "latent.base.options"
local parts = require "latent.nn.parts"
local shapes = require "latent.base.shapes"

local ops, raise, class = core.ops, core.raise, module.class

local M = {}

-- ---- masks ----

local MASKS = {
  {"attn_mask", "tensor", nil, "[time, time] or [batch * heads, time, time]: u8, 1 where a key is not seen, or float32 "
    .. "and added to the scores"},
  {"key_padding_mask", "tensor", nil, "u8 [batch, time], 1 where a key is none"},
  {"is_causal", "boolean", false, "keys at a later place are not seen"},
}
local mask_options = options.reader("attention", MASKS)

-- A mask of either kind as what is added to the scores, of their type.
local function additive(mask, dtype)
  if mask.dtype ~= "u8" then return mask end
  return ops.where(mask, -math.huge, core.zeros(1, {dtype = dtype}))
end

local function expect_shape(self, name, mask, ...)
  local have = shapes.text(mask)
  for _, shape in ipairs{...} do
    if have == shapes.text(shape) then return end
  end
  raise(("%s: %s: expected %s, got %s"):format(self:text(), name, shapes.text((...)), have))
end

-- All masks as one that is added to scores [batch, heads, queries, keys]; nil where there is none.
local function mask_of(self, opts, batch, queries, keys)
  local dtype, sum = self.in_proj_weight.dtype, nil
  if opts.attn_mask then
    expect_shape(self, "attn_mask", opts.attn_mask, {queries, keys}, {batch * self.heads, queries, keys})
    sum = additive(opts.attn_mask, dtype)
    if sum:dim() == 3 then sum = ops.reshape(sum, {batch, self.heads, queries, keys}) end
  end
  if opts.key_padding_mask then
    expect_shape(self, "key_padding_mask", opts.key_padding_mask, {batch, keys})
    local padding = ops.reshape(additive(opts.key_padding_mask, dtype), {batch, 1, 1, keys})
    sum = sum and ops.add(sum, padding) or padding
  end
  return sum
end

-- ---- attention with several heads ----

local attention_options = options.declare("nn.MultiheadAttention", {parts.BIAS,
  {"dropout", parts.DROPOUT, 0, "of the weights, in training"}, parts.DTYPE})

--- Attention with several heads (Vaswani et al., 2017). `attention(query, key, value, opts)` takes [batch, time,
-- features] three times, key and value being the query unless given, and returns [batch, time, features] and the
-- weights, mean over the heads, [batch, queries, keys]. Options of the call are `attn_mask` ([queries, keys] or
-- [batch * heads, queries, keys]: u8, 1 where a key is *not* seen, as in PyTorch's layer, or float32 and added),
-- `key_padding_mask` (u8 [batch, keys], 1 where a key is none) and `is_causal`.
-- @function MultiheadAttention
-- @tparam int features
-- @tparam int heads a divisor of the features
-- @tparam ?table opts
-- @treturn Module
M.MultiheadAttention = class("MultiheadAttention", {order = {"in_proj_weight", "in_proj_bias"},
  torch_arrays = {in_proj_weight = {axes = {2, 1}}}})

function M.MultiheadAttention:torch_layout(value, flow)
  flow:through(self.out_proj, value)
  return {is = "rows", writers = {}}
end

function M.MultiheadAttention:init(features, heads, opts)
  local name = "nn.MultiheadAttention"
  opts = attention_options(opts)
  self.features = options.expect(name, "features", features, "count")
  self.heads, self.dropout = options.expect(name, "heads", heads, "count"), opts.dropout
  if features % heads ~= 0 then
    raise(("%s: heads: expected a divisor of the %d features, got %d"):format(name, features, heads))
  end
  -- Xavier's bound of the three together, and biases of zero, as in PyTorch.
  self.in_proj_weight = parts.uniform(math.sqrt(6 / (4 * features)), features, 3 * features)
  if opts.bias then self.in_proj_bias = core.param(core.zeros(3 * features)) end
  self.out_proj = layers.Linear(features, features, {bias = opts.bias})
  if opts.bias then self.out_proj.bias:detach():fill_(0) end
end

-- [batch, time, features] through one third of the weights, as [batch, heads, time, features of a head].
local function project(self, x, third)
  local f, shape = self.features, x.shape
  local first, last = (third - 1) * f + 1, third * f
  local y = ops.linear(x, ops.slice(self.in_proj_weight, 2, first, last),
    self.in_proj_bias and ops.slice(self.in_proj_bias, 1, first, last))
  return ops.permute(ops.reshape(y, {shape[1], shape[2], self.heads, f // self.heads}), {1, 3, 2, 4})
end

local function is_options(x) return type(x) == "table" and not core.is_tensor(x) end

function M.MultiheadAttention:forward(query, key, value, opts)
  if is_options(key) and value == nil then key, opts = nil, key end
  opts = mask_options(opts, self:text())
  input.check(self, query, input.STEPS, self.features)
  key = key == nil and query or input.check(self, key, input.STEPS, self.features)
  value = value == nil and key or input.check(self, value, input.STEPS, self.features)
  local shape, keys = query.shape, key.shape[2]
  if key.shape[1] ~= shape[1] or shapes.text(value) ~= shapes.text(key) then
    raise(("%s: expected queries, keys and values of one batch, keys and values of one length, got %s, %s and %s")
      :format(self:text(), shapes.text(query), shapes.text(key), shapes.text(value)))
  end
  local y, weights = lt.scaled_dot_product_attention(project(self, query, 1), project(self, key, 2),
    project(self, value, 3), {attn_mask = mask_of(self, opts, shape[1], shape[2], keys),
      is_causal = opts.is_causal, dropout_p = self.training and self.dropout or 0})
  y = ops.reshape(ops.permute(y, {1, 3, 2, 4}), shape)
  return self.out_proj(y), ops.mean(weights, 2)
end

function M.MultiheadAttention:text() return ("MultiheadAttention(%d, heads %d)"):format(self.features, self.heads) end

-- ---- transformers ----

local ENCODER = {{"dim_feedforward", "count", 2048, "features between its two linear layers"},
  {"dropout", parts.DROPOUT, 0.1, "in training"}, {"activation", options.one_of{"relu", "gelu"}, "relu"},
  {"norm_first", "boolean", false, "normalises what goes into a part, not what comes out of the sum"},
  {"layer_norm_eps", "positive", 1e-5, "added to the variance"}, {"bias", "boolean", true, "of its linear layers"},
  parts.DTYPE}

local layer_options = options.declare("nn.TransformerEncoderLayer", ENCODER)

--- Attention of a sequence to itself and two linear layers, each with a way around it and a layer norm (Vaswani et al.,
-- 2017): [batch, time, features] to the same. `layer(x, opts)` takes the options of a call of
-- MultiheadAttention.
-- @function TransformerEncoderLayer
-- @tparam int features
-- @tparam int heads a divisor of the features
-- @tparam ?table opts
-- @treturn Module
M.TransformerEncoderLayer = class("TransformerEncoderLayer", {
  order = {"self_attn", "linear1", "linear2", "norm1", "norm2"}})

function M.TransformerEncoderLayer:torch_layout(value, flow)
  for _, part in ipairs{"self_attn", "linear1", "linear2", "norm1", "norm2"} do
    value = flow:through(self[part], {is = "rows", writers = {}})
  end
  return value
end

local function init_layer(self, name, features, heads, opts)
  self.features = options.expect(name, "features", features, "count")
  options.expect(name, "heads", heads, "count")
  if features % heads ~= 0 then
    raise(("%s: heads: expected a divisor of the %d features, got %d"):format(name, features, heads))
  end
  self.activation, self.dropout, self.norm_first = opts.activation, opts.dropout, opts.norm_first
  self.self_attn = M.MultiheadAttention(features, heads, {dropout = opts.dropout, bias = opts.bias})
  self.linear1 = layers.Linear(features, opts.dim_feedforward, {bias = opts.bias})
  self.linear2 = layers.Linear(opts.dim_feedforward, features, {bias = opts.bias})
  self.norm1 = normalization.LayerNorm(features, {eps = opts.layer_norm_eps})
  self.norm2 = normalization.LayerNorm(features, {eps = opts.layer_norm_eps})
end

function M.TransformerEncoderLayer:init(features, heads, opts)
  init_layer(self, "nn.TransformerEncoderLayer", features, heads, layer_options(opts))
end

function M.TransformerEncoderLayer:forward(x, opts)
  input.check(self, x, input.STEPS, self.features)
  local function drop(y) return ops.dropout(y, self.dropout, self.training) end
  local function attend(y) return drop((self.self_attn(y, opts))) end
  local function feed(y) return drop(self.linear2(drop(ops[self.activation](self.linear1(y))))) end
  if self.norm_first then
    x = ops.add(x, attend(self.norm1(x)))
    return ops.add(x, feed(self.norm2(x)))
  end
  x = self.norm1(ops.add(x, attend(x)))
  return self.norm2(ops.add(x, feed(x)))
end

function M.TransformerEncoderLayer:text()
  return ("TransformerEncoderLayer(%d, heads %d)"):format(self.features, self.self_attn.heads)
end

local encoder_options = options.declare("nn.TransformerEncoder", {ENCODER[1], ENCODER[2], ENCODER[3], ENCODER[4],
  ENCODER[5], ENCODER[6], ENCODER[7], {"norm", "boolean", false, "a layer norm behind the last layer"}})

--- Several TransformerEncoderLayers one after the other; their list is the field `layers`. Called as one of them is.
-- @function TransformerEncoder
-- @tparam int features
-- @tparam int heads a divisor of the features
-- @tparam int count of layers
-- @tparam ?table opts
-- @treturn Module
M.TransformerEncoder = class("TransformerEncoder", {order = {"layers", "norm"}})

-- The list of layers: a part of the encoder, which calls them itself.
local List = class("List", {})
function List.init() end
function List:torch_layout(value, flow)
  for i = 1, #self do value = flow:through(self[i], value) end
  return value
end

function M.TransformerEncoder:torch_layout(value, flow)
  value = flow:through(self.layers, value)
  return self.norm and flow:through(self.norm, value) or value
end

function M.TransformerEncoder:init(features, heads, count, opts)
  local name = "nn.TransformerEncoder"
  opts = encoder_options(opts)
  count = options.expect(name, "count", count, "count")
  self.layers = List()
  for i = 1, count do
    self.layers[i] = setmetatable({training = true}, M.TransformerEncoderLayer)
    init_layer(self.layers[i], name, features, heads, opts)
  end
  if opts.norm then self.norm = normalization.LayerNorm(features, {eps = opts.layer_norm_eps}) end
end

function M.TransformerEncoder:forward(x, opts)
  for i = 1, #self.layers do x = self.layers[i](x, opts) end
  return self.norm and self.norm(x) or x
end

local position_options = options.declare("nn.SinusoidalPositions", {})

--- Adds to each step of [batch, time, features] sines and cosines of its place, with wavelengths from 2 pi to 20000 pi
-- (Vaswani et al., 2017): feature 2i - 1 gets sin(t / 10000^((2i - 2) / features)) at the step t = 0, 1, ..., feature
-- 2i the cosine.
-- @function SinusoidalPositions
-- @tparam int features
-- @tparam ?table opts there are none so far
-- @treturn Module
M.SinusoidalPositions = class("SinusoidalPositions", {torch_layout = "keeps"})

function M.SinusoidalPositions:init(features, opts)
  position_options(opts)
  self.features = options.expect("nn.SinusoidalPositions", "features", features, "count")
end

local function positions(time, features, dtype)
  local rows = {}
  for t = 1, time do
    local row = {}
    for f = 1, features do
      local angle = (t - 1) / 10000 ^ ((f - 1) // 2 * 2 / features)
      row[f] = f % 2 == 1 and math.sin(angle) or math.cos(angle)
    end
    rows[t] = row
  end
  return core.tensor(rows, {dtype = dtype})
end

function M.SinusoidalPositions:forward(x)
  local time = input.check(self, x, input.STEPS, self.features).shape[2]
  if time == 0 then return x end
  if not self._table or #self._table < time or self._table.dtype ~= x.dtype then
    self._table = positions(time, self.features, x.dtype)
  end
  return ops.add(x, ops.slice(self._table, 1, 1, time))
end

function M.SinusoidalPositions:text() return ("SinusoidalPositions(%d)"):format(self.features) end

return M
