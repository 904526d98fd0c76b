-- Nearest neighbours, image resizing, batches from bytes, clipping and optimiser steps: the numeric parts
-- that are no ops.
require "spec.support.close"
require "spec.support.misuse"
local lt = require "latent"
local optim = require "latent.optim"
local safetensors = require "latent.safetensors"
local values = require "spec.support.values"

local inf, nan = math.huge, 0 / 0

-- All distances, sorted; of equal ones the lower index first.
local function brute_force(train, query, k)
  local index, distance = {}, {}
  for q, point in ipairs(query) do
    local list = {}
    for i, other in ipairs(train) do
      local sum = 0
      for d, x in ipairs(point) do sum = sum + (x - other[d]) ^ 2 end
      list[i] = {sum, i}
    end
    table.sort(list, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
    index[q], distance[q] = {}, {}
    for j = 1, k do index[q][j], distance[q][j] = list[j][2], list[j][1] ^ 0.5 end
  end
  return index, distance
end

describe("knn", function()
  local function check(train, query, k)
    local index, distance = lt.knn(train, query, k)
    local want_index, want_distance = brute_force(train:table(), query:table(), k or 1)
    assert.same(want_index, index:table())
    assert.close(distance, want_distance, 1e-6)
  end

  it("finds what brute force finds, in any dimension and for any k", function()
    for _, dims in ipairs {1, 2, 3, 7, 16, 17, 33} do
      for _, n in ipairs {1, 5, 64, 129, 300} do
        local train, query = values.tensor(lt, {n, dims}, 1), values.tensor(lt, {23, dims}, 2)
        for _, k in ipairs {1, 2, 5} do
          if k <= n then check(train, query, k) end
        end
      end
    end
    check(values.tensor(lt, {40, 2}, 1), values.tensor(lt, {9, 2}, 2), 40)
  end)

  it("gives ties to the lower index", function()
    local train = lt.tensor {{1, 0}, {0, 1}, {-1, 0}, {0, -1}, {1, 0}, {0, 0}, {0, 0}}
    local index, distance = lt.knn(train, lt.tensor {{0, 0}, {1, 0}, {0.5, 0.5}}, 4)
    assert.same({{6, 7, 1, 2}, {1, 5, 6, 7}, {1, 2, 5, 6}}, index:table())
    assert.close(distance[1], {0, 0, 1, 1})
    -- Thousands of equal points, more than a tile and a chunk hold.
    local same = lt.ones(5000, 2)
    assert.same({1, 2, 3}, lt.knn(same, lt.ones(300, 2), 3)[300]:table())
    -- Lattice points: many real ties between different points.
    local lattice = {}
    for i = 1, 400 do lattice[i] = {i * 7 % 5, i * 3 % 4} end
    check(lt.tensor(lattice), lt.tensor(lattice), 9)
  end)

  it("is at distance zero from itself", function()
    local train = values.tensor(lt, {200, 16}, 3)
    local index, distance = lt.knn(train, train)
    assert.close(index:reshape(200), lt.arange(200), 0)
    assert.close(distance, lt.zeros(200, 1), 0)
  end)

  it("does not depend on the threads", function()
    local before, results = lt.threads(), {}
    local train, query = values.tensor(lt, {700, 16}, 1), values.tensor(lt, {600, 16}, 2)
    for _, threads in ipairs {1, 2} do
      lt.set_threads(threads)
      local index, distance = lt.knn(train, query, 3)
      results[threads] = index:bytes() .. distance:bytes()
    end
    lt.set_threads(before)
    assert(results[1] == results[2])
  end)

  it("takes no queries, and large and far points", function()
    assert.same({0, 1}, lt.knn(lt.ones(3, 2), lt.zeros(0, 2)).shape)
    check(lt.tensor {{1e6, 0}, {1e6, 1}, {-1e6, 0}}, lt.tensor {{1e6, 0.75}}, 2)
    assert.close(lt.knn(lt.zeros(3, 0), lt.zeros(2, 0)), {{1}, {1}}) -- no dimensions: all are equal
    assert.equal(2, lt.knn(lt.tensor {{1e30}, {1e10}}, lt.tensor {{0}}):item())
  end)

  it("is not confused by NaN and infinity among the points", function()
    local index = lt.knn(lt.tensor {{nan}, {5}, {inf}, {1}}, lt.tensor {{0}}, 2)
    assert.same({{4, 2}}, index:table())
    local whole = lt.knn(lt.tensor {{nan}, {5}}, lt.tensor {{0}, {nan}}, 2):table()
    for _, row in ipairs(whole) do
      for _, i in ipairs(row) do assert(i == 1 or i == 2) end
    end
  end)

  it("refuses what does not fit", function()
    local t = lt.ones(3, 2)
    assert.misuse(function() lt.knn(t, lt.ones(3, 3)) end, "knn: query: expected 2 dimensions, got 3")
    assert.misuse(function() lt.knn(t, lt.ones(2)) end,
      "knn: query: expected float32 %[points, dimensions%], got float32 %[2%]")
    assert.misuse(function() lt.knn(t:u8(), t) end, "knn: train: expected float32 %[points, dimensions%], got u8")
    assert.misuse(function() lt.knn(t, t, 4) end, "knn: k: expected 1..3, got 4")
    assert.misuse(function() lt.knn(lt.zeros(0, 2), t) end, "knn: train: expected at least one point, got %[0, 2%]")
    assert.misuse(function() lt.knn(t, t, 0) end, "knn: k: expected 1..3, got 0")
    local endless = lt.zeros(16777216, 0)
    assert.misuse(function() lt.knn(endless, endless, 16777216) end, "knn: shape .* is too large")
    assert.misuse(function() lt.knn(t, t, 1.5) end, "knn: k: expected a whole number, got 1.5")
    assert.misuse(function() lt.knn(t) end, "knn: query: expected a tensor, got nil")
  end)
end)

describe("resize_bilinear", function()
  -- Made by PyTorch: interpolate(mode = "bilinear", align_corners = False), rounded for u8.
  local fixture = assert(safetensors.load "spec/fixtures/resize.safetensors")

  it("agrees with PyTorch", function()
    local cases = 0
    while fixture[cases .. "/u8"] do
      for _, kind in ipairs {"u8", "real"} do
        local x, want = fixture[cases .. "/" .. kind], fixture[("%d/%s_out"):format(cases, kind)]
        if x then -- the large ones as u8 only
          local got = lt.resize_bilinear(x, want:size(2), want:size(3))
          assert.equal(want.dtype, got.dtype)
          assert.same(want.shape, got.shape)
          assert.close(got, want, kind == "u8" and 0 or 1e-6)
        end
      end
      cases = cases + 1
    end
    assert.equal(7, cases)
  end)

  it("keeps what has the right size, and one grey", function()
    local x = fixture["0/u8"]
    assert(lt.resize_bilinear(x, 28, 28):bytes() == x:bytes())
    assert.close(lt.resize_bilinear(lt.full({1, 3, 5, 2}, 7), 11, 4), lt.full({1, 11, 4, 2}, 7))
    assert.same({0, 3, 3, 1}, lt.resize_bilinear(lt.zeros(0, 2, 2, 1), 3, 3).shape)
  end)

  it("refuses what makes no sense", function()
    local x = lt.zeros(1, 2, 2, 1)
    assert.misuse(function() lt.resize_bilinear(lt.zeros(2, 2), 3, 3) end,
      "resize_bilinear: images: expected %[n, height, width, channels%], got %[2, 2%]")
    assert.misuse(function() lt.resize_bilinear(lt.zeros(1, 0, 2, 1), 3, 3) end, "resize_bilinear: images: expected")
    assert.misuse(function() lt.resize_bilinear(x, 0, 3) end, "resize_bilinear: expected sizes 1..65536, got 0 x 3")
    assert.misuse(function() lt.resize_bilinear(x, 3) end, "resize_bilinear: width: expected a whole number, got nil")
  end)
end)

describe("gather_scaled", function()
  it("makes a batch of rows, scaled and shifted", function()
    local x = lt.from_bytes("\0\127\255\1\2\3", {3, 2}, "u8")
    assert.close(lt.gather_scaled(x, {3, 1, 3}, 2 / 255, -1),
      {{2 * 2 / 255 - 1, 2 * 3 / 255 - 1}, {-1, 2 * 127 / 255 - 1}, {2 * 2 / 255 - 1, 2 * 3 / 255 - 1}}, 1e-6)
    assert.same({2, 1}, lt.gather_scaled(lt.zeros(4, 1):u8(), {1, 4}, 1, 0).shape)
    assert.same({0, 2}, lt.gather_scaled(x, {}, 1, 0).shape)
    local all = lt.from_bytes(("\255"):rep(256 * 33), {256, 33}, "u8")
    assert.close(lt.gather_scaled(all, lt.arange(256), 2 / 255, -1), lt.ones(256, 33), 1e-6)
  end)

  it("refuses what does not fit", function()
    local x = lt.zeros(3, 2):u8()
    assert.misuse(function() lt.gather_scaled(x, {4}, 1, 0) end, "gather_scaled: index: expected .*1..3, got 4")
    assert.misuse(function() lt.gather_scaled(x, {0}, 1, 0) end, "gather_scaled: index: expected .*1..3, got 0")
    assert.misuse(function() lt.gather_scaled(x, {1.5}, 1, 0) end, "gather_scaled: index: expected")
    assert.misuse(function() lt.gather_scaled(x, {nan}, 1, 0) end, "gather_scaled: index: expected")
    assert.misuse(function() lt.gather_scaled(lt.zeros(3, 2), {1}, 1, 0) end,
      "gather_scaled: x: expected u8 %[n, ...%], got float32")
    assert.misuse(function() lt.gather_scaled(x, {1}, nil, 0) end, "gather_scaled: scale: expected a number, got nil")
  end)
end)

describe("clip_grad_norm", function()
  local function parameters()
    local a, b = lt.param(lt.zeros(2)), lt.param(lt.zeros(1));
    (a * lt.tensor {2, 3} + b * 3):sum():backward() -- gradients {2, 3} and {6}: norm 7
    return a, b, lt.param(lt.zeros(3)) -- the last has no gradient
  end

  it("scales all gradients together, and tells the norm before", function()
    local a, b, c = parameters()
    assert.close(optim.clip_grad_norm({a, b, c}, 3.5), 7)
    assert.close(a.grad, {1, 1.5})
    assert.close(b.grad, {3})
    assert.is_nil(c.grad)
  end)

  it("leaves short gradients alone", function()
    local a, b = parameters()
    assert.close(optim.clip_grad_norm({a, b}, 8), 7)
    assert.close(a.grad, {2, 3}, 0)
  end)

  it("refuses what makes no sense", function()
    local a = parameters()
    assert.misuse(function() local _ = optim.clip_grad_norm({a}, 0) end,
      "optim.clip_grad_norm: max_norm: expected above 0, got 0")
    assert.misuse(function() local _ = optim.clip_grad_norm({a}, nan) end,
      "optim.clip_grad_norm: max_norm: expected above 0")
    assert.misuse(function() local _ = optim.clip_grad_norm({}, 1) end,
      "optim.clip_grad_norm: expected a list of parameters")
  end)
end)
