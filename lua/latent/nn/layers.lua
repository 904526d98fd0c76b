--- Layers with parameters or options that are of no larger family; see also latent.nn.convolution and its neighbours.
-- Weights start as in PyTorch: uniform in +-1 / sqrt(fan in).
-- @module latent.nn.layers
local core = require "latent.core"
local input = require "latent.nn.input"
local module = require "latent.nn.module"
local options = require "latent.base.options"
local parts = require "latent.nn.parts"
local shapes = require "latent.base.shapes"

local ops, raise, class, check = core.ops, core.raise, module.class, input.check
local size_of, numel, unpack = core.methods.size, core.methods.numel, table.unpack

local M = {}

local linear_options = options.declare("nn.Linear", {parts.BIAS, parts.DTYPE})

--- A linear layer: y = x weight + bias, weight [inputs, outputs]. Initially both are uniform within
-- 1 / sqrt(inputs), as in PyTorch.
-- @function Linear
-- @tparam int inputs
-- @tparam int outputs
-- @tparam ?table opts
-- @treturn Module
M.Linear = class("Linear", {order = {"weight", "bias"},
  torch_arrays = {weight = {axes = {2, 1}, reads = 1, writes = 2}, bias = {writes = 1}}})

function M.Linear:torch_layout(value, flow)
  -- Of a map it reads the channels of each pixel, which PyTorch's layer does behind a permutation, back again perhaps.
  if value.is == "map" then return {is = "unknown"} end
  flow:read(self, value, self.inputs)
  return flow:write(self, self.outputs)
end

function M.Linear:init(inputs, outputs, opts)
  opts = linear_options(opts)
  self.inputs = options.expect("nn.Linear", "inputs", inputs, "count")
  self.outputs = options.expect("nn.Linear", "outputs", outputs, "count")
  local bound = 1 / math.sqrt(self.inputs)
  self.weight = parts.uniform(bound, self.inputs, self.outputs)
  if opts.bias then self.bias = parts.uniform(bound, self.outputs) end
end

function M.Linear:forward(x)
  return ops.linear(check(self, x, input.ROWS, self.inputs), self.weight, self.bias)
end

function M.Linear:text() return ("Linear(%d -> %d)"):format(self.inputs, self.outputs) end

local embedding_options = options.declare("nn.Embedding", {
  {"first", "integer", 1, "the number that means the first row: 0 for class labels and PyTorch's tokens"},
  {"padding", "integer", nil, "the number whose row starts at zero and is not trained"}, parts.DTYPE})

--- A table of vectors: whole numbers [...] to rows of the weight [count, features], [..., features]. Numbers count from
-- 1 unless `first` says otherwise. Initially the weight is drawn from N(0, 1), as in PyTorch; a row that comes several
-- times in a batch gets the sum of the gradients.
-- @function Embedding
-- @tparam int count of rows
-- @tparam int features
-- @tparam ?table opts
-- @treturn Module
M.Embedding = class("Embedding", {order = {"weight"}})

function M.Embedding.torch_layout() return {is = "rows", writers = {}} end

function M.Embedding:init(count, features, opts)
  opts = embedding_options(opts)
  self.count = options.expect("nn.Embedding", "count", count, "count")
  self.features = options.expect("nn.Embedding", "features", features, "count")
  self.first, self.padding = opts.first, opts.padding
  local row = self.padding and self.padding - self.first + 1
  if row and (row < 1 or row > self.count) then
    raise(("nn.Embedding: padding: expected %d to %d, got %d"):format(self.first, self.first + self.count - 1,
      self.padding))
  end
  self.weight = core.randn(self.count, self.features)
  if row then self.weight[row]:fill_(0) end
  self.weight = core.param(self.weight)
end

-- The rows' numbers, checked here: gather_rows would speak of rows, not of what was given.
local function rows_of(self, x)
  local least, _, greatest = core.statistics(x)
  local last = self.first + self.count - 1
  if x:numel() > 0 and not (least >= self.first and greatest <= last) then
    local odd = least >= self.first and greatest or least
    raise(core.plainly(string.format, "%s: expected numbers from %d to %d, got %g", self:text(), self.first, last, odd))
  end
  return self.first == 1 and x or ops.add(x, 1 - self.first)
end

function M.Embedding:forward(x)
  local shape = core.check_tensor(x, self:text()).shape
  local flat = ops.reshape(x, {-1})
  if flat.dtype == "u8" then flat = flat:float() end
  local y = ops.gather_rows(self.weight, rows_of(self, flat))
  if self.padding then
    local kept = ops.reshape(ops.ne(flat, self.padding), {-1, 1})
    y = ops.where(kept, y, y:detach())
  end
  shape[#shape + 1] = self.features
  return ops.reshape(y, shape)
end

function M.Embedding:text() return ("Embedding(%d, %d)"):format(self.count, self.features) end

local identity_options = options.declare("nn.Identity", {})

--- Gives back what it gets.
-- @function Identity
-- @tparam ?table opts there are none so far
-- @treturn Module
M.Identity = class("Identity", {torch_layout = "keeps"})
function M.Identity.init(_, opts) identity_options(opts) end
function M.Identity.forward(_, x) return x end
function M.Identity.text() return "Identity" end

--- A layer with a way around it: x + inner(x).
-- @usage nn.Residual(nn.Sequential{nn.LayerNorm(64), nn.Linear(64, 64), nn.GELU()})
-- @function Residual
-- @tparam Module inner gives what has the shape of its input
-- @treturn Module
M.Residual = class("Residual", {})

function M.Residual:torch_layout(value, flow)
  local out = flow:through(self.inner, value)
  if value.is == "rows" and out.is == "rows" then
    local writers = table.move(value.writers, 1, #value.writers, 1, {})
    return {is = "rows", writers = table.move(out.writers, 1, #out.writers, #writers + 1, writers)}
  end
  return out
end

function M.Residual:init(inner)
  if not module.is_module(inner) then
    raise("nn.Residual: inner: expected a module, got " .. options.describe(inner))
  end
  self.inner = inner
end

function M.Residual:forward(x)
  local y = self.inner(x)
  core.check_tensor(x, "Residual")
  core.check_tensor(y, "Residual: inner")
  if shapes.text(y) ~= shapes.text(x) then
    raise(("Residual: expected %s from inner, the input's shape, got %s"):format(shapes.text(x), shapes.text(y)))
  end
  return ops.add(x, y)
end

local function probability(name, p)
  if p == nil then return 0.5 end
  if type(p) ~= "number" or not (p >= 0 and p <= 1) then
    raise(("%s: p: expected a number in [0, 1], got %s"):format(name, options.describe(p)))
  end
  return p
end

--- Dropout: in training each element is zero with probability p and the others are scaled up.
-- @function Dropout
-- @tparam ?number p 0.5 unless said
-- @treturn Module
M.Dropout = class("Dropout", {torch_layout = "keeps"})
function M.Dropout:init(p) self.p = probability("nn.Dropout", p) end
function M.Dropout:forward(x)
  return ops.dropout(check(self, x, input.ANY), self.p, self.training)
end
function M.Dropout:text() return core.plainly(string.format, "Dropout(%g)", self.p) end

--- Dropout of whole channels: in training each channel of an item, [batch, ..., channels], is zero with probability p
-- and the others are scaled up (Tompson et al., 2015).
-- @function Dropout2d
-- @tparam ?number p 0.5 unless said
-- @treturn Module
M.Dropout2d = class("Dropout2d", {torch_layout = "keeps"})
function M.Dropout2d:init(p) self.p = probability("nn.Dropout2d", p) end
function M.Dropout2d:forward(x)
  local shape = check(self, x, input.PLACES).shape
  if not self.training or self.p == 0 then return x end
  for d = 2, #shape - 1 do shape[d] = 1 end
  return ops.mul(x, ops.dropout(core.ones({table.unpack(shape)}, {dtype = x.dtype}), self.p, true))
end
function M.Dropout2d:text() return core.plainly(string.format, "Dropout2d(%g)", self.p) end

-- The number of elements of one item of a batch of n.
local function item_size(x, n)
  if n > 0 then return numel(x) // n end
  local count, shape = 1, x.shape
  for d = 2, #shape do count = count * shape[d] end
  return count
end

local flatten_options = options.declare("nn.Flatten", {})

--- All axes but the first made one: [batch, ...] to [batch, *]; the order is (height, width, channel).
-- @function Flatten
-- @tparam ?table opts there are none so far
-- @treturn Module
M.Flatten = class("Flatten", {})
function M.Flatten.torch_layout(_, value, flow) return flow:flatten(value) end
function M.Flatten.init(_, opts) flatten_options(opts) end
function M.Flatten:forward(x)
  local n = size_of(check(self, x, input.BATCH), 1)
  return ops.reshape(x, n, item_size(x, n)) -- by numbers: a list would be looked through for names
end
function M.Flatten.text() return "Flatten" end

--- Each item of the batch in another shape: Reshape(2, 2, 16) makes [batch, 64] to [batch, 2, 2, 16].
-- @function Reshape
-- @tparam int ... the item's sizes; one may be -1 and is inferred
-- @treturn Module
M.Reshape = class("Reshape", {})
function M.Reshape:torch_layout(value, flow) return flow:reshape(value, self.sizes) end
function M.Reshape:init(first, ...)
  self.sizes, self._known, self._open = {}, 1, nil
  core.check_list(first, "nn.Reshape")
  if first == nil or type(first) == "table" and #first == 0 then
    raise "nn.Reshape: expected the sizes of an item, such as nn.Reshape(8, 8, 16)"
  end
  if type(first) == "table" and select("#", ...) > 0 then
    raise(("nn.Reshape: expected nothing behind a list of sizes, got %s"):format(options.describe((...))))
  end
  local list = type(first) == "table" and first or {first, ...}
  for i = 1, list == first and #list or select("#", first, ...) do
    local size = list[i]
    if size == -1 and not self._open then
      self._open = i
    else
      size = options.expect("nn.Reshape", "size " .. i, size, "size")
      self._known = self._known * size
    end
    self.sizes[i] = size
  end
end
function M.Reshape:forward(x)
  local n = size_of(check(self, x, input.BATCH), 1)
  local given, known = item_size(x, n), self._known
  if given == known and not self._open then return ops.reshape(x, n, unpack(self.sizes)) end
  if given ~= known and not (self._open and known > 0 and given % known == 0) then
    raise(("%s: expected items of %s%d elements, got %s"):format(self:text(),
      self._open and "a multiple of " or "", known, shapes.text(x)))
  end
  local sizes = {unpack(self.sizes)}
  sizes[self._open] = given // math.max(known, 1)
  return ops.reshape(x, n, unpack(sizes))
end
function M.Reshape:text() return ("Reshape(%s)"):format(table.concat(self.sizes, ", ")) end

return M
