-- The trap for gradients that are not finite: which op made them, and at which line.
require "spec.support.misuse"
local lt = require "latent"

describe("check_finite", function()
  after_each(function() lt.check_finite(false) end)

  it("names the op and the line that applied it", function()
    lt.check_finite(true)
    local x = lt.param(lt.tensor {0, 1})
    local line = debug.getinfo(1, "l").currentline + 1
    local y = x:sqrt()
    assert.misuse(function() y:sum():backward() end,
      "backward: sqrt: the gradient of x is not finite %(inf%); the op was applied at "
      .. "%.?/?spec/check_finite_spec.lua:" .. line)
    assert.is_nil(x.grad)
  end)

  it("works for ops written in Lua, and in coroutines", function()
    lt.check_finite(true)
    local broken = lt.op {name = "broken", forward = function(_, x) return x + 0 end,
      backward = function(_, dy) return dy / 0 end}
    local x = lt.param(lt.ones(2))
    local y = coroutine.wrap(function() return broken(x) end)()
    collectgarbage()
    assert.misuse(function() y:sum():backward() end,
      "backward: broken: the gradient of x is not finite .* spec/check_finite_spec.lua:%d+")
  end)

  it("knows the line of x[i] too, after a coroutine that made a node is gone", function()
    lt.check_finite(true)
    local x = lt.param(lt.ones(2, 2))
    coroutine.wrap(function() return x * 2 end)()
    collectgarbage()
    collectgarbage()
    local line = debug.getinfo(1, "l").currentline + 1
    local row = x[1]
    assert.misuse(function() row:backward(lt.full({2}, math.huge)) end,
      "backward: select: the gradient of x is not finite %(inf%); the op was applied at "
      .. "[^:]*check_finite_spec.lua:" .. line)
  end)

  it("is off unless asked for", function()
    local x = lt.param(lt.tensor {0, 1})
    x:sqrt():sum():backward()
    assert.equal(math.huge, x.grad:get(1))
    assert.misuse(function() lt.check_finite(1) end, "check_finite: expected true or false, got 1")
  end)
end)
