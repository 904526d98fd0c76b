--- Exercise 5: the decoder as a generator: a grid of codes over the latent space of exercise 2, decoded.
--   lua5.4 exercises/05_generator.lua
local lt = require "latent"
local models, support = require "exercises.models", require "exercises.support"
local figures = require "exercises.figures"

local o = support.options{side = 15}
local train, test = support.data(o)
local model = support.load(models.autoencoder(), "autoencoder")
local classifier = support.load(models.classifier(), "classifier")
local names = support.classes(o)

-- (a) side x side codes over the axes of the scatter, the first row at the bottom.
local codes = support.map(test, function(x) return model:encode(x) end)
local bottom, top = codes:min(1), codes:max(1)
local xs, ys = lt.linspace(bottom[1], top[1], o.side):table(), lt.linspace(bottom[2], top[2], o.side):table()
local grid = support.grid(xs, ys) -- [side * side, 2]
local images = lt.no_grad(function() return model:decode(grid) end)
figures.grid("05_generator.png", "Decoded codes of the autoencoder", images, xs, ys)

-- (b) Where is which class, and where was there anything to learn from? A cell is empty if the nearest
-- training code is further away than the cell is wide.
local train_codes = support.map(train, function(x) return model:encode(x) end)
local _, distance = lt.knn(train_codes, grid, 1)
local cell = math.max(xs[2] - xs[1], ys[2] - ys[1])
local empty = distance:reshape(-1):gt(cell)
local seen, certainty = support.classify(classifier, images)
local function certainty_where(mask)
  local n = mask:sum():item()
  return n > 0 and 100 * (certainty * mask):sum():item() / n or 0
end
local places, filled, at = {}, 1 - empty, {}
for class = 0, 9 do
  local mask = seen:eq(class) * filled
  local n = math.tointeger(mask:sum():item())
  if n > 0 then
    at[class] = (mask:unsqueeze(2) * grid):sum(1) / n -- the middle of its cells
    places[#places + 1] = {name = names[class + 1], n = n, x = at[class][1], y = at[class][2]}
  end
end
table.sort(places, function(p, q) return p.n > q.n end)
local list = {}
for _, p in ipairs(places) do list[#list + 1] = ("%s in %d cells about (%.1f, %.1f)"):format(p.name, p.n, p.x, p.y) end
support.say("(b) In the cells with training codes nearby the classifier of exercise 4 reads %s. %d of 10 classes "
  .. "occur at all.", table.concat(list, ", "), #places)
if at[0] and at[1] then
  local apart = (at[0] - at[1]):norm():item() / (top - bottom):norm():item()
  support.say("The middles of %s and %s lie %.0f %% of the grid's diagonal apart: %s.", names[1], names[2],
    100 * apart, apart > 0.5 and "they hold opposite ends, and the other classes lie between or beside them"
    or "they do not hold opposite ends of this latent space")
end
local n_empty = math.tointeger(empty:sum():item())
if n_empty == 0 then
  support.say("No cell lies further than a cell's width (%.2g) from a training code: the codes fill the grid.", cell)
else
  local inside, outside = certainty_where(filled), certainty_where(empty)
  support.say([[%d of the %d cells lie further than a cell's width (%.2g) from every training code: the empty parts of
    the scatter of exercise 2. There the decoder was never trained. The classifier is %.0f %% sure of the pictures
    there on average, %.0f %% of the others: %s.]], n_empty, #grid, cell, outside, inside,
    outside < inside - 5 and "where there are no codes the pictures resemble those of the set less" or
    "its certainty does not show that these pictures are like none of the set; look at them in the figure")
end
