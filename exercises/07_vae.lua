--- Exercise 7: a variational autoencoder with a latent space of two dimensions.
--   lua5.4 exercises/07_vae.lua        expect a test MSE of about 0.17 and a latent 1-NN accuracy of 55 % or more
local lt, data = require "latent", require "latent.data"
local plot, models = require "latent.plot", require "exercises.models"
local support, train_vae = require "exercises.support", require "exercises.train_vae"

local o = support.options{
  batch = 64, latent = 2, beta = 0.01, side = 15, sweep_epochs = 5,
  recipes = {
    default = {lr = 2e-3, final_lr = 0, epochs = 20, warmup_epochs = 10},
    sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 50, warmup_epochs = 0},
  },
}
local train, test = support.data(o)
local names, axis = support.classes(o), lt.linspace(-3, 3, o.side):table()

local function trained(name, beta, epochs)
  local model = models.vae(o.latent)
  if o.demo then return support.load(model, name) end
  train_vae(model, train, o, beta, epochs, name) -- MSE + beta KL
  return model
end
local function means(model, set) return support.map(set, function(x) return (model:encode(x)) end) end
local function knn(codes_of)
  return support.accuracy(support.nearest_labels(codes_of(train), train.labels, codes_of(test)), test.labels)
end
-- MSE of the pictures of the means, KL in nats an image, spread (standard deviation) of the means.
local function evaluate(model)
  local mse, kl = support.mean_over(test, function(x)
    local mu, log_var = model:encode(x)
    return lt.mse_loss(model:decode(mu), x), lt.gaussian_kl(mu, log_var)
  end)
  return {mse = mse, kl = kl, spread = means(model, test):std(1):mean():item()}
end

local model = trained("vae2", o.beta, o.epochs)

-- (a) Examples above reconstructions; the loss.
local log, examples = support.read_log "vae2", data.examples(test)
support.figure(plot.lines{
  {y = support.column(log, "train_loss"), label = "MSE + beta KL"},
  {y = support.column(log, "train_mse"), label = "MSE", dashed = true},
  title = "VAE, two latent dimensions: training loss", xlabel = "epoch", ylabel = "loss", markers = true,
}, "07_loss.png")
local output = lt.no_grad(function() return model:decode((model:encode(examples))) end)
support.figure(plot.image_rows{
  rows = {{label = "input", images = examples}, {label = "output", images = output}}, titles = names,
  title = "Ten test images and their reconstructions by the VAE",
}, "07_reconstructions.png")

-- (b) The means of all test images.
local codes, result = means(model, test), evaluate(model)
local accuracy, mean = knn(function(set) return means(model, set) end)
local COURSE = {85.8, 95.8, 62.2, 45.5, 44.5, 20.7, 80.2, 73.6, 35.5, 40.4, mean = 58.4}
support.figure(plot.scatter{
  points = codes, labels = test.labels, names = names, title = "Latent space of the VAE: means",
  xlabel = "first latent number", ylabel = "second latent number",
}, "07_latent_scatter.png")
support.answer{["ex7.test_mse"] = result.mse, ["ex7.kl"] = result.kl}
support.answer{["ex7.knn_accuracy"] = accuracy, ["ex7.knn_mean"] = mean}
support.print_table("(b) Nearest-neighbour accuracy of the means, %", {"", "mean", table.unpack(names)},
  {{"ours", mean, table.unpack(accuracy)}, {"the course's weights", COURSE.mean, table.unpack(COURSE)}})

-- (c) Against the plain autoencoder, and against other betas.
local ae = support.load(models.autoencoder(), "autoencoder")
local ae_codes = support.map(test, function(x) return ae:encode(x) end)
local _, ae_mean = knn(function(set) return support.map(set, function(x) return ae:encode(x) end) end)
local centre, ae_centre, ae_top = codes:mean(1), ae_codes:mean(1), ae_codes:max(1):table()
support.say([[(c) The classes are %s separated than by the autoencoder: the nearest neighbour is right for %.1f %% of
  the VAE's means, for %.1f %% of the autoencoder's codes. The means lie around the origin: their average is
  (%.2f, %.2f), their standard deviation %.2f, where the autoencoder's codes average (%.1f, %.1f) and reach up to %.1f.
  Only the means are shown; the codes are spread about them, image by image, so that all together fill N(0, 1)
  (the KL divergence is %.2f nats an image).]], mean > ae_mean and "better" or "no better", mean, ae_mean, centre[1],
  centre[2], result.spread, ae_centre[1], ae_centre[2], math.max(ae_top[1], ae_top[2]), result.kl)
local r, rows = {}, {}
for i, beta in ipairs{0.001, 0.1, 1} do
  r[i] = evaluate(trained(("vae2_beta%g"):format(beta), beta, o.sweep_epochs))
  rows[i] = {"beta " .. beta, ("%.4f"):format(r[i].mse), ("%.3f"):format(r[i].kl), ("%.3f"):format(r[i].spread)}
end
support.print_table(("Other betas, %d epochs each"):format(o.sweep_epochs), {"", "MSE", "KL", "spread"}, rows)
support.say([[A larger beta favours the KL term and pulls the means to zero, a smaller one lets them go apart: their
  spread is %.3f, %.3f and %.3f for beta 0.001, 0.1 and 1. Without the multiplier (beta 1) the pictures are %s: the MSE
  is %.3f instead of %.3f; one picture, the mean of all, would have %.3f.]], r[1].spread, r[2].spread, r[3].spread,
  r[3].mse > 1.1 * result.mse and "far worse" or "not much worse", r[3].mse, result.mse, support.variance(test))

-- (d) The grid over [-3, 3]^2, (e) and what can be recognised in it, beside the grid of exercise 5.
local function decoded(m, xs, ys) return lt.no_grad(function() return m:decode(support.grid(xs, ys)) end) end
local grid = decoded(model, axis, axis)
local ae_grid = decoded(ae, lt.linspace(0, ae_top[1], o.side):table(), lt.linspace(0, ae_top[2], o.side):table())
support.figure(plot.image_grid{
  images = grid, columns = o.side, x = axis, y = axis, title = "Decoded codes of the VAE",
  xlabel = "first latent number", ylabel = "second latent number",
}, "07_generator.png")
local classifier = support.load(models.classifier(), "classifier")
local sure, classes = support.readable(classifier, grid)
local ae_sure, ae_classes = support.readable(classifier, ae_grid)
support.say([[(e) The classifier is more than 90 %% sure of %d of the %d pictures here (%d classes), and of %d (%d
  classes) in the autoencoder's grid. The KL term fills the latent space around the origin %s, and no ReLU clips it.]],
  sure, #grid, classes, ae_sure, ae_classes, support.occupied(codes, axis))
