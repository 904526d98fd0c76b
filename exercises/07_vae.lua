--- Exercise 7: a variational autoencoder with a latent space of two dimensions.
--   lua5.4 exercises/07_vae.lua        expect a test MSE of about 0.14 and a latent 1-NN accuracy of 55 % or more
local lt, data = require "latent", require "latent.data"
local models, support = require "exercises.models", require "exercises.support"
local figures, train_vae = require "exercises.figures", require "exercises.train_vae"

local o = support.options{
  batch = 64, beta = 0.01, side = 15, sweep_epochs = 5, needs = {"autoencoder", "classifier"},
  recipes = {
    default = {lr = 2e-3, final_lr = 0.0, epochs = 20, warmup_epochs = 10},
    sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 50, warmup_epochs = 0},
  },
}
local train, test = support.data(o)
local names, axis = support.classes(o), lt.linspace(-3, 3, o.side):table()

-- The squared error, mean over all pixels, + beta times the KL divergence, mean over the images.
local function loss(model, x, beta)
  local r, mu, log_var = model(x)
  local mse, kl = lt.mse_loss(r, x), lt.gaussian_kl(mu, log_var)
  return mse + beta * kl, mse, kl
end
local function trained(name, beta, epochs)
  lt.manual_seed(o.seed) -- so that all betas start from the same weights
  local model = models.vae(2)
  return o.demo and support.load(model, name) or train_vae(model, train, o, loss, beta, epochs, name)
end
local function encoder(model) return function(x) return (model:encode(x)) end end -- the VAE's means
local model, ae = trained("vae2", o.beta, o.epochs), support.load(models.autoencoder(), "autoencoder")

-- (a) Examples above reconstructions; the loss.
local log, examples, result = support.read_log "vae2", data.examples(test), support.evaluate_vae(model, test)
figures.curves("07_loss.png", "VAE, two latent dimensions: training loss", "loss", log,
  {{"train_loss", "MSE + beta KL"}, {"train_mse", "MSE"}})
figures.rows("07_reconstructions.png", "Ten test images and their reconstructions by the VAE", names,
  {{"input", examples}, {"output", lt.no_grad(function() return model:decode((model:encode(examples))) end)}})
support.say("(a) The training loss, MSE + %g KL, %s. The MSE over the test images, decoded from their means, is "
  .. "%.3f, their KL divergence %.2f nats.", o.beta, support.course(log, "train_loss"), result.mse, result.kl)

-- (b) The means of all test images.
local codes, ae_codes = support.map(test, encoder(model)), support.map(test, encoder(ae))
local accuracy, mean = support.nearest_accuracy(encoder(model), train, test)
local COURSE = {85.8, 95.8, 62.2, 45.5, 44.5, 20.7, 80.2, 73.6, 35.5, 40.4, mean = 58.4}
figures.scatter("07_latent_scatter.png", "Latent space of the VAE: means", codes, test.labels, names)
support.answer{["ex7.test_mse"] = result.mse, ["ex7.kl"] = result.kl, ["ex7.knn_accuracy"] = accuracy,
  ["ex7.knn_mean"] = mean}
support.compare("(b) Nearest-neighbour accuracy of the means, %", names, accuracy, mean, "the course's weights", COURSE)

-- (c) Against the plain autoencoder, and against other betas.
local _, ae_mean = support.nearest_accuracy(encoder(ae), train, test)
local centre, ae_centre, ae_top = codes:mean(1), ae_codes:mean(1), ae_codes:max(1):table()
support.say([[(c) The classes are %s separated than by the autoencoder: the nearest neighbour is right for %.1f %% of
  the VAE's means, for %.1f %% of the autoencoder's codes. The means average (%.2f, %.2f) with a standard deviation of
  %.2f: they lie %s the origin. The autoencoder's codes average (%.1f, %.1f) and reach up to %.1f. Only the means are
  shown; with the codes' own spread about them the standard deviation is %.2f (N(0, 1) has 1).]],
  mean > ae_mean and "better" or "no better", mean, ae_mean, centre[1], centre[2], result.spread,
  centre:norm():item() < 0.5 * result.total and "around" or "beside", ae_centre[1], ae_centre[2],
  math.max(ae_top[1], ae_top[2]), result.total)
local r, rows, steady = {}, {}, true
for i, beta in ipairs{0.001, 0.01, 0.1, 1} do
  r[i] = support.evaluate_vae(trained(("vae2_beta%g"):format(beta), beta, o.sweep_epochs), test)
  rows[i] = {"beta " .. beta, ("%.4f"):format(r[i].mse), ("%.3f"):format(r[i].kl), ("%.3f"):format(r[i].spread)}
  steady = steady and (i == 1 or r[i].spread < r[i - 1].spread + 0.01)
end
support.print_table(("Other betas, epochs: %d each"):format(o.sweep_epochs), {"", "MSE", "KL", "spread"}, rows)
support.say([[The means' standard deviation is %.3f for beta 0.001 and %.3f for beta 1: %s. Without the multiplier (beta
  1) the pictures are %s than with 0.01 after as many epochs: the MSE is %.3f instead of %.3f; one picture, the mean of
  all, would have %.3f.]], r[1].spread, r[4].spread, r[4].spread >= r[1].spread and "beta does not draw them together"
  or steady and "the larger beta is, the closer together they lie" or "beta draws them together, if not at every step",
  r[4].mse > 1.1 * r[2].mse and "far worse" or r[4].mse > r[2].mse and "slightly worse" or "no worse", r[4].mse,
  r[2].mse, support.variance(test))

-- (d) The grid over [-3, 3]^2, (e) and what can be recognised in it, beside the grid of exercise 5.
local function decoded(m, xs, ys) return lt.no_grad(function() return m:decode(support.grid(xs, ys)) end) end
local grid, classifier = decoded(model, axis, axis), support.load(models.classifier(), "classifier")
local ae_grid = decoded(ae, lt.linspace(0, ae_top[1], o.side):table(), lt.linspace(0, ae_top[2], o.side):table())
figures.grid("07_generator.png", "Decoded codes of the VAE", grid, axis, axis)
local here, there = support.readable(classifier, grid), support.readable(classifier, ae_grid)
support.say([[(d) Of the grid's cells within 2 of the origin %.0f %% have a test image's mean within a cell's width. (e)
  The classifier is more than 90 %% sure of %d of the %d pictures, which show %d of the ten classes (%.0f %% the
  commonest), and of %d in the autoencoder's grid, which show %d (%.0f %% the commonest): %s of the classes can be
  recognised. The KL term draws the codes together about the origin, and no ReLU clips them: %.0f %% of the means'
  numbers are negative.]], support.occupied(codes, axis), here.sure, #grid, here.classes, here.commonest, there.sure,
  there.classes, there.commonest, here.classes > there.classes and "more"
  or here.classes == there.classes and "as many" or "fewer", 100 * codes:lt(0):mean():item())
