--- Exercise 8: denoising with a VAE of 16 latent numbers. Does a search for the code beat the bottleneck?
--   lua5.4 exercises/08_map_denoise.lua         expect MSEs of 0.12 (bottleneck) and 0.07 (MAP)
local lt, data, optim = require "latent", require "latent.data", require "latent.optim"
local plot, experiment, metrics = require "latent.plot", require "latent.experiment", require "latent.metrics"
local models, sheet = require "exercises.models", require "exercises.sheet"

local e <close> = experiment.begin{
  options = {beta = {0.01, min = 0}, lr = {2e-3, above = 0}, final_lr = {0.0, min = 0}, batch = {32, min = 1},
    weight_decay = {0.2, min = 0}, epochs = {20, min = 1}, warmup = {15, "in which beta grows", min = 0},
    latent = {16, min = 1}, noise = {0.5, min = 0}, images = {1000, "of the test set, for MAP", min = 1},
    map_steps = {1000, min = 1}, map_lr = {0.01, above = 0}, map_beta = {0.01, min = 0}},
  recipes = {sheet = {lr = 1e-4, final_lr = 1e-4, batch = 64, epochs = 50, warmup = 0, weight_decay = 0},
    demo = sheet.demo{images = 100}},
  weights = "weights", needs = {"classifier"}, pictures = "08_", answers = "ex8"}
local o, train, test = e.options, e:data() -- [60000, 32, 32, 1], [10000, 32, 32, 1], pixels in [-1, 1]
local names, clean = test.classes, data.examples(test)                      -- [10, 32, 32, 1], one a class

-- The VAE of exercise 7 with more latent numbers. It sees clean digits alone; what these do not excite in the
-- encoder would stay as it began and let noise through: the decay of the weights (AdamW's) shrinks it.
local model = e:seeded(models.vae, o.latent)
e:train("vae16", {model = model, data = train, epochs = o.epochs,
  optimizer = optim.AdamW(model:parameters(), {lr = o.lr, weight_decay = o.weight_decay}),
  schedules = {lr = optim.schedule.cosine(o.lr, {epochs = o.epochs, floor = o.final_lr}),
    beta = optim.schedule.warmup(o.beta, {epochs = math.min(o.warmup, o.epochs * 3 // 4)})},
  loss = function(batch, now)                 -- as in exercise 7
    local r, mu, log_var = model(batch.x)
    local mse, kl = lt.mse_loss(r, batch.x), lt.gaussian_kl(mu, log_var)
    return mse + now.beta * kl, {mse = mse, kl = kl}
  end})
model:freeze():eval()
local reader = e:weights("classifier", models.classifier())

-- (a) Through the bottleneck, with a sampled code as in training.
local function bottleneck(x) return lt.no_grad(function() return (model(x)) end) end

-- (b) MAP: the code whose picture lies nearest to the measurement, and which is likely a priori.
-- z* = argmin mean((noisy - g(z))^2) + beta mean(z^2), by Adam on z; the decoder stays fixed.
local function map(noisy)
  local z = lt.param(lt.randn(#noisy, o.latent))
  local adam, losses = optim.Adam({z}, {lr = o.map_lr}), {}
  for step = 1, o.map_steps do
    -- (task) A step of the search: `loss`, as the formula above says it, its gradients, and Adam's step.
    adam:zero_grad()
    local loss = lt.mse_loss(model:decode(z), noisy) + o.map_beta * z:square():mean()
    loss:backward()
    adam:step() -- (end)
    losses[step] = loss:item()
  end
  return model:pictures(z), losses
end
local noisy = data.noisy(clean, o.noise)
local function show(name, output, title)
  e:figure(name, plot.image_rows{titles = names, title = title, rows = {{label = "noisy", images = noisy},
    {label = "output", images = output}, {label = "clean", images = clean}}},
    "The noisy images, what becomes of them, and what it should have been.")
end
local by_bottleneck, by_map, losses = bottleneck(noisy), map(noisy)
show("bottleneck", by_bottleneck, "Denoising through the VAE's bottleneck")
show("map", by_map, "Denoising by MAP optimisation")
e:figure("map_loss", plot.lines{{y = losses}, title = "MAP optimisation: loss", xlabel = "iteration",
  ylabel = "MSE + beta mean(z^2)"}, "What the search minimises, in each of its iterations.")

-- The same over many test images: errors against the clean images, and what share keeps its class.
local many, theirs = test:take(math.min(o.images, #test)), sheet.numbers("ex8", e, names)
local _, knn = models.nearest_accuracy(model, train, test)
local noisy_mse, sample_mse, mean_mse, map_mse, sample_kept, map_kept = data.average(many, function(x, y)
  local measured = data.noisy(x, o.noise)
  local sampled, best, by_mean = bottleneck(measured), map(measured), model:pictures((model:encode(measured)))
  return metrics.mse(measured, x), metrics.mse(sampled, x), metrics.mse(by_mean, x), metrics.mse(best, x),
    models.read(reader, sampled):eq(y):mean(), models.read(reader, best):eq(y):mean()
end, {grad = true})                                                                 -- for MAP takes gradients
for _, found in ipairs{{"knn_mean", knn}, {"map_loss_first", losses[1]}, {"map_loss_last", losses[#losses]},
  {"noisy_mse", noisy_mse}, {"bottleneck_mse", sample_mse}, {"bottleneck_mean_mse", mean_mse},
  {"map_mse", map_mse}} do e:number(found[1], found[2], theirs[found[1]]) end

e:claim(map_mse < math.min(sample_mse, mean_mse), "(c) MAP is better than the bottleneck",
  "MSE against %d clean images: %.3f against %.3f (%.3f with the mean)", #many, map_mse, sample_mse, mean_mse)
e:claim(map_kept > sample_kept, "more digits stay what they are", "%.3f, not %.3f", map_kept, sample_kept)
e:text[[The bottleneck passes once through an encoder that never saw noise, and nothing holds its output to
  the measurement; MAP compares every candidate with the measurement, and the prior keeps the code likely.]]
