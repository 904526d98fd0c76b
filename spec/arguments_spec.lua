-- Arguments beyond the plain ones: values by PyTorch in double precision (its layouts turned into ours), what is the
-- same in other words, and misuse.
local lt, nn = require "latent", require "latent.nn"
require "spec.support.close"

local inf, nan = math.huge, 0 / 0

-- Whole numbers from -5 to 5 in no order.
local function numbers(...)
  local shape, list = {...}, {}
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  for i = 1, n do list[i] = i * 7 % 11 - 5 end
  return lt.tensor(list):reshape(shape)
end

local LINE, SQUARE = lt.tensor{1, 4, 2}:reshape(1, 3, 1), lt.tensor{1, 4, 2, 8}:reshape(1, 2, 2, 1)
local LOGITS, WEIGHTS = lt.tensor{{1, 2, 4}, {0, -1, 1}, {3, 3, 3}}, lt.tensor{1, 2, 0.5}
local SURE = lt.tensor{{0.2, 0.3, 0.5}, {1, 0, 0}, {0, 0.5, 0.5}}
local ODDS, TRUTH = lt.tensor{{1, -2}, {0.5, 3}}, lt.tensor{{1, 0.25}, {0, 1}}
local IMAGE = numbers(1, 4, 4, 1)

local function values(name, list)
  it("of " .. name, function()
    for _, pair in ipairs(list) do assert.close(pair[1]():reshape(-1), pair[2], 1e-6) end
  end)
end

describe("values", function()
  values("convolutions in groups", {
    {function() return lt.conv2d(numbers(1, 2, 2, 4), numbers(1, 2, 2, 2), {groups = 2}) end, {3, 7, 7, 28}},
    {function() return lt.conv_transpose2d(numbers(1, 1, 2, 4), numbers(1, 2, 4, 1), nil, {groups = 2}) end,
      {8, 26, -28, -8, 25, 16}},
  })
  values("convolutions that keep the size", {
    {function() return lt.conv1d(numbers(1, 5, 2), numbers(2, 2, 1), nil, {padding = "same", dilation = 2}) end,
      {26, -3, 4, 0, 8}},
    {function() return lt.conv1d(numbers(1, 5, 2), numbers(4, 2, 1), {padding = "same"}) end, {-19, 75, -15, -31, 22}},
    {function() return lt.conv1d(numbers(1, 5, 2), numbers(2, 2, 1), {padding = "valid", stride = 2}) - 34 end,
      {0, -52}},
  })
  values("pools", {
    {function() return lt.max_pool2d(IMAGE, 2, {stride = 2, dilation = 2, padding = 1, ceil_mode = true}) end,
      {4, 4, -4, 5, 5, -3, 5, 5, -3}},
    {function() return lt.max_pool2d(IMAGE, 3, {stride = 2, ceil_mode = true}) end, {5, 5, 5, 2}},
    {function() return lt.max_pool2d(lt.ones(1, 2, 2, 1), 2, {padding = 2, dilation = 3, stride = 1}) end,
      {1, -inf, 1, -inf, -inf, -inf, 1, -inf, 1}},
    {function() return lt.avg_pool2d(IMAGE, 3, {stride = 2, ceil_mode = true}) end, {1 / 3, -1 / 6, 1 / 6, -1.25}},
    {function()
      return lt.avg_pool2d(IMAGE, 3, {stride = 2, padding = 1, ceil_mode = true, count_include_pad = false})
    end, {0.25, 2 / 3, -1.5, 1, -1 / 9, -5 / 3, 1.5, 1, -3}},
    {function() return lt.avg_pool2d(IMAGE, 2, {divisor_override = 3}) end, {1 / 3, 2 / 3, 5 / 3, -5 / 3}},
    {function() return lt.avg_pool2d(IMAGE, 2, {divisor_override = -3}) end, {-1 / 3, -2 / 3, -5 / 3, 5 / 3}},
    {function() return lt.avg_pool1d(numbers(1, 5, 1), 3, {stride = 2, padding = 1, count_include_pad = false}) end,
      {0, 4 / 3, -1}},
  })
  values("resampled lines", {
    {function() return lt.interpolate(LINE, 5) end, {1, 1, 4, 4, 2}},
    {function() return lt.interpolate(LINE, {size = 5, mode = "nearest-exact"}) end, {1, 1, 4, 2, 2}},
    {function() return lt.interpolate(LINE, {size = 5, mode = "linear"}) end, {1, 2.2, 4, 2.8, 2}},
    {function() return lt.interpolate(LINE, {size = 5, mode = "linear", align_corners = true}) end, {1, 2.5, 4, 3, 2}},
    {function() return lt.interpolate(LINE, {size = 5, mode = "area"}) end, {1, 2.5, 4, 3, 2}},
    {function() return lt.interpolate(LINE, {scale_factor = 1.7}) end, {1, 1, 4, 4, 2}},
    {function() return lt.interpolate(LINE, {scale_factor = 1.7, mode = "linear"}) end,
      {1, 2.147059, 3.911765, 2.882353, 2}},
  })
  values("resampled images", {
    {function() return lt.interpolate(SQUARE, {size = {3, 1}, mode = "bilinear"}) end, {2.5, 3.75, 5}},
    {function() return lt.interpolate(SQUARE, {size = 3, mode = "bicubic"}) end,
      {0.6753834, 2.282986, 3.890589, 1.109375, 3.75, 6.390625, 1.543367, 5.217014, 8.890661}},
    {function() return lt.interpolate(SQUARE, {size = 3, mode = "bicubic", align_corners = true}) end,
      {1, 2.5, 4, 1.5, 3.75, 6, 2, 5, 8}},
    {function() return lt.interpolate(IMAGE, {size = 2, mode = "bilinear", antialias = true}) end,
      {0.5102041, 0.2857143, 0.7346939, -0.8367347}},
    {function() return lt.interpolate(IMAGE, {size = 2, mode = "bicubic", antialias = true}) end,
      {0.5058227, 0.3641998, 0.9010143, -1.088843}},
    {function()
      return lt.interpolate(lt.arange(1, 8):reshape(1, 2, 2, 2, 1), {size = {1, 2, 3}, mode = "trilinear"})
    end, {3, 3.5, 4, 5, 5.5, 6}},
  })
  values("cross-entropy", {
    {function() return lt.cross_entropy(LOGITS, {2, 0, 1}, {weight = WEIGHTS}) end, {1.054215}},
    {function() return lt.cross_entropy(LOGITS, {2, 0, 1}, {ignore_index = 0}) end, {0.6342292}},
    {function() return lt.cross_entropy(LOGITS, {2, 0, 1}, "none", WEIGHTS, 0) end, {0.08492301, 0, 2.197225}},
    {function() return lt.cross_entropy(LOGITS, {2, 0, 1}, {label_smoothing = 0.2, weight = WEIGHTS}) end, {1.183681}},
    {function() return lt.cross_entropy(LOGITS, SURE) end, {1.292021}},
    {function()
      return lt.cross_entropy(LOGITS, SURE, {weight = WEIGHTS, label_smoothing = 0.1, reduction = "sum"})
    end, {4.87883}},
    {function() return lt.cross_entropy(LOGITS, {2, 0, 1}, "mean", nil, 0) end, {0.6342292}},
    {function() return lt.cross_entropy(LOGITS, {9, 9, 9}, {ignore_index = 9}) end, {nan}},
    {function() return lt.mse_loss({1, 2, 3}, {0, 0, 0}, {weight = {1, 0.5, 2}}) end, {6}},
    {function() return lt.mse_loss({1, 2, 3}, {0, 0, 0}, {weight = {1, 0.5, 2}, reduction = "sum"}) end, {21}},
    {function() return lt.mse_loss({1, 2, 3}, {0, 0, 0}, "none", {1, 0.5, 2}) end, {1, 2, 18}},
    {function() return lt.cross_entropy({{0, -inf}, {0, 0}}, {0, 1}, {weight = {1, 1}}) end, {math.log(2) / 2}},
    {function() return lt.cross_entropy(LOGITS[1], lt.tensor(2)) end, {0.1698460}},
  })
  values("binary cross-entropy", {
    {function() return lt.bce_with_logits(ODDS, TRUTH, {pos_weight = {3, 0.5}, weight = {{1}, {2}}}) end, {0.8243971}},
    {function() return lt.bce_with_logits(ODDS, TRUTH, {pos_weight = {3, 0.5}, reduction = "none"}) end,
      {0.9397851, 0.361062, 0.974077, 0.02429368}},
  })
  values("gaussian_nll, broadcast", {
    {function()
      return lt.gaussian_nll({{1, 2}, {3, 4}}, {{math.log(2)}, {math.log(0.5)}}, {1, 3}, {reduction = "none"})
    end, {0.3465736, 0.5965736, 3.6534264, 0.6534264}},
  })
  values("norms", {
    {function() return lt.norm({{3, -4}, {0, 1}}, 2, {p = 3}) end, {4.497941, 1}},
    {function() return lt.norm({3, -4}, {p = 0.5}) end, {13.9282}},
    {function() return lt.norm({{3, -4}, {0, 1}}, {axis = 1, p = 0}) end, {1, 2}},
    {function() return lt.norm({{3, -4}, {0, 1}}, 1, {p = 1}) end, {3, 5}},
    {function() return lt.norm({{3, -4}, {0, 1}}, 1, {p = inf}) end, {3, 4}},
    {function() return lt.norm({{3, -4}, {0, 1}}, 1, {p = -inf}) end, {0, 1}},
    {function() return lt.norm({1, nan}, {p = inf}) end, {nan}},
    {function() return lt.norm({1e30, 1e30}, {p = 3}) / 1e30 end, {2 ^ (1 / 3)}},
  })
  values("the rest", {
    {function() return lt.gelu({-1, 0.5, 2}, "tanh") end, {-0.158808, 0.345714, 1.954598}},
    {function() return lt.gelu({-inf, -300, 300, inf}, "tanh") end, {0, 0, 300, inf}},
    {function() return lt.softplus({-1, 0.5, 2}, {beta = 3, threshold = 4}) end, {0.01619578, 0.5671378, 2}},
    {function() return lt.var({1, 2, 4, 8}, {correction = 2.5}) end, {19.16667}},
    {function() return lt.var({1, 2}, {correction = 2}) end, {inf}},
    {function() return lt.round({1.25, 15.55, -0.26}, 1) end, {1.2, 15.6, -0.3}},
    {function() return lt.one_hot{1, 0, 2}:float() end, {0, 1, 0, 1, 0, 0, 0, 0, 1}},
    {function() return lt.round({125, -26}, {decimals = -1}) end, {120, -30}},
    {function() return lt.tensor(lt.flatten(lt.ones(2, 3, 4, 5), 2, -2).shape) end, {2, 12, 5}},
    {function() return lt.tensor(lt.flatten(lt.ones(2, 3), 1, 1).shape) end, {2, 3}},
    {function() return lt.dropout({1, 2, 3}, 1) end, {0, 0, 0}},
    {function() return lt.squeeze(lt.ones(1, 2, 1, 1), {1, -1}) end, {1, 1}},
    {function() return lt.clamp({-3, 0, 3, nan, 1}, {min = lt.tensor{-1, 1, 0, 0, nan}, max = 2}) end,
      {-1, 1, 2, nan, nan}},
    {function() return lt.clamp({0, 0}, lt.tensor{1, 3}, lt.tensor{2, 2}) end, {1, 2}},
    {function() return lt.max({{1, 5}, {7, 2}}, {1, 2}) end, {7}},
  })

  it("of a gradient whose bound, norm or maximum has several sides", function()
    local x = lt.param(lt.tensor{{3, 3}, {-3, 1}})
    lt.norm(x, {p = inf}):backward()
    assert.close(x.grad, {{1 / 3, 1 / 3}, {-1 / 3, 0}}, 1e-6)
    x:zero_grad()
    lt.max(x, {1, 2}):backward()
    assert.close(x.grad, {{1, 0}, {0, 0}})
    local zero = lt.param(lt.zeros(2))
    for _, p in ipairs{0.5, 1, 3, inf} do
      lt.norm(zero, {p = p}):backward()
      assert.close(zero.grad, {0, 0})
    end
    local low = lt.param(lt.tensor{-1, 1})
    local y = lt.param(lt.tensor{-1, 0})
    lt.clamp(y, low):sum():backward() -- at the bound itself it is x's
    assert.close(y.grad, {1, 0})
    assert.close(low.grad, {0, 1})
  end)
end)

describe("the places of maxima", function()
  it("count from 1 through each plane", function()
    local options = {stride = 2, dilation = 2, padding = 1, ceil_mode = true, return_indices = true}
    local y, at = lt.max_pool2d(IMAGE, 2, options)
    assert.close(at:reshape(-1), {6, 6, 8, 14, 14, 16, 14, 14, 16})
    assert.close(IMAGE:reshape(-1):gather_rows(at:reshape(-1)), y:reshape(-1))
    y, at = lt.max_pool1d(numbers(1, 5, 1), 2, {ceil_mode = true, return_indices = true})
    assert.close(y:reshape(-1), {2, 5, -3})
    assert.close(at:reshape(-1), {1, 3, 5})
  end)

  it("count through the volume", function()
    local x = lt.tensor{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4, 3, 3, 8}
      :reshape(1, 3, 3, 3, 1)
    local y, at = lt.max_pool3d(x, 2, {stride = 1, return_indices = true})
    assert.equal("i64", at.dtype)
    assert.same({1, 2, 2, 2, 1}, at.shape)
    assert.close(y:reshape(-1), {9, 9, 9, 9, 9, 9, 9, 9})
    assert.close(at:reshape(-1), {13, 6, 13, 6, 13, 15, 13, 15})
    local options = {stride = {1, 2, 2}, padding = {1, 0, 0}, ceil_mode = true, return_indices = true}
    y, at = lt.max_pool3d(x, {3, 2, 2}, options)
    assert.same({1, 3, 2, 2, 1}, at.shape)
    assert.close(x:reshape(-1):gather_rows(at:reshape(-1)), y:reshape(-1))
    assert.equal(1, select("#", lt.max_pool3d(x, 2, {return_indices = false})))
  end)

  it("are asked for, or not made", function()
    assert.equal(1, select("#", lt.max_pool2d(IMAGE, 2)))
    assert.equal(1, select("#", lt.max_pool2d(IMAGE, 2, {return_indices = false})))
  end)
end)

describe("the same in other words", function()
  it("one axis is an image of one row", function()
    local x, w, b = lt.randn(2, 9, 3), lt.randn(4, 3, 5), lt.randn(5)
    local want = lt.conv2d(x:reshape(2, 1, 9, 3), w:reshape(1, 4, 3, 5), b, {stride = {1, 2}, padding = {0, 1}})
    assert.equal(want:bytes(), lt.conv1d(x, w, b, {stride = 2, padding = 1}):bytes())
  end)

  it("groups as many as channels treat each by itself", function()
    local x, w = lt.randn(1, 5, 6, 3), lt.randn(3, 3, 1, 3)
    local y = lt.conv2d(x, w, nil, {padding = 1, groups = 3})
    for c = 1, 3 do
      assert.close(y:slice(4, c, c), lt.conv2d(x:slice(4, c, c), w:slice(4, c, c), nil, {padding = 1}))
    end
  end)

  it("plain arguments take the plain way, bit for bit", function()
    local x, labels = lt.randn(6, 4), {0, 1, 2, 3, 0, 1}
    assert.equal(lt.cross_entropy(x, labels):bytes(), lt.cross_entropy(x, labels, {reduction = "mean"}):bytes())
    assert.close(lt.cross_entropy(x, labels, {weight = lt.ones(4)}), lt.cross_entropy(x, labels))
    assert.close(lt.bce_with_logits(x, lt.sigmoid(x), {pos_weight = lt.ones(4)}), lt.bce_with_logits(x, lt.sigmoid(x)))
    assert.close(lt.softplus(x, {beta = 1, threshold = 1e4}), lt.softplus(x))
  end)

  it("a window without an element is nothing's gradient", function()
    local x = lt.param(lt.ones(1, 2, 2, 1))
    lt.max_pool2d(x, 2, {padding = 2, dilation = 3, stride = 1}):sum():backward()
    assert.close(x.grad:reshape(-1), {1, 1, 1, 1})
  end)
end)

describe("layers", function()
  it("hand the arguments on", function()
    local x = lt.randn(2, 5, 6, 4)
    local conv = nn.Conv2d(4, 6, {2, 3}, {groups = 2, padding = "same", dilation = {1, 2}})
    assert.same({2, 3, 2, 6}, conv.weight.shape)
    local options = {groups = 2, padding = "same", dilation = {1, 2}}
    assert.close(conv(x), lt.conv2d(x, conv.weight, conv.bias, options))
    conv = nn.Conv2d(4, 3, 3, {padding = "same"})
    assert.same({1, 1}, conv.padding)
    local back = nn.ConvTranspose2d(4, 6, 2, {groups = 2, stride = 2})
    assert.same({2, 2, 4, 3}, back.weight.shape)
    assert.close(back(x), lt.conv_transpose2d(x, back.weight, back.bias, {groups = 2, stride = 2}))
    options = {stride = 2, dilation = 2, padding = 1, ceil_mode = true}
    assert.close(nn.MaxPool2d(2, options)(x), lt.max_pool2d(x, 2, options))
    options = {padding = 1, ceil_mode = true, count_include_pad = false}
    assert.close(nn.AvgPool2d(3, options)(x), lt.avg_pool2d(x, 3, options))
    assert.close(nn.AvgPool2d(2, {divisor_override = 3})(x), lt.avg_pool2d(x, 2, {divisor_override = 3}))
    assert.close(nn.Upsample(1.5, {mode = "bilinear", align_corners = true})(x),
      lt.interpolate(x, {scale_factor = 1.5, mode = "bilinear", align_corners = true}))
    assert.close(nn.Upsample{2, 1}(x), lt.upsample_nearest(x, {2, 1}))
    assert.close(nn.GELU{approximate = "tanh"}(x), lt.gelu(x, "tanh"))
    assert.close(nn.Softplus{beta = 2, threshold = 1}(x), lt.softplus(x, {beta = 2, threshold = 1}))
    assert.equal(0, nn.Dropout(1)(x):abs():max():item())
    assert.close(nn.LayerNorm({5, 6, 4}, {elementwise_affine = false})(x), lt.layer_norm(x, lt.ones(5, 6, 4)))
    local norm = nn.LayerNorm(4, {bias = false})
    assert.is_nil(norm.bias)
    assert.close(norm(x), lt.layer_norm(x, norm.weight))
  end)

  it("that a block does not know are not made part of one", function()
    local x = lt.randn(2, 7, 7, 4)
    for _, list in ipairs{
      {nn.Conv2d(4, 6, 3, {groups = 2}), nn.ReLU(), nn.MaxPool2d(2)},
      {nn.Conv2d(4, 6, 2, {padding = "same"}), nn.ReLU(), nn.MaxPool2d(2)},
      {nn.Conv2d(4, 6, 3, {padding = 1}), nn.ReLU(), nn.MaxPool2d(2, {ceil_mode = true})},
      {nn.Conv2d(4, 6, 3, {padding = 1}), nn.ReLU(), nn.MaxPool2d(2, {dilation = 2})},
      {nn.Upsample(2, {mode = "bilinear"}), nn.Conv2d(4, 6, 3), nn.ReLU()},
    } do
      local want = x
      for _, layer in ipairs(list) do want = layer(want) end
      assert.close(nn.Sequential(list)(x), want)
    end
  end)

  it("say what they were given", function()
    for text, layer in pairs{
      ["Conv2d(4 -> 6, 3x3, padding 1, groups 2)"] = nn.Conv2d(4, 6, 3, {groups = 2, padding = "same"}),
      ["Conv2d(4 -> 6, 2x2, padding same)"] = nn.Conv2d(4, 6, 2, {padding = "same"}),
      ["MaxPool2d(2, dilation 2, ceil)"] = nn.MaxPool2d(2, {dilation = 2, ceil_mode = true}),
      ["Upsample({1.5, 2}, bicubic)"] = nn.Upsample({1.5, 2}, {mode = "bicubic"}), ["Upsample(2)"] = nn.Upsample(2),
      ["LayerNorm({2, 3})"] = nn.LayerNorm{2, 3}, ["GELU(tanh)"] = nn.GELU{approximate = "tanh"},
      ["Softplus(2)"] = nn.Softplus{beta = 2},
    } do assert.equal(text, tostring(layer)) end
  end)

  it("of whole images have PyTorch's arrays turned", function()
    local norm = nn.LayerNorm{2, 3, 4}
    lt.no_grad(function() norm.weight:copy_(lt.arange(1, 24):reshape(2, 3, 4)) end)
    local theirs = norm:state{layout = "torch"}
    assert.same({4, 2, 3}, theirs.weight.shape)
    assert.equal(2, theirs.weight:get(2, 1, 1))
    assert.close(nn.LayerNorm{2, 3, 4}:load_state(theirs, {layout = "torch"}).weight, norm.weight)
  end)
end)

local M23 = lt.ones(2, 3)
local bad = {
  {"conv2d: groups: expected a divisor of 3 channels and of 6 of the weight, got 2", function()
    return lt.conv2d(lt.ones(1, 4, 4, 3), lt.ones(2, 2, 1, 6), {groups = 2})
  end},
  {'conv2d: padding: "same" goes with a stride of 1, got 2', function()
    return lt.conv2d(IMAGE, lt.ones(2, 2, 1, 1), {padding = "same", stride = 2})
  end},
  {'conv2d: padding: expected whole numbers, "same" or "valid", got "full"', function()
    return lt.conv2d(IMAGE, lt.ones(2, 2, 1, 1), {padding = "full"})
  end},
  {'conv2d: unknown option "group" %(did you mean "groups"%?%)', function()
    return lt.conv2d(IMAGE, lt.ones(2, 2, 1, 1), {padding = "same", group = 2})
  end},
  {"conv1d: x: expected %[batch, time, channels%], got %[2, 3%]", function() return lt.conv1d(M23, M23) end},
  {"conv1d: weight: expected %[time, in, out%], got %[2, 3%]", function() return lt.conv1d(lt.ones(1, 5, 2), M23) end},
  {"conv1d: stride: expected a whole number of at least 1, got 0", function()
    return lt.conv1d(lt.ones(1, 5, 2), lt.ones(2, 2, 2), nil, {stride = 0})
  end},
  {"conv3d: weight: expected one for 2 channels, got %[1, 1, 1, 3, 1%]", function()
    return lt.conv3d(lt.ones(1, 2, 2, 2, 2), lt.ones(1, 1, 1, 3, 1))
  end},
  {"conv3d: weight: a kernel of depth 3 does not fit an input of depth 2", function()
    return lt.conv3d(lt.ones(1, 2, 2, 2, 1), lt.ones(3, 1, 1, 1, 1))
  end},
  {"conv3d: stride: expected a number or {depth, height, width}, got a table of 2", function()
    return lt.conv3d(lt.ones(1, 2, 2, 2, 1), lt.ones(1, 1, 1, 1, 1), nil, {stride = {1, 1}})
  end},
  {"conv_transpose3d: output_padding: expected less than the stride or the dilation, got 1", function()
    return lt.conv_transpose3d(lt.ones(1, 2, 2, 2, 1), lt.ones(1, 1, 1, 1, 1), nil, {output_padding = 1})
  end},
  {"max_pool1d: kernel is missing", function() return lt.max_pool1d(LINE) end},
  {"max_pool2d: dilation: expected 1 to", function() return lt.max_pool2d(IMAGE, 2, {dilation = 0}) end},
  {"interpolate: expected size or scale_factor, got neither", function() return lt.interpolate(IMAGE) end},
  {"interpolate: expected size or scale_factor, got both", function() return lt.interpolate(IMAGE, 2, 2) end},
  {'interpolate: mode: "linear" is for 1 spatial axis, got %[1, 4, 4, 1%]', function()
    return lt.interpolate(IMAGE, {size = 2, mode = "linear"})
  end},
  {'interpolate: align_corners: goes with the linear and cubic modes, not with "area"', function()
    return lt.interpolate(IMAGE, {size = 2, mode = "area", align_corners = true})
  end},
  {"interpolate: mode: expected one of nearest nearest%-exact .*, got \"cubic\"", function()
    return lt.interpolate(IMAGE, {size = 2, mode = "cubic"})
  end},
  {"interpolate: scale_factor: 0.1 leaves nothing of 4 elements", function()
    return lt.interpolate(IMAGE, {scale_factor = 0.1})
  end},
  {"interpolate: x: expected %[batch, one to three axes, channels%], got %[2, 3%]", function()
    return lt.interpolate(M23, 2)
  end},
  {"max: axis: expected 1%.%.2 or %-2%.%.%-1, got 3", function() return lt.max(M23, {1, 3}) end},
  {"amax: axis: expected 1%.%.2 or %-2%.%.%-1, got 3", function() return lt.amax(M23, {1, 3}) end},
  {"amin: axis: 2 is given twice", function() return lt.amin(M23, {2, -1}) end},
  {"amax: keepdim: expected a boolean, got 1", function() return lt.amax(M23, 1, 1) end},
  {"amax: x: expected at least one element to choose from, got shape %[0, 3%]", function() lt.zeros(0, 3):amax() end},
  {"max: x: expected at least one element to choose from, got shape %[0, 3%]", function()
    lt.zeros(0, 3):max{1, 2}
  end},
  {"amin: x: expected at least one element to choose from, got shape %[0, 2%]", function()
    return lt.amin(lt.zeros(0, 2), 1)
  end},
  {'softmax: dtype: expected "float32" or "float64", got "i64"', function() return M23:softmax(1, "i64") end},
  {'log_softmax: unknown option "dtyp" %(did you mean "dtype"%?%)', function()
    return M23:log_softmax(1, {dtyp = 1})
  end},
  {"softmax: axis is missing", function() return M23:softmax{dtype = "float64"} end},
  {"max: axis: 2 is given twice", function() return lt.max(M23, {2, -1}) end},
  {"logsumexp: keepdim: expected a boolean, got 1", function() return lt.logsumexp(M23, {1, 2}, 1) end},
  {"flatten: last: expected at least 2, as the first, got 1", function() return M23:flatten(2, 1) end},
  {"round: decimals: expected a whole number, got 1.5", function() return M23:round(1.5) end},
  {"one_hot: labels: expected whole numbers 0%.%.0, got 1.5", function() return lt.one_hot{1.5} end},
  {"one_hot: classes: expected a number, as there are no labels", function() return lt.one_hot{} end},
  {"squeeze: axis: 1 is given twice", function() return M23:squeeze{1, -2} end},
  {"norm: p: expected a number, got nan", function() return lt.norm(M23, {p = nan}) end},
  {"norm: x: expected at least one element for a norm of the order inf", function()
    return lt.norm(lt.zeros(0), {p = inf})
  end},
  {"var: correction: 2 is given, and unbiased = false, which is correction = 0", function()
    return lt.var(M23, {unbiased = false, correction = 2})
  end},
  {"gelu: approximate: expected one of none tanh, got \"erf\"", function() return lt.gelu(M23, "erf") end},
  {"dropout: p: expected a number in %[0, 1%], got 1.5", function() return lt.dropout(M23, 1.5) end},
  {"layer_norm: normalized_shape: expected %[3%], got %[2%]", function()
    return lt.layer_norm(M23, {normalized_shape = {2}})
  end},
  {"layer_norm: x: expected 3 axes or more, of at least one element, got %[2, 3%]", function()
    return lt.layer_norm(M23, lt.ones(1, 2, 3))
  end},
  {"mse_loss: weight: expected shape %[3%], got %[2%]", function()
    return lt.mse_loss({1, 2, 3}, {0, 0, 0}, {weight = {1, 2}})
  end},
  {"cross_entropy: weight: expected %[3%], got %[2%]", function()
    return lt.cross_entropy(LOGITS, {0, 1, 2}, {weight = {1, 2}})
  end},
  {"cross_entropy: label_smoothing: expected a number from 0 to 1, got 2", function()
    return lt.cross_entropy(LOGITS, {0, 1, 2}, {label_smoothing = 2})
  end},
  {"cross_entropy: ignore_index: expected labels as target, got probabilities", function()
    return lt.cross_entropy(LOGITS, SURE, {ignore_index = 1})
  end},
  {"cross_entropy: labels: expected the shape of x %[3, 3%], or that without its last axis, got %[2%]", function()
    return lt.cross_entropy(LOGITS, {0, 1}, {label_smoothing = 0.1})
  end},
  {"cross_entropy: labels: expected whole numbers 0%.%.2, got 3", function()
    local _ = lt.cross_entropy(LOGITS, {0, 1, 3}, {label_smoothing = 0.1})
  end},
  {"bce_with_logits: target: expected probabilities", function()
    return lt.bce_with_logits(ODDS, {{2, 0}, {0, 0}}, {pos_weight = 2})
  end},
  {"nn.Conv2d: groups: expected a divisor of 4 inputs and 5 outputs, got 2", function()
    return nn.Conv2d(4, 5, 3, {groups = 2})
  end},
  {'nn.Conv2d: padding: "same" goes with a stride of 1, got 2', function()
    return nn.Conv2d(4, 4, 3, {padding = "same", stride = 2})
  end},
  {'nn.Conv2d: padding: expected a whole number of at least 0, got "full"', function()
    return nn.Conv2d(4, 4, 3, {padding = "full"})
  end},
  {"nn.Upsample: scale: expected a number above 0, got 0", function() return nn.Upsample(0) end},
  {'nn.Upsample: mode: expected .*got "linear"', function() return nn.Upsample(2, {mode = "linear"}) end},
  {"nn.LayerNorm: features: expected a whole number of at least 1", function() return nn.LayerNorm{} end},
  {"gaussian_nll: log_var: expected shape %[2, 3%], got %[2%]", function()
    return lt.gaussian_nll(M23, lt.ones(2), M23)
  end},
}

describe("softmax of another type", function()
  it("is computed and returned in it, and the gradient comes back in x's", function()
    local x = lt.param(lt.tensor{1, 2, 4})
    local y = x:log_softmax(1, "float64")
    assert.equal("float64", y.dtype)
    assert.close(y, {-3.1698460195562856, -2.1698460195562856, -0.16984601955628567}, 1e-15)
    lt.dot(y, lt.tensor({1, 2, 3}, {dtype = "float64"})):backward()
    assert.equal("float32", x.grad.dtype)
    assert.close(x.grad, {0.7479395866394043, 1.3148287534713745, -2.0627684593200684}, 1e-7)
  end)

  it("takes whole numbers, its own type, and arguments by name", function()
    local want = {0.04201006613406605, 0.11419519938459449, 0.8437947344813395}
    assert.close(lt.tensor({1, 2, 4}, {dtype = "i64"}):softmax(1, {dtype = "float64"}), want, 1e-15)
    assert.equal("float32", lt.tensor({1, 2}, {dtype = "float64"}):softmax{axis = -1, dtype = "float32"}.dtype)
    local x = lt.randn(2, 3)
    assert.is_true(x:softmax(2):equal(x:softmax(2, "float32")))
    assert.is_true(x:log_softmax(2):equal(x:log_softmax{axis = 2}))
  end)
end)

describe("misuse", function()
  for _, case in ipairs(bad) do
    it("is met with " .. case[1], function()
      local ok, message = pcall(case[2])
      assert(not ok, "nothing was raised")
      assert.matches(case[1], message)
      assert.matches("^spec/arguments_spec%.lua:%d+: ", (message:gsub("^%./", "")))
    end)
  end
end)
