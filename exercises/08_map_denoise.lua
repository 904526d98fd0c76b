--- Exercise 8: denoising with a VAE of 16 latent dimensions, by its bottleneck and by MAP optimisation.
--   lua5.4 exercises/08_map_denoise.lua      expect MSEs of 0.10 to 0.17 (bottleneck, mean) and 0.077 (MAP)
local lt, data, optim = require "latent", require "latent.data", require "latent.optim"
local plot, progress = require "latent.plot", require "latent.progress"
local models, support = require "exercises.models", require "exercises.support"
local figures, train_vae = require "exercises.figures", require "exercises.train_vae"

local o = support.options{
  batch = 64, latent = 16, beta = 0.01, noise = 0.5, images = 1000, map_steps = 1000, map_lr = 0.01, map_beta = 0.01,
  in_demo = {images = 100}, needs = {"classifier"},
  recipes = {
    default = {lr = 1e-3, final_lr = 0.0, epochs = 20, warmup_epochs = 5},
    sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 50, warmup_epochs = 0},
  },
}
local train, test = support.data(o)
local model = models.vae(o.latent)

-- The squared error, mean over all pixels, + beta times the KL divergence, mean over the images.
local function loss(m, x, beta)
  local r, mu, log_var = m(x)
  local mse, kl = lt.mse_loss(r, x), lt.gaussian_kl(mu, log_var)
  return mse + beta * kl, mse, kl
end
if o.demo then support.load(model, "vae16") else train_vae(model, train, o, loss, o.beta, o.epochs, "vae16") end
model:freeze():eval()
local classifier = support.load(models.classifier(), "classifier"):freeze()

-- (a) Through the bottleneck, with a sampled code as in training.
local function bottleneck(x) return lt.no_grad(function() return (model(x)) end) end

-- (b) MAP: the code whose picture lies nearest to the measurement, and which is likely a priori.
-- z* = argmin mean((noisy - g(z))^2) + beta mean(z^2); the decoder stays fixed.
local function map(noisy, label)
  local z = lt.param(lt.randn(#noisy, o.latent))
  local opt, losses = optim.Adam({z}, {lr = o.map_lr}), {}
  local bar <close> = progress.new{label = label, steps = o.map_steps}
  for step = 1, o.map_steps do
    opt:zero_grad()
    local objective = lt.mse_loss(model:decode(z), noisy) + o.map_beta * z:square():mean()
    objective:backward()
    opt:step()
    losses[step] = objective:item()
    bar:step(losses[step])
  end
  return lt.no_grad(function() return model:decode(z) end), losses
end

local clean, labels = data.examples(test)
local noisy = data.noisy(clean, o.noise)
local by_bottleneck, by_map, losses = bottleneck(noisy), map(noisy, "MAP, ten examples")
local function rows(output) return {{"noisy", noisy}, {"output", output}, {"clean", clean}} end
figures.rows("08_bottleneck.png", "Denoising through the VAE's bottleneck", support.classes(o), rows(by_bottleneck))
figures.rows("08_map.png", "Denoising by MAP optimisation", support.classes(o), rows(by_map))
support.figure(plot.lines{{y = losses}, title = "MAP optimisation: loss", xlabel = "iteration",
  ylabel = "MSE + beta mean(z^2)", width = 640, height = 440}, "08_map_loss.png")

-- The same over many test images: MSEs against the clean images, and what share keeps its class.
local function kept(images, truth) return support.classify(classifier, images):eq(truth):mean():item() end
local noisy_mse, sample_mse, mean_mse, map_mse, sample_kept, map_kept =
  support.mean_over_first(test, o.images, function(x, y)
    local measured = data.noisy(x, o.noise)
    local sampled, best = bottleneck(measured), map(measured, "MAP, test images")
    local by_mean = lt.no_grad(function() return model:decode((model:encode(measured))) end)
    return lt.mse_loss(measured, x), lt.mse_loss(sampled, x), lt.mse_loss(by_mean, x), lt.mse_loss(best, x),
      kept(sampled, y), kept(best, y)
  end)
local _, knn = support.nearest_accuracy(function(x) return (model:encode(x)) end, train, test)
support.answer{["ex8.noisy_mse"] = noisy_mse, ["ex8.bottleneck_mse"] = sample_mse,
  ["ex8.bottleneck_mean_mse"] = mean_mse, ["ex8.map_mse"] = map_mse, ["ex8.map_loss_first"] = losses[1],
  ["ex8.map_loss_last"] = losses[#losses], ["ex8.knn_mean"] = knn}

-- (c) Which is better, and why.
local better = map_mse < math.min(sample_mse, mean_mse)
support.say([[(a) Through the bottleneck %.0f of the ten examples are read as their own class by exercise 4's
  classifier, (b) by MAP %.0f; its loss goes from %.3f to %.3f (%d iterations). The nearest neighbour among the codes
  of this VAE is right for %.1f %%.]], 10 * kept(by_bottleneck, labels), 10 * kept(by_map, labels), losses[1],
  losses[#losses], o.map_steps, knn)
support.say([[(c) MAP is %s: over %d test images the MSE against the clean image is %.3f for the noisy image, %.3f
  through the bottleneck (%.3f with the mean instead of a sample) and %.3f by MAP. %.1f %% of them are read as their
  own class after the bottleneck, %.1f %% after MAP. The bottleneck passes once through an encoder that never saw
  noise, and nothing holds its output to the measurement; MAP compares every candidate with the measurement itself,
  and the prior term keeps the code likely.%s]], better and "better" or "no better", math.min(o.images, #test),
  noisy_mse, sample_mse, mean_mse, map_mse, 100 * sample_kept, 100 * map_kept,
  better and "" or " It pays only once the decoder is well trained and the iterations are enough.")
