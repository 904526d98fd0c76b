-- Many queries in few dimensions go through a tree. The same points with further coordinates that are all
-- zero are at the same distances, to the last bit, and have too many dimensions for a tree.
local lt = require "latent"
local values = require "spec.support.values"

local inf, nan = math.huge, 0 / 0

local function widened(t) return lt.cat({t, lt.zeros(t:size(1), 8)}, 2) end

local function check(train, query, k, what)
  local index, distance = lt.knn(train, query, k)
  local all_index, all_distance = lt.knn(widened(train), widened(query), k)
  assert(index:bytes() == all_index:bytes(), what .. ": other neighbours than brute force")
  assert(distance:bytes() == all_distance:bytes(), what .. ": other distances than brute force")
  return index, distance
end

local function random(n, dims, seed) return values.tensor(lt, {n, dims}, seed) end

-- Each makes n points.
local POINTS = {
  random = random,
  clustered = function(n, dims, seed)
    local centre = (random(n, 1, seed) * 3):round() * 10
    return centre + random(n, dims, seed + 1) * 0.01
  end,
  gridded = function(n, dims, seed) return (random(n, dims, seed) * 4):round() end,
  ["on a line"] = function(n, dims, seed) return random(n, 1, seed) * lt.ones(1, dims) end,
  ["with an outlier"] = function(n, dims, seed)
    local t = random(n, dims, seed) * 1e-20
    t:set(n // 2, 1, 1e15)
    return t
  end,
  ["of two places"] = function(n, dims, seed) return (random(n, 1, seed):gt(0.9)) * lt.ones(1, dims) end,
  ["all equal"] = function(n, dims) return lt.ones(n, dims) end,
  ["of all magnitudes"] = function(n, dims, seed) return (random(n, dims, seed) * 30):exp() end,
}

describe("knn through a tree", function()
  for kind, points in pairs(POINTS) do
    it("is brute force among points " .. kind, function()
      for dims = 1, 7 do
        local train, query = points(2500, dims, dims), points(300, dims, dims + 20)
        for _, k in ipairs {1, 2, 7, 70} do check(train, query, k, ("%s, %d-D, k = %d"):format(kind, dims, k)) end
        check(train, train:slice(1, 1, 400), 3, kind .. ", themselves")
      end
    end)
  end

  it("finds the smallest indices of equal points", function()
    local same = lt.ones(5000, 2)
    local index = lt.knn(same, lt.zeros(300, 2), 3)
    assert.same({1, 2, 3}, index[1]:table())
    assert.same({1, 2, 3}, index[300]:table())
  end)

  it("takes NaN and infinity among points and queries as brute force does", function()
    local train, query = random(1500, 2, 1), random(300, 2, 2)
    for i, bad in ipairs {nan, inf, -inf, 1e30} do
      for j = 1, 40 do train:set(i + 7 * j, 1 + j % 2, bad) end
      query:set(10 * i, 1, bad)
    end
    check(train, query, 5, "NaN and infinity")
    -- Fewer points at a finite distance than are asked for.
    local few = lt.full({1500, 2}, inf)
    for i = 1, 20 do few:slice(1, 70 * i, 70 * i):copy_(random(1, 2, i)) end
    few:set(3, 2, nan)
    check(few, query, 40, "few finite points")
    check(lt.full({1500, 2}, nan), query, 3, "no finite point")
    check(random(1500, 2, 1) * 1e30, query, 3, "distances that overflow")
  end)

  it("does not depend on the threads", function()
    local before, results = lt.threads(), {}
    local train, query = random(4000, 2, 1), random(900, 2, 2)
    for _, threads in ipairs {1, 2} do
      lt.set_threads(threads)
      local index, distance = lt.knn(train, query, 3)
      results[threads] = index:bytes() .. distance:bytes()
    end
    lt.set_threads(before)
    assert(results[1] == results[2])
  end)
end)

describe("knn for large k", function()
  it("orders all points by distance, then by index", function()
    local train, query = (random(3000, 3, 1) * 3):round(), lt.zeros(2, 3)
    local index, distance = lt.knn(train, query, 3000)
    local seen = {}
    for row = 1, 2 do
      local at, far = index[row]:table(), distance[row]:table()
      for j = 1, 3000 do
        seen[at[j]] = true
        local exact = train[at[j]]:square():sum():item() ^ 0.5
        assert(math.abs(far[j] - exact) <= 1e-6 * exact)
        assert(j == 1 or far[j - 1] < far[j] or far[j - 1] == far[j] and at[j - 1] < at[j])
      end
    end
    for i = 1, 3000 do assert(seen[i]) end
  end)
end)
