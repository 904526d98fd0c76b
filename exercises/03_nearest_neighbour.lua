--- Exercise 3: the nearest training code names the digit. How far does that come with two numbers?
--   lua5.4 exercises/03_nearest_neighbour.lua            expect a mean of 60 to 75 % (sheet recipe: 29 to 40)
local plot, experiment, metrics = require "latent.plot", require "latent.experiment", require "latent.metrics"
local models, sheet = require "exercises.models", require "exercises.sheet"

local e <close> = experiment.begin{recipes = {demo = sheet.demo()}, weights = "weights", pictures = "03_",
  answers = "ex3"}
local train, test = e:data()
local names = test.classes
local theirs = sheet.numbers("ex3", e, names)   -- for each of our numbers its label, and what the sheet has
local model = e:weights("autoencoder", models.autoencoder())

-- For each test code the training code at the least Euclidean distance; its label is the answer.
-- (task) `answers`, [n]: for the code of each test image the label of the nearest training code's image.
local answers = metrics.nearest(model:codes(train), train.labels, model:codes(test))
-- (end)
local accuracy, mean = metrics.per_class(answers, test.labels, {scale = 100, classes = #names})

-- (a) The accuracy for each class.
e:figure("accuracy", plot.bars{{values = accuracy, label = "ours"},
  theirs.accuracy.reference and {values = theirs.accuracy.reference, label = "answer sheet"},   -- for digits
  names = names, title = "Nearest-neighbour accuracy in the latent space", xlabel = "class",
  ylabel = "% right", yrange = {0, 100}, width = 640, height = 440},
  "How often the nearest training code is of the right class; chance would be 10 %.")
e:number("accuracy", accuracy, theirs.accuracy)
e:number("mean", mean, theirs.mean)

-- (b) Against chance: ten classes of equal size.
e:claim(mean > 10, "(b) the mean is above chance", "%.1f %% against 10 %%", mean)
e:claim(math.min(accuracy[1], accuracy[2]) > mean, names[1] .. " and " .. names[2] .. ", whose clusters lie"
  .. " apart, are recognised best", "%.1f %% and %.1f %%, the mean %.1f %%", accuracy[1], accuracy[2], mean)
e:text[[(c) A network that is to classify would be trained with the categorical cross-entropy, the negative
  log-probability of the right class, which is what exercise 4 does; the mean squared error of a picture, used
  here, never sees a label.]]
