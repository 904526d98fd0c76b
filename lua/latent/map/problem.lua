--- An inverse problem in the latent space of a decoder g, for many images at once: which code z explains the
-- measurement y = A(g(z)) + noise, if codes are standard normal? Its energy, minus the log-posterior up to a
-- constant, is
--
--    U(z) = ||y - A g(z)||^2 / (2 sigma^2) + w ||z||^2 / 2        (w = 1: Bayes' rule)
--
-- in nats. The sheet's form, mean((y - A g(z))^2) + beta mean(z^2), is U times 2 sigma^2 / pixels if
-- w = beta pixels / (sigma^2 latent). So the beta that is Bayes' rule is sigma^2 latent / pixels.
--
-- Source: A. Bora, A. Jalal, E. Price and A. Dimakis, "Compressed sensing using generative models", ICML 2017.
-- @module latent.map.problem
local lt = require "latent"
local core = require "latent.core"
local noise_of = require "latent.map.noise"
local operators = require "latent.map.operators"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local raise = core.raise

local M = {}

--- See latent.map.calibrated_beta.
function M.calibrated_beta(noise, pixels, latent)
  options.expect("map.calibrated_beta", "noise", noise, "positive")
  options.expect("map.calibrated_beta", "pixels", pixels, "count")
  return noise * noise * options.expect("map.calibrated_beta", "latent", latent, "count") / pixels
end

--- See latent.map.implied_noise.
function M.implied_noise(beta, pixels, latent)
  options.expect("map.implied_noise", "beta", beta, "positive")
  options.expect("map.implied_noise", "latent", latent, "count")
  return (beta * options.expect("map.implied_noise", "pixels", pixels, "count") / latent) ^ 0.5
end

--- An inverse problem; `map.problem` makes one.
-- @type Problem
-- @tfield int images how many
-- @tfield int latent the size of a code
-- @tfield Tensor noise [n], standard deviations
-- @tfield Tensor pixels [n], measured values an image
-- @tfield Tensor weight [n], of the prior
-- @tfield int evaluations how many codes have been decoded so far
local Problem = {}
Problem.__index = Problem
Problem.__name = "MAP problem" -- in messages

function Problem:__tostring()
  return ("inverse problem, %d images, latent %d, %s"):format(self.images, self.latent, self.operator_name)
end

-- [n] of a number or a tensor [n].
local function per_image(name, value, n, dtype)
  if type(value) == "number" then
    return lt.full({n}, options.expect("map.problem", name, value, "positive"), {dtype = dtype})
  end
  core.check_tensor(value, "map.problem: " .. name)
  local fits = value:numel() == n and value:min():item() > 0
  if not fits then
    raise(("map.problem: %s: expected a number above 0, or %d of them, one an image"):format(name, n))
  end
  return core.tensor(value:detach(), {dtype = dtype}):reshape(n)
end

-- The noise that is given, or that of the images.
local function noise_level(given, y, mask)
  if given then return per_image("noise", given, #y, y.dtype) end
  local estimate = noise_of.estimate(y, mask)
  local there = estimate:min():item() > 0
  if not there then
    raise("map.problem: noise: the images seem to have none; say how exactly they are to be fitted")
  end
  return estimate
end

local function operator_of(given, n)
  if given == nil then return operators.identity() end
  if not operators.is_operator(given) then return options.expect("map.problem", "operator", given, "function") end
  if given.images and given.images ~= 1 and given.images ~= n then
    raise(("map.problem: operator: has masks for %d images, but %d were measured"):format(given.images, n))
  end
  return given
end

-- The weight of the prior: 1, or what a beta of the sheet's form comes to.
local function weight_of(self, opts)
  if opts.beta and opts.prior then raise("map.problem: beta, prior: expected one of the two, got both") end
  if opts.beta then return self.pixels / self.noise:square() * (opts.beta / self.latent) end
  return lt.full({self.images}, opts.prior or 1, {dtype = self.dtype})
end

local CALLABLE = options.kind("function", "a function", function(value)
  local called = type(value) == "function" or (getmetatable(value) or {}).__call
  return called and not core.is_tensor(value) and value or nil
end)
local problem_options = options.declare("map.problem", {
  {"decode", CALLABLE, nil, "of codes [k, latent]; returns pictures [k, ...]", required = true},
  {"measured", "tensor", nil, "float32 [n, ...], or float64, which codes and pictures are then too", required = true},
  {"latent", "count", nil, "the size of a code", required = true},
  {"operator", "any", nil, "a function of (pictures [k, ...], rows) that returns [k, ...] in the measurement's shape, "
    .. "rows being a tensor [k] that says which image each belongs to (default: the pictures themselves)"},
  {"noise", "any", nil, "its standard deviation, a number or [n] (default: estimated from the measured images)"},
  {"beta", "not negative", nil, "of the sheet's form; or"},
  {"prior", "not negative", nil, "the weight w (default: 1)"},
})

--- See latent.map.problem.
function M.new(opts)
  opts = problem_options(opts)
  local self = setmetatable({evaluations = 0}, Problem)
  local y = opts.measured:detach()
  if not y.dtype:find "^float" or y:dim() < 2 or y:numel() == 0 then
    raise(("map.problem: measured: expected float32 [n, ...], got %s"):format(shapes.typed(y)))
  end
  self.decode, self.images, self.latent, self.dtype = opts.decode, #y, opts.latent, y.dtype
  local operator = operator_of(opts.operator, #y)
  local is_mask = operators.is_operator(operator) and operator.of
  self.operator, self.operator_name = operator, operators.is_operator(operator) and operator.name or "own operator"
  self.pixels = lt.full({#y}, y:numel() / #y, {dtype = y.dtype})
  if is_mask then -- what it hides may be anything, NaN too
    local seen = lt.broadcast_to(operator.of(), y.shape)
    self.pixels = core.tensor(seen:reshape(#y, -1):sum(2), {dtype = y.dtype})
    y = lt.where(seen, y, 0)
  end
  self.noise = noise_level(opts.noise, y, is_mask and operator.of())
  self.measured = y
  self.weight = weight_of(self, opts)
  return self
end

-- The rows' numbers as a tensor; nil where each image has one row, in order.
local function index(self, z, rows)
  core.check_tensor(z, "map.problem: z")
  if z.dtype ~= self.dtype or z:dim() ~= 2 or z:size(2) ~= self.latent then
    raise(("map.problem: z: expected codes, %s [*, %d], got %s"):format(self.dtype, self.latent, shapes.typed(z)))
  end
  if rows == nil then
    if #z ~= self.images then
      raise(("map.problem: expected codes of %d images, got %d; give rows = which image each belongs to"):format(
        self.images, #z))
    end
    return nil
  end
  rows = core.is_tensor(rows) and rows or lt.tensor(rows)
  if rows:numel() ~= #z then
    raise(("map.problem: rows: expected %d numbers of images, one a code, got %d"):format(#z, rows:numel()))
  end
  return rows
end

local function pick(values, rows) return rows and values:gather_rows(rows) or values end

local function residual(self, z, rows)
  self.evaluations = self.evaluations + #z
  local pictures, y = self.decode(z), pick(self.measured, rows)
  core.check_tensor(pictures, "map.problem: what decode returns")
  local seen = self.operator(pictures, rows)
  core.check_tensor(seen, "map.problem: what the operator returns")
  if seen:numel() ~= y:numel() then
    raise(("map.problem: the operator returns %s for a measurement of %s"):format(shapes.text(seen), shapes.text(y)))
  end
  return (seen:reshape(y.shape) - y):square():reshape(#z, -1):sum(2) / pick(self.pixels, rows)
end

--- Mean squared residuals, mean over the measured values of (y - A g(z))^2.
-- @tparam Tensor z codes [k, latent]
-- @tparam ?Tensor|{int,...} rows which image each code belongs to: k numbers (default 1..n)
-- @treturn Tensor [k], recorded
function Problem:residual(z, rows) return residual(self, z, index(self, z, rows)) end

--- The energy U, nats; its second result are the residuals it is made of.
-- @tparam Tensor z codes [k, latent]
-- @tparam ?Tensor|{int,...} rows which image each code belongs to: k numbers (default 1..n)
-- @treturn Tensor [k], recorded
-- @treturn Tensor mean squared residuals [k], recorded
function Problem:energy(z, rows)
  rows = index(self, z, rows)
  local mean_square = residual(self, z, rows)
  local precision = pick(self.pixels / (2 * self.noise:square()), rows)
  return mean_square * precision + z:square():sum(2) * (pick(self.weight, rows) / 2), mean_square
end

--- What the sheet's form makes of an energy: mean((y - A g(z))^2) + beta mean(z^2).
-- @tparam Tensor energy [k]
-- @tparam ?Tensor|{int,...} rows which image each belongs to: k numbers (default 1..n)
-- @treturn Tensor [k]
function Problem:loss(energy, rows)
  core.check_tensor(energy, "map.problem: energy")
  rows = rows and (core.is_tensor(rows) and rows or lt.tensor(rows))
  return energy * pick(2 * self.noise:square() / self.pixels, rows)
end

--- Pictures of codes, without recording.
-- @tparam Tensor codes [k, latent]
-- @treturn Tensor [k, ...]
function Problem:pictures(codes)
  index(self, codes, lt.zeros(#core.check_tensor(codes, "map.problem: z")))
  return lt.no_grad(function() return self.decode(codes) end)
end

core.methods_of(Problem, "problem")

return M
