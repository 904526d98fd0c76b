--- Exercise 2: the latent space of the autoencoder, all test images as points.
--   lua5.4 exercises/02_latent_scatter.lua
local lt = require "latent"
local models, support = require "exercises.models", require "exercises.support"
local figures = require "exercises.figures"

local o = support.options()
local _, test = support.data(o)
local model = support.load(models.autoencoder(), "autoencoder")
local names = support.classes(o)

-- (a) All codes, one colour a class.
local codes = support.map(test, function(x) return model:encode(x) end) -- [n, 2]
figures.scatter("02_latent_scatter.png", "Latent space of the autoencoder", codes, test.labels, names)

-- (b) A class overlaps another where the nearest other point belongs to that one.
local index = lt.knn(codes, codes, 2):table()
local labels, pair, count = test.labels:float():table(), {}, {}
for i, near in ipairs(index) do
  local other = near[1] == i and near[2] or near[1]
  local a, b = math.tointeger(labels[i]), math.tointeger(labels[other])
  count[a] = (count[a] or 0) + 1
  local key = math.min(a, b) * 10 + math.max(a, b)
  pair[key] = (pair[key] or 0) + 1
end
local own, overlaps = {}, {}
for a = 0, 9 do
  own[a + 1] = 100 * (pair[a * 10 + a] or 0) / count[a]
  for b = a + 1, 9 do
    overlaps[#overlaps + 1] = {a = names[a + 1], b = names[b + 1],
      share = 100 * (pair[a * 10 + b] or 0) / (count[a] + count[b])}
  end
end
table.sort(overlaps, function(p, q) return p.share > q.share end)

-- How far two clusters are apart: distance of their means over the spread of the points about them.
local function cluster(label)
  local rows = {}
  for i, value in ipairs(labels) do if value == label then rows[#rows + 1] = i end end
  local points = codes:gather_rows(lt.tensor(rows))
  local mean = points:mean(1)
  return mean, (points - mean):square():sum(2):mean():sqrt():item()
end
local function separation(a, b)
  local mean_a, spread_a = cluster(a)
  local mean_b, spread_b = cluster(b)
  return (mean_a - mean_b):norm():item() / ((spread_a + spread_b) / 2)
end

support.print_table("Share of points whose nearest other point is of the same class, %", {"", table.unpack(names)},
  {{"same class", table.unpack(own)}})
local ranked = support.ranked(own, names)
support.say("(b) %s and %s form the clearest clusters: %.0f %% and %.0f %% of their points have a neighbour of "
  .. "their own class. The means of %s and %s lie %.1f spreads apart, those of %s and %s %.1f. The pairs that "
  .. "mix most are %s with %s (%.0f %% of their points), %s with %s (%.0f %%) and %s with %s (%.0f %%).",
  ranked[1].name, ranked[2].name, ranked[1].value, ranked[2].value, names[1], names[2], separation(0, 1),
  names[5], names[10], separation(4, 9), overlaps[1].a, overlaps[1].b, overlaps[1].share, overlaps[2].a,
  overlaps[2].b, overlaps[2].share, overlaps[3].a, overlaps[3].b, overlaps[3].share)
for rank, p in ipairs(overlaps) do
  if p.a == "0" and p.b == "6" then
    support.say("0 and 6, which both have a closed loop, share %.1f %% of their points: rank %d of the %d pairs.",
      p.share, rank, #overlaps)
  end
end

-- (c) Why points lie on the axes.
local zero, smallest = codes:eq(0):mean(1):table(), codes:min():item()
support.say("(c) %.2f %% of the codes have 0 as their first number, %.2f %% as their second; the smallest number is "
  .. "%.3g: %s.", 100 * zero[1], 100 * zero[2], smallest, zero[1] + zero[2] > 0
  and "the ReLU that makes the code clips everything below zero, so those points lie on an axis"
  or "the ReLU that makes the code would clip what is below zero, but nothing comes so low here")
