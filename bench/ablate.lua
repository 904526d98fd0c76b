--- What the special cases of the kernels gain: the same work with each of them and without it, in turn.
-- `make bench ARGS="--ablate"`; the table of c/simd/README.md has its figures.
local core, lt, nn = require "latent.core", require "latent", require "latent.nn"
local harness = require "bench.harness"

local M = {}

local function forward(f, ...)
  local inputs = {...}
  for i, shape in ipairs(inputs) do inputs[i] = lt.randn(shape) end
  return function() return lt.no_grad(function() return f(table.unpack(inputs)) end) end
end

-- Forward and the gradient of the weight.
local function weight_gradient(f, x, w)
  x, w = lt.randn(x), lt.param(lt.randn(w))
  local dy
  return function()
    local y = f(x, w)
    dy = dy or lt.randn(y.shape)
    w.grad = nil
    y:backward(dy)
    return w.grad
  end
end

local function conv(x, w) return lt.conv2d(x, w, {padding = 1}) end

local function halved(x, w) return lt.conv2d(x, w, {stride = 2, padding = 1}) end

local function block(options)
  return function(x, w) return core.ops.conv_block(x, w, options) end
end

local function trained(layers, shape)
  local model, x = nn.Sequential(layers), lt.randn(shape)
  return function()
    model:zero_grad()
    model(x):sum():backward()
    return model[1].weight.grad
  end
end

-- By the names that core.shortcuts() knows, and "batch norm": that is not a kernel's own.
M.WORK = {
  {"conv in pairs", "32x32, 16 to 16, forward", function() return forward(conv, {16, 32, 32, 16}, {3, 3, 16, 16}) end},
  {"conv spread", "32x32, 3 to 3, forward", function() return forward(conv, {32, 32, 32, 3}, {3, 3, 3, 3}) end},
  {"conv by dots", "16x16, 64 to 1, forward", function() return forward(conv, {32, 16, 16, 64}, {3, 3, 64, 1}) end},
  {"conv open", "64x64, 32 to 32, stride 2, forward", function()
    return forward(halved, {32, 64, 64, 32}, {3, 3, 32, 32})
  end},
  {"conv ahead", "32x32 doubled, 32 to 32, input's gradient", function()
    local x, w, dy = lt.param(lt.randn(32, 32, 32, 32)), lt.randn(3, 3, 32, 32), lt.randn(32, 64, 64, 32)
    return function()
      x.grad = nil
      lt.conv_transpose2d(x, w, {stride = 2, padding = 1, output_padding = 1}):backward(dy)
      return x.grad
    end
  end},
  {"conv winograd", "16x16, 32 to 32, with its gradient", function()
    return weight_gradient(conv, {64, 16, 16, 32}, {3, 3, 32, 32})
  end},
  {"conv along", "28x28, 1 to 5, 5 x 5, forward", function()
    return forward(conv, {64, 28, 28, 1}, {5, 5, 1, 5})
  end},
  {"gradient dense", "8x8, 64 to 16, with its gradient", function()
    return weight_gradient(conv, {64, 8, 8, 64}, {3, 3, 64, 16})
  end},
  {"gradient along", "16x16, 32 to 1, with its gradient", function()
    return weight_gradient(conv, {32, 16, 16, 32}, {3, 3, 32, 1})
  end},
  {"block doubling", "8x8 doubled, 32 to 16, forward", function()
    return forward(block{upsample = 2, padding = 1}, {64, 8, 8, 32}, {3, 3, 32, 16})
  end},
  {"block few", "16x16 doubled, 16 to 1, forward", function()
    return forward(block{upsample = 2, padding = 1}, {64, 16, 16, 16}, {3, 3, 16, 1})
  end},
  {"block sparse", "16x16, 16 to 32, ReLU, pool of 2, both ways", function()
    return trained({nn.Conv2d(16, 32, 3, {padding = 1}), nn.ReLU(), nn.MaxPool2d(2)}, {64, 16, 16, 16})
  end},
  {"pool shared", "28x28, 6 channels, windows of 2, forward", function()
    return forward(function(x) return lt.max_pool2d(x, 2) end, {64, 28, 28, 6})
  end},
  {"pool apart", "32x32, 16 channels, windows of 2, both ways", function()
    local x, dy = lt.param(lt.randn(32, 32, 32, 16)), lt.randn(32, 16, 16, 16)
    return function()
      x.grad = nil
      lt.max_pool2d(x, 2):backward(dy)
      return x.grad
    end
  end},
  {"product by dots", "1024x512 by 512x1", function() return forward(lt.matmul, {1024, 512}, {512, 1}) end},
  {"product direct", "4x512 by 512x512", function() return forward(lt.matmul, {4, 512}, {512, 512}) end},
  {"product over", "1024x512 by 512x10", function() return forward(lt.matmul, {1024, 512}, {512, 10}) end},
  {"product small", "64 of 32x32 by 32x32", function() return forward(lt.matmul, {64, 32, 32}, {64, 32, 32}) end},
  {"batch norm", "norm, sum and ReLU, 32x32x16, both ways", function()
    local norm, x, r = nn.BatchNorm2d(16), lt.param(lt.randn(32, 32, 32, 16)), lt.randn(32, 32, 32, 16)
    return function()
      x.grad = nil
      local y = (norm(x) + r):relu()
      y:backward(r)
      return x.grad
    end
  end},
}

local function switch(name, on)
  if name == "batch norm" then nn.fuse = on else core.set_shortcut(name, on) end
end

local LINE = "%-16s %-46s %11s %11s %7s"

--- Measures each special case.
-- @tparam table o `pairs`, `rep`
-- @tparam function write prints a line
-- @treturn {table,...} name, work, with_ms, without_ms, gain
function M.run(o, write)
  local rows = {}
  write(LINE:format("special case", "work", "with", "without", "gain"))
  for i, row in ipairs(M.WORK) do
    local name, work, once = row[1], row[2], row[3]()
    local function timer(on)
      local time = harness.timer(once)
      return function(n)
        switch(name, on)
        local seconds = time(n)
        switch(name, true)
        return seconds
      end
    end
    local results = harness.measure({{time = timer(true)}, {time = timer(false)}}, o.pairs, o.rep)
    -- the least: what else runs on the machine only adds
    local with, without = 1e3 * math.min(table.unpack(results[1].all)), 1e3 * math.min(table.unpack(results[2].all))
    rows[i] = {name = name, work = work, with_ms = with, without_ms = without, gain = without / with}
    write(LINE:format(name, work, ("%.4g ms"):format(with), ("%.4g ms"):format(without),
      ("%.2fx"):format(rows[i].gain)))
  end
  return rows
end

return M
