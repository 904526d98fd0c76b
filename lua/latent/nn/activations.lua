--- Activations as layers; each applies the op of the same name.
-- @module latent.nn.activations
local core = require "latent.core"
local input = require "latent.nn.input"
local module = require "latent.nn.module"
local options = require "latent.base.options"
local parts = require "latent.nn.parts"

local ops, check, ANY = core.ops, input.check, input.ANY

local M = {}

-- A layer for an op without parameters, or with one number.
local function activation(kind, op, option, default)
  local class = module.class(kind, {torch_layout = "keeps"})
  function class:init(value)
    if not option then return options.check("nn." .. kind, value, {}) end
    if value == nil then value = default end
    self[option] = options.expect("nn." .. kind, option, value, "finite")
  end
  if option then
    function class:forward(x) return ops[op](check(self, x, ANY), self[option]) end
  else
    function class:forward(x) return ops[op](check(self, x, ANY)) end
  end
  function class:text() return option and core.plainly(string.format, "%s(%g)", kind, self[option]) or kind end
  M[kind] = class
end

--- A layer of relu: max(x, 0).
-- @function ReLU
-- @treturn Module
activation("ReLU", "relu")
--- A layer of leaky_relu: x where positive, slope * x elsewhere.
-- @function LeakyReLU
-- @tparam ?number slope 0.01 unless said
-- @treturn Module
activation("LeakyReLU", "leaky_relu", "slope", 0.01)
--- A layer of elu: x where positive, alpha * (e^x - 1) elsewhere.
-- @function ELU
-- @tparam ?number alpha 1 unless said
-- @treturn Module
activation("ELU", "elu", "alpha", 1.0)
local gelu_options = options.declare("nn.GELU", {
  {"approximate", options.one_of{"none", "tanh"}, "none", "tanh: a formula near to it"}})

--- A layer of gelu: x * Phi(x), Phi the normal distribution function.
-- @function GELU
-- @tparam ?table opts
-- @treturn Module
M.GELU = module.class("GELU", {torch_layout = "keeps"})
function M.GELU:init(opts) self.approximate = gelu_options(opts).approximate end
function M.GELU:forward(x) return ops.gelu(check(self, x, ANY), self.approximate) end
function M.GELU:text() return self.approximate == "tanh" and "GELU(tanh)" or "GELU" end
--- A layer of silu: x * sigmoid(x).
-- @function SiLU
-- @treturn Module
activation("SiLU", "silu")
--- A layer of tanh, the hyperbolic tangent.
-- @function Tanh
-- @treturn Module
activation("Tanh", "tanh")
--- A layer of sigmoid: 1 / (1 + e^-x).
-- @function Sigmoid
-- @treturn Module
activation("Sigmoid", "sigmoid")
local softplus_options = options.declare("nn.Softplus", {{"beta", "finite", 1},
  {"threshold", "number", math.huge, "above it, beta x is left as it is"}})

--- A layer of softplus: log(1 + e^(beta x)) / beta.
-- @function Softplus
-- @tparam ?table opts
-- @treturn Module
M.Softplus = module.class("Softplus", {torch_layout = "keeps"})
function M.Softplus:init(opts)
  opts = softplus_options(opts)
  self.beta, self.threshold = opts.beta, opts.threshold
end
function M.Softplus:forward(x)
  return ops.softplus(check(self, x, ANY), self.beta, self.threshold)
end
function M.Softplus:text()
  return self.beta == 1 and "Softplus" or core.plainly(string.format, "Softplus(%g)", self.beta)
end

-- A layer for a chain of ops without parameters.
local function chain(kind, f)
  local class = module.class(kind, {torch_layout = "keeps"})
  function class.init(_, opts) options.check("nn." .. kind, opts, {}) end
  function class:forward(x) return f(check(self, x, ANY)) end
  function class.text() return kind end
  M[kind] = class
end

local SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946

--- A layer of SELU: elu, scaled so that many layers keep a mean of 0 and a variance of 1 (Klambauer et al., 2017).
-- @function SELU
-- @treturn Module
chain("SELU", function(x) return ops.mul(ops.elu(x, SELU_ALPHA), SELU_SCALE) end)
--- A layer of Mish: x * tanh(softplus(x)) (Misra, 2019).
-- @function Mish
-- @treturn Module
chain("Mish", function(x) return ops.mul(x, ops.tanh(ops.softplus(x))) end)
--- A layer of softsign: x / (1 + |x|).
-- @function Softsign
-- @treturn Module
chain("Softsign", function(x) return ops.div(x, ops.add(ops.abs(x), 1)) end)
--- A layer of the logarithm of sigmoid, -softplus(-x).
-- @function LogSigmoid
-- @treturn Module
chain("LogSigmoid", function(x) return ops.neg(ops.softplus(ops.neg(x))) end)

--- A layer of clamp: what is below the least value or above the greatest becomes it. The gradient passes at the bounds
-- themselves, where PyTorch stops it.
-- @function Hardtanh
-- @tparam ?number least -1 unless said
-- @tparam ?number greatest 1 unless said; nn.Hardtanh(0, 6) has the values of PyTorch's ReLU6
-- @treturn Module
M.Hardtanh = module.class("Hardtanh", {torch_layout = "keeps"})
function M.Hardtanh:init(least, greatest)
  self.least = options.expect("nn.Hardtanh", "least", least == nil and -1 or least, "finite")
  self.greatest = options.expect("nn.Hardtanh", "greatest", greatest == nil and 1 or greatest, "finite")
  if self.greatest <= self.least then
    core.raise(core.plainly(string.format, "nn.Hardtanh: greatest: expected above %g, got %g", self.least,
      self.greatest))
  end
end
function M.Hardtanh:forward(x)
  return ops.clamp(check(self, x, ANY), self.least, self.greatest)
end
function M.Hardtanh:text() return core.plainly(string.format, "Hardtanh(%g, %g)", self.least, self.greatest) end

local prelu_options = options.declare("nn.PReLU", {{"start", "finite", 0.25, "the slopes' first value"}, parts.DTYPE})

--- A layer of leaky_relu whose slope is learned, one for all or one a channel (He et al., 2015).
-- @function PReLU
-- @tparam ?int slopes how many: 1 unless said, or the size of the last axis
-- @tparam ?table opts
-- @treturn Module
M.PReLU = module.class("PReLU", {order = {"weight"}, torch_layout = "keeps"})

function M.PReLU:init(slopes, opts)
  opts = prelu_options(opts)
  slopes = options.expect("nn.PReLU", "slopes", slopes == nil and 1 or slopes, "count")
  self.weight = core.param(core.full({slopes}, opts.start))
end

function M.PReLU:forward(x)
  local slopes = #self.weight
  check(self, x, slopes > 1 and input.ROWS or ANY, slopes > 1 and slopes or nil)
  local weight = x:dim() == 0 and ops.reshape(self.weight, {}) or self.weight
  return ops.where(ops.gt(x, 0), x, ops.mul(x, weight))
end

function M.PReLU:text() return ("PReLU(%d)"):format(#self.weight) end

-- A layer for an op along an axis.
local function along_axis(kind, op)
  local class = module.class(kind, {torch_layout = "keeps"})
  function class:init(axis) self.axis = options.expect("nn." .. kind, "axis", axis == nil and -1 or axis, "integer") end
  function class:forward(x) return ops[op](check(self, x, ANY), self.axis) end
  function class:text() return self.axis == -1 and kind or ("%s(%d)"):format(kind, self.axis) end
  M[kind] = class
end

--- A layer of softmax: e^x, divided by its sum along an axis.
-- @function Softmax
-- @tparam ?int axis the last unless said
-- @treturn Module
along_axis("Softmax", "softmax")
--- A layer of log_softmax: the logarithm of softmax along an axis.
-- @function LogSoftmax
-- @tparam ?int axis the last unless said
-- @treturn Module
along_axis("LogSoftmax", "log_softmax")

return M
