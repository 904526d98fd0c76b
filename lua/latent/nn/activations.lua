--- Activations as layers; each applies the op of the same name.
-- @module latent.nn.activations
local core = require "latent.core"
local input = require "latent.nn.input"
local module = require "latent.nn.module"
local options = require "latent.options"

local M = {}

-- A layer for an op without parameters, or with one number.
local function activation(kind, op, option, default)
  local class = module.class(kind, {})
  function class:init(value)
    if not option then return options.check("nn." .. kind, value, {}) end
    if value == nil then value = default end
    self[option] = options.expect("nn." .. kind, option, value, "number")
  end
  function class:forward(x)
    return core.ops[op](input.check(self, x, input.ANY), option and self[option])
  end
  function class:text() return option and ("%s(%g)"):format(kind, self[option]) or kind end
  M[kind] = class
end

--- max(x, 0)
-- @function ReLU
activation("ReLU", "relu")
--- x where positive, slope * x elsewhere
-- @function LeakyReLU
-- @tparam ?number slope 0.01 unless said
activation("LeakyReLU", "leaky_relu", "slope", 0.01)
--- x where positive, alpha * (e^x - 1) elsewhere
-- @function ELU
-- @tparam ?number alpha 1 unless said
activation("ELU", "elu", "alpha", 1.0)
--- x * Phi(x)
-- @function GELU
activation("GELU", "gelu")
--- x * sigmoid(x)
-- @function SiLU
activation("SiLU", "silu")
--- the hyperbolic tangent
-- @function Tanh
activation("Tanh", "tanh")
--- 1 / (1 + e^-x)
-- @function Sigmoid
activation("Sigmoid", "sigmoid")
--- log(1 + e^x)
-- @function Softplus
activation("Softplus", "softplus")

return M
