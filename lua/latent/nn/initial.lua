--- First values of weights, as `nn.init`: each writes into a tensor, whether or not it is a parameter, and returns it.
-- Weights are laid out as in the layers: [..., inputs, outputs], a kernel's axes first.
-- @module latent.nn.initial
require "latent" -- tensors get their methods, and errors the user's line
local core = require "latent.core"
local options = require "latent.base.options"

local ops, raise, expect = core.ops, core.raise, options.expect

local M = {}

local GENERATOR = {"generator", "any", nil, "where the draws come from, one made by lt.generator"}

-- Writes what `make` gives into x, outside of the tape.
local function fill(x, make)
  core.no_grad(function() x:copy_(make()) end)
  return x
end

local function check(name, x)
  local place = "nn.init." .. name
  core.check_tensor(x, place .. ": x")
  if not x.dtype:find "^float" then raise(("%s: x: expected a floating type, got %s"):format(place, x.dtype)) end
  return place
end

local function uniform(x, low, high, generator)
  return ops.add(ops.mul(core.rand(x.shape, {generator = generator}), high - low), low)
end

local function normal(x, mean, std, generator)
  return ops.add(ops.mul(core.randn(x.shape, {generator = generator}), std), mean)
end

local uniform_options = options.declare("init.uniform_", {{"a", "finite", 0, "least"}, {"b", "finite", 1, "greatest"},
  GENERATOR})

--- Uniform between a and b.
-- @tparam Tensor x
-- @tparam ?table opts
-- @treturn Tensor x
function M.uniform_(x, opts)
  opts = uniform_options(opts, check("uniform_", x))
  return fill(x, function() return uniform(x, opts.a, opts.b, opts.generator) end)
end

local NORMAL = {{"mean", "finite", 0}, {"std", "not negative", 1, "the standard deviation"}, GENERATOR}
local normal_options = options.declare("init.normal_", NORMAL)

--- Normally distributed.
-- @tparam Tensor x
-- @tparam ?table opts
-- @treturn Tensor x
function M.normal_(x, opts)
  opts = normal_options(opts, check("normal_", x))
  return fill(x, function() return normal(x, opts.mean, opts.std, opts.generator) end)
end

local trunc_options = options.declare("init.trunc_normal_", {NORMAL[1], NORMAL[2],
  {"a", "finite", -2, "least"}, {"b", "finite", 2, "greatest"}, GENERATOR})

--- Normally distributed, but only between a and b (which are no multiples of the deviation).
-- @tparam Tensor x
-- @tparam ?table opts
-- @treturn Tensor x
function M.trunc_normal_(x, opts)
  local name = check("trunc_normal_", x)
  opts = trunc_options(opts, name)
  local mean, std, a, b = opts.mean, opts.std, opts.a, opts.b
  if b <= a then raise(("%s: expected a below b, got %g and %g"):format(name, a, b)) end
  if std == 0 then raise(name .. ": std: expected above 0, got 0") end
  return fill(x, function()
    -- The distribution function's inverse at uniform numbers between its values at a and b.
    local ends = ops.erf(core.tensor{(a - mean) / std / 2 ^ 0.5, (b - mean) / std / 2 ^ 0.5}):table()
    local draws = ops.erfinv(uniform(x, ends[1], ends[2], opts.generator))
    return ops.clamp(ops.add(ops.mul(draws, std * 2 ^ 0.5), mean), a, b)
  end)
end

--- All one number.
-- @tparam Tensor x
-- @tparam number value
-- @treturn Tensor x
function M.constant_(x, value)
  expect(check("constant_", x), "value", value, "number")
  core.no_grad(function() x:fill_(value) end)
  return x
end

--- All 1.
-- @tparam Tensor x
-- @treturn Tensor x
function M.ones_(x)
  check("ones_", x)
  return M.constant_(x, 1)
end

--- All 0.
-- @tparam Tensor x
-- @treturn Tensor x
function M.zeros_(x)
  check("zeros_", x)
  return M.constant_(x, 0)
end

--- 1 on the diagonal of a matrix, 0 elsewhere.
-- @tparam Tensor x [inputs, outputs]
-- @treturn Tensor x
function M.eye_(x)
  local name = check("eye_", x)
  if x:dim() ~= 2 then raise(("%s: expected two axes, got %d"):format(name, x:dim())) end
  return fill(x, function()
    local rows, columns = x:size(1), x:size(2)
    return ops.where(ops.eq(core.arange(rows):reshape(rows, 1), core.arange(columns)), 1, core.zeros(x.shape))
  end)
end

-- ---- by the number of inputs and outputs ----

-- How many numbers an output is made of, and how many outputs an input goes into.
local function fans(name, x)
  local shape = x.shape
  local n = #shape
  if n < 2 then raise(("%s: expected at least two axes, [..., inputs, outputs], got %d"):format(name, n)) end
  local kernel = 1
  for d = 1, n - 2 do kernel = kernel * shape[d] end
  return kernel * shape[n - 1], kernel * shape[n]
end

local GAINS = {linear = 1, conv1d = 1, conv2d = 1, conv3d = 1, sigmoid = 1, tanh = 5 / 3, relu = 2 ^ 0.5, selu = 3 / 4}
local NONLINEARITY = options.one_of{"linear", "conv1d", "conv2d", "conv3d", "sigmoid", "tanh", "relu", "leaky_relu",
  "selu"}

--- How much larger weights should be in front of an activation.
-- @tparam string nonlinearity "linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"
-- @tparam ?number slope of leaky_relu: 0.01 unless said
-- @treturn number
function M.calculate_gain(nonlinearity, slope)
  local name = "nn.init.calculate_gain"
  expect(name, "nonlinearity", nonlinearity, NONLINEARITY)
  slope = expect(name, "slope", slope == nil and 0.01 or slope, "finite")
  return GAINS[nonlinearity] or (2 / (1 + slope ^ 2)) ^ 0.5
end

local GAIN = {"gain", "finite", 1, "see calculate_gain"}
local xavier_uniform_options = options.declare("init.xavier_uniform_", {GAIN, GENERATOR})

--- Uniform within gain sqrt(6 / (inputs + outputs)) (Glorot and Bengio, 2010).
-- @tparam Tensor x [..., inputs, outputs]
-- @tparam ?table opts
-- @treturn Tensor x
function M.xavier_uniform_(x, opts)
  local name = check("xavier_uniform_", x)
  opts = xavier_uniform_options(opts, name)
  local inputs, outputs = fans(name, x)
  local bound = opts.gain * (6 / (inputs + outputs)) ^ 0.5
  return fill(x, function() return uniform(x, -bound, bound, opts.generator) end)
end

local xavier_normal_options = options.declare("init.xavier_normal_", {GAIN, GENERATOR})

--- Normally distributed with the deviation gain sqrt(2 / (inputs + outputs)) (Glorot and Bengio, 2010).
-- @tparam Tensor x [..., inputs, outputs]
-- @tparam ?table opts
-- @treturn Tensor x
function M.xavier_normal_(x, opts)
  local name = check("xavier_normal_", x)
  opts = xavier_normal_options(opts, name)
  local inputs, outputs = fans(name, x)
  return fill(x, function() return normal(x, 0, opts.gain * (2 / (inputs + outputs)) ^ 0.5, opts.generator) end)
end

local KAIMING = {{"a", "finite", 0, "the slope of leaky_relu"},
  {"mode", options.one_of{"fan_in", "fan_out"}, "fan_in", "what keeps its size: values forward or gradients backward"},
  {"nonlinearity", NONLINEARITY, "leaky_relu", "behind the layer"}, GENERATOR}

local function kaiming_std(name, x, opts)
  local inputs, outputs = fans(name, x)
  return M.calculate_gain(opts.nonlinearity, opts.a) / (opts.mode == "fan_in" and inputs or outputs) ^ 0.5
end

local kaiming_uniform_options = options.declare("init.kaiming_uniform_", KAIMING)

--- Uniform within gain sqrt(3 / inputs) (He et al., 2015).
-- @tparam Tensor x [..., inputs, outputs]
-- @tparam ?table opts
-- @treturn Tensor x
function M.kaiming_uniform_(x, opts)
  local name = check("kaiming_uniform_", x)
  opts = kaiming_uniform_options(opts, name)
  local bound = 3 ^ 0.5 * kaiming_std(name, x, opts)
  return fill(x, function() return uniform(x, -bound, bound, opts.generator) end)
end

local kaiming_normal_options = options.declare("init.kaiming_normal_", KAIMING)

--- Normally distributed with the deviation gain / sqrt(inputs) (He et al., 2015).
-- @tparam Tensor x [..., inputs, outputs]
-- @tparam ?table opts
-- @treturn Tensor x
function M.kaiming_normal_(x, opts)
  local name = check("kaiming_normal_", x)
  opts = kaiming_normal_options(opts, name)
  return fill(x, function() return normal(x, 0, kaiming_std(name, x, opts), opts.generator) end)
end

-- The rows of a matrix made orthogonal, by Gram and Schmidt, each twice so that rounding leaves nothing.
local function orthogonal_rows(matrix)
  local rows, columns = matrix:size(1), matrix:size(2)
  for i = 1, rows do
    local row = ops.reshape(ops.slice(matrix, 1, i, i), {1, columns})
    for _ = 1, i > 1 and 2 or 0 do
      local before = ops.slice(matrix, 1, 1, i - 1)
      row = ops.sub(row, ops.matmul(ops.matmul(row, before:transpose()), before))
    end
    matrix[i]:copy_(ops.reshape(ops.mul(row, 1 / ops.sum(ops.square(row)):item() ^ 0.5), {columns}))
  end
  return matrix
end

local orthogonal_options = options.declare("init.orthogonal_", {GAIN, GENERATOR})

--- A random matrix with orthogonal rows or columns, whichever are fewer, of length gain (Saxe, McClelland and Ganguli,
-- 2014); the axes before the last count as one.
-- @tparam Tensor x [..., inputs, outputs]
-- @tparam ?table opts
-- @treturn Tensor x
function M.orthogonal_(x, opts)
  local name = check("orthogonal_", x)
  opts = orthogonal_options(opts, name)
  fans(name, x)
  if x:numel() == 0 then return x end
  local columns = x:size(-1)
  local rows = x:numel() // columns
  return fill(x, function()
    local wide = rows <= columns
    local shape = wide and {rows, columns} or {columns, rows}
    local matrix = orthogonal_rows(core.randn(shape, {generator = opts.generator}))
    if not wide then matrix = matrix:transpose() end
    return ops.reshape(ops.mul(matrix, opts.gain), x.shape)
  end)
end

return M
