--- Normal distributions of vectors with any covariance.
-- @module latent.distributions.multivariate
local core = require "latent.core"
local distribution = require "latent.distributions.distribution"
local linalg = require "latent.linalg"
local lt = require "latent"
local one_type = require "latent.base.one_type"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local raise, joined = core.raise, distribution.joined

local M = {}

local LOG_2PI = math.log(2 * math.pi)

local MultivariateNormal = {reparameterized = true}

-- The triangle's inverse times vectors [..., n].
local function whiten(triangle, x)
  return linalg.solve_triangular(triangle, x:unsqueeze(-1), {upper = false}):squeeze(-1)
end

-- Half the logarithm of the covariance's determinant.
local function half_log_det(self)
  return (self.scale_tril * lt.eye(self.event_shape[1], {dtype = self.scale_tril.dtype})):sum(-1):log():sum(-1)
end

function MultivariateNormal.draw(self, shape, generator)
  local eps = distribution.randn(shape, generator, self.loc)
  return self.loc + (self.scale_tril * eps:unsqueeze(-2)):sum(-1)
end
function MultivariateNormal.log_prob(self, x)
  return whiten(self.scale_tril, x - self.loc):square():sum(-1) * -0.5 - half_log_det(self)
    - self.event_shape[1] / 2 * LOG_2PI
end
function MultivariateNormal.entropy(self) return half_log_det(self) + self.event_shape[1] / 2 * (1 + LOG_2PI) end
function MultivariateNormal.mean(self) return self.loc end
function MultivariateNormal.variance(self) return self.scale_tril:square():sum(-1) end

local read = options.declare("distributions.MultivariateNormal", {
  {"covariance_matrix", "tensor", nil, "[..., n, n], symmetric and positive definite; or"},
  {"scale_tril", "tensor", nil, "its lower triangle L, L L^T being the covariance, with a diagonal above 0"}})

--- The normal distribution of vectors.
-- @usage distributions.MultivariateNormal(lt.zeros(2), {covariance_matrix = lt.tensor{{2, 1}, {1, 2}}})
-- @tparam Tensor loc the mean [..., n]
-- @tparam table opts
-- @treturn Distribution with the fields loc and scale_tril
-- @raise where a covariance is not positive definite
function M.MultivariateNormal(loc, opts)
  local name = "MultivariateNormal"
  opts = read(opts, name)
  loc = core.tensor_like(loc, name .. ": loc", opts.scale_tril or opts.covariance_matrix)
  if (opts.covariance_matrix == nil) == (opts.scale_tril == nil) then
    raise(name .. ": give covariance_matrix or scale_tril, one of the two")
  end
  local given = opts.scale_tril or opts.covariance_matrix
  local n, shape = loc.shape[loc:dim()], given.shape
  if not n or #shape < 2 or shape[#shape] ~= n or shape[#shape - 1] ~= n then
    raise(("%s: expected loc [..., n] and %s [..., n, n], got %s and %s"):format(name,
      opts.scale_tril and "scale_tril" or "covariance_matrix", shapes.text(loc), shapes.text(given)))
  end
  local batch = shapes.broadcast(table.move(loc.shape, 1, loc:dim() - 1, 1, {}),
    table.move(shape, 1, #shape - 2, 1, {}))
  if not batch then
    raise(("%s: %s does not fit to loc %s"):format(name, shapes.text(given), shapes.text(loc)))
  end
  local triangle = opts.scale_tril
  one_type(name, {"loc", triangle and "scale_tril" or "covariance_matrix"}, loc, given)
  if triangle then
    distribution.check_positive(name, "scale_tril", (triangle:detach() * lt.eye(n, {dtype = triangle.dtype})):sum(-1))
  else
    triangle = linalg.cholesky(opts.covariance_matrix)
  end
  return distribution.new(name, MultivariateNormal, {loc = lt.broadcast_to(loc, joined(batch, {n})),
    scale_tril = lt.broadcast_to(triangle, joined(batch, {n, n})), batch_shape = batch, event_shape = {n}})
end

--- Closed form of the divergence; see latent.distributions.kl.
-- @local
function M.divergence(p, q)
  local n = p.event_shape[1]
  local ratio = linalg.solve_triangular(q.scale_tril, p.scale_tril, {upper = false}):square():sum(-1):sum(-1)
  return (ratio + whiten(q.scale_tril, q.loc - p.loc):square():sum(-1) - n) / 2 + half_log_det(q) - half_log_det(p)
end

return M
