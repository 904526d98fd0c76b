-- lt.profile: what it counts, and that it counts nothing when it is off.
local lt = require "latent"
local core = require "latent.core"
local optim = require "latent.optim"
local profile = require "latent.profile"
require "spec.support.close"

local function quiet(f) return profile.run(f, {quiet = true}) end

local function row_of(p, name, kind)
  for _, row in ipairs(p.rows) do
    if row.name == name and row.kind == kind then return row end
  end
end

describe("profile", function()
  it("counts calls and time, forward and backward", function()
    local x = lt.param(lt.randn(50, 40))
    local p = quiet(function()
      for _ = 1, 3 do (x * 2):relu():sum():backward() end
    end)
    for _, name in ipairs {"mul", "relu", "sum"} do
      assert.equal(3, row_of(p, name, "forward").calls)
      assert.equal(3, row_of(p, name, "backward").calls)
      assert.is_true(row_of(p, name, "forward").seconds > 0)
    end
    assert.is_true(p.inside <= p.seconds)
    assert.close(p.seconds, p.inside + p.elsewhere, 1e-6)
    for i = 2, #p.rows do assert.is_true(p.rows[i - 1].seconds >= p.rows[i].seconds) end
  end)

  it("counts in-place ops, optimiser steps and the loader's work", function()
    local w = lt.param(lt.randn(5))
    w:sum():backward()
    local opt, images = optim.Adam({w}, {lr = 1e-3}), lt.zeros(3, 2):u8()
    local p = quiet(function()
      opt:step()
      lt.ones(3):exp_()
      lt.gather_scaled(images, lt.tensor {1, 2}, 1, 0)
    end)
    assert.equal(1, row_of(p, "Adam", "other").calls)
    assert.equal(1, row_of(p, "exp", "forward").calls)
    assert.equal(1, row_of(p, "gather_scaled", "other").calls)
  end)

  -- flops: op, shapes of the inputs, options, operations forward; twice as many backward
  local cases = {
    {"conv2d", {{2, 9, 8, 3}, {3, 3, 3, 5}}, {padding = 1}, 2 * 2 * 9 * 8 * 9 * 3 * 5},
    {"conv2d", {{2, 9, 9, 3}, {3, 3, 3, 5}}, {stride = 2}, 2 * 2 * 4 * 4 * 9 * 3 * 5},
    {"conv_transpose2d", {{2, 4, 5, 3}, {3, 3, 3, 7}}, {stride = 2}, 2 * 2 * 4 * 5 * 9 * 3 * 7},
    {"linear", {{6, 5, 7}, {7, 4}}, nil, 2 * 6 * 5 * 7 * 4},
    {"matmul", {{6, 7}, {7, 4}}, nil, 2 * 6 * 7 * 4},
    {"matmul", {{3, 6, 7}, {3, 7, 4}}, nil, 2 * 3 * 6 * 7 * 4},
  }
  -- A block's pool and upsampling are no arithmetic; its convolution is.
  if core.ops.conv_block then
    cases[#cases + 1] = {"conv_block", {{2, 6, 8, 16}, {3, 3, 16, 16}, {16}},
      {padding = 1, activation = "relu", pool = 2}, 2 * 2 * 6 * 8 * 9 * 16 * 16}
    cases[#cases + 1] = {"conv_block", {{2, 6, 8, 16}, {3, 3, 16, 16}, {16}},
      {upsample = 2, padding = 1, transposed = true}, 2 * 2 * 12 * 16 * 9 * 16 * 16}
  end
  for i, case in ipairs(cases) do
    local name, shapes, options, flops = table.unpack(case, 1, 4)
    it(("knows the arithmetic of %s (%d)"):format(name, i), function()
      local inputs = {}
      for k, shape in ipairs(shapes) do inputs[k] = lt.randn(shape) end
      local f = core.ops[name]
      local function apply()
        local arguments = {table.unpack(inputs)}
        arguments[#arguments + 1] = options
        return f(table.unpack(arguments))
      end
      local p = quiet(apply)
      assert.equal(flops, row_of(p, name, "forward").flops)
      assert.is_true(row_of(p, name, "forward").gflops > 0)
      inputs[2] = lt.param(inputs[2])
      p = quiet(function() apply():sum():backward() end)
      assert.equal(flops, row_of(p, name, "backward").flops)
      inputs[1] = lt.param(inputs[1])
      p = quiet(function() apply():sum():backward() end)
      assert.equal(2 * flops, row_of(p, name, "backward").flops)
      assert.equal(3 * flops, p:flops())
      assert.equal(2, p:of(name).calls)
    end)
  end

  it("takes the ops inside one written in Lua out of its time", function()
    local slow = lt.op {
      name = "slow_square",
      forward = function(ctx, x)
        ctx:save(x)
        return x * x
      end,
      backward = function(ctx, dy) return dy * ctx:saved() * 2 end,
    }
    local x = lt.param(lt.randn(400, 400))
    local p = quiet(function() slow(x):sum():backward() end)
    assert.equal(1, row_of(p, "slow_square", "forward").calls)
    assert.equal(1, row_of(p, "slow_square", "backward").calls)
    assert.equal(3, row_of(p, "mul", "forward").calls)
    assert.is_true(p.inside <= p.seconds)
  end)

  it("counts nothing of what comes before or after", function()
    local a = lt.ones(3)
    quiet(function() return a + 1 end)
    local _ = a:exp()
    assert.same({}, quiet(function() end).rows)
  end)

  it("prints a table", function()
    local printed, before = nil, print
    _G.print = function(text) printed = text end
    local ok, message = pcall(lt.profile, function() lt.matmul(lt.ones(64, 64), lt.ones(64, 64)) end)
    _G.print = before
    assert(ok, message)
    assert.matches("^op +calls +time +a call +share +GFLOP/s\n", printed)
    assert.matches("\nmatmul +forward +1 +[%d.]+ %as", printed)
    assert.matches("\nelsewhere %(Lua, data%)", printed)
    assert.matches("\nall +[%d.]+ %as +100.0%%$", printed)
  end)

  it("is off again after an error, which passes", function()
    assert.has_error(function() quiet(function() error("inside", 0) end) end, "inside")
    assert.is_false(core.profile_running())
    assert.has_error(function() quiet(function() lt.linear(lt.ones(2, 3), lt.ones(4, 5)) end) end)
    assert.equal(1, #quiet(function() lt.ones(2):exp() end).rows)
  end)

  it("says what is wrong with its arguments", function()
    local function message(...) return select(2, pcall(lt.profile, ...)) end
    assert.matches("profile: expected a function, got a table", message {})
    assert.matches('profile: unknown option "queit" %(did you mean "quiet"%?%)', message(print, {queit = true}))
    assert.matches("profile: quiet: expected a boolean, got 1", message(print, {quiet = 1}))
    assert.matches("profile: one is running already", message(function() lt.profile(print) end))
  end)
end)
