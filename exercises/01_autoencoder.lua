--- Exercise 1: train the autoencoder. How well do the digits come through two numbers?
--   lua5.4 exercises/01_autoencoder.lua            expect a test MSE of about 0.14
--   lua5.4 exercises/01_autoencoder.lua --recipe sheet         ... of 0.16 to 0.185
local lt, data, optim = require "latent", require "latent.data", require "latent.optim"
local figures, models, support = require "exercises.figures", require "exercises.models", require "exercises.support"

local o = support.options{
  batch = 64, needs = {"classifier"},
  recipes = {default = {lr = 2e-3, final_lr = 0.0, epochs = 10}, sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 10}},
}
local train, test = support.data(o)
local model, names = models.autoencoder(), support.classes(o)

local function test_mse()
  return support.mean_over(test, function(x) return lt.mse_loss(model(x), x) end)
end

if o.demo then
  support.load(model, "autoencoder")
else
  -- A ReLU that is zero for every image stays so: such a start learns only the mean image. It can be
  -- seen before training, so the weights are drawn again until both numbers live.
  local function is_dead()
    local codes = lt.no_grad(function() return model:encode(train:batch(lt.arange(256))) end)
    return codes:max(1):min():item() == 0
  end
  local redrawn = 0
  while is_dead() do
    redrawn = redrawn + 1
    model = models.autoencoder()
  end
  print(("starts with a dead latent unit, whose weights were drawn again: %d"):format(redrawn))
  print(model:summary{o.batch, 32, 32, 1})

  local loader = data.loader(train, {batch = o.batch, seed = o.seed})
  local lr = optim.schedule.cosine(o.lr, {steps = o.epochs * #loader, floor = o.final_lr})
  local opt = optim.Adam(model:parameters(), {lr = o.lr})
  local run = support.run("autoencoder", {model = model, optimizer = opt, loader = loader, epochs = o.epochs,
    schedules = {lr = lr}, validate = function() return {test_mse = test_mse()} end})
  for batch in run:batches() do
    opt:zero_grad()
    local loss = lt.mse_loss(model(batch.x), batch.x)
    loss:backward()
    opt:step()
    run:note{loss = loss}
  end
  support.finish(run)
end

local log = support.read_log "autoencoder"
figures.curves("01_loss.png", "Autoencoder: reconstruction loss", "mean squared error", log,
  {{"train_loss", "training"}, {"test_mse", "test"}})
local examples = data.examples(test)
local output = lt.no_grad(function() return model(examples) end)
figures.rows("01_reconstructions.png", "Ten test images and their reconstructions", names,
  {{"input", examples}, {"output", output}})

-- Which classes come through? The classifier of exercise 4 reads the reconstructions of all test images.
local classifier = support.load(models.classifier(), "classifier")
local seen = support.classify(classifier, support.map(test, function(x) return model(x) end))
local kept, mean = support.accuracy(seen, test.labels)
local mse, mean_image = test_mse(), support.variance(test)
support.answer{["ex1.train_loss"] = log[#log].train_loss, ["ex1.test_mse"] = mse}
support.print_table("Reconstructions still read as their class, %", {"", "mean", table.unpack(names)},
  {{"kept", mean, table.unpack(kept)}})
local ranked = support.ranked(kept, names)
local other, share = support.mistaken(seen, test.labels, ranked[10].index - 1)
support.say("The training loss %s. The test MSE is %.3f; the mean image alone would have %.3f%s.",
  support.course(log, "train_loss"), mse, mean_image,
  mse > 0.95 * mean_image and ": nothing beyond that image has been learnt" or "")
support.say("Best kept are %s (%.0f %%) and %s (%.0f %%), worst is %s (%.0f %%): its reconstructions are most often "
  .. "mistaken for %s (%.0f %%). %s", ranked[1].name, ranked[1].value, ranked[2].name, ranked[2].value,
  ranked[10].name, ranked[10].value, names[other + 1], share, mean < 90
  and "This code of two numbers does not tell all ten classes apart, and what it does not tell apart comes out alike."
  or "Two numbers are enough here to keep most images in their class.")
