--- Exercise 9: beta tuning. What does the weight of the KL divergence buy, and what does it cost?
--   lua5.4 exercises/09_beta_tuning.lua     35 trainings, about 17 minutes on two cores; done ones are kept
-- The sheet's loss is MSE + beta KL with beta = 0.01; it asks what happens without that (beta = 1).
local lt, plot, safetensors = require "latent", require "latent.plot", require "latent.safetensors"
local experiment, models = require "latent.experiment", require "exercises.models"

local e <close> = experiment.begin{
  options = {jobs = {0, "trainings at a time, 0 for one a processor", min = 0}, epochs = {10, min = 1},
    betas = {9, "how many between 1e-4 and 1", choices = {9, 5, 3}}, candidates = {3, min = 1},
    seeds = {3, min = 1}, warmup = {5, "epochs in which beta grows", min = 0}, batch = {64, min = 1},
    lr = {4e-3, above = 0}, final_lr = {0.0, min = 0}, side = {15, min = 2}, valid = {5000, min = 1}},
  recipes = {sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 50}}, pictures = "09_", answers = "ex9"}
local o, _, test = e.options, e:data()
local BETAS, names = {1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0}, test.classes

-- Trains and measures exercises/one_vae.lua for each table of options, several at a time.
local function trained(list)
  local runs, message = experiment.sweep("exercises/one_vae.lua", list, {common = {data = o.data,
    seed = o.seed, epochs = o.epochs, batch = o.batch, lr = o.lr, final_lr = o.final_lr, valid = o.valid},
    out = o.out, jobs = o.jobs > 0 and o.jobs or nil})
  return runs or e:fail(message)
end

-- The sweep, for 2 and for 16 dimensions, and for each of them a run that learns sigma.
local list, n = {}, o.betas
for _, latent in ipairs{2, 16} do
  for i = 1, #BETAS, 8 // (n - 1) do list[#list + 1] = {latent = latent, beta = BETAS[i]} end
  list[#list + 1] = {latent = latent, learn_sigma = true}
end
local all = trained(list)
local two, sigma2, sixteen, sigma16 = all:part(1, n), all[n + 1], all:part(n + 2, 2 * n + 1), all[2 * n + 2]

-- Beta is tuned on training images kept apart. In two dimensions chance plays a part, so the best betas are
-- trained with several seeds, each with a constant beta and with one that grows over the first epochs.
local arms, plan, rows, panels, ranked = {}, {}, {}, {}, two:sorted "valid_knn"
for i = 1, math.min(o.candidates, n) do
  for _, warmup in ipairs{0, o.warmup} do
    for seed = o.seed, o.seed + o.seeds - 1 do
      plan[#plan + 1] = {latent = 2, beta = ranked[i].settings.beta, seed = seed, warmup = warmup}
    end
  end
end
local tuning = trained(plan)
local function text(runs) return ("%.1f (%.1f to %.1f)"):format(runs:mean "knn_accuracy") end -- and its range
for i = 1, math.min(o.candidates, n) do
  local first, beta = 2 * (i - 1) * o.seeds, ranked[i].settings.beta
  local constant = tuning:part(first + 1, first + o.seeds)
  local warm = tuning:part(first + o.seeds + 1, first + 2 * o.seeds)
  arms[i] = {beta = beta, constant = constant, warm = warm, chosen_by = warm:mean "valid_knn"}
  rows[i] = {("beta %g"):format(beta), text(constant), text(warm)}
end
table.sort(arms, function(a, b) return a.chosen_by > b.chosen_by end)
local tuned, sheet, large, small = arms[1], two[n // 2 + 1].numbers, two[n].numbers, two[1].numbers

-- (a) What a nat buys: error against rate. What beta does to the means, the classes, the dimensions.
local curves = {{"2 dimensions", two, sigma2.numbers}, {"16 dimensions", sixteen, sigma16.numbers}}
for i, curve in ipairs(curves) do
  local label, runs, sigma = table.unpack(curve)
  panels[i] = plot.lines{{x = runs:column "rate", y = runs:column "sampled_mse", label = "beta 1e-4 to 1"},
    {x = {sigma.rate}, y = {sigma.sampled_mse}, line = false, label = ("learned sigma: beta %.2g"):format(
      sigma.own_beta)}, title = label, xlabel = "rate: KL divergence, nats an image",
    ylabel = "distortion: MSE of sampled codes", markers = true, width = 620, height = 460}
end
e:figure("rate_distortion", plot.panels(panels, {title = "What a picture costs", columns = 2}),
  "Error against nats for each beta, and where a single run that learns sigma lands.")
for i, found in ipairs{{"active_units", "Active dimensions"},
  {"spread", "Spread of the means", "standard deviation"},
  {"knn_accuracy", "Accuracy of the nearest neighbours", "%"},
  {"nll", "Negative log-likelihood", "nats an image"}} do
  panels[i] = plot.lines{{x = two:column "beta", y = two:column(found[1]), label = "2 dimensions"},
    {x = sixteen:column "beta", y = sixteen:column(found[1]), label = "16 dimensions"}, xlabel = "beta",
    ylabel = found[3], log = "x", title = found[2], markers = true, width = 620, height = 400}
end
e:figure("against_beta", plot.panels(panels, {title = "What beta does", columns = 2}),
  "What becomes of the dimensions, the means, the classes and the likelihood as beta grows.")
local axis, scatters, grids = lt.linspace(-3, 3, o.side), {}, {}
local first, second = "first latent number", "second latent number"
for i, run in ipairs{two[1], two[n // 2 + 1], two[n]} do
  local model, title = models.vae(2), ("beta = %g"):format(run.settings.beta)
  model:load_state(assert(safetensors.load(run.folder .. "/vae.safetensors"))):eval()
  scatters[i] = plot.scatter{points = model:codes(test), labels = test.labels, names = names, title = title,
    xrange = {-4, 4}, yrange = {-4, 4}, xlabel = first, ylabel = second, height = 480,
    legend = i == 3 and "outside" or false, width = i == 3 and 560 or 480}
  grids[i] = plot.image_grid{images = model:pictures(models.grid(axis, axis)), columns = o.side, zoom = 1,
    title = title, x = axis:table(), y = axis:table(), xlabel = first, ylabel = second}
end
e:figure("latent_scatter", plot.panels(scatters, {title = "Means of the test images", columns = 3}),
  "The means of the test images for a small, the sheet's and a large beta, on equal axes.")
e:figure("generator", plot.panels(grids, {title = "Decoded codes from -3 to 3", columns = 3}),
  "What the decoder makes of the same codes for these three betas.")
e:claim(large.sampled_mse > 1.2 * sheet.sampled_mse, "(a) without the multiplier the pictures are far worse",
  "MSE %.3f, with 0.01 %.3f, with 1e-4 %.3f", large.sampled_mse, sheet.sampled_mse, small.sampled_mse)
e:claim(large.spread < small.spread - 0.01, "a large beta pulls the means to zero",
  "deviation %.2f with 1e-4, %.2f with 0.01, %.2f with 1", small.spread, sheet.spread, large.spread)

-- (b) MSE + beta KL is, up to scale, the negative ELBO of a Gaussian with sigma^2 = beta * pixels / 2. So one
-- run that learns sigma with the weights also finds a beta: the one under which the images are most likely.
for _, curve in ipairs(curves) do
  local label, runs, sigma = table.unpack(curve)
  local best, worst = runs:sorted("nll", "rising")[1], runs:sorted("nll")[1].numbers.nll
  e:claim(sigma.nll < 0.9 * best.numbers.nll + 0.1 * worst, "(b) a learned sigma comes near the best beta",
    "%s: sigma %.3f, beta %.2g: NLL %.0f nats; beta %g: %.0f, the worst: %.0f", label, sigma.sigma,
    sigma.own_beta, sigma.nll, best.settings.beta, best.numbers.nll, worst)
end

-- (c) What a warm-up buys.
e:table(("k-NN accuracy in two dimensions, %%; seeds: %d"):format(o.seeds), {"", "constant", "warm-up"}, rows)
local plain, warm, least, most = tuned.constant:mean "knn_accuracy", tuned.warm:mean "knn_accuracy"
e:claim(math.abs(warm - plain) < most - least, "(c) the seed moves the accuracy more than a warm-up of beta",
  "%.1f %% with it, %.1f to %.1f by the seed; %.1f %% without", warm, least, most, plain)
for _, found in ipairs{{"beta", tuned.beta}, {"knn_mean", warm}, {"knn1_mean", (tuned.warm:mean "knn1")},
  {"knn_constant", plain}, {"sigma_beta_2d", sigma2.numbers.own_beta}, {"mse_sheet", sheet.sampled_mse},
  {"sigma_beta_16d", sigma16.numbers.own_beta}, {"mse_beta1", large.sampled_mse},
  {"spread_beta1", large.spread}, {"spread_sheet", sheet.spread}} do e:number(found[1], found[2]) end
