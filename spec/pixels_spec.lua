-- Layers of volumes and of pixels, the way back from places of maxima, and dropout of channels: what
-- spec/layers_spec.lua does not compare with PyTorch.
local lt = require "latent"
local nn = require "latent.nn"
local onnx = require "latent.onnx"
local safetensors = require "latent.safetensors"
require "spec.support.close"
require "spec.support.misuse"

local values = assert(safetensors.load "spec/fixtures/layers.safetensors")
local function at(name) return (assert(values[name], name)) end

describe("max_unpool", function()
  for n, case in ipairs{{3, {stride = 2, padding = 1}, 7}, {2, {stride = {2, 3}}, {5, 7}}, {2, {}, {4, 5, 3}}} do
    it(("brings maxima back to their places as PyTorch does, and their gradients: %d axes"):format(n), function()
      local pool, unpool, kernel, opts = lt["max_pool" .. n .. "d"], lt["max_unpool" .. n .. "d"], case[1], case[2]
      local key = "unpool" .. n
      local y, places = pool(at(key .. "/x"), kernel, {stride = opts.stride, padding = opts.padding,
        return_indices = true})
      assert.equal("i64", places.dtype)
      assert.close(y, at(key .. "/y"), 0)
      assert.close(places, at(key .. "/places"), 0)
      y = lt.param(y)
      local z = unpool(y, places, kernel, {stride = opts.stride, padding = opts.padding, output_size = case[3]})
      assert.same(at(key .. "/z").shape, z.shape)
      assert.close(z, at(key .. "/z"), 0)
      z:backward(at(key .. "/dz"))
      if n == 2 then assert.close(y.grad, at(key .. "/dy"), 0) end -- of windows that do not overlap
    end)
  end

  it("takes what a pool gives, of float64 too, and nothing of no batch", function()
    local x = lt.rand(2, 4, 6, 3, {dtype = "float64"})
    local y, places = x:max_pool2d(2, {return_indices = true})
    local z = y:max_unpool2d(places, 2)
    assert.equal("float64", z.dtype)
    assert.is_true(z:max_pool2d(2):equal(y))
    assert.equal(y:numel(), z:ne(0):long():sum():item())
    local none = lt.zeros(0, 2, 2, 3)
    assert.same({0, 4, 4, 3}, lt.max_unpool2d(none, none:long(), 2).shape)
  end)

  it("says what does not fit", function()
    local y = lt.ones(1, 2, 2, 1)
    for pattern, f in pairs{
      ["max_unpool2d: indices: expected the shape of x %[1, 2, 2, 1%], got %[1, 2, 2%]"] = function()
        lt.max_unpool2d(y, lt.ones(1, 2, 2), 2)
      end,
      ["max_unpool2d: indices: expected whole numbers 1..16, got 17 at position 1"] = function()
        lt.max_unpool2d(y, y * 17, 2)
      end,
      ["max_unpool2d: indices: expected whole numbers 1..16, got 2.5 at position 3"] = function()
        lt.max_unpool2d(y, lt.tensor{1, 16, 2.5, 4}:reshape(1, 2, 2, 1), 2)
      end,
      ["max_unpool2d: indices: expected whole numbers 1..16, got nan at position 4"] = function()
        lt.max_unpool2d(y, lt.tensor{1, 16, 2, 0 / 0}:abs():reshape(1, 2, 2, 1), 2)
      end,
      ["max_unpool2d: indices: expected whole numbers 1..16, got 0 at position 2"] = function()
        lt.max_unpool2d(y, lt.tensor{1, 0, 2, 4}:long():reshape(1, 2, 2, 1), 2)
      end,
      ["max_unpool2d: output_size: expected 4, give or take less than the stride of 2, got 6"] = function()
        lt.max_unpool2d(y, y, 2, {output_size = {4, 6}})
      end,
      ["max_unpool1d: x: expected %[batch, time, channels%], got %[1, 2, 2, 1%]"] = function()
        lt.max_unpool1d(y, y, 2)
      end,
      ["max_unpool2d: kernel is missing"] = function() lt.max_unpool2d(y, y) end,
      ['max_unpool3d: unknown option "size"'] = function()
        lt.max_unpool3d(lt.ones(1, 1, 1, 1, 1), lt.ones(1, 1, 1, 1, 1), {size = 2})
      end,
      ['nn has no "MaxUnpool2d"; write lt.max_unpool2d%(x, places, kernel%)'] = function() return nn.MaxUnpool2d end,
    } do
      assert.misuse(f, pattern)
    end
  end)
end)

describe("adaptive pools", function()
  it("tell the places of maxima, the first of equals, as PyTorch does", function()
    for n, size in ipairs{3, {3, 4}, {2, 3, 2}} do
      local key, f = "adaptive_max" .. n, lt[("adaptive_max_pool%dd"):format(n)]
      local y, places = f(at(key .. "/x"), size, {return_indices = true})
      assert.equal("i64", places.dtype)
      assert.close(y, at(key .. "/y"), 0)
      assert.close(places, at(key .. "/places"), 0)
      assert.equal(1, select("#", f(at(key .. "/x"), size)))
    end
  end)

  it("have nothing of no batch, and no maximum of no places", function()
    local y, places = lt.zeros(0, 5, 4, 2):adaptive_max_pool2d({2, 3}, {return_indices = true})
    assert.same({{0, 2, 3, 2}, {0, 2, 3, 2}, "i64"}, {y.shape, places.shape, places.dtype})
    assert.same({0, 2, 3, 2}, lt.zeros(0, 5, 4, 2):adaptive_avg_pool2d{2, 3}.shape)
    assert.misuse(function() lt.zeros(2, 0, 3):adaptive_max_pool1d(2) end,
      "adaptive_max_pool1d: x: expected at least one element to choose from")
  end)

  it("are pools where the windows are of one size, and global ones where there is one", function()
    local x = lt.randn(2, 6, 4, 3)
    assert.close(x:adaptive_avg_pool2d{3, 2}, x:avg_pool2d(2))
    assert.is_true(x:adaptive_max_pool2d{3, 2}:equal(x:max_pool2d(2)))
    assert.close(nn.AdaptiveAvgPool2d(1)(x):reshape(2, 3), nn.GlobalAvgPool()(x))
    assert.equal("AdaptiveMaxPool2d({3, 2})", tostring(nn.AdaptiveMaxPool2d{3, 2}))
    assert.equal("AdaptiveAvgPool1d(4)", tostring(nn.AdaptiveAvgPool1d(4)))
  end)

  it("say what does not fit", function()
    local x = lt.ones(1, 4, 4, 2)
    for pattern, f in pairs{
      ["adaptive_max_pool2d: output_size is missing"] = function() x:adaptive_max_pool2d() end,
      ["adaptive_avg_pool2d: output_size: expected a whole number of at least 1, got 0"] = function()
        x:adaptive_avg_pool2d(0)
      end,
      ["adaptive_avg_pool1d: x: expected %[batch, time, channels%], got %[1, 4, 4, 2%]"] = function()
        x:adaptive_avg_pool1d(1)
      end,
      ["nn.AdaptiveMaxPool2d: size: expected a number or {height, width}"] = function()
        nn.AdaptiveMaxPool2d{1, 2, 3}
      end,
      ["AdaptiveAvgPool3d%(1%): expected %[batch, depth, height, width, channels%]"] = function()
        nn.AdaptiveAvgPool3d(1)(x)
      end,
      ["onnx.save: model: AdaptiveAvgPool2d%(3%): ONNX has no windows of different sizes, as 3 of 4 elements are"] =
        function() onnx.save(os.tmpname(), nn.AdaptiveAvgPool2d(3), {input = {1, 4, 4, 2}}) end,
    } do
      assert.misuse(f, pattern)
    end
  end)
end)

describe("pixels that are channels", function()
  it("come back", function()
    local x = lt.rand(2, 6, 9, 4)
    assert.is_true(x:pixel_unshuffle(3):pixel_shuffle(3):equal(x))
    assert.same({2, 2, 3, 36}, x:pixel_unshuffle(3).shape)
    local layers = nn.Sequential{nn.PixelUnshuffle(3), nn.PixelShuffle(3)}
    assert.is_true(layers(x):equal(x))
  end)

  it("are refused where they do not fit", function()
    local x = lt.ones(1, 4, 6, 6)
    assert.misuse(function() x:pixel_shuffle(2) end,
      "pixel_shuffle: x: expected a multiple of 4 channels, for the factor 2, got %[1, 4, 6, 6%]")
    assert.misuse(function() x:pixel_unshuffle(4) end,
      "pixel_unshuffle: x: expected a height and a width that are multiples of 4, got %[1, 4, 6, 6%]")
    assert.misuse(function() x:pixel_shuffle(0) end, "pixel_shuffle: factor: expected a whole number of at least 1")
    assert.misuse(function() nn.PixelShuffle(2)(lt.ones(4, 4)) end,
      "PixelShuffle%(2%): expected %[batch, height, width, channels%], got %[4, 4%]")
    assert.misuse(function() nn.PixelUnshuffle() end, "nn.PixelUnshuffle: factor: expected a whole number")
  end)
end)

describe("margins", function()
  it("stand at the sides that PyTorch's numbers mean, and cut where they are negative", function()
    local x = lt.arange(1, 4):reshape(1, 2, 2, 1)
    local function flat(layer) return layer(x):reshape(-1):table() end
    assert.same({0, 1, 2, 0, 3, 4, 0, 0, 0}, flat(nn.ZeroPad2d{1, 0, 0, 1}))
    assert.same({2, 1, 2, 4, 3, 4}, flat(nn.ReflectionPad2d{1, 0, 0, 0}))
    assert.same({1, 1, 2, 3, 3, 4, 3, 3, 4}, flat(nn.ReplicationPad2d{1, 0, 0, 1}))
    assert.same({4}, flat(nn.ZeroPad2d{-1, 0, -1, 0}))
    assert.equal("ZeroPad2d({1, 0, 0, 1})", tostring(nn.ZeroPad2d{1, 0, 0, 1}))
    assert.equal("ReflectionPad2d(2)", tostring(nn.ReflectionPad2d(2)))
  end)

  it("are refused where they do not fit", function()
    assert.misuse(function() nn.ZeroPad2d{1, 2} end, "nn.ZeroPad2d: padding: expected a number or {left, right, top")
    assert.misuse(function() nn.ReplicationPad2d(1.5) end,
      "nn.ReplicationPad2d: padding: left: expected a whole number")
    assert.misuse(function() nn.ReflectionPad2d(2)(lt.ones(1, 2, 3, 1)) end,
      'pad: pad: "reflect" reaches at most 1 beyond axis 2, of size 2, got 2')
  end)
end)

describe("layers of volumes", function()
  it("say what they are, and what they expect", function()
    for text, layer in pairs{
      ["Conv3d(2 -> 4, 1x2x3, stride 2, padding {0, 1, 2}, groups 2)"] =
        nn.Conv3d(2, 4, {1, 2, 3}, {stride = 2, padding = {0, 1, 2}, groups = 2}),
      ["Conv3d(2 -> 4, 3x3x3, padding 1)"] = nn.Conv3d(2, 4, 3, {padding = "same"}),
      ["Conv3d(2 -> 4, 2x2x2, padding same)"] = nn.Conv3d(2, 4, 2, {padding = "same"}),
      ["ConvTranspose3d(2 -> 4, 2x2x2, stride 2, output_padding 1)"] =
        nn.ConvTranspose3d(2, 4, 2, {stride = 2, output_padding = 1}),
      ["MaxPool3d(2, stride {1, 2, 2}, ceil)"] = nn.MaxPool3d(2, {stride = {1, 2, 2}, ceil_mode = true}),
      ["AvgPool3d({1, 2, 2}, padding {0, 1, 1})"] = nn.AvgPool3d({1, 2, 2}, {padding = {0, 1, 1}}),
      ["BatchNorm3d(4)"] = nn.BatchNorm3d(4),
    } do
      assert.equal(text, tostring(layer))
    end
    local flat = lt.ones(1, 4, 4, 2)
    for pattern, f in pairs{
      ["nn.Conv3d: kernel: expected a number or {depth, height, width}"] = function() nn.Conv3d(1, 2, {1, 2}) end,
      ["nn.Conv3d: groups: expected a divisor of 3 inputs and 4 outputs, got 2"] = function()
        nn.Conv3d(3, 4, 2, {groups = 2})
      end,
      ['nn.Conv3d: padding: "same" goes with a stride of 1, got 2'] = function()
        nn.Conv3d(2, 2, 3, {padding = "same", stride = {1, 2, 1}})
      end,
      ["nn.MaxPool3d: stride: expected a number or {depth, height, width}"] = function()
        nn.MaxPool3d(2, {stride = {1, 2}})
      end,
      ["Conv3d%(2 %-> 4, 2x2x2%): expected %[batch, depth, height, width, 2%], got %[1, 4, 4, 2%]"] = function()
        nn.Conv3d(2, 4, 2)(flat)
      end,
      ["MaxPool3d%(2%): expected %[batch, depth, height, width, channels%]"] = function() nn.MaxPool3d(2)(flat) end,
      ["BatchNorm3d%(2%): expected %[batch, depth, height, width, 2%]"] = function() nn.BatchNorm3d(2)(flat) end,
    } do
      assert.misuse(f, pattern)
    end
  end)

  it("start as PyTorch's do, and compute in float64", function()
    lt.manual_seed(2)
    local layer = nn.Conv3d(4, 64, {1, 2, 3}, {groups = 2})
    assert.same({1, 2, 3, 2, 64}, layer.weight.shape)
    local bound = 1 / math.sqrt(2 * 6)
    assert.close(layer.weight:abs():max():item(), bound, 0.02)
    assert.close(layer.weight:std():item(), bound / 3 ^ 0.5, 0.05)
    assert.same({2, 2, 2, 4, 3}, nn.ConvTranspose3d(4, 6, 2, {groups = 2}).weight.shape)
    local wide = nn.Sequential{nn.Conv3d(1, 2, 2, {dtype = "float64"}), nn.MaxPool3d(2), nn.BatchNorm3d(2):double()}
    assert.equal("float64", wide(lt.rand(2, 5, 5, 5, 1, {dtype = "float64"})).dtype)
  end)
end)

describe("nn.Dropout2d", function()
  it("drops whole channels in training, the same ones after the same seed", function()
    local layer, x = nn.Dropout2d(0.25), lt.param(lt.ones(50, 3, 2, 8))
    lt.manual_seed(3)
    local y = layer(x)
    local first = y:slice(2, 1, 1):slice(3, 1, 1)
    assert.is_true((y - first):abs():max():item() == 0)
    assert.close(y:eq(0):double():mean(), 0.25, 0.15)
    assert.close(y:max(), 1 / 0.75)
    y:sum():backward()
    assert.is_true(x.grad:equal(y:detach()))
    lt.manual_seed(3)
    assert.is_true(layer(x):detach():equal(y:detach()))
    assert.is_true(layer:eval()(x):equal(x))
    assert.equal(0, nn.Dropout2d(1)(x):max():item())
    assert.misuse(function() nn.Dropout2d(2) end, "nn.Dropout2d: p: expected a number in %[0, 1%], got 2")
    assert.misuse(function() nn.Dropout2d()(lt.ones(2, 3)) end, "Dropout2d%(0.5%): expected %[batch, ..., channels%]")
  end)
end)

describe("nn.Hardtanh", function()
  it("has bounds in order", function()
    assert.close(nn.Hardtanh(0, 6)(lt.tensor{-1, 2, 7}), {0, 2, 6}, 0)
    assert.equal("Hardtanh(-1, 1)", tostring(nn.Hardtanh()))
    assert.misuse(function() nn.Hardtanh(1, 1) end, "nn.Hardtanh: greatest: expected above 1, got 1")
    assert.misuse(function() nn.SELU{alpha = 1} end, 'nn.SELU: unknown option "alpha"')
  end)
end)
