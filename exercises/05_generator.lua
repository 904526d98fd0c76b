--- Exercise 5: a grid of codes, decoded. Is the autoencoder's decoder a generator of digits?
--   lua5.4 exercises/05_generator.lua
local lt, data = require "latent", require "latent.data"
local plot, experiment = require "latent.plot", require "latent.experiment"
local models, sheet = require "exercises.models", require "exercises.sheet"

local e <close> = experiment.begin{options = {side = {15, "pictures along each axis", min = 2}},
  recipes = {demo = sheet.demo()}, weights = "weights", pictures = "05_"}
local o, train, test = e.options, e:data()
local model, names = e:weights("autoencoder", models.autoencoder()), test.classes
local classifier = e:weights("classifier", models.classifier())

-- (a) side x side codes over the axes of exercise 2's scatter, the first row at the bottom.
local points = model:codes(test)                                                         -- [n, 2]
local bottom = points:min(1)
local top = points:max(1):maximum(bottom + 0.1)                          -- wide, even if a number is always 0
local xs, ys = lt.linspace(bottom[1], top[1], o.side), lt.linspace(bottom[2], top[2], o.side)
-- (task) `grid`, [side^2, 2]: all pairs of xs and ys as codes (models.grid); `images`: these decoded.
local grid = models.grid(xs, ys)                                                         -- [side^2, 2]
local images = model:pictures(grid)                                               -- [side^2, 32, 32, 1]
-- (end)
e:figure("generator", plot.image_grid{images = images, columns = o.side, x = xs:table(), y = ys:table(),
  title = "Decoded codes of the autoencoder", xlabel = "first latent number",
  ylabel = "second latent number"},
  "Each picture is decoded from the code at its place; the axes are those of exercise 2.")

-- (b) What the classifier of exercise 4 reads, and where there was anything to learn from: a cell is empty if
-- the nearest training code is further away than the cell is wide.
-- (task) `filled`, float32 [side^2]: 1 for a cell whose nearest training code is no further away than the
-- cell is wide (or high, if that is more), else 0. lt.knn also returns distances.
local _, distance = lt.knn(model:codes(train), grid, 1)
local filled = distance:reshape(-1):le(math.max(xs[2] - xs[1], ys[2] - ys[1])):float()
-- (end)
local seen = models.read(classifier, images)
local rows, middle = {}, {}
for class, name in ipairs(names) do
  local here = seen:eq(class - 1) * filled
  local n = here:sum():item()
  if n > 0 then
    local m = (here:unsqueeze(2) * grid):sum(1) / n                                      -- [2]
    middle[class], rows[#rows + 1] = m, {name, n, m[1], m[2]}
  end
end
table.sort(rows, function(a, b) return a[2] > b[2] end)
e:table("What the classifier reads where training codes are nearby", {"", "cells", "middle: x", "y"}, rows)
e:claim(rows[1][2] > 2 * filled:sum():item() / #names, "(b) the classes share the grid unequally",
  "%s has %d of %d cells, %d of %d classes occur", rows[1][1], rows[1][2], filled:sum():item(), #rows, #names)
local function apart(a, b) return (middle[a] - middle[b]):norm():item() end
if middle[1] and middle[2] then
  local sum, count = 0, 0
  for a = 1, #names do
    for b = a + 1, #names do
      if middle[a] and middle[b] then sum, count = sum + apart(a, b), count + 1 end
    end
  end
  e:claim(apart(1, 2) > sum / count, ("%s and %s lie further apart than the average pair"):format(names[1],
    names[2]), "their middles by %.2f, not %.2f", apart(1, 2), sum / count)
end

-- The decoder has learnt from the codes of training images: is a picture like one of 10,000 of them?
local known = data.apply(train:take(math.min(10000, #train)), function(x) return x:reshape(#x, -1) end)
local _, nearest = lt.knn(known, images:reshape(#images, -1), 1)           -- Euclidean, over [n, 1024] pixels
local error, empty = nearest:reshape(-1):square() / known:size(2), 1 - filled
local function error_of(cells) return (error * cells):sum():item() / math.max(1, cells:sum():item()) end
local inside, outside = error_of(filled), error_of(empty)
e:claim(outside > inside, "where the scatter has no codes the decoder was never trained, and its pictures"
  .. " are less like digits", "%d of %d cells: MSE to the nearest training image %.3f, elsewhere %.3f",
  empty:sum():item(), #grid, outside, inside)
