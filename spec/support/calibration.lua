-- Simulation-based calibration of map.sample: codes from the prior, measurements from the codes, draws from the
-- posterior of each measurement. If the draws come from the right distribution, the rank of the true code among its
-- draws is uniform, in each dimension, and so is the rank of its energy, which sees what single dimensions do not.
--
-- Sources: S. Talts, M. Betancourt, D. Simpson, A. Vehtari and A. Gelman, "Validating Bayesian inference algorithms
-- with simulation-based calibration", arXiv 1804.06788 (2018); for the energy M. Modrák et al., "Simulation-based
-- calibration checking for Bayesian computation: the choice of test quantities shapes sensitivity", Bayesian Analysis
-- (2023).
local lt = require "latent"
local map = require "latent.map"

local M = {}

-- Less probable than this by chance, and the sampler is called wrong.
M.LEVEL = 1e-4
local LATENT, PIXELS, CHAINS = 4, 8, 3

-- ---- the decoders: the same at every call ----

M.decoders = {
  -- Posteriors are Gaussian, their axes askew and of different lengths: precisions 1.4, 1.8, 4 and 182.
  linear = function()
    local generator = lt.generator(1)
    local w = lt.randn({LATENT, PIXELS}, {generator = generator}) * lt.tensor{{0.2}, {0.4}, {0.6}, {0.8}}
    local turn = lt.randn({LATENT, LATENT}, {generator = generator}) / LATENT ^ 0.5
    return function(z) return z:matmul(turn):matmul(w) end, 0.4
  end,
  -- Two layers with tanh between them: posteriors are bent, and wide where tanh is flat.
  nonlinear = function()
    local generator = lt.generator(2)
    local a = lt.randn({LATENT, 16}, {generator = generator}) / LATENT ^ 0.5
    local b = lt.randn({16}, {generator = generator}) / 2
    local c = lt.randn({16, PIXELS}, {generator = generator}) / 4
    return function(z) return (z:matmul(a) + b):tanh():matmul(c) end, 0.3
  end,
}

-- ---- ranks ----

-- Every `thin`-th draw of every chain, [all, n, latent].
local function thinned(codes, thin)
  local rows, draws = {}, codes:size(1)
  for t = thin, draws, thin do rows[#rows + 1] = t end
  local n, d = codes:size(3), codes:size(4)
  return codes:reshape(draws, -1):gather_rows(lt.tensor(rows)):reshape(-1, n, d)
end

local function energies(problem, draws)
  local list = {}
  for l, codes in draws:rows() do list[l] = lt.no_grad(function() return (problem:energy(codes)) end) end
  return lt.stack(list, 1)
end

--- Simulates, samples and ranks.
-- @param decoder a name of M.decoders
-- @param o simulations; draws (of each posterior, after thinning, a multiple of 3); thin; warmup; seed; method; target;
-- and, to see the checks fail, noise: by which factor the sampler gets it wrong
-- @return ranks: a list of lists, for each dimension of the code and last the energy, of numbers from 0 to draws;
-- draws; ess: mean effective sample size of the thinned draws; accept
function M.ranks(decoder, o)
  assert(o.draws % CHAINS == 0, "draws: expected a multiple of the chains")
  local generator = lt.generator(o.seed)
  local decode, noise = M.decoders[decoder]()
  local truth = lt.randn({o.simulations, LATENT}, {generator = generator})
  local pictures = lt.no_grad(function() return decode(truth) end)
  local measured = pictures + lt.randn(pictures.shape, {generator = generator}) * noise
  local problem = map.problem{decode = decode, measured = measured, latent = LATENT, noise = noise * (o.noise or 1)}
  local posterior = map.sample(problem, {method = o.method, chains = CHAINS, warmup = o.warmup, generator = generator,
    draws = o.draws // CHAINS * o.thin, pictures = false, target = o.target})
  local draws = thinned(posterior.codes, o.thin)
  local below = draws:lt(truth):sum(1):transpose():table()
  below[LATENT + 1] = energies(problem, draws):lt(energies(problem, truth:unsqueeze(1))):sum(1):table()
  local kept = draws:reshape(o.draws // CHAINS, CHAINS, o.simulations, LATENT):slice(3, 1, math.min(20, o.simulations))
  return {ranks = below, draws = o.draws, ess = map.ess(kept):mean():item(), accept = posterior.accept:mean():item()}
end

-- ---- chi-squared ----

-- log Gamma(x) of x > 0: Stirling's series, from 10 on.
local function log_gamma(x)
  local shift = 0
  while x < 10 do
    shift, x = shift + math.log(x), x + 1
  end
  return (x - 0.5) * math.log(x) - x + math.log(2 * math.pi) / 2 + 1 / (12 * x) - 1 / (360 * x ^ 3)
    + 1 / (1260 * x ^ 5) - shift
end

--- The probability that chi-squared with so many degrees of freedom is above a value: the incomplete gamma function
-- Q(k / 2, x / 2), by its series or its continued fraction.
function M.chi_squared_above(value, degrees)
  local a, x = degrees / 2, value / 2
  if x <= 0 then return 1 end
  local scale = math.exp(a * math.log(x) - x - log_gamma(a))
  if x < a + 1 then
    local term, sum, n = 1 / a, 1 / a, a
    while term > sum * 1e-15 do
      n = n + 1
      term = term * x / n
      sum = sum + term
    end
    return 1 - sum * scale
  end
  local b, c, tiny = x + 1 - a, math.huge, 1e-300
  local d = 1 / b
  local h, i = d, 0
  repeat
    i = i + 1
    local an = -i * (i - a)
    b = b + 2
    d = 1 / math.max(an * d + b, tiny)
    c = math.max(b + an / c, tiny)
    local change = d * c
    h = h * change
  until math.abs(change - 1) < 1e-15 or i > 10000
  return scale * h
end

--- How many ranks fall into each of so many bins of equal width.
function M.histogram(ranks, draws, bins)
  assert((draws + 1) % bins == 0, "bins: expected a divisor of draws + 1")
  local counts = {}
  for b = 1, bins do counts[b] = 0 end
  for _, rank in ipairs(ranks) do
    local b = rank // ((draws + 1) // bins) + 1
    counts[b] = counts[b] + 1
  end
  return counts
end

-- Chi-squared of counts against the uniform distribution.
local function chi_squared(counts)
  local sum, n = 0, 0
  for _, count in ipairs(counts) do n = n + count end
  for _, count in ipairs(counts) do sum = sum + (count - n / #counts) ^ 2 / (n / #counts) end
  return sum
end

--- Are ranks uniform? Each quantity by itself, all simulations, bins - 1 degrees of freedom. Those of one simulation
-- depend on each other, so that these values may not be added: for the sum over all quantities each gets simulations of
-- its own, and the degrees of freedom are quantities * (bins - 1).
-- @return each: a list of {counts, value, p}; degrees (of each); value, total_degrees and p of the sum; worst, the
-- least p of each times their number (Bonferroni); uniform: whether both are above M.LEVEL
function M.test(result, bins)
  local quantities = #result.ranks
  local verdict = {each = {}, degrees = bins - 1, total_degrees = quantities * (bins - 1), value = 0, worst = 1}
  for q, ranks in ipairs(result.ranks) do
    local own = {}
    for i = q, #ranks, quantities do own[#own + 1] = ranks[i] end
    verdict.value = verdict.value + chi_squared(M.histogram(own, result.draws, bins))
    local counts = M.histogram(ranks, result.draws, bins)
    local value = chi_squared(counts)
    local p = M.chi_squared_above(value, bins - 1)
    verdict.each[q] = {counts = counts, value = value, p = p}
    verdict.worst = math.min(verdict.worst, p * quantities)
  end
  verdict.p = M.chi_squared_above(verdict.value, verdict.total_degrees)
  verdict.uniform = verdict.p > M.LEVEL and verdict.worst > M.LEVEL
  return verdict
end

return M
