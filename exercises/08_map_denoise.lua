--- Exercise 8: denoising with a VAE of 16 latent dimensions, by its bottleneck and by MAP optimisation.
--   lua5.4 exercises/08_map_denoise.lua      expect MSEs of about 0.13 (bottleneck, mean) and 0.07 (MAP)
local lt, data, optim = require "latent", require "latent.data", require "latent.optim"
local plot, progress = require "latent.plot", require "latent.progress"
local models, support = require "exercises.models", require "exercises.support"
local train_vae = require "exercises.train_vae"

local o = support.options{
  batch = 64, latent = 16, beta = 0.01, noise = 0.5, images = 1000, map_steps = 1000, map_lr = 0.01, map_beta = 0.01,
  in_demo = {images = 100},
  recipes = {
    default = {lr = 1e-3, final_lr = 0, epochs = 20, warmup_epochs = 5},
    sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 50, warmup_epochs = 0},
  },
}
local train, test = support.data(o)
local names = support.classes(o)
local model = models.vae(o.latent)

if o.demo then support.load(model, "vae16") else train_vae(model, train, o, o.beta, o.epochs, "vae16") end
model:freeze():eval()
local classifier = support.load(models.classifier(), "classifier"):freeze()

-- (a) Through the bottleneck, with a sampled code as in training.
local function bottleneck(x)
  return lt.no_grad(function() return (model(x)) end)
end

-- (b) MAP: the code whose picture lies nearest to the measurement, and which is likely a priori.
-- z* = argmin mean((noisy - g(z))^2) + beta mean(z^2); the decoder stays fixed.
local function map(noisy, label)
  local z = lt.param(lt.randn(#noisy, o.latent))
  local opt, losses = optim.Adam({z}, {lr = o.map_lr}), {}
  local bar <close> = progress.new{label = label, steps = o.map_steps}
  for step = 1, o.map_steps do
    opt:zero_grad()
    local loss = lt.mse_loss(model:decode(z), noisy) + o.map_beta * z:square():mean()
    loss:backward()
    opt:step()
    losses[step] = loss:item()
    bar:step(losses[step])
  end
  return lt.no_grad(function() return model:decode(z) end), losses
end

local clean, labels = data.examples(test)
local noisy = data.noisy(clean, o.noise)
local by_bottleneck = bottleneck(noisy)
local by_map, losses = map(noisy, "MAP, ten examples")
local function figure(output, title, file)
  support.figure(plot.image_rows{
    rows = {{label = "noisy", images = noisy}, {label = "output", images = output}, {label = "clean", images = clean}},
    titles = names, title = title,
  }, file)
end
figure(by_bottleneck, "Denoising through the bottleneck of the VAE", "08_bottleneck.png")
figure(by_map, "Denoising by MAP optimisation", "08_map.png")
support.figure(plot.lines{
  {y = losses}, title = "MAP optimisation: loss", xlabel = "iteration", ylabel = "MSE + beta mean(z^2)",
}, "08_map_loss.png")

-- The same over many test images, in parts; MSEs against the clean images.
local sums, n = {noisy = 0, bottleneck = 0, mean = 0, map = 0}, 0
local kept = {bottleneck = 0, map = 0}
for first = 1, math.min(o.images, #test), 250 do
  local x, y = test:batch(lt.arange(first, math.min(first + 249, o.images, #test)))
  local measured = data.noisy(x, o.noise)
  local outputs = {noisy = measured, bottleneck = bottleneck(measured),
    mean = lt.no_grad(function() return model:decode((model:encode(measured))) end),
    map = map(measured, ("MAP, images from %d"):format(first))}
  for name, output in pairs(outputs) do
    sums[name] = sums[name] + lt.mse_loss(output, x):item() * #y
    if kept[name] then kept[name] = kept[name] + support.classify(classifier, output):eq(y):sum():item() end
  end
  n = n + #y
end
local function codes(set) return support.map(set, function(x) return (model:encode(x)) end) end
local _, knn = support.accuracy(support.nearest_labels(codes(train), train.labels, codes(test)), test.labels)
for name, sum in pairs(sums) do sums[name] = sum / n end
support.answer{["ex8.noisy_mse"] = sums.noisy, ["ex8.bottleneck_mse"] = sums.bottleneck,
  ["ex8.bottleneck_mean_mse"] = sums.mean, ["ex8.map_mse"] = sums.map, ["ex8.map_loss_first"] = losses[1],
  ["ex8.map_loss_last"] = losses[#losses], ["ex8.knn_mean"] = knn}

-- (c) Which is better, and why.
local function count(images) return support.classify(classifier, images):eq(labels):sum():item() end
support.say([[The loss falls from %.3f to %.3f in %d iterations over the ten examples. The nearest neighbour among the
  codes of this VAE is right for %.1f %%.]], losses[1], losses[#losses], o.map_steps, knn)
support.say([[(c) MAP is %s. Over %d test images the MSE against the clean image is %.3f for the noisy image, %.3f
  through the bottleneck (%.3f with the mean instead of a sample) and %.3f by MAP. Of the ten examples the classifier
  of exercise 4 reads %d as their own class after the bottleneck and %d after MAP; of all %d images %.1f %% and
  %.1f %%.]], sums.map < sums.mean and "better" or "no better", n, sums.noisy, sums.bottleneck, sums.mean, sums.map,
  math.tointeger(count(by_bottleneck)), math.tointeger(count(by_map)), n, 100 * kept.bottleneck / n, 100 * kept.map / n)
support.say([[The bottleneck passes once through an encoder that never saw noise, and nothing holds its output to the
  measurement; MAP compares every candidate with the measurement itself, and the prior keeps the code likely, so that
  unlikely pictures are not chosen to fit the noise.]])
