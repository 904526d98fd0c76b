--- Exercise 7: a variational autoencoder with two latent numbers. Is its latent space a better map?
--   lua5.4 exercises/07_vae.lua [--beta 0.01]     expect a test MSE of 0.123, 1-NN accuracy of 62 to 71 %
local lt, data, optim = require "latent", require "latent.data", require "latent.optim"
local plot, experiment = require "latent.plot", require "latent.experiment"
local models, sheet = require "exercises.models", require "exercises.sheet"

local e <close> = experiment.begin{  -- options: name = {default, what it is, limits}; a recipe sets several
  options = {beta = {0.01, min = 0}, lr = {2e-3, above = 0}, final_lr = {0.0, min = 0}, batch = {64, min = 1},
    epochs = {50, min = 1}, warmup = {25, "epochs in which beta grows", min = 0}, sweep_epochs = {5, min = 1},
    side = {15, "pictures along each axis of the grid", min = 2}},
  recipes = {sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 50, warmup = 0}, demo = sheet.demo()},
  weights = "weights", pictures = "07_", answers = "ex7"}     -- plots/07_*.png; ex7.* in runs/answers.json
local o, train, test = e.options, e:data() -- [60000, 32, 32, 1], [10000, 32, 32, 1], pixels in [-1, 1]
local names, ten = test.classes, data.examples(test)                        -- [10, 32, 32, 1], one a class
local ae, judge = e:weights("autoencoder", models.autoencoder()), e:weights("classifier", models.classifier())

-- Minimise the squared error, mean over pixels, + beta KL(q(z|x) || N(0, 1)), mean over images.
local function trained(name, beta, epochs)
  local model = e:seeded(models.vae, 2)    -- every beta starts from the same weights
  e:train(name, {model = model, data = train, batch = o.batch, epochs = epochs,
    optimizer = optim.Adam(model:parameters(), {lr = o.lr}),
    schedules = {lr = optim.schedule.cosine(o.lr, {epochs = epochs, floor = o.final_lr}),  -- now.lr, ...
      beta = optim.schedule.warmup(beta, {epochs = math.min(o.warmup, epochs * 2 // 3)})},
    loss = function(batch, now)
      -- (task) Return the loss of batch.x, with now.beta, and for the log mse, kl and `final`: it with beta.
      local r, mu, log_var = model(batch.x)    -- pictures of codes drawn from q, its mean and log-variance
      local mse, kl = lt.mse_loss(r, batch.x), lt.gaussian_kl(mu, log_var)
      return mse + now.beta * kl, {mse = mse, kl = kl, final = mse + beta * kl} -- (end)
    end})
  return model
end

-- (a) The loss, epoch by epoch; ten images above their codes' means, decoded.
local model = trained("vae2", o.beta, o.epochs)
local mse, kl, spread = models.measured(model, test)      -- spread: the standard deviation of the means
local log, means, _ = e:log "vae2", model:encode(ten)     -- encode: means, log-variances, [10, 2] each
e:figure("loss", plot.lines{{y = log.train_final, label = "MSE + beta KL"}, {y = log.train_mse,
  label = "MSE"}, title = "VAE, two latent dimensions: training loss", xlabel = "epoch", ylabel = "loss",
  markers = true}, "The loss with the final beta, and the part of it that is the error of the pictures.")
e:figure("reconstructions", plot.image_rows{titles = names,
  title = "Ten test images and their reconstructions by the VAE",
  rows = {{label = "input", images = ten}, {label = "output", images = model:pictures(means)}}},
  "Above the images, below the pictures decoded from their means.")
local final = log.train_final[#log.train_final]
e:claim(final <= 0.19, "(a) the loss falls to the sheet's 0.19", "%.3f at the end", final)

-- (b) The means of all test images. How often is the nearest mean of a training image of the same class?
local codes, theirs = model:codes(test), sheet.numbers("ex7", e, names)  -- [10000, 2]; the course's numbers
local accuracy, mean = models.nearest_accuracy(model, train, test)       -- %: of each class, and their mean
e:figure("latent_scatter", plot.scatter{points = codes, labels = test.labels, names = names,
  title = "Latent space of the VAE: means", xlabel = "first latent number", ylabel = "second latent number"},
  "Each point is the mean that the encoder gives a test image, its colour the class.")
for _, found in ipairs{{"test_mse", mse}, {"kl", kl}, {"knn_accuracy", accuracy}, {"knn_mean", mean}} do
  e:number(found[1], found[2], theirs[found[1]]) end
local _, ae_mean = models.nearest_accuracy(ae, train, test)               -- (c) with exercise 1's codes
local top, middle, rows, mse_at, spread_at = ae:codes(test):max(1), codes:mean(1), {}, {}, {}
e:text("(c) The nearest code is of the right class for %.1f %%, the autoencoder's for %.1f %%; which classes"
  .. " meet is chance: on MNIST the one varies by 8 points with the seed, the other by 14.", mean, ae_mean)
e:claim(middle:norm():item() < 0.5 and spread > 0.1, "the codes spread around the origin", "mean (%.2f, %.2f)"
  .. ", deviation %.2f; the autoencoder's reach %.1f", middle[1], middle[2], spread, top:max():item())
for i, beta in ipairs{0.001, 0.01, 0.1, 1} do
  rows[i] = {"beta " .. beta, models.measured(trained("vae2_beta" .. beta, beta, o.sweep_epochs), test)}
  mse_at[beta], spread_at[beta] = rows[i][2], rows[i][4]
end
e:table(("Other betas, epochs: %d each"):format(o.sweep_epochs), {"", "MSE", "KL", "spread"}, rows)
e:claim(spread_at[1] < spread_at[0.001], "a large beta pulls the means in", "spread %.2f, not %.2f",
  spread_at[1], spread_at[0.001])
e:claim(mse_at[1] > 1.1 * mse_at[0.01], "beta 1 blurs pictures", "%.3f, not %.3f", mse_at[1], mse_at[0.01])

-- (d) The decoder as a generator. (e) What exercise 4's classifier reads there, and in exercise 5's grid.
local axis = lt.linspace(-3, 3, o.side)
local grid = model:pictures(models.grid(axis, axis))                                 -- [side^2, 32, 32, 1]
local ae_grid = ae:pictures(models.grid(lt.linspace(0, top[1], o.side), lt.linspace(0, top[2], o.side)))
e:figure("generator", plot.image_grid{images = grid, columns = o.side, x = axis:table(), y = axis:table(),
  title = "Decoded codes of the VAE", xlabel = "first latent number", ylabel = "second latent number"},
  "Each picture is decoded from the code at its place, three standard deviations each way.")
local seen, most = models.readable(judge, grid)         -- classes; the pictures that show the commonest
local ae_seen, ae_most = models.readable(judge, ae_grid)
e:claim(most < ae_most, "(e) the classes share the grid more equally than in exercise 5", "the largest has %d"
  .. " of %d pictures, there %d; classes: %d, there %d", most, #grid, ae_most, seen, ae_seen)
