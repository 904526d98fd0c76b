--- Exercise 4: the same encoder with one dense layer, trained to classify. How much better is it?
--   lua5.4 exercises/04_classifier.lua     expect a mean accuracy of 99.1 % (sheet recipe: 96.4 to 97.7)
local lt, data, optim = require "latent", require "latent.data", require "latent.optim"
local plot, experiment, metrics = require "latent.plot", require "latent.experiment", require "latent.metrics"
local models, sheet = require "exercises.models", require "exercises.sheet"

local e <close> = experiment.begin{
  options = {epochs = {10, min = 1}, batch = {64, min = 1}, lr = {2e-3, above = 0},
    final_lr = {0.0, min = 0}},
  recipes = {sheet = {lr = 1e-4, final_lr = 1e-4}, demo = sheet.demo()},
  weights = "weights", pictures = "04_", answers = "ex4"}
local o, train, test = e.options, e:data()    -- [60000, 32, 32, 1], [10000, 32, 32, 1], pixels in [-1, 1]
local model, names = models.classifier(), test.classes                     -- [n, 32, 32, 1] -> logits [n, 10]
local theirs = sheet.numbers("ex4", e, names)   -- for each of our numbers its label, and what the sheet has
print(model:summary{o.batch, 32, 32, 1})

-- Minimise the cross-entropy: the negative log-probability of the right class.
local function cross_entropy(x, y)
  -- (task) Return the cross-entropy between what the model says of the images x and the labels y: a number.
  return lt.cross_entropy(model(x), y)
  -- (end)
end
local opt = optim.Adam(model:parameters(), {lr = o.lr})
local run = e:run("classifier", {model = model, optimizer = opt, data = train, epochs = o.epochs,
  schedules = {lr = optim.schedule.cosine(o.lr, {epochs = o.epochs, floor = o.final_lr})},
  validate = function() return {test_loss = data.average(test, cross_entropy)} end})
for batch in run:batches() do
  -- (task) A step of training on batch.x, batch.y: clear the gradients, compute `loss`, its gradients, step.
  opt:zero_grad()
  local loss = cross_entropy(batch.x, batch.y)
  loss:backward()
  opt:step()
  -- (end)
  run:note{loss = loss}
end

local log = e:log "classifier"
e:figure("loss", plot.lines{{y = log.train_loss, label = "training"},
  {y = log.test_loss, label = "test", dashed = true}, title = "Classifier: loss", xlabel = "epoch",
  ylabel = "cross-entropy (nats)", markers = true, width = 640, height = 440},
  "The cross-entropy after each epoch, over the training and the test images.")

-- (a) Accuracy for each class.
local seen = data.apply(test, function(x) return models.read(model, x) end)
local accuracy, mean = metrics.per_class(seen, test.labels, {scale = 100, classes = #names})
local function ends_of(curve) return curve[1], curve[#curve] end
local first, last = ends_of(log.train_loss)
e:number("accuracy", accuracy, theirs.accuracy)
e:number("train_ce", last, theirs.train_ce)
e:number("test_ce", data.average(test, cross_entropy), theirs.test_ce)
e:number("mean", mean, theirs.mean)

-- (b) What the curves say.
local test_first, test_last = ends_of(log.test_loss)
local lowest, guessing = math.min(table.unpack(log.test_loss)), math.log(#names)
e:claim(last < first and test_last < test_first, "(b) training and test loss fall together",
  "from %.3f to %.3f and from %.3f to %.3f nats", first, last, test_first, test_last)
e:claim(last < 0.25 * guessing, "the network does not underfit: it does far better than guessing",
  "%.3f nats on its training images, guessing costs %.2f", last, guessing)
e:claim(test_last < 1.05 * lowest, "it does not overfit: the test loss ends where it is lowest",
  "%.4f nats at the end, %.4f at its lowest", test_last, lowest)
e:text[[(c) Against underfitting: more capacity (more channels or layers) or longer training. Against
  overfitting: regularisation (weight decay, dropout, more or augmented data) or stopping when the test loss
  is lowest.]]
