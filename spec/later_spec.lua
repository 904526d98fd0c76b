-- Batch norm, a sum behind it and a rectifier in one pass: the bits of the single ops, and nobody can tell.
local lt, nn, optim = require "latent", require "latent.nn", require "latent.optim"
local lt64 = require "spec.support.lt64"
require "spec.support.close"
require "spec.support.misuse"

local function bytes(t) return t and t:detach():bytes() or "none" end

-- What a batch norm, its sum with a residual of the kind named and an activation give, values and gradients, as bytes.
local function results(face, shape, residual, activation)
  face.manual_seed(5)
  local channels = shape[#shape]
  local x, r = face.param(face.randn(shape)), face.param(face.randn(shape))
  local norm, other = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
  lt.no_grad(function() norm.weight:copy_(lt.randn(channels)) end)
  if face == lt64 then norm, other = norm:double(), other:double() end
  local y = norm(x * 2)
  if residual == "before" then y = r * 1 + y
  elseif residual == "behind" then y = y + r
  elseif residual == "normed" then y = y + other(r)
  elseif residual == "constant" then y = y + face.ones(shape)
  elseif residual == "row" then y = y + face.ones(channels)
  elseif residual == "same" then y = y + y end
  if activation == "relu" then y = y:relu()
  elseif activation then y = face.leaky_relu(y, activation) end
  y:backward(face.randn(shape))
  local list = {}
  for i, t in ipairs{y, x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var, r.grad or x.grad,
    other.weight.grad or x.grad} do list[i] = bytes(t) end
  return list
end

describe("a value that waits", function()
  local real = nn.fuse
  after_each(function() nn.fuse = real end)

  local function both(f)
    nn.fuse = false
    local single = f()
    nn.fuse = true
    return single, f()
  end

  it("has the bits of the single ops", function()
    for _, face in ipairs{lt, lt64} do
      for _, shape in ipairs{{2, 3, 3, 1}, {2, 3, 3, 5}, {4, 8, 8, 16}, {3, 5, 7, 17}, {8, 16, 16, 32}} do
        for _, residual in ipairs{"none", "before", "behind", "normed", "constant", "row", "same"} do
          for _, activation in ipairs{false, "relu", 0.1, 0, -0.5} do
            local single, fused = both(function() return results(face, shape, residual, activation) end)
            for i = 1, #single do
              assert(single[i] == fused[i], ("result %d of %s, %s, %s"):format(i, table.concat(shape, "x"), residual,
                activation))
            end
          end
        end
      end
    end
  end)

  it("has them in a residual block, and without a graph", function()
    local function run()
      lt.manual_seed(2)
      local model = require "bench.resnet"()
      local x = lt.randn(2, 32, 32, 3)
      local y = model(x)
      y:square():sum():backward()
      local list = {bytes(y), bytes(lt.no_grad(function() return model(x) end))}
      for _, p in ipairs(model:parameters()) do list[#list + 1] = bytes(p.grad) end
      return table.concat(list)
    end
    local single, fused = both(run)
    assert(single == fused)
  end)

  it("keeps the values that it had when it was computed", function()
    local norm = nn.BatchNorm2d(3)
    local function run(change)
      lt.manual_seed(3)
      local x, r = lt.randn(2, 4, 4, 3), lt.randn(2, 4, 4, 3)
      return bytes(lt.no_grad(function()
        local y = norm(x)
        local z = y + r
        if change == "input" then x:fill_(7) elseif change == "summand" then r:add_(1)
        elseif change == "weight" then norm.weight:add_(0) end
        return z:relu()
      end))
    end
    local want = run()
    for _, change in ipairs{"input", "summand", "weight"} do assert.equal(want, run(change), change) end
  end)

  it("is there when it is read afterwards, and tells its shape before", function()
    local norm, x = nn.BatchNorm2d(3), lt.randn(2, 4, 4, 3)
    local y = norm(x)
    assert.equal("2,4,4,3", table.concat(y.shape, ","))
    assert.equal(96, y:numel())
    assert.equal("float32", y.dtype)
    local z = y:relu()
    assert.equal(bytes(z), bytes(y:relu()))
    assert(math.abs(y:mean():item()) < 1e-6)
    assert.equal(bytes(z), bytes(y:relu()))
    y = norm(x)
    y:close()
    assert.misuse(function() return y:relu() end, "relu: x: closed tensor")
  end)

  it("keeps nothing alive when it is forgotten", function()
    local norm = nn.BatchNorm2d(16)
    collectgarbage()
    local before = lt.info().live_bytes
    do local _ = lt.no_grad(function() return norm(lt.randn(8, 32, 32, 16)):relu() end) end
    collectgarbage()
    collectgarbage()
    assert(lt.info().live_bytes <= before + 1024)
  end)

  it("gives its gradient to hooks, to lt.grad, and to whoever uses it besides", function()
    local norm, x = nn.BatchNorm2d(3), lt.param(lt.randn(2, 4, 4, 3))
    local w = lt.randn(x.shape)
    local y = norm(x)
    local z = y:relu()
    local seen
    y:register_hook(function(g) seen = g end)
    z:backward(w)
    assert.equal(bytes(lt.where(y:gt(0), w, 0)), bytes(seen))
    local function used_twice()
      x.grad = nil
      local h = norm(x)
      local loss = h:relu() * w + h:square()
      loss:sum():backward()
      return bytes(x.grad)
    end
    local single, fused = both(used_twice)
    assert.equal(single, fused)
    y = norm(x)
    local g = lt.grad((y:relu() * w):sum(), y)
    assert.equal(bytes(seen), bytes(g))
  end)

  it("leaves whole the gradient of the rectifier that somebody keeps", function()
    local norm, x, r = nn.BatchNorm2d(3), lt.param(lt.randn(2, 4, 4, 3)), lt.param(lt.randn(2, 4, 4, 3))
    local w = lt.randn(x.shape)
    for _, residual in ipairs{false, true} do
      local kept
      local function gradient(keep)
        x.grad = nil
        local y = norm(x)
        if residual then y = y + r end
        y = y:relu()
        if keep then y:register_hook(function(g) kept = g end) end
        (y * w):sum():backward()
        return bytes(x.grad)
      end
      assert.equal(gradient(false), gradient(true))
      assert.equal(bytes(w), bytes(kept))
    end
  end)

  -- A hook keeps the passes apart.
  it("gathers the gradients of a rectifier that several use, to the bits of single passes", function()
    local shapes = {{2, 3, 3, 5}, {4, 8, 8, 16}, {3, 5, 7, 17}}
    local function gradients(shape, residual, slope, uses, apart)
      lt.manual_seed(4)
      local x, r = lt.param(lt.randn(shape)), lt.param(lt.randn(shape))
      local y = nn.BatchNorm2d(shape[#shape])(x)
      if residual then y = y + (residual == "constant" and lt.ones(shape) or r) end
      if apart then y:register_hook(function() end) end
      y = slope and lt.leaky_relu(y, slope) or y:relu()
      local sum = (y * lt.randn(shape)):sum()
      for _ = 2, uses do sum = sum + (y:exp() * lt.randn(shape)):sum() end
      sum:backward()
      return bytes(x.grad) .. bytes(r.grad)
    end
    for _, shape in ipairs(shapes) do
      for _, residual in ipairs{false, "constant", "variable"} do
        for _, slope in ipairs{false, 0.1} do
          for uses = 1, 3 do
            assert(gradients(shape, residual, slope, uses, false) == gradients(shape, residual, slope, uses, true),
              ("%s, %s, %s, %d uses"):format(table.concat(shape, "x"), residual, slope, uses))
          end
        end
      end
    end
  end)

  it("has gradients of gradients", function()
    local norm, x = nn.BatchNorm1d(3), lt.param(lt.randn(6, 3))
    local w = lt.randn(6, 3)
    local single, fused = both(function()
      local g = lt.grad((lt.leaky_relu(norm(x), 0.2) * w):sum(), x, {create_graph = true})
      return lt.grad(g:square():sum(), x)
    end)
    assert.close(fused, single, 1e-5)
  end)

  it("has the same bits for any number of threads", function()
    local before, first = lt.info().threads, nil
    for _, threads in ipairs{1, 2, 5} do
      lt.set_threads(threads)
      local now = table.concat(results(lt, {8, 16, 16, 32}, "behind", "relu"))
      first = first or now
      assert(first == now)
    end
    lt.set_threads(before)
  end)
end)

describe("batch norm in evaluation", function()
  local real = nn.fuse
  after_each(function() nn.fuse = real end)

  local function normed(face, shape)
    face.manual_seed(6)
    local channels = shape[#shape]
    local norm = #shape == 2 and nn.BatchNorm1d(channels) or nn.BatchNorm2d(channels)
    lt.no_grad(function()
      norm.weight:copy_(lt.randn(channels))
      norm.bias:copy_(lt.randn(channels))
      norm.running_mean:copy_(lt.randn(channels))
      norm.running_var:copy_(lt.rand(channels))
    end)
    if face == lt64 then norm = norm:double() end
    return norm:eval(), face.randn(shape), face.randn(shape)
  end

  local function value(fuse, f)
    nn.fuse = fuse
    return bytes(lt.no_grad(f))
  end

  it("is one pass with what follows, to the bits of the single ops", function()
    for _, face in ipairs{lt, lt64} do
      for _, shape in ipairs{{7, 5}, {2, 3, 3, 1}, {2, 3, 3, 5}, {4, 8, 8, 16}, {3, 5, 7, 17}, {8, 16, 16, 32}} do
        local norm, x, r = normed(face, shape)
        for _, residual in ipairs{"none", "before", "behind", "normed"} do
          for _, activation in ipairs{false, "relu", 0.1, -0.5} do
            local function f()
              local y = norm(x)
              if residual == "before" then y = r + y
              elseif residual == "behind" then y = y + r
              elseif residual == "normed" then y = y + norm(r) end
              if activation == "relu" then return y:relu() end
              return activation and face.leaky_relu(y, activation) or y
            end
            assert(value(false, f) == value(true, f), ("%s, %s, %s"):format(table.concat(shape, "x"), residual,
              activation))
          end
        end
      end
    end
  end)

  it("waits for nothing where a running statistic wants a gradient", function()
    for _, name in ipairs{"running_mean", "running_var"} do
      local grads = {}
      for i, fuse in ipairs{false, true} do
        nn.fuse = fuse
        local norm, x = normed(lt, {2, 4, 4, 3})
        norm:freeze()
        norm[name] = lt.param(norm[name]:detach())
        norm(x):square():sum():backward()
        grads[i] = bytes(norm[name].grad)
      end
      assert(grads[1] == grads[2], name)
    end
  end)

  it("takes no pass more than the sum and the rectifier", function()
    local norm, x, r = normed(lt, {2, 4, 4, 3})
    local names = {}
    local report = lt.profile(function() lt.no_grad(function() return (norm(x) + r):relu() end) end, {quiet = true})
    for _, row in ipairs(report.rows) do names[row.name] = true end
    assert.is_nil(names.sub)
    assert.is_nil(names.mul)
    assert.is_true(names.batch_norm_eval)
  end)

  it("sees weights and statistics that change, and keeps what it had", function()
    for _, name in ipairs{"weight", "bias", "running_mean", "running_var"} do
      local norm, x = normed(lt, {2, 4, 4, 3})
      local function change() lt.no_grad(function() norm[name]:add_(1) end) end
      local before = value(false, function() return norm(x) end)
      local kept = value(true, function()
        local y = norm(x)
        change()
        return y
      end)
      assert.equal(before, kept, name)
      local after = value(true, function() return norm(x) end)
      assert.are_not.equal(before, after, name)
      assert.equal(value(false, function() return norm(x) end), after, name)
    end
  end)

  it("has gradients where they are recorded, and none of parts that are frozen", function()
    local norm, x, r = normed(lt, {2, 4, 4, 3})
    local function gradients(fuse)
      nn.fuse = fuse
      norm:zero_grad()
      local input = lt.param(x:clone())
      norm(input):relu():square():sum():backward()
      return bytes(input.grad) .. bytes(norm.weight.grad) .. bytes(norm.bias.grad)
    end
    assert.equal(gradients(false), gradients(true))
    norm:freeze()
    local function of_residual(fuse)
      nn.fuse = fuse
      local p = lt.param(r:clone())
      local y = (norm(x) + p):relu()
      y:square():sum():backward()
      return bytes(y) .. bytes(p.grad)
    end
    assert.equal(of_residual(false), of_residual(true))
  end)

  it("refuses what does not fit", function()
    local ops = require("latent.core").ops
    local x, v = lt.randn(4, 3), lt.ones(3)
    assert.misuse(function() return ops.batch_norm_eval(x, v, lt.ones(2), v) end,
      "batch_norm_eval: scale: expected one number for each channel of x, got %[2%]")
    assert.equal("0,3", table.concat(ops.batch_norm_eval(lt.zeros(0, 3), v, v, v).shape, ","))
  end)
end)

describe("what a value waits for", function()
  -- The value, as it is without waiting, after something has been done to what it is computed from.
  local function unmoved(make, change)
    local real = nn.fuse
    local function value()
      lt.manual_seed(3)
      local norm = nn.BatchNorm1d(3)
      local p = lt.param(lt.randn(40, 3))
      ;(p * p):sum():backward()
      local y = make(norm, p)
      change(norm, p)
      return y:detach():bytes()
    end
    nn.fuse = false
    local single = value()
    nn.fuse = true
    local waited = value()
    nn.fuse = real
    assert.equal(single, waited)
  end

  local function of_gradient(norm, p) return norm(p.grad) end
  local function beside_gradient(norm, p) return norm(p:detach()) + p.grad end

  it("may change: gradients that are cleared, grow or are clipped", function()
    for _, make in ipairs{of_gradient, beside_gradient} do
      unmoved(make, function(_, p) p:zero_grad() end)
      unmoved(make, function(_, p) (p * 3):sum():backward() end)
      unmoved(make, function(_, p) optim.clip_grad_norm({p}, 0.1) end)
    end
  end)

  it("may change: weights, by an optimiser", function()
    unmoved(function(norm, p) return norm(p) end, function(norm, p)
      norm(p * 2):square():sum():backward()
      optim.SGD(norm:parameters(), {lr = 0.5}):step()
    end)
  end)

  it("may be many", function()
    local norm, kept = nn.BatchNorm1d(3), {}
    local x = lt.randn(4, 3)
    local want = norm(x):sum(1):bytes()
    for i = 1, 600 do kept[i] = norm(x) end
    for i = 1, 600 do assert.equal(want, kept[i]:sum(1):bytes()) end
  end)
end)
