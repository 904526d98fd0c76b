-- Sequential computes runs of layers as one block; nothing but the time may tell.
local lt = require "latent"
local nn = require "latent.nn"
local models = require "exercises.models"
require "spec.support.misuse"

local function close(a, b, what)
  local scale = math.max(b:abs():max():item(), 1e-30)
  local off = (a - b):abs():max():item()
  assert.is_true(off <= 1e-5 * scale, ("%s: off by %g of %g"):format(what or "values", off, scale))
end

-- Output and all gradients of a model, fused or not.
local function run(model, x, fused)
  nn.fuse = fused
  model:zero_grad()
  local input = lt.param(x:clone())
  local y = model(input)
  y:square():sum():backward()
  local grads = {}
  for i, p in ipairs(model:parameters()) do grads[i] = p.grad:clone() end
  nn.fuse = true
  return y:detach(), input.grad, grads
end

local function same(model, x)
  local y, dx, grads = run(model, x, true)
  local want_y, want_dx, want_grads = run(model, x, false)
  close(y, want_y, "output")
  close(dx, want_dx, "input gradient")
  for i, g in ipairs(grads) do close(g, want_grads[i], "gradient " .. i) end
end

-- How many blocks the plan of a Sequential has.
local function blocks(model)
  local n = 0
  for _, step in ipairs(model._plan.steps) do n = n + (type(step) == "table" and 1 or 0) end
  return n
end

describe("fused blocks", function()
  before_each(function() lt.manual_seed(1) end)
  after_each(function() nn.fuse = true end)

  it("are found in the exercises' models, with the same values and gradients", function()
    local x = lt.randn(5, 32, 32, 1)
    local ae = models.autoencoder()
    same(ae, x)
    assert.equal(5, blocks(ae.encoder))
    assert.equal(5, blocks(ae.decoder))
    same(models.classifier(), x)
    same(models.vae(3).decoder, lt.randn(5, 3))
  end)

  it("are made where they are faster", function()
    local function count(...)
      local model = nn.Sequential{...}
      same(model, lt.randn(2, 12, 12, model[1].inputs or 4))
      return blocks(model)
    end
    assert.equal(0, count(nn.Conv2d(4, 6, 5, {padding = 2}), nn.ReLU(), nn.MaxPool2d(2)))
    assert.equal(1, count(nn.Conv2d(4, 6, 3, {padding = 1}), nn.ReLU()))
    assert.equal(0, count(nn.Conv2d(1, 6, 3, {padding = 1}), nn.ReLU()))
    assert.equal(1, count(nn.Conv2d(1, 6, 3, {padding = 1}), nn.ReLU(), nn.MaxPool2d(2)))
    assert.equal(1, count(nn.Upsample(2), nn.Conv2d(4, 6, 5, {padding = 2}), nn.ReLU()))
  end)

  it("are not made where the plain op multiplies less", function()
    local function count(inputs, outputs, kernel)
      local model = nn.Sequential{nn.Conv2d(inputs, outputs, kernel, {padding = 1}), nn.ReLU(), nn.MaxPool2d(2)}
      local x = lt.randn(3, 10, 9, inputs)
      local y, dx, grads = run(model, x, true)
      local want_y, want_dx, want_grads = run(model, x, false)
      local n = blocks(model)
      if n == 0 then
        for i, t in ipairs{y, dx, table.unpack(grads)} do
          assert.equal(({want_y, want_dx, table.unpack(want_grads)})[i]:bytes(), t:bytes())
        end
      end
      return n
    end
    assert.equal(0, count(32, 32, 3))
    assert.equal(0, count(64, 40, 3))
    assert.equal(1, count(31, 32, 3))
    assert.equal(1, count(32, 31, 3))
    assert.equal(1, count(32, 32, 2))
    local transposed = nn.Sequential{nn.ConvTranspose2d(32, 32, 3, {padding = 1}), nn.LeakyReLU(0.1)}
    same(transposed, lt.randn(2, 8, 8, 32))
    assert.equal(0, blocks(transposed))
    local doubled = nn.Sequential{nn.Upsample(2), nn.Conv2d(32, 32, 3, {padding = 1}), nn.ReLU()}
    same(doubled, lt.randn(2, 5, 6, 32))
    assert.equal(1, blocks(doubled))
  end)

  it("have the single layers' gradients at NaN", function()
    for _, activation in ipairs{nn.ReLU(), nn.LeakyReLU(0.25)} do
      for _, pool in ipairs{nn.MaxPool2d(2), false} do
        for _, channels in ipairs{1, 16} do
          local inputs = pool and 1 or 3
          local conv = nn.Conv2d(inputs, channels, 3, {padding = 1})
          local model = nn.Sequential{conv, activation, pool or nil}
          local x = lt.randn(1, 8, 8, inputs)
          x:set(1, 4, 4, 1, 0 / 0)
          local function gradient(fuse)
            nn.fuse = fuse
            conv.bias:zero_grad()
            local y = model(x)
            y:backward(lt.ones(y.shape))
            return conv.bias.grad:table()
          end
          local fused = gradient(true)
          assert.equal(1, blocks(model))
          assert.same(gradient(false), fused)
        end
      end
    end
  end)

  it("leave alone what is not such a run", function()
    local model = nn.Sequential{
      nn.Conv2d(2, 3, 3, {stride = 2}), nn.ReLU(), -- a stride
      nn.Conv2d(3, 3, 3, {dilation = 2, padding = 2}), nn.ReLU(), -- a dilation
      nn.ConvTranspose2d(3, 4, 2, {stride = 2}), nn.Tanh(), -- another activation
      nn.Conv2d(4, 4, 1, {bias = false}), -- alone; batch norm would leave a bias no gradient but rounding
      nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, {stride = 2}),
      nn.Conv2d(4, 5, 3, {padding = 1}), nn.LeakyReLU(0.1), nn.MaxPool2d(3, {stride = 1, padding = 1}),
    }
    same(model, lt.randn(3, 13, 11, 2))
    assert.equal(1, blocks(model)) -- the last convolution with its activation, without the pool
  end)

  -- A depthwise convolution by ones hands on what it gets, infinities and NaN too (but -0 as 0).
  local function as_it_is(channels, dtype)
    local conv = nn.Conv2d(channels, channels, 1, {groups = channels, bias = false, dtype = dtype})
    lt.no_grad(function() conv.weight:fill_(1) end)
    return conv
  end

  -- Numbers with equals and the ends of the scale among them.
  local function odd(shape, dtype, values)
    local places = (lt.rand(shape, {dtype = dtype}) * (#values - 1e-3)):floor():long() + 1
    return lt.tensor(values, {dtype = dtype}):gather(1, places:reshape(-1)):reshape(shape)
  end

  it("leave a rectifier until a max pool has chosen, to the bit", function()
    local moved = 0
    local function bits(model, x, dy, fused)
      nn.fuse = fused
      local input, seed = lt.param(x:clone()), lt.param(dy:clone())
      local y = model(input)
      local dx = lt.grad(y, input, {grad_outputs = seed, create_graph = true})
      local again = lt.grad(dx, seed, {grad_outputs = x})
      nn.fuse = true
      return {y:bytes(), dx:bytes(), again:bytes()}
    end
    for _, dtype in ipairs{"float32", "float64"} do
      for _, channels in ipairs{1, 3, 16, 19} do
        for _, window in ipairs{{2}, {3, {stride = 2}}, {3, {stride = 2, padding = 1}}, {3, {stride = 1, padding = 1}},
            {2, {ceil_mode = true}}, {{1, 3}}} do
          for _, values in ipairs{{-2, -1, 0, 1, 2}, {-1 / 0, -1, 0, 1e-40, 1 / 0}, {0 / 0, -1, 0, 1}, {-1, -3}} do
            local model = nn.Sequential{as_it_is(channels, dtype), nn.ReLU(), nn.MaxPool2d(table.unpack(window))}
            local x = odd({2, 7, 9, channels}, dtype, values)
            local dy = odd(model(x).shape, dtype, {-0.0, 0, 1, -3, 0 / 0, 1 / 0})
            moved = moved + (model._plan.layers[2] == model[3] and 1 or 0)
            assert.same(bits(model, x, dy, false), bits(model, x, dy, true))
          end
        end
      end
    end
    assert.equal(2 * 4 * 6 * 4, moved)
  end)

  it("leave it where a zero's sign is all that it changes", function()
    local conv = as_it_is(16, "float32")
    lt.no_grad(function() conv.weight:fill_(1e-30) end)
    local model = nn.Sequential{conv, nn.ReLU(), nn.MaxPool2d(2)}
    local x = odd({2, 8, 8, 16}, "float32", {-1e30, -1e-30, 1e-30, 1e30}) -- out come -1, -0, 0, 1
    local function run_by(fused)
      nn.fuse = fused
      local input = lt.param(x:clone())
      local y = model(input)
      y:backward(lt.full(y.shape, 3))
      return y:table(), input.grad:bytes()
    end
    local y, dx = run_by(true)
    local want_y, want_dx = run_by(false)
    assert.same(want_y, y)
    assert.equal(want_dx, dx)
  end)

  it("leave it behind any convolution, where that changes nothing", function()
    local function moves(...)
      local model = nn.Sequential{...}
      local conv = model[1]
      local line = conv.kind == "Conv1d"
      local x = line and lt.randn(2, 15, conv.inputs) or lt.randn(2, 11, 12, conv.inputs)
      same(model, x)
      return model._plan.layers[#model] ~= model[#model]
    end
    assert.is_true(moves(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)))
    assert.is_true(moves(nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2)))
    assert.is_true(moves(nn.Conv2d(3, 8, 5, {stride = 2}), nn.ReLU(), nn.MaxPool2d(3, {stride = 2})))
    assert.is_true(moves(nn.ConvTranspose2d(3, 8, 2, {stride = 2}), nn.ReLU(), nn.MaxPool2d(3, {stride = 2})))
    assert.is_true(moves(nn.Conv1d(3, 8, 3), nn.ReLU(), nn.MaxPool1d(2)))
    assert.is_false(moves(nn.Conv2d(1, 6, 5), nn.LeakyReLU(0.1), nn.MaxPool2d(2)))
    assert.is_false(moves(nn.Conv2d(1, 6, 5), nn.Sigmoid(), nn.MaxPool2d(2)))
    assert.is_false(moves(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.AvgPool2d(2)))
    assert.is_false(moves(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2, {dilation = 2})))
    assert.is_false(moves(nn.Conv2d(1, 6, 5, {bias = false}), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)))
  end)

  it("see what a pool and a rectifier that change places become", function()
    local function layers() return nn.Sequential{nn.Conv2d(1, 3, 5), nn.ReLU(), nn.MaxPool2d(2)} end
    local changes = {
      function(m) m[2].forward = function(_, x) return x:abs() end end, function(m) m[3].dilation = {2, 2} end,
      function(m) m[3].kernel[1] = 3 end, function(m) m[2] = nn.LeakyReLU(0.5) end,
      function(m) m[1] = nn.BatchNorm2d(1) end, function(m) m[4] = nn.ReLU() end,
    }
    for i, change in ipairs(changes) do
      local model, x = layers(), lt.randn(2, 12, 12, 1)
      model(x)
      local plan = model._plan
      assert.equal(model[3], plan.layers[2])
      change(model)
      same(model, x)
      assert.are_not.equal(plan, model._plan, "change " .. i)
    end
    local model, x, seen = layers(), lt.randn(2, 12, 12, 1)
    model[2]:register_forward_hook(function(_, _, y) seen = y.shape end)
    model(x)
    assert.same({2, 8, 8, 3}, seen)
  end)

  it("are kept while nothing changes", function()
    local model = nn.Sequential{nn.Upsample(2), nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten()}
    model(lt.randn(1, 5, 5, 1))
    local plan = model._plan
    model(lt.randn(2, 4, 4, 1))
    assert.equal(plan, model._plan)
    model[3].forward = function(_, x) return x:relu() end
    model(lt.randn(1, 5, 5, 1))
    assert.are_not.equal(plan, model._plan)
  end)

  it("are dropped when the layers change", function()
    local x = lt.randn(2, 8, 8, 1)
    local model = nn.Sequential{nn.Conv2d(1, 4, 3, {padding = 1}), nn.ReLU(), nn.MaxPool2d(2)}
    same(model, x)
    assert.equal(1, blocks(model))
    model[2] = nn.Sigmoid()
    same(model, x)
    assert.equal(0, blocks(model))
    model[2] = nn.LeakyReLU(0.3)
    same(model, x)
    model[2].slope = 0.7
    same(model, x)
    model[1].padding[1] = 0
    same(model, x)
    assert.same({2, 3, 4, 4}, model(x).shape)
    model[3].stride = {1, 1}
    same(model, x)
    assert.same({2, 5, 7, 4}, model(x).shape)
    model[4] = nn.Flatten()
    assert.same({2, 5 * 7 * 4}, model(x).shape)
    model[4] = nil
    assert.same({2, 5, 7, 4}, model(x).shape)
  end)

  it("are dropped when any option changes, or half of one", function()
    local function layers()
      return nn.Sequential{nn.Upsample(2), nn.ConvTranspose2d(2, 3, 3, {padding = 1}), nn.LeakyReLU(0.1),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3, {padding = 1}), nn.ReLU()}
    end
    local changes = {
      function(m) m[1].scale[2] = 1 end, function(m) m[1].scale = {1, 2} end, function(m) m[1].whole = false end,
      function(m) m[2].stride[1] = 2 end, function(m) m[2].padding[2] = 0 end, function(m) m[2].dilation = {2, 1} end,
      function(m) m[2].stride, m[2].output_padding[1] = {2, 2}, 1 end, function(m) m[3].slope = 0.3 end,
      function(m) m[4].kernel[1] = 3 end, function(m) m[4].ceil_mode = true end, function(m) m[4].padding[1] = 1 end,
      function(m) m[5].padding = {0, 1} end, function(m) m[5].stride[2] = 2 end,
      function(m) m[6].forward = function(_, x) return x:tanh() end end,
    }
    for i, change in ipairs(changes) do
      local model, x = layers(), lt.randn(2, 7, 7, 2)
      model(x)
      local plan = model._plan
      change(model)
      same(model, x)
      assert.are_not.equal(plan, model._plan, "change " .. i)
    end
  end)

  it("hold no pair that the layer has given up, and see the one in its place", function()
    local model = nn.Sequential{nn.Upsample(2), nn.Conv2d(2, 3, 3, {padding = {1, 0}}), nn.ReLU()}
    local x, old = lt.randn(2, 5, 5, 2), model[2].padding
    model(x)
    model[2].padding = {1, 0}
    model(x)
    old[1] = 2
    same(model, x)
    assert.same({2, 10, 8, 3}, model(x).shape)
    model[2].padding[1] = 0
    same(model, x)
    assert.same({2, 8, 8, 3}, model(x).shape)
  end)

  it("leave an option that they refuse to its layer", function()
    for _, padding in ipairs{1.5, -1, "much"} do
      local model = nn.Sequential{nn.Conv2d(3, 4, 3, {padding = 1}), nn.ReLU()}
      local x = lt.randn(1, 5, 5, 3)
      model(x)
      model[1].padding[1] = padding
      local messages = {}
      for i, fused in ipairs{true, false} do
        nn.fuse = fused
        messages[i] = select(2, pcall(model, x)):gsub("^.-:%d+: ", "")
      end
      assert.equal(messages[2], messages[1])
      assert.matches("conv2d: padding: ", messages[1])
    end
  end)

  it("see hooks that come and go", function()
    local model, x, seen = nn.Sequential{nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Tanh()}, lt.randn(1, 5, 5, 3), 0
    model(x)
    for i = 2, 3 do
      local hook = model[i]:register_forward_hook(function() seen = seen + 1 end)
      model(x)
      hook:remove()
      model(x)
      assert.equal(i - 1, seen)
    end
  end)

  it("see a class's call that is replaced before and after the first", function()
    for _, replaced in ipairs{nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Linear} do
      local function model()
        return nn.Sequential{nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2)}
      end
      local x, call, calls, used = lt.randn(1, 8, 8, 3), replaced.__call, 0, model()
      used(x)
      assert.equal(1, blocks(used))
      local _ <close> = setmetatable({}, {__close = function() replaced.__call = call end})
      replaced.__call = function(...)
        calls = calls + 1
        return call(...)
      end
      used(x)
      model()(x)
      assert.equal(2, calls)
      replaced.__call = call
      used(x)
      assert.equal(2, calls)
      assert.equal(1, blocks(used))
    end
  end)

  it("do not bypass a forward of the user's own", function()
    local model = nn.Sequential{nn.Conv2d(1, 2, 3), nn.ReLU()}
    local x = lt.randn(1, 5, 5, 1)
    model(x)
    local seen = 0
    model[2].forward = function(_, y)
      seen = seen + 1
      return y:relu()
    end
    model(x)
    assert.equal(1, seen)
  end)

  it("can be switched off at any time", function()
    local model = nn.Sequential{nn.Conv2d(1, 2, 3), nn.ReLU()}
    nn.fuse = false
    model(lt.randn(1, 5, 5, 1))
    assert.is_nil(model._plan)
  end)

  it("name the layer that does not fit", function()
    local model = nn.Sequential{nn.Upsample(2), nn.Conv2d(3, 4, 3), nn.ReLU()}
    assert.misuse(function() local _ = model(lt.zeros(1, 5, 5, 2)) end,
      "Conv2d%(3 %-> 4, 3x3%): expected %[batch, height, width, 3%], got %[1, 10, 10, 2%]")
    local large = nn.Sequential{nn.Conv2d(1, 4, 5), nn.ReLU()}
    assert.misuse(function() local _ = large(lt.zeros(1, 3, 3, 1)) end, "conv2d: ")
  end)

  it("hand on what failed while computing", function()
    local model = nn.Sequential{nn.Conv2d(3, 1 << 18, 3), nn.ReLU()}
    assert.misuse(function() local _ = model(lt.zeros(1, 3000, 3000, 3)) end, "conv_block: shape .* is too large")
  end)

  it("keep names, text and summary of the single layers", function()
    local model = nn.Sequential{nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2)}
    model(lt.randn(1, 6, 6, 1))
    assert.same({"1.weight", "1.bias"}, {model:named_parameters()[1][1], model:named_parameters()[2][1]})
    assert.matches("ReLU +%[1, 4, 4, 2%]", model:summary{1, 6, 6, 1})
  end)
end)
