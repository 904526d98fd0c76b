--- Exercise 6: does noise pass through the bottleneck of the autoencoder?
--   lua5.4 exercises/06_denoise_bottleneck.lua
local lt, data = require "latent", require "latent.data"
local models, support = require "exercises.models", require "exercises.support"
local figures = require "exercises.figures"

local o = support.options{noise = 0.5}
local _, test = support.data(o)
local model = support.load(models.autoencoder(), "autoencoder")
local classifier = support.load(models.classifier(), "classifier")

local clean, labels = data.examples(test)
local noisy = data.noisy(clean, o.noise)
local output = lt.no_grad(function() return model(noisy) end)
figures.rows("06_denoise.png", "Denoising through the bottleneck of the autoencoder", support.classes(o),
  {{"noisy", noisy}, {"output", output}, {"clean", clean}})

-- Over the whole test set: how far from the clean images, how rough (mean squared difference of neighbouring
-- pixels), and is the class still the same?
local function roughness(x) return (x:slice(3, 2, 32) - x:slice(3, 1, 31)):square():mean() end
local function kept(images, truth) return support.classify(classifier, images):eq(truth) end
local noisy_mse, output_mse, direct_mse, noisy_rough, output_rough, direct_rough, share, direct_share =
  support.mean_over(test, function(x, labels_of_x)
    local y = data.noisy(x, o.noise)
    local restored, direct = model(y), model(x)
    return lt.mse_loss(y, x), lt.mse_loss(restored, x), lt.mse_loss(direct, x),
      roughness(y), roughness(restored), roughness(direct),
      kept(restored, labels_of_x):mean(), kept(direct, labels_of_x):mean()
  end)
local same = {}
for i, value in ipairs(kept(output, labels):table()) do
  if value == 1 then same[#same + 1] = support.classes(o)[i] end
end

support.say([[Neighbouring pixels of the noisy images differ by %.3f (mean square), those of the outputs by %.3f, those
  of the outputs for clean images by %.3f: %s.]], noisy_rough, output_rough, direct_rough,
  output_rough < 1.2 * direct_rough and "the noise itself does not come through the bottleneck"
  or output_rough < 0.5 * noisy_rough and "only a part of the noise comes through" or "the noise comes through")
support.say([[The MSE of the outputs against the clean images is %.3f, %s than that of the noisy images themselves
  (%.3f); fed with the clean images the autoencoder has %.3f.]], output_mse,
  output_mse < noisy_mse and "better" or "no better", noisy_mse, direct_mse)
support.say([[Of the ten examples %d are still read as their own class by the classifier of exercise 4 (%s), of the
  whole test set %.0f %%, against %.0f %% when the images are clean: %s.]], #same,
  #same > 0 and table.concat(same, ", ") or "none", 100 * share, 100 * direct_share,
  share < 0.5 and "most images come out as another class, and for denoising this bottleneck does not work well"
  or "the others come out as another class, and for denoising this bottleneck works only in part")
support.say([[Two causes are at work: the bottleneck alone loses the class of %.0f %% of the images, and the noise,
  which the encoder never saw in training, %s.]], 100 * (1 - direct_share), share < direct_share
  and ("moves the codes so that it loses another %.0f %%"):format(100 * (direct_share - share))
  or "costs nothing more here")
