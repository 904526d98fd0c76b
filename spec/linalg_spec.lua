-- Linear algebra: values by PyTorch, gradients against central differences, and what is no matrix to work with.
require "spec.support.close"
require "spec.support.misuse"
local gradcheck = require "spec.support.gradcheck"
local linalg = require "latent.linalg"
local linalg64 = require "spec.support.in_double"(require "latent.linalg")
local lt = require "latent"
local lt64 = require "spec.support.lt64"
local rulecheck = require "spec.support.rulecheck"
local values = require "spec.support.values"

local A = lt.tensor{{{4, 1, 2}, {1, 3, 0}, {2, 0, 5}}, {{2, -1, 0}, {1, 1, 3}, {0, 4, -2}}}
local B, S = lt.tensor{{1, 2}, {3, 4}, {5, 6}}, A[1]
local R = lt.tensor{{1, 2}, {3, 4}, {5, 7}}

describe("linear algebra", function()
  local by_torch = {
    {linalg.solve(A, B), {{{-0.697674419, -0.604651163}, {1.23255814, 1.53488372}, {1.27906977, 1.44186047}},
      {{1.16666667, 1.8}, {1.33333333, 1.6}, {0.166666667, 0.2}}}},
    {linalg.inv(A), {{{0.348837209, -0.11627907, -0.139534884}, {-0.11627907, 0.372093023, 0.0465116279},
      {-0.139534884, 0.0465116279, 0.255813953}}, {{0.466666667, 0.0666666667, 0.1}, {-0.0666666667, 0.133333333, 0.2},
      {-0.133333333, 0.266666667, -0.1}}}},
    {linalg.det(A), {43, -30}},
    {linalg.solve(S, lt.tensor{1, 2, 3}), {-0.302325581, 0.76744186, 0.720930233}},
    {(linalg.slogdet(A)), {1, -1}},
    {select(2, linalg.slogdet(A)), {3.76120012, 3.40119738}},
    {linalg.cholesky(S), {{2, 0, 0}, {0.5, 1.6583124, 0}, {1, -0.301511345, 1.97714211}}},
    {linalg.solve_triangular(A, B, {upper = true}), {{{-0.5, -0.433333333}, {1, 1.33333333}, {1, 1.2}}, {{5.75,
      7.5}, {10.5, 13}, {-2.5, -3}}}},
    {linalg.solve_triangular(S, B, {upper = false, unitriangular = true}), {{1, 2}, {2, 2}, {3, 2}}},
    {linalg.solve_triangular(S, B:transpose(), {upper = true, left = false}), {{0.25, 0.916666667, 0.9}, {0.5,
      1.16666667, 1}}},
    {(linalg.qr(R)):abs(), {{0.169030851, 0.948683298}, {0.507092553, 0.316227766}, {0.845154255, 2.22044605e-16}}},
    {select(2, linalg.qr(R)):abs(), {{5.91607978, 8.2825117}, {0, 0.632455532}}},
    {linalg.svdvals(A), {{6.66907909, 3.4760236, 1.85489731}, {4.63209106, 3.2524705, 1.99127298}}},
    {(linalg.svd(R)):abs(), {{0.216783896, 0.938922878}, {0.490454135, 0.341463905}, {0.844073151, 0.0427344183}}},
    {select(3, linalg.svd(R)):abs(), {{0.579753093, 0.814792213}, {0.814792213, 0.579753093}}},
    {linalg.eigvalsh(S), {1.85489731, 3.4760236, 6.66907909}},
    {select(2, linalg.eigh(S)):abs(), {{0.679313062, 0.374361955, 0.631178969}, {0.593233312, 0.786435699,
      0.172026537}, {0.431981483, 0.491296264, 0.756320025}}},
    {(linalg.lstsq(R, lt.tensor{1, 2, 4})), {0.0714285714, 0.5}},
    {linalg.pinv(R), {{-2.07142857, 0.785714286, 0.142857143}, {1.5, -0.5, 3.74700271e-16}}},
    {linalg.cond(A), {3.59538992, 2.32619591}},
    {linalg.cond(S, {p = 1}), 4.23255814},
    {linalg.matrix_norm(A, {ord = "fro"}), {7.74596669, 6}},
    {linalg.matrix_norm(A, {ord = "nuc"}), {12, 9.87583454}},
    {linalg.matrix_norm(A, {ord = 1}), {7, 6}},
    {linalg.matrix_norm(A, {ord = -1}), {4, 3}},
    {linalg.matrix_norm(A, {ord = 2}), {6.66907909, 4.63209106}},
    {linalg.matrix_norm(A, {ord = -2}), {1.85489731, 1.99127298}},
    {linalg.matrix_norm(A, {ord = math.huge}), {7, 6}},
    {linalg.matrix_norm(A, {ord = -math.huge}), {4, 3}},
    {linalg.vector_norm(R, {ord = 1, axis = 1}), {9, 13}},
    {linalg.vector_norm(R, {ord = 0, axis = 1}), {3, 3}},
    {linalg.vector_norm(R, {ord = 3, axis = 1}), {5.34848124, 7.45903593}},
    {linalg.vector_norm(R, {ord = -1, axis = 1}), {0.652173913, 1.12}},
    {linalg.vector_norm(R, {ord = math.huge, axis = 1}), {5, 7}},
    {linalg.vector_norm(lt.zeros(0, 2), {ord = 1, axis = 1}), {0, 0}},
    {linalg.vector_norm(R, {ord = -math.huge, axis = 1}), {1, 2}},
    {linalg.vector_norm(A, {axis = {1, 3}, keepdim = true}), {{{5.09901951}, {4.58257569}, {7}}}},
  }
  it("has PyTorch's values", function()
    for i, pair in ipairs(by_torch) do
      assert.same(lt.tensor(pair[2]).shape, pair[1].shape, "case " .. i)
      assert.close(pair[1], pair[2], 1e-5)
    end
  end)

  local function t(x) return x:transpose(-2, -1) end

  it("factors wide, tall and whole", function()
    lt.manual_seed(4)
    for _, shape in ipairs{{5, 3}, {3, 5}, {4, 4}, {2, 6, 3}, {2, 2, 1, 7}} do
      local a = lt.randn(shape)
      local m, n = a:size(-2), a:size(-1)
      for _, mode in ipairs{"reduced", "complete"} do
        local Q, r = linalg.qr(a, {mode = mode})
        assert.close(Q:matmul(r), a)
        assert.close(t(Q):matmul(Q) - lt.eye(Q:size(-1)) + 1, lt.ones(t(Q):matmul(Q).shape))
        assert.equal(0, r:tril(-1):abs():max():item())
      end
      local U, s, Vh = linalg.svd(a)
      assert.close((U * s:unsqueeze(-2)):matmul(Vh), a)
      U, s, Vh = linalg.svd(a, {full_matrices = true})
      assert.same({m, m, n, n, math.min(m, n)}, {U:size(-2), U:size(-1), Vh:size(-2), Vh:size(-1), s:size(-1)})
      assert.close(a:matmul(linalg.pinv(a)):matmul(a), a)
      assert.equal(math.min(m, n), linalg.matrix_rank(a):max():item())
    end
  end)

  it("solves least squares of any rank", function()
    local low = lt.randn(6, 2):matmul(lt.randn(2, 4))
    local x, residual, rank, s = linalg.lstsq(low, lt.randn(6, 3))
    assert.same({{4, 3}, {3}, {}, {4}}, {x.shape, residual.shape, rank.shape, s.shape})
    assert.equal(2, rank:item())
    assert.equal(2, linalg.matrix_rank(low):item())
    assert.equal(1, linalg.matrix_rank(lt.tensor{{1, 0}, {0, 1e-3}}, {rtol = 0.01}):item())
  end)

  it("counts singular values by tolerances of each matrix", function()
    local wide = lt.tensor{{{1, 2}, {3, 4}, {5, 7}}, {{1, 2}, {2, 4}, {3, 6.001}}}:double()
    -- Singular values 10.19 and 0.367, 8.37 and 0.000267; values by PyTorch.
    local small = {{0.012332043249733839, 0.027900142626571006, 0.048016235564723425},
      {0.017331607084285938, 0.03921120772988715, 0.06748261513697369}}
    local low = {{0.014282041543127717, 0.028564083086255437, 0.042851837154334854},
      {0.028567143447615368, 0.05713428689523075, 0.08571285661683156}}
    assert.close(linalg.pinv(wide, {atol = lt.tensor{1, 1e-3}}), {small, low}, 1e-12)
    assert.close(linalg.pinv(wide, {rtol = lt.tensor{0.1, 1e-2}}), {small, low}, 1e-12)
    assert.close(linalg.pinv(wide, {atol = 1}), {small, low}, 1e-12)
    local function ranks(opts) return linalg.matrix_rank(wide, opts):table() end
    assert.same({2, 2}, ranks{})
    assert.same({2, 1}, ranks{atol = 1e-3})
    assert.same({1, 1}, ranks{atol = lt.tensor{1, 1e-3}})
    assert.same({1, 2}, ranks{rtol = lt.tensor{0.1, 1e-6}})
    assert.same({0, 1}, ranks{atol = lt.tensor{11, 1}, rtol = 0.2})
    assert.same({2, 2}, ranks{atol = lt.tensor{1e-9, 0}})
    local eigen = lt.tensor{4, 1, 1e-2, 1e-5}
    local diagonal = lt.diag(eigen)
    assert.equal(2, linalg.matrix_rank(diagonal, {atol = 0.5}):item())
    assert.equal(1, linalg.matrix_rank(diagonal, {atol = 0.5, rtol = 0.3}):item())
    assert.close(linalg.pinv(diagonal, {atol = 1e-3, rtol = 0}):diag(), {0.25, 1, 100, 0}, 1e-6)
    assert.same({0, 0}, linalg.matrix_rank(lt.zeros(2, 3, 0), {atol = lt.ones(2)}):table())
  end)

  it("takes symmetric matrices by their eigenvalues, of which the signs do not count", function()
    local a = lt.tensor({{2, 9}, {1, -3}}, {dtype = "float64"}) -- its lower half alone is read
    assert.close(linalg.pinv(a, {hermitian = true}), {{3 / 7, 1 / 7}, {1 / 7, -2 / 7}}, 1e-14)
    assert.close(linalg.pinv(a, {hermitian = true, atol = 2.5}), {{-0.011201482072134405, 0.05816461870163915},
      {0.05816461870163915, -0.3020245755803302}}, 1e-14)
    assert.equal(1, linalg.matrix_rank(a, {hermitian = true, atol = 2.5}):item())
    assert.equal(2, linalg.matrix_rank(a, {hermitian = true}):item())
  end)

  it("takes batches that broadcast, vectors, and no matrix at all", function()
    local a = lt.randn(3, 1, 4, 4) + lt.eye(4) * 4
    local b = lt.randn(2, 4, 2)
    local x = linalg.solve(a, b)
    assert.same({3, 2, 4, 2}, x.shape)
    assert.close(a:broadcast_to(3, 2, 4, 4):matmul(x), b:broadcast_to(3, 2, 4, 2), 1e-4)
    assert.same({3, 1, 4}, linalg.solve(a, lt.ones(3, 1, 4)).shape)
    assert.same({0, 2}, linalg.svdvals(lt.zeros(0, 2, 3)).shape)
    assert.same({0, 3, 3}, linalg.inv(lt.zeros(0, 3, 3)).shape)
    assert.same({2, 3, 0}, linalg.pinv(lt.zeros(2, 0, 3)).shape)
    assert.same({1, 1}, {linalg.det(lt.zeros(0, 0)):item(), (linalg.slogdet(lt.zeros(0, 0))):item()})
  end)

  it("has determinants of singular matrices", function()
    local a = lt.tensor{{1, 2}, {2, 4}}
    assert.equal(0, linalg.det(a):item())
    local sign, logarithm = linalg.slogdet(a)
    assert.same({0, -math.huge}, {sign:item(), logarithm:item()})
    local p = lt.param(a)
    linalg.det(p):backward()
    assert.close(p.grad, {{4, -2}, {-2, 1}})
  end)
end)

describe("gradients of linear algebra, and their own,", function()
  local function well(n) return function(x) return x + lt64.eye(n) * 5 end end
  local function symmetric(x) return (x + x:transpose(-2, -1)) / 2 end
  local function positive(x) return x:matmul(x:transpose(-2, -1)) + lt64.eye(x:size(-1)) end
  local la = linalg64
  local function same(x) return x end
  -- Of each: a function, and the shapes of its inputs.
  local cases = {
    solve = {{function(_, a, b) return la.solve(well(3)(a), b) end, {2, 3, 3}, {3, 2}},
      {function(_, a, b) return la.solve(well(3)(a), b) end, {3, 3}, {3}}},
    inv = {{function(_, a) return la.inv(well(3)(a)) end, {2, 3, 3}}},
    det = {{function(_, a) return la.det(a) end, {2, 3, 3}}, {function(_, a) return la.det(a) end, {1, 1}}},
    slogdet = {{function(_, a) return (select(2, la.slogdet(well(3)(a)))) end, {2, 3, 3}}},
    cholesky = {{function(_, a) return la.cholesky(positive(a)) end, {2, 3, 3}},
      {function(_, a) return la.cholesky(positive(a), {upper = true}) end, {3, 3}}},
    solve_triangular = {}, eigvalsh = {{function(_, a) return la.eigvalsh(symmetric(a)) end, {2, 3, 3}}},
    -- eigenvectors up to their signs
    eigh = {{function(_, a)
      local w, V = la.eigh(symmetric(a))
      return V:square() * w:unsqueeze(-2)
    end, {2, 3, 3}}},
    svdvals = {{function(_, a) return la.svdvals(a) end, {2, 3, 4}}},
    svd = {}, qr = {}, pinv = {}, lstsq = {}, matrix_norm = {},
    cond = {{function(_, a) return la.cond(a) end, {2, 3, 3}},
      {function(_, a) return la.cond(well(3)(a), {p = "fro"}) end, {3, 3}}},
    vector_norm = {{function(_, x) return la.vector_norm(x, {ord = -2.5, axis = 2}) end, {3, 4}},
      {function(_, x) return la.vector_norm(x, {axis = {1, 3}, keepdim = true}) end, {2, 3, 2}}},
  }
  for _, shape in ipairs{{2, 3, 3}, {4, 3}, {2, 3}} do
    table.insert(cases.qr, {function(_, a)
      local Q, r = la.qr(a)
      return lt64.cat{(Q * 2):reshape(-1), (r * r):reshape(-1)}
    end, shape})
    table.insert(cases.svd, {function(_, a)
      local U, s, Vh = la.svd(a)
      return lt64.cat({(U:square() * s:unsqueeze(-2)):sum(-2), (Vh:square() * s:unsqueeze(-1)):sum(-2)}, -1)
    end, shape})
    table.insert(cases.pinv, {function(_, a) return la.pinv(a) end, shape})
  end
  table.insert(cases.pinv, {function(_, a) return la.pinv(symmetric(a), {hermitian = true}) end, {2, 3, 3}})
  table.insert(cases.pinv, {function(_, a)
    return la.pinv(a, {atol = lt64.tensor{1e-6, 1e-9}, rtol = 1e-8})
  end, {2, 2, 3}})
  table.insert(cases.lstsq, {function(_, a, b) return (la.lstsq(a, b)) end, {4, 3}, {4, 2}})
  for _, ord in ipairs{"fro", "nuc", 1, -1, 2, -2, math.huge, -math.huge} do
    table.insert(cases.matrix_norm, {function(_, a) return la.matrix_norm(a, {ord = ord}) end, {2, 3, 4}})
  end
  for _, ord in ipairs{1, 3, 0.5, -1, math.huge, -math.huge} do
    table.insert(cases.vector_norm, {function(_, x) return la.vector_norm(x, {ord = ord, axis = -1}) end, {3, 4}})
  end
  for _, upper in ipairs{true, false} do
    for _, unit in ipairs{true, false} do
      for _, left in ipairs{true, false} do
        local change = unit and same or well(3)
        table.insert(cases.solve_triangular, {function(_, a, b)
          return la.solve_triangular(change(a), b, {upper = upper, unitriangular = unit, left = left})
        end, {2, 3, 3}, left and {3, 2} or {2, 3}})
      end
    end
  end

  it("are checked of every function", function()
    for name, value in pairs(linalg) do -- a rank is a count
      assert(type(value) ~= "function" or name == "matrix_rank" or cases[name] and #cases[name] > 0,
        "no case of linalg." .. name)
    end
  end)

  for name, list in pairs(cases) do
    it("of " .. name, function()
      for _, case in ipairs(list) do
        local inputs = {}
        for i = 2, #case do inputs[i - 1] = lt64.param(values.tensor(lt64, case[i], i)) end
        gradcheck.check(case[1], inputs)
        rulecheck.check(case[1], inputs)
      end
    end)
  end

  it("are those of float32 too", function()
    local a = lt.param(A:clone())
    linalg.det(a):sum():backward()
    assert.close(a.grad, linalg.det(A):reshape(2, 1, 1) * linalg.inv(A):transpose(-2, -1), 1e-5)
  end)

  it("of singular values that are equal are finite", function()
    local a = lt.param(lt.eye(3))
    linalg.svdvals(a):sum():backward()
    assert.close(a.grad, lt.eye(3))
  end)
end)

describe("wrong use of linear algebra", function()
  local bad = {
    {"linalg.solve: a: expected square matrices %[%.%.%., n, n%], got %[3, 2%]",
      function() local _ = linalg.solve(R, B) end},
    {"linalg.solve: a: expected matrices %[%.%.%., m, n%] of a floating type, got float32 %[2%]",
      function() local _ = linalg.solve(lt.ones(2), B) end},
    {"linalg.inv: a: expected matrices .* got i64 %[2, 2%]", function() local _ = linalg.inv(lt.ones(2, 2):long()) end},
    {"linalg.solve: b: expected %[%.%.%., 3, k%] or %[%.%.%., 3%], for a %[3, 3%], got %[2, 2%]",
      function() local _ = linalg.solve(S, lt.ones(2, 2)) end},
    {"linalg.solve: b: expected a tensor", function() local _ = linalg.solve(S) end},
    {"linalg.solve: a: the matrix is singular", function() local _ = linalg.solve(lt.zeros(3, 3), B) end},
    {"linalg.inv: a: matrix 2 of the batch is singular",
      function() local _ = linalg.inv(lt.stack{lt.eye(2), lt.ones(2, 2), lt.zeros(2, 2)}) end},
    {"linalg.solve: a: matrix 1, 2 of the batch is singular", function()
      local _ = linalg.solve(lt.stack{lt.eye(2), lt.ones(2, 2)}:unsqueeze(1), lt.ones(2, 1))
    end},
    {"linalg.solve_triangular: a: the matrix is singular",
      function() local _ = linalg.solve_triangular(lt.zeros(2, 2), lt.ones(2, 1), {upper = true}) end},
    {"linalg.solve_triangular: upper: expected a boolean, got nil",
      function() local _ = linalg.solve_triangular(S, B) end},
    {"linalg.cholesky: a: matrix 2 of the batch is not positive definite",
      function() local _ = linalg.cholesky(lt.stack{lt.eye(2), -lt.eye(2)}) end},
    {"linalg.cholesky: a: the matrix is not positive definite",
      function() local _ = linalg.cholesky(lt.full({2, 2}, 0 / 0)) end},
    {"linalg.svd: a: the matrix has an element that is not finite",
      function() local _ = linalg.svd(lt.full({2, 2}, 0 / 0)) end},
    {"linalg.eigh: a: the matrix has an element that is not finite",
      function() local _ = linalg.eigh(lt.full({2, 2}, math.huge)) end},
    {'linalg.qr: mode: expected "reduced" or "complete", got "full"',
      function() local _ = linalg.qr(R, {mode = "full"}) end},
    {'linalg.svd: unknown option "full"', function() local _ = linalg.svd(R, {full = true}) end},
    {"linalg.pinv: rtol: expected a finite number of at least 0, got %-1",
      function() local _ = linalg.pinv(R, {rtol = -1}) end, "linalg.pinv: rtol: expected"},
    {"linalg.pinv: atol: expected a number, or a tensor that broadcasts to the batch %[2%], got %[3%]",
      function() local _ = linalg.pinv(A, {atol = lt.ones(3)}) end},
    {"linalg.matrix_rank: rtol: expected finite numbers of at least 0, got %-1",
      function() local _ = linalg.matrix_rank(A, {rtol = lt.tensor{1, -1}}) end},
    {"linalg.matrix_rank: atol: expected a number of at least 0, or a tensor of such, one a matrix, got true",
      function() local _ = linalg.matrix_rank(A, {atol = true}) end},
    {"linalg.pinv: a: expected square matrices %[..., n, n%], got %[3, 2%]",
      function() local _ = linalg.pinv(R, {hermitian = true}) end},
    {'linalg.matrix_norm: ord: expected "fro", "nuc", 1', function() local _ = linalg.matrix_norm(R, {ord = 3}) end},
    {"linalg.vector_norm: axis: expected 1%.%.2", function() local _ = linalg.vector_norm(R, {axis = 3}) end},
  }
  for _, case in ipairs(bad) do
    it("is met with " .. (case[3] or case[1]), function() assert.misuse(case[2], case[3] or case[1]) end)
  end

  it("in a gradient is said where there is none", function()
    local a = lt.param(lt.randn(3, 2))
    assert.error_matches(function() linalg.svd(a, {full_matrices = true}):sum():backward() end,
      "the gradient needs full_matrices = false")
    assert.error_matches(function() linalg.qr(a, {mode = "complete"}):sum():backward() end,
      'the gradient needs mode = "reduced"')
  end)
end)
