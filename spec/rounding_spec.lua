-- Values where a formula written down as it stands would lose digits, overflow on the way, or hide NaN and
-- infinity: against exact numbers and the double precision twin.
local close = require "spec.support.close"
require "spec.support.misuse"
local lt = require "latent"
local lt64 = require "spec.support.lt64"

local inf, nan = math.huge, 0 / 0
local LOG2 = math.log(2)

local function is_nan(y) return y ~= y end

-- Equal to so many digits of float32, 0 and infinities exactly; NaN to NaN.
local function near(got, want, tolerance, text)
  local ok = got == want or is_nan(got) and is_nan(want)
    or math.abs(got - want) <= (tolerance or 1e-6) * math.abs(want)
  assert(ok, ("%s: got %.9g, wanted %.9g"):format(text or "value", got, want))
end

-- Of the sum of f's elements, in a library, at values given as nested tables.
local function gradients(library, f, ...)
  local inputs, out = {}, {}
  for i, x in ipairs{...} do inputs[i] = library.param(library.tensor(x)) end
  f(library, table.unpack(inputs)):sum():backward()
  for i, x in ipairs(inputs) do out[i] = x.grad:reshape(-1):table() end
  return table.unpack(out)
end

describe("log_softmax", function()
  it("keeps its digits at any height", function()
    for _, v in ipairs{1, 1e4, 1e6, 1e8, 3e38, -3e38} do
      for _, shape in ipairs{{2}, {2, 1}, {1, 2}} do
        local x = lt.full(shape, v)
        for _, y in ipairs(x:log_softmax(shape[1] == 2 and 1 or 2):reshape(-1):table()) do near(y, -LOG2) end
      end
    end
    local x = lt.tensor{1e6, 1e6 + 1, 1e6 - 3}
    assert.close(x:log_softmax(1), lt64.tensor(x:table()):log_softmax(1):table(), 1e-6)
    assert.close(lt.log_softmax({3e38, -3e38}, 1), {0, -inf})
  end)

  it("says NaN where there is no answer", function()
    for _, row in ipairs{{inf, 1}, {inf, inf}, {-inf, -inf}, {1, nan}, {inf, nan}, {nan, -inf}} do
      for _, op in ipairs{"log_softmax", "softmax"} do
        for _, y in ipairs(lt[op](row, 1):table()) do assert(is_nan(y), op .. " of " .. row[1] .. ", " .. row[2]) end
        local long = lt.zeros(50)
        long[20], long[45] = row[1], row[2]
        for i, y in ipairs(lt[op](long, 1):table()) do
          local finite = row[1] == -inf and row[2] == -inf
          assert(is_nan(y) ~= finite, ("%s at %d"):format(op, i))
        end
      end
    end
    assert.close(lt.log_softmax({-inf, 1}, 1), {-inf, 0})
    assert.close(lt.softmax({-inf, 1}, 1), {0, 1})
  end)
end)

describe("logsumexp", function()
  it("hides neither NaN nor infinity", function()
    for _, axis in ipairs{1, 2} do
      local function of(a, b)
        local x = lt.tensor{{a, b}}
        return (axis == 2 and x or x:transpose()):logsumexp(axis):item()
      end
      assert(is_nan(of(inf, nan)) and is_nan(of(nan, inf)) and is_nan(of(-inf, nan)))
      assert.equal(inf, of(inf, 1))
      assert.equal(inf, of(-inf, inf))
      assert.equal(-inf, of(-inf, -inf))
      near(of(-3e38, -3e38), lt.tensor(-3e38):item())
    end
    assert.equal(-inf, lt.zeros(0):logsumexp():item())
  end)

  it("spreads its gradient by softmax, whatever the height", function()
    for _, v in ipairs{0, 1e4, 1e8, -1e30} do
      local dx = gradients(lt, function(l, x) return l.logsumexp(x) end, {v, v})
      assert.same({0.5, 0.5}, dx)
    end
    local dx = gradients(lt, function(l, x) return l.logsumexp(x, 1) end, {{1e7, 5}, {1e7 + 1, 6}})
    assert.close(dx, gradients(lt64, function(l, x) return l.logsumexp(x, 1) end, {{1e7, 5}, {1e7 + 1, 6}}), 1e-6)
  end)
end)

describe("cross_entropy", function()
  it("is right for logits of any size", function()
    for _, v in ipairs{1e4, 1e8, 3e38, -3e38} do near(lt.cross_entropy({{v, v}}, {1}):item(), LOG2) end
    assert.equal(0, lt.cross_entropy({{-3e38, 3e38}}, {1}):item())
    assert.equal(inf, lt.cross_entropy({{-3e38, 3e38}}, {0}):item())
    -- one term that no float32 holds, in a mean that one does
    near(lt.cross_entropy({{-3e38, 3e38}, {0, 0}, {0, 0}, {0, 0}}, {0, 0, 0, 0}):item(),
      (2 * lt.tensor(3e38):item() + 3 * LOG2) / 4)
    for _, row in ipairs{{inf, 1}, {nan, 1}, {-inf, -inf}} do assert(is_nan(lt.cross_entropy({row}, {1}):item())) end
    assert.equal(inf, lt.cross_entropy({{-inf, 1}}, {0}):item())
  end)

  it("adds up many classes", function()
    local x = lt.zeros(1, 100000)
    near(lt.cross_entropy(x, {7}):item(), math.log(100000), 1e-6)
  end)
end)

describe("bce_with_logits", function()
  it("costs nothing where an infinite logit is right", function()
    local cases = {{inf, 0, inf}, {inf, 1, 0}, {-inf, 1, inf}, {-inf, 0, 0}, {inf, 0.5, inf}, {-inf, 0.5, inf},
      {nan, 0, nan}, {nan, 1, nan}, {0, 0.3, LOG2}, {3e38, 0, lt.tensor(3e38):item()}, {-3e38, 0, 0}}
    for _, case in ipairs(cases) do
      for _, n in ipairs{1, 37} do
        local x, t = lt.full({n}, case[1]), lt.full({n}, case[2])
        near(lt.bce_with_logits(x, t):item(), case[3], 1e-6, ("of %g, %g"):format(case[1], case[2]))
        near(lt.bce_with_logits(x, t, "none")[n], case[3])
      end
    end
  end)

  it("keeps the digits of what is nearly right", function()
    for _, x in ipairs{-30, -12, 12, 30, 80} do
      local t = x > 0 and 1 or 0
      local function loss(l, logit) return l.bce_with_logits(logit, l.tensor{t}) end
      near(loss(lt, {x}):item(), loss(lt64, {x}):item(), 1e-6)
      near(gradients(lt, loss, {x})[1], gradients(lt64, loss, {x})[1], 1e-6)
    end
    assert.same({1, 0, -1, 0}, (gradients(lt, function(l, x)
      return l.bce_with_logits(x, l.tensor{0, 1, 1, 0}, "sum")
    end, {inf, inf, -inf, -inf})))
  end)

  it("refuses targets that are no probabilities, wherever they stand", function()
    local expected = "bce_with_logits: target: expected probabilities in %[0, 1%], got "
    assert.misuse(function() lt.bce_with_logits({50}, {255}) end, expected .. "255 at position 1$")
    for _, reduction in ipairs{"mean", "sum", "none"} do
      for _, odd in ipairs{-1, 1.01, -1e-5, inf, -inf, nan} do
        for _, at in ipairs{1, 4096, 9000, 10007} do
          local t = lt.rand(10007)
          t[at] = odd
          local pattern = (expected .. "%-?[%w.%-]+ at position " .. at .. "$")
          assert.misuse(function() lt.bce_with_logits(lt.zeros(10007), t, reduction) end, pattern)
        end
      end
    end
    lt.bce_with_logits(lt.zeros(4), {0, 1, 1 + 2e-7, -2e-7}) -- as rounding leaves them
  end)
end)

describe("gaussian_nll", function()
  local function loss(l, mu, v, t) return l.gaussian_nll(mu, v, t, {reduction = "none"}) end

  it("is half the log-variance where the error is 0, however small the variance", function()
    for _, v in ipairs{-88, -89, -100, -177, -200, -1e4, -inf} do
      assert.equal(v / 2, lt.gaussian_nll({3}, {v}, {3}):item())
      local dmu, dv, dt = gradients(lt, loss, {3}, {v}, {3})
      assert.same({0, 0.5, 0}, {dmu[1], dv[1], dt[1]})
    end
  end)

  it("agrees with double precision for tiny errors and variances", function()
    local mu, v, t = {0, 1e-20, 1e-15, 2, -1, 0}, {-90, -90, -60, 60, 0.5, -170}, {1e-19, 0, 1e-12, 3, 1, 1e-36}
    assert.close(loss(lt, mu, v, t), loss(lt64, mu, v, t):table(), 1e-6)
    local got, want = {gradients(lt, loss, mu, v, t)}, {gradients(lt64, loss, mu, v, t)}
    for k = 1, 3 do
      for i, g in ipairs(got[k]) do near(g, want[k][i], 2e-5, "gradient " .. k .. "." .. i) end
    end
  end)

  it("does not hide NaN and infinity", function()
    for _, case in ipairs{{nan, 0, 0}, {0, nan, 0}, {0, 0, nan}, {nan, -100, nan}} do
      assert(is_nan(lt.gaussian_nll({case[1]}, {case[2]}, {case[3]}):item()))
    end
    assert.equal(inf, lt.gaussian_nll({0}, {-400}, {1}):item())
    assert.equal(inf, lt.gaussian_nll({0}, {inf}, {0}):item())
  end)
end)

describe("gaussian_kl", function()
  it("keeps its digits near the prior", function()
    for _, v in ipairs{1e-6, -1e-4, 3e-3, -0.1, 0.49, 0.51, -3, 30} do
      local exact = v < 0.01 and v > -0.01 and v * v / 4 + v ^ 3 / 12 + v ^ 4 / 48 or (math.exp(v) - 1 - v) / 2
      near(lt.gaussian_kl({{0}}, {{v}}):item(), exact, 1e-6)
      local _, dv = gradients(lt, function(l, mu, w) return l.gaussian_kl(mu, w) end, {{0}}, {{v}})
      local slope = math.abs(v) < 0.01 and v + v * v / 2 + v ^ 3 / 6 or math.exp(v) - 1
      near(dv[1], slope / 2, 1e-6)
    end
  end)

  it("is right far out", function()
    near(lt.gaussian_kl({{2.4e19}}, {{0}}):item(), lt.tensor(2.4e19):item() ^ 2 / 2)
    near(lt.gaussian_kl({{0}}, {{-1e6}}):item(), (1e6 - 1) / 2)
    assert.equal(inf, lt.gaussian_kl({{0}}, {{-inf}}):item())
    assert.equal(inf, lt.gaussian_kl({{0}}, {{inf}}):item())
    assert(is_nan(lt.gaussian_kl({{nan}}, {{0}}):item()) and is_nan(lt.gaussian_kl({{0}}, {{nan}}):item()))
  end)
end)

describe("losses", function()
  it("of nothing are NaN, as the mean is, and 0 as sums", function()
    local E = lt.zeros(0, 3)
    local losses = {
      mse_loss = {E, E}, bce_with_logits = {E, E}, gaussian_kl = {E, E}, gaussian_nll = {E, E, E},
      cross_entropy = {E, lt.zeros(0)},
    }
    for name, args in pairs(losses) do
      assert(is_nan(lt[name](table.unpack(args)):item()), name)
      args[#args + 1] = {reduction = "sum"}
      assert.equal(0, lt[name](table.unpack(args)):item(), name)
    end
    assert.same({0, 0}, lt.gaussian_kl(lt.zeros(2, 0), lt.zeros(2, 0), "none"):table())
    assert.equal(0, lt.gaussian_kl(lt.zeros(2, 0), lt.zeros(2, 0)):item())
    local p = lt.param(E)
    lt.mse_loss(p, E):backward()
    assert.same({0, 3}, p.grad.shape)
  end)

  it("average what no float32 holds", function()
    local x = lt.zeros(100)
    x[7] = 3e19
    near(lt.mse_loss(x, lt.zeros(100)):item(), lt.tensor(3e19):item() ^ 2 / 100)
  end)
end)

describe("sums and means", function()
  -- Of so many elements along the first, the middle and the last axis, and of all.
  local function each_way(n, fill, check)
    for axis = 1, 3 do
      local shape = {3, 3, 3}
      shape[axis] = n
      local x = lt.zeros(shape)
      fill(x)
      check(x, axis)
      check(x:reshape(-1))
    end
  end

  it("of equal numbers are exact", function()
    for _, n in ipairs{1, 10, 127, 1000, 5003} do
      for _, v in ipairs{10000.1, 0.1, -3e38} do
        each_way(n, function(x) x:fill_(v) end, function(x, axis)
          for _, m in ipairs(x:mean(axis):reshape(-1):table()) do assert.equal(lt.tensor(v):item(), m) end
          if math.abs(v) < 1e30 then
            for _, s in ipairs(x:sum(axis):reshape(-1):table()) do
              assert.equal(lt.tensor(lt.tensor(v):item() * (axis and n or x:numel())):item(), s)
            end
          end
        end)
      end
    end
  end)

  it("do not overflow on the way", function()
    for _, n in ipairs{4, 64, 1024, 5000} do
      local x = lt.full({n}, 3e38)
      x:slice(1, n // 2 + 1, n):fill_(-3e38)
      assert.equal(0, x:sum():item())
      assert.equal(0, x:mean():item())
      assert.equal(0, x:reshape(n, 1):broadcast_to(n, 2):sum(1)[1])
      x[1] = inf
      assert.equal(inf, x:sum():item())
      x[n] = nan
      assert(is_nan(x:mean():item()))
    end
  end)

  it("are the nearest float32", function()
    lt.manual_seed(3)
    local x = lt.rand(3000) * 0.2 + 1e4
    local exact = lt64.tensor(x:table())
    for _, y in ipairs{x:mean():item(), x:reshape(3000, 1):mean(1)[1]} do near(y, exact:mean():item(), 6e-8) end
  end)
end)

describe("var, std and norm", function()
  it("keep their digits far from zero", function()
    lt.manual_seed(4)
    for _, case in ipairs{{1e4, 0.1}, {1e4, 1e-2}, {-1e6, 1}, {1e8, 100}, {0, 1}, {3e20, 1e15}, {0, 1e-25}} do
      local x = lt.randn(7, 300) * case[2] + case[1]
      local exact = lt64.tensor(x:table())
      for _, axis in ipairs{1, 2, {1, 2}} do
        for _, unbiased in ipairs{true, false} do
          for _, op in ipairs{"var", "std"} do
            local got = x[op](x, axis, {unbiased = unbiased}):reshape(-1):table()
            for i, v in ipairs(exact[op](exact, axis, {unbiased = unbiased}):reshape(-1):table()) do
              if v < 3.4e38 and v > 1.2e-38 then near(got[i], v, 2e-7, op .. " about " .. case[1])
              else assert(got[i] == inf and v > 3.4e38 or got[i] < 2e-38) end
            end
          end
        end
      end
      local values = x:table()
      local function std(_, t) return t:std(2) end
      assert.close(gradients(lt, std, values), gradients(lt64, std, values), 2e-5)
    end
  end)

  it("have lengths that squares do not", function()
    near(lt.norm{3e30, 4e30}:item(), 5e30)
    near(lt.norm{3e-30, 4e-30}:item(), 5e-30)
    near(lt.std({1e25, -1e25}, 1, {unbiased = false}):item(), 1e25)
    for _, scale in ipairs{1e30, 1e-30} do
      assert.close(gradients(lt, function(_, x) return x:norm() end, {3 * scale, 4 * scale}), {0.6, 0.8}, 1e-6)
      assert.close(gradients(lt, function(_, x) return x:std() end, {scale, -scale}), {0.70710678, -0.70710678}, 1e-6)
    end
    assert.equal(inf, lt.norm{inf, 1}:item())
    assert(is_nan(lt.norm{nan, 1}:item()) and is_nan(lt.var{inf, 1}:item()) and is_nan(lt.std{nan, 1}:item()))
  end)

  it("are 0 for equal numbers, and NaN for too few", function()
    for _, v in ipairs{10000.1, 3e38, 0.1} do
      assert.equal(0, lt.full({1000}, v):var():item())
      assert.equal(0, lt.full({33, 2}, v):std(1)[1])
    end
    assert(is_nan(lt.zeros(0):var():item()) and is_nan(lt.zeros(0):std():item()))
    assert(is_nan(lt.zeros(0):var(1, {unbiased = false}):item()))
    assert(is_nan(lt.zeros(1):var():item()))
    assert.equal(0, lt.zeros(1):var(1, {unbiased = false}):item())
    assert.equal(0, lt.zeros(0):norm():item())
    assert(is_nan(lt.zeros(0, 3):var(1)[2]))
  end)
end)

describe("layer_norm, batch_norm and group_norm", function()
  -- Rows normalised in exact arithmetic (Lua's doubles, two passes): y and dx for dy = cos(i), weight 1, bias 0.
  local function exact(row, eps)
    local n, mean, variance = #row, 0, 0
    for _, v in ipairs(row) do mean = mean + v / n end
    for _, v in ipairs(row) do variance = variance + (v - mean) ^ 2 / n end
    local r, y, dy, dx, total, product = 1 / math.sqrt(variance + eps), {}, {}, {}, 0, 0
    for i, v in ipairs(row) do
      y[i], dy[i] = (v - mean) * r, math.cos(i)
      total, product = total + dy[i] / n, product + dy[i] * y[i] / n
    end
    for i in ipairs(row) do dx[i] = r * (dy[i] - total - y[i] * product) end
    return y, dx, dy
  end

  -- The same by the ops; of batch_norm_train the row is a channel beside another, of group_norm a group of channels and
  -- a channel.
  local function by_ops(row, eps, dy)
    local n = #row
    local x, y = lt.param(lt.tensor(row)), lt.param(lt.tensor(row))
    local u, v = lt.param(lt.tensor(row)), lt.param(lt.tensor(row))
    local c = lt.group_norm(lt.cat({u, u:flip(1)}):reshape(1, 2 * n), nil, nil, 2, eps)
    c:backward(lt.cat({lt.tensor(dy), lt.zeros(n)}):reshape(1, 2 * n))
    local d = lt.group_norm(lt.stack({v, v:flip(1)}, 2):reshape(1, n, 2), nil, nil, 2, eps)
    d:backward(lt.stack({lt.tensor(dy), lt.zeros(n)}, 2):reshape(1, n, 2))
    local a = lt.layer_norm(x:reshape(1, n), lt.ones(n), lt.zeros(n), eps)
    local b = lt.batch_norm_train(lt.stack({y, y:flip(1)}, 2), lt.ones(2), lt.zeros(2), eps)
    a:backward(lt.tensor{dy})
    b:backward(lt.stack({lt.tensor(dy), lt.zeros(n)}, 2))
    return {a:reshape(n):detach(), x.grad}, {b:slice(2, 1, 1):reshape(n):detach(), y.grad},
      {c:slice(2, 1, n):reshape(n):detach(), u.grad}, {d:slice(3, 1, 1):reshape(n):detach(), v.grad}
  end

  it("make nothing of equal numbers", function()
    for _, n in ipairs{2, 10, 33, 784, 5000} do
      for _, v in ipairs{10000.1, -0.1, 3e38, 1e-40} do
        local _, _, dy = exact(lt.full({n}, v):table(), 1e-5)
        for _, got in ipairs{by_ops(lt.full({n}, v), 1e-5, dy)} do
          assert.equal(0, got[1]:abs():max():item())
          for _, g in ipairs(got[2]:table()) do assert(g - g == 0) end
        end
      end
    end
  end)

  it("keep a small spread about a large mean", function()
    lt.manual_seed(5)
    for _, n in ipairs{3, 10, 40, 784} do
      for _, case in ipairs{{1e4, 0.1}, {1e4, 4e-3}, {-1e6, 0.5}, {1e8, 1e3}, {0, 1}, {1e-3, 1e-6}, {0, 1e-12}} do
        local x = lt.randn(n) * case[2] + case[1]
        local y, dx, dy = exact(x:table(), 1e-5)
        for k, got in ipairs{by_ops(x, 1e-5, dy)} do
          local text = ("op %d, %d numbers about %g by %g: %%s"):format(k, n, case[1], case[2])
          assert(close.difference(got[1], y) < 1e-6, text:format "y")
          assert(close.difference(got[2], dx) < 1e-5, text:format "dx")
        end
      end
    end
  end)

  it("do so wherever the odd one stands", function()
    for _, at in ipairs{1, 2, 50, 64} do
      for _, odd in ipairs{1e6, -1e4, 1e20, 3e38} do
        local x = lt.randn(64)
        x[at] = odd
        local y, _, dy = exact(x:table(), 1e-5)
        for _, got in ipairs{by_ops(x, 1e-5, dy)} do assert.close(got[1], y, 1e-6) end
      end
    end
  end)

  -- Of a large batch some rows tell about where the mean lies: here none of them does.
  it("do so where the rows that are looked at first are far from all others", function()
    lt.manual_seed(6)
    local n = 65536
    local x = lt.randn(n, 2)
    for k = 0, 31 do
      x[k * math.floor(0.618 * n) % n + 1] = 1e4
    end
    local _, mean, variance = lt.batch_norm_train(x)
    for channel, column in ipairs{x:slice(2, 1, 1), x:slice(2, 2, 2)} do
      local want, square = 0, 0
      for _, v in ipairs(column:reshape(n):table()) do want = want + v / n end
      for _, v in ipairs(column:reshape(n):table()) do square = square + (v - want) ^ 2 / n end
      assert(math.abs(mean[channel] / want - 1) < 1e-6)
      assert(math.abs(variance[channel] / square - 1) < 1e-6)
    end
  end)

  it("know numbers whose squares overflow", function()
    local row = lt.tensor{1e25, -1e25, 2e25, 0}
    local y, _, dy = exact(row:table(), 1e-5)
    for _, got in ipairs{by_ops(row, 1e-5, dy)} do assert.close(got[1], y, 1e-6) end
  end)

  it("say NaN where a number is", function()
    for _, odd in ipairs{nan, inf} do
      local row = lt.ones(40)
      row[21] = odd
      for _, got in ipairs{by_ops(row, 1e-5, row:table())} do assert(is_nan(got[1][1]) and is_nan(got[1][40])) end
    end
  end)
end)

describe("activations", function()
  it("have their limits at infinity, and so have their gradients", function()
    for name, want in pairs{gelu = {0, inf, 0, 1}, silu = {0, inf, 0, 1}, softplus = {0, inf, 0, 1},
      elu = {-1, inf, 0, 1}, relu = {0, inf, 0, 1}, tanh = {-1, 1, 0, 0}, sigmoid = {0, 1, 0, 0}} do
      for _, n in ipairs{1, 37} do
        for i, x in ipairs{-inf, inf} do
          local p = lt.param(lt.full({n}, x))
          local y = lt[name](p)
          y:sum():backward()
          assert(y:detach()[n] == want[i] and p.grad[n] == want[i + 2], ("%s at %g"):format(name, x))
        end
      end
    end
    for _, x in ipairs{-3e38, -1e4, 1e4, 3e38} do
      for _, name in ipairs{"gelu", "silu"} do
        assert.equal(x > 0 and lt.tensor(x):item() or 0, lt[name]{x}:item())
      end
    end
  end)
end)

-- PyTorch's conventions, which a program that comes from there may rely on.
describe("the gradient at NaN", function()
  local function at_nan(f) return gradients(lt, function(_, x) return f(x) end, {nan, 1})[1] end

  it("is as in PyTorch", function()
    assert.equal(1, at_nan(lt.relu))
    assert.equal(0.25, at_nan(function(x) return x:leaky_relu(0.25) end))
    assert.equal(0, at_nan(lt.abs))
    assert.equal(0, at_nan(function(x) return x:clamp(-1, 1) end))
    assert.equal(0, at_nan(function(x) return x:clamp{max = 1} end))
    assert.equal(1, at_nan(lt.max)) -- NaN is the extreme
    assert.equal(1, at_nan(lt.min))
    for _, op in ipairs{"maximum", "minimum"} do
      local da, db = gradients(lt, function(l, a, b) return l[op](a, b) end, {nan, 1, 2}, {3, nan, 2})
      assert.same({{1, 1, 0.5}, {1, 1, 0.5}}, {da, db})
    end
    for _, op in ipairs{"elu", "gelu", "silu", "softplus", "tanh", "sigmoid", "exp", "log", "sqrt", "square"} do
      assert(is_nan(at_nan(lt[op])), op)
    end
  end)
end)
