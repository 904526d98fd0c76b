--- Exercise 4: the encoder with a dense layer, trained to classify.
--   lua5.4 exercises/04_classifier.lua             expect a mean accuracy of about 98.8 % (sheet recipe: 96.4 to 97.7)
local lt, data, optim = require "latent", require "latent.data", require "latent.optim"
local plot, progress = require "latent.plot", require "latent.progress"
local models, support = require "exercises.models", require "exercises.support"

local o = support.options{
  batch = 64,
  recipes = {default = {lr = 2e-3, final_lr = 0, epochs = 10}, sheet = {lr = 1e-4, final_lr = 1e-4, epochs = 10}},
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
  local log = support.log "classifier"
  local bar <close> = progress.new{label = "classifier", epochs = o.epochs, steps = #loader}
  for epoch = 1, o.epochs do
    local sum = 0
    for batch in loader do
      opt.lr = lr(opt.steps + 1)
      opt:zero_grad()
      local loss = lt.cross_entropy(model(batch.x), batch.y)
      loss:backward()
      opt:step()
      sum = sum + loss:item() * #batch.y
      bar:step(loss:item())
    end
    local entry = {epoch = epoch, train_loss = sum / #train, test_loss = test_loss(), lr = opt.lr}
    log(entry)
    bar:epoch("train %.4f  test %.4f", entry.train_loss, entry.test_loss)
  end
  support.save(model, "classifier")
end

local log = support.read_log "classifier"
support.figure(plot.lines{
  {y = support.column(log, "train_loss"), label = "training"},
  {y = support.column(log, "test_loss"), label = "test", dashed = true},
  title = "Classifier: loss", xlabel = "epoch", ylabel = "cross-entropy (nats)", markers = true,
}, "04_loss.png")

-- (a) Accuracy per class.
local seen = support.map(test, function(x) return model(x):argmax(2) - 1 end)
local accuracy, mean = support.accuracy(seen, test.labels)
local SHEET = {98.7, 99.1, 96.5, 97.4, 96.3, 97.4, 97.1, 96.6, 96.6, 95.5, mean = 97.1}
local train_ce, test_ce = log[#log].train_loss, test_loss()
support.answer{["ex4.accuracy"] = accuracy, ["ex4.mean"] = mean, ["ex4.train_ce"] = train_ce, ["ex4.test_ce"] = test_ce}
support.print_table("(a) Accuracy of the classifier, %", {"", "mean", table.unpack(names)},
  {{"ours", mean, table.unpack(accuracy)}, {"the sheet's", SHEET.mean, table.unpack(SHEET)}})

-- (b) and (c): what the curves say.
local lowest = math.huge
for _, entry in ipairs(log) do lowest = math.min(lowest, entry.test_loss) end
local final = log[#log].test_loss
local verdict = final > 1.05 * lowest and "the test loss has passed its minimum and rises again: the network overfits"
  or final > 1.5 * train_ce and "the test loss is at its lowest at the end, but the training loss falls below it: the "
  .. "capacity suffices, and the network begins to learn its training images by heart without yet losing by it"
  or "both fall together to nearly the same value: neither under- nor overfitting, the capacity is about right"
support.say("(b) The training loss ends at %.4f, the test loss at %.4f (its lowest value: %.4f): %s.",
  train_ce, final, lowest, verdict)
support.say("(c) Against underfitting: more capacity (more channels or layers) or longer training. Against "
  .. "overfitting: regularisation (weight decay, dropout, more or augmented data) or stopping at the lowest test loss.")
