-- Every layer alone: what it computes, how it starts, what it says of itself. What all modules share
-- (names, state, modes) is in module_spec.lua; what they refuse in error_place_spec.lua.
local lt = require "latent"
local nn = require "latent.nn"
require "spec.support.close"

-- A tensor 1, 2, 3, ... times a factor, of some shape.
local function counted(shape, factor)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return lt.arange(n):reshape(shape) * (factor or 1)
end

local function largest(x) return x:abs():max():item() end

describe("nn.Linear", function()
  it("computes x weight + bias, over any leading axes", function()
    local layer = nn.Linear(2, 3)
    layer.weight:detach():copy_(lt.tensor {{1, 2, 3}, {4, 5, 6}})
    layer.bias:detach():copy_(lt.tensor {10, 20, 30})
    assert.close(layer(lt.tensor {{1, 0}, {2, 1}}), {{11, 22, 33}, {16, 29, 42}})
    assert.same({2, 1, 2, 3}, layer(lt.ones(2, 1, 2, 2)).shape)
    assert.close(layer(lt.tensor {1, 0}), {11, 22, 33})
  end)

  it("leaves the bias out on demand", function()
    local layer = nn.Linear(2, 3, {bias = false})
    assert.is_nil(layer.bias)
    assert.equal(1, #layer:parameters())
    assert.close(layer(lt.zeros(1, 2)), {{0, 0, 0}})
  end)

  it("starts uniform in +-1 / sqrt(inputs)", function()
    local layer = nn.Linear(400, 100)
    for _, p in ipairs(layer:parameters()) do
      assert.is_true(largest(p) <= 1 / 20)
      assert.is_true(largest(p) > 0.9 / 20)
    end
    assert.close(layer.weight:std():item(), 1 / 20 / math.sqrt(3), 0.02)
    assert.is_true(math.abs(layer.weight:mean():item()) < 1e-3)
  end)

  it("takes an empty batch", function()
    assert.same({0, 3}, nn.Linear(2, 3)(lt.zeros(0, 2)).shape)
  end)
end)

describe("nn.Conv2d", function()
  it("slides its kernel unflipped over images with the channels last", function()
    local layer = nn.Conv2d(1, 1, 2)
    layer.weight:detach():copy_(lt.tensor({{1, 2}, {3, 4}}):reshape(2, 2, 1, 1))
    layer.bias:detach():fill_(0.5)
    local x = counted {1, 3, 3, 1}
    assert.close(layer(x):reshape(-1), {37.5, 47.5, 67.5, 77.5})
  end)

  it("hands its options on to the op", function()
    local x = lt.randn(2, 9, 8, 3)
    local opts = {stride = {2, 1}, padding = {1, 2}, dilation = 2}
    local layer = nn.Conv2d(3, 5, {3, 2}, opts)
    assert.same({3, 2, 3, 5}, layer.weight.shape)
    assert.close(layer(x), lt.conv2d(x, layer.weight, layer.bias, opts))
    assert.is_nil(nn.Conv2d(1, 1, 3, {bias = false}).bias)
  end)

  it("starts uniform in +-1 / sqrt(inputs kernel height kernel width)", function()
    local bound = 1 / math.sqrt(25 * 2 * 2)
    for _, p in ipairs(nn.Conv2d(25, 400, 2):parameters()) do
      assert.is_true(largest(p) <= bound and largest(p) > 0.9 * bound)
    end
  end)
end)

describe("nn.ConvTranspose2d", function()
  it("adds its kernel, times each pixel, into the image", function()
    local layer = nn.ConvTranspose2d(1, 1, 2, {stride = 2})
    layer.weight:detach():copy_(lt.tensor({{1, 2}, {3, 4}}):reshape(2, 2, 1, 1))
    layer.bias:detach():fill_(1)
    assert.close(layer(lt.tensor({10, 20}):reshape(1, 1, 2, 1)):reshape(2, 4),
      {{11, 21, 21, 41}, {31, 41, 61, 81}})
  end)

  it("hands its options on to the op", function()
    local x = lt.randn(2, 4, 5, 3)
    local opts = {stride = 2, padding = 1, output_padding = {1, 0}, dilation = {1, 2}}
    local layer = nn.ConvTranspose2d(3, 5, 3, opts)
    assert.same({3, 3, 3, 5}, layer.weight.shape)
    assert.close(layer(x), lt.conv_transpose2d(x, layer.weight, layer.bias, opts))
  end)

  it("starts uniform in +-1 / sqrt(outputs kernel height kernel width)", function()
    local bound = 1 / math.sqrt(25 * 2 * 2)
    for _, p in ipairs(nn.ConvTranspose2d(400, 25, 2):parameters()) do
      assert.is_true(largest(p) <= bound and largest(p) > 0.8 * bound)
    end
  end)
end)

describe("layers without parameters", function()
  local x = counted({1, 4, 4, 1})

  it("MaxPool2d and AvgPool2d take windows, their stride the kernel unless said", function()
    assert.close(nn.MaxPool2d(2)(x):reshape(2, 2), {{6, 8}, {14, 16}})
    assert.close(nn.AvgPool2d(2)(x):reshape(2, 2), {{3.5, 5.5}, {11.5, 13.5}})
    assert.close(nn.MaxPool2d {1, 2}(x):reshape(-1), {2, 4, 6, 8, 10, 12, 14, 16})
    assert.same({1, 3, 3, 1}, nn.MaxPool2d(2, {stride = 1})(x).shape)
    assert.close(nn.MaxPool2d(3, {stride = 2, padding = 1})(x):reshape(2, 2), {{6, 8}, {14, 16}})
    assert.close(nn.AvgPool2d(3, {stride = 2, padding = 1})(x),
      lt.avg_pool2d(x, {kernel = 3, stride = 2, padding = 1}))
  end)

  it("Upsample repeats rows and columns", function()
    assert.close(nn.Upsample {2, 1}(lt.tensor({1, 2}):reshape(1, 1, 2, 1)):reshape(2, 2),
      {{1, 2}, {1, 2}})
    assert.same({1, 8, 8, 1}, nn.Upsample(2)(x).shape)
  end)

  it("Flatten keeps the batch and the order (height, width, channel)", function()
    local y = nn.Flatten()(counted {2, 2, 2, 3})
    assert.same({2, 12}, y.shape)
    assert.close(y[2], lt.arange(13, 24))
    assert.same({3, 1}, nn.Flatten()(lt.ones(3)).shape)
    assert.same({0, 6}, nn.Flatten()(lt.zeros(0, 2, 3)).shape)
  end)

  it("Reshape gives items another shape, with one size inferred", function()
    assert.same({3, 2, 2, 16}, nn.Reshape(2, 2, 16)(lt.ones(3, 64)).shape)
    assert.same({3, 2, 2, 16}, nn.Reshape {2, 2, 16}(lt.ones(3, 64)).shape)
    assert.same({3, 4, 16}, nn.Reshape(-1, 16)(lt.ones(3, 64)).shape)
    assert.same({0, 4, 16}, nn.Reshape(-1, 16)(lt.ones(0, 64)).shape)
  end)

  local activations = {
    ReLU = function(v) return math.max(v, 0) end,
    LeakyReLU = function(v) return v > 0 and v or 0.01 * v end,
    ELU = function(v) return v > 0 and v or math.exp(v) - 1 end,
    SiLU = function(v) return v / (1 + math.exp(-v)) end,
    Tanh = function(v) return 1 - 2 / (1 + math.exp(2 * v)) end,
    Sigmoid = function(v) return 1 / (1 + math.exp(-v)) end,
    Softplus = function(v) return math.log(1 + math.exp(v)) end,
  }
  for name, formula in pairs(activations) do
    it(name .. " is its formula", function()
      local values, wanted = {-3, -0.5, 0, 0.5, 3}, {}
      for i, v in ipairs(values) do wanted[i] = formula(v) end
      assert.close(nn[name]()(lt.tensor(values)), wanted)
    end)
  end

  it("GELU is x times the normal distribution function", function()
    assert.close(nn.GELU()(lt.tensor {-1, 0, 1, 2}), {-0.15865525, 0, 0.84134475, 1.9544997})
  end)

  it("LeakyReLU and ELU take their number", function()
    assert.close(nn.LeakyReLU(0.5)(lt.tensor {-2, 2}), {-1, 2})
    assert.close(nn.ELU(2)(lt.tensor {-1, 1}), {2 * (math.exp(-1) - 1), 1})
    assert.close(nn.LeakyReLU(0)(lt.tensor {-2, 2}), {0, 2})
  end)
end)

describe("nn.BatchNorm2d", function()
  local x = lt.tensor({1, 10, 2, 20, 3, 30, 6, 60}):reshape(2, 2, 1, 2) -- channels 1 2 3 6 and tenfold

  it("normalises by the batch and keeps running statistics in training", function()
    local layer = nn.BatchNorm2d(2, {eps = 1e-6})
    local y = layer(x)
    local s = math.sqrt(3.5) -- mean 3, variance (4 + 1 + 0 + 9) / 4
    assert.close(y:reshape(4, 2), {{-2 / s, -2 / s}, {-1 / s, -1 / s}, {0, 0}, {3 / s, 3 / s}})
    assert.close(layer.running_mean, {0.3, 3})
    assert.close(layer.running_var, {0.9 + 0.1 * 14 / 3, 0.9 + 0.1 * 1400 / 3}) -- unbiased
    layer(x)
    assert.close(layer.running_mean, {0.57, 5.7})
  end)

  it("uses the running statistics in evaluation and leaves them", function()
    local layer = nn.BatchNorm2d(2, {momentum = 0.5, eps = 1e-3})
    layer.weight:detach():copy_(lt.tensor {2, 3})
    layer.bias:detach():copy_(lt.tensor {1, -1})
    layer(x)
    layer:eval()
    local mean, var = layer.running_mean:table(), layer.running_var:table()
    assert.close(mean, {1.5, 15})
    local function at(c, v)
      return (v - mean[c]) / math.sqrt(var[c] + 1e-3) * ({2, 3})[c] + ({1, -1})[c]
    end
    assert.close(layer(x)[1]:reshape(-1), {at(1, 1), at(2, 10), at(1, 2), at(2, 20)})
    assert.close(layer.running_mean, mean, 0)
    assert.same({1, 1, 1, 2}, layer(lt.ones(1, 1, 1, 2)).shape) -- one value is enough here
  end)

  it("has gradients in both modes", function()
    for _, mode in ipairs {"train", "eval"} do
      local layer = nn.BatchNorm2d(2)
      layer[mode](layer)
      layer(x):square():sum():backward()
      assert.is_true(largest(layer.weight.grad) > 0)
      assert.is_nil(layer.running_mean.grad)
    end
  end)

  it("refuses a single value per channel in training", function()
    assert.error_matches(function() nn.BatchNorm2d(2)(lt.ones(1, 1, 1, 2)) end,
      "BatchNorm2d%(2%): training needs more than one value per channel, got %[1, 1, 1, 2%]")
  end)
end)

describe("nn.LayerNorm", function()
  it("normalises the last axis", function()
    local layer = nn.LayerNorm(2, {eps = 1e-6})
    assert.close(layer(lt.tensor {{1, 3}, {5, -5}}), {{-1, 1}, {1, -1}}, 1e-4)
    layer.weight:detach():copy_(lt.tensor {2, 3})
    layer.bias:detach():copy_(lt.tensor {1, 1})
    assert.close(layer(lt.tensor {1, 3}), {-1, 4}, 1e-4)
  end)
end)

describe("nn.Dropout", function()
  it("drops with probability p and scales the others up", function()
    lt.manual_seed(1)
    local y = nn.Dropout(0.25)(lt.ones(100000))
    local kept = y:ne(0):mean():item()
    assert.close(kept, 0.75, 0.02)
    assert.close(y:max():item(), 4 / 3)
    assert.close(y:mean():item(), 1, 0.02)
  end)

  it("does nothing in evaluation, nor with p = 0", function()
    local x = lt.randn(50)
    assert.equal(x:bytes(), nn.Dropout(0.9):eval()(x):bytes())
    assert.equal(x:bytes(), nn.Dropout(0)(x):bytes())
  end)

  it("draws anew each time, and the same again after the same seed", function()
    local layer, x = nn.Dropout(), lt.ones(1000)
    lt.manual_seed(5)
    local first, second = layer(x):bytes(), layer(x):bytes()
    assert.not_equal(first, second)
    lt.manual_seed(5)
    assert.equal(first, layer(x):bytes())
  end)
end)

describe("nn.Sequential", function()
  it("applies its layers in order", function()
    local model = nn.Sequential {nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)}
    local x = lt.randn(5, 2)
    local y = lt.linear(lt.linear(x, model[1].weight, model[1].bias):relu(), model[3].weight, model[3].bias)
    assert.equal(y:bytes(), model(x):bytes())
    assert.equal(3, #model)
  end)

  it("may be empty", function()
    local x = lt.ones(2)
    assert.equal(x, nn.Sequential {}(x))
  end)
end)

describe("initial weights", function()
  local function build()
    return nn.Sequential {nn.Conv2d(1, 4, 3), nn.ConvTranspose2d(4, 2, 3), nn.Flatten(), nn.Linear(32, 2)}
  end

  it("are the same after the same seed, and others after another", function()
    local bytes = {}
    for i, seed in ipairs {7, 7, 8} do
      lt.manual_seed(seed)
      local parts = {}
      for _, p in ipairs(build():parameters()) do parts[#parts + 1] = p:bytes() end
      bytes[i] = table.concat(parts)
    end
    assert.equal(bytes[1], bytes[2])
    assert.not_equal(bytes[1], bytes[3])
  end)

  it("want gradients, and get them", function()
    local model = build()
    model(lt.randn(2, 4, 4, 1)):square():sum():backward()
    for _, entry in ipairs(model:named_parameters()) do
      assert.is_true(entry[2].requires_grad)
      assert.same(entry[2].shape, entry[2].grad.shape)
    end
  end)
end)

describe("the text of a layer", function()
  local texts = {
    {nn.Linear(784, 400), "Linear(784 -> 400)"},
    {nn.Conv2d(1, 16, 3, {padding = 1}), "Conv2d(1 -> 16, 3x3, padding 1)"},
    {nn.Conv2d(1, 16, {3, 2}, {stride = {2, 1}, dilation = 2}),
      "Conv2d(1 -> 16, 3x2, stride {2, 1}, dilation 2)"},
    {nn.ConvTranspose2d(4, 2, 3, {stride = 2, output_padding = 1}),
      "ConvTranspose2d(4 -> 2, 3x3, stride 2, output_padding 1)"},
    {nn.MaxPool2d(2), "MaxPool2d(2)"},
    {nn.MaxPool2d({1, 2}), "MaxPool2d({1, 2})"},
    {nn.AvgPool2d(3, {stride = 2, padding = 1}), "AvgPool2d(3, stride 2, padding 1)"},
    {nn.Upsample(2), "Upsample(2)"},
    {nn.BatchNorm2d(8), "BatchNorm2d(8)"},
    {nn.LayerNorm(8.0), "LayerNorm(8)"},
    {nn.Dropout(0.25), "Dropout(0.25)"},
    {nn.ReLU(), "ReLU"},
    {nn.LeakyReLU(0.2), "LeakyReLU(0.2)"},
    {nn.Flatten(), "Flatten"},
    {nn.Reshape(2.0, 2, -1), "Reshape(2, 2, -1)"},
  }
  for _, pair in ipairs(texts) do
    it("is " .. pair[2], function() assert.equal(pair[2], tostring(pair[1])) end)
  end
end)
