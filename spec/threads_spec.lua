-- The same bits for any number of threads.
local lt = require "latent"
local op_cases = require "spec.support.op_cases"
local values = require "spec.support.values"
local optim = require "latent.optim"

-- Large enough that the work is cut into several chunks.
local LARGE = {
  conv2d = {{{9, 17, 15, 16}, {3, 3, 16, 17}, {17}}, function(x, w, b) return lt.conv2d(x, w, b, {padding = 1}) end},
  conv_transpose2d = {{{9, 8, 9, 16}, {3, 3, 16, 16}, {16}},
    function(x, w, b) return lt.conv_transpose2d(x, w, b, {stride = 2, padding = 1}) end},
  linear = {{{130, 300}, {300, 200}, {200}}, function(x, w, b) return lt.linear(x, w, b) end},
  matmul = {{{210, 130}, {130, 220}}, function(a, b) return lt.matmul(a, b) end},
  sum = {{{300, 401}}, function(x) return x:sum() end},
  sum_axis = {{{300, 401}}, function(x) return x:sum(1) end},
  mean = {{{50, 60, 70}}, function(x) return x:mean {1, 3} end},
  broadcast = {{{50, 60, 70}, {60, 1}}, function(a, b) return a * b end},
  softmax = {{{300, 401}}, function(x) return x:softmax(2) end},
  relu = {{{300, 401}}, function(x) return x:relu() end},
  exp = {{{300, 401}}, function(x) return x:exp() end},
  max_pool2d = {{{9, 33, 31, 16}}, function(x) return lt.max_pool2d(x, 2) end},
  avg_pool2d = {{{9, 33, 31, 16}}, function(x) return lt.avg_pool2d(x, 3, {stride = 2}) end},
  upsample_nearest = {{{9, 16, 15, 16}}, function(x) return lt.upsample_nearest(x, 2) end},
  batch_norm_train = {{{9, 33, 31, 16}, {16}, {16}}, function(x, w, b) return (lt.batch_norm_train(x, w, b)) end},
  layer_norm = {{{900, 70}, {70}, {70}}, function(x, w, b) return lt.layer_norm(x, w, b) end},
  mse_loss = {{{300, 401}, {300, 401}}, function(x, t) return lt.mse_loss(x, t) end},
  gaussian_kl = {{{900, 16}, {900, 16}}, function(m, v) return lt.gaussian_kl(m, v) end},
}

-- Output and gradients as bytes.
local function run(case)
  local inputs, list = {}, {}
  for i, shape in ipairs(case[1]) do inputs[i] = lt.param(values.tensor(lt, shape, i)) end
  local y = case[2](table.unpack(inputs))
  list[1] = y:bytes()
  y:backward(values.tensor(lt, y.shape, 11))
  for _, x in ipairs(inputs) do list[#list + 1] = x.grad:bytes() end
  return list
end

describe("any number of threads", function()
  local before = lt.threads()
  after_each(function() lt.set_threads(before) end)

  for name, case in pairs(LARGE) do
    it("gives the same bits in " .. name, function()
      lt.set_threads(1)
      local want = run(case)
      for _, threads in ipairs {2, 3, 8} do
        lt.set_threads(threads)
        for i, bytes in ipairs(run(case)) do
          assert(bytes == want[i], ("%d threads: %s"):format(threads, i == 1 and "output" or "gradient " .. i - 1))
        end
      end
    end)
  end

  it("gives the same bits in every small case of every op", function()
    for _, cases in pairs(op_cases.cases) do
      for _, case in ipairs(cases) do
        local results = {}
        for _, threads in ipairs {1, 2} do
          lt.set_threads(threads)
          local inputs = op_cases.inputs(lt, case)
          local y = case.f(lt, table.unpack(inputs))
          y:backward(values.tensor(lt, y.shape, 11))
          local bytes = {y:bytes()}
          for _, x in ipairs(inputs) do bytes[#bytes + 1] = x.grad and x.grad:bytes() or "" end
          results[threads] = table.concat(bytes)
        end
        assert(results[1] == results[2], op_cases.label(case))
      end
    end
  end)

  it("gives the same bits in optimiser steps and in the norm of gradients", function()
    local results = {}
    for _, threads in ipairs {1, 2} do
      lt.set_threads(threads)
      local w = lt.param(values.tensor(lt, {300, 401}, 1))
      local opt = optim.Adam({w}, {lr = 0.1})
      for _ = 1, 2 do
        w:zero_grad()
        w:square():sum():backward()
        optim.clip_grad_norm({w}, 1)
        opt:step()
      end
      results[threads] = w:bytes()
    end
    assert(results[1] == results[2])
  end)

  it("is a whole number within reason", function()
    for _, n in ipairs {0, -1, 65, 1e9} do
      assert.has_error(function() lt.set_threads(n) end)
    end
    assert.has_error(function() lt.set_threads(1.5) end)
    lt.set_threads(3)
    assert.equal(3, lt.threads())
    assert.equal(3, lt.info().threads)
  end)
end)
