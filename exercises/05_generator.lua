--- Exercise 5: a grid of codes, decoded. Is the autoencoder's decoder a generator of digits?
--   lua5.4 exercises/05_generator.lua
local lt, plot = require "latent", require "latent.plot"
local experiment = require "latent.experiment"
local models, sheet = require "exercises.models", require "exercises.sheet"

local e <close> = experiment.begin{options = {side = {15, "pictures along each axis", min = 2}},
  recipes = {demo = sheet.demo()}, weights = "weights", pictures = "05_"}
local o, train, test = e.options, e:data()
local model, names = e:weights("autoencoder", models.autoencoder()), test.classes
local classifier = e:weights("classifier", models.classifier())

-- (a) side x side codes over the axes of exercise 2's scatter, the first row at the bottom.
local points = model:codes(test)                                                         -- [n, 2]
local bottom, top = points:min(1), points:max(1)
local xs, ys = lt.linspace(bottom[1], top[1], o.side), lt.linspace(bottom[2], top[2], o.side)
local grid = models.grid(xs, ys)                                                         -- [side^2, 2]
local images = model:pictures(grid)                                               -- [side^2, 32, 32, 1]
e:figure("generator", plot.image_grid{images = images, columns = o.side, x = xs:table(), y = ys:table(),
  title = "Decoded codes of the autoencoder", xlabel = "first latent number",
  ylabel = "second latent number"},
  "Each picture is decoded from the code at its place; the axes are those of exercise 2.")

-- (b) What the classifier of exercise 4 reads, and where there was anything to learn from: a cell is empty if
-- the nearest training code is further away than the cell is wide.
local _, distance = lt.knn(model:codes(train), grid, 1)
local filled = distance:reshape(-1):le(math.max(xs[2] - xs[1], ys[2] - ys[1])):float()
local seen, certainty = models.read(classifier, images)
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
if middle[1] and middle[2] then
  local apart = 100 * (middle[1] - middle[2]):norm():item() / (top - bottom):norm():item()
  e:claim(apart > 50, ("%s and %s hold opposite ends of the latent space"):format(names[1], names[2]),
    "their middles lie %.0f %% of the grid's diagonal apart", apart)
end
local empty = 1 - filled
local function certainty_of(mask)
  return 100 * (certainty * mask):sum():item() / math.max(1, mask:sum():item())
end
local inside, outside = certainty_of(filled), certainty_of(empty)
e:claim(empty:sum():item() > 0 and outside < inside - 5, "where the scatter has no codes the decoder was"
  .. " never trained, and its pictures are less like digits", "%d of %d cells: the classifier is %.0f %% sure"
  .. " of their pictures on average, of the others %.0f %%", empty:sum():item(), #grid, outside, inside)
