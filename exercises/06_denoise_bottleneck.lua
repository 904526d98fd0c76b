--- Exercise 6: does noise pass through the bottleneck of the autoencoder?
--   lua5.4 exercises/06_denoise_bottleneck.lua
local lt, data = require "latent", require "latent.data"
local plot = require "latent.plot"
local models, support = require "exercises.models", require "exercises.support"

local o = support.options{noise = 0.5}
local _, test = support.data(o)
local model = support.load(models.autoencoder(), "autoencoder")
local classifier = support.load(models.classifier(), "classifier")

local clean, labels = data.examples(test)
local noisy = data.noisy(clean, o.noise)
local output = lt.no_grad(function() return model(noisy) end)
support.figure(plot.image_rows{
  rows = {{label = "noisy", images = noisy}, {label = "output", images = output}, {label = "clean", images = clean}},
  titles = support.classes(o), title = "Denoising through the bottleneck of the autoencoder",
}, "06_denoise.png")

-- Over the whole test set: how much noise is left, and does the digit stay the same?
local noisy_mse, output_mse, direct_mse = support.mean_over(test, function(x)
  local y = data.noisy(x, o.noise)
  return lt.mse_loss(y, x), lt.mse_loss(model(y), x), lt.mse_loss(model(x), x)
end)
local kept = support.classify(classifier, output):eq(labels)
local restored = support.map(test, function(x) return model(data.noisy(x, o.noise)) end)
local share = support.classify(classifier, restored):eq(test.labels):mean():item()
local same = {}
for i, value in ipairs(kept:table()) do if value == 1 then same[#same + 1] = support.classes(o)[i] end end

support.say([[The noise does not come through: the output is as smooth as without noise. But its MSE against the clean
  image is %.3f, %s than that of the noisy image itself (%.3f); fed with the clean image the autoencoder has %.3f.]],
  output_mse, output_mse > noisy_mse and "worse" or "better", noisy_mse, direct_mse)
support.say([[Of the ten examples %d are still read as their own class by the classifier of exercise 4 (%s), over the
  whole test set %.0f %%: %s. Two numbers cannot carry more, and the encoder never saw noise: for denoising this
  bottleneck %s.]], #same, #same > 0 and table.concat(same, ", ") or "none", 100 * share,
  share < 0.5 and "most come out as another digit" or "the others come out as another digit",
  share < 0.5 and "does not work well" or "works only in part")
