--- Exercise 10: MAP done right. What do the start, the prior's weight and the decoder cost, and what else can it do?
--   lua5.4 exercises/10_map_beyond.lua      about 12 minutes on one core; what is measured is kept
local lt, data, map = require "latent", require "latent.data", require "latent.map"
local models, support = require "exercises.models", require "exercises.support"
local choose_vae, figures = require "exercises.choose_vae", require "exercises.map_figures"
local restore, subset = require "exercises.restore", require "latent.data.subset"

local o = support.options{
  betas = "5", batch = 64, latent = 16, epochs = 0, images = 1000, noise = 0.5, restarts = 4, chains = 2, draws = 60,
  map_steps = 1000, map_lr = 0.01, map_beta = 0.01, demo = false, needs = {"classifier"},
  positive = {"noise", "map_beta"},
}
local LEVELS = {o.noise / 2, o.noise, 2 * o.noise}
-- The test images after those of the tables (1001 to 1250), which nothing else here uses, serve as validation images.
-- Training images would not do: the VAEs have been trained on all of them, and one that knows them by heart could win.
local VALIDATION = 250
local train, test = support.data(o)
o.images = math.min(o.images, #test - VALIDATION)
local classifier = support.load(models.classifier(), "classifier"):freeze()

-- The methods. Each gets a piece (noisy and clean pictures, decoder, encoder), and returns pictures and how many codes
-- it decoded. MAP minimises U(z) = |y - g(z)|^2 / (2 noise^2) + |z|^2 / 2; the sheet's beta gives |z|^2 another weight.
local function solve(p, what, how)
  how.generator = p.generator
  local best = map.solve(p:problem(what), how)
  return best.pictures, best.evaluations, best
end
local function calibrated(p) return solve(p, {}, {start = p:encode(p.noisy), restarts = o.restarts}) end
local function posterior(p)
  local _, evaluations, best = calibrated(p)
  local s = map.sample(p:problem(), {start = best.codes, chains = o.chains, warmup = o.draws, draws = o.draws,
    generator = p.generator})
  return s.mean, evaluations + s.evaluations, s
end
local METHODS = {
  {key = "noisy", label = "noisy", restore = function(p) return p.noisy end},
  {key = "bottleneck", label = "bottleneck", restore = function(p)
    return p:problem():pictures(p:encode(p.noisy)), 1 end},
  {key = "sheet", label = "the sheet's MAP: Adam, random start", restore = function(p)
    return solve(p, {beta = o.map_beta}, {method = "adam", lr = o.map_lr, steps = o.map_steps}) end},
  {key = "encoder", label = "L-BFGS from the encoder's code", restore = function(p)
    return solve(p, {beta = o.map_beta}, {start = p:encode(p.noisy)}) end},
  {key = "restarts", label = "best of several starts", restore = function(p)
    return solve(p, {beta = o.map_beta}, {start = p:encode(p.noisy), restarts = o.restarts}) end},
  {key = "calibrated", label = "the same, calibrated beta", restore = calibrated},
  {key = "posterior", label = "posterior mean", restore = posterior},
  {key = "floor", label = "floor: the clean image itself", any_noise = true, restore = function(p)
    return solve(p, {measured = p.clean, noise = 0.02}, {start = p:encode(p.clean), restarts = o.restarts}) end},
}
local BY_KEY = {choice = {key = "choice", label = "choosing", restore = calibrated}}
for _, method in ipairs(METHODS) do BY_KEY[method.key] = method end

-- (a) The decoder: the sheet's training, exercise 8's schedule and epochs, and a beta chosen on the validation images.
local runs = choose_vae.train(o, train)
local validation = subset.new(test, lt.arange(o.images + 1, o.images + VALIDATION))
local stages = choose_vae.choose(o, runs, validation, classifier, BY_KEY.choice)
local first, second, third = table.unpack(restore.parts(stages, test, BY_KEY, o))
support.say([[(a) The decoder decides. With the sheet's training MAP comes to %.4f, exercise 8's schedule makes that
  %.4f, and beta %g, which does best on %d validation images, %.4f. What our search reaches for the clean image itself
  (the floor of the tables) goes from %.4f to %.4f.]],
  first.map, second.map, stages[3].beta, math.min(o.images, #validation), third.map, first.floor, third.floor)

-- (b) The search, with the best of the decoders, at three noise levels.
local vae = stages[3]
local r = restore.levels(vae, test, METHODS, LEVELS, o)[o.noise]
support.say([[(b) At noise %g the calibrated beta is %.4f (the sheet's %g would be right for noise %.2f). From the
  bottleneck to MAP the MSE goes from %.3f to %.4f, %.4f %s the floor, and what the classifier reads as its own class
  from %.1f %% to %.1f %%. The posterior mean has %.4f: %s.]], o.noise,
  map.calibrated_beta(o.noise, 1024, o.latent), o.map_beta, map.implied_noise(o.map_beta, 1024, o.latent),
  r.bottleneck.mse, r.calibrated.mse, math.abs(r.calibrated.mse - r.floor.mse),
  r.calibrated.mse < r.floor.mse and "below" or "above",
  r.bottleneck.kept, r.calibrated.kept, r.posterior.mse, r.posterior.mse < r.calibrated.mse
  and "the mean of all likely codes' pictures errs less than the likeliest's"
  or "here the mean of many pictures is no better than the likeliest one")

-- (c) Adam and L-BFGS from the same random starts, and the weight of the prior.
local clean = test:batch(lt.arange(1, math.min(o.images, 250)))
local function again() return restore.piece(vae, clean, o.noise, o.latent, o.seed) end
local _, _, adam = BY_KEY.sheet.restore(again())
local _, _, lbfgs = solve(again(), {beta = o.map_beta}, {})
local reached = restore.reaches(lbfgs.trace, adam.energy:mean():item())
figures.optimisers("10_optimisers.png", again():problem{beta = o.map_beta}, {{"Adam", adam}, {"L-BFGS", lbfgs}})
support.say([[(c) From the same random starts L-BFGS %s the mean loss of %d Adam iterations, %.4f; it ends at %.4f after
  %.0f. The noise, estimated from the noisy images alone, is %.3f on average (true: %g).]], reached
  and ("needs %d decoder evaluations an image for"):format(reached) or "does not come down to", o.map_steps,
  adam.loss:mean():item(), lbfgs.loss:mean():item(), lbfgs.evaluations,
  map.estimate_noise(again().noisy):mean():item(), o.noise)
local prior = figures.against_weight("10_beta.png", vae, clean, LEVELS, o)
for i, noise in ipairs(LEVELS) do
  support.say([[At noise %g the calibrated beta has an MSE of %.4f; the best of nine, %.2g, which only the clean
    images can tell, has %.4f.]], noise, prior[i].calibrated, prior[i].least, prior[i].mse)
end

-- (d) Ten examples; then other measurements: half of each is hidden, or all is blurred, or seen in 8 x 8 pixels.
local examples, names = data.examples(test), support.classes(o)
local ten = restore.piece(vae, examples, o.noise, o.latent, o.seed)
figures.restored("10_examples.png", ten, {{"noisy", ten.noisy}, {"bottleneck", (BY_KEY.bottleneck.restore(ten))},
  {"the sheet's MAP", (BY_KEY.sheet.restore(ten))}, {"MAP", (calibrated(ten))}}, select(3, posterior(ten)), names)

local mask = lt.cat({lt.ones(32, 16, 1), lt.zeros(32, 16, 1)}, 2)
local inpainting, many = ten:problem{operator = map.mask(mask)}, 6 * o.draws
local best = map.solve(inpainting, {restarts = 2 * o.restarts, generator = ten.generator})
local draws = map.sample(inpainting, {start = best.codes, chains = 2 * o.chains, warmup = many, draws = many,
  generator = ten.generator})
figures.inpainted("10_inpainting.png", ten, mask, best, draws, names)
local diagnosis, spread = draws:diagnose(), draws.std
support.say([[(d) With the right half hidden, the draws' standard deviation is %.3f a pixel in the half that was seen
  and %.3f in the other. R-hat is below 1.1 for %.0f %% of the codes' numbers (%.2f at most); the mean effective sample
  size is %.0f of %d draws.]], spread:slice(3, 1, 16):mean():item(), spread:slice(3, 17, 32):mean():item(),
  100 * diagnosis.rhat:lt(1.1):mean():item(), diagnosis.rhat:max():item(), diagnosis.ess:mean():item(),
  2 * o.chains * many)

local shots, noise = {}, o.noise / 5
for i, operator in ipairs{map.blur(2), map.downsample(4)} do
  local y = data.noisy(operator(examples), noise, {generator = ten.generator})
  local pictures = solve(ten, {operator = operator, measured = y, noise = noise}, {restarts = 2 * o.restarts})
  shots[i] = {({"blurred", "8 x 8 pixels"})[i], y, pictures, lt.mse_loss(pictures, examples):item()}
end
figures.measured("10_deblurring.png", ("Blurred by 2 pixels, or 8 x 8 pixels, with noise %g"):format(noise), ten,
  shots, names)
support.say([[From pictures blurred by 2 pixels MAP gets the ten back with an MSE of %.4f (the blurred have %.4f), from
  8 x 8 pixels with %.4f.]], shots[1][4], lt.mse_loss(shots[1][2], examples):item(), shots[2][4])

support.answer{["ex10.map_sheet"] = first.map, ["ex10.map_schedule"] = second.map, ["ex10.map"] = third.map,
  ["ex10.beta"] = vae.beta, ["ex10.floor"] = third.floor, ["ex10.posterior"] = r.posterior.mse,
  ["ex10.bottleneck"] = r.bottleneck.mse, ["ex10.kept_bottleneck"] = r.bottleneck.kept,
  ["ex10.kept"] = r.calibrated.kept, ["ex10.lbfgs_evaluations"] = reached or false}
