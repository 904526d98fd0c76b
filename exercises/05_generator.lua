--- Exercise 5: the decoder as a generator: a grid of codes over the latent space of exercise 2, decoded.
--   lua5.4 exercises/05_generator.lua
local lt = require "latent"
local plot = require "latent.plot"
local models, support = require "exercises.models", require "exercises.support"

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
support.figure(plot.image_grid{
  images = images, columns = o.side, x = xs, y = ys, title = "Decoded codes of the autoencoder",
  xlabel = "first latent number", ylabel = "second latent number",
}, "05_generator.png")

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
local places, filled = {}, 1 - empty
for class = 0, 9 do
  local mask = seen:eq(class) * filled
  local n = math.tointeger(mask:sum():item())
  if n > 0 then
    local middle = (mask:unsqueeze(2) * grid):sum(1) / n
    places[#places + 1] = {name = names[class + 1], n = n, x = middle[1], y = middle[2]}
  end
end
table.sort(places, function(p, q) return p.n > q.n end)
local list = {}
for _, p in ipairs(places) do list[#list + 1] = ("%s in %d cells about (%.1f, %.1f)"):format(p.name, p.n, p.x, p.y) end
support.say("(b) In the cells with training codes nearby the classifier of exercise 4 reads %s. %d of 10 classes "
  .. "occur at all.", table.concat(list, ", "), #places)
support.say([[%d of the %d cells lie further than a cell's width (%.2f) from every training code; there the decoder
  was never trained, and the classifier is %.0f %% sure on average, against %.0f %% elsewhere. This is the scatter
  of exercise 2 again: clear digits where one class is dense, blurs between, and where there were no points whatever
  the decoder happens to make of them.]],
  math.tointeger(empty:sum():item()), #grid, cell, certainty_where(empty), certainty_where(filled))
