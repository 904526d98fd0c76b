--- Exercise 1: train the autoencoder. How well do the digits come through two numbers?
--   lua5.4 exercises/01_autoencoder.lua            expect a test MSE of about 0.14
--   lua5.4 exercises/01_autoencoder.lua --recipe sheet         ... of 0.16 to 0.185
local lt, data, optim = require "latent", require "latent.data", require "latent.optim"
local plot, progress = require "latent.plot", require "latent.progress"
local models, support = require "exercises.models", require "exercises.support"

local o = support.options{
  batch = 64,
  recipes = {default = {lr = 2e-3, final_lr = 0, epochs = 10}, sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 10}},
}
local train, test = support.data(o)
local model = models.autoencoder()

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
  print(("weights redrawn %d times because a latent unit was dead"):format(redrawn))
  print(model:summary{o.batch, 32, 32, 1})

  local loader = data.loader(train, {batch = o.batch, seed = o.seed})
  local steps = o.epochs * #loader
  local lr = optim.schedule.cosine(o.lr, {steps = steps, floor = o.final_lr})
  local opt = optim.Adam(model:parameters(), {lr = o.lr})
  local log = support.log "autoencoder"
  local bar <close> = progress.new{label = "autoencoder", epochs = o.epochs, steps = #loader}
  for epoch = 1, o.epochs do
    local sum = 0
    for batch in loader do
      opt.lr = lr(opt.steps + 1)
      opt:zero_grad()
      local loss = lt.mse_loss(model(batch.x), batch.x)
      loss:backward()
      opt:step()
      sum = sum + loss:item() * #batch.y
      bar:step(loss:item())
    end
    local entry = {epoch = epoch, train_loss = sum / #train, test_mse = test_mse(), lr = opt.lr}
    log(entry)
    bar:epoch("train %.4f  test %.4f", entry.train_loss, entry.test_mse)
  end
  support.save(model, "autoencoder")
end

local log = support.read_log "autoencoder"
support.figure(plot.lines{
  {y = support.column(log, "train_loss"), label = "training"},
  {y = support.column(log, "test_mse"), label = "test", dashed = true},
  title = "Autoencoder: reconstruction loss", xlabel = "epoch", ylabel = "mean squared error", markers = true,
}, "01_loss.png")

local examples = data.examples(test)
local output = lt.no_grad(function() return model(examples) end)
support.figure(plot.image_rows{
  rows = {{label = "input", images = examples}, {label = "output", images = output}},
  titles = support.classes(o), title = "Ten test images and their reconstructions",
}, "01_reconstructions.png")

-- Which classes come through? The classifier of exercise 4 reads the reconstructions of all test images.
local classifier = support.load(models.classifier(), "classifier")
local seen = support.classify(classifier, support.map(test, function(x) return model(x) end))
local kept = support.accuracy(seen, test.labels)
local mse, first, last = test_mse(), log[1].train_loss, log[#log].train_loss
support.answer{["ex1.train_loss"] = last, ["ex1.test_mse"] = mse}
support.print_table("Reconstructions still read as their class, %", {"", table.unpack(support.classes(o))},
  {{"kept", table.unpack(kept)}})
local ranked = support.ranked(kept, support.classes(o))
support.say("The training loss falls from %.3f in the first epoch to %.3f; the test MSE is %.3f. Best kept "
  .. "are %s (%.0f %%) and %s (%.0f %%); worst is %s (%.0f %%): two numbers are not enough to tell all ten "
  .. "classes apart, and what is not told apart comes out as a blur of several.", first, last, mse,
  ranked[1].name, ranked[1].value, ranked[2].name, ranked[2].value, ranked[10].name, ranked[10].value)
