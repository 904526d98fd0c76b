-- Gradients as values, gradients of gradients, hooks on gradients, checkpoints.
require "spec.support.misuse"
local lt = require "latent"
local nn = require "latent.nn"
local optim = require "latent.optim"

local function numbers(x) return x:reshape(-1):table() end

local function near(want, x, tolerance)
  local got = numbers(x)
  assert.equal(#want, #got)
  for i, v in ipairs(want) do
    assert(math.abs(v - got[i]) <= (tolerance or 1e-5) * math.max(1, math.abs(v)), ("%d: %g, expected %g"):format(i,
      got[i], v))
  end
end

describe("lt.grad", function()
  it("gives what backward gives, and leaves grad alone", function()
    local x, w = lt.param(lt.tensor{1, 2, 3}), lt.param(lt.tensor{0.5, -1, 2})
    local function loss() return (x * w):tanh():sum() end
    local g = lt.grad(loss(), {x, w})
    assert.is_nil(x.grad)
    loss():backward()
    assert.same(numbers(x.grad), numbers(g[1]))
    assert.same(numbers(w.grad), numbers(g[2]))
    assert.is_false(g[1].requires_grad)
  end)

  it("is of results on the way too, and of a tensor that is asked for twice", function()
    local x = lt.param(lt.tensor{1, 2})
    local h = x * 3
    local y = (h * h):sum()
    local of_h, of_x, again = table.unpack(lt.grad(y, {h, x, h}))
    assert.same({6, 12}, of_h:table())
    assert.same({18, 36}, of_x:table())
    assert.same({6, 12}, again:table())
  end)

  it("takes gradients that come in, and several outputs", function()
    local x = lt.param(lt.tensor{1, 2})
    assert.same({3, 40}, lt.grad({x * 3, x * 4}, x, {grad_outputs = {lt.tensor{1, 0}, lt.tensor{0, 10}}}):table())
  end)

  it("frees the graph unless told to retain it", function()
    local x = lt.param(lt.tensor{1, 2})
    local y = x:exp():sum()
    lt.grad(y, x, {retain_graph = true})
    lt.grad(y, x)
    assert.misuse(function() lt.grad(y, x) end, "grad: .*freed by an earlier backward")
  end)

  it("says what is not used", function()
    local x, z = lt.param(lt.tensor{1, 2}), lt.param(lt.tensor{3})
    local y = x:sum()
    assert.misuse(function() lt.grad(y, {x, z}, {retain_graph = true}) end, "grad: xs: y does not depend on item 2")
    assert.is_nil(lt.grad(y, {x, z}, {retain_graph = true, allow_unused = true})[2])
    assert.same({0}, lt.grad(y, {x, z}, {materialize_grads = true})[2]:table())
  end)

  it("refuses what has no gradient", function()
    local x = lt.param(lt.tensor{1, 2})
    assert.misuse(function() lt.grad(x * 2, x) end, "grad: expected a scalar")
    assert.misuse(function() lt.grad(lt.tensor{1}, x) end, "grad: y: nothing here wants a gradient")
    assert.misuse(function() lt.grad(x:sum(), lt.tensor{1}) end, "grad: xs: item 1 wants no gradient")
    assert.misuse(function() lt.grad(x:sum(), x, {grad_outputs = lt.ones(3)}) end,
      "grad: grad_outputs: expected float32 %[%], got float32 %[3%]")
    assert.misuse(function() lt.grad(x:sum(), x, {creat_graph = true}) end, 'grad: .*did you mean "create_graph"')
    assert.misuse(function() lt.grad(3, x) end, "grad: y: expected a tensor or a list of tensors, got 3")
  end)

  it("has gradients of any order", function()
    local x = lt.param(lt.tensor{2})
    local y, want = x:pow(5):sum(), {80, 160, 240, 240, 120}
    for order = 1, 5 do
      y = lt.grad(y, x, {create_graph = true}):sum()
      assert.equal(want[order], y:item())
    end
  end)

  it("adds gradients of gradients up in grad", function()
    local x = lt.param(lt.tensor{1, 2, 3})
    local g = lt.grad(x:pow(3):sum(), x, {create_graph = true})
    g:square():sum():backward() -- sum 9 x^4
    near({36, 288, 972}, x.grad)
  end)

  it("says where derivatives end", function()
    local x = lt.param(lt.tensor{1.5})
    assert.misuse(function() lt.grad(x:polygamma(170):sum(), x, {create_graph = true}) end,
      "grad: n: expected a whole number from 0 to 170, got 171")
  end)

  it("is refused where a saved value was changed", function()
    local x = lt.param(lt.tensor{1, 2})
    local h = x * 2
    local y = h:square():sum()
    lt.no_grad(function() h:fill_(1) end)
    assert.misuse(function() lt.grad(y, x, {create_graph = true}) end, "grad: square: a value .* was changed in place")
  end)

  it("goes through a long chain", function()
    local x = lt.param(lt.tensor{1})
    local y = x
    for _ = 1, 20000 do y = y + 1 end
    assert.equal(1, lt.grad(y:sum(), x):item())
  end)
end)

describe("the rules", function()
  it("of fused blocks are those of their layers", function()
    lt.manual_seed(3)
    local model = nn.Sequential{nn.Upsample(2), nn.Conv2d(2, 3, 3, {padding = 1}), nn.LeakyReLU(0.2), nn.MaxPool2d(2)}
    local x = lt.param(lt.randn(2, 3, 3, 2))
    local function second(fused)
      nn.fuse = fused
      local g = lt.grad(model(x):sum(), x, {create_graph = true})
      return lt.grad(g:square():sum(), model[2].weight)
    end
    local fused, plain = second(true), second(false)
    nn.fuse = true
    near(numbers(plain), fused, 1e-4)
  end)

  it("of ops written in Lua are their backward functions", function()
    local cube = lt.op{
      name = "cube",
      forward = function(ctx, x)
        ctx:save(x, 3)
        return x * x * x
      end,
      backward = function(ctx, dy)
        local x, three = ctx:saved()
        return dy * x * x * three
      end,
    }
    local x = lt.param(lt.tensor{2})
    local h = x * 1
    local g = lt.grad(cube(h):sum(), x, {create_graph = true})
    assert.equal(12, lt.grad(g:sum(), x):item())
    local root = lt.op{
      name = "root",
      forward = function(ctx, v)
        local y = v:sqrt()
        ctx:save(y)
        return y
      end,
      backward = function(ctx, dy) return dy / (ctx:saved() * 2) end,
    }
    g = lt.grad(root(x):sum(), x, {create_graph = true})
    near({-0.25 * 2 ^ -1.5}, lt.grad(g:sum(), x))
    local hidden = lt.op{
      name = "hidden",
      forward = function(ctx, v)
        ctx:save(v * 2)
        return v * v
      end,
      backward = function(ctx, dy) return dy * ctx:saved() end,
    }
    assert.misuse(function() lt.grad(hidden(x):sum(), x, {create_graph = true}) end,
      "grad: hidden: its gradient has none: it saves a tensor that is neither an input")
    assert.equal(4, lt.grad(hidden(x):sum(), x):item())
  end)
end)

describe("products with derivatives", function()
  local x, v = lt.tensor{1, 2, 3}, lt.tensor{1, 0, -1}
  local function f(a) return a:pow(3):sum() end

  it("are vjp and jvp", function()
    local function g(a) return lt.stack{a:sum(), a:square():sum()} end
    local y, back = lt.vjp(g, x, lt.tensor{1, 2})
    assert.same({6, 14}, y:table())
    assert.same({5, 9, 13}, back:table())
    local _, forth = lt.jvp(g, x, v)
    assert.same({0, -4}, forth:table())
    _, forth = lt.jvp(function() return lt.ones(2) end, x, v)
    assert.same({0, 0}, forth:table())
    assert.misuse(function() lt.jvp(g, x, lt.ones(2)) end, "jvp: v: expected float32 %[3%] for input 1")
  end)

  it("are hvp, jacobian and hessian", function()
    local y, product = lt.hvp(f, x, v)
    assert.equal(36, y:item())
    assert.same({6, 0, -18}, product:table())
    assert.same({{6, 0, 0}, {0, 12, 0}, {0, 0, 18}}, lt.hessian(f, x):table())
    assert.same({{2, 0}, {0, 4}}, lt.jacobian(function(a) return a:square() end, lt.tensor{1, 2}):table())
    local blocks = lt.hessian(function(a, b) return (a * b):sum() end, {lt.tensor{1}, lt.tensor{2}})
    assert.same({0, 1, 1, 0}, {blocks[1][1]:item(), blocks[1][2]:item(), blocks[2][1]:item(), blocks[2][2]:item()})
    local p = lt.param(lt.tensor{2})
    local h = lt.hessian(f, p, {create_graph = true})
    assert.equal(6, lt.grad(h:sum(), p):item())
  end)
end)

describe("hooks on gradients", function()
  it("see the whole gradient once and may change it", function()
    local w = lt.param(lt.tensor{1, 2})
    local seen = {}
    local handle = w:register_hook(function(g)
      seen[#seen + 1] = g:table()
      return g * 10
    end)
    local h = w * 3
    h:register_hook(function(g) seen[#seen + 1] = g:table() end)
    local y = h + h * 2 + w
    y:sum():backward()
    assert.same({{3, 3}, {10, 10}}, seen)
    assert.same({100, 100}, w.grad:table())
    y = w * 1
    y:sum():backward()
    assert.same({110, 110}, w.grad:table())
    assert.same({10, 10}, lt.grad((w * 1):sum(), w):table())
    handle:remove()
    w:zero_grad()
    y = w * 1
    y:sum():backward()
    assert.same({1, 1}, w.grad:table())
  end)

  it("take part in gradients of gradients", function()
    local w = lt.param(lt.tensor{3})
    local h = w * w
    h:register_hook(function(g) return g * 2 end)
    local g = lt.grad(h:sum(), w, {create_graph = true})
    assert.equal(12, g:item())
    assert.equal(4, lt.grad(g:sum(), w):item())
  end)

  it("say what is wrong", function()
    local w = lt.param(lt.tensor{3})
    assert.misuse(function() lt.tensor{1}:register_hook(print) end, "register_hook: expected a tensor that wants")
    assert.misuse(function() w:register_hook(3) end, "register_hook: f: expected a function, got 3")
    w:register_hook(function() return lt.ones(2) end)
    local ok, message = pcall(function() (w * 1):sum():backward() end)
    assert.is_false(ok)
    assert.matches("register_hook: the hook: expected nil or float32 [1], got float32 [2]", message, 1, true)
    assert.is_nil(w.grad)
  end)

  it("leave nothing behind", function()
    collectgarbage()
    collectgarbage()
    local before = lt.info().live_bytes
    for _ = 1, 20 do
      local w = lt.param(lt.zeros(1000))
      local h = w * 2
      w:register_hook(function(g) return g + w:detach() end)
      h:register_hook(function(g) return g end)
      h:sum():backward()
      lt.checkpoint(function(x) return x:exp() end, w)
    end
    collectgarbage()
    collectgarbage()
    assert(lt.info().live_bytes <= before + 8000)
  end)
end)

describe("hooks on layers", function()
  it("see and change the output, and keep the layer from being fused", function()
    lt.manual_seed(4)
    local model = nn.Sequential{nn.Conv2d(3, 4, 3, {padding = 1}), nn.ReLU(), nn.MaxPool2d(2)}
    local x, seen = lt.randn(1, 4, 4, 3), {}
    local plain = model(x)
    local handle = model[2]:register_forward_hook(function(layer, inputs, y)
      seen[#seen + 1] = {layer, inputs[1].shape, y.shape}
    end)
    local first = model(x)
    assert.equal(1, #seen)
    assert.equal(model[2], seen[1][1])
    assert.same({1, 4, 4, 4}, {table.unpack(seen[1][2])})
    near(numbers(plain), first)
    local double = model:register_forward_hook(function(_, _, y) return y * 2 end)
    near(numbers(plain * 2), model(x))
    assert.equal(2, #seen)
    handle:remove()
    double:remove()
    assert.same(numbers(plain), numbers(model(x)))
    assert.equal(2, #seen)
    assert.misuse(function() model:register_forward_hook(1) end, "register_forward_hook: f: expected a function, got 1")
  end)

  it("may catch an activation and its gradient", function()
    local model = nn.Sequential{nn.Linear(2, 3), nn.Tanh()}
    local gradient
    model[1]:register_forward_hook(function(_, _, y) y:register_hook(function(g) gradient = g end) end)
    model(lt.randn(4, 2)):sum():backward()
    assert.same({4, 3}, {table.unpack(gradient.shape)})
  end)
end)

describe("lt.checkpoint", function()
  it("gives the same bits, random ops included", function()
    lt.manual_seed(5)
    local model = nn.Sequential{nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 6)}
    local x = lt.param(lt.randn(4, 6))
    local function gradients(wrap)
      lt.manual_seed(9)
      model:zero_grad()
      x.grad = nil
      local h = x * 1.5
      local y = wrap(model, wrap(model, h)) + h
      local after = lt.rand(1):item()
      y:square():sum():backward()
      local list = {y:bytes(), after, x.grad:bytes()}
      for _, p in ipairs(model:parameters()) do list[#list + 1] = p.grad:bytes() end
      return list
    end
    local plain = gradients(function(f, h) return f(h) end)
    assert.same(plain, gradients(lt.checkpoint))
    assert.same(plain, gradients(function(f, h)
      return lt.checkpoint(function(a) return lt.checkpoint(f, a) end, h)
    end))
  end)

  it("keeps little", function()
    local x = lt.param(lt.ones(1000))
    local function f(h)
      for _ = 1, 50 do h = h:tanh() end
      return h
    end
    collectgarbage()
    collectgarbage()
    local before = lt.info().live_bytes
    local y = lt.checkpoint(f, x * 1)
    collectgarbage()
    collectgarbage()
    assert(lt.info().live_bytes - before < 20000)
    local want = lt.grad(f(x * 1):sum(), x)
    y:sum():backward()
    assert.same(numbers(want), numbers(x.grad))
  end)

  it("takes part in lt.grad and its gradients", function()
    local x, w = lt.param(lt.tensor{2}), lt.param(lt.tensor{3})
    local y = lt.checkpoint(function(a) return a:pow(3) * w end, x * 1):sum()
    local g = lt.grad(y, x, {create_graph = true})
    assert.equal(36, g:item())
    local of_x, of_w = table.unpack(lt.grad(g:sum(), {x, w}))
    assert.same({36, 12}, {of_x:item(), of_w:item()})
  end)

  it("is computed again where gradients are not recorded: by lt.grad alone, and within no_grad", function()
    local x, w = lt.param(lt.tensor{2}), lt.param(lt.tensor{3})
    local y = lt.checkpoint(function(a) return a:pow(3) * w end, x * 1):sum()
    local of_x, of_w = table.unpack(lt.grad(y, {x, w}, {retain_graph = true}))
    assert.same({36, 8}, {of_x:item(), of_w:item()})
    assert.is_false(of_x.requires_grad)
    lt.no_grad(function() y:backward() end)
    assert.same({36, 8}, {x.grad:item(), w.grad:item()})
  end)

  it("says what is wrong", function()
    local x = lt.param(lt.tensor{2})
    assert.misuse(function() lt.checkpoint(3, x) end, "checkpoint: f: expected a function")
    assert.misuse(function() lt.checkpoint(function() return 1, 2 end) end,
      "checkpoint: f: expected one tensor back, got 2 values")
    local h = lt.ones(1)
    local y = lt.checkpoint(function(a, b) return a * b end, x, h)
    h:fill_(4)
    assert.misuse(function() y:sum():backward() end, "backward: .*argument 2 was changed in place")
    assert.equal(2, lt.checkpoint(function(a) return a * 1 end, lt.tensor{2}):item())
  end)
end)

describe("second derivatives at work", function()
  it("penalise the slope of a critic (WGAN-GP)", function()
    lt.manual_seed(1)
    local critic = nn.Sequential{nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1)}
    local opt = optim.Adam(critic:parameters(), {lr = 1e-2})
    local function slopes(x)
      local p = lt.param(x)
      return lt.grad(critic(p):sum(), p, {create_graph = true}):norm(2)
    end
    local fixed = lt.randn(64, 2)
    local before = (slopes(fixed) - 1):square():mean():item()
    for _ = 1, 150 do
      opt:zero_grad();
      ((slopes(lt.randn(32, 2)) - 1):square():mean()):backward()
      opt:step()
    end
    local after = (slopes(fixed) - 1):square():mean():item()
    assert(after < 0.05 and after < before / 5, ("%g, then %g"):format(before, after))
  end)

  it("contract a code (Rifai et al., 2011)", function()
    lt.manual_seed(2)
    local w, b = lt.param(lt.randn(5, 3) * 0.5), lt.param(lt.zeros(3))
    local x = lt.param(lt.randn(8, 5))
    local h = (x:matmul(w) + b):sigmoid()
    -- the squared Jacobian of a layer of sigmoids has a closed form, sum_j (h_j (1 - h_j))^2 sum_i w_ij^2
    local closed = ((h * (1 - h)):square() * w:square():sum(1)):sum()
    local total = 0
    for j = 1, 3 do
      total = total + lt.grad(h:slice(2, j, j):sum(), x, {create_graph = true}):square():sum()
    end
    near({closed:item()}, total)
    near(numbers(lt.grad(closed, w, {retain_graph = true})), lt.grad(total, w), 1e-4)
  end)

  it("are Newton's step by conjugate gradients", function()
    local a, c = lt.tensor{{4, 1, 0}, {1, 3, 1}, {0, 1, 2}}, lt.tensor{1, -2, 3}
    local function f(x) return (x:reshape(1, 3):matmul(a) * x):sum() * 0.5 - (x * c):sum() end
    local x = lt.param(lt.zeros(3))
    local r = -lt.grad(f(x), x)
    local step, p = lt.zeros(3), r
    for _ = 1, 3 do
      local _, hp = lt.hvp(f, x, p)
      local alpha = (r * r):sum():item() / (p * hp):sum():item()
      local fresh = r - hp * alpha
      step = step + p * alpha
      p = fresh + p * ((fresh * fresh):sum():item() / (r * r):sum():item())
      r = fresh
    end
    near({0, 0, 0}, lt.grad(f(lt.param(x:detach() + step)), lt.param(step), {allow_unused = true}) or r, 1e-4)
    near(c:table(), (x:detach() + step):reshape(1, 3):matmul(a), 1e-4)
  end)
end)
