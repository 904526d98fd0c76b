-- Every op of the registry: it has golden or hand-computed values and, where differentiable, gradient
-- cases; it agrees with double precision; and it meets empty tensors, extremes and bad arguments.
require "spec.support.close"
local lt = require "latent"
local golden = require "spec.support.golden"
local op_cases = require "spec.support.op_cases"
local by_hand = require "spec.support.op_values"
local precision = require "spec.support.precision"

local inf, nan = math.huge, 0 / 0

local golden_ops = {}
for _, case in ipairs(assert(golden.load "spec/fixtures/golden").cases) do golden_ops[case.op] = true end

local M34 = lt.tensor {{3, 1, 4, 1}, {5, 9, 2, 6}, {5, 3, 5, 8}}

describe("the registry", function()
  for _, op in ipairs(lt.ops()) do
    it("has values, gradients and text for " .. op.name, function()
      assert(golden_ops[op.name] or by_hand[op.name] or op.name == "batch_norm_train",
        "no golden or hand-computed values")
      assert(not op.differentiable or op_cases.cases[op.name], "no gradient case")
      assert(#op.doc > 1)
      assert.is_function(lt[op.name])
      assert(#op.inputs > 0)
      for _, param in ipairs(op.params) do assert.is_string(param.name) end
    end)
  end

  it("lists each op once, and no case is for an op that does not exist", function()
    local seen = {}
    for _, op in ipairs(lt.ops()) do
      assert.is_nil(seen[op.name])
      seen[op.name] = true
    end
    for name in pairs(op_cases.cases) do assert(seen[name], name) end
    for name in pairs(by_hand) do assert(seen[name], name) end
  end)
end)

local OF_OTHER_TYPES = {multinomial = "i64", argmax = "i64", argmin = "i64", eq = "u8", ne = "u8", lt = "u8", le = "u8",
  gt = "u8", ge = "u8", isnan = "u8", isinf = "u8", isfinite = "u8"}

describe("values by hand", function()
  for name, list in pairs(by_hand) do
    it("of " .. name, function()
      for _, pair in ipairs(list) do
        local y = pair[1]()
        assert.equal(pair[3] or OF_OTHER_TYPES[name] or "float32", y.dtype)
        assert.same(lt.tensor(pair[2]).shape, y.shape)
        assert.close(y, pair[2], 1e-6)
      end
    end)
  end
end)

describe("float32 agrees with double precision", function()
  for name in pairs(op_cases.cases) do
    it("in " .. name, function()
      local count, failures = precision.compare_op(name)
      assert(count > 0)
      assert(#failures == 0, table.concat(failures, "\n"))
    end)
  end
end)

describe("methods and functions", function()
  it("are the same ops, and both take tables", function()
    for _, op in ipairs(lt.ops()) do
      if not op.inputs[1]:find "%*" then assert.is_function(M34[op.name], op.name) end
      if op.elementwise then assert.is_function(M34[op.name .. "_"], op.name .. "_") end
    end
    assert.close(M34:relu():sum(1), lt.sum(lt.relu(M34), 1))
  end)

  it("change in place with a trailing underscore", function()
    local x = lt.tensor {1, -2, 3}
    assert.equal(x, x:add_(1):mul_(2):relu_())
    assert.close(x, {4, 0, 8})
    x:sub_({1, 1, 1}):clamp_({max = 2}):neg_():pow_(2)
    assert.close(x, {4, 1, 4})
    local m = lt.tensor {{1, 2}, {3, 4}}
    m:add_(m[1]) -- another view of the same storage, broadcast
    assert.close(m, {{2, 4}, {4, 6}})
    m:mul_(m)
    assert.close(m, {{4, 16}, {16, 36}})
  end)
end)

-- Extremes: large arguments and what is not a number.
local extremes = { -- op: values at -300, 300, -inf, inf
  neg = {300, -300, inf, -inf}, exp = {0, inf, 0, inf}, square = {90000, 90000, inf, inf},
  abs = {300, 300, inf, inf}, tanh = {-1, 1, -1, 1}, sigmoid = {0, 1, 0, 1}, relu = {0, 300, 0, inf},
  leaky_relu = {-3, 300, -inf, inf}, elu = {-1, 300, -1, inf}, gelu = {0, 300, nil, inf},
  silu = {0, 300, nil, inf}, softplus = {0, 300, 0, inf}, floor = {-300, 300, -inf, inf},
  ceil = {-300, 300, -inf, inf}, round = {-300, 300, -inf, inf}, sign = {-1, 1, -1, 1},
  log = {nan, math.log(300), nan, inf}, sqrt = {nan, math.sqrt(300), nan, inf},
  clone = {-300, 300, -inf, inf}, clamp = {-1, 1, -1, 1}, pow = {-2.7e7, 2.7e7, -inf, inf},
  trunc = {-300, 300, -inf, inf},
  tan = {math.tan(-300), math.tan(300), nan, nan}, atan = {-1.5674630, 1.5674630, -math.pi / 2, math.pi / 2},
  asin = {nan, nan, nan, nan}, acos = {nan, nan, nan, nan}, atanh = {nan, nan, nan, nan},
  erfinv = {nan, nan, nan, nan},
  sinh = {-inf, inf, -inf, inf}, cosh = {inf, inf, inf, inf}, asinh = {-6.3969327, 6.3969327, -inf, inf},
  acosh = {nan, 6.3969271, nan, inf}, log1p = {nan, math.log(301), nan, inf}, expm1 = {-1, inf, -1, inf},
  log2 = {nan, math.log(300, 2), nan, inf}, log10 = {nan, math.log(300, 10), nan, inf}, exp2 = {0, inf, 0, inf},
  rsqrt = {nan, 300 ^ -0.5, nan, 0}, reciprocal = {-1 / 300, 1 / 300, 0, 0}, erf = {-1, 1, -1, 1},
  erfc = {2, 0, 2, 0},
  lgamma = {inf, 1409.2020, inf, inf}, digamma = {nan, 5.7021149, nan, inf},
  polygamma = {nan, -1.1148219e-05, nan, 0},
}
local ARGUMENTS = {clamp = {{min = -1, max = 1}}, pow = {3}, polygamma = {2}}
-- Gradients that are finite at +-300 although what they are made of is not.
local FINITE = {"tanh", "atan", "asinh", "erf", "erfc", "sigmoid", "relu", "leaky_relu", "elu", "gelu", "silu",
  "softplus", "abs", "square", "clamp"}

describe("extremes", function()
  for op, want in pairs(extremes) do
    it("of " .. op, function()
      local extra = ARGUMENTS[op] or {}
      -- Alone and in a row long enough for vectors: kernels treat the two differently.
      for _, n in ipairs {1, 37} do
        for i, x in ipairs {-300, 300, -inf, inf} do
          if want[i] then
            local y = lt[op](lt.full({n}, x), table.unpack(extra))
            assert.close(y, lt.full({n}, want[i]), 1e-6)
          end
        end
        local y = lt[op](lt.full({n}, nan), table.unpack(extra)):table()
        for _, v in ipairs(y) do assert(v ~= v, op .. " hides NaN") end
      end
    end)
  end

  it("of the special functions are right at poles, in tails and left of 0", function()
    assert.close(lt.lgamma {-0.5, -2.3, -7.75}, {1.2655121235, 0.3695666635, -8.5818477636}, 1e-6)
    local x = lt.param(lt.tensor {-0.5, -2.3, -7.75, 0.5, 2, 7.5})
    local y = lt.digamma(x)
    assert.close(y, {0.0364899740, 3.3173231576, -1.0307688328, -1.9635100260, 0.4227843351, 1.9467574842}, 1e-6)
    y:sum():backward()
    assert.close(x.grad, {8.9348022001, 14.7259121609, 19.6181443344, 4.9348022021, 0.6449340671, 0.1426158967}, 1e-6)
    assert.close(lt.digamma {0, -1}, {-inf, nan})
    assert.close(lt.polygamma({0, -1, 1}, 3), {inf, inf, 6.4939394023})
    -- Just below a pole: -1/x, 1/x^2 and -2/x^3 there.
    local near = lt.tensor({-1e-20}, {dtype = "float64"})
    assert.close(near:digamma() / 1e20, lt.ones({1}, {dtype = "float64"}))
    assert.close(near:polygamma(1) / 1e40, lt.ones({1}, {dtype = "float64"}))
    assert.close(near:polygamma(2) / 2e60, lt.ones({1}, {dtype = "float64"}))
    assert.close(lt.polygamma({-1.5, -2.5}, 2), {-0.2362040516, -0.1082040516}) -- those of one half, and no more
    assert.close(lt.lgamma {0, -1, 1}, {inf, inf, 0})
    assert.close(lt.erfinv {1, -1, 0, 1e-12}, {inf, -inf, 0, 8.86226925e-13})
    assert.close(lt.erfinv {2.0 ^ -20 - 1}, {-3.4655050258}, 1e-6)
    assert.close(lt.erfc {5, 9} * 1e10, {1.5374597944e-2, 0}, 1e-6)
    assert.close(lt.log1p {1e-8, -1}, {1e-8, -inf})
    assert.close(lt.expm1 {1e-8}, {1e-8}, 1e-6)
  end)

  it("give powers of two whole exponents, and back", function()
    local n = lt.arange(-126, 127)
    assert.equal(0, (lt.log2(lt.exp2(n)) - n):abs():max():item())
    assert.equal(2.0 ^ -149, lt.exp2 {-149}:get(1))
    assert.close(lt.log10 {1000, 1e-3}, {3, -3}, 1e-7)
  end)

  it("leave gradients finite", function()
    for _, op in ipairs(FINITE) do
      local x = lt.param(lt.tensor {-300, 300, -88.5, 88.5, 0})
      lt[op](x, table.unpack(ARGUMENTS[op] or {})):sum():backward()
      for i, g in ipairs(x.grad:table()) do assert(g - g == 0, ("%s: gradient %d is %g"):format(op, i, g)) end
    end
  end)

  it("pass NaN through gradients", function()
    for _, op in ipairs {"relu", "square", "abs", "tanh", "sigmoid", "elu", "leaky_relu"} do
      local x = lt.param(lt.tensor {1, 2})
      lt[op](x):backward(lt.tensor {nan, 1})
      local g = x.grad:table()
      assert(g[1] ~= g[1] and g[2] == g[2], op)
    end
  end)

  it("do not overflow softmax and the losses", function()
    assert.close(lt.softmax({-300, 300}, 1), {0, 1})
    assert.close(lt.log_softmax({-300, 300}, 1), {-600, 0})
    assert.close(lt.logsumexp {300, 300}, 300 + math.log(2), 1e-6)
    assert.close(lt.logsumexp {-inf, -inf}, -inf)
    assert.close(lt.bce_with_logits({-300, 300}, {1, 1}, "none"), {300, 0})
    assert.close(lt.cross_entropy({{-300, 300}}, {0}), 600)
    local v = lt.param(lt.tensor {{300, -300}})
    local kl = lt.gaussian_kl({{0, 0}}, v)
    kl:backward()
    assert(kl:item() - kl:item() == 0)
    for _, g in ipairs(v.grad:reshape(-1):table()) do assert(g - g == 0) end
  end)

  it("show NaN in reductions, comparisons and pooling", function()
    local x = lt.tensor {1, nan, 3}
    for _, op in ipairs {"sum", "mean", "max", "min", "logsumexp"} do
      local y = lt[op](x):item()
      assert(y ~= y, op)
    end
    assert.equal(2, lt.argmax(x):item())
    assert.close(lt.eq(x, x), {1, 0, 1})
    assert.close(lt.ne(x, x), {0, 1, 0})
    for _, op in ipairs {"maximum", "minimum"} do
      for _, y in ipairs {lt[op](x, 2):get(2), lt[op](2, x):get(2)} do assert(y ~= y, op) end
    end
    for _, op in ipairs {"max_pool2d", "avg_pool2d"} do
      for _, channels in ipairs {1, 19} do
        local image = lt.ones(1, 2, 2, channels)
        image:set(1, 2, 1, 1, nan)
        local y = lt[op](image, 2):get(1, 1, 1, 1)
        assert(y ~= y, op)
      end
    end
    for _, op in ipairs {"softmax", "log_softmax"} do
      local y = lt[op](x, 1):get(1)
      assert(y ~= y, op)
    end
  end)
end)

describe("empty tensors", function()
  local E = lt.zeros(0, 3)

  local function shape_of(y) return table.concat(y.shape, ",") end

  it("keep their shape through elementwise ops, forward and back", function()
    for _, op in ipairs(lt.ops()) do
      if op.elementwise then
        local x = lt.param(lt.zeros(0, 3))
        local more = #op.inputs == 2 and {lt.ones(3)} or ARGUMENTS[op.name] or {}
        local y = lt[op.name](x, table.unpack(more))
        assert.equal("0,3", shape_of(y))
        y:sum():backward()
        assert.equal("0,3", shape_of(x.grad))
      end
    end
  end)

  it("sum to zero, and have no extreme", function()
    assert.equal(0, E:sum():item())
    assert.close(E:sum(1), {0, 0, 0})
    assert.equal("0", shape_of(E:sum(2)))
    assert.equal("0", shape_of(E:max(2)))
    local none = lt.param(lt.zeros(3, 0))
    lt.prod(none, 2):sum():backward()
    assert.equal("3,0", shape_of(none.grad))
    assert.error_matches(function() E:max() end, "max: x: expected at least one element")
    assert.error_matches(function() E:argmin(1) end, "argmin: x: expected at least one element")
    local m = E:mean():item()
    assert(m ~= m)
  end)

  it("pass through products, layers and losses", function()
    assert.equal("0,4", shape_of(E:matmul(lt.ones(3, 4))))
    assert.close(lt.zeros(2, 0):matmul(lt.zeros(0, 2)), {{0, 0}, {0, 0}})
    local w, b = lt.param(lt.ones(3, 4)), lt.param(lt.ones(4))
    lt.linear(E, w, b):sum():backward()
    assert.close(w.grad, lt.zeros(3, 4))
    assert.close(b.grad, lt.zeros(4))
    local k, c = lt.param(lt.ones(3, 3, 2, 5)), lt.param(lt.ones(5))
    local images = lt.zeros(0, 4, 4, 2)
    for _, op in ipairs {"conv2d", "conv_transpose2d"} do
      lt[op](images, k, c, {padding = 1}):sum():backward()
      assert.close(k.grad, lt.zeros(3, 3, 2, 5))
      assert.close(c.grad, lt.zeros(5))
    end
    assert.equal("0,2,2,2", shape_of(lt.max_pool2d(images, 2)))
    assert.equal("0,2,2,2", shape_of(lt.avg_pool2d(images, 2)))
    assert.equal("0,8,8,2", shape_of(lt.upsample_nearest(images, 2)))
    assert.equal("0,3", shape_of(lt.layer_norm(E, lt.ones(3), lt.zeros(3))))
    assert.equal("0,3", shape_of(lt.group_norm(E, nil, nil, 3)))
    assert.equal("2,0,4", shape_of(lt.group_norm(lt.zeros(2, 0, 4), nil, nil, 2)))
    assert.equal("0,3", shape_of((lt.batch_norm_train(E, lt.ones(3), lt.zeros(3)))))
    assert.equal("0", shape_of(lt.gaussian_kl(E, E, "none")))
    assert.equal("0,3", shape_of(lt.mse_loss(E, E, "none")))
    assert.equal(0, lt.mse_loss(E, E, "sum"):item())
    assert.equal("0", shape_of(lt.cross_entropy(E, {}, "none")))
  end)

  it("can be cut, joined and turned", function()
    assert.same({1, 2}, lt.tensor{1, 2}:transpose(1, -1):table())
    assert.equal("3,0", shape_of(E:transpose()))
    assert.equal("0,2", shape_of(E:slice(2, 2, 3)))
    assert.equal("0,3", shape_of(M34:slice(1, 2, 1):slice(2, 1, 3)))
    assert.equal("2,3", shape_of(lt.cat({E, lt.ones(2, 3)})))
    assert.equal("0,3", shape_of(E:flip(1)))
    assert.equal("0,3", shape_of(E:gather_rows {}))
    assert.equal("0,4", shape_of(M34:gather_rows {}))
    assert.equal("0,5", shape_of(lt.one_hot(lt.zeros(0), 5)))
    assert.equal("0", shape_of(E:reshape(-1)))
    assert.equal("0,3", shape_of(E:softmax(1)))
    assert.equal("0,3", shape_of(lt.stack({lt.zeros(0), lt.zeros(0), lt.zeros(0)}, 2)))
  end)
end)

-- Bad arguments: each message says which argument, what was expected and what came.
local M23, K = lt.ones(2, 3), lt.ones(3, 3, 2, 5)
local IMAGE = lt.ones(1, 4, 4, 2)
local U8 = lt.zeros(2, 3):u8()
local bad = {
  {"add: shapes %[2, 3%] and %[2%] do not fit", function() return M23 + lt.ones(2) end},
  {"add: expected a tensor, got nil", function() return lt.add(nil, 1) end, "add: a: expected a tensor, got nil"},
  {"mul: b: expected a tensor, got \"x\"", function() return M23 * "x" end},
  {"atan2: a: expected a tensor, got \"x\"", function() return lt.atan2("x", M23) end},
  {"relu: x: expected float32, got u8", function() return U8:relu() end},
  {"pow: shapes %[2, 3%] and %[2%] do not fit", function() return M23 ^ lt.ones(2) end},
  {"floor_divide: shapes %[2, 3%] and %[2%] do not fit", function() return M23 // lt.ones(2) end},
  {"remainder: b: expected a tensor, got \"x\"", function() return M23 % "x" end},
  {"atan2: b: expected a tensor, got nil", function() return M23:atan2() end},
  {"div: rounding_mode: expected one of none floor trunc, got \"down\"",
    function() return lt.div(M23, 2, {rounding_mode = "down"}) end},
  {"nan_to_num: unknown option \"posinff\" %(did you mean \"posinf\"%?%); options: nan, posinf, neginf",
    function() return M23:nan_to_num {posinff = 1} end},
  {"nan_to_num: posinf: expected a number, got \"a\"", function() return M23:nan_to_num {posinf = "a"} end},
  {"nan_to_num: nan is given twice", function() return M23:nan_to_num(0, {nan = 1}) end},
  {"nan_to_num: too many arguments: expected at most 3 after the tensors, got 4",
    function() return M23:nan_to_num(0, 1, 2, 3) end},
  {"pow: exponent is missing", function() return M23:pow() end},
  {"pow: exponent: expected a number, got \"2\"", function() return M23:pow "2" end},
  {"where: shapes", function() return lt.where({1, 0}, M23, 1) end},
  {"sum: axis: expected 1%.%.2 or %-2%.%.%-1, got 3", function() return M23:sum(3) end},
  {"sum: axis: expected 1%.%.2 or %-2%.%.%-1, got 0", function() return M23:sum(0) end},
  {"sum: axis: 1 is given twice", function() return M23:sum {1, -2} end},
  {"sum: keepdim: expected true or false, got 1", function() return M23:sum(1, 1) end},
  {"sum: unknown option \"keepdims\" %(did you mean \"keepdim\"%?%); options: axis, keepdim",
    function() return M23:sum {keepdims = true} end},
  {"max: axis: expected 1%.%.2 or %-2%.%.%-1, got %-3", function() return M23:max(-3) end},
  {"softmax: axis is missing", function() return M23:softmax() end},
  {"softmax: axis: expected a whole number, got 1.5", function() return M23:softmax(1.5) end},
  {"reshape: shape: %[2, 3%] %(6 elements%) does not fit into %[4, %-1%]$", function() return M23:reshape(4, -1) end},
  {"cat: expected a list of tensors, such as {x, y}, got a tensor %[2, 3%]$", function() return lt.cat(M23, M23) end},
  {"cat: expected a list, got one with the name \"axis\" in it; names stand in a table of their own behind it$",
    function() return lt.cat {M23, M23, axis = 2} end},
  {"stack: expected a list of tensors, such as {x, y}, got a tensor %[2, 3%]$",
    function() return lt.stack(M23, M23) end},
  {"stack: expected a list, got one with the name \"axis\" in it; names stand in a table of their own behind it$",
    function() return lt.stack {M23, M23, axis = 2} end},
  {"cat: tensor 2: expected float32 %[2, 3%] apart from axis 1, got float32 %[3%]",
    function() return lt.cat(table.pack(M23, lt.ones(3))) end},
  {"stack: item 2: expected float32 %[2, 3%], as the first, got float32 %[3%]$",
    function() return lt.stack {M23, lt.ones(3)} end},
  {"stack: item 2: expected float32 %[2, 3%], as the first, got u8 %[2, 3%]$",
    function() return lt.stack {M23, M23:u8()} end},
  {"stack: item 2: expected a tensor, got 3$", function() return lt.stack {M23, 3} end},
  {"transpose: expected a tensor with at least 2 axes, got a tensor %[3%]$",
    function() return lt.ones(3):transpose() end},
  {"flatten: first: expected 1..2", function() return M23:flatten(3) end},
  {"broadcast_to: expected a shape$", function() return M23:broadcast_to() end},
  {"relu: expected a tensor or a list of numbers, got a module$",
    function() return lt.relu(require("latent.nn").ReLU()) end},
  {"relu: expected a tensor or a list of numbers, got a table with names$", function() return lt.relu {x = 1} end},
  {"relu: x: expected a tensor, got a generator$", function() return lt.relu(lt.generator(1)) end},
  {"reshape: shape: only one size may be %-1", function() return M23:reshape(-1, -1) end},
  {"reshape: shape: expected sizes of at least 0, got %-2", function() return M23:reshape(-2, 3) end},
  {"reshape: shape: expected at most 8 numbers, got 9", function() return M23:reshape(1, 1, 1, 1, 1, 1, 1, 1, 6) end},
  {"permute: axes: 1 is given twice", function() return M23:permute(1, 1) end},
  {"permute: axes: expected 2 axes for shape %[2, 3%], got 1", function() return M23:permute(1) end},
  {"slice: expected a range within 1%.%.3 of axis 2, got 2%.%.4", function() return M23:slice(2, 2, 4) end},
  {"slice: expected a range within 1%.%.3 of axis 2, got 0%.%.2", function() return M23:slice(2, 0, 2) end},
  {"cat: tensor 2: expected float32 %[2, 3%] apart from axis 1, got float32 %[2, 2%]",
    function() return lt.cat {M23, lt.ones(2, 2)} end},
  {"cat: expected a list of tensors, such as {x, y}, got an empty table", function() return lt.cat {} end},
  {"cat: item 2: expected a tensor, got 3", function() return lt.cat {M23, 3} end},
  {"stack: expected a list of tensors, such as {x, y}, got nil", function() return lt.stack() end},
  {"gather_rows: index: expected whole numbers 1%.%.2, got 3 at position 2",
    function() return M23:gather_rows {1, 3} end},
  {"gather_rows: index: expected whole numbers 1%.%.2, got 0", function() return M23:gather_rows {0} end},
  {"gather_rows: index: expected", function() return M23:gather_rows {nan} end},
  {"gather_rows: index: expected", function() return M23:gather_rows {1.5} end},
  {"one_hot: labels: expected whole numbers 0%.%.2, got 3 at position 1", function() return lt.one_hot({3}, 3) end},
  {"one_hot: labels: expected whole numbers 0%.%.2, got %-1", function() return lt.one_hot({-1}, 3) end},
  {"one_hot: classes: expected at least 1, got 0", function() return lt.one_hot({0}, 0) end},
  {"flip: axis is missing", function() return M23:flip() end},
  {"transpose: b: expected 1%.%.2", function() return M23:transpose(1, 3) end},
  {"squeeze: axis: expected 1%.%.2", function() return M23:squeeze(5) end},
  {"broadcast_to: %[2, 3%] does not fit into %[5, 5%]", function() return M23:broadcast_to(5, 5) end},
  {"broadcast_to: %[2, 3%] does not fit into %[1, 3%]", function() return M23:broadcast_to(1, 3) end},
  {"matmul: expected %[%.%.%., m, k%].*got %[2, 3%] and %[2, 3%]", function() return M23:matmul(M23) end},
  {"matmul: expected .*got %[3%] and %[2%]", function() return lt.matmul({1, 2, 3}, {1, 2}) end},
  {"linear: expected %[%*, 4%], got %[2, 3%]", function() return lt.linear(M23, lt.ones(4, 5)) end},
  {"linear: weight: expected %[in, out%], got %[4%]", function() return lt.linear(M23, lt.ones(4)) end},
  {"linear: bias: expected %[5%], got %[4%]", function() return lt.linear(M23, lt.ones(3, 5), lt.ones(4)) end},
  {"conv2d: x: expected %[batch, height, width, channels%], got %[2, 3%]", function() return lt.conv2d(M23, K) end},
  {"conv2d: weight: expected %[%*, %*, 2, %*%] for an input of 2 channels, got %[3, 3, 5, 2%]",
    function() return lt.conv2d(IMAGE, lt.ones(3, 3, 5, 2)) end},
  {"conv2d: bias: expected %[5%], got %[2%]", function() return lt.conv2d(IMAGE, K, lt.ones(2)) end},
  {"conv2d: stride: expected 1 to", function() return lt.conv2d(IMAGE, K, nil, {stride = 0}) end},
  {"conv2d: padding: expected 0 to", function() return lt.conv2d(IMAGE, K, nil, {padding = -1}) end},
  {"conv2d: dilation: expected 1 to", function() return lt.conv2d(IMAGE, K, nil, {dilation = {1, 0}}) end},
  {"conv2d: weight: a kernel of height 5 .* does not fit an input of height 4",
    function() return lt.conv2d(IMAGE, lt.ones(5, 1, 2, 1)) end},
  {"conv2d: unknown option \"paddin\" %(did you mean \"padding\"%?%)",
    function() return lt.conv2d(IMAGE, K, nil, {paddin = 1}) end},
  {"conv2d: stride: expected a whole number or {height, width}, got a table of 3",
    function() return lt.conv2d(IMAGE, K, nil, {stride = {1, 1, 1}}) end},
  {"conv_transpose2d: output_padding: expected less than the stride or the dilation",
    function() return lt.conv_transpose2d(IMAGE, K, nil, {output_padding = 1}) end},
  {"conv_transpose2d: weight: expected %[%*, %*, 2, %*%]",
    function() return lt.conv_transpose2d(IMAGE, lt.ones(3, 3, 5, 2)) end},
  {"conv_transpose2d: padding: .* leaves an output of height", function()
    return lt.conv_transpose2d(IMAGE, K, nil, {padding = 3})
  end},
  {"max_pool2d: kernel is missing", function() return lt.max_pool2d(IMAGE) end},
  {"max_pool2d: kernel: {5, 5} does not fit an input of 4 x 4", function() return lt.max_pool2d(IMAGE, 5) end},
  {"max_pool2d: padding: expected at most half the kernel",
    function() return lt.max_pool2d(IMAGE, 2, {padding = 2}) end},
  {"avg_pool2d: stride: expected 1 to", function() return lt.avg_pool2d(IMAGE, 2, {stride = 0}) end},
  {"avg_pool2d: x: expected %[batch, height, width, channels%], got %[2, 3%]",
    function() return lt.avg_pool2d(M23, 2) end},
  {"upsample_nearest: scale: expected 1 to", function() return lt.upsample_nearest(IMAGE, 0) end},
  {"upsample_nearest: scale: expected a whole number, got 1.5", function() return lt.upsample_nearest(IMAGE, 1.5) end},
  {"batch_norm_train: weight: expected %[2%], got %[3%]", function()
    return lt.batch_norm_train(IMAGE, lt.ones(3), lt.ones(2))
  end},
  {"layer_norm: bias: expected %[3%], got %[2%]", function() return lt.layer_norm(M23, lt.ones(3), lt.ones(2)) end},
  {"layer_norm: eps: expected a finite number >= 0, got %-1", function()
    return lt.layer_norm(M23, lt.ones(3), lt.ones(3), {eps = -1})
  end},
  {"group_norm: groups: expected a divisor of the 3 channels, got 2", function()
    return lt.group_norm(M23, nil, nil, 2)
  end},
  {"group_norm: weight: expected %[3%], got %[2%]", function() return lt.group_norm(M23, lt.ones(2), nil, 3) end},
  {"group_norm: x: expected %[batch, %.%.%., channels%], got %[3%]", function()
    return lt.group_norm(lt.ones(3), nil, nil, 1)
  end},
  {"group_norm: eps: expected a finite number >= 0, got %-1", function()
    return lt.group_norm(M23, nil, nil, {groups = 1, eps = -1})
  end},
  {"mse_loss: target: expected shape %[2, 3%], got %[3%]", function() return lt.mse_loss(M23, lt.ones(3)) end},
  {"mse_loss: reduction: expected one of mean sum none, got \"avg\"",
    function() return lt.mse_loss(M23, M23, "avg") end},
  {"cross_entropy: labels: expected whole numbers 0%.%.2, got 3 at position 2",
    function() return lt.cross_entropy(M23, {0, 3}) end},
  {"cross_entropy: labels: expected %[2%], got %[3%]", function() return lt.cross_entropy(M23, {0, 1, 2}) end},
  {"cross_entropy: x: expected logits %[batch, classes%]", function() return lt.cross_entropy({1, 2}, {0}) end},
  {"bce_with_logits: target: expected shape", function() return lt.bce_with_logits(M23, {1}) end},
  {"gaussian_kl: log_var: expected shape %[2, 3%], got %[3%]", function() return lt.gaussian_kl(M23, lt.ones(3)) end},
  {"gaussian_kl: mu: expected", function() return lt.gaussian_kl(1, 1) end},
  {"gaussian_nll: target: expected shape", function() return lt.gaussian_nll(M23, M23, {1, 2}) end},
  {"dropout: p: expected a number in %[0, 1%], got %-1", function() return M23:dropout(-1) end},
  {"bernoulli: p: expected probabilities in %[0, 1%], got 2 at position 1", function() return lt.bernoulli {2} end},
  {"var: unknown option \"unbias\"", function() return M23:var(1, {unbias = false}) end},
  {"relu: too many arguments", function() return M23:relu(1) end},
  {"add: too many arguments", function() return M23:add(M23, M23) end},
  {"leaky_relu: slope is given twice", function() return M23:leaky_relu(0.1, {slope = 0.2}) end},
}

describe("bad arguments", function()
  for _, case in ipairs(bad) do
    it("are met with " .. (case[3] or case[1]), function()
      local ok, message = pcall(case[2])
      assert(not ok, "nothing was raised")
      assert.matches(case[3] or case[1], message)
      assert.matches("^spec/ops_spec%.lua:%d+: ", (message:gsub("^%./", "")))
    end)
  end

  it("are refused by every op without any", function()
    for _, op in ipairs(lt.ops()) do
      local ok, message = pcall(function() return lt[op.name]() end)
      assert(not ok, op.name)
      assert.matches("spec/ops_spec.lua:%d+: " .. op.name .. ": .*expected", message)
    end
  end)

  it("are refused by every op that gets a closed tensor", function()
    local closed = lt.ones(1, 2, 2, 1)
    closed:close()
    for _, op in ipairs(lt.ops()) do
      local ok, message = pcall(function()
        return lt[op.name](op.inputs[1]:find "%*" and {closed} or closed)
      end)
      assert(not ok, op.name)
      assert.matches("closed tensor", message)
    end
  end)
end)
