--- Exercise 3: classify a test image by the nearest training code.
--   lua5.4 exercises/03_nearest_neighbour.lua      expect a mean of about 53 % (sheet recipe: 29 to 40)
local lt = require "latent"
local plot = require "latent.plot"
local models, support = require "exercises.models", require "exercises.support"

local o = support.options()
local train, test = support.data(o)
local model = support.load(models.autoencoder(), "autoencoder")
local names = support.classes(o)

local function encode(x) return model:encode(x) end
local train_codes, codes = support.map(train, encode), support.map(test, encode)
local clock = lt.clock()
local answers = support.nearest_labels(train_codes, train.labels, codes)
local seconds = lt.clock() - clock
local accuracy, mean = support.accuracy(answers, test.labels)
local SHEET = {70.2, 93.4, 27.4, 22.1, 22.9, 14.9, 28.4, 28.2, 22.4, 24.1, mean = 35.4}

support.answer{["ex3.accuracy"] = accuracy, ["ex3.mean"] = mean}
support.compare("(a) Nearest-neighbour accuracy in the latent space, %", names, accuracy, mean, "the sheet's", SHEET)
support.figure(plot.bars{
  {values = accuracy, label = "ours"}, support.has_sheet() and {values = SHEET, label = "answer sheet"} or nil,
  names = names,
  title = "Nearest-neighbour accuracy in the latent space", xlabel = "class", ylabel = "% right", yrange = {0, 100},
  width = 640, height = 440,
}, "03_accuracy.png")

local ranked = support.ranked(accuracy, names)
support.say("%d codes were looked up among %d in %.2f s.", #test, #train, seconds)
support.say("(b) Ten classes of equal size make chance 10 %%; the mean here is %.1f %%. %s (%.1f %%) and %s "
  .. "(%.1f %%) are recognised best, %.1f and %.1f times as often as by chance, %s is worst with %.1f %%: the further "
  .. "a cluster lies from the others, the more seldom is a neighbour of another class the nearest.", mean,
  ranked[1].name, ranked[1].value, ranked[2].name, ranked[2].value, ranked[1].value / 10, ranked[2].value / 10,
  ranked[10].name, ranked[10].value)
support.say("(c) A network that is to classify would be trained with the categorical cross-entropy, the negative "
  .. "log-probability of the right class, which is what exercise 4 does; the mean squared error of a picture, used "
  .. "here, never sees a label.")
