-- One table of cases for every differentiable op, which gradient checks, the comparison with double
-- precision, the thread and the instruction set specs all walk. A case: `f(lt, ...)` and its inputs, each
-- a shape, or {shape, kind of values} of spec/support/values.lua; inputs of the kind "condition" want no
-- gradient. `wide`: too large for central differences, compared with double precision only.
local values = require "spec.support.values"

local M = {cases = {}}

local function add(op, inputs, f, extra)
  local case = extra or {}
  case.op, case.inputs, case.f = op, inputs, f
  M.cases[op] = M.cases[op] or {}
  table.insert(M.cases[op], case)
end

local function wide(op, inputs, f) add(op, inputs, f, {wide = true}) end

--- The shape and kind of values of an input.
local function describe(input)
  if type(input[1]) == "table" then return input[1], input[2] end
  return input, "any"
end

--- The inputs of a case as tensors of a library; those that can take a gradient are parameters.
function M.inputs(lt, case)
  local list = {}
  for i, input in ipairs(case.inputs) do
    local shape, kind = describe(input)
    local t = values.tensor(lt, shape, i, kind)
    list[i] = (kind == "condition") and t or lt.param(t)
  end
  return list
end

--- A case as text, for the name of a test.
function M.label(case)
  local shapes = {}
  for i, input in ipairs(case.inputs) do
    shapes[i] = "[" .. table.concat((describe(input)), ",") .. "]"
  end
  return ("%s %s%s"):format(case.op, table.concat(shapes, " "), case.label and " " .. case.label or "")
end

-- Elementwise, one input: a vector, a scalar, and enough elements for vectors and their remainder.
local function unary(op, kind, ...)
  local args = {...}
  local function f(lt, x) return lt[op](x, table.unpack(args)) end
  local label = args[1] and type(args[1]) ~= "table" and tostring(args[1]) or nil
  add(op, {{{3, 5}, kind}}, f, {label = label})
  add(op, {{{}, kind}}, f, {label = label})
  add(op, {{{1}, kind}}, f, {label = label})
  wide(op, {{{17, 33}, kind}}, f)
end

for _, op in ipairs {"neg", "exp", "square", "abs", "sin", "cos", "tanh", "sigmoid", "relu", "gelu", "silu",
  "softplus", "leaky_relu", "elu", "floor", "ceil", "trunc", "round", "sign", "clone", "atan", "sinh", "cosh", "asinh",
  "expm1", "exp2", "erf", "erfc", "nan_to_num"} do
  unary(op, "any")
end
unary("log", "positive")
for _, op in ipairs {"log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "lgamma", "digamma"} do
  unary(op, "positive")
end
for _, op in ipairs {"tan", "asin", "acos", "atanh", "erfinv"} do
  unary(op, "small")
  unary(op, "unit")
end
unary("acosh", "above one")
for n = 0, 4 do unary("polygamma", "above one", n) end
add("polygamma", {{{3, 4}, "unit"}}, function(lt, x) return lt.polygamma(x * 0.5 - 0.75, 2) end, {label = "left of 0"})
unary("leaky_relu", "any", 0.25)
unary("leaky_relu", "any", -0.25)
unary("elu", "any", 1.5)
unary("pow", "any", 3)
unary("pow", "any", 0)
unary("pow", "any", -2)
unary("pow", "positive", 2.5)
unary("clamp", "any", {min = -0.5, max = 0.75})
unary("clamp", "any", {max = 0.25})

-- Two inputs, broadcast both ways.
local PAIRS = {{{2, 3}, {2, 3}}, {{2, 3}, {3}}, {{3}, {2, 3}}, {{2, 1, 4}, {3, 1}}, {{3, 1}, {2, 1, 4}}, {{5}, {1}},
  {{1}, {5}}, {{}, {2, 2}}, {{2, 2}, {}}, {{1}, {1}}, {{4, 1}, {1, 3}}}
for op, kind in pairs {add = "any", sub = "any", mul = "any", div = "positive", maximum = "any", minimum = "any",
  atan2 = "any", xlogy = "positive", remainder = "positive", fmod = "positive"} do
  for _, shapes in ipairs(PAIRS) do
    add(op, {{shapes[1]}, {shapes[2], kind}}, function(lt, a, b) return lt[op](a, b) end)
  end
  add(op, {{{2, 3}, kind}}, function(lt, a) return lt[op](a, 0.7) end, {label = "number"})
  add(op, {{{2, 3}, kind}}, function(lt, a) return lt[op](0.7, a) end, {label = "number first"})
  wide(op, {{{5, 17, 33}}, {{17, 1}, kind}}, function(lt, a, b) return lt[op](a, b) end)
  wide(op, {{{33}}, {{40, 33}, kind}}, function(lt, a, b) return lt[op](a, b) end)
end
for _, op in ipairs {"add", "sub", "mul", "div"} do -- the two gradients of a shared input add up
  add(op, {{{2, 3}, "positive"}}, function(lt, a) return lt[op](a, a) end, {label = "shared"})
end

-- Powers of tensors: the first of the pair is not negative.
for _, shapes in ipairs(PAIRS) do
  add("pow", {{shapes[1], "positive"}, {shapes[2]}}, function(lt, a, b) return lt.pow(a, b) end)
end
add("pow", {{{2, 3}}}, function(lt, b) return lt.pow(0.7, b) end, {label = "number first"})
for _, mode in ipairs {"floor", "trunc"} do
  add("div", {{{2, 3}}, {{3}, "positive"}}, function(lt, a, b) return lt.div(a, b, {rounding_mode = mode}) end,
    {label = mode})
end
for _, weight in ipairs {0.25, 0.75} do
  add("lerp", {{2, 3}, {3}}, function(lt, a, b) return lt.lerp(a, b, weight) end, {label = tostring(weight)})
end
add("lerp", {{2, 3}, {3}, {{2, 1}, "unit"}}, function(lt, a, b, weight) return lt.lerp(a, b, weight) end)

local function where(lt, c, a, b) return lt.where(c, a, b) end
add("where", {{{3, 4}, "condition"}, {3, 4}, {3, 4}}, where)
add("where", {{{4}, "condition"}, {3, 1}, {}}, where)
add("where", {{{2, 1, 3}, "condition"}, {1}, {4, 1}}, where)

-- Reductions.
local AXES = {{label = "all"}, {2}, {-1}, {1, true}, {{1, 3}}, {{1, 3}, true}, {{3, 1, 2}}}
for _, op in ipairs {"sum", "mean", "norm"} do
  for _, args in ipairs(AXES) do
    add(op, {{2, 3, 4}}, function(lt, x) return lt[op](x, args[1], args[2]) end)
  end
  add(op, {{}}, function(lt, x) return lt[op](x) end)
  wide(op, {{7, 33, 17}}, function(lt, x) return lt[op](x, {1, 3}) end)
  wide(op, {{9000}}, function(lt, x) return lt[op](x) end)
  wide(op, {{3, 9000}}, function(lt, x) return lt[op](x, 2) end)
end
for _, op in ipairs {"var", "std"} do
  add(op, {{3, 4}}, function(lt, x) return lt[op](x) end)
  add(op, {{3, 4}}, function(lt, x) return lt[op](x, 1) end)
  add(op, {{2, 3, 4}}, function(lt, x) return lt[op](x, {1, -1}, {unbiased = false, keepdim = true}) end)
end
for _, op in ipairs {"max", "min"} do
  for _, args in ipairs {{}, {1}, {2}, {-1, true}, {nil, true}} do
    add(op, {{3, 4, 2}}, function(lt, x) return lt[op](x, args[1], args[2]) end)
  end
  wide(op, {{17, 33}}, function(lt, x) return lt[op](x, 1) end)
end
for _, op in ipairs {"amax", "amin"} do
  for _, args in ipairs {{}, {1}, {{1, -1}, true}, {nil, true}} do
    add(op, {{3, 4, 2}}, function(lt, x) return lt[op](x, args[1], args[2]) end)
  end
  wide(op, {{17, 33}}, function(lt, x) return lt[op](x, 1) end)
end
for _, op in ipairs {"softmax", "log_softmax"} do
  for axis = 1, 3 do add(op, {{2, 3, 4}}, function(lt, x) return lt[op](x, axis) end) end
  add(op, {{1, 1}}, function(lt, x) return lt[op](x, -1) end)
  wide(op, {{33, 17}}, function(lt, x) return lt[op](x, -1) end)
end
add("logsumexp", {{2, 3, 4}}, function(lt, x) return lt.logsumexp(x) end)
add("logsumexp", {{2, 3, 4}}, function(lt, x) return lt.logsumexp(x, 2) end)
add("logsumexp", {{2, 3, 4}}, function(lt, x) return lt.logsumexp(x, -1, true) end)

-- Moving elements about.
add("reshape", {{2, 6}}, function(lt, x) return lt.reshape(x, 3, -1) end)
add("reshape", {{2, 6}}, function(lt, x) return lt.reshape(x * 2, {1, 12, 1}) end)
add("permute", {{2, 3, 4}}, function(lt, x) return lt.permute(x, {3, 1, 2}) end)
add("permute", {{2, 1, 3, 2}}, function(lt, x) return lt.permute(x, 4, 2, 1, 3) end)
add("slice", {{4, 3}}, function(lt, x) return lt.slice(x, 1, 2, 3) end)
add("slice", {{3, 5}}, function(lt, x) return lt.slice(x, 2, 2, -2) end)
add("slice", {{2, 3, 4}}, function(lt, x) return lt.slice(x, -1, -2, -1) end)
add("select", {{4, 3}}, function(_, x) return x[2] end)
add("select", {{4, 3}}, function(lt, x) return lt.select(x, 1) + lt.select(x, 4) end)
add("cat", {{2, 3}, {2, 1}, {2, 2}}, function(lt, a, b, c) return lt.cat({a, b, c}, 2) end)
add("cat", {{2, 3}, {1, 3}}, function(lt, a, b) return lt.cat({a, b, a}) end)
add("gather_rows", {{5, 3}}, function(lt, x) return lt.gather_rows(x, {4, 3, 5, 4}) end)
add("gather_rows", {{5}}, function(lt, x) return lt.gather_rows(x, {1, 1, 1}) end)
for axis = 1, 3 do add("flip", {{2, 3, 4}}, function(lt, x) return lt.flip(x, axis) end) end
add("transpose", {{2, 3, 4}}, function(lt, x) return lt.transpose(x, 1, -1) end)
add("transpose", {{2, 3}}, function(lt, x) return lt.transpose(x) end)
add("unsqueeze", {{2, 3}}, function(lt, x) return lt.unsqueeze(x, -1) end)
add("squeeze", {{2, 1, 3, 1}}, function(lt, x) return lt.squeeze(x) end)
add("squeeze", {{2, 1, 3, 1}}, function(lt, x) return lt.squeeze(x, 2) end)
add("flatten", {{2, 3, 2}}, function(lt, x) return lt.flatten(x, 2) end)
add("stack", {{2, 3}, {2, 3}}, function(lt, a, b) return lt.stack({a, b}, 2) end)
add("stack", {{}, {}}, function(lt, a, b) return lt.stack {a, b} end)
add("broadcast_to", {{3, 1}}, function(lt, x) return lt.broadcast_to(x, 2, 3, 4) end)

-- Products.
add("matmul", {{3, 4}, {4, 5}}, function(lt, a, b) return lt.matmul(a, b) end)
add("matmul", {{1, 1}, {1, 1}}, function(lt, a, b) return lt.matmul(a, b) end)
add("matmul", {{2, 3, 4}, {2, 4, 2}}, function(lt, a, b) return lt.matmul(a, b) end)
add("matmul", {{2, 3, 4}, {4, 2}}, function(lt, a, b) return lt.matmul(a, b) end)
add("matmul", {{3, 3}}, function(lt, a) return lt.matmul(a, a) end, {label = "shared"})
for _, pair in ipairs{{{3}, {3}}, {{3}, {3, 2}}, {{2, 3}, {3}}, {{3}, {2, 3, 2}}, {{2, 2, 3}, {3}}, {{2, 3}, {2, 3, 2}},
  {{2, 1, 2, 3}, {3, 3, 2}}} do
  add("matmul", pair, function(lt, a, b) return lt.matmul(a, b) end)
end
add("dot", {{3}, {3}}, function(lt, a, b) return lt.dot(a, b) end)
add("mv", {{2, 3}, {3}}, function(lt, a, b) return lt.mv(a, b) end)
add("outer", {{2}, {3}}, function(lt, a, b) return lt.outer(a, b) end)
wide("matmul", {{33, 17}, {17, 65}}, function(lt, a, b) return lt.matmul(a, b) end)
add("linear", {{4, 6}, {6, 3}, {3}}, function(lt, x, w, b) return lt.linear(x, w, b) end)
add("linear", {{2, 2, 3}, {3, 2}}, function(lt, x, w) return lt.linear(x, w) end)
add("linear", {{3}, {3, 2}, {2}}, function(lt, x, w, b) return lt.linear(x, w, b) end)
wide("linear", {{65, 33}, {33, 70}, {70}}, function(lt, x, w, b) return lt.linear(x, w, b) end)

-- Losses.
for _, reduction in ipairs {"mean", "sum", "none"} do
  local label, options = {label = reduction}, {reduction = reduction}
  local function case(op, inputs, f)
    add(op, inputs, f, {label = reduction})
  end
  case("mse_loss", {{3, 4}, {3, 4}}, function(lt, x, t) return lt.mse_loss(x, t, options) end)
  case("mse_loss", {{}, {}}, function(lt, x, t) return lt.mse_loss(x, t, reduction) end)
  case("bce_with_logits", {{3, 4}, {{3, 4}, "unit"}}, function(lt, x, t) return lt.bce_with_logits(x, t, options) end)
  case("gaussian_kl", {{4, 3}, {4, 3}}, function(lt, m, v) return lt.gaussian_kl(m, v, options) end)
  case("gaussian_kl", {{2, 2, 3}, {2, 2, 3}}, function(lt, m, v) return lt.gaussian_kl(m, v, options) end)
  case("gaussian_nll", {{3, 4}, {3, 4}, {3, 4}}, function(lt, m, v, t) return lt.gaussian_nll(m, v, t, options) end)
  case("gaussian_nll", {{5}, {5}, {5}}, function(lt, m, v, t)
    return lt.gaussian_nll(m, v, t, {constant = true, reduction = reduction})
  end)
  case("cross_entropy", {{6, 5}}, function(lt, x) return lt.cross_entropy(x, {0, 4, 2, 2, 1, 3}, options) end)
  case("cross_entropy", {{1, 1}}, function(lt, x) return lt.cross_entropy(x, {0}, options) end)
  wide("mse_loss", {{9, 1001}, {9, 1001}}, function(lt, x, t) return lt.mse_loss(x, t, options) end, label)
  wide("gaussian_kl", {{300, 17}, {300, 17}}, function(lt, m, v) return lt.gaussian_kl(m, v, options) end)
end

-- Dropout draws the same mask before each evaluation.
add("dropout", {{4, 5}}, function(lt, x)
  lt.manual_seed(7)
  return lt.dropout(x, 0.25)
end)
add("dropout", {{4, 5}}, function(lt, x) return lt.dropout(x, {p = 0.5, training = false}) end)

-- Convolutions over a grid: {x, weight, options}; channels, strides, paddings, dilations, odd kernels.
local function conv(op, x, kernel, out, options, extra)
  options = options or {}
  local function f(lt, t, w, b) return lt[op](t, w, b, options) end
  local list = {}
  for _, key in ipairs {"stride", "padding", "dilation", "output_padding", "groups"} do
    local v = options[key]
    if v then list[#list + 1] = key .. " " .. (type(v) == "table" and v[1] .. "x" .. v[2] or v) end
  end
  extra = extra or {}
  extra.label = table.concat(list, ", ")
  local groups, weight = options.groups or 1, {kernel[1], kernel[2], x[4], out}
  local shared = op == "conv2d" and 3 or 4
  weight[shared] = weight[shared] // groups
  local inputs = extra.plain and {x, {weight, "small"}} or {x, {weight, "small"}, {out}}
  add(op, inputs, f, extra)
end

local SMALL = {
  {{1, 3, 3, 1}, {3, 3}, 1, {padding = 1}}, {{2, 4, 4, 1}, {3, 3}, 2, {padding = 1}},
  {{1, 4, 5, 2}, {3, 3}, 3, {padding = 1}}, {{1, 4, 4, 3}, {3, 3}, 1, {padding = 1}},
  {{1, 3, 4, 5}, {3, 3}, 2, {padding = 1}}, {{1, 2, 2, 3}, {3, 3}, 5, {padding = 1}},
  {{2, 1, 1, 2}, {1, 1}, 3}, {{1, 5, 4, 2}, {1, 1}, 2}, {{1, 5, 6, 1}, {2, 3}, 2},
  {{1, 5, 7, 2}, {3, 3}, 2, {stride = 2, padding = 1}}, {{1, 6, 5, 1}, {3, 2}, 2, {stride = {1, 2}, padding = {2, 0}}},
  {{1, 7, 6, 1}, {3, 3}, 2, {dilation = 2, padding = 2}},
  {{1, 6, 7, 2}, {2, 2}, 1, {dilation = {1, 3}, stride = {2, 1}}},
  {{1, 4, 4, 1}, {5, 5}, 1, {padding = 2}}, {{1, 5, 5, 1}, {1, 3}, 2, {stride = 3, padding = {0, 1}}},
  {{1, 6, 6, 1}, {4, 4}, 2, {stride = 2, padding = 1}},
}
for _, c in ipairs(SMALL) do
  conv("conv2d", table.unpack(c))
  conv("conv_transpose2d", table.unpack(c))
end
conv("conv2d", {1, 3, 3, 2}, {1, 1}, 2, {padding = 2})
conv("conv2d", {1, 4, 4, 2}, {3, 3}, 2, {padding = 1}, {plain = true})
conv("conv_transpose2d", {1, 3, 3, 2}, {3, 3}, 2, {padding = 1}, {plain = true})
conv("conv_transpose2d", {1, 3, 4, 2}, {3, 3}, 2, {stride = 2, padding = 1, output_padding = 1})
conv("conv_transpose2d", {1, 2, 3, 1}, {2, 3}, 3, {stride = {3, 2}, padding = {0, 1}, output_padding = {2, 1}})
conv("conv_transpose2d", {1, 3, 3, 1}, {3, 3}, 2, {dilation = 2, output_padding = 1})

for _, inputs in ipairs {1, 2, 3, 5} do
  for _, outputs in ipairs {1, 2, 3, 5} do
    for stride = 1, 2 do
      for dilation = 1, 2 do
        local options = {stride = stride, padding = dilation, dilation = dilation}
        conv("conv2d", {1, 4, 3, inputs}, {3, 2}, outputs, options)
        options = {stride = stride, padding = 1, dilation = dilation, output_padding = math.max(stride, dilation) - 1}
        conv("conv_transpose2d", {1, 2, 3, inputs}, {2, 3}, outputs, options)
      end
    end
  end
end

-- Wide channels and odd sizes: the remainders of vectors and tiles.
for _, channels in ipairs {{1, 16}, {3, 17}, {16, 16}, {16, 1}, {17, 33}, {33, 3}, {33, 16}, {16, 48}} do
  for _, size in ipairs {{2, 2}, {5, 7}, {9, 4}} do
    local x = {2, size[1], size[2], channels[1]}
    conv("conv2d", x, {3, 3}, channels[2], {padding = 1}, {wide = true})
    conv("conv_transpose2d", x, {3, 3}, channels[2], {padding = 1}, {wide = true})
  end
  local x = {3, 7, 6, channels[1]}
  conv("conv2d", x, {3, 3}, channels[2], {stride = 2, padding = 1}, {wide = true})
  conv("conv2d", x, {2, 4}, channels[2], {stride = {2, 1}, padding = {0, 2}, dilation = {2, 1}}, {wide = true})
  conv("conv_transpose2d", x, {4, 4}, channels[2], {stride = 2, padding = 1}, {wide = true})
  conv("conv_transpose2d", x, {3, 2}, channels[2], {stride = {2, 3}, padding = {1, 0}, output_padding = {1, 2}},
    {wide = true})
  conv("conv2d", {4, 3, 3, channels[1]}, {1, 1}, channels[2], {}, {wide = true, plain = true})
end

-- Few channels and large kernels: the tiles that cover several runs of taps.
conv("conv2d", {3, 9, 20, 1}, {5, 5}, 6, {padding = 2}, {wide = true})
conv("conv2d", {2, 8, 19, 6}, {5, 5}, 16, {}, {wide = true})
conv("conv2d", {1, 7, 18, 3}, {3, 3}, 33, {padding = 1}, {wide = true})
conv("conv2d", {2, 6, 9, 1}, {3, 3}, 17, {padding = {0, 1}}, {wide = true})
conv("conv2d", {1, 9, 9, 2}, {5, 5}, 7, {stride = 2, padding = 1}, {wide = true})

-- Few channels of one image beside many of the other: tiles that take two or three of them at once.
for _, few in ipairs {2, 3, 4, 5, 7} do
  conv("conv2d", {2, 6, 5, 32}, {3, 3}, few, {padding = 1}, {wide = true})
  conv("conv2d", {2, 5, 6, 49}, {2, 3}, few, {stride = {2, 1}, dilation = {1, 2}}, {wide = true, plain = true})
  conv("conv_transpose2d", {2, 4, 3, few}, {3, 3}, 32, {stride = 2, padding = 1, output_padding = 1}, {wide = true})
end

-- Channels enough for Winograd's tiles: sizes that they fill and those that they overlap, one part of the channels and
-- two, few sums and many.
for _, c in ipairs {{{2, 8, 8, 32}, 32, 1}, {{3, 7, 9, 40}, 33, 1}, {{1, 9, 6, 33}, 48, 2}, {{1, 12, 11, 64}, 32, 0},
  {{2, 6, 5, 260}, 33, 1}, {{7, 6, 6, 32}, 70, {1, 2}}} do
  conv("conv2d", c[1], {3, 3}, c[2], {padding = c[3]}, {wide = true})
  conv("conv_transpose2d", c[1], {3, 3}, c[2], {padding = c[3]}, {wide = true})
end

-- Large images, whose pixels at the edges have tiles of their own, of which some begin within a row.
for _, name in ipairs {"conv2d", "conv_transpose2d"} do
  conv(name, {1, 17, 19, 9}, {3, 3}, 20, {padding = 1}, {wide = true})
  conv(name, {2, 19, 18, 8}, {3, 2}, 33, {padding = {2, 1}, dilation = {1, 3}}, {wide = true})
end
conv("conv2d", {1, 36, 34, 8}, {5, 3}, 18, {stride = 2, padding = 2}, {wide = true})
conv("conv_transpose2d", {1, 17, 16, 9}, {3, 3}, 20, {stride = 2, padding = 1, output_padding = 1}, {wide = true})

-- Groups: of several channels, of one to several, and of one to one, whose tiles lie along rows and columns; fewer
-- channels than a vector has, a vector and more; lines of one pixel, of fewer than a tile has, of more.
conv("conv2d", {1, 4, 3, 4}, {2, 3}, 6, {groups = 2, padding = 1})
conv("conv_transpose2d", {1, 3, 2, 4}, {3, 2}, 6, {groups = 2, stride = 2})
conv("conv2d", {1, 3, 4, 2}, {3, 3}, 4, {groups = 2, padding = 1})
conv("conv2d", {1, 3, 4, 3}, {3, 3}, 3, {groups = 3, padding = 1})
conv("conv_transpose2d", {1, 3, 2, 3}, {3, 3}, 3, {groups = 3, stride = 2, padding = 1, output_padding = 1})
for _, channels in ipairs {3, 16, 17, 40, 72} do
  for _, name in ipairs {"conv2d", "conv_transpose2d"} do
    local function depthwise(x, kernel, options)
      options.groups = channels
      conv(name, {x[1], x[2], x[3], channels}, kernel, channels, options, {wide = true})
    end
    depthwise({2, 5, 11}, {3, 3}, {padding = 1})
    depthwise({1, 13, 4}, {5, 5}, {padding = 2})
    depthwise({3, 2, 2}, {4, 3}, {padding = {2, 1}})
    depthwise({2, 9, 8}, {3, 3}, {stride = 2, padding = 1})
    depthwise({1, 8, 10}, {2, 7}, {stride = {1, 3}, padding = {1, 3}, dilation = {3, 1}})
    depthwise({1, 3, 3}, {1, 1}, {padding = 1})
  end
end
conv("conv2d", {2, 6, 7, 36}, {3, 3}, 72, {groups = 4, padding = 1}, {wide = true})
conv("conv_transpose2d", {2, 4, 5, 40}, {3, 3}, 20, {groups = 5, stride = 2}, {wide = true})
conv("conv2d", {2, 9, 9, 72}, {3, 3}, 72, {groups = 2, padding = 1}, {wide = true})

-- Kernels as large as the image, batches and images that are cut into unequal jobs: most taps lie outside.
for _, channels in ipairs {{16, 17}, {2, 16}, {16, 2}} do
  for _, name in ipairs {"conv2d", "conv_transpose2d"} do
    conv(name, {11, 7, 7, channels[1]}, {7, 7}, channels[2], {padding = 3}, {wide = true})
    conv(name, {7, 6, 5, channels[1]}, {5, 3}, channels[2], {stride = 2, padding = 2, dilation = {1, 2}}, {wide = true})
    conv(name, {1, 37, 33, channels[1]}, {5, 5}, channels[2], {padding = 2}, {wide = true})
  end
end

-- Pooling and upsampling.
local POOLS = {
  {{1, 4, 4, 2}, 2}, {{2, 2, 2, 1}, {1, 2}}, {{1, 5, 7, 3}, {3, 3}, {2, 2}}, {{1, 5, 4, 2}, {2, 1}, 1},
  {{1, 4, 5, 2}, 3, 2, 1}, {{1, 7, 7, 1}, {3, 2}, {3, 3}, {1, 0}}, {{2, 1, 1, 1}, 1}, {{1, 5, 5, 2}, 2},
}
for _, op in ipairs {"max_pool2d", "avg_pool2d"} do
  for _, p in ipairs(POOLS) do
    add(op, {p[1]}, function(lt, x) return lt[op](x, p[2], {stride = p[3], padding = p[4]}) end)
  end
  for _, channels in ipairs {1, 3, 16, 17, 33} do
    wide(op, {{2, 7, 6, channels}}, function(lt, x) return lt[op](x, 2) end)
    wide(op, {{2, 9, 7, channels}}, function(lt, x) return lt[op](x, 3, {stride = 2, padding = 1}) end)
  end
end
for _, scale in ipairs {2, {1, 2}, {3, 1}, 1} do
  add("upsample_nearest", {{2, 2, 3, 2}}, function(lt, x) return lt.upsample_nearest(x, scale) end)
  wide("upsample_nearest", {{2, 3, 5, 17}}, function(lt, x) return lt.upsample_nearest(x, scale) end)
end

-- Normalisation.
local function batch_norm(lt, x, w, b) return (lt.batch_norm_train(x, w, b)) end
local function layer_norm(lt, x, w, b) return lt.layer_norm(x, w, b) end
add("batch_norm_train", {{3, 2, 2, 3}, {3}, {3}}, batch_norm)
add("batch_norm_train", {{4, 3}, {3}, {3}}, function(lt, x, w, b)
  return (lt.batch_norm_train(x, w, b, {eps = 0.1}))
end)
add("batch_norm_train", {{5, 1}, {1}, {1}}, batch_norm)
add("layer_norm", {{4, 6}, {6}, {6}}, layer_norm)
add("layer_norm", {{2, 3, 5}, {5}, {5}}, function(lt, x, w, b) return lt.layer_norm(x, w, b, 0.01) end)
for _, n in ipairs {1, 3, 16, 17, 33, 70} do
  wide("batch_norm_train", {{5, 3, 7, n}, {n}, {n}}, batch_norm)
  wide("layer_norm", {{9, n + 2}, {n + 2}, {n + 2}}, layer_norm)
end

-- Groups of one channel and of several; rows that fill no block, one piece of an item and two.
local function group_norm(groups)
  return function(lt, x, w, b) return lt.group_norm(x, w, b, groups) end
end
add("group_norm", {{2, 3, 2, 4}, {4}, {4}}, group_norm(2))
add("group_norm", {{3, 5, 3}, {3}, {3}}, group_norm(3))
add("group_norm", {{3, 6}, {6}, {6}}, group_norm(1))
add("group_norm", {{2, 3, 4}}, function(lt, x) return lt.group_norm(x, nil, nil, {groups = 2, eps = 0.1}) end,
  {label = "plain"})
add("group_norm", {{2, 3, 4}, {4}}, function(lt, x, b) return lt.group_norm(x, nil, b, 4) end, {label = "bias alone"})
for _, c in ipairs {{1, 1}, {3, 3}, {16, 4}, {17, 1}, {33, 11}, {70, 35}, {64, 8}} do
  wide("group_norm", {{3, 5, 7, c[1]}, {c[1]}, {c[1]}}, group_norm(c[2]))
end
wide("group_norm", {{2, 29, 37, 40}, {40}, {40}}, group_norm(8))

require "spec.support.argument_cases"(add, wide)
require "spec.support.network_cases"(add)
require "spec.support.index_cases"(add, wide)

return M
