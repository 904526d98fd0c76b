--- Exercise 4: the encoder with a dense layer, trained to classify.
--   lua5.4 exercises/04_classifier.lua             expect a mean accuracy of about 99.1 % (sheet recipe: 96.4 to 97.7)
local lt, data, optim = require "latent", require "latent.data", require "latent.optim"
local figures, models, support = require "exercises.figures", require "exercises.models", require "exercises.support"

local o = support.options{
  batch = 64,
  recipes = {default = {lr = 2e-3, final_lr = 0.0, epochs = 10}, sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 10}},
}
local train, test = support.data(o)
local model = models.classifier()
local names = support.classes(o)

local function test_loss()
  return support.mean_over(test, function(x, y) return lt.cross_entropy(model(x), y) end)
end

if o.demo then
  support.load(model, "classifier")
else
  print(model:summary{o.batch, 32, 32, 1})
  local loader = data.loader(train, {batch = o.batch, seed = o.seed})
  local lr = optim.schedule.cosine(o.lr, {steps = o.epochs * #loader, floor = o.final_lr})
  local opt = optim.Adam(model:parameters(), {lr = o.lr})
  local run = support.run("classifier", {model = model, optimizer = opt, loader = loader, epochs = o.epochs,
    schedules = {lr = lr}, validate = function() return {test_loss = test_loss()} end})
  for batch in run:batches() do
    opt:zero_grad()
    local loss = lt.cross_entropy(model(batch.x), batch.y)
    loss:backward()
    opt:step()
    run:note{loss = loss}
  end
  support.finish(run)
end

local log = support.read_log "classifier"
figures.curves("04_loss.png", "Classifier: loss", "cross-entropy (nats)", log,
  {{"train_loss", "training"}, {"test_loss", "test"}})

-- (a) Accuracy per class.
local seen = support.map(test, function(x) return model(x):argmax(2) - 1 end)
local accuracy, mean = support.accuracy(seen, test.labels)
local SHEET = {98.7, 99.1, 96.5, 97.4, 96.3, 97.4, 97.1, 96.6, 96.6, 95.5, mean = 97.1}
support.answer{["ex4.accuracy"] = accuracy, ["ex4.mean"] = mean, ["ex4.train_ce"] = log[#log].train_loss,
  ["ex4.test_ce"] = test_loss()}
support.compare("(a) Accuracy of the classifier, %", names, accuracy, mean, "the sheet's", SHEET)

-- (b) and (c): what the curves say.
local function verdict()
  if #log == 1 then return "One epoch cannot tell: under- and overfitting show in the course of both losses." end
  local last, before, best = log[#log], log[#log - 1], log[1]
  for _, entry in ipairs(log) do if entry.test_loss < best.test_loss then best = entry end end
  local fall, ratio = 100 * (1 - last.train_loss / before.train_loss), last.test_loss / last.train_loss
  local above = 100 * (last.test_loss / best.test_loss - 1)
  if last.train_loss > 1 then
    return ("The network underfits: guessing costs %.2f nats, it still pays more than 1."):format(math.log(10))
  elseif above > 5 and last.train_loss < best.train_loss then
    return ("The network overfits: the test loss was lowest in epoch %d and is %.0f %% higher now, while the "
      .. "training loss went on falling."):format(best.epoch, above)
  elseif ratio > 1.5 then
    return ("The capacity suffices: the test loss is %s. But it is %.1f times the training loss, so the network begins "
      .. "to learn its training images by heart, without yet losing by it."):format(best == last
      and "at its lowest in the last epoch" or ("%.1f %% above its lowest value"):format(above), ratio)
  elseif fall > 10 then
    return ("The network still underfits: its training loss fell by %.0f %% in the last epoch alone and the test "
      .. "loss stays close to it; longer training would help."):format(fall)
  end
  return ("Neither under- nor overfitting: the test loss ends at %.2f times the training loss, and that fell by only "
    .. "%.1f %% in the last epoch; the capacity is about right."):format(ratio, fall)
end
support.say("(b) The training loss %s, the test loss %s. %s", support.course(log, "train_loss"),
  support.course(log, "test_loss"), verdict())
support.say("(c) Against underfitting: more capacity (more channels or layers) or longer training. Against "
  .. "overfitting: regularisation (weight decay, dropout, more or augmented data) or stopping at the lowest test loss.")
