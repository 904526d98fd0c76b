--- Exercise 8: denoising with a VAE of 16 latent numbers. Does a search for the code beat the bottleneck?
--   lua5.4 exercises/08_map_denoise.lua         expect MSEs of 0.10 to 0.17 (bottleneck) and 0.077 (MAP)
local lt, data, optim = require "latent", require "latent.data", require "latent.optim"
local plot, experiment, metrics = require "latent.plot", require "latent.experiment", require "latent.metrics"
local progress = require "latent.progress"
local models, sheet = require "exercises.models", require "exercises.sheet"

local e <close> = experiment.begin{
  options = {beta = {0.01, min = 0}, lr = {1e-3, above = 0}, final_lr = {0.0, min = 0}, batch = {64, min = 1},
    epochs = {20, min = 1}, warmup = {5, "epochs in which beta grows", min = 0}, latent = {16, min = 1},
    noise = {0.5, min = 0}, images = {1000, "of the test set, for MAP", min = 1}, map_steps = {1000, min = 1},
    map_lr = {0.01, above = 0}, map_beta = {0.01, min = 0}},
  recipes = {sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 50, warmup = 0}, demo = sheet.demo{images = 100}},
  weights = "weights", needs = {"classifier"}, pictures = "08_", answers = "ex8"}
local o, train, test = e.options, e:data() -- [60000, 32, 32, 1], [10000, 32, 32, 1], pixels in [-1, 1]
local names, clean = test.classes, data.examples(test)                      -- [10, 32, 32, 1], one a class
local theirs = sheet.of("ex8", e, names)

-- The VAE of exercise 7 with more latent numbers: the squared error + beta KL(q(z|x) || N(0, 1)).
local model = e:seeded(models.vae, o.latent)
local opt = optim.Adam(model:parameters(), {lr = o.lr})
e:train("vae16", {model = model, optimizer = opt, data = train, epochs = o.epochs,
  schedules = {lr = optim.schedule.cosine(o.lr, {epochs = o.epochs, floor = o.final_lr}),
    beta = optim.schedule.warmup(o.beta, {epochs = math.min(o.warmup, o.epochs // 2)})},
  loss = function(batch, now)
    local r, mu, log_var = model(batch.x)
    local mse, kl = lt.mse_loss(r, batch.x), lt.gaussian_kl(mu, log_var)
    return mse + now.beta * kl, {mse = mse, kl = kl}
  end})
model:freeze():eval()
local reader = e:weights("classifier", models.classifier()):freeze()

-- (a) Through the bottleneck, with a sampled code as in training.
local function bottleneck(x) return lt.no_grad(function() return (model(x)) end) end

-- (b) MAP: the code whose picture lies nearest to the measurement, and which is likely a priori.
-- z* = argmin mean((noisy - g(z))^2) + beta mean(z^2), by Adam on z; the decoder stays fixed.
local function map(noisy, label)
  local z = lt.param(lt.randn(#noisy, o.latent))
  local adam, losses = optim.Adam({z}, {lr = o.map_lr}), {}
  local bar <close> = progress.new{label = label, steps = o.map_steps}
  for step = 1, o.map_steps do
    adam:zero_grad()
    local loss = lt.mse_loss(model:decode(z), noisy) + o.map_beta * z:square():mean()
    loss:backward()
    adam:step()
    losses[step] = loss:item()
    bar:step(losses[step])
  end
  return model:pictures(z), losses
end

local noisy = data.noisy(clean, o.noise)
local by_bottleneck, by_map, losses = bottleneck(noisy), map(noisy, "MAP, ten examples")
for _, shown in ipairs{{"bottleneck", by_bottleneck, "through the VAE's bottleneck"},
  {"map", by_map, "by MAP optimisation"}} do
  e:figure(shown[1], plot.image_rows{titles = names, title = "Denoising " .. shown[3],
    rows = {{label = "noisy", images = noisy}, {label = "output", images = shown[2]},
      {label = "clean", images = clean}}},
    "The noisy images, what becomes of them, and what it should have been.")
end
e:figure("map_loss", plot.lines{{y = losses}, title = "MAP optimisation: loss", xlabel = "iteration",
  ylabel = "MSE + beta mean(z^2)"}, "What the search minimises, in each of its iterations.")

-- The same over many test images: errors against the clean images, and what share keeps its class.
local function kept(images, truth) return models.read(reader, images):eq(truth):mean() end
local many = test:take(math.min(o.images, #test))
local noisy_mse, sample_mse, mean_mse, map_mse, sample_kept, map_kept = data.average(many, function(x, y)
  local measured = data.noisy(x, o.noise)
  local sampled, best = bottleneck(measured), map(measured, "MAP, test images")
  local by_mean = model:pictures((model:encode(measured)))
  return metrics.mse(measured, x), metrics.mse(sampled, x), metrics.mse(by_mean, x), metrics.mse(best, x),
    kept(sampled, y), kept(best, y)
end, {grad = true})
local _, knn = models.nearest_accuracy(model, train, test)
for _, found in ipairs{{"knn_mean", knn}, {"map_loss_first", losses[1]}, {"map_loss_last", losses[#losses]},
  {"noisy_mse", noisy_mse}, {"bottleneck_mse", sample_mse}, {"bottleneck_mean_mse", mean_mse},
  {"map_mse", map_mse}} do e:number(found[1], found[2], theirs[found[1]]) end

-- (c) Which is better, and why.
e:claim(map_mse < math.min(sample_mse, mean_mse), "(c) MAP is better than the bottleneck",
  "MSE against %d clean images: %.3f against %.3f (%.3f with the mean)", #many, map_mse, sample_mse, mean_mse)
e:claim(map_kept > sample_kept, "more digits stay what they are", "%.0f %%, not %.0f %%", 100 * map_kept,
  100 * sample_kept)
e:text[[The bottleneck passes once through an encoder that never saw noise, and nothing holds its output to
  the measurement; MAP compares every candidate with the measurement, and the prior keeps the code likely.]]
