-- What a review broke the library with: none of it may crash or pass unnoticed.
local lt, optim = require "latent", require "latent.optim"
require "spec.support.misuse"
require "spec.support.close"

describe("hostile use", function()
  after_each(function() collectgarbage() end)

  it("of reshape: sizes whose product overflows", function()
    assert.misuse(function() lt.zeros(0):reshape(1 << 32, 1 << 32) end, "reshape: shape .* is too large")
    assert.misuse(function() lt.zeros(16):reshape{(1 << 62) + 4, 4} end, "reshape: shape .* is too large")
  end)

  it("of a zero among sizes that are too large without it", function()
    assert.misuse(function() lt.zeros(0, math.maxinteger, 4) end, "zeros: shape .* is too large")
    assert.misuse(function() lt.zeros(1 << 20, 0, (1 << 20) + 1) end, "zeros: shape .* is too large")
    local x = lt.param(lt.zeros(0, 1 << 36))
    local y = x:softmax(1)
    y:backward(lt.zeros(0, 1 << 36))
    assert.same({0, 1 << 36}, x.grad.shape)
    assert.same({0, 1 << 37}, lt.cat({x, x}, 2).shape)
    assert.misuse(function() lt.zeros(1 << 36, 0):table() end, "table: shape .* would become 68719476737 empty tables")
  end)

  it("of nothing: the gradient of an empty result is zero", function()
    for _, f in ipairs{
      function(x) return x:slice(1, 3, 2) end,
      function(x) return x:gather_rows(lt.zeros(0)) end,
      function(x) return x:reshape(1, 2, 3):slice(1, 2, 1) + x end,
      function(x) return lt.linear(lt.zeros(0, 2), x) end,
      function(x) return lt.matmul(x, lt.zeros(3, 0)) end,
    } do
      local x = lt.param(lt.ones(2, 3))
      local y = f(x)
      assert.equal(0, y:numel())
      y:backward(lt.zeros(y.shape))
      assert.same({{0, 0, 0}, {0, 0, 0}}, x.grad:table())
    end
  end)

  it("of a custom op that closes its input", function()
    local op = lt.op{forward = function(_, x)
      local y = x * 2
      x:close()
      return y
    end, backward = function(_, dy) return dy end}
    assert.misuse(function() local _ = op(lt.param(lt.ones(3))) end, ".*closed tensor")
  end)

  it("of a backward inside a backward", function()
    local inner
    local op = lt.op{name = "nested", forward = function(_, x) return x * 1 end, backward = function(_, dy)
      inner:backward()
      return dy
    end}
    local y = op(lt.param(lt.ones(3)))
    inner = y:sum()
    assert.misuse(function() y:sum():backward() end, "backward: .*a backward is running already")
    local p = lt.param(lt.ones(2))
    p:sum():backward()
    assert.same({1, 1}, p.grad:table())
  end)

  it("of a finaliser that closes the tensor in use", function()
    for _ = 1, 20 do
      local x = lt.zeros(1 << 20)
      setmetatable({}, {__gc = function() x:close() end})
      local big = lt.zeros(1 << 22)
      local ok, message = pcall(function()
        for _ = 1, 40 do local _ = x + lt.ones(1 << 20) end
      end)
      assert.is_true(ok or message:find "closed tensor" ~= nil, message)
      big:close()
    end
  end)

  it("of a finaliser that closes an input while the op makes room for its result", function()
    local taken
    -- The list is garbage when the op has made a tensor of it. Where the other one lay there is a new one then.
    local function sum_with_list(x)
      return lt.add(x, setmetatable({1, 1, 1}, {__gc = function()
        x:close()
        taken = lt.full({3}, 100)
      end})):sum():item()
    end
    for i = 1, 5 do
      local x = lt.full({3}, i)
      collectgarbage("incremental", 1, 1000, 30) -- from now on wherever something is made, from start to end
      collectgarbage()
      local ok, message = pcall(sum_with_list, x)
      collectgarbage("incremental", 200, 100, 13) -- as Lua begins
      collectgarbage "generational"
      assert.is_false(ok)
      assert.matches("add: a: closed tensor", message)
      assert.is_not_nil(taken)
    end
  end)

  it("of overlapping views in place", function()
    local x = lt.arange(5)
    x:slice(1, 2, 5):add_(x:slice(1, 1, 4))
    assert.same({1, 3, 5, 7, 9}, x:table())
  end)

  it("of values kept for backward", function()
    local op = lt.op{name = "cube", forward = function(ctx, x)
      ctx:save(x)
      return x * x * x
    end, backward = function(ctx, dy)
      local x = ctx:saved()
      return dy * 3 * x * x
    end}
    local x = lt.param(lt.tensor{2})
    local y = op(x):sum()
    lt.no_grad(function() x:fill_(100) end)
    assert.misuse(function() y:backward() end, "backward: cube: a value that its gradient needs was changed in place")
  end)

  it("of gradients at a kink", function()
    local x = lt.param(lt.zeros(2))
    x:norm():backward()
    assert.same({0, 0}, x.grad:table())
    local z = lt.param(lt.tensor{2, 2})
    z:std(1, {unbiased = false}):backward()
    assert.same({0, 0}, z.grad:table())
    assert.equal(5, lt.tensor{3, 4}:norm():item())
  end)

  it("of infinite gradients", function()
    local a, b = lt.param(lt.zeros(1)), lt.param(lt.zeros(1));
    (a - b):backward(lt.tensor{math.huge})
    assert.same({-math.huge}, b.grad:table())
  end)

  it("of the KL divergence near zero and far out", function()
    local tiny = lt.gaussian_kl(lt.zeros(1, 1), lt.full({1, 1}, 1e-3)):item()
    assert.close(tiny, 1e-6 / 4, 1e-3) -- v^2 / 4, and v^3 / 12
    local v = lt.param(lt.full({1, 1}, 1000))
    local kl = lt.gaussian_kl(lt.zeros(1, 1), v)
    kl:backward()
    assert.is_true(kl:item() < math.huge and v.grad:item() > 0 and v.grad:item() < math.huge)
  end)

  it("of in-place changes that would lose a gradient", function()
    local w = lt.param(lt.ones(2))
    for _, f in ipairs{
      function() lt.zeros(2):add_(w * 2) end,
      function() lt.zeros(2):copy_(w * 2) end,
      function()
        local buffer = lt.zeros(1, 2)
        buffer[1] = w * 2
      end,
    } do assert.misuse(f, ".*the source wants a gradient") end
  end)

  it("of p.grad = q.grad", function()
    local p, q = lt.param(lt.ones(1)), lt.param(lt.ones(1));
    (q * 3):sum():backward()
    p.grad = q.grad;
    (p + q):sum():backward()
    assert.same({{4}, {4}}, {p.grad:table(), q.grad:table()})
  end)

  it("of a class far below the library's, wherever Lua's stack is full", function()
    local w = lt.param(lt.ones(1))
    local opt = optim.SGD({w}, {lr = 1})
    local class = getmetatable(opt)
    for _ = 1, 14 do
      local below = setmetatable({}, class)
      below.__index, class = below, below
    end
    setmetatable(opt, class)
    local function steps_at(depth)
      if depth > 0 then return (steps_at(depth - 1)) end
      return (opt:zero_grad())
    end
    for depth = 1, 120 do coroutine.wrap(steps_at)(depth) end
    w.grad = lt.ones(1)
    opt:step()
    assert.equal(0, w:item())
  end)

  it("of an optimiser behind a wrapper of the user's own", function()
    local w, calls = lt.param(lt.ones(1)), 0
    local opt = optim.SGD({w}, {lr = 1})
    local wrapper = setmetatable({}, {__index = function(_, name)
      calls = calls + 1
      return opt[name]
    end})
    w.grad = lt.ones(1)
    wrapper:step()
    assert.equal(0, w:item())
    assert(calls > 1)
    assert.misuse(function() opt.step(w) end, "step: expected an optimiser, got a tensor")
  end)

  it("of arguments that mean nothing", function()
    for name, f in pairs{
      zeros = function() lt.zeros({2, 3}, 7) end, eye = function() lt.eye(2, 3) end,
      tensor = function() lt.tensor({1}, "u8") end, randn = function() lt.randn(lt.zeros(2), 9) end,
      param = function() lt.param(lt.zeros(2), false) end, arange = function() lt.arange(1, 2, 3, 4) end,
    } do assert.misuse(f, name .. ": expected ") end
    assert.misuse(function() lt.zeros(2):clamp(4, 2) end, "clamp: expected min, max or both")
    assert.misuse(function() lt.zeros(2):clamp() end, "clamp: expected min, max or both")
    assert.misuse(function() lt.full({2}, 0.7, "u8") end, "full: value: expected a whole number")
    local nothing = function() end
    assert.misuse(function() lt.op{forward = nothing, backward = nothing, nmae = "x"} end, 'op: unknown field "nmae"')
  end)
end)
