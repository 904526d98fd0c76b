--- Exercise 1: an autoencoder squeezes every digit through two numbers. How much of it comes out again?
--   lua5.4 exercises/01_autoencoder.lua [--seed 1]   expect a test MSE of 0.13 (--recipe sheet: to 0.185)
local lt, data, optim = require "latent", require "latent.data", require "latent.optim"
local plot, experiment, metrics = require "latent.plot", require "latent.experiment", require "latent.metrics"
local models, sheet = require "exercises.models", require "exercises.sheet"

local e <close> = experiment.begin{  -- options: name = {default, what it is, limits}; a recipe sets several
  options = {epochs = {20, min = 1}, batch = {64, min = 1}, lr = {4e-3, above = 0}, final_lr = {0.0, min = 0},
    warmup = {1, "epochs in which lr grows", min = 0}, starts = {4, "of which the best goes on", min = 0}},
  recipes = {sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 10, warmup = 0, starts = 0}, demo = sheet.demo()},
  weights = "weights", needs = {"classifier"}, pictures = "01_", answers = "ex1"}
local o, train, test = e.options, e:data()    -- [60000, 32, 32, 1], [10000, 32, 32, 1], pixels in [-1, 1]
local names, ten = test.classes, data.examples(test)                           -- [10, 32, 32, 1], one a class
local theirs = sheet.numbers("ex1", e, names)   -- for each of our numbers its label, and what the sheet has

-- Minimise the mean squared error between an image and its reconstruction.
local function mse(model, x)
  -- (task) Return the mean squared error between the images x and what the model makes of them.
  return lt.mse_loss(model(x), x) -- (end)
end
local function average(model, set) return data.average(set, function(x) return mse(model, x) end) end
local function trained(name, model, set, epochs)
  local opt = optim.Adam(model:parameters(), {lr = o.lr})
  local lr = optim.schedule.cosine(o.lr, {epochs = epochs, floor = o.final_lr})
  local run = e:run(name, {model = model, optimizer = opt, data = set, epochs = epochs,
    schedules = {lr = optim.schedule.warmup(lr, {epochs = o.warmup})},
    validate = function() return {test_mse = average(model, test)} end})
  for batch in run:batches() do
    -- (task) A step of training on batch.x: clear the gradients, compute `loss`, its gradients, and step.
    opt:zero_grad()
    local loss = mse(model, batch.x)
    loss:backward()
    opt:step() -- (end)
    run:note{loss = loss}
  end
  return model
end

-- A ReLU that is zero for every image stays so: such a model learns only the mean image. Often that shows at
-- once, and the weights are drawn again; else in the first steps, more so at a high learning rate: that grows
-- slowly, several models start on a third of the images, and the one that errs least there goes on.
local function drawn()
  local model = models.autoencoder()                        -- [n, 32, 32, 1] -> code [n, 2] -> [n, 32, 32, 1]
  local codes = lt.no_grad(function() return model:encode(train:batch(lt.arange(256))) end)     -- [256, 2]
  return codes:max(1):min():item() > 0 and model or drawn()
end
local model, third, least = drawn(), train:take(#train // 3), math.huge
for i = 1, o.reuse and 0 or o.starts do                -- with --reuse nothing is trained: weights are read
  local start = trained("start" .. i, drawn(), third, 1)
  local error = average(start, third)
  if error < least then model, least = start, error end
end
print(model:summary{o.batch, 32, 32, 1})
trained("autoencoder", model, train, o.epochs)

local log = e:log "autoencoder"
e:figure("loss", plot.lines{{y = log.train_loss, label = "training"},
  {y = log.test_mse, label = "test", dashed = true}, title = "Autoencoder: reconstruction loss",
  xlabel = "epoch", ylabel = "mean squared error", markers = true, width = 640, height = 440},
  "The error after each epoch, over the training and the test images.")
e:figure("reconstructions", plot.image_rows{rows = {{label = "input", images = ten},
  {label = "output", images = model:pictures(model:encode(ten))}}, titles = names,
  title = "Ten test images and their reconstructions"},
  "Above the images, below what the decoder makes of their two numbers.")

-- How much comes through: the error, and how many pictures exercise 4's classifier reads as their class.
local first, last, test_mse = log.train_loss[1], log.train_loss[#log.train_loss], average(model, test)
local pixels = data.apply(test, function(x) return x end)
local mean_image = (pixels - pixels:mean(1)):square():mean():item()
local classifier = e:weights("classifier", models.classifier())
local seen = data.apply(test, function(x) return models.read(classifier, model(x)) end)
local kept, mean = metrics.per_class(seen, test.labels, {scale = 100, classes = #names})
e:table("Read as their class, %", {"", "mean", table.unpack(names)}, {{"kept", mean, table.unpack(kept)}})
for _, n in ipairs{{"train_loss", last}, {"test_mse", test_mse}} do e:number(n[1], n[2], theirs[n[1]]) end
e:claim(last < first, "the training loss falls", "from %.3f to %.3f in %d epochs", first, last, o.epochs)
e:claim(test_mse < 0.95 * mean_image, "more is learnt than the mean of all images",
  "test MSE %.3f, the mean image's %.3f", test_mse, mean_image)
e:claim(math.min(kept[1], kept[2]) > mean, ("%s and %s come through better than most"):format(names[1],
  names[2]), "%.0f %% and %.0f %% keep their class, %.0f %% on average", kept[1], kept[2], mean)
e:claim(mean < 90, "two numbers do not tell all ten classes apart", "%.0f %% keep their class", mean)
