--- Have the chains forgotten where they started, and how much do their draws tell? Rank-normalised split R-hat, bulk
-- and tail effective sample size, as Stan and ArviZ define them.
--
-- Source: A. Vehtari, A. Gelman, D. Simpson, B. Carpenter and P. Buerkner, "Rank-normalization, folding, and
-- localization: an improved R-hat for assessing convergence of MCMC", Bayesian Analysis 16 (2021).
-- @module latent.map.diagnostics
local lt = require "latent"
local core = require "latent.core"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local M = {}

-- The standard normal quantile, to 1.2e-9: P. Acklam's rational approximation (2003).
local A = {-3.969683028665376e+01, 2.209460984245205e+02, -2.759285104469687e+02, 1.383577518672690e+02,
  -3.066479806614716e+01, 2.506628277459239e+00}
local B = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02, 6.680131188771972e+01,
  -1.328068155288572e+01, 1}
local C = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00, -2.549732539343734e+00,
  4.374664141464968e+00, 2.938163982698783e+00}
local D = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00, 1}

local function polynomial(c, x)
  local sum = 0
  for _, coefficient in ipairs(c) do sum = sum * x + coefficient end
  return sum
end

local function normal_quantile(p)
  if p > 0.5 then return -normal_quantile(1 - p) end
  if p < 0.02425 then
    local q = (-2 * math.log(p)) ^ 0.5
    return polynomial(C, q) / polynomial(D, q)
  end
  local q = p - 0.5
  return q * polynomial(A, q * q) / polynomial(B, q * q)
end

-- Each chain, a list of numbers, as two; of an odd number the middle one is left out.
local function split(chains)
  local halves = {}
  for _, chain in ipairs(chains) do
    local half = #chain // 2
    halves[#halves + 1] = table.move(chain, 1, half, 1, {})
    halves[#halves + 1] = table.move(chain, #chain - half + 1, #chain, 1, {})
  end
  return halves
end

-- The numbers' ranks among all, ties sharing their mean, as quantiles of a normal distribution.
local function normal_scores(chains)
  local all, of = {}, {}
  for c, chain in ipairs(chains) do
    for i, value in ipairs(chain) do all[#all + 1] = {value, c, i} end
    of[c] = {}
  end
  table.sort(all, function(a, b) return a[1] < b[1] end)
  local first = 1
  while first <= #all do
    local last = first
    while all[last + 1] and all[last + 1][1] == all[first][1] do last = last + 1 end
    local score = normal_quantile(((first + last) / 2 - 0.375) / (#all + 0.25))
    for k = first, last do of[all[k][2]][all[k][3]] = score end
    first = last + 1
  end
  return of
end

-- Means of the chains, the mean variance within them, and the variance that all of them together estimate.
local function variances(chains)
  local n, means, within, total = #chains[1], {}, 0, 0
  for c, chain in ipairs(chains) do
    local sum, square = 0, 0
    for _, value in ipairs(chain) do sum = sum + value end
    means[c] = sum / n
    for _, value in ipairs(chain) do square = square + (value - means[c]) ^ 2 end
    within, total = within + square / (n - 1) / #chains, total + means[c] / #chains
  end
  local between = 0
  for _, mean in ipairs(means) do between = between + (mean - total) ^ 2 / math.max(1, #chains - 1) end
  return means, within, within * (n - 1) / n + between
end

local function rhat_of(chains)
  local _, within, pooled = variances(chains)
  if within == 0 then return pooled == 0 and 1 or math.huge end
  return (pooled / within) ^ 0.5
end

-- All numbers of all chains, sorted.
local function sorted(chains)
  local all = {}
  for _, chain in ipairs(chains) do table.move(chain, 1, #chain, #all + 1, all) end
  table.sort(all)
  return all
end

-- The quantile of a sorted list, between two numbers by linear interpolation.
local function quantile(list, share)
  local place = 1 + (#list - 1) * share
  local low = math.floor(place)
  return list[low] + (place - low) * ((list[low + 1] or list[low]) - list[low])
end

local function map_values(chains, f)
  local out = {}
  for c, chain in ipairs(chains) do
    out[c] = {}
    for i, value in ipairs(chain) do out[c][i] = f(value) end
  end
  return out
end

-- The same values by their distance from the median: chains whose spreads differ show there.
local function folded(chains)
  local median = quantile(sorted(chains), 0.5)
  return map_values(chains, function(value) return math.abs(value - median) end)
end

local function autocovariance(chain, mean, lag)
  local sum, n = 0, #chain
  for i = 1, n - lag do sum = sum + (chain[i] - mean) * (chain[i + lag] - mean) end
  return sum / n
end

-- Geyer's initial positive sequence: the autocorrelations at lags 0, 1, 2, ..., in pairs as long as the sum of a pair
-- is positive, and the lag of the last pair's end. What follows is 0, but for an even lag that is positive by itself.
local function positive_sequence(correlation, n)
  local rho = {[0] = 1, correlation(1)}
  local even, odd, t = 1, rho[1], 1
  while t < n - 3 and even + odd > 0 do
    even, odd = correlation(t + 1), correlation(t + 2)
    if even + odd >= 0 then rho[t + 1], rho[t + 2] = even, odd end
    t = t + 2
  end
  local last = t - 2
  rho[last + 1] = even > 0 and even or rho[last + 1]
  return rho, last
end

-- Formulas 10 to 12: the number of draws over the autocorrelation time, -1 + twice the sum of the sequence, in which no
-- pair is larger than the one before (Geyer's initial monotone sequence). nil where nothing moves.
local function ess_of(chains)
  local n, count = #chains[1], #chains
  local means, within, pooled = variances(chains)
  if pooled == 0 then return nil end
  local rho, last = positive_sequence(function(lag)
    local sum = 0
    for c, chain in ipairs(chains) do sum = sum + autocovariance(chain, means[c], lag) end
    return 1 - (within - sum / count) / pooled
  end, n)
  local time, size = -1 + (rho[last + 1] or 0), n * count
  for t = 0, last, 2 do
    local pair, before = rho[t] + rho[t + 1], t > 0 and rho[t - 2] + rho[t - 1] or math.huge
    if pair > before then
      rho[t], rho[t + 1], pair = before / 2, before / 2, before
    end
    time = time + 2 * pair
  end
  return size / math.max(time, 1 / math.log(size, 10))
end

-- The least of the sizes for the two quantiles that bound the middle 90 %. Where all draws of the halves lie on one
-- side of a quantile, nothing can be correlated: they count in full.
local function tail_ess(chains)
  local all, least = sorted(chains), math.huge
  if all[1] == all[#all] then return nil end
  for _, share in ipairs{0.05, 0.95} do
    local bound = quantile(all, share)
    local below = split(map_values(chains, function(value) return value <= bound and 1 or 0 end))
    least = math.min(least, ess_of(below) or #below * #below[1])
  end
  return least
end

-- f of each column of draws [draws, chains, ...]: a tensor of the remaining shape.
local function columns(name, draws, f)
  core.check_tensor(draws, name .. ": draws")
  if not draws.dtype:find "^float" or draws:dim() < 2 or #draws < 4 then
    core.raise(("%s: draws: expected float32 [draws, chains, ...] with at least 4 draws, got %s"):format(name,
      shapes.typed(draws)))
  end
  local shape = draws.shape
  local n, chains = table.remove(shape, 1), table.remove(shape, 1)
  local flat = draws:detach():reshape(n, chains, -1)
  local out = {}
  for k, column in flat:permute{3, 2, 1}:rows() do
    local values = column:table()
    for _, chain in ipairs(values) do
      for _, value in ipairs(chain) do
        if value - value ~= 0 then out[k] = 0 / 0 end
      end
    end
    out[k] = out[k] or f(values) or 0 / 0
  end
  return lt.tensor(out, {dtype = draws.dtype}):reshape(shape)
end

--- See latent.map.rhat.
function M.rhat(draws)
  return columns("map.rhat", draws, function(chains)
    local halves = split(chains)
    return math.max(rhat_of(normal_scores(halves)), rhat_of(normal_scores(folded(halves))))
  end)
end

local METHODS = {
  bulk = function(chains) return ess_of(normal_scores(split(chains))) end,
  tail = tail_ess,
}

local ess_options = options.declare("map.ess", {{"method", options.one_of{"bulk", "tail"}, "bulk", "of what"}})

--- See latent.map.ess.
function M.ess(draws, opts) return columns("map.ess", draws, METHODS[ess_options(opts).method]) end

return M
