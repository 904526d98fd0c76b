-- Values of ops that were computed by hand, or by PyTorch: op -> a list of {function, expected}. Every op has its entry
-- here or golden values.
local lt = require "latent"

local inf, nan = math.huge, 0 / 0

-- Functions of one element: at 0.3, -0.7 and 0.9; at 0.5, 2 and 7.5. Values by PyTorch in double precision.
local AT_SMALL = {
  tan = {0.3093362496, -0.8422883805, 1.2601582176}, asin = {0.3046926540, -0.7753974966, 1.1197695150},
  acos = {1.2661036728, 2.3461938234, 0.4510268118}, atan = {0.2914567945, -0.6107259644, 0.7328151018},
  sinh = {0.3045202934, -0.7585837018, 1.0265167257}, cosh = {1.0453385141, 1.2551690056, 1.4330863854},
  asinh = {0.2956730476, -0.6526665661, 0.8088669357}, atanh = {0.3095196042, -0.8673005277, 1.4722194896},
  log1p = {0.2623642645, -1.2039728043, 0.6418538862}, expm1 = {0.3498588076, -0.5034146962, 1.4596031112},
  exp2 = {1.2311444133, 0.6155722067, 1.8660659831}, erf = {0.3286267595, -0.6778011938, 0.7969082124},
  erfc = {0.6713732405, 1.6778011938, 0.2030917876}, erfinv = {0.2724627147, -0.7328690780, 1.1630871537},
}
local AT_POSITIVE = {
  acosh = {nan, 1.3169578969, 2.7035758309}, log2 = {-1, 1, 2.9068905956},
  log10 = {-0.3010299957, 0.3010299957, 0.8750612634},
  rsqrt = {1.4142135624, 0.7071067812, 0.3651483717}, reciprocal = {2, 0.5, 0.1333333333},
  lgamma = {0.5723649429, 0, 7.5343642368}, digamma = {-1.9635100260, 0.4227843351, 1.9467574842},
}

local M34 = lt.tensor {{3, 1, 4, 1}, {5, 9, 2, 6}, {5, 3, 5, 8}}
local V12, SPREAD = lt.tensor {1, 2}, lt.tensor {{1, 3}, {2, 6}}
local SQUARES = lt.arange(1, 12):square():reshape(1, 3, 4)
local LINE = lt.tensor{1, 4, 2}:reshape(1, 3, 1)
-- Whole numbers from -5 to 5 in no order, as spec/arguments_spec.lua has them.
local function numbers(...)
  return (lt.arange(1, lt.zeros(...):numel()) * 7 % 11 - 5):reshape(...)
end
local LARGEST = (2 - 2.0 ^ -23) * 2.0 ^ 127

local M = {
  amax = {{function() return lt.amax(M34) end, 9}, {function() return lt.amax(M34, {2}, true) end, {{4}, {9}, {8}}},
    {function() return M34:amax{axis = {1, -1}} end, 9}},
  amin = {{function() return lt.amin(M34, 1) end, {3, 1, 2, 1}}, {function() return lt.amin(3) end, 3}},
  sin = {{function() return lt.sin {0, math.pi / 6, math.pi / 2} end, {0, 0.5, 1}}},
  cos = {{function() return lt.cos {0, math.pi / 3, math.pi} end, {1, 0.5, -1}}},
  floor = {{function() return lt.floor {-1.5, -1, 0.5, 2} end, {-2, -1, 0, 2}}},
  ceil = {{function() return lt.ceil {-1.5, -1, 0.5, 2} end, {-1, -1, 1, 2}}},
  round = {{function() return lt.round {-1.5, -0.5, 0.5, 1.5, 2.5, 2.6} end, {-2, 0, 0, 2, 2, 3}}},
  trunc = {{function() return lt.trunc {-1.5, -1, 0.5, 2.9} end, {-1, -1, 0, 2}}},
  sign = {{function() return lt.sign {-3, 0, 0.1} end, {-1, 0, 1}}},
  maximum = {{function() return lt.maximum({1, 5, -1}, 2) end, {2, 5, 2}}},
  minimum = {{function() return lt.minimum({1, 5, -1}, 2) end, {1, 2, -1}}},
  eq = {{function() return lt.eq({1, 2, 3}, 2) end, {0, 1, 0}}},
  ne = {{function() return lt.ne({1, 2, 3}, 2) end, {1, 0, 1}}},
  lt = {{function() return lt.lt({1, 2, 3}, 2) end, {1, 0, 0}}},
  le = {{function() return lt.le({1, 2, 3}, 2) end, {1, 1, 0}}},
  gt = {{function() return lt.gt({1, 2, 3}, {{2}, {1}}) end, {{0, 0, 1}, {0, 1, 1}}}},
  ge = {{function() return lt.ge({1, 2, 3}, 2) end, {0, 1, 1}},
    {function() return lt.full({2}, 7, "u8"):ge(7) end, {1, 1}}},
  argmax = {{function() return lt.argmax(M34) end, 6}, {function() return lt.argmax(M34, 1) end, {2, 2, 3, 3}},
    {function() return lt.argmax(M34, -1, true) end, {{3}, {2}, {4}}}},
  argmin = {{function() return lt.argmin(M34) end, 2}, {function() return lt.argmin(M34, 2) end, {2, 3, 2}}},
  reshape = {{function() return lt.reshape({1, 2, 3, 4, 5, 6}, 3, -1) end, {{1, 2}, {3, 4}, {5, 6}}},
    {function() return lt.reshape({7}, {}) end, 7}},
  select = {{function() return lt.select(M34, 2) end, {5, 9, 2, 6}}, {function() return M34[-1] end, {5, 3, 5, 8}}},
  one_hot = {{function() return lt.one_hot({2, 0}, 3) end, {{0, 0, 1}, {1, 0, 0}}},
    {function() return lt.one_hot(lt.full({1}, 1, "u8"), 2) end, {{0, 1}}}},
  dropout = {{function() return lt.dropout({1, 2}, 0) end, {1, 2}},
    {function() return lt.dropout({1, 2}, {training = false}) end, {1, 2}}},
  bernoulli = {{function() return lt.bernoulli {0, 1, 0, 1} end, {0, 1, 0, 1}}},
  unsqueeze = {{function() return lt.unsqueeze(V12, 1) end, {{1, 2}}},
    {function() return V12:unsqueeze(-1) end, {{1}, {2}}}},
  squeeze = {{function() return lt.squeeze(lt.tensor {{{1}, {2}}}) end, {1, 2}},
    {function() return lt.squeeze(lt.tensor {{{1}, {2}}}, 3) end, {{1, 2}}},
    {function() return lt.ones(1, 1):squeeze() end, 1}},
  flatten = {{function() return lt.flatten(lt.tensor {{1, 2}, {3, 4}}) end, {1, 2, 3, 4}},
    {function() return lt.flatten(lt.tensor(3)) end, {3}}},
  broadcast_to = {{function() return lt.broadcast_to(lt.tensor {{1}, {2}}, 2, 3) end, {{1, 1, 1}, {2, 2, 2}}}},
  var = {{function() return lt.var(lt.arange(4)) end, 5 / 3},
    {function() return lt.var(SPREAD, 2, {unbiased = false}) end, {1, 4}}},
  std = {{function() return lt.std(SPREAD, 2, {unbiased = false, keepdim = true}) end, {{1}, {2}}}},
  norm = {{function() return lt.norm(lt.tensor {3, 4}) end, 5},
    {function() return lt.norm(lt.tensor {{3, 4}, {6, 8}}, 2) end, {5, 10}}},
  clone = {{function() return lt.clone(V12) end, {1, 2}}},
  abs = {{function() return lt.abs {-1, 0, 2} end, {1, 0, 2}}},
  add = {{function() return 1 + lt.tensor {1, 2} end, {2, 3}}},
  sub = {{function() return 1 - lt.tensor {1, 2} end, {0, -1}}},
  mul = {{function() return lt.tensor {1, 2} * 3 end, {3, 6}}},
  div = {{function() return 1 / lt.tensor {1, 2, 0} end, {1, 0.5, inf}},
    {function() return lt.div({7, -7, 7, -7, 1}, {2, 2, -2, -2, 0}, {rounding_mode = "floor"}) end,
      {3, -4, -4, 3, inf}},
    {function() return lt.div({7, -7, 7, -7}, {2, 2, -2, -2}, {rounding_mode = "trunc"}) end, {3, -3, -3, 3}}},
  floor_divide = {{function() return lt.tensor {7, -7, 0.7} // lt.tensor {2, 2, 0.25} end, {3, -4, 2}},
    {function() return 7 // lt.tensor {{2}, {-2}} end, {{3}, {-4}}}},
  remainder = {{function() return lt.tensor {7, -7, 7, -7, 4} % lt.tensor {3, 3, -3, -3, 2} end, {1, 2, -2, -1, 0}},
    {function() return lt.remainder(1e8, {3, inf}) end, {1, 1e8}}},
  fmod = {{function() return lt.fmod({7, -7, 7, -7}, {3, 3, -3, -3}) end, {1, -1, 1, -1}}},
  atan2 = {{function() return lt.atan2({1, -1, 0, 0, 2}, {1, -2, -3, 0, 0}) end,
    {math.pi / 4, -2.677945137, math.pi, 0, math.pi / 2}}},
  xlogy = {{function() return lt.xlogy({0, 2, 0, 1}, {0, 3, -1, 0}) end, {0, 2 * math.log(3), 0, -inf}}},
  lerp = {{function() return lt.lerp({0, 2, 1}, {10, 4, 3}, 0.25) end, {2.5, 2.5, 1.5}},
    {function() return lt.lerp({0.1, 2, 1}, {0.7, 4, 3}, {1, 0, 0.75}) end, {0.7, 2, 2.5}},
    {function() return lt.lerp({0.1}, {0.7}, 1) end, {0.7}}},
  isnan = {{function() return lt.isnan {1, nan, inf, -inf} end, {0, 1, 0, 0}}},
  isinf = {{function() return lt.isinf {1, nan, inf, -inf} end, {0, 0, 1, 1}}},
  isfinite = {{function() return lt.isfinite {1, nan, inf, -inf} end, {1, 0, 0, 0}}},
  nan_to_num = {{function() return lt.nan_to_num {1, nan, inf, -inf} end, {1, 0, LARGEST, -LARGEST}},
    {function() return lt.nan_to_num({nan, inf, -inf}, 5, {posinf = 6, neginf = -7}) end, {5, 6, -7}}},
  neg = {{function() return -lt.tensor {1, 2} end, {-1, -2}}},
  pow = {{function() return lt.tensor {3, -2} ^ 2 end, {9, 4}}, {function() return 2 ^ lt.tensor {3, -1} end, {8, 0.5}},
    {function() return lt.tensor {{2}, {3}} ^ lt.tensor {1, 2} end, {{2, 4}, {3, 9}}},
    {function() return lt.pow({0, 4, -1}, {0, 0.5, 3}) end, {1, 2, -1}}},
  max_pool2d = {{function() return lt.max_pool2d(lt.arange(1, 9):reshape(1, 3, 3, 1), 2, {stride = 1}):reshape(-1) end,
    {5, 6, 8, 9}}},
  avg_pool2d = {{function() return lt.avg_pool2d(lt.ones(1, 2, 2, 1), 2, {padding = 1}):reshape(-1) end,
    {0.25, 0.25, 0.25, 0.25}}},
  -- by PyTorch, squares of 1 to 12 as three places of four channels
  group_norm = {{function()
    return lt.group_norm(SQUARES, {1, 2, 3, 4}, {0.5, 0, -1, 2}, 2):reshape(-1)
  end, {-0.5779463649, -1.994871616, -4.473501205, -2.073982716, 0.06613783538, -0.2773138285, -2.084846973,
    1.747864485, 1.56900084, 3.157801628, 2.21473074, 8.117609978}}, {function()
    return lt.group_norm(SQUARES, {groups = 4, eps = 0.1}):slice(3, 1, 2):reshape(-1)
  end, {-1.034178376, -1.069011331, -0.3182086647, -0.267252773, 1.352387309, 1.336264253}}},
  conv2d = {{function()
    return lt.conv2d(lt.arange(1, 4):reshape(1, 2, 2, 1), lt.arange(1, 4):reshape(2, 2, 1, 1), {10}):reshape(-1)
  end, {40}}},
  conv_transpose2d = {{function()
    return lt.conv_transpose2d(lt.tensor(2):reshape(1, 1, 1, 1), lt.arange(1, 4):reshape(2, 2, 1, 1)):reshape(-1)
  end, {2, 4, 6, 8}}},
  conv1d = {{function()
    return lt.conv1d(numbers(1, 5, 2), numbers(2, 2, 1), {1}, {stride = 2}):reshape(-1)
  end, {35, -17}}},
  conv_transpose1d = {{function()
    return lt.conv_transpose1d(numbers(1, 3, 2), numbers(3, 2, 1), nil,
      {stride = 2, padding = 1, output_padding = 1}):reshape(-1)
  end, {8, -6, 26, -25, -11, 25}}},
  conv3d = {{function()
    return lt.conv3d(numbers(1, 3, 2, 2, 1), numbers(2, 2, 1, 1, 1), {2}, {padding = {1, 0, 0}}):reshape(-1)
  end, {17, -7, -19, 12, 6, 15, 18, -4}}},
  conv_transpose3d = {{function()
    return lt.conv_transpose3d(numbers(1, 2, 1, 2, 1), numbers(2, 2, 1, 1, 1), nil, {stride = {2, 1, 1}}):reshape(-1)
  end, {4, -4, -4, 4, 10, -10, 2, -2, 10, 2, -10, -2, 25, 5, 5, 1}}},
  max_pool1d = {{function() return lt.max_pool1d(numbers(1, 5, 1), 2, {ceil_mode = true}):reshape(-1) end, {2, 5, -3}}},
  avg_pool1d = {{function() return lt.avg_pool1d(numbers(1, 5, 1), 2, {ceil_mode = true}):reshape(-1) end, {0, 3, -3}}},
  max_pool3d = {{function() return lt.max_pool3d(numbers(1, 2, 3, 3, 1), 2, {stride = 1}):reshape(-1) end,
    {5, 5, 5, 5}}},
  avg_pool3d = {{function()
    return lt.avg_pool3d(numbers(1, 2, 3, 3, 1), 2, {stride = 1, divisor_override = 5}):reshape(-1)
  end, {-1, 1.4, -0.4, 2}}},
  adaptive_avg_pool1d = {{function() return lt.adaptive_avg_pool1d(LINE, 2):reshape(-1) end, {2.5, 3}}},
  adaptive_avg_pool2d = {{function()
    return lt.adaptive_avg_pool2d(lt.arange(1, 6):reshape(1, 2, 3, 1), {1, 2}):reshape(-1)
  end, {3, 4}}},
  adaptive_avg_pool3d = {{function()
    return lt.adaptive_avg_pool3d(lt.arange(1, 8):reshape(1, 2, 2, 2, 1), 1):reshape(-1)
  end, {4.5}}},
  adaptive_max_pool1d = {{function() return lt.adaptive_max_pool1d(LINE, 2):reshape(-1) end, {4, 4}}},
  adaptive_max_pool2d = {{function()
    return lt.adaptive_max_pool2d(numbers(1, 2, 3, 1), {1, 2}):reshape(-1)
  end, {2, 5}}},
  adaptive_max_pool3d = {{function()
    return lt.adaptive_max_pool3d(lt.arange(1, 8):reshape(1, 2, 2, 2, 1), {2, 1, 1}):reshape(-1)
  end, {4, 8}}},
  max_unpool1d = {{function() return lt.max_unpool1d(LINE, {{{1}, {4}, {5}}}, 2):reshape(-1) end,
    {1, 0, 0, 4, 2, 0}}},
  max_unpool2d = {{function()
    return lt.max_unpool2d(numbers(1, 1, 2, 1), lt.tensor{3, 8}:reshape(1, 1, 2, 1), 2):reshape(-1)
  end, {0, 0, 2, 0, 0, 0, 0, -2}}},
  max_unpool3d = {{function()
    return lt.max_unpool3d(lt.ones(1, 1, 1, 1, 1), lt.tensor(6):reshape(1, 1, 1, 1, 1), 2):reshape(-1)
  end, {0, 0, 0, 0, 0, 1, 0, 0}}},
  pixel_shuffle = {{function() return lt.pixel_shuffle(lt.arange(1, 8):reshape(1, 1, 2, 4), 2):reshape(-1) end,
    {1, 2, 5, 6, 3, 4, 7, 8}}},
  pixel_unshuffle = {{function() return lt.pixel_unshuffle(lt.arange(1, 8):reshape(1, 2, 4, 1), 2):reshape(-1) end,
    {1, 2, 5, 6, 3, 4, 7, 8}}},
  interpolate = {{function() return lt.interpolate(LINE, 5):reshape(-1) end, {1, 1, 4, 4, 2}},
    {function() return lt.interpolate(LINE, {size = 5, mode = "linear"}):reshape(-1) end, {1, 2.2, 4, 2.8, 2}}},
  gaussian_kl = {{function() return lt.gaussian_kl({{1, 2}, {0, 0}}, {{0, 0}, {0, 0}}) end, 1.25},
    {function() return lt.gaussian_kl({{1, 2}, {0, 0}}, {{0, 0}, {0, 0}}, "none") end, {2.5, 0}}},
  gaussian_nll = {{function() return lt.gaussian_nll({0}, {0}, {0}, {constant = true}) end, math.log(2 * math.pi) / 2}},
}

for op, want in pairs(AT_SMALL) do M[op] = {{function() return lt[op] {0.3, -0.7, 0.9} end, want}} end
for op, want in pairs(AT_POSITIVE) do M[op] = {{function() return lt[op] {0.5, 2, 7.5} end, want}} end

M.polygamma = {
  {function() return lt.polygamma({0.5, 2.5, -4.75}, 2) end, {-16.8287966442, -0.2362040516, -124.0610655213}},
  {function() return lt.polygamma({0.5, 2.5, -0.25}, 3) end, {97.4090910340, 0.2239058488, 1555.7633125349}},
  {function() return lt.polygamma({0.5, 1}, 0) end, {-1.9635100260, -0.5772156649}},
}
M.dot = {{function() return lt.dot(V12, lt.tensor{3, 4}) end, 11}}
M.mv = {{function() return lt.mv(SPREAD, V12) end, {7, 14}}}
M.outer = {{function() return lt.outer(V12, lt.tensor{3, 4, 5}) end, {{3, 4, 5}, {6, 8, 10}}}}
for op, list in pairs(require "spec.support.network_values") do M[op] = list end
for op, list in pairs(require "spec.support.index_values") do M[op] = list end

return M
