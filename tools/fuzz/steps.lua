-- The steps that random programs are made of: for every op of the library a way to choose inputs among what is
-- there, and arguments. `choose(r, g)` gives {op = name, inputs = {positions}, args = {...}}, or nil where nothing
-- fits. What g offers is in tools/fuzz/programs.lua.
local M = {}

--- Name -> function(r, g).
M.choose = {}

--- Name -> function(lt, inputs, args), where a call is not lt.name(inputs..., args...).
M.apply = {}

local function step(inputs, ...) return {inputs = inputs, args = table.pack(...)} end

-- An axis from 1, or from the end; nil where a scalar has none.
local function any_axis(r, shape) return #shape > 0 and r:int(1, #shape) * r:pick{1, 1, -1} or nil end

-- Elementwise.
for _, name in ipairs{"neg", "square", "abs", "sin", "cos", "relu", "silu", "softplus", "elu",
  "leaky_relu", "floor", "ceil", "round", "sign", "clone"} do
  M.choose[name] = function(_, g) return step{g:any()} end
end
-- The gradients of what saturates are made of 1 - y, of which float32 has little left where y is nearly 1.
local function moderate(n) return n.size < 4 end
for _, name in ipairs{"tanh", "sigmoid", "gelu"} do
  M.choose[name] = function(_, g)
    local i = g:where(moderate)
    return i and step{i}
  end
end
function M.choose.exp(_, g)
  local i = g:where(function(n) return n.largest < 8 end)
  return i and step{i}
end
for _, name in ipairs{"log", "sqrt"} do
  M.choose[name] = function(_, g)
    local i = g:where(function(n) return n.least > 0.05 end)
    return i and step{i}
  end
end
function M.choose.pow(r, g)
  local i = g:where(function(n) return n.least > 0.05 and n.largest < 20 end)
  if i and r:chance(0.6) then return step({i}, r:pick{0.5, -1, 1.7, -0.5}) end
  i = g:where(function(n) return n.largest < 20 end)
  return i and step({i}, r:pick{0, 1, 2, 3})
end
function M.choose.clamp(r, g)
  local low = r:real() * 2 - 1.5
  return step({g:any()}, {min = r:chance(0.8) and low or nil, max = low + r:real() * 2})
end

-- Two inputs that broadcast, or a number.
for _, name in ipairs{"add", "sub", "mul", "div", "maximum", "minimum"} do
  M.choose[name] = function(r, g)
    local i = g:any()
    if name == "div" then
      local j = g:where(function(n) return n.least > 0.05 and g:broadcasts(i, n) end)
      return j and step{i, j} or step({i}, r:pick{-2, 0.5, 3})
    end
    local j = r:chance(0.8) and g:where(function(n) return g:broadcasts(i, n) end)
    return j and step{i, j} or step({i}, r:real() * 4 - 2)
  end
end
function M.choose.where(r, g)
  local i = g:any()
  local j = g:where(function(n) return g:broadcasts(i, n) end)
  return j and step({i, j}, r:real() - 0.5)
end
M.apply.where = function(lt, x, args) return lt.where(lt.gt(x[1]:detach(), args[1]), x[1], x[2]) end

-- Reductions.
local function axes_of(r, shape)
  if #shape == 0 or r:chance(0.3) then return nil end
  if #shape > 1 and r:chance(0.3) then
    local a = r:int(1, #shape - 1)
    return {a, r:int(a + 1, #shape)}
  end
  return any_axis(r, shape)
end
for _, name in ipairs{"sum", "mean", "norm"} do
  M.choose[name] = function(r, g)
    local i = g:any()
    return step({i}, axes_of(r, g.nodes[i].shape), r:chance(0.5))
  end
end
for _, name in ipairs{"max", "min", "amax", "amin", "logsumexp"} do
  M.choose[name] = function(r, g)
    local i = g:any()
    return step({i}, r:chance(0.7) and any_axis(r, g.nodes[i].shape) or nil, r:chance(0.5))
  end
end
for _, name in ipairs{"var", "std"} do
  M.choose[name] = function(r, g)
    local i = g:where(function(n) return n.numel > 1 end)
    if not i then return nil end
    local axis = axes_of(r, g.nodes[i].shape)
    local unbiased = r:chance(0.5)
    local shape, count = g.nodes[i].shape, 1
    for _, a in ipairs(type(axis) == "table" and axis or {axis}) do
      count = count * shape[a > 0 and a or #shape + 1 + a]
    end
    if axis and count < 2 then return nil end
    return step({i}, axis, {unbiased = unbiased, keepdim = r:chance(0.5)})
  end
end
for _, name in ipairs{"softmax", "log_softmax"} do
  M.choose[name] = function(r, g)
    local i = g:where(function(n) return #n.shape > 0 and moderate(n) end)
    return i and step({i}, any_axis(r, g.nodes[i].shape))
  end
end

-- Moving elements about.
local function factors(r, numel)
  local shape = {}
  while #shape < 4 and (numel > 1 or r:chance(0.3)) do
    local list = {1}
    for d = 2, numel do if numel % d == 0 then list[#list + 1] = d end end
    local d = r:pick(list)
    shape[#shape + 1], numel = d, numel // d
  end
  if numel > 1 then shape[#shape + 1] = numel end
  return shape
end
function M.choose.reshape(r, g)
  local i = g:any()
  local shape = factors(r, g.nodes[i].numel)
  if #shape > 0 and r:chance(0.4) then shape[r:int(1, #shape)] = -1 end
  return step({i}, shape)
end
function M.choose.permute(r, g)
  local i = g:any()
  local axes, order = {}, {}
  for a = 1, #g.nodes[i].shape do axes[a] = a end
  while #axes > 0 do order[#order + 1] = table.remove(axes, r:int(1, #axes)) end
  return #order > 0 and step({i}, order)
end
local function with_axes(least) return function(n) return #n.shape >= least end end
function M.choose.slice(r, g)
  local i = g:where(with_axes(1))
  if not i then return nil end
  local axis = r:int(1, #g.nodes[i].shape)
  local size = g.nodes[i].shape[axis]
  local first = r:int(1, size)
  return step({i}, axis, first, r:int(first, size))
end
function M.choose.select(r, g)
  local i = g:where(with_axes(1))
  return i and step({i}, r:int(1, g.nodes[i].shape[1]))
end
function M.choose.flip(r, g)
  local i = g:where(with_axes(1))
  return i and step({i}, any_axis(r, g.nodes[i].shape))
end
function M.choose.transpose(r, g)
  local i = g:where(with_axes(2))
  return i and step({i}, r:int(1, #g.nodes[i].shape), any_axis(r, g.nodes[i].shape))
end
function M.choose.unsqueeze(r, g)
  local i = g:where(function(n) return #n.shape < 5 end)
  return i and step({i}, r:int(1, #g.nodes[i].shape + 1))
end
function M.choose.squeeze(r, g) return step({g:any()}, nil, r:int(0, 1)) end
M.apply.squeeze = function(lt, x) return lt.squeeze(x[1]) end
function M.choose.flatten(r, g)
  local i = g:where(with_axes(1))
  return i and step({i}, r:int(1, #g.nodes[i].shape))
end
function M.choose.broadcast_to(r, g)
  local i = g:where(function(n) return n.numel < 100 and #n.shape < 4 end)
  if not i then return nil end
  local shape = {r:int(1, 3)}
  for _, n in ipairs(g.nodes[i].shape) do shape[#shape + 1] = n == 1 and r:int(1, 3) or n end
  return step({i}, shape)
end
function M.choose.gather_rows(r, g)
  local i = g:where(with_axes(1))
  if not i then return nil end
  local rows = {}
  for k = 1, r:int(1, 6) do rows[k] = r:int(1, g.nodes[i].shape[1]) end
  return step({i}, rows)
end
function M.choose.cat(r, g)
  local i = g:where(with_axes(1))
  if not i then return nil end
  local axis = r:int(1, #g.nodes[i].shape)
  local shape = {table.unpack(g.nodes[i].shape)}
  shape[axis] = r:int(1, 4)
  return step({i, g:input(shape), r:chance(0.3) and i or nil}, axis)
end
function M.choose.stack(r, g)
  local i = g:where(function(n) return #n.shape < 5 end)
  return i and step({i, g:like(i)}, r:int(1, #g.nodes[i].shape + 1))
end
for _, name in ipairs{"cat", "stack"} do
  M.apply[name] = function(lt, x, args) return lt[name](x, table.unpack(args, 1, args.n)) end
end

-- Products and layers; what is missing comes in as a new input.
function M.choose.matmul(r, g)
  local i = g:where(function(n) return #n.shape == 2 or #n.shape == 3 end)
  if not i then return nil end
  local s = g.nodes[i].shape
  local out, inner = r:pick{1, 2, 3, 5, 8, 17, 33}, s[#s]
  return step{i, g:input(#s == 3 and r:chance(0.5) and {s[1], inner, out} or {inner, out}, "small")}
end
local function vectors(n) return #n.shape == 1 end
function M.choose.dot(_, g)
  local i = g:where(vectors)
  return i and step{i, g:input(g.nodes[i].shape, "small")}
end
function M.choose.mv(_, g)
  local i = g:where(function(n) return #n.shape == 2 end)
  return i and step{i, g:input({g.nodes[i].shape[2]}, "small")}
end
function M.choose.outer(r, g)
  local i = g:where(vectors)
  return i and step{i, g:input({r:pick{1, 2, 5, 17}}, "small")}
end
function M.choose.linear(r, g)
  local i = g:where(with_axes(1))
  if not i then return nil end
  local s = g.nodes[i].shape
  local out = r:pick{1, 2, 3, 5, 16, 17}
  return step{i, g:input({s[#s], out}, "small"), r:chance(0.7) and g:input{out} or nil}
end
local function pair(r, low, high) return r:chance(0.5) and r:int(low, high) or {r:int(low, high), r:int(low, high)} end
local function images(n) return #n.shape == 4 end
-- Images [batch, height, width, channels]: some that are there, or new ones.
local function pick_images(r, g)
  return r:chance(0.7) and g:where(images) or g:input{r:int(1, 3), r:int(1, 9), r:int(1, 9), r:pick{1, 2, 3, 5, 16, 17}}
end
for _, name in ipairs{"conv2d", "conv_transpose2d"} do
  M.choose[name] = function(r, g)
    local i = pick_images(r, g)
    local out = r:pick{1, 2, 3, 7, 16, 17}
    local w = g:input({r:int(1, 4), r:int(1, 4), g.nodes[i].shape[4], out}, "small")
    local options = {stride = pair(r, 1, 3), padding = pair(r, 0, 2), dilation = r:int(1, 2)}
    if name == "conv_transpose2d" and r:chance(0.3) then options.output_padding = 1 end
    return step({i, w, r:chance(0.7) and g:input{out} or nil}, options)
  end
  M.apply[name] = function(lt, x, args) return lt[name](x[1], x[2], x[3], args[1]) end
end
for _, name in ipairs{"max_pool2d", "avg_pool2d"} do
  M.choose[name] = function(r, g)
    return step({pick_images(r, g)}, pair(r, 1, 3), {stride = pair(r, 1, 3), padding = r:int(0, 1)})
  end
end
function M.choose.upsample_nearest(r, g)
  local i = g:where(function(n) return images(n) and n.numel < 400 end)
  return i and step({i}, pair(r, 1, 3))
end
for _, name in ipairs{"batch_norm_train", "layer_norm"} do
  M.choose[name] = function(_, g)
    local i = g:where(function(n) return #n.shape > 1 and n.shape[#n.shape] > 1 and n.numel > n.shape[#n.shape] end)
    if not i then return nil end
    local s = g.nodes[i].shape
    return step{i, g:input{s[#s]}, g:input{s[#s]}}
  end
  M.apply[name] = function(lt, x) return (lt[name](x[1], x[2], x[3])) end
end
function M.choose.group_norm(r, g)
  local i = g:where(function(n) return #n.shape > 1 and n.shape[#n.shape] > 1 and n.numel > n.shape[#n.shape] end)
  if not i then return nil end
  local channels = g.nodes[i].shape[#g.nodes[i].shape]
  return step({i, g:input{channels}, g:input{channels}}, channels % 2 == 0 and r:chance(0.5) and channels // 2 or 1)
end
M.apply.group_norm = function(lt, x, args) return lt.group_norm(x[1], x[2], x[3], args[1]) end

-- Losses.
local function reduction(r) return {reduction = r:pick{"mean", "sum", "none"}} end
function M.choose.mse_loss(r, g)
  local i = g:any()
  return step({i, g:like(i)}, reduction(r))
end
function M.choose.bce_with_logits(r, g)
  local i = g:any()
  return step({i, g:input(g.nodes[i].shape, "unit")}, reduction(r))
end
function M.choose.gaussian_kl(r, g)
  local i = g:where(function(n) return #n.shape > 1 end)
  return i and step({i, g:input(g.nodes[i].shape)}, reduction(r))
end
function M.choose.gaussian_nll(r, g)
  local i = g:any()
  return step({i, g:input(g.nodes[i].shape), g:like(i)}, {reduction = reduction(r).reduction, constant = r:chance(0.5)})
end
function M.choose.cross_entropy(r, g)
  local i = g:where(function(n) return #n.shape == 2 and moderate(n) end)
  if not i then return nil end
  local labels, s = {}, g.nodes[i].shape
  for k = 1, s[1] do labels[k] = r:int(0, s[2] - 1) end
  return step({i}, labels, reduction(r))
end
function M.choose.dropout(r, g) return step({g:any()}, r:pick{0.1, 0.5, 0.9}, r:int(1, 1000)) end
M.apply.dropout = function(lt, x, args)
  lt.manual_seed(args[2]) -- the same mask each time
  return lt.dropout(x[1], args[1])
end

require("tools.fuzz.function_steps").add(M.choose, M.apply)
require("tools.fuzz.spatial_steps").add(M.choose, M.apply)
require "tools.fuzz.index_steps"(M.choose, M.apply, step, any_axis)

--- The names, in a fixed order.
M.names = {}
for name in pairs(M.choose) do M.names[#M.names + 1] = name end
table.sort(M.names)

return M
