-- Convolutions of 3 x 3 by Winograd's tiles (c/ops/winograd.c) against the direct kernels and double precision.
local core = require "latent.core"
local lt = require "latent"
require "spec.support.close"

local NAMES = {"output", "gradient of x", "gradient of the weight"}

local function switch(on) core.set_shortcut("conv winograd", on) end

-- Output and gradients of an op.
local function run(op, x, w, dy, padding)
  x, w = lt.param(x), lt.param(w)
  local y = lt[op](x, w, {padding = padding})
  y:backward(dy)
  return {y:detach(), x.grad, w.grad}
end

local function directly(...)
  switch(false)
  local results = run(...)
  switch(true)
  return results
end

-- The inputs of a case: {images, height, width, in, out, padding}; nil where the kernel does not fit.
local function inputs(op, case)
  local size, padding = {}, type(case[6]) == "table" and case[6] or {case[6], case[6]}
  for d = 1, 2 do
    size[d] = case[1 + d] + (op == "conv2d" and 2 or -2) * (padding[d] - 1)
    if size[d] < 1 then return nil end
  end
  return lt.randn(case[1], case[2], case[3], case[4]), lt.randn(3, 3, case[4], case[5]),
    lt.randn(case[1], size[1], size[2], case[5]), case[6]
end

local function bytes(results)
  local list = {}
  for i, t in ipairs(results) do list[i] = t:bytes() end
  return list
end

local function is_finite(t) return t:isfinite():all():item() == 1 end

-- To the bit where `direct` says so of a result, else nearly; returns how many to the bit.
local function compare(got, want, direct, what)
  local same = 0
  for i, name in ipairs(NAMES) do
    if direct(want[i]) then
      assert(got[i]:bytes() == want[i]:bytes(), what .. ": " .. name)
      same = same + 1
    else
      assert.close(got[i], want[i], 5e-6)
    end
  end
  return same
end

describe("Winograd's tiles", function()
  local threads = lt.threads()
  before_each(function() lt.manual_seed(1) end)
  after_each(function()
    switch(true)
    lt.set_threads(threads)
  end)

  it("give what double precision gives, as near as the direct kernels", function()
    local taken = 0
    for _, op in ipairs {"conv2d", "conv_transpose2d"} do
      for _, channels in ipairs {{32, 32}, {33, 40}, {64, 32}, {260, 33}} do
        for _, size in ipairs {{1, 1}, {1, 2}, {2, 3}, {3, 3}, {1, 20}, {5, 7}, {6, 6}, {9, 4}, {8, 8}, {12, 11}} do
          for _, padding in ipairs {0, 1, 2, {3, 0}, {0, 4}} do
            local case = {2, size[1], size[2], channels[1], channels[2], padding}
            local x, w, dy = inputs(op, case)
            if x then
              local got, direct = run(op, x, w, dy, padding), directly(op, x, w, dy, padding)
              local want = run(op, x:double(), w:double(), dy:double(), padding)
              for i, name in ipairs(NAMES) do
                local scale = want[i]:abs():max():item()
                local off = (got[i]:double() - want[i]):abs():max():item()
                local direct_off = (direct[i]:double() - want[i]):abs():max():item()
                local right = off <= 3 * direct_off + 5e-7 * scale
                assert(right, ("%s %dx%d, %d to %d, %s: off by %g of %g, directly %g"):format(op, size[1], size[2],
                  channels[1], channels[2], name, off, scale, direct_off))
                if got[i]:bytes() ~= direct[i]:bytes() then taken = taken + 1 end
              end
            end
          end
        end
      end
    end
    assert(taken > 250, "taken " .. taken .. " times")
  end)

  it("are left to channels and images enough, kernels of 3 x 3, stride and dilation 1", function()
    local function is_direct(shape, kernel, outs, options)
      local x, w = lt.randn(shape), lt.randn(kernel, kernel, shape[4], outs)
      local y = lt.conv2d(x, w, options)
      switch(false)
      local same = y:bytes() == lt.conv2d(x, w, options):bytes()
      switch(true)
      return same
    end
    assert.is_false(is_direct({1, 8, 8, 32}, 3, 32, {padding = 1}))
    assert.is_false(is_direct({1, 7, 7, 64}, 3, 64, {padding = 1}))
    assert.is_true(is_direct({1, 8, 8, 31}, 3, 32, {padding = 1}))
    assert.is_true(is_direct({1, 8, 8, 32}, 3, 31, {padding = 1}))
    assert.is_true(is_direct({1, 8, 8, 32}, 3, 32, {padding = 1, stride = 2}))
    assert.is_true(is_direct({1, 8, 8, 32}, 3, 32, {padding = 2, dilation = 2}))
    assert.is_true(is_direct({1, 8, 8, 32}, 5, 32, {padding = 2}))
    assert.is_true(is_direct({64, 4, 4, 32}, 3, 32, {padding = 1})) -- the weights' transformation
    assert.is_true(is_direct({1, 1, 64, 32}, 3, 32, {padding = 1})) -- most of each tile lies outside
  end)

  it("leave the weight gradient of one small image of many channels to the direct kernels", function()
    local function is_direct(size, channels)
      local x, dy = lt.randn(1, size, size, channels), lt.randn(1, size, size, channels)
      local function gradient(on)
        local w = lt.param(lt.zeros(3, 3, channels, channels))
        local y = lt.conv2d(x, w, {padding = 1})
        switch(on)
        y:backward(dy)
        switch(true)
        return w.grad:bytes()
      end
      return gradient(true) == gradient(false)
    end
    assert.is_false(is_direct(7, 64))
    assert.is_true(is_direct(7, 256))
    assert.is_false(is_direct(8, 256))
    assert.is_true(is_direct(8, 512))
  end)

  it("give an image the same bits alone and among others", function()
    local x, w = lt.randn(13, 10, 9, 32), lt.randn(3, 3, 32, 48)
    local all = lt.conv2d(x, w, {padding = 1})
    for _, i in ipairs {1, 7, 13} do
      local image = x:slice(1, i, i)
      assert.equal(all:slice(1, i, i):bytes(), lt.conv2d(image, w, {padding = 1}):bytes())
    end
  end)

  it("give the same bits for any number of threads", function()
    -- chunks of tiles with sums of their own, and rounds with one sum
    for _, case in ipairs {{37, 16, 15, 32, 48, 1}, {9, 12, 12, 256, 128, 1}, {3, 9, 9, 40, 33, 2}} do
      for _, op in ipairs {"conv2d", "conv_transpose2d"} do
        local x, w, dy, padding = inputs(op, case)
        lt.set_threads(1)
        local want = bytes(run(op, x, w, dy, padding))
        for _, n in ipairs {2, 3, 4, 16} do
          lt.set_threads(n)
          assert.same(want, bytes(run(op, x, w, dy, padding)))
        end
      end
    end
  end)

  it("take an empty batch", function()
    local got = run("conv2d", lt.zeros(0, 8, 8, 32), lt.randn(3, 3, 32, 32), lt.zeros(0, 8, 8, 32), 1)
    assert.same({0, 8, 8, 32}, got[1].shape)
    assert.equal(0, got[3]:abs():sum():item())
  end)

  it("leave what is not finite to the direct kernels", function()
    for _, op in ipairs {"conv2d", "conv_transpose2d"} do
      for _, value in ipairs {math.huge, -math.huge, 0 / 0} do
        for place = 1, 3 do
          local x, w, dy = inputs(op, {2, 8, 8, 32, 32, 1})
          local spoiled = ({x, w, dy})[place]
          spoiled:reshape(-1)[{77}] = value
          local same = compare(run(op, x, w, dy, 1), directly(op, x, w, dy, 1),
            function(t) return not is_finite(t) end, ("%s, %s in input %d"):format(op, value, place))
          assert.equal(2, same)
        end
      end
    end
    -- one pixel spoils its neighbours' outputs, and no other of their tiles
    local x = lt.zeros(1, 8, 8, 32)
    x[{1, 3, 3, 1}] = math.huge
    local finite = lt.conv2d(x, lt.ones(3, 3, 32, 32), {padding = 1}):isfinite():float():sum():item()
    assert.equal((64 - 9) * 32, finite)
  end)

  it("leave what overflows in a tile to the direct kernels", function()
    for _, op in ipairs {"conv2d", "conv_transpose2d"} do
      local x, w, dy = inputs(op, {2, 8, 8, 32, 32, 1})
      local function is_large(t) return t:abs():max():item() > 1e30 end
      local same = compare(run(op, x:sign() * 1e38, w * 1e-3, dy * 1e-3, 1),
        directly(op, x:sign() * 1e38, w * 1e-3, dy * 1e-3, 1), is_large, op)
      assert.equal(2, same) -- the output and the weight's gradient
      same = compare(run(op, x * 1e-3, w * 1e-3, dy:sign() * 1e38, 1),
        directly(op, x * 1e-3, w * 1e-3, dy:sign() * 1e38, 1), is_large, op .. ", gradients")
      assert.equal(2, same)
      assert.is_true(is_finite(lt[op](x:sign() * 1e38, w * 1e-3, {padding = 1})))
    end
  end)
end)
