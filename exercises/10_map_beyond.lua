--- Exercise 10: MAP done right. What do start, prior and decoder cost, and what else can it do?
--   lua5.4 exercises/10_map_beyond.lua      about 12 minutes on one core; what is measured is kept
local lt, data, map = require "latent", require "latent.data", require "latent.map"
local plot, experiment, metrics = require "latent.plot", require "latent.experiment", require "latent.metrics"
local restore = require "exercises.restore"

local options = {betas = {5, choices = {5, 3}}, epochs = {0, "of VAEs to train; 0: the recipes'", min = 0}}
for name, option in pairs(restore.options) do options[name] = option end
local e <close> = experiment.begin{options = options, weights = "weights", pictures = "10_", answers = "ex10"}
local o, _, test = e.options, e:data()
local names, by_key = test.classes, restore.by_key
o.images = math.min(o.images, #test - 250)

-- (a) The decoder: the sheet's training, one whose learning rate falls, and a beta chosen on test images 1001
-- to 1250, which nothing else here uses (a VAE could know its training images by heart).
local BETAS = o.betas == 5 and {0.01, 3e-3, 1e-3, 3e-4, 1e-4} or {0.01, 1e-3, 1e-4}
local vaes, plan = restore.vaes(e, 0.01, BETAS), {}
for i, vae in ipairs(vaes) do
  plan[i] = {vae = vae.path, method = "calibrated", first = o.images + 1, images = math.min(o.images, 250)}
end
local validation, chosen = restore.measured(e, plan):column "mse", 2
for i = 2, #vaes do chosen = validation[i] < validation[chosen] and i or chosen end
local beta, best = vaes[chosen].beta, vaes[chosen].path
local methods, rows, parts = {"bottleneck", "sheet", "calibrated", "floor"}, {}, {}
for _, vae in ipairs{vaes[1], vaes[2], vaes[chosen]} do
  for _, key in ipairs(methods) do parts[#parts + 1] = {vae = vae.path, method = key} end
end
parts = restore.measured(e, parts):column "mse"
for i, label in ipairs{"the sheet's training", "a falling learning rate", ("and beta %g"):format(beta)} do
  rows[i] = {label, table.unpack(parts, 4 * i - 3, 4 * i)}
end
e:table(("MSE of %d images"):format(o.images), {"", "bottleneck", "the sheet's MAP", "MAP", "floor"}, rows)
e:claim(rows[3][4] < rows[2][4] and rows[2][4] < rows[1][4], "(a) each step of the decoder makes MAP better",
  "MSE %.4f, %.4f, %.4f", rows[1][4], rows[2][4], rows[3][4])

-- (b) The search, with the best of the decoders, at three levels of noise.
local levels = {o.noise / 2, o.noise, 2 * o.noise}
local r = restore.bench(e, best, levels)[2]
e:claim(r.calibrated.mse < r.sheet.mse, "(b) start, search and the calibrated beta beat the sheet's MAP",
  "MSE %.4f against %.4f", r.calibrated.mse, r.sheet.mse)
e:claim(r.posterior.mse < r.calibrated.mse, "the mean of all likely pictures errs less than the likeliest",
  "MSE %.4f against %.4f", r.posterior.mse, r.calibrated.mse)

-- (c) Adam and L-BFGS from the same random starts; the weight of the prior, the calibrated one marked.
local model, clean = restore.load(best, o.latent), test:batch(lt.arange(1, math.min(o.images, 250)))
local function piece(noise, pictures) return restore.piece(model, pictures or clean, noise, o, o.seed) end
local _, _, adam = by_key.sheet.restore(piece(o.noise))
local _, _, lbfgs = piece(o.noise):solve({beta = o.map_beta}, {})
local reached, target = 1, adam.energy:mean():item()
while lbfgs.trace[reached] and lbfgs.trace[reached] > target do reached = reached + 1 end
e:figure("optimisers", plot.lines{{y = adam.trace, label = "Adam"}, {y = lbfgs.trace, label = "L-BFGS"},
  title = "Two optimisers", log = "x", xlabel = "decoder evaluations an image", ylabel = "energy, nats"},
  "The mean loss against the work, from the same random starts.")
e:claim(lbfgs.trace[reached] ~= nil, "(c) L-BFGS reaches Adam's loss in a fraction of the evaluations",
  "%d of %d evaluations for the loss of %d", reached, #lbfgs.trace, o.map_steps)
local curves = {title = "How much prior?", xlabel = "beta", ylabel = "MSE of MAP", log = "x"}
for i, noise in ipairs(levels) do
  local x, y, codes = {}, {}, piece(noise):encode(piece(noise).noisy)
  for k = 9, 1, -1 do                      -- from the strongest prior on, whose energy has the fewest valleys
    x[k] = map.calibrated_beta(noise, 1024, o.latent) * 2 ^ (k - 4)
    local pictures, _, found = piece(noise):solve({beta = x[k]}, {start = codes})
    codes, y[k] = found.codes, metrics.mse(pictures, clean)
  end
  curves[2 * i - 1] = {x = x, y = y, label = ("noise %g"):format(noise), color = i}
  curves[2 * i] = {x = {x[4]}, y = {y[4]}, line = false, color = i, markers = true}
end
e:figure("beta", plot.lines(curves), "The error against the prior's weight; points: the calibrated betas.")

-- (d) Ten examples; then other measurements: a half is hidden, or all is blurred, or seen in 8 x 8 pixels.
local ten, many = piece(o.noise, data.examples(test)), 6 * o.draws
local function figure(name, title, caption, list)
  for i, row in ipairs(list) do list[i] = {label = row[1], images = row[2]} end
  e:figure(name, plot.image_rows{rows = list, titles = names, title = title}, caption)
end
local function grey(std, most) return (std * (2 / most) - 1):minimum(1) end      -- `most` and above are white
local _, _, posterior = by_key.posterior.restore(ten)
figure("examples", "Denoising, method by method; deviation: white is 0.5 and more", "The same noisy"
  .. " images, restored by each method, and how sure the posterior is of each pixel.", {{"noisy", ten.noisy},
  {"bottleneck", (by_key.bottleneck.restore(ten))}, {"the sheet's MAP", (by_key.sheet.restore(ten))},
  {"MAP", (by_key.calibrated.restore(ten))}, {"clean", ten.clean},
  {"posterior mean", posterior.mean}, {"its deviation", grey(posterior.std, 0.5)}})
local mask = lt.cat({lt.ones(32, 16, 1), lt.zeros(32, 16, 1)}, 2)
local hidden = ten:problem{operator = map.mask(mask)}
local best_codes = map.solve(hidden, {restarts = 2 * o.restarts, generator = ten.generator})
local draws = map.sample(hidden, {start = best_codes.codes, chains = 2 * o.chains, warmup = many,
  draws = many, generator = ten.generator})                               -- codes [draws, chains, 10, latent]
local function draw(k) return model:pictures(draws.codes[many][k]) end       -- the last one of a chain
figure("inpainting", "The right half hidden; deviation: white is 1 and more", "What is hidden is guessed: by"
  .. " MAP, by draws from the posterior, and by their mean.", {{"measured", ten.noisy * mask},
  {"draw 1", draw(1)}, {"draw 2", draw(2)}, {"MAP", best_codes.pictures}, {"clean", ten.clean},
  {"mean", draws.mean}, {"its deviation", grey(draws.std, 1)}})
local seen, unseen = draws.std:slice(3, 1, 16):mean():item(), draws.std:slice(3, 17, 32):mean():item()
e:claim(unseen > seen, "(d) the posterior is less sure of what is hidden", "deviation %.3f and %.3f; R-hat at"
  .. " most %.2f", unseen, seen, draws:diagnose().rhat:max():item())
local function restored(operator)
  local y = data.noisy(operator(ten.clean), o.noise / 5, {generator = ten.generator})
  return y, (ten:solve({operator = operator, measured = y, noise = o.noise / 5}, {restarts = 2 * o.restarts}))
end
local blurred, deblurred = restored(map.blur(2))
local small, enlarged = restored(map.downsample(4))
figure("deblurring", "Blurred by 2 pixels, or 8 x 8 pixels", "What was measured, what MAP makes of it, the"
  .. " clean images between.", {{"blurred", blurred}, {"MAP of it", deblurred},
  {"clean", ten.clean}, {"MAP of 8 x 8", enlarged}, {"8 x 8", lt.upsample_nearest(small, 4)}})
local error_in, error_out = metrics.mse(blurred, ten.clean), metrics.mse(deblurred, ten.clean)
e:claim(error_out < error_in, "what is blurred becomes sharper", "MSE %.4f, %.4f before", error_out, error_in)

for _, found in ipairs{{"bottleneck", r.bottleneck.mse}, {"map_sheet", rows[1][4]},
  {"map_schedule", rows[2][4]}, {"beta", beta}, {"map", rows[3][4]}, {"posterior", r.posterior.mse},
  {"floor", rows[3][5]}, {"kept_bottleneck", r.bottleneck.kept}, {"kept", r.calibrated.kept},
  {"lbfgs_evaluations", reached}} do e:number(found[1], found[2]) end
