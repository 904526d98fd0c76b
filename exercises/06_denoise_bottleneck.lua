--- Exercise 6: noisy digits through the autoencoder's bottleneck. Does only the noise stay behind?
--   lua5.4 exercises/06_denoise_bottleneck.lua
local lt, data, plot = require "latent", require "latent.data", require "latent.plot"
local experiment = require "latent.experiment"
local models, sheet = require "exercises.models", require "exercises.sheet"

local e <close> = experiment.begin{options = {noise = {0.5, "its standard deviation", min = 0}},
  recipes = {demo = sheet.demo()}, weights = "weights", pictures = "06_"}
local o, _, test = e.options, e:data()                                     -- pixels in [-1, 1]
local model = e:weights("autoencoder", models.autoencoder())
local classifier = e:weights("classifier", models.classifier())

local clean, labels = data.examples(test)                          -- [10, 32, 32, 1], one a class; [10]
-- (task) `noisy`: the clean images with noise of deviation o.noise; `output`: what the model makes of it.
local noisy = data.noisy(clean, o.noise)
local output = model:pictures(model:encode(noisy))
-- (end)
e:figure("denoise", plot.image_rows{titles = test.classes,
  title = "Denoising through the bottleneck of the autoencoder", rows = {{label = "noisy", images = noisy},
    {label = "output", images = output}, {label = "clean", images = clean}}},
  "The noisy images, what comes out of the autoencoder, and what it should have been.")

-- Over the whole test set: how far from the clean images, how rough (the mean squared difference of
-- neighbouring pixels), and what share does exercise 4's classifier still read as its class?
local function roughness(x)                                                             -- of [n, 32, 32, 1]
  -- (task) Return the mean squared difference between each pixel and the one to its right.
  return (x:slice(3, 2, 32) - x:slice(3, 1, 31)):square():mean()
  -- (end)
end
local function kept(images, truth) return models.read(classifier, images):eq(truth):mean() end
local function measures(x, y)
  local measured = data.noisy(x, o.noise)
  local restored, direct = model(measured), model(x)
  return lt.mse_loss(measured, x), roughness(measured), lt.mse_loss(restored, x), roughness(restored),
    kept(restored, y), lt.mse_loss(direct, x), roughness(direct), kept(direct, y)
end
local noisy_mse, rough_in, output_mse, rough_out, share, clean_mse, rough_clean, clean_share =
  data.average(test, measures)
e:table("What comes out of the bottleneck", {"", "MSE", "roughness", "class kept, %"}, {
  {"noisy images", noisy_mse, rough_in, ""}, {"output", output_mse, rough_out, 100 * share},
  {"output for clean images", clean_mse, rough_clean, 100 * clean_share}})

e:claim(rough_out < 1.2 * rough_clean, "the noise itself does not come through the bottleneck",
  "neighbouring pixels differ by %.3f (mean square), in the noisy images by %.3f", rough_out, rough_in)
e:claim(share < 0.5, "most digits come out as another digit",
  "%.0f %% keep their class, %.0f of the examples", 100 * share, 10 * kept(output, labels):item())
e:claim(clean_share < 0.9, "the bottleneck alone loses classes", "%.0f %% of the clean images keep theirs",
  100 * clean_share)
e:claim(share < clean_share, "the noise, which the encoder never saw in training, moves the codes as well",
  "another %.0f %% lose their class", 100 * (clean_share - share))
