--- One VAE of exercises 9 and 10: trained with one beta (or a learned sigma), and measured in many ways.
--   latent sweep exercises/one_vae.lua --beta 1e-4,1e-3,0.01 --seed 1..3
local lt, data, optim = require "latent", require "latent.data", require "latent.optim"
local vae, experiment, metrics = require "latent.vae", require "latent.experiment", require "latent.metrics"
local models = require "exercises.models"

local e <close> = experiment.begin{
  options = {latent = {2, min = 1}, beta = {0.01, min = 0}, learn_sigma = false, lr = {4e-3, above = 0},
    final_lr = {0.0, min = 0}, epochs = {10, min = 1}, warmup = {0, "epochs in which beta grows", min = 0},
    batch = {64, min = 1}, valid = {5000, "training images kept apart, to choose with", min = 0}},
  recipes = {sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 50}},
}
local o, all, test = e.options, e:data()
local kept = math.min(o.valid, #all // 12)
local train = all:take(#all - kept)
local valid = kept > 0 and data.subset(all, lt.arange(#train + 1, #all))

-- With a learned sigma the loss is the negative ELBO, else the squared error + beta KL.
local model = e:seeded(models.vae, o.latent)
if o.learn_sigma then model.likelihood = vae.gaussian() end
local beta = o.learn_sigma and 1 or o.beta
e:train("vae", {model = model, optimizer = optim.Adam(model:parameters(), {lr = o.lr}), data = train,
  epochs = o.epochs, schedules = {lr = optim.schedule.cosine(o.lr, {epochs = o.epochs, floor = o.final_lr}),
    beta = optim.schedule.warmup(beta, {epochs = math.min(o.warmup, o.epochs * 3 // 4)})},
  loss = function(batch, now)
    local elbo = vae.elbo(model, batch.x, {beta = now.beta})
    return elbo.total, {mse = elbo.reconstruction, kl = elbo.kl}
  end})
model:eval()

-- The number of neighbours is chosen on the training images that were kept apart.
local known, k, best = model:codes(train), 1, -1
for _, candidate in ipairs{1, 5, 10, 20, 50, 100} do
  local accuracy = valid and candidate <= #train and metrics.accuracy(metrics.nearest(known, train.labels,
    model:codes(valid), {k = candidate}), valid.labels, {scale = 100})
  if accuracy and accuracy > best then k, best = candidate, accuracy end
end
local report = vae.report(model, test, {train = train, k = k, generator = lt.generator(o.seed)})
print(report)
for _, name in ipairs{"mse", "sampled_mse", "rate", "nll", "nll_error", "spread", "active_units",
  "within_prior", "knn_accuracy", "sigma"} do
  if report[name] then e:number(name, report[name]) end
end
e:number("knn1", (vae.knn_accuracy(known, train.labels, model:codes(test), test.labels)))
e:number("k", k)
if valid then e:number("valid_knn", best) end
-- Whatever the loss was, sigma^2 is the error of the sampled codes' pictures, or was learned: the beta that
-- it stands for.
e:number("own_beta", vae.beta_of_sigma(report.sigma, 1024))
