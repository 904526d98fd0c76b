--- One training of exercise 9, a process of its own: trains a VAE with one beta and measures it.
--   lua5.4 exercises/beta_run.lua --latent 2 --beta 0.001 --name trial
-- Weights, log and measurements are written to runs/beta/<name>.*; exercise 9 starts many of these side by side.
local lt, vae = require "latent", require "latent.vae"
local json = require "latent.json"
local files = require "latent.files"
local models, support = require "exercises.models", require "exercises.support"
local train_vae = require "exercises.train_vae"

local o = support.options{
  batch = 64, latent = 2, beta = 0.01, learn_sigma = false, valid = 5000, name = "trial", demo = false,
  recipes = {
    default = {lr = 4e-3, final_lr = 0.0, epochs = 10, warmup_epochs = 0},
    sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 50, warmup_epochs = 0},
  },
}
-- The last training images are kept for choosing: beta, and the number of neighbours.
local all, test = support.data(o)
local train, valid = support.split(all, o.valid)

local model = models.vae(o.latent)
if o.learn_sigma then -- then the loss is the negative ELBO
  model.likelihood, o.beta = vae.gaussian(), 1
end
train_vae(model, train, o, function(m, x, beta)
  local elbo = vae.elbo(m, x, {beta = beta})
  return elbo.total, elbo.reconstruction, elbo.kl
end, o.beta, o.epochs, "beta/" .. o.name)
model:eval()

local function codes(set) return support.map(set, function(x) return (model:encode(x)) end) end
local known, asked = codes(train), codes(valid)
local k, best = 1, -1
for _, candidate in ipairs{1, 5, 10, 20, 50, 100} do
  local accuracy = candidate <= #train and vae.knn_accuracy(known, train.labels, asked, valid.labels, {k = candidate})
  if accuracy and accuracy > best then k, best = candidate, accuracy end
end
local report = vae.report(model, test, {train = train, k = k, generator = lt.generator(o.seed)})
local result = {valid_knn = best, k = k,
  knn1 = vae.knn_accuracy(known, train.labels, codes(test), test.labels), settings = support.settings(o)}
for name, value in pairs(report) do result[name] = lt.is_tensor(value) and value:table() or value end
-- Whatever the loss was, sigma^2 is the error of the sampled codes' pictures, or was learned: the beta it stands for.
result.own_beta = vae.beta_of_sigma(report.sigma, 1024)
assert(files.write_atomic(support.path("runs", ("beta/%s.json"):format(o.name)), json.encode(result, {indent = 2})))
print(report)
