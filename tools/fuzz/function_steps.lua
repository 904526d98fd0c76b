-- Steps of the functions of one element that models are seldom made of, and of some losses: see steps.lua, whose
-- tables this file fills further.
local M = {}

local function step(inputs, ...) return {inputs = inputs, args = table.pack(...)} end

local function within(low, high) return function(n) return n.least > low and n.largest < high end end

-- Where each is smooth, and float32 keeps digits.
local DOMAINS = {
  expm1 = within(-8, 8), exp2 = within(-10, 10), log1p = within(-0.9, 1e9), log2 = within(0.05, 1e9),
  log10 = within(0.05, 1e9), rsqrt = within(0.05, 1e9), reciprocal = within(0.05, 1e9), tan = within(-1.2, 1.2),
  asin = within(-0.9, 0.9), acos = within(-0.9, 0.9), atan = within(-1e9, 1e9), sinh = within(-5, 5),
  cosh = within(-5, 5), asinh = within(-1e6, 1e6), acosh = within(1.05, 1e6), atanh = within(-0.9, 0.9),
  erf = within(-2, 2), erfc = within(-2, 2), erfinv = within(-0.8, 0.8), lgamma = within(0.1, 1e3),
  digamma = within(0.2, 1e3),
}

-- A number for each row of a value: 1 or -1.
local function signs(r, n)
  local list = {}
  for k = 1, n do list[k] = r:pick{1, -1} end
  return list
end

local function rows(n) return #n.shape == 2 end

-- Losses of pairs of rows, and of targets in a range of their own.
local function add_losses(choose, apply)
  local function reduction(r) return r:pick{"mean", "sum", "none"} end
  function choose.nll_loss(r, g)
    local i = g:where(rows)
    if not i then return nil end
    local labels, s = {}, g.nodes[i].shape
    for k = 1, s[1] do labels[k] = r:int(0, s[2] - 1) end
    return step({i}, labels, {reduction = reduction(r)})
  end
  function choose.kl_div(r, g)
    local i, logarithm = g:any(), r:chance(0.5)
    local target = g:input(g.nodes[i].shape, logarithm and "any" or "unit")
    return step({i, target}, {reduction = reduction(r), log_target = logarithm})
  end
  function choose.binary_cross_entropy(r, g)
    local i = g:where(within(0.02, 0.98)) or g:input(g.nodes[g:any()].shape, "unit")
    return step({i, g:input(g.nodes[i].shape, "unit")}, {reduction = reduction(r)})
  end
  function choose.cosine_similarity(r, g)
    local i = g:where(function(n) return #n.shape > 0 and n.size > 0.05 end)
    return i and step({i, g:like(i)}, r:int(1, #g.nodes[i].shape))
  end
  function choose.triplet_margin_loss(r, g)
    local i = g:where(rows)
    local options = {margin = r:real() * 2, swap = r:chance(0.5), reduction = reduction(r)}
    return i and step({i, g:like(i), g:like(i)}, options)
  end
  -- The target is no input: it has no gradient, and noise would make it another.
  function choose.cosine_embedding_loss(r, g)
    local i = g:where(function(n) return rows(n) and n.size > 0.05 end)
    return i and step({i, g:like(i)}, signs(r, g.nodes[i].shape[1]), {margin = r:real() / 2, reduction = reduction(r)})
  end
  function choose.margin_ranking_loss(r, g)
    local i = g:any()
    return step({i, g:like(i)}, signs(r, g.nodes[i].numel), {margin = r:real(), reduction = reduction(r)})
  end
  function choose.hinge_embedding_loss(r, g)
    local i = g:any()
    return step({i}, signs(r, g.nodes[i].numel), {margin = r:real(), reduction = reduction(r)})
  end
  for name, inputs in pairs{cosine_embedding_loss = 2, margin_ranking_loss = 2, hinge_embedding_loss = 1} do
    apply[name] = function(lt, x, args)
      local target = lt.tensor(args[1])
      if name ~= "cosine_embedding_loss" then target = target:reshape(x[1].shape) end
      if inputs == 1 then return lt[name](x[1], target, args[2]) end
      return lt[name](x[1], x[2], target, args[2])
    end
  end
end

--- Adds the steps.
-- @tparam table choose name -> function(r, g)
-- @tparam table apply name -> function(lt, inputs, args), where a call is not lt.name(inputs..., args...)
function M.add(choose, apply)
  add_losses(choose, apply)
  for name, domain in pairs(DOMAINS) do
    choose[name] = function(_, g)
      local i = g:where(domain)
      return i and step{i}
    end
  end
  function choose.polygamma(r, g)
    local i = g:where(within(0.3, 1e3))
    return i and step({i}, r:int(0, 3))
  end
  for _, name in ipairs{"atan2", "xlogy"} do
    choose[name] = function(_, g)
      local i = g:any()
      local j = g:where(function(n) return n.least > 0.05 and g:broadcasts(i, n) end)
      return j and step{i, j}
    end
  end
  function choose.lerp(r, g)
    local i = g:any()
    local j = g:where(function(n) return g:broadcasts(i, n) end)
    return j and step({i, j}, r:real())
  end
  -- Where rounding decides, a value jumps: noise makes it jump too, and nothing is said of it.
  for _, name in ipairs{"remainder", "fmod"} do
    choose[name] = function(r, g)
      local i = g:where(within(-50, 50))
      local j = i and g:where(function(n) return n.least > 0.2 and g:broadcasts(i, n) end)
      return i and (j and step{i, j} or step({i}, r:pick{-2, 0.7, 3}))
    end
  end
  function choose.trunc(_, g) return step{g:any()} end
  function choose.nan_to_num(r, g) return step({g:any()}, {nan = r:real(), posinf = 9}) end
  for _, name in ipairs{"l1_loss", "smooth_l1_loss", "huber_loss"} do
    choose[name] = function(_, g)
      local i = g:any()
      return step{i, g:like(i)}
    end
  end
end

return M
