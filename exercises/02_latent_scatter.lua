--- Exercise 2: every test image as a point. Which classes form clusters in the autoencoder's latent space?
--   lua5.4 exercises/02_latent_scatter.lua
local lt, plot = require "latent", require "latent.plot"
local experiment, metrics = require "latent.experiment", require "latent.metrics"
local models, sheet = require "exercises.models", require "exercises.sheet"

local e <close> = experiment.begin{recipes = {demo = sheet.demo()}, weights = "weights", pictures = "02_"}
local _, test = e:data()
local model, names = e:weights("autoencoder", models.autoencoder()), test.classes

-- (a) All codes, one colour a class.
local codes = model:codes(test)                                                                   -- [n, 2]
e:figure("latent_scatter", plot.scatter{points = codes, labels = test.labels, names = names,
  title = "Latent space of the autoencoder", xlabel = "first latent number", ylabel = "second latent number"},
  "Each point is a test image, its colour the class.")

-- (b) Two classes overlap where the nearest other point of the one belongs to the other.
-- (task) `other`, [n]: for each point the place, from 1, of the nearest point that is not itself. lt.knn may
-- find the point itself first.
local nearest = lt.knn(codes, codes, 2):transpose()                                               -- [2, n]
local is_itself = nearest[1]:eq(lt.arange(#test))
local other = nearest[1] * (1 - is_itself) + nearest[2] * is_itself
-- (end)
local labels = test.labels:float()
local counts = metrics.confusion(labels:gather_rows(other), labels, {classes = #names})           -- [10, 10]
local total, mixed = counts:sum(2):table(), counts:table()   -- mixed[a][b]: points of a whose nearest is of b
local same, pairs_of = {}, {}
for a, row in ipairs(mixed) do same[a] = 100 * row[a] / total[a] end
for a = 1, #names do
  for b = a + 1, #names do
    local share = 100 * (mixed[a][b] + mixed[b][a]) / (total[a] + total[b])
    pairs_of[#pairs_of + 1] = {a = a, b = b, share = share}
  end
end
table.sort(pairs_of, function(p, q) return p.share > q.share end)
e:table("Points whose nearest other point is of the same class, %", {"", table.unpack(names)},
  {{"same class", table.unpack(same)}})
local rows = {}
for i = 1, 5 do rows[i] = {names[pairs_of[i].a] .. " and " .. names[pairs_of[i].b], pairs_of[i].share} end
e:table("The pairs that mix most: points whose nearest is of the other class, %", {"", "mixed"}, rows)

local others = 0
for class = 3, #names do others = others + same[class] / (#names - 2) end
e:claim(math.min(same[1], same[2]) > others, ("(b) %s and %s form clearer clusters than the average class")
  :format(names[1], names[2]), "%.0f %% and %.0f %% of their points have a neighbour of their own class, of"
  .. " the others' %.0f %%", same[1], same[2], others)
for rank, p in ipairs(pairs_of) do
  if e.options.data ~= "fashion" and p.a == 1 and p.b == 7 then                               -- digits 0, 6
    e:claim(rank < #pairs_of / 2, "0 and 6, which both have a closed loop, mix more than most pairs",
      "%.1f %% of their points; rank %d of %d", p.share, rank, #pairs_of)
  end
end

-- (c) Why points lie on the axes.
local on_axis, least = 100 * codes:eq(0):max(2):mean():item(), codes:min():item()
e:claim(on_axis > 0 and least == 0, "(c) the ReLU that makes the code clips what is below zero: points lie on"
  .. " the axes", "%.2f %% of them; the smallest number is %g", on_axis, least)
