-- Every gradient of the library against central differences, in double precision.
local lt = require "latent"
local gradcheck = require "spec.support.gradcheck"
local lt64 = require "spec.support.lt64"
local op_cases = require "spec.support.op_cases"

describe("gradients", function()
  for _, op in ipairs(lt.ops()) do
    if op.differentiable then
      it("of " .. op.name, function()
        local cases = assert(op_cases.cases[op.name], "no case in spec/support/op_cases.lua")
        local checked = 0
        for _, case in ipairs(cases) do
          if not case.wide then
            local ok, message = pcall(gradcheck.check, case.f, op_cases.inputs(lt64, case))
            assert(ok, ("%s: %s"):format(op_cases.label(case), tostring(message)))
            checked = checked + 1
          end
        end
        assert(checked > 0, "no case small enough")
      end)
    end
  end

  it("of max and min of two go half and half at a tie", function()
    for _, name in ipairs {"maximum", "minimum"} do
      local a, b = lt64.param(lt64.ones(3)), lt64.param(lt64.ones(1))
      lt64[name](a, b):sum():backward()
      assert.same({0.5, 0.5, 0.5}, a.grad:table())
      assert.same({1.5}, b.grad:table())
    end
  end)

  it("go to the first of equals in max, min and max_pool2d", function()
    for _, name in ipairs {"max", "min"} do
      local x = lt64.param(lt64.ones(4))
      lt64[name](x):backward()
      assert.same({1, 0, 0, 0}, x.grad:table())
    end
    local x = lt64.param(lt64.ones(1, 2, 2, 1))
    lt64.max_pool2d(x, 2):sum():backward()
    assert.same({1, 0, 0, 0}, x.grad:reshape(-1):table())
  end)

  it("are shared among equals by amax and amin, as in PyTorch", function()
    local x = lt64.param(lt64.tensor {{1, 3, 3}, {2, 2, 2}})
    for _, case in ipairs {
      {function() return x:amax(2):dot(lt64.tensor {2, 4}) end, {{0, 1, 1}, {4 / 3, 4 / 3, 4 / 3}}},
      {function() return x:amin() end, {{1, 0, 0}, {0, 0, 0}}},
      {function() return x:amax({1, 2}, true):sum() end, {{0, 0.5, 0.5}, {0, 0, 0}}},
      {function() return x:amax(1, {keepdim = true}):sum() end, {{0, 1, 1}, {1, 0, 0}}},
    } do
      x:zero_grad()
      case[1]():backward()
      assert.same(case[2], x.grad:table())
    end
    local huge = lt64.param(lt64.tensor {math.huge, 1, math.huge})
    lt64.amax(huge):backward()
    assert.same({0.5, 0, 0.5}, huge.grad:table())
  end)

  it("of kinks are those of PyTorch", function()
    local x = lt64.param(lt64.tensor {0, -0.5, 0.75})
    lt64.relu(x):sum():backward()
    assert.equal(0, x.grad[1])
    x:zero_grad()
    lt64.abs(x):sum():backward()
    assert.equal(0, x.grad[1])
    x:zero_grad()
    lt64.clamp(x, -0.5, 0.75):sum():backward() -- the bounds themselves pass
    assert.same({1, 1, 1}, x.grad:table())
    x:zero_grad()
    lt64.leaky_relu(x, 0.25):sum():backward()
    assert.equal(0.25, x.grad[1])
  end)

  it("flow through several uses of one tensor", function()
    gradcheck.check(function(_, x, w)
      local h = (x * x):matmul(w):tanh()
      return (h * h + h:sum(2, true) * x:mean()):sum(1)
    end, {lt64.param(lt64.tensor {{0.5, -1.25}, {2, 0.75}}), lt64.param(lt64.tensor {{1, -0.5}, {0.25, 2}})})
  end)

  it("raise with both numbers when they are wrong", function()
    local wrong = lt64.op {
      name = "wrong_square",
      forward = function(ctx, x)
        ctx:save(x)
        return x * x
      end,
      backward = function(ctx, dy)
        return dy * ctx:saved() * 3
      end,
    }
    local ok, message = pcall(gradcheck.check, function(_, x) return wrong(x) end, {lt64.param(lt64.tensor {1.5})})
    assert.is_false(ok)
    assert.matches("input 1, element 1: backward says [%d.e+-]+, differences say [%d.e+-]+", message)
  end)
end)
