-- Layers beside PyTorch's: weights taken over from it, outputs, gradients of the input and of every weight, and the
-- same weights given back. The values are spec/support/layers.py's.
local lt = require "latent"
local nn = require "latent.nn"
local safetensors = require "latent.safetensors"
local layer_cases = require "spec.support.layer_cases"
require "spec.support.close"
require "spec.support.misuse"

local values = assert(safetensors.load "spec/fixtures/layers.safetensors")
local TORCH = {layout = "torch", names = "zero-based"}

local function at(name) return (assert(values[name], name)) end

-- The arrays whose names begin so, under the rest of their names.
local function under(prefix)
  local list = {}
  for name, x in pairs(values) do
    if name:sub(1, #prefix) == prefix then list[name:sub(#prefix + 1)] = x end
  end
  return list
end

-- A layer with PyTorch's weights, which it gives back bit for bit.
local function loaded(name, make)
  local state = under(name .. "/state/")
  local layer = make():load_state(state, TORCH)
  local back = layer:state(TORCH)
  for key, x in pairs(state) do assert.equal(x:bytes(), back[key]:bytes(), key) end
  return layer
end

-- Gradients beside PyTorch's, which pass through a second layer of the same make to be in our layout.
local function compare_gradients(name, layer, make)
  local theirs, wanted = under(name .. "/grad/"), under(name .. "/state/")
  for key, x in pairs(theirs) do wanted[key] = x end
  local want = make():load_state(wanted, TORCH):state()
  local count = 0
  for _, entry in ipairs(layer:named_parameters()) do
    assert.close(entry[2].grad, want[entry[1]], 2e-5)
    count = count + 1
  end
  local expected = 0
  for _ in pairs(theirs) do expected = expected + 1 end
  assert.equal(expected, count)
end

local CASES = {
  conv1d = function() return nn.Conv1d(3, 4, 3, {stride = 2, padding = 2, dilation = 2}) end,
  conv_transpose1d = function() return nn.ConvTranspose1d(3, 4, 3, {stride = 2, padding = 1, output_padding = 1}) end,
  conv1d_groups = function() return nn.Conv1d(4, 6, 4, {padding = "same", dilation = 3, groups = 2}) end,
  conv_transpose1d_groups = function() return nn.ConvTranspose1d(4, 6, 3, {stride = 2, padding = 1, groups = 2}) end,
  max_pool1d = function() return nn.MaxPool1d(3, {stride = 2, padding = 1}) end,
  avg_pool1d = function() return nn.AvgPool1d(3, {stride = 2, padding = 1}) end,
  global_avg = function() return nn.GlobalAvgPool() end,
  global_max = function() return nn.GlobalMaxPool() end,
  batch_norm1d = function() return nn.BatchNorm1d(4) end,
  batch_norm1d_sequences = function() return nn.BatchNorm1d(4) end,
  batch_norm1d_eval = function() return nn.BatchNorm1d(4):eval() end,
  batch_norm2d_bare = function() return nn.BatchNorm2d(3, {affine = false, track_running_stats = false}) end,
  group_norm = function() return nn.GroupNorm(2, 6) end,
  group_norm_rows = function() return nn.GroupNorm(2, 6) end,
  instance_norm1d = function() return nn.InstanceNorm1d(3, {affine = true}) end,
  instance_norm2d = function() return nn.InstanceNorm2d(3) end,
  rms_norm = function() return nn.RMSNorm(5) end,
  prelu = function() return nn.PReLU(4) end,
  softmax = function() return nn.Softmax() end,
  log_softmax = function() return nn.LogSoftmax() end,
  embedding = function() return nn.Embedding(7, 3, {first = 0}) end,
  embedding_padding = function() return nn.Embedding(7, 3, {first = 0, padding = 1}) end,
  rnn = function() return nn.RNN(5, 4, {nonlinearity = "relu"}) end,
  lstm = function() return nn.LSTM(5, 4, {layers = 2, bidirectional = true}) end,
  gru = function() return nn.GRU(5, 4, {layers = 2, bidirectional = true}) end,
  lstm_plain = function() return nn.LSTM(5, 4, {bias = false}) end,
  conv3d = function()
    return nn.Conv3d(3, 4, {3, 2, 1}, {stride = {1, 2, 1}, padding = {1, 0, 2}, dilation = {2, 1, 1}})
  end,
  conv3d_groups = function() return nn.Conv3d(4, 6, {2, 3, 4}, {padding = "same", groups = 2}) end,
  conv_transpose3d = function()
    return nn.ConvTranspose3d(3, 2, {2, 3, 2}, {stride = {2, 1, 3}, padding = {0, 1, 1}, output_padding = {1, 0, 2}})
  end,
  conv_transpose3d_groups = function() return nn.ConvTranspose3d(4, 6, 2, {stride = 2, groups = 2, bias = false}) end,
  max_pool3d = function() return nn.MaxPool3d({2, 3, 2}, {stride = {2, 1, 1}, padding = {1, 1, 0}}) end,
  avg_pool3d = function() return nn.AvgPool3d(2, {stride = 1, padding = 1, count_include_pad = false}) end,
  batch_norm3d = function() return nn.BatchNorm3d(3) end,
  volumes = function()
    return nn.Sequential{nn.Conv3d(2, 3, 2), nn.ReLU(), nn.MaxPool3d{1, 2, 2}, nn.Flatten(), nn.Linear(18, 4)}
  end,
  pixel_shuffle = function() return nn.PixelShuffle(2) end,
  pixel_unshuffle = function() return nn.PixelUnshuffle(2) end,
  shuffled = function()
    return nn.Sequential{nn.Conv2d(2, 8, 1), nn.PixelShuffle(2), nn.Flatten(), nn.Linear(48, 3)}
  end,
  zero_pad2d = function() return nn.ZeroPad2d{1, 2, 0, 3} end,
  reflection_pad2d = function() return nn.ReflectionPad2d{1, 2, 3, 0} end,
  replication_pad2d = function() return nn.ReplicationPad2d(2) end,
  selu = function() return nn.SELU() end,
  mish = function() return nn.Mish() end,
  softsign = function() return nn.Softsign() end,
  log_sigmoid = function() return nn.LogSigmoid() end,
  hardtanh = function() return nn.Hardtanh(-0.5, 0.75) end,
  adaptive_avg1 = function() return nn.AdaptiveAvgPool1d(3) end,
  adaptive_avg2 = function() return nn.AdaptiveAvgPool2d{3, 4} end,
  adaptive_avg3 = function() return nn.AdaptiveAvgPool3d{2, 3, 2} end,
  adaptive_max1 = function() return nn.AdaptiveMaxPool1d(3) end,
  adaptive_max2 = function() return nn.AdaptiveMaxPool2d{3, 4} end,
  adaptive_max3 = function() return nn.AdaptiveMaxPool3d{2, 3, 2} end,
  attention = function() return nn.MultiheadAttention(8, 2) end,
  encoder_layer = function() return nn.TransformerEncoderLayer(8, 2, {dim_feedforward = 16, dropout = 0}) end,
}

describe("a layer with PyTorch's weights computes and derives what it does:", function()
  for name, make in pairs(CASES) do
    it(name, function()
      local layer = loaded(name, make)
      local x = at(name .. "/x"):clone()
      if values[name .. "/dx"] then x = lt.param(x) end
      local y = layer(x)
      assert.same(at(name .. "/y").shape, y.shape)
      assert.close(y, at(name .. "/y"))
      y:backward(at(name .. "/dy"))
      if values[name .. "/dx"] then assert.close(x.grad, at(name .. "/dx"), 2e-5) end
      compare_gradients(name, layer, make)
    end)
  end
end)

describe("a batch norm", function()
  it("without momentum keeps the means of all batches, and counts them as PyTorch does", function()
    local state = under "batch_norm2d_mean/state/"
    state.num_batches_tracked = lt.tensor({0}, {dtype = "i64"}):reshape{}
    local layer = nn.BatchNorm2d(3, {momentum = false}):load_state(state, TORCH)
    assert.close(layer(at "batch_norm2d_mean/x"), at "batch_norm2d_mean/y")
    layer(lt.arange(0, 95):reshape(2, 4, 4, 3):sin())
    local back = layer:state(TORCH)
    assert.equal(2, layer.num_batches_tracked:item())
    assert.equal("i64", back.num_batches_tracked.dtype)
    for _, name in ipairs{"running_mean", "running_var"} do
      assert.close(back[name], at("batch_norm2d_mean/after/" .. name))
    end
    assert.is_nil(nn.BatchNorm2d(3):state().num_batches_tracked)
    assert.misuse(function() nn.BatchNorm1d(3, {momentum = true}) end,
      "nn.BatchNorm1d: momentum: expected a number from 0 to 1, or false, got true")
  end)

  it("keeps running statistics to the bits of the ops that they stand for", function()
    for _, dtype in ipairs{"float32", "float64"} do
      for channels = 1, 35 do
        local layer = nn.BatchNorm1d(channels, {momentum = 0.37, dtype = dtype})
        local x = lt.randn(7, channels, {dtype = dtype}) * 3 + 2
        local _, mean, var = lt.batch_norm_train(x, layer.weight, layer.bias)
        local wanted = {running_mean = layer.running_mean * (1 - 0.37) + mean * 0.37,
          running_var = layer.running_var * (1 - 0.37) + var * (7 / 6) * 0.37}
        layer(x)
        for name, value in pairs(wanted) do assert.equal(value:bytes(), layer[name]:bytes()) end
      end
    end
  end)

  it("may have a weight alone", function()
    local layer, x = nn.BatchNorm1d(2, {bias = false}), lt.tensor{{1, 2}, {3, 6}}
    layer.weight:detach():copy_(lt.tensor{2, 3})
    assert.close(layer(x), {{-2, -3}, {2, 3}}, 1e-4)
    assert.close(layer:eval()(x), (x - layer.running_mean) / (layer.running_var + 1e-5):sqrt() * lt.tensor{2, 3})
    assert.equal(1, #layer:parameters())
  end)
end)

describe("recurrent layers", function()
  for _, name in ipairs{"rnn", "lstm", "gru", "lstm_plain"} do
    it("give their last states, take a first one, and heed lengths, as PyTorch's packed sequences: " .. name, function()
      local layer, wide = loaded(name, CASES[name]), name:find "lstm"
      local x = lt.param(at(name .. "/x"):clone())
      local function compare(ends, key)
        if not wide then ends = {ends} end
        for i, x_end in ipairs(ends) do assert.close(x_end, at(name .. key .. i)) end
      end
      local _, ends = layer(x)
      compare(ends, "/end")
      local h, c = at(name .. "/h"), at(name .. "/c")
      for _, lengths in ipairs{{6, 2, 4}, lt.tensor{6, 2, 4}} do
        x:zero_grad()
        layer:zero_grad()
        local y
        y, ends = layer(x, wide and {h, c} or h, lengths)
        assert.close(y, at(name .. "/packed_y"))
        compare(ends, "/packed_end")
        y:backward(at(name .. "/dy"))
        assert.close(x.grad, at(name .. "/packed_dx"), 2e-5)
        assert.close(layer.weight_hh_l0.grad:transpose(), at(name .. "/packed_grad"), 2e-5)
      end
    end)
  end

  it("have single steps", function()
    local h, c = at "cells/h", at "cells/c"
    for name, make in pairs{
      rnn_cell = function() return nn.RNNCell(5, 4, {nonlinearity = "relu"}) end,
      gru_cell = function() return nn.GRUCell(5, 4) end,
      lstm_cell = function() return nn.LSTMCell(5, 4) end,
      lstm_cell_fresh = function() return nn.LSTMCell(5, 4, {bias = false}) end,
    } do
      local layer, x = loaded(name, make), lt.param(at(name .. "/x"):clone())
      local y
      if name == "lstm_cell_fresh" then y = layer(x)[1]
      elseif name == "lstm_cell" then y = lt.cat(layer(x, {h, c}), 2)
      else y = layer(x, h) end
      assert.close(y, at(name .. "/y"))
      y:backward(at(name .. "/dy"))
      assert.close(x.grad, at(name .. "/dx"), 2e-5)
      compare_gradients(name, layer, make)
    end
    assert.misuse(function() nn.LSTMCell(5, 4)(lt.ones(3, 5), h) end,
      "LSTMCell%(5 %-> 4%): state: expected {h, c}, each %[3, 4%], got a tensor %[3, 4%]")
    assert.misuse(function() nn.GRUCell(5, 4)(lt.ones(2, 5), h) end,
      "GRUCell%(5 %-> 4%): state: expected %[2, 4%], got a tensor %[3, 4%]")
    assert.misuse(function() nn.RNNCell(5, 4)(lt.ones(2, 3)) end,
      "RNNCell%(5 %-> 4%): expected %[batch, 5%], got %[2, 3%]")
  end)

  it("go on from a state as if there had been no break", function()
    local layer, x = nn.GRU(3, 4, {layers = 2}), lt.randn(2, 6, 3)
    local whole = layer(x)
    local a, state = layer(x:slice(2, 1, 4))
    assert.close(lt.cat({a, (layer(x:slice(2, 5, 6), state))}, 2), whole)
  end)

  it("drop between layers in training alone", function()
    local layer, x = nn.LSTM(3, 8, {layers = 2, dropout = 0.5}), lt.randn(2, 4, 3)
    assert.not_equal(layer(x):bytes(), layer(x):bytes())
    layer:eval()
    assert.equal(layer(x):bytes(), layer(x):bytes())
  end)

  it("start within 1 / sqrt(hidden)", function()
    for _, p in ipairs(nn.LSTM(30, 100):parameters()) do
      local most = p:abs():max():item()
      assert.is_true(most <= 0.1 and most > 0.09)
    end
  end)

  it("refuse what does not fit", function()
    local lstm = nn.LSTM(3, 4, {layers = 2})
    local x = lt.ones(2, 5, 3)
    assert.misuse(function() lstm(lt.ones(2, 5, 4)) end,
      "LSTM%(3 %-> 4, layers 2%): expected %[batch, time, 3%], got %[2, 5, 4%]")
    assert.misuse(function() lstm(lt.ones(2, 0, 3)) end, "LSTM.*: expected at least one step, got %[2, 0, 3%]")
    assert.misuse(function() lstm(x, lt.ones(2, 2, 4)) end,
      "LSTM.*: state: expected {h, c}, each %[2, 2, 4%], got a tensor %[2, 2, 4%]")
    assert.misuse(function() nn.GRU(3, 4)(x, lt.ones(1, 2, 5)) end, "GRU.*: state: expected %[1, 2, 4%], got a tensor")
    assert.misuse(function() lstm(x, nil, {5}) end, "LSTM.*: lengths: expected 2 numbers, one a sequence, got 1")
    assert.misuse(function() lstm(x, nil, {5, 6}) end, "LSTM.*: lengths%[2%]: expected at most 5 steps, got 6")
    assert.misuse(function() lstm(x, nil, {0, 5}) end, "LSTM.*: lengths%[1%]: expected a whole number of at least 1")
    assert.misuse(function() nn.RNN(3, 4, {nonlinearity = "relv"}) end, "nn.RNN: nonlinearity: expected \"tanh\" or")
    assert.misuse(function() nn.GRU(3) end, "nn.GRU: hidden: expected a whole number of at least 1, got nil")
    assert.misuse(function() nn.GRU(3, 4, {layer = 2}) end, 'nn.GRU: unknown option "layer" %(did you mean "layers"')
    assert.misuse(function() nn.LSTM(3, 4, {dropout = 1}) end, "nn.LSTM: dropout: expected a number in %[0, 1%), got 1")
  end)
end)

describe("attention", function()
  local function u8(x) return x:u8() end
  local later = lt.arange(5):reshape(5, 1):lt(lt.arange(5))

  it("gives the weights, mean over the heads", function()
    local layer = loaded("attention", CASES.attention)
    local _, weights = layer(at "attention/x")
    assert.close(weights, at "attention/weights")
  end)

  it("hides keys by masks", function()
    local name = "attention_masked"
    local make = CASES.attention
    local layer, x = loaded(name, make), lt.param(at(name .. "/x"):clone())
    local padding = u8(at "masks/padding")
    local hidden = lt.where(later, -math.huge, lt.zeros(5, 5))
    for _, mask in ipairs{u8(later), hidden, lt.stack{hidden, hidden, hidden, hidden}} do
      x:zero_grad()
      layer:zero_grad()
      local y, weights = layer(x, x, x, {attn_mask = mask, key_padding_mask = padding})
      assert.close(y, at(name .. "/y"))
      assert.close(weights, at(name .. "/weights"))
      y:backward(at(name .. "/dy"))
      assert.close(x.grad, at(name .. "/dx"), 2e-5)
      compare_gradients(name, layer, make)
    end
    assert.close((layer(x, {is_causal = true, key_padding_mask = padding})), at(name .. "/y"))
  end)

  it("looks at other sequences than the one that asks", function()
    local name = "attention_memory"
    local function make() return nn.MultiheadAttention(8, 4, {bias = false}) end
    local layer = loaded(name, make)
    local y = layer(at(name .. "/x"), at(name .. "/memory"))
    assert.close(y, at(name .. "/y"))
    y:backward(at(name .. "/dy"))
    compare_gradients(name, layer, make)
  end)

  it("makes a transformer, with masks", function()
    local function make()
      return nn.TransformerEncoder(8, 2, 2, {dim_feedforward = 16, dropout = 0, activation = "gelu", norm_first = true,
        norm = true})
    end
    local layer, x = loaded("encoder", make), lt.param(at "encoder/x")
    local opts = {is_causal = true, key_padding_mask = u8(at "masks/padding")}
    local y = layer(x, opts)
    assert.close(y, at "encoder/y")
    y:backward(at "encoder/dy")
    assert.close(x.grad, at "encoder/dx", 2e-5)
    compare_gradients("encoder", layer, make)
    assert.equal("layers.1.self_attn.in_proj_weight", layer:named_parameters()[1][1])
  end)

  for name, opts in pairs{plain = {is_causal = false}, causal = {is_causal = true},
    bias = {attn_mask = at "sdpa/bias", scale = 0.3}, seen = {attn_mask = u8(at "sdpa/seen")}} do
    it("is a function: " .. name, function()
      local q, k, v = lt.param(at "sdpa/q"), lt.param(at "sdpa/k"), lt.param(at "sdpa/v")
      q:zero_grad()
      k:zero_grad()
      v:zero_grad()
      local y, weights = lt.scaled_dot_product_attention(q, k, v, opts)
      local key = "sdpa_" .. name
      assert.close(y, at(key .. "/y"))
      assert.same({2, 3, 4, 6}, weights.shape)
      y:backward(at(key .. "/dy"))
      assert.close(q.grad, at(key .. "/dq"))
      assert.close(k.grad, at(key .. "/dk"))
      assert.close(v.grad, at(key .. "/dv"))
    end)
  end

  it("shares heads of keys and values between those of queries", function()
    local q = lt.tensor{{{1, 0}, {0, 1}}, {{1, 1}, {2, -1}}, {{0, 2}, {1, -1}}, {{-1, 0}, {1, 2}}}
    local k, v = lt.tensor{{{1, 0}, {0, 1}, {1, 1}}, {{2, 0}, {-1, 1}, {0, 1}}}, lt.tensor{{{1}, {2}, {4}}}
    local y, weights = lt.scaled_dot_product_attention(q, k, v, {enable_gqa = true})
    assert.close(y, {{{2.4011}, {2.6044}}, {{2.7587}, {1.9914}}, {{2.7832}, {1.3552}}, {{2.5371}, {2.4011}}}, 2e-5)
    assert.same({4, 2, 3}, weights.shape)
    local same = lt.scaled_dot_product_attention(k, k, k, {enable_gqa = true})
    assert.close(same, lt.scaled_dot_product_attention(k, k, k), 0)
  end)

  it("drops weights in training alone", function()
    local layer, x = nn.MultiheadAttention(4, 2, {dropout = 0.5}), lt.randn(2, 6, 4)
    assert.not_equal(layer(x):bytes(), layer(x):bytes())
    layer:eval()
    assert.equal(layer(x):bytes(), layer(x):bytes())
  end)

  it("drops weights and makes the others larger, the same ones for a seed and any number of threads", function()
    local q, v = lt.param(lt.randn(2, 70, 8)), lt.randn(2, 70, 3)
    local _, all = lt.scaled_dot_product_attention(q, q, v)
    local before, bits = lt.threads(), {}
    for i, threads in ipairs{1, 3} do
      lt.set_threads(threads)
      lt.manual_seed(9)
      q:zero_grad()
      local y, weights = lt.scaled_dot_product_attention(q, q, v, {dropout_p = 0.25})
      local dropped = weights:detach():eq(0)
      assert.close(dropped:double():mean(), 0.25, 0.05)
      assert.close(lt.where(dropped, 0, all:detach() / 0.75), weights:detach(), 1e-6)
      assert.close(y, weights:matmul(v), 0)
      y:sum():backward()
      bits[i] = y:bytes() .. q.grad:bytes()
    end
    lt.set_threads(before)
    assert.is_true(bits[1] == bits[2])
    local y, weights = lt.scaled_dot_product_attention(q, q, v, {dropout_p = 1})
    assert.equal(0, y:abs():max():item() + weights:abs():max():item())
  end)

  it("drops the same in an encoder's layer after the same seed", function()
    local layer, x = nn.TransformerEncoderLayer(8, 2, {dim_feedforward = 16, dropout = 0.3}), lt.randn(2, 5, 8)
    local function run()
      lt.manual_seed(4)
      layer:zero_grad()
      local y = layer(x)
      y:square():sum():backward()
      return y:bytes() .. layer.self_attn.in_proj_weight.grad:bytes()
    end
    assert.is_true(run() == run())
    assert.not_equal(layer(x):bytes(), layer(x):bytes())
    layer:eval()
    assert.equal(layer(x):bytes(), layer(x):bytes())
  end)

  it("knows places by sines", function()
    local y = nn.SinusoidalPositions(5)(lt.zeros(1, 3, 5))
    local a, b = 10000 ^ -0.4, 10000 ^ -0.8
    assert.close(y[1], {{0, 1, 0, 1, 0}, {math.sin(1), math.cos(1), math.sin(a), math.cos(a), math.sin(b)},
      {math.sin(2), math.cos(2), math.sin(2 * a), math.cos(2 * a), math.sin(2 * b)}})
    local layer = nn.SinusoidalPositions(4)
    local short = layer(lt.ones(2, 3, 4))
    assert.close(layer(lt.ones(2, 7, 4)):slice(2, 1, 3), short, 0)
    assert.same({2, 0, 4}, layer(lt.ones(2, 0, 4)).shape)
  end)

  it("refuses what does not fit", function()
    local layer, x = nn.MultiheadAttention(8, 2), lt.ones(2, 5, 8)
    assert.misuse(function() nn.MultiheadAttention(8, 3) end,
      "nn.MultiheadAttention: heads: expected a divisor of the 8 features, got 3")
    assert.misuse(function() nn.TransformerEncoderLayer(8, 3) end,
      "nn.TransformerEncoderLayer: heads: expected a divisor of the 8 features, got 3")
    assert.misuse(function() layer(lt.ones(2, 5, 7)) end,
      "MultiheadAttention%(8, heads 2%): expected %[batch, time, 8%], got %[2, 5, 7%]")
    assert.misuse(function() layer(x, lt.ones(3, 5, 8)) end, "MultiheadAttention.*: expected queries, keys and values")
    assert.misuse(function() layer(x, {attn_mask = lt.ones(4, 5)}) end,
      "MultiheadAttention.*: attn_mask: expected %[5, 5%], got %[4, 5%]")
    assert.misuse(function() layer(x, {key_padding_mask = lt.ones(5)}) end,
      "MultiheadAttention.*: key_padding_mask: expected %[2, 5%], got %[5%]")
    assert.misuse(function() layer(x, {mask = lt.ones(5)}) end, 'MultiheadAttention.*: unknown option "mask"')
    assert.misuse(function() lt.scaled_dot_product_attention(x, x, x, {dropout_p = 1.5}) end,
      "scaled_dot_product_attention: dropout_p: expected a number in %[0, 1%], got 1.5")
    assert.misuse(function() nn.MultiheadAttention(8, 2, {dropout = -1}) end,
      "nn.MultiheadAttention: dropout: expected a number in %[0, 1%), got %-1")
    assert.misuse(function() lt.scaled_dot_product_attention(lt.ones(2, 3), lt.ones(4, 2), lt.ones(4, 2)) end,
      "scaled_dot_product_attention: expected query %[..., l, e%], key .* got %[2, 3%], %[4, 2%] and %[4, 2%]")
    local q = lt.ones(6, 3, 2)
    assert.misuse(function() lt.scaled_dot_product_attention(q, lt.ones(4, 3, 2), q, {enable_gqa = true}) end,
      "scaled_dot_product_attention: enable_gqa: expected heads of key that divide the 6 of query, got 4")
    assert.misuse(function() lt.scaled_dot_product_attention(q, q, lt.ones(0, 3, 2), {enable_gqa = true}) end,
      "scaled_dot_product_attention: enable_gqa: expected heads of value that divide the 6 of query, got 0")
    assert.misuse(function() lt.scaled_dot_product_attention(q, lt.ones(3, 2), q, {enable_gqa = true}) end,
      "scaled_dot_product_attention: enable_gqa: expected query, key .* got %[6, 3, 2%] and %[3, 2%]")
  end)
end)

describe("nn.PReLU", function()
  it("leaves a scalar one", function()
    local y = nn.PReLU()(lt.tensor(-2))
    assert.same({}, y.shape)
    assert.equal(-0.5, y:item())
  end)
end)

describe("nn.Embedding", function()
  it("counts from 1, takes any shape, and adds the gradients of a row that comes twice", function()
    local layer = nn.Embedding(3, 2)
    layer.weight:detach():copy_(lt.tensor{{1, 2}, {3, 4}, {5, 6}})
    local y = layer(lt.tensor{{3, 1}, {1, 1}})
    assert.close(y, {{{5, 6}, {1, 2}}, {{1, 2}, {1, 2}}})
    y:sum():backward()
    assert.close(layer.weight.grad, {{3, 3}, {0, 0}, {1, 1}})
    assert.close(layer(lt.full({2}, 2, "u8")), {{3, 4}, {3, 4}})
    assert.same({0, 2}, layer(lt.zeros(0)).shape)
  end)

  it("leaves the padding's row at zero, and without a gradient", function()
    local layer = nn.Embedding(4, 3, {padding = 2})
    assert.close(layer.weight[2], {0, 0, 0})
    layer(lt.tensor{1, 2, 2}):sum():backward()
    assert.close(layer.weight.grad, {{1, 1, 1}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}})
  end)

  it("refuses numbers that mean no row", function()
    local layer = nn.Embedding(3, 2, {first = 0})
    assert.misuse(function() layer(lt.tensor{0, 3}) end, "Embedding%(3, 2%): expected numbers from 0 to 2, got 3")
    assert.misuse(function() layer(lt.tensor{-1, 2}) end, "Embedding%(3, 2%): expected numbers from 0 to 2, got %-1")
    assert.misuse(function() layer(lt.tensor{1, 0.5}) end, "gather_rows: index: ")
    assert.misuse(function() layer(3) end, "Embedding%(3, 2%): expected a tensor, got 3")
    assert.misuse(function() nn.Embedding(3, 2, {padding = 4}) end, "nn.Embedding: padding: expected 1 to 3, got 4")
  end)
end)

describe("Sequential, Identity and Residual", function()
  it("take plain functions as layers", function()
    local model = nn.Sequential{nn.Linear(2, 3), lt.tanh, function(x) return x * 2 end}
    local x = lt.randn(4, 2)
    assert.close(model(x), model[1](x):tanh() * 2)
    assert.equal(2, #model:parameters())
    assert.matches("2: a function", tostring(model))
    assert.matches("a function", model:summary{4, 2})
  end)

  it("lead around a layer", function()
    local inner = nn.Sequential{nn.Linear(3, 3), nn.ReLU()}
    local x = lt.randn(4, 3)
    assert.close(nn.Residual(inner)(x), x + inner(x))
    assert.equal(x, nn.Identity()(x))
    assert.misuse(function() nn.Residual(lt.relu) end, "nn.Residual: inner: expected a module, got a function")
    assert.misuse(function() nn.Residual(nn.Linear(3, 1))(x) end,
      "Residual: expected %[4, 3%] from inner, the input's shape, got %[4, 1%]")
  end)

  it("keep the order of what goes around, for PyTorch's weights", function()
    local model = nn.Sequential{nn.Residual(nn.Conv2d(3, 3, 3, {padding = 1})), nn.Flatten(), nn.Linear(12, 5)}
    local w = lt.randn(5, 12)
    model:load_state({["1.inner.weight"] = lt.randn(3, 3, 3, 3), ["1.inner.bias"] = lt.randn(3),
      ["3.weight"] = w, ["3.bias"] = lt.randn(5)}, {layout = "torch"})
    assert.close(model[3].weight:transpose(), w:reshape(5, 3, 4):permute{1, 3, 2}:reshape(5, 12), 0)
    model = nn.Sequential{nn.Linear(4, 6), nn.Residual(nn.Linear(6, 6)), nn.Linear(6, 2)}
    assert.close(model:state{layout = "torch"}["3.weight"], model[3].weight:transpose(), 0)
  end)
end)

describe("the text of a layer", function()
  for text, layer in pairs{
    ["Conv1d(3 -> 4, 5, stride 2)"] = nn.Conv1d(3, 4, 5, {stride = 2}),
    ["ConvTranspose1d(3 -> 4, 5, output_padding 1)"] = nn.ConvTranspose1d(3, 4, 5, {stride = 1, output_padding = 1}),
    ["MaxPool1d(3, stride 2)"] = nn.MaxPool1d(3, {stride = 2}), ["AvgPool1d(3)"] = nn.AvgPool1d(3),
    ["GlobalAvgPool"] = nn.GlobalAvgPool(), ["GlobalMaxPool"] = nn.GlobalMaxPool(),
    ["BatchNorm1d(4)"] = nn.BatchNorm1d(4), ["GroupNorm(2, 4)"] = nn.GroupNorm(2, 4), ["RMSNorm(4)"] = nn.RMSNorm(4),
    ["InstanceNorm1d(4)"] = nn.InstanceNorm1d(4), ["InstanceNorm2d(4)"] = nn.InstanceNorm2d(4),
    ["PReLU(1)"] = nn.PReLU(), ["Softmax"] = nn.Softmax(), ["LogSoftmax(2)"] = nn.LogSoftmax(2),
    ["Embedding(10, 3)"] = nn.Embedding(10, 3), ["Identity"] = nn.Identity(),
    ["LSTM(3 -> 4, layers 2, bidirectional, dropout 0.5)"] = nn.LSTM(3, 4, {layers = 2, bidirectional = true,
      dropout = 0.5}),
    ["LSTMCell(3 -> 4)"] = nn.LSTMCell(3, 4), ["Conv1d(4 -> 2, 3, padding same, groups 2)"] =
      nn.Conv1d(4, 2, 3, {padding = "same", groups = 2}),
    ["GRU(3 -> 4)"] = nn.GRU(3, 4), ["RNN(3 -> 4)"] = nn.RNN(3, 4),
    ["MultiheadAttention(8, heads 2)"] = nn.MultiheadAttention(8, 2),
    ["TransformerEncoderLayer(8, heads 2)"] = nn.TransformerEncoderLayer(8, 2),
    ["SinusoidalPositions(8)"] = nn.SinusoidalPositions(8),
  } do
    it("is " .. text, function() assert.equal(text, tostring(layer)) end)
  end
end)

describe("layers of sequences and norms refuse", function()
  for pattern, f in pairs{
    ["Conv1d%(3 %-> 4, 5%): expected %[batch, time, 3%], got %[2, 3%]"] = function()
      local _ = nn.Conv1d(3, 4, 5)(lt.ones(2, 3)) end,
    ["nn.Conv1d: kernel: expected a whole number of at least 1"] = function() local _ = nn.Conv1d(3, 4, {1, 2}) end,
    ['nn.Conv1d: padding: expected a whole number of at least 0 or "same", got "valid"'] = function()
      local _ = nn.Conv1d(3, 4, 5, {padding = "valid"}) end,
    ['nn.Conv1d: padding: "same" goes with a stride of 1, got 2'] = function()
      local _ = nn.Conv1d(3, 4, 5, {padding = "same", stride = 2}) end,
    ["nn.ConvTranspose1d: groups: expected a divisor of 3 inputs and 4 outputs, got 2"] = function()
      local _ = nn.ConvTranspose1d(3, 4, 5, {groups = 2}) end,
    ["MaxPool1d%(2%): expected %[batch, time, channels%], got %[2%]"] = function()
      local _ = nn.MaxPool1d(2)(lt.ones(2)) end,
    ["GlobalAvgPool: expected %[batch, ..., channels%], got %[2, 3%]"] = function()
      local _ = nn.GlobalAvgPool()(lt.ones(2, 3)) end,
    ["BatchNorm1d%(4%): expected %[batch, 4%] or %[batch, time, 4%], got %[2, 3%]"] = function()
      local _ = nn.BatchNorm1d(4)(lt.ones(2, 3)) end,
    ["BatchNorm1d%(4%): training needs more than one value per channel"] = function()
      local _ = nn.BatchNorm1d(4)(lt.ones(1, 4)) end,
    ["nn.GroupNorm: groups: expected a divisor of the 4 channels, got 3"] = function() local _ = nn.GroupNorm(3, 4) end,
    ["InstanceNorm2d%(4%): expected more than one place, got %[2, 1, 1, 4%]"] = function()
      local _ = nn.InstanceNorm2d(4)(lt.ones(2, 1, 1, 4)) end,
    ["PReLU%(3%): expected %[%*, 3%], got %[2, 4%]"] = function() local _ = nn.PReLU(3)(lt.ones(2, 4)) end,
    ["nn.Softmax: axis: expected a whole number, got 1.5"] = function() local _ = nn.Softmax(1.5) end,
    ["nn.Sequential: layer 1: expected a module or a function, got 3"] = function() local _ = nn.Sequential{3} end,
  } do
    it(pattern, function() assert.misuse(f, pattern) end)
  end
end)

describe("every layer", function()
  for _, name in ipairs(layer_cases.classes()) do
    it("has a small case, the same each time, for the walks over all of them: " .. name, function()
      local function bytes()
        lt.manual_seed(2)
        local layer, given = layer_cases.made(name)
        return (layer(table.unpack(given, 1, given.n))):bytes()
      end
      assert.equal(bytes(), bytes())
    end)
    if not layer_cases.cases[name].more then
      it("is in a Sequential what it is alone: " .. name, function()
        local function bytes(as)
          lt.manual_seed(2)
          local layer, given = layer_cases.made(name)
          return (as(layer)(given[1])):bytes()
        end
        local alone = bytes(function(layer) return layer end)
        assert.equal(alone, bytes(function(layer) return nn.Sequential{layer} end))
        assert.equal(alone, bytes(function(layer) return nn.Sequential{nn.Sequential{}, layer, nn.Identity()} end))
      end)
    end
  end
end)
