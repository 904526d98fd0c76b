--- The fusion plan of a Sequential: which runs of its layers are computed as one block, and which change places.
-- A block is [Upsample] Conv2d or ConvTranspose2d of stride 1 [ReLU or LeakyReLU] [MaxPool2d]; elsewhere a ReLU
-- between a convolution and a max pool comes after the pool. Only layers as the library made them are fused or moved,
-- and only where that is faster; names, parameters and results stay those of the single layers.
-- @module latent.nn.fuse
local core = require "latent.core"
local activations = require "latent.nn.activations"
local convolution = require "latent.nn.convolution"
local module = require "latent.nn.module"
local pooling = require "latent.nn.pooling"

local M = {}

-- What the library's classes do when nobody has changed them.
local ORIGINAL = {}
for _, class in ipairs{convolution.Conv2d, convolution.ConvTranspose2d, pooling.Upsample, pooling.MaxPool1d,
  pooling.MaxPool2d, activations.ReLU, activations.LeakyReLU} do
  ORIGINAL[class] = class.forward
end

local CALL = module.Module.__call

local CONVOLUTIONS = {}
for _, class in pairs(convolution) do CONVOLUTIONS[class] = true end

local function is(layer, class)
  local hooks = layer and rawget(layer, "_hooks")
  return layer ~= nil and getmetatable(layer) == class and rawget(layer, "forward") == nil and not (hooks and hooks[1])
    and class.forward == ORIGINAL[class] and class.__call == CALL
end

local function both(pair, value) return pair[1] == value and pair[2] == value end

-- A 1x1 kernel has no neighbours to keep at hand: the plain op is as fast.
local function can_convolve(layer)
  local transposed = is(layer, convolution.ConvTranspose2d)
  return (transposed and both(layer.output_padding, 0) or is(layer, convolution.Conv2d)) and not both(layer.kernel, 1)
    and layer.groups == 1 and layer.padding ~= "same" and both(layer.stride, 1) and both(layer.dilation, 1)
end

local function can_pool(layer)
  return is(layer, pooling.MaxPool2d) and both(layer.padding, 0) and both(layer.dilation, 1) and not layer.ceil_mode
    and layer.kernel[1] == layer.stride[1]
    and layer.kernel[2] == layer.stride[2]
end

-- Is a block faster than its ops one by one? Measured (`make bench`): with an upsampling, which it folds into the
-- kernel, nearly always; else up to a kernel of 3 x 3. Beyond that the plain ops are up to four times as fast, and they
-- are where one or two channels come in and no pool makes the result small. With 32 channels and more on both sides
-- the plain op of 3 x 3 multiplies less than half as often (c/ops/winograd.c), which a block does not.
local function pays(up, conv, pooled)
  if up then return true end
  if both(conv.kernel, 3) and conv.inputs >= 32 and conv.outputs >= 32 then return false end
  return conv.kernel[1] <= 3 and conv.kernel[2] <= 3 and (pooled or conv.inputs > 2)
end

-- A block with its options, by position as the op takes them, and `apply`, which is the op with these; nil where it
-- refuses one of them, so that a layer's message says which.
local function block_of(conv, upsample, transposed, activation, slope, pool)
  local block = {conv = conv, options = table.pack(upsample, conv.padding, transposed, activation, slope, pool)}
  local accepted, apply = pcall(core.bound, "conv_block", table.unpack(block.options, 1, block.options.n))
  block.apply = apply
  return accepted and block or nil
end

-- The block that begins at layer i, and how many layers it takes; nil where there is none.
local function block_at(list, i)
  local start, up = i, nil
  if is(list[i], pooling.Upsample) and list[i].whole then up, i = list[i], i + 1 end
  local conv = list[i]
  if not can_convolve(conv) then return nil end
  local activation, slope, pool
  i = i + 1
  if is(list[i], activations.ReLU) then
    activation, i = "relu", i + 1
  elseif is(list[i], activations.LeakyReLU) and list[i].slope > 0 then
    activation, slope, i = "leaky_relu", list[i].slope, i + 1
  end
  if can_pool(list[i]) then pool, i = list[i].kernel, i + 1 end
  if i - start < 2 or not pays(up, conv, pool) then return nil end
  local block = block_of(conv, up and up.scale or 1, is(conv, convolution.ConvTranspose2d), activation, slope, pool)
  if not block then return nil end
  block.first, block.last = start, i - 1
  return block, i
end

-- Is layer i a ReLU that can as well come after the max pool behind it, on the fewer elements that are left? It keeps
-- the order of what it lets pass, so the pool chooses the same; where nothing passes, neither does a gradient,
-- whichever was chosen. To the bit, but for the sign of a zero, as in a block: of windows where a negative number
-- stands before -0, which a convolution makes of products alone that are too small for a number. Other activations
-- make equals of what is not (a leaky ReLU by rounding), among which a pool would choose another. Windows of a wide
-- dilation may hold no pixel, and give -infinity. Behind a batch norm the ReLU is done in the norm's own pass
-- (c/graph/later.h).
local function can_wait(list, i)
  local before, pool = list[i - 1], list[i + 1]
  if not before or not CONVOLUTIONS[getmetatable(before)] or not is(list[i], activations.ReLU) then return false end
  return is(pool, pooling.MaxPool1d) or is(pool, pooling.MaxPool2d) and both(pool.dilation, 1)
end

-- ---- what a plan was built on ----

-- For the classes whose layers have options: what makes a function that tells whether those are the same still. They
-- stand one by one, as upvalues, because this is asked at every call: a loop over their names takes five times as long.
local function window(layer, further)
  local stride1, stride2, padding1, padding2 = layer.stride[1], layer.stride[2], layer.padding[1], layer.padding[2]
  local dilation1, dilation2, kernel1, kernel2 = layer.dilation[1], layer.dilation[2], layer.kernel[1], layer.kernel[2]
  local value = layer[further]
  return function()
    local stride, padding, dilation, kernel = layer.stride, layer.padding, layer.dilation, layer.kernel
    return stride[1] == stride1 and stride[2] == stride2 and padding[1] == padding1 and padding[2] == padding2
      and dilation[1] == dilation1 and dilation[2] == dilation2 and kernel[1] == kernel1 and kernel[2] == kernel2
      and layer[further] == value
  end
end

local SAME = {
  [convolution.Conv2d] = function(layer) return window(layer, "groups") end,
  [convolution.ConvTranspose2d] = function(layer)
    local more1, more2, same_window = layer.output_padding[1], layer.output_padding[2], window(layer, "groups")
    return function()
      local more = layer.output_padding
      return more[1] == more1 and more[2] == more2 and same_window()
    end
  end,
  [pooling.MaxPool2d] = function(layer) return window(layer, "ceil_mode") end,
  [pooling.Upsample] = function(layer)
    local whole, scale1, scale2 = layer.whole, layer.scale[1], layer.scale[2]
    return function()
      local scale = layer.scale
      return layer.whole == whole and scale[1] == scale1 and scale[2] == scale2
    end
  end,
  [activations.LeakyReLU] = function(layer)
    local slope = layer.slope
    return function() return layer.slope == slope end
  end,
}

-- A change of any of it makes the plan stale.
local function watch(plan, list)
  plan.all, plan.classes, plan.calls, plan.hooks = {}, {}, {}, module.hook_changes
  plan.watched, plan.forwards, plan.same = {}, {}, {}
  local known = {}
  for i, layer in ipairs(list) do
    local class, n = getmetatable(layer), #plan.watched + 1
    plan.all[i] = layer
    if ORIGINAL[class] then
      plan.watched[n], plan.forwards[n] = layer, layer.forward
      plan.same[n] = SAME[class] and SAME[class](layer) or false
    end
    if class and not known[class] then -- a plain function, put there later, has none
      known[class] = true
      plan.classes[#plan.classes + 1], plan.calls[#plan.calls + 1] = class, class.__call
    end
  end
  return plan
end

local function is_stale(plan, list)
  local all, watched, forwards, same = plan.all, plan.watched, plan.forwards, plan.same
  for i = 1, #all do
    if list[i] ~= all[i] then return true end
  end
  for i = 1, #watched do
    local is_same = same[i]
    if watched[i].forward ~= forwards[i] or is_same and not is_same() then return true end
  end
  local classes, calls = plan.classes, plan.calls
  for i = 1, #classes do
    if classes[i].__call ~= calls[i] then return true end
  end
  return list[#all + 1] ~= nil or plan.hooks ~= module.hook_changes
end

-- ---- the plan ----

-- What to do in turn: a block; true for a layer of which the forward is all there is to call; false for another.
local function build(list)
  local steps, layers, i = {}, {}, 1
  local function add(layer, block)
    steps[#steps + 1], layers[#layers + 1] = block or module.calls_forward(layer), layer
  end
  while list[i] do
    local block, after = block_at(list, i)
    if not block and can_wait(list, i) then
      add(list[i + 1])
      add(list[i])
      after = i + 2
    else
      add(list[i], block)
    end
    i = after or i + 1
  end
  return watch({steps = steps, layers = layers}, list)
end

-- A block whose arguments its op refuses is given to the single layers, whose message names the one that is
-- wrong. An error of the computing (memory, Ctrl-C) stays what it is: the layers would hide it, with other bits.
local function run_block(list, block, x)
  local conv = block.conv
  local ok, y = pcall(block.apply, x, conv.weight, conv.bias)
  if ok then return y end
  local accepted, refusal = pcall(core.check_op, "conv_block", x, conv.weight, conv.bias,
    table.unpack(block.options, 1, block.options.n))
  if accepted or refusal ~= y then error(y, 0) end
  for i = block.first, block.last do x = list[i](x) end
  return x
end

--- Runs the layers of a Sequential by its plan, which is made at the first call and kept in list._plan.
-- @tparam Sequential list
-- @tparam Tensor x
-- @treturn Tensor
function M.run(list, x)
  local plan = list._plan
  if not plan or is_stale(plan, list) then
    plan = build(list)
    list._plan = plan
  end
  local steps, layers, followed = plan.steps, plan.layers, module.intercept
  for i = 1, #steps do
    local step, layer = steps[i], layers[i]
    if not step or followed and step == true then
      x = layer(x)
    elseif step == true then
      x = layer:forward(x)
    else
      x = run_block(list, step, x)
    end
  end
  return x
end

return M
