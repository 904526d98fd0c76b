--- Exercise 4: the same encoder with one dense layer, trained to classify. How much better does it know the digits?
--   lua5.4 exercises/04_classifier.lua         expect a mean accuracy of about 99.1 % (sheet recipe: 96.4 to 97.7)
local lt, data, optim, plot = require "latent", require "latent.data", require "latent.optim", require "latent.plot"
local experiment, metrics = require "latent.experiment", require "latent.metrics"
local models, sheet = require "exercises.models", require "exercises.sheet"

local e <close> = experiment.begin{
  options = {epochs = {10, min = 1}, batch = {64, min = 1}, lr = {2e-3, above = 0}, final_lr = {0.0, min = 0}},
  recipes = {sheet = {lr = 1e-4, final_lr = 1e-4}, demo = sheet.demo()},
  weights = "weights", pictures = "04_", answers = "ex4",
}
local o, train, test = e.options, e:data()              -- [60000, 32, 32, 1], [10000, 32, 32, 1], pixels in [-1, 1]
local model, names = models.classifier(), test.classes  -- [n, 32, 32, 1] -> logits [n, 10]
local theirs = sheet.of("ex4", e, names)
print(model:summary{o.batch, 32, 32, 1})

-- Minimise the cross-entropy: the negative log-probability of the right class.
local function cross_entropy(x, y) return lt.cross_entropy(model(x), y) end
local opt = optim.Adam(model:parameters(), {lr = o.lr})
local run = e:run("classifier", {model = model, optimizer = opt, data = train, epochs = o.epochs,
  schedules = {lr = optim.schedule.cosine(o.lr, {epochs = o.epochs, floor = o.final_lr})},
  validate = function() return {test_loss = data.average(test, cross_entropy)} end})
for batch in run:batches() do
  opt:zero_grad()
  local loss = cross_entropy(batch.x, batch.y)
  loss:backward()
  opt:step()
  run:note{loss = loss}
end

local log = e:log "classifier"
e:figure("loss", plot.lines{{y = log.train_loss, label = "training"}, {y = log.test_loss, label = "test", dashed = true},
  title = "Classifier: loss", xlabel = "epoch", ylabel = "cross-entropy (nats)", markers = true, width = 640,
  height = 440}, "The cross-entropy after each epoch, over the training and the test images.")

-- (a) Accuracy for each class.
local seen = data.apply(test, function(x) return model(x):argmax(2) - 1 end)
local accuracy, mean = metrics.per_class(seen, test.labels, {scale = 100, classes = #names})
local first, last, test_loss = log.train_loss[1], log.train_loss[#log.train_loss], data.average(test, cross_entropy)
e:number("accuracy", accuracy, theirs.accuracy)
e:number("train_ce", last, theirs.train_ce)
e:number("test_ce", test_loss, theirs.test_ce)
e:number("mean", mean, theirs.mean)

-- (b) What the curves say.
local lowest, guessing = math.min(table.unpack(log.test_loss)), math.log(10)
e:claim(last < first and log.test_loss[#log.test_loss] < log.test_loss[1], "(b) training and test loss fall together",
  "from %.3f to %.3f and from %.3f to %.3f nats in %d epochs", first, last, log.test_loss[1],
  log.test_loss[#log.test_loss], #log.train_loss)
e:claim(last < 0.25 * guessing, "the network does not underfit: it is far better than guessing on what it was trained with",
  "%.3f nats, guessing costs %.2f", last, guessing)
e:claim(log.test_loss[#log.test_loss] < 1.05 * lowest, "it does not overfit: the test loss ends where it is lowest",
  "%.4f nats at the end, %.4f at its lowest", log.test_loss[#log.test_loss], lowest)
e:text[[(c) Against underfitting: more capacity (more channels or layers) or longer training. Against overfitting:
  regularisation (weight decay, dropout, more or augmented data) or stopping at the lowest test loss.]]
