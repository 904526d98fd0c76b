--- The VAEs of exercise 10: the sheet's, and some trained as exercise 8 does by default, each with another beta, of
-- which the best is chosen on validation images.
local lt, progress = require "latent", require "latent.progress"
local models, restore = require "exercises.models", require "exercises.restore"
local support, train_vae = require "exercises.support", require "exercises.train_vae"

local M = {}

local BETAS = {0.01, 3e-3, 1e-3, 3e-4, 1e-4} -- the first is the sheet's
local RECIPES = { -- those of exercise 8
  sheet = {lr = 1e-4, final_lr = 1e-4, warmup_epochs = 0, epochs = 50},
  default = {lr = 1e-3, final_lr = 0, warmup_epochs = 5, epochs = 20},
}

local function loss(model, x, beta)
  local pictures, mu, log_var = model(x)
  local mse, kl = lt.mse_loss(pictures, x), lt.gaussian_kl(mu, log_var)
  return mse + beta * kl, mse, kl
end

-- What is to be trained: names, betas, recipes.
local function runs_of(o)
  local list = {{name = ("vae%d_sheet"):format(o.latent), beta = BETAS[1], recipe = RECIPES.sheet}}
  for i = 1, #BETAS, 4 // (tonumber(o.betas) - 1) do
    list[#list + 1] = {name = ("vae%d_beta%g"):format(o.latent, BETAS[i]), beta = BETAS[i], recipe = RECIPES.default}
  end
  return list
end

local function train_one(run, o, train)
  local settings = {batch = o.batch, seed = o.seed}
  for name, value in pairs(run.recipe) do settings[name] = value end
  if o.epochs > 0 then settings.epochs = o.epochs end
  lt.manual_seed(o.seed) -- so that none depends on which were trained before
  train_vae(models.vae(o.latent), train, settings, loss, run.beta, settings.epochs, run.name)
end

--- Trains what has no weights yet (those of MNIST come along), and says before how long that takes.
-- @tparam table o latent, batch, seed, betas = "5" or "3", epochs (0: the recipes' own)
-- @tparam table train
-- @treturn {table,...} runs: name, beta, recipe; the sheet's first
function M.train(o, train)
  local list, missing, epochs = runs_of(o), {}, 0
  for _, run in ipairs(list) do
    if not support.has(run.name) then
      missing[#missing + 1], epochs = run, epochs + (o.epochs > 0 and o.epochs or run.recipe.epochs)
    end
  end
  if #missing > 0 then
    local seconds = support.seconds_a_step(models.vae(o.latent), train, o.batch, function(model, x)
      return (loss(model, x, BETAS[1]))
    end)
    print(("%d VAEs to train, %d epochs: about %s. What is broken off goes on with --resume."):format(#missing, epochs,
      progress.duration(seconds * epochs * #train / o.batch)))
    for _, run in ipairs(missing) do train_one(run, o, train) end
  end
  return list
end

--- The sheet's VAE, one with exercise 8's schedule, and the one of all betas whose restored pictures err least on
-- validation images; prints what it chose from.
-- @tparam table o as above, and noise
-- @tparam {table,...} runs of `train`
-- @tparam table set the validation images
-- @tparam Module classifier
-- @tparam table method as restore.measure has it
-- @treturn {table,...} three subjects of restore.subject with `label` and `beta`; the last is the one chosen
function M.choose(o, runs, set, classifier, method)
  local rows, best, least = {}, nil, math.huge
  for i, run in ipairs(runs) do
    local subject = restore.subject(run.name, o.latent, classifier)
    local r = restore.measure(subject, set, o.noise, method, o)
    rows[i], subject.beta = {run.name, ("%.4f"):format(r.mse), r.kept}, run.beta
    run.subject = subject
    if i > 1 and r.mse < least then best, least = run, r.mse end
  end
  support.print_table(("The choice of beta: MAP of %d validation images, noise %g"):format(math.min(o.images, #set),
    o.noise),
    {"", "MSE", "kept %"}, rows)
  local stages = {}
  for i, stage in ipairs{{runs[1], "the sheet's training"}, {runs[2], "exercise 8's schedule"},
      {best, ("and beta %g"):format(best.beta)}} do
    stages[i] = setmetatable({label = stage[2]}, {__index = stage[1].subject})
  end
  return stages
end

return M
