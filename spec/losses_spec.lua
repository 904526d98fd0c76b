-- Losses as functions and as modules, beside PyTorch's; first values of weights; weights computed from others.
local lt = require "latent"
local nn = require "latent.nn"
local safetensors = require "latent.safetensors"
require "spec.support.close"
require "spec.support.misuse"

local values = assert(safetensors.load "spec/fixtures/layers.safetensors")
local function at(name) return (assert(values[name], name)) end

local WEIGHT = lt.tensor{1, 2, 0.5, 3}
local LOSSES = {
  l1 = {"l1_loss", "L1Loss"}, smooth = {"smooth_l1_loss", "SmoothL1Loss", {beta = 0.5}},
  huber = {"huber_loss", "HuberLoss", {delta = 0.5, reduction = "none"}}, nll = {"nll_loss", "NLLLoss"},
  nll_weight = {"nll_loss", "NLLLoss", {weight = WEIGHT}},
  nll_ignore = {"nll_loss", "NLLLoss", {weight = WEIGHT, ignore_index = 1}}, kl = {"kl_div", "KLDivLoss"},
  kl_batch = {"kl_div", "KLDivLoss", {reduction = "batchmean", log_target = true}},
  bce = {"binary_cross_entropy", "BCELoss"}, bce_weight = {"binary_cross_entropy", "BCELoss", {weight = WEIGHT}},
  cosine = {"cosine_similarity", "CosineSimilarity"},
  cosine_embedding = {"cosine_embedding_loss", "CosineEmbeddingLoss", {margin = 0.1}},
  triplet = {"triplet_margin_loss", "TripletMarginLoss"},
  triplet_swap = {"triplet_margin_loss", "TripletMarginLoss", {margin = 0.5, p = 3, swap = true}},
  hinge = {"hinge_embedding_loss", "HingeEmbeddingLoss", {margin = 0.7}},
  ranking = {"margin_ranking_loss", "MarginRankingLoss", {margin = 0.2}},
}

-- What f makes of a case's inputs, and its gradients, in PyTorch's type or in `dtype`.
local function compare(key, f, tolerance, dtype)
  local function typed(x) return x.dtype == "float64" and dtype == "float32" and x:float() or x end
  local inputs = {}
  while values[("%s/in%d"):format(key, #inputs + 1)] do
    local i = #inputs + 1
    local x = typed(at(("%s/in%d"):format(key, i)):clone())
    inputs[i] = values[("%s/d%d"):format(key, i)] and lt.param(x) or x
  end
  local y = f(inputs)
  local dy = typed(at(key .. "/dy"))
  assert.equal(dy.dtype, y.dtype)
  assert.close(y, at(key .. "/y"), tolerance)
  y:backward(dy:reshape(y.shape))
  for i, x in ipairs(inputs) do
    local want = values[("%s/d%d"):format(key, i)]
    if want then assert.close(x.grad, want, tolerance) end
  end
end

describe("a loss has PyTorch's value and gradients:", function()
  for name, loss in pairs(LOSSES) do
    local key = "loss_" .. name

    it(loss[1] .. ", " .. name, function()
      compare(key, function(inputs)
        local given = table.move(inputs, 1, #inputs, 1, {})
        given[#given + 1] = loss[3]
        return lt[loss[1]](table.unpack(given))
      end)
    end)

    it("nn." .. loss[2] .. ", " .. name, function()
      local layer = nn[loss[2]](loss[3])
      assert.equal(loss[2], tostring(layer))
      compare(key, function(inputs) return layer(table.unpack(inputs)) end)
    end)
  end

  it("those of the core as modules", function()
    local x, y = lt.randn(3, 4), lt.rand(3, 4)
    assert.close(nn.MSELoss{reduction = "sum"}(x, y), lt.mse_loss(x, y, "sum"), 0)
    assert.close(nn.BCEWithLogitsLoss{pos_weight = WEIGHT}(x, y), lt.bce_with_logits(x, y, {pos_weight = WEIGHT}), 0)
    assert.close(nn.CrossEntropyLoss{label_smoothing = 0.1}(x, lt.tensor{0, 3, 1}),
      lt.cross_entropy(x, lt.tensor{0, 3, 1}, {label_smoothing = 0.1}), 0)
  end)

  it("cosines of what broadcasts", function()
    local x = lt.randn(4, 3)
    assert.close(lt.cosine_similarity(x, x[1]), lt.cosine_similarity(x, lt.stack{x[1], x[1], x[1], x[1]}))
    assert.close(lt.cosine_similarity(x, 2), lt.cosine_similarity(x, lt.full({4, 3}, 2)))
    assert.misuse(function() lt.cosine_similarity(x, lt.ones(2)) end,
      "cosine_similarity: shapes %[4, 3%] and %[2%] do not fit together")
    assert.misuse(function() lt.cosine_similarity(x, x, 3) end,
      "cosine_similarity: axis: expected 1%.%.2 or %-2%.%.%-1, got 3")
    local one = lt.tensor(2)
    assert.misuse(function() lt.cosine_similarity(one, one) end,
      "cosine_similarity: axis: a scalar has none, got %-1")
  end)

  it("finite where a probability is 0 or 1", function()
    assert.close(lt.binary_cross_entropy(lt.tensor{0, 1, 1}, lt.tensor{1, 0, 1}, "none"), {100, 100, 0})
    assert.close(lt.nll_loss(lt.tensor{{0, -math.huge}}, lt.tensor{0}), 0)
  end)
end)

-- Every criterion, with its options: as they stand, or a function that makes them of the type's weights of the classes.
local IN_DOUBLE = {
  mse = {"MSELoss"}, l1 = {"L1Loss"}, smooth = {"SmoothL1Loss", {beta = 0.5}},
  mse_weight = {nil, function(w) return {weight = w:broadcast_to(6, 4)} end, "mse_loss"},
  huber = {"HuberLoss", {delta = 0.5, reduction = "none"}}, cross = {"CrossEntropyLoss"},
  cross_all = {"CrossEntropyLoss", function(w) return {weight = w, ignore_index = 1, label_smoothing = 0.1} end},
  cross_ignore = {"CrossEntropyLoss", {ignore_index = 1, reduction = "sum"}},
  cross_shares = {"CrossEntropyLoss", function(w) return {weight = w, label_smoothing = 0.1} end},
  nll = {"NLLLoss"}, nll_weight = {"NLLLoss", function(w) return {weight = w} end},
  nll_ignore = {"NLLLoss", {ignore_index = 1}},
  nll_all = {"NLLLoss", function(w) return {weight = w, ignore_index = 1, reduction = "none"} end},
  kl = {"KLDivLoss", {reduction = "batchmean"}}, kl_log = {"KLDivLoss", {reduction = "sum", log_target = true}},
  bce = {"BCELoss"}, bce_weight = {"BCELoss", function(w) return {weight = w} end},
  logits = {"BCEWithLogitsLoss"},
  logits_weight = {"BCEWithLogitsLoss", function(w) return {weight = w, pos_weight = w + 1} end},
  gaussian = {"GaussianNLLLoss", {constant = true, reduction = "sum"}},
  cosine = {"CosineSimilarity"}, cosine_wide = {"CosineSimilarity"},
  cosine_embedding = {"CosineEmbeddingLoss", {margin = 0.1}}, triplet = {"TripletMarginLoss"},
  triplet_swap = {"TripletMarginLoss", {margin = 0.5, p = 3, swap = true}},
  hinge = {"HingeEmbeddingLoss", {margin = 0.7}}, ranking = {"MarginRankingLoss", {margin = 0.2}},
}

describe("a criterion in float64", function()
  local classes = {}
  for name, case in pairs(IN_DOUBLE) do
    if case[1] then classes[case[1]] = true end
    it("is PyTorch's to the last digits, and near to it in float32: " .. name, function()
      -- PyTorch's cosine_embedding_loss adds 1e-12 to the squares of lengths.
      for dtype, tolerance in pairs{float64 = name == "cosine_embedding" and 1e-11 or 1e-13, float32 = 2e-5} do
        local opts = case[2]
        if type(opts) == "function" then opts = opts(lt.tensor({1, 2, 0.5, 3}, {dtype = dtype})) end
        compare("loss64_" .. name, function(inputs)
          if case[1] then return nn[case[1]](opts)(table.unpack(inputs)) end
          table.insert(inputs, opts)
          return lt[case[3]](table.unpack(inputs))
        end, tolerance, dtype)
      end
    end)
  end

  it("is tried, whichever there is", function()
    local count = 0
    for name, class in pairs(nn) do
      if type(class) == "table" and (name:find "Loss$" or name == "CosineSimilarity") then
        assert(classes[name], "no case for nn." .. name)
        count = count + 1
      end
    end
    assert(count >= 15)
  end)

  it("is refused what is of the other type, under its own names", function()
    local x, y, w = lt.rand(2, 3, {dtype = "float64"}), lt.rand(2, 3), lt.ones(3)
    for pattern, f in pairs{
      ["l1_loss: input is float64 and target float32; make them one type, with target:double%(%) or input:float%(%)"] =
        function() lt.l1_loss(x, y) end,
      ["nll_loss: input is float64 and weight float32"] = function() lt.nll_loss(x, {0, 1}, {weight = w}) end,
      ["cross_entropy: x is float64 and weight float32"] = function() lt.cross_entropy(x, {0, 1}, {weight = w}) end,
      ["cross_entropy: x is float64 and target float32"] = function()
        lt.cross_entropy(x, y, {label_smoothing = 0.1})
      end,
      ["binary_cross_entropy: input is float64 and weight float32"] = function()
        lt.binary_cross_entropy(x, x, {weight = w})
      end,
      ["bce_with_logits: x is float64 and pos_weight float32"] = function()
        lt.bce_with_logits(x, x, {pos_weight = w})
      end,
      ["mse_loss: input is float64 and weight float32"] = function() lt.mse_loss(x, x, {weight = y}) end,
      ["cosine_similarity: a is float64 and b float32"] = function() lt.cosine_similarity(x, y) end,
      ["triplet_margin_loss: anchor is float64 and negative float32"] = function()
        lt.triplet_margin_loss(x, x, y)
      end,
    } do
      assert.misuse(f, pattern)
    end
  end)
end)

describe("losses refuse", function()
  local x, y = lt.ones(2, 3), lt.ones(3)
  for pattern, f in pairs{
    ["l1_loss: target: expected the shape of input %[2, 3%], got %[3%]"] = function() lt.l1_loss(x, y) end,
    ["huber_loss: delta: expected above 0, got 0"] = function() lt.huber_loss(x, x, {delta = 0}) end,
    ["nll_loss: expected log%-probabilities %[n, classes%] and labels %[n%]"] = function() lt.nll_loss(x, y) end,
    ["nll_loss: weight: expected %[3%], got %[2%]"] = function()
      lt.nll_loss(x, lt.tensor{0, 1}, {weight = lt.ones(2)}) end,
    ["binary_cross_entropy: input: expected probabilities in %[0, 1%], got 1.5"] = function()
      lt.binary_cross_entropy(lt.tensor{0.5, 1.5}, lt.tensor{0, 1}) end,
    ["cosine_embedding_loss: target: expected %[2%], got %[3%]"] = function() lt.cosine_embedding_loss(x, x, y) end,
    ["kl_div: reduction: expected one of mean batchmean sum none"] = function() lt.kl_div(x, x, "avg") end,
    ["L1Loss: expected 2 tensors, got 1"] = function() nn.L1Loss()(x) end,
    ["nn.TripletMarginLoss: p: expected a number above 0, got 0"] = function() nn.TripletMarginLoss{p = 0} end,
    ['nn.KLDivLoss: unknown option "log"'] = function() nn.KLDivLoss{log = true} end,
  } do
    it(pattern, function() assert.misuse(f, pattern) end)
  end
end)

describe("nn.init", function()
  local init = nn.init
  local function moments(x) return x:mean():item(), x:std():item(), x:abs():max():item() end

  it("has the spreads of its names", function()
    lt.manual_seed(4)
    local w = lt.param(lt.zeros(3, 3, 20, 40)) -- inputs 180, outputs 360
    local n = {}
    for name, want in pairs{
      xavier_uniform_ = (2 / 540) ^ 0.5, xavier_normal_ = (2 / 540) ^ 0.5, kaiming_uniform_ = (2 / 180) ^ 0.5,
      kaiming_normal_ = (2 / 180) ^ 0.5,
    } do
      assert.equal(w, init[name](w))
      local mean, std, most = moments(w)
      assert.close(std, want, 0.05)
      assert.is_true(math.abs(mean) < want / 10)
      if name:find "uniform" then assert.is_true(most <= 3 ^ 0.5 * want) end
      n[#n + 1] = name
    end
    assert.equal(4, #n)
    assert.is_true(w.requires_grad and w.is_leaf)
    init.kaiming_normal_(w, {mode = "fan_out", nonlinearity = "tanh"})
    assert.close(w:std():item(), 5 / 3 / 360 ^ 0.5, 0.05)
    init.xavier_uniform_(w, {gain = 2})
    assert.close(w:std():item(), 2 * (2 / 540) ^ 0.5, 0.05)
    init.uniform_(w, {a = -1, b = 3})
    local mean, std = moments(w)
    assert.close(mean, 1, 0.1)
    assert.close(std, 4 / 12 ^ 0.5, 0.05)
    init.normal_(w, {mean = 2, std = 0.5})
    mean, std = moments(w)
    assert.close(mean, 2, 0.02)
    assert.close(std, 0.5, 0.05)
  end)

  it("cuts the normal distribution off", function()
    local x = init.trunc_normal_(lt.zeros(20000), {generator = lt.generator(3)})
    local mean, std, most = moments(x)
    assert.is_true(most <= 2 and most > 1.9 and math.abs(mean) < 0.02)
    assert.close(std, 0.8796, 0.02)
    x = init.trunc_normal_(lt.zeros(20000), {mean = 1, std = 2, a = 0, b = 1})
    assert.is_true(x:min():item() >= 0 and x:max():item() <= 1)
  end)

  it("makes orthogonal matrices", function()
    for _, shape in ipairs{{4, 7}, {7, 4}, {3, 2, 5}, {60, 60}, {1, 1}} do
      local x = init.orthogonal_(lt.zeros(shape), {gain = 2})
      local m = x:reshape(-1, shape[#shape])
      local rows, columns = m:size(1), m:size(2)
      local square = rows <= columns and m:matmul(m:transpose()) or m:transpose():matmul(m)
      assert.close(square, lt.eye(math.min(rows, columns)) * 4, 1e-5)
    end
    assert.same({0, 3}, init.orthogonal_(lt.zeros(0, 3)).shape)
  end)

  it("fills, and knows gains", function()
    assert.close(init.constant_(lt.zeros(2), 3), {3, 3})
    assert.close(init.zeros_(init.ones_(lt.zeros(2)) * 2), {0, 0})
    assert.close(init.eye_(lt.ones(2, 3)), {{1, 0, 0}, {0, 1, 0}})
    assert.close(init.calculate_gain "leaky_relu", (2 / 1.0001) ^ 0.5)
    assert.close(init.calculate_gain("leaky_relu", 1), 1)
    assert.close(init.calculate_gain "tanh", 5 / 3)
  end)

  it("follows a generator", function()
    for _, name in ipairs{"uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "kaiming_normal_",
      "orthogonal_"} do
      local a = init[name](lt.zeros(3, 4), {generator = lt.generator(7)})
      local b = init[name](lt.zeros(3, 4), {generator = lt.generator(7)})
      assert.equal(a:bytes(), b:bytes())
      assert.not_equal(a:bytes(), init[name](lt.zeros(3, 4), {generator = lt.generator(8)}):bytes())
    end
  end)

  it("refuses what it cannot fill", function()
    for pattern, f in pairs{
      ["nn.init.xavier_uniform_: expected at least two axes, .*, got 1"] = function()
        init.xavier_uniform_(lt.ones(3)) end,
      ["nn.init.normal_: x: expected a tensor, got 3"] = function() init.normal_(3) end,
      ["nn.init.zeros_: x: expected a floating type, got u8"] = function() init.zeros_(lt.ones(2):u8()) end,
      ["nn.init.trunc_normal_: expected a below b, got 2 and %-2"] = function()
        init.trunc_normal_(lt.ones(2), {a = 2, b = -2}) end,
      ["nn.init.kaiming_normal_: mode: expected \"fan_in\" or \"fan_out\""] = function()
        init.kaiming_normal_(lt.ones(2, 2), {mode = "fan"}) end,
      ["nn.init.calculate_gain: nonlinearity: expected"] = function() init.calculate_gain "softplus" end,
      ['nn.init.orthogonal_: unknown option "gian" %(did you mean "gain"'] = function()
        init.orthogonal_(lt.ones(2, 2), {gian = 2}) end,
    } do
      assert.misuse(f, pattern)
    end
  end)
end)

describe("weights computed from others", function()
  local TORCH = {layout = "torch"}
  local function under(prefix)
    local list = {}
    for name, x in pairs(values) do
      if name:sub(1, #prefix) == prefix then list[name:sub(#prefix + 1)] = x end
    end
    return list
  end
  for name, make in pairs{
    spectral_linear = function() return nn.spectral_norm(nn.Linear(5, 3)):eval() end,
    spectral_conv = function() return nn.spectral_norm(nn.Conv2d(2, 3, {2, 3})):eval() end,
    spectral_transpose = function() return nn.spectral_norm(nn.ConvTranspose2d(2, 3, {2, 3})):eval() end,
    weight_linear = function() return nn.weight_norm(nn.Linear(5, 3)) end,
    weight_conv = function() return nn.weight_norm(nn.Conv1d(2, 3, 3)) end,
  } do
    it("take PyTorch's weights, give its values and gradients, and the weights back: " .. name, function()
      local state = under(name .. "/state/")
      local layer = make():load_state(state, TORCH)
      for key, x in pairs(layer:state(TORCH)) do assert.equal(state[key]:bytes(), x:bytes(), key) end
      local x = lt.param(at(name .. "/x"):clone())
      local y = layer(x)
      assert.close(y, at(name .. "/y"))
      y:backward(at(name .. "/dy"))
      assert.close(x.grad, at(name .. "/dx"), 2e-5)
      local gradients = under(name .. "/grad/")
      for key, array in pairs(state) do gradients[key] = gradients[key] or array end
      local want = make():load_state(gradients, TORCH):state()
      for _, entry in ipairs(layer:named_parameters()) do assert.close(entry[2].grad, want[entry[1]], 2e-5) end
    end)
  end

  it("follow the largest singular value at each call in training", function()
    local layer = nn.spectral_norm(nn.Linear(5, 3)):load_state(under "spectral_step/state/", TORCH)
    assert.close(layer(at "spectral_step/x"), at "spectral_step/y")
    assert.close(layer.weight_u, at "spectral_step/u")
    for _ = 1, 200 do layer(lt.ones(1, 5)) end
    local w = layer(lt.eye(5)) - layer.bias
    local v = lt.randn(3, 1)
    for _ = 1, 200 do
      v = w:transpose():matmul(w:matmul(v))
      v = v / v:norm()
    end
    assert.close(w:matmul(v):norm(), 1, 1e-4)
  end)

  it("leave a layer in order, within models and after an error", function()
    local model = nn.Sequential{nn.spectral_norm(nn.Linear(2, 3)), nn.ReLU(), nn.weight_norm(nn.Linear(3, 1))}
    assert.has_error(function() model(lt.ones(1, 5)) end)
    assert.is_nil(rawget(model[1], "weight"))
    model(lt.ones(4, 2)):sum():backward()
    local names = {}
    for i, entry in ipairs(model:named_parameters()) do names[i] = entry[1] end
    assert.same({"1.weight_orig", "1.bias", "3.weight_g", "3.weight_v", "3.bias"}, names)
    assert.equal("Linear(2 -> 3)", tostring(model[1]))
    assert.misuse(function() nn.spectral_norm(model[1]) end, 'nn.spectral_norm: Linear.* has no parameter "weight"')
    assert.misuse(function() nn.weight_norm(nn.LayerNorm(3)) end,
      "nn.weight_norm: weight: expected at least two axes, got 1")
    assert.misuse(function() nn.weight_norm(3) end, "nn.weight_norm: layer: expected a module, got 3")
  end)
end)
