-- latent.metrics against scikit-learn, scikit-image (without the windows that leave the picture) and values by hand.
local lt, metrics = require "latent", require "latent.metrics"

local answers, labels = lt.tensor{0, 1, 2, 0, 2, 1, 0, 0}, lt.tensor{0, 1, 0, 0, 2, 2, 1, 0}

local function picture(f)
  local rows = {}
  for i = 0, 15 do
    rows[i + 1] = {}
    for j = 0, 12 do rows[i + 1][j + 1] = f(i, j) end
  end
  return lt.tensor(rows):reshape(1, 16, 13, 1)
end

local function wave(i, j) return math.sin(0.7 * i + 0.3 * j) end
local x = picture(wave)
local y = picture(function(i, j) return wave(i, j) + 0.2 * math.cos(1.3 * i - 0.9 * j) end)
local z = picture(function(i, j) return 0.5 * wave(i, j) + 0.1 end)

describe("metrics", function()
  it("accuracy and the share for each class", function()
    assert.equal(0.625, metrics.accuracy(answers, labels))
    assert.equal(62.5, metrics.accuracy(answers, labels, {scale = 100}))
    local shares, mean = metrics.per_class(answers, labels)
    assert.same({0.75, 0.5, 0.5}, shares)
    assert.near(0.5833333333333334, mean, 1e-15)
    shares, mean = metrics.per_class(answers, labels, {scale = 100, classes = 4})
    assert.equal(75.0, shares[1])
    assert.is_true(shares[4] ~= shares[4]) -- a class without a label
    assert.near(58.33333333333334, mean, 1e-12)
    local none = metrics.accuracy(lt.zeros(0), lt.zeros(0))
    assert.is_true(none ~= none)
  end)

  it("confusion: a row for each label, a column for each answer", function()
    assert.same({{3, 0, 1}, {1, 1, 0}, {0, 1, 1}}, metrics.confusion(answers, labels):table())
    assert.same({{1, 0}, {0, 0}}, metrics.confusion(lt.tensor{0}, lt.tensor{0}, {classes = 2}):table())
  end)

  it("nearest: one neighbour, and votes whose ties the nearest decides", function()
    local known, classes = lt.tensor{{0, 0}, {1, 0}, {5, 5}, {5, 6}}, lt.tensor{3, 4, 7, 7}
    local codes = lt.tensor{{0.2, 0}, {0.9, 0}, {5, 5.4}}
    assert.same({3, 4, 7}, metrics.nearest(known, classes, codes):table())
    assert.same({3, 4, 7}, metrics.nearest(known, classes, codes, {k = 2}):table())
    assert.same({7}, metrics.nearest(known, classes, lt.tensor{{2.6, 2.4}}, {k = 4}):table())
  end)

  it("nearest agrees with vae.knn_accuracy for several k", function()
    lt.manual_seed(3)
    local vae = require "latent.vae"
    local known, codes = lt.randn(200, 3), lt.randn(50, 3)
    local kinds, truth = known:sum(2):gt(0):float(), codes:sum(2):gt(0):float()
    for _, k in ipairs{1, 3, 5, 10} do
      local share = metrics.accuracy(metrics.nearest(known, kinds, codes, {k = k}), truth, {scale = 100})
      assert.near(vae.knn_accuracy(known, kinds, codes, truth, {k = k}), share, 1e-4)
    end
  end)

  it("mse, psnr and ssim of pictures", function()
    assert.near(4, metrics.mse(lt.zeros(2, 3), lt.full({2, 3}, 2)), 1e-7)
    assert.near(22.99566772241998, metrics.psnr(x, y), 1e-4)
    assert.near(14.59862873419453, metrics.psnr(x, z), 1e-4)
    assert.equal(math.huge, metrics.psnr(x, x))
    assert.near(0.9721193536397453, metrics.ssim(x, y):item(), 1e-5)
    assert.near(0.5764355279422125, metrics.ssim(x, z):item(), 1e-5)
    assert.near(1, metrics.ssim(x, x):item(), 1e-6)
    local both = metrics.ssim(lt.cat({x, x}, 1), lt.cat({y, z}, 1))
    assert.same({2}, both.shape)
    assert.near(0.5764355279422125, both[2], 1e-5)
    local colour = metrics.ssim(lt.cat({x, x}, 4), lt.cat({y, z}, 4))
    assert.near((0.9721193536397453 + 0.5764355279422125) / 2, colour:item(), 1e-5)
  end)

  it("calibration", function()
    local p = lt.tensor{{.7, .2, .1}, {.1, .8, .1}, {.3, .3, .4}, {.55, .25, .2}, {.05, .05, .9}, {.2, .5, .3},
      {.34, .33, .33}, {.6, .1, .3}}
    -- 0.8 and 0.6 lie on the edge of two bins in float32: 7 bins have none there
    local c = metrics.calibration(p, lt.tensor{0, 1, 0, 0, 2, 2, 1, 0}, {bins = 7})
    assert.near(0.625, c.accuracy, 1e-12)
    assert.near(0.6638062335757329, c.nll, 1e-6)
    assert.near(0.371675, c.brier, 1e-6)
    assert.same({0, 0, 2, 2, 2, 1, 1}, c.count)
    assert.near(0.37, c.mce, 1e-6)
    assert.near((2 * 0.37 + 2 * 0.025 + 2 * 0.35 + 0.2 + 0.1) / 8, c.ece, 1e-6)
  end)

  for _, case in ipairs{
    {"metrics.accuracy: expected as many labels as answers, got 2 answers and 1 labels", "accuracy", lt.zeros(2),
      lt.zeros(1)},
    {"metrics.accuracy: answers: expected whole numbers from 0, got 0.5 in place 1", "accuracy", lt.tensor{0.5},
      lt.zeros(1)},
    {"metrics.per_class: classes: expected more than 1, got 1", "per_class", lt.zeros(2), lt.tensor{0, 1},
      {classes = 1}},
    {"metrics.nearest: k: expected at most the 2 known codes, got 3", "nearest", lt.zeros(2, 2), lt.zeros(2),
      lt.zeros(1, 2), {k = 3}},
    {"metrics.nearest: expected a label for each known code, got 2 codes and 1 labels", "nearest", lt.zeros(2, 2),
      lt.zeros(1), lt.zeros(1, 2)},
    {"metrics.mse: expected two tensors of one shape, got %[2%] and %[3%]", "mse", lt.zeros(2), lt.zeros(3)},
    {"metrics.ssim: window: expected an odd number of at most 4, got 11", "ssim", lt.zeros(1, 4, 5, 1),
      lt.zeros(1, 4, 5, 1)},
    {"metrics.calibration: probabilities: expected rows that sum to 1, got ", "calibration", lt.zeros(1, 3),
      lt.zeros(1)},
    {"metrics.calibration: probabilities: expected numbers from 0 to 1, got 2.0 in row 1", "calibration",
      lt.tensor{{2, -1}}, lt.zeros(1)},
    {"metrics.psnr: range: expected a number above 0, got 0", "psnr", lt.zeros(1), lt.zeros(1), {range = 0}},
  } do
    it("refuses: " .. case[1], function()
      local ok, message = pcall(metrics[case[2]], table.unpack(case, 3))
      assert.is_false(ok)
      assert.matches(case[1], message)
    end)
  end
end)
