-- The fused block against the chain of plain ops that it stands for, values and gradients.
local lt = require "latent"
local lt64 = require "spec.support.lt64"
require "spec.support.close"

local float = {core = require "latent.core", face = lt}
local double = {core = float.core, face = lt64}

local function conv_block(lib) return lib.core.ops.conv_block end

local function plain(face, x, w, b, o)
  local up, pool = o.upsample or 1, o.pool or 1
  local y = face.upsample_nearest(x, up)
  y = (o.transposed and face.conv_transpose2d or face.conv2d)(y, w, b, {padding = o.padding or 0})
  if o.activation == "relu" then y = y:relu() end
  if o.activation == "leaky_relu" then y = face.leaky_relu(y, o.slope or 0.01) end
  return face.max_pool2d(y, pool)
end

-- The same numbers for every library: multiples of 2^-10, so that floats hold them exactly.
local function numbers(n, seed)
  local list, state = {}, seed
  for i = 1, n do
    state = (state * 1103515245 + 12345) % 2147483648
    list[i] = (state // 65536 % 2048 - 1024) / 1024
  end
  return list
end

local function make(face, shape, seed)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return face.param(face.tensor(numbers(n, seed)):reshape(shape))
end

-- case: {batch, height, width, in, out, kernel = , bias = , ...options}
local function run(f, face, case)
  local kernel = case.kernel or 3
  if type(kernel) == "number" then kernel = {kernel, kernel} end
  local x = make(face, {case[1], case[2], case[3], case[4]}, 1)
  local w = make(face, {kernel[1], kernel[2], case[4], case[5]}, 2)
  local b = case.bias ~= false and make(face, {case[5]}, 3) or nil
  local y = f(x, w, b)
  local dy = make(face, y.shape, 4):detach()
  y:backward(dy)
  return {y = y:detach(), dx = x.grad, dw = w.grad, db = b and b.grad}
end

local function options(case)
  return {padding = case.padding, upsample = case.upsample, pool = case.pool, activation = case.activation,
    slope = case.slope, transposed = case.transposed}
end

local function fused(lib)
  return function(case)
    return run(function(x, w, b) return conv_block(lib)(x, w, b, options(case)) end, lib.face, case)
  end
end

local function chain(lib)
  return function(case)
    return run(function(x, w, b) return plain(lib.face, x, w, b, options(case)) end, lib.face, case)
  end
end

local function label(case)
  local words = {table.concat(case, "x")}
  for _, name in ipairs{"kernel", "padding", "upsample", "pool", "activation", "slope", "transposed", "bias"} do
    local v = case[name]
    if type(v) == "table" then v = table.concat(v, ",") end
    if v ~= nil then words[#words + 1] = name .. " " .. tostring(v) end
  end
  return table.concat(words, " ")
end

local function compare(case, got, want, tolerance)
  for _, name in ipairs{"y", "dx", "dw", "db"} do
    if want[name] then
      local ok, message = pcall(assert.close, got[name], want[name], tolerance)
      assert(ok, ("%s of %s: %s"):format(name, label(case), tostring(message)))
    end
  end
end

local grid = {}
local function add(case) grid[#grid + 1] = case end
local activations = {"none", "relu", "leaky_relu"}

-- channels
for i, channels in ipairs{1, 3, 16, 17, 32, 64} do
  for j, outs in ipairs{1, 3, 16, 17, 32, 64} do
    add{2, 4, 6, channels, outs, padding = 1, activation = activations[(i + j) % 3 + 1], pool = 1 + (i + j) % 2}
    if channels <= 17 or outs <= 17 then
      add{2, 3, 4, channels, outs, padding = 1, activation = activations[j % 3 + 1], upsample = 2,
        transposed = i % 2 == 0}
    end
  end
end
-- sizes, kernels, paddings, pools and upsampling
for i, size in ipairs{{1, 1}, {2, 2}, {1, 2}, {3, 5}, {4, 4}, {7, 9}, {8, 8}, {16, 16}} do
  for j, kernel in ipairs{1, 2, 3, 5, {1, 3}} do
    for _, transposed in ipairs{false, true} do
      for up = 1, 3 do
        local act = activations[(i + j + up) % 3 + 1]
        add{3, size[1], size[2], 1 + j % 2, 2, kernel = kernel, padding = transposed and 0 or 2, upsample = up,
          transposed = transposed, activation = act, bias = j % 2 == 0}
        if size[1] * size[2] < 60 then
          add{1, size[1], size[2], 2, 3, kernel = kernel, padding = 1, upsample = {up, 1 + i % 2},
            pool = {1 + j % 2, 1 + i % 2}, transposed = transposed, activation = act}
        end
      end
    end
  end
end
-- doubled images: single columns and rows, odd ones, and rows longer than a step of the kernel
for i, size in ipairs{{1, 1}, {5, 1}, {1, 5}, {9, 7}, {2, 43}, {3, 49}, {60, 1}} do
  for j, channels in ipairs{{16, 16}, {3, 5}, {33, 17}, {5, 16}} do
    add{3, size[1], size[2], channels[1], channels[2], padding = 1, upsample = 2, pool = 1 + (i + j) % 2,
      activation = activations[(i + j) % 3 + 1], transposed = j % 2 == 0}
  end
end
for pool = 1, 3 do
  for _, size in ipairs{{6, 6}, {7, 8}, {3, 12}} do
    for _, act in ipairs(activations) do add{2, size[1], size[2], 4, 16, padding = 1, pool = pool, activation = act} end
  end
end
add{70, 2, 2, 16, 16, padding = 1, upsample = 2, activation = "relu", transposed = true}
add{70, 4, 4, 16, 16, padding = 1, pool = 2, activation = "relu"}
add{1, 40, 33, 16, 16, padding = 1, pool = 2, activation = "relu"}
add{1, 64, 64, 3, 16, padding = 1, activation = "relu"}
add{2, 12, 12, 2, 3, padding = 0, pool = 10, activation = "relu"}
add{2, 15, 15, 2, 3, padding = 0, pool = 13, activation = "leaky_relu"}
add{2, 6, 6, 2, 3, padding = 1, pool = 2, activation = "leaky_relu", slope = -0.5}
add{2, 6, 6, 2, 18, padding = 1, activation = "leaky_relu", slope = -0.5}
add{1, 3, 3, 2, 3, kernel = 2, padding = 4, upsample = 2, pool = 2, activation = "relu"}

local function fits(case)
  local kernel, up, pool = case.kernel or 3, case.upsample or 1, case.pool or 1
  for d = 1, 2 do
    local k, u = type(kernel) == "table" and kernel[d] or kernel, type(up) == "table" and up[d] or up
    local p = type(pool) == "table" and pool[d] or pool
    local padding = case.transposed and k - 1 - case.padding or case.padding
    if (u * case[1 + d] + 2 * padding - k + 1) // p < 1 then return false end
  end
  return true
end

-- The AE's blocks: images enough for several jobs and chunks, and with a ragged last group.
local blocks = {
  {37, 16, 16, 16, 16, padding = 1, activation = "relu", pool = 2},
  {37, 32, 32, 1, 16, padding = 1, activation = "relu", pool = 2},
  {37, 8, 8, 16, 16, padding = 1, activation = "relu", upsample = 2, transposed = true},
  {37, 16, 16, 16, 1, padding = 1, upsample = 2, transposed = true},
  {1, 60, 61, 8, 16, padding = 1, activation = "leaky_relu", pool = 2},
}

local function bytes(result)
  local list = {}
  for _, name in ipairs{"y", "dx", "dw", "db"} do list[#list + 1] = result[name] and result[name]:bytes() or "" end
  return table.concat(list)
end

describe("conv_block", function()
  it("in double precision is the chain of plain ops", function()
    for _, case in ipairs(grid) do
      if fits(case) and case[4] * case[5] <= 64 and case[2] <= 9 then
        compare(case, fused(double)(case), chain(double)(case), 1e-12)
      end
    end
  end)

  it("is the chain of plain ops", function()
    for _, list in ipairs{grid, blocks} do
      for _, case in ipairs(list) do
        if fits(case) then compare(case, fused(float)(case), chain(float)(case), 1e-5) end
      end
    end
  end)

  it("agrees with double precision", function()
    for _, case in ipairs(grid) do
      if fits(case) and case[2] * case[3] * case[4] * case[5] <= 4096 then
        compare(case, fused(float)(case), fused(double)(case), 1e-5)
      end
    end
  end)

  it("gives the same bits for any number of threads", function()
    local threads = lt.info().threads
    for _, case in ipairs(blocks) do
      lt.set_threads(1)
      local one = bytes(fused(float)(case))
      for _, n in ipairs{2, 3} do
        lt.set_threads(n)
        assert(one == bytes(fused(float)(case)), ("%d threads change %s"):format(n, label(case)))
      end
    end
    lt.set_threads(threads)
  end)

  it("computes the gradients that are wanted, alone", function()
    for _, case in ipairs(blocks) do
      local all = fused(float)(case)
      for i, name in ipairs{"dx", "dw", "db"} do
        local inputs = {make(lt, {case[1], case[2], case[3], case[4]}, 1), make(lt, {3, 3, case[4], case[5]}, 2),
          make(lt, {case[5]}, 3)}
        for k = 1, 3 do
          if k ~= i then inputs[k] = inputs[k]:detach() end
        end
        local y = conv_block(float)(inputs[1], inputs[2], inputs[3], options(case))
        y:backward(make(lt, y.shape, 4):detach())
        assert(all[name]:bytes() == inputs[i].grad:bytes(), name .. " of " .. label(case))
      end
    end
  end)

  it("lets the first of equals win, and hands on what is no number", function()
    for _, lib in ipairs{float, double} do
      local face = lib.face
      local w = face.param(face.ones(1, 1, 1, 1))
      local x = face.param(face.ones(1, 2, 4, 1))
      local y = conv_block(lib)(x, w, nil, {pool = 2, activation = "relu"})
      y:sum():backward()
      assert.same({1, 0, 1, 0, 0, 0, 0, 0}, x.grad:reshape(-1):table())
      local nan = 0 / 0
      for _, act in ipairs{"none", "relu", "leaky_relu"} do
        local bad = face.tensor{1, nan, -1, 2}:reshape{1, 2, 2, 1}
        y = conv_block(lib)(bad, w, nil, {pool = 2, activation = act}):item()
        assert(y ~= y, act)
        y = conv_block(lib)(bad, w, nil, {activation = act}):reshape(-1):table()
        assert(y[2] ~= y[2] and y[4] == 2, act)
      end
    end
  end)

  it("takes an empty batch", function()
    for _, lib in ipairs{float, double} do
      local x = lib.face.param(lib.face.zeros(0, 6, 6, 3))
      local w, b = make(lib.face, {3, 3, 3, 4}, 2), make(lib.face, {4}, 3)
      local y = conv_block(lib)(x, w, b, {padding = 1, activation = "relu", pool = 2})
      assert.same({0, 3, 3, 4}, y.shape)
      y:sum():backward()
      assert.same({0, 0, 0, 0}, b.grad:table())
      assert.equal(0, w.grad:abs():sum():item())
    end
  end)

  it("refuses what does not fit", function()
    local x, w = lt.zeros(1, 4, 4, 3), lt.zeros(3, 3, 3, 2)
    for _, case in ipairs{
      {"x: expected %[batch, height, width, channels%]", lt.zeros(4, 4, 3), w},
      {"weight: expected %[%*, %*, 3, %*%] for an input of 3 channels", x, lt.zeros(3, 3, 2, 2)},
      {"weight: expected %[height, width, in, out%]", x, lt.zeros(3, 3, 3)},
      {"bias: expected %[2%], got %[3%]", x, w, lt.zeros(3)},
      {"weight: a kernel of height 3 does not fit", lt.zeros(1, 2, 4, 3), w},
      {"pool: a window of height 3 does not fit", x, w, nil, {pool = 3}},
      {"upsample: expected 1 to", x, w, nil, {upsample = 0}},
    } do
      local ok, message = pcall(conv_block(float), case[2], case[3], case[4], case[5] or {})
      assert(not ok and message:find(case[1]), tostring(message))
    end
  end)
end)
