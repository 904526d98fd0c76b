--- Draws from the posterior of codes: Hamiltonian Monte Carlo and Langevin steps through the decoder, for all images
-- and chains as one batch, each chain with a step size of its own.
--
-- Sources: R. Neal, "MCMC using Hamiltonian dynamics", Handbook of Markov Chain Monte Carlo (2011); G. Roberts and
-- R. Tweedie, "Exponential convergence of Langevin distributions and their discrete approximations", Bernoulli 2
-- (1996), whose algorithm with its Metropolis test is HMC of one leapfrog step; M. Hoffman and A. Gelman, "The
-- No-U-Turn Sampler", JMLR 15 (2014), section 3.2, for the step sizes by dual averaging.
-- @module latent.map.sample
local lt = require "latent"
local core = require "latent.core"
local diagnostics = require "latent.map.diagnostics"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local raise = core.raise

local M = {}

local NAME = "map.sample"
-- Of dual averaging: how many iterations count as started with, and how fast old ones are forgotten; the values of
-- Hoffman and Gelman.
local T0, KAPPA = 10, 0.75
local FIRST_STEP = 0.1
-- The windows of the warm-up: where each ends, as a share of it, and how strongly its steps are drawn towards the one
-- that it began with. With Hoffman and Gelman's gamma, 0.05, steps come near from afar within a few iterations, but
-- jump by a factor of 2 for a hundred more: too small and too large ones have the wanted acceptance between them, and
-- the mean, which is kept, has a larger one. So the later windows are calm. At the end of the inner windows the scales
-- of the latent dimensions are taken from what was drawn in them.
local WINDOWS = {{to = 0.15, gamma = 0.05}, {to = 0.4, gamma = 0.3}, {to = 0.7, gamma = 1}, {to = 1, gamma = 1}}
local ROUNDS = 30 -- at most, of halving or doubling a first step

-- ---- one transition ----

-- Energy [R, 1] and its gradient [R, d], without a tape.
local function energy_of(run, q)
  local point = lt.param(q)
  local energy = run.problem:energy(point, run.rows)
  energy:sum():backward()
  return energy:detach():reshape(-1, 1), point.grad
end

-- Where a value is not finite, 0: a diverged chain is rejected, and must not spread.
local function finite(x) return x:sub(x):eq(0) end

-- Leapfrog steps from (q, p); returns where they end. `scale`: the inverse masses [R, d].
local function leapfrog(run, q, p, gradient, steps)
  local energy
  for _ = 1, steps do
    p = p - gradient * (run.step / 2)
    q = q + p * run.scale * run.step
    energy, gradient = energy_of(run, q)
    p = p - gradient * (run.step / 2)
  end
  return q, p, energy, gradient
end

local function kinetic(run, p) return (p:square() * run.scale):sum(2, true) / 2 end

-- The probabilities with which states are left for where leapfrog steps ended, [R, 1].
local function acceptance(run, state, p, p_end, energy, gradient)
  local change = state.energy + kinetic(run, p) - energy - kinetic(run, p_end)
  local sound = finite(change) * finite(gradient):min(2, true)
  return lt.where(sound, change, -1e4):minimum(0):exp() * sound
end

local function zeros(x) return lt.zeros(x.shape, {dtype = x.dtype}) end

local function momenta(run, q)
  return lt.randn(q.shape, {generator = run.generator, dtype = q.dtype}) / run.scale:sqrt()
end

-- One iteration of all chains; returns the probabilities with which they accepted, [R, 1].
local function transition(run, state)
  local p = momenta(run, state.q)
  local steps = run.steps
  if steps > 1 then -- of varying length, so that no chain walks in circles
    local least = math.max(1, steps // 2)
    steps = least + math.floor(lt.rand({1}, {generator = run.generator}):item() * (2 * steps - 2 * least + 1))
  end
  local q, p_end, energy, gradient = leapfrog(run, state.q, p, state.gradient, steps)
  local probability = acceptance(run, state, p, p_end, energy, gradient)
  local accepted = lt.rand(probability.shape, {generator = run.generator, dtype = probability.dtype}):lt(probability)
  state.q = lt.where(accepted, q, state.q)
  state.energy = lt.where(accepted, energy, state.energy)
  state.gradient = lt.where(accepted, gradient, state.gradient)
  return probability
end

-- ---- adaptation ----

-- Halves or doubles each chain's step until one leapfrog step's acceptance has come past 1/2 (their algorithm 4).
local function find_steps(run, state)
  local direction, looking
  for _ = 1, ROUNDS do
    local p = momenta(run, state.q)
    local _, p_end, energy, gradient = leapfrog(run, state.q, p, state.gradient, 1)
    local good = acceptance(run, state, p, p_end, energy, gradient):gt(0.5)
    direction = direction or good
    looking = looking and looking * good:eq(direction) or lt.ones(good.shape, {dtype = "u8"})
    if looking:max():item() == 0 then break end
    run.step = lt.where(looking, lt.where(direction, run.step * 2, run.step / 2), run.step)
  end
end

local function new_averaging(run, window)
  local step = run.step
  return {centre = step:log(), gamma = window.gamma, t = 0, error = zeros(step), mean = zeros(step)}
end

-- Moves the logarithm of each chain's step so that its acceptance comes to `target`.
local function adapt_step(run, averaging, probability)
  local t = averaging.t + 1
  local share, weight = 1 / (t + T0), t ^ -KAPPA
  averaging.t = t
  averaging.error = averaging.error * (1 - share) + (run.target - probability) * share
  local log_step = averaging.centre - averaging.error * (t ^ 0.5 / averaging.gamma)
  averaging.mean = log_step * weight + averaging.mean * (1 - weight)
  run.step = log_step:exp()
end

-- Running mean and sum of squares of what chains draw (Welford), in place.
local function accumulate(sums, x)
  sums.n = sums.n + 1
  local difference = x - sums.mean
  sums.mean:add_(difference / sums.n)
  sums.square:add_(difference * (x - sums.mean))
end

local function new_sums(x) return {n = 0, mean = zeros(x), square = zeros(x)} end

-- The scale of each dimension of each image: the variance within its chains, drawn a little towards 1e-3 as long as
-- there are few draws.
local function adapt_scale(run, sums)
  local n = sums.n
  local variance = sums.square / (n - 1) * (n / (n + 5)) + 1e-3 * 5 / (n + 5)
  local an_image = variance:reshape(run.chains, run.problem.images, -1):mean(1)
  run.scale = an_image:gather_rows(run.rows)
end

local function warm_up(run, state, warmup)
  local scalings, t = 0, 0
  for k, window in ipairs(WINDOWS) do
    local inner, sums = k > 1 and k < #WINDOWS, new_sums(state.q)
    -- the first scales change what a step is; later ones hardly do
    if t < warmup and (k == 1 or scalings == 1) then find_steps(run, state) end
    local averaging = new_averaging(run, window)
    while t < window.to * warmup do
      t = t + 1
      adapt_step(run, averaging, transition(run, state))
      if inner then accumulate(sums, state.q) end
    end
    if averaging.t > 0 then run.step = averaging.mean:exp() end
    if inner and run.adapt_scale and sums.n >= 5 then
      adapt_scale(run, sums)
      scalings = scalings + 1
    end
  end
end

-- ---- what is drawn ----

-- Adds the pictures of one draw of all chains to their mean and spread, image by image.
local function add_pictures(run, sums, q)
  local pictures = run.problem:pictures(q)
  local n = run.problem.images
  for chain = 1, run.chains do
    local of_chain = pictures:slice(1, (chain - 1) * n + 1, chain * n)
    sums = sums or new_sums(of_chain)
    accumulate(sums, of_chain)
  end
  return sums
end

--- Draws from a posterior; `map.sample` makes them.
-- @type Posterior
-- @tfield Tensor codes [draws, chains, n, latent]
-- @tfield ?Tensor mean [n, ...], of the pictures of all draws
-- @tfield ?Tensor std [n, ...], the standard deviation a pixel
-- @tfield Tensor accept [chains, n], the mean acceptance after the warm-up
-- @tfield Tensor step [chains, n]
-- @tfield number evaluations decoder evaluations an image, all chains together
local Posterior = {}
Posterior.__index = Posterior
Posterior.__name = "posterior" -- in messages

function Posterior:__tostring()
  local draws, chains, n, d = table.unpack(self.codes.shape)
  return core.plainly(string.format, "posterior: %d draws of each of %d chains, %d images, latent %d, acceptance %.2f",
    draws, chains, n, d, self.accept:mean():item())
end

--- R-hat and effective sample sizes of the codes of some images (see `map.rhat`, `map.ess`).
-- @tparam ?{int,...} images their numbers (default: all)
-- @treturn table rhat, ess (of the bulk) and ess_tail, tensors [images, latent]
-- @function Posterior:diagnose
function Posterior:diagnose(images)
  local codes = self.codes
  if images then
    local draws, chains, n, d = table.unpack(codes.shape)
    local chosen, rows = options.expect("Posterior:diagnose", "images", images, "list"), {}
    for k = 0, draws * chains - 1 do
      for _, i in ipairs(chosen) do rows[#rows + 1] = k * n + i end
    end
    codes = codes:reshape(-1, d):gather_rows(lt.tensor(rows)):reshape(draws, chains, #chosen, d)
  end
  return {rhat = diagnostics.rhat(codes), ess = diagnostics.ess(codes),
    ess_tail = diagnostics.ess(codes, {method = "tail"})}
end

-- ---- the face ----

local METHODS = {hmc = {steps = 10, target = 0.8}, mala = {steps = 1, target = 0.574}}

local sample_options = options.declare(NAME, {
  {"method", options.one_of{"hmc", "mala"}, "hmc"},
  {"chains", "count", 4}, {"warmup", "size", 200, "iterations"}, {"draws", "count", 200, "iterations"},
  {"steps", "count", nil, "leapfrog steps an iteration (default: 10; mala: 1)"},
  {"step", "positive", FIRST_STEP, "where the search for a step size begins (without a warm-up: the step size)"},
  {"target", "positive", nil, "the wanted acceptance (default: 0.8; mala: 0.574)"},
  {"start", "any", nil, "codes [n, latent] for all chains or [chains * n, latent] (default: drawn from the prior)"},
  {"adapt_scale", "boolean", true, "each dimension gets a scale of its own in the warm-up"},
  {"pictures", "boolean", true, "decode every draw for mean and standard deviation"},
  {"generator", "any", nil, "where the draws come from, one made by lt.generator"},
})

local function start_of(run, start)
  local n, d = run.problem.images, run.problem.latent
  local dtype = run.problem.dtype
  if start == nil then return lt.randn({run.chains * n, d}, {generator = run.generator, dtype = dtype}) end
  core.check_tensor(start, NAME .. ": start")
  local fits = start.dtype == dtype and start:dim() == 2 and start:size(2) == d
  if not fits or (#start ~= n and #start ~= run.chains * n) then
    raise(("%s: start: expected %s [%d, %d], or one such block a chain, got %s"):format(NAME, dtype, n, d,
      shapes.typed(start)))
  end
  return #start == n and start:detach():gather_rows(run.rows) or start:detach():clone()
end

local function prepare(problem, opts)
  if type(problem) ~= "table" or not problem.energy then
    raise(("%s: problem: expected one made by map.problem, got %s"):format(NAME, options.describe(problem)))
  end
  opts = sample_options(opts)
  local preset = METHODS[opts.method]
  local run = {problem = problem, generator = opts.generator, chains = opts.chains, steps = opts.steps or preset.steps,
    target = opts.target or preset.target, adapt_scale = opts.adapt_scale}
  if run.target >= 1 then raise(("%s: target: expected a number in (0, 1), got %g"):format(NAME, run.target)) end
  if opts.method == "mala" and run.steps ~= 1 then raise(NAME .. ": steps: expected 1 with mala") end
  local rows = {}
  for i = 1, run.chains * problem.images do rows[i] = (i - 1) % problem.images + 1 end
  run.rows, run.scale = lt.tensor(rows), lt.ones({#rows, problem.latent}, {dtype = problem.dtype})
  run.step = lt.full({#rows, 1}, opts.step, {dtype = problem.dtype})
  return run, opts
end

--- See latent.map.sample.
function M.sample(problem, opts)
  local run
  run, opts = prepare(problem, opts)
  local draws, before = opts.draws, problem.evaluations
  local state = {q = start_of(run, opts.start)}
  state.energy, state.gradient = energy_of(run, state.q)
  warm_up(run, state, opts.warmup)
  local accept, codes, sums = lt.zeros({#run.rows, 1}, {dtype = problem.dtype}), {}, nil
  for t = 1, draws do
    accept = accept + transition(run, state)
    codes[t] = state.q
    if opts.pictures then sums = add_pictures(run, sums, state.q) end
  end
  local n, d = problem.images, problem.latent
  return setmetatable({codes = lt.stack(codes, 1):reshape(draws, run.chains, n, d),
    mean = sums and sums.mean, std = sums and (sums.square / sums.n):sqrt(),
    accept = (accept / draws):reshape(run.chains, n), step = run.step:reshape(run.chains, n),
    evaluations = (problem.evaluations - before) / n}, Posterior)
end

core.methods_of(Posterior, "posterior")

return M
