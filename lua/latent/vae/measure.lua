--- What codes tell about a VAE: which dimensions carry something, how well classes are told apart, how well the
-- codes fill the prior.
-- @module latent.vae.measure
local core = require "latent.core"
local lt = require "latent"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local raise, expect = core.raise, options.expect

local M = {}

local CARRIES = 0.01 -- nats or variance below which a dimension counts as empty (Burda et al., 2016)

local function check_codes(name, option, x)
  if not core.is_tensor(x) or x:dim() ~= 2 then
    raise(("%s: %s: expected codes [n, latent], got %s"):format(name, option, options.describe(x)))
  end
  return x
end

--- An iterator over the images of a tensor [n, ...] or of a data set, in batches.
-- @tparam string name of the calling function, for messages
-- @tparam Tensor|Set x
-- @tparam table opts images: only so many, from the first on; batch = 250
-- @treturn function gives images, and labels where there are some
function M.batches(name, x, opts)
  local is_set = not core.is_tensor(x) and type(x) == "table" and type(x.batch) == "function"
  if not is_set and not core.is_tensor(x) then
    raise(("%s: expected images [n, ...] or a data set, got %s"):format(name, options.describe(x)))
  end
  local size, first = expect(name, "batch", opts.batch or 250, "count"), 1
  local n = math.min(#x, expect(name, "images", opts.images or #x, "count"))
  return function()
    if first > n then return nil end
    local last = math.min(first + size - 1, n)
    local from = first
    first = last + 1
    if is_set then return x:batch(lt.arange(from, last)) end
    return x:slice(1, from, last)
  end
end

local active_options = options.declare("vae.active_units", {
  {"threshold", "not negative", CARRIES, "the variance above which a dimension is active"}})

--- The dimensions that carry something: those along which the means vary over the images (Burda, Grosse and
-- Salakhutdinov, 2016).
-- @tparam Tensor mu [n, latent] means
-- @tparam ?table opts
-- @treturn int how many
-- @treturn Tensor their variances [latent]
function M.active_units(mu, opts)
  local threshold = active_options(opts).threshold
  return lt.no_grad(function()
    local variance = check_codes("vae.active_units", "mu", mu):var(1, {unbiased = false})
    return math.tointeger(variance:gt(threshold):sum():item()), variance
  end)
end

local collapse_options = options.declare("vae.collapse", {
  {"threshold", "not negative", CARRIES, "nats below which a dimension is empty"}})

--- Whether the posterior has collapsed onto the prior: dimensions whose KL divergence is next to nothing say
-- nothing about the image, and the decoder ignores them.
-- @tparam Tensor kl_per_dimension [latent], nats, as vae.elbo and vae.report give it
-- @tparam ?table opts
-- @treturn ?string a warning, nil where every dimension carries something
-- @treturn {int,...} the empty dimensions
function M.collapse(kl_per_dimension, opts)
  local threshold = collapse_options(opts).threshold
  core.check_tensor(kl_per_dimension, "vae.collapse: kl_per_dimension")
  local empty = {}
  local all = kl_per_dimension:reshape(-1):table()
  for d, nats in ipairs(all) do
    if nats < threshold then empty[#empty + 1] = d end
  end
  if #empty == 0 then return nil, empty end
  local which = #empty == #all and "all" or ("dimension%s %s"):format(#empty > 1 and "s" or "",
    table.concat(empty, ", "))
  return ("posterior collapse: %d of %d latent dimensions (%s) carry less than %g nats; "
    .. "a smaller beta, a warm-up of beta or free bits keep them"):format(#empty, #all, which, threshold), empty
end

local knn_options = options.declare("vae.knn_accuracy", {{"k", "count", 1, "neighbours that vote"}})

--- How often the class that most of the k nearest codes have is the right one. Of classes with equally many
-- neighbours the one with the nearer neighbours wins.
-- @tparam Tensor codes [m, latent] with known labels
-- @tparam Tensor labels [m] whole numbers from 0
-- @tparam Tensor queries [n, latent]
-- @tparam Tensor truth [n] their labels
-- @tparam ?table opts
-- @treturn number %
-- @treturn Tensor the answers [n]
function M.knn_accuracy(codes, labels, queries, truth, opts)
  local name = "vae.knn_accuracy"
  local k = knn_options(opts).k
  check_codes(name, "codes", codes)
  check_codes(name, "queries", queries)
  for option, pair in pairs{labels = {labels, codes}, truth = {truth, queries}} do
    core.check_tensor(pair[1], name .. ": " .. option)
    if pair[1]:dim() ~= 1 or #pair[1] ~= #pair[2] then
      raise(("%s: %s: expected [%d], got %s"):format(name, option, #pair[2], shapes.text(pair[1])))
    end
  end
  return lt.no_grad(function()
    local known = labels:float()
    local classes = math.tointeger(known:max():item()) + 1
    -- All bonuses together are half a vote: they decide between equal numbers of votes and nothing else.
    local weight = 1 + lt.arange(k, 1, -1):reshape(1, k, 1) / (k * (k + 1))
    local answers = {}
    for first = 1, #queries, 1000 do -- a vote is a row of k one-hot labels
      local index = lt.knn(codes, queries:slice(1, first, math.min(first + 999, #queries)), k)
      local votes = lt.one_hot(known:gather_rows(index:reshape(-1)), classes)
      answers[#answers + 1] = (votes:reshape(#index, k, classes) * weight):sum(2):argmax(2) - 1
    end
    answers = lt.cat(answers, 1)
    return 100 * answers:eq(truth:float()):mean():item(), answers
  end)
end

-- P(chi^2 with d degrees of freedom <= x): the regularised incomplete gamma function of d / 2 and x / 2 by its
-- power series, e^-y y^a / Gamma(a + 1) (1 + y / (a + 1) + ...).
local function chi2_below(d, x)
  if x <= 0 then return 0 end
  local a, y = d / 2, x / 2
  local log_gamma = d % 2 == 0 and 0 or math.log(math.pi) / 2 -- of Gamma(1) and Gamma(1/2)
  for i = d % 2 == 0 and 1 or 0.5, a, 1 do log_gamma = log_gamma + math.log(i) end -- up to Gamma(a + 1)
  local term = math.exp(a * math.log(y) - y - log_gamma)
  local sum, n = term, 1
  repeat
    term = term * y / (a + n)
    sum, n = sum + term, n + 1
  until term <= 1e-15 * sum
  return sum
end

local OPEN_SHARE = options.kind("number", "a number between 0 and 1", function(value)
  return type(value) == "number" and value > 0 and value < 1 and value or nil
end)

--- The radius of the ball about the origin that holds a share of a standard normal of so many dimensions.
-- @tparam int latent
-- @tparam ?number share = 0.95
-- @treturn number
function M.prior_radius(latent, share)
  expect("vae.prior_radius", "latent", latent, "count")
  share = expect("vae.prior_radius", "share", share or 0.95, OPEN_SHARE)
  -- No more than 1 - share of a chi^2 lies beyond this (B. Laurent and P. Massart, Annals of Statistics 28, 2000).
  local t = -math.log(1 - share)
  local low, high = 0, latent + 2 * (latent * t) ^ 0.5 + 2 * t
  for _ = 1, 60 do
    local middle = (low + high) / 2
    if chi2_below(latent, middle) < share then low = middle else high = middle end
  end
  return high ^ 0.5
end

local within_options = options.declare("vae.within_prior", {
  {"share", OPEN_SHARE, 0.95, "of the prior that the ball holds"}})

--- What share of codes lies in the ball about the origin that holds so much of the prior N(0, 1): near 100 times
-- `share` where the codes fill the prior, less where they reach beyond it, more where they crowd its middle.
-- @tparam Tensor z [n, latent] codes
-- @tparam ?table opts
-- @treturn number %
function M.within_prior(z, opts)
  opts = within_options(opts)
  if check_codes("vae.within_prior", "z", z):numel() == 0 then return 0 / 0 end -- the share of nothing
  local radius = M.prior_radius(z:size(2), opts.share)
  return lt.no_grad(function() return 100 * z:norm(2):le(radius):mean():item() end)
end

-- ---- a report's parts ----

--- One pass over a set: codes, and sums over the images that a report is made of.
-- @tparam string name of the calling function, for messages
-- @tparam Module model
-- @tparam Set set
-- @tparam table opts batch, generator
-- @tparam Module rule the likelihood
-- @tparam function encode x -> mu, log_var, checked
-- @treturn table images, pixels, mu, log_var, z [n, latent], labels, mse, sampled_mse, log_prob (rules with a scale)
function M.pass(name, model, set, opts, rule, encode)
  local r, parts = {images = 0, mse = 0, sampled_mse = 0, log_prob = 0}, {mu = {}, log_var = {}, z = {}, labels = {}}
  local has_scale = rule.unit == "nats an image"
  for x, y in M.batches(name, set, {batch = opts.batch}) do
    lt.no_grad(function()
      local mu, log_var = encode(model, x)
      local z = mu + (log_var / 2):exp() * lt.randn(mu, {generator = opts.generator})
      local output = model:decode(z)
      r.mse = r.mse + lt.mse_loss(rule:mean(model:decode(mu)), x):item() * #x
      r.sampled_mse = r.sampled_mse + lt.mse_loss(rule:mean(output), x):item() * #x
      if has_scale then r.log_prob = r.log_prob + rule:log_prob(output, x):sum():item() end
      for field, value in pairs{mu = mu, log_var = log_var, z = z, labels = y} do table.insert(parts[field], value) end
    end)
    r.images, r.pixels = r.images + #x, x:numel() // #x
  end
  for _, field in ipairs{"mse", "sampled_mse", "log_prob"} do r[field] = r[field] / r.images end
  for field, list in pairs(parts) do r[field] = list[1] and lt.cat(list, 1) end
  return r
end

--- The means of all images of a set, and their labels.
function M.means(name, model, set, opts, encode)
  local mus, labels = {}, {}
  for x, y in M.batches(name, set, {batch = opts.batch}) do
    mus[#mus + 1], labels[#labels + 1] = lt.no_grad(function() return (encode(model, x)) end), y
  end
  return lt.cat(mus, 1), labels[1] and lt.cat(labels, 1)
end

return M
