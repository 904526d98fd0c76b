-- Steps of the functions of one element that models are seldom made of, and of some losses: see steps.lua, whose
-- tables this file fills further.
local M = {}

--- What has no step yet, by why. The specs check its values and gradients.
M.left = {
  -- the value jumps where rounding may decide
  "remainder", "fmod", "trunc", "nan_to_num",
  -- labels or targets in a range of their own
  "nll_loss", "kl_div", "binary_cross_entropy", "cosine_embedding_loss", "triplet_margin_loss",
  "hinge_embedding_loss", "margin_ranking_loss", "cosine_similarity",
  -- made of ops that have steps, with shapes that are seldom met by chance
  "conv1d", "conv_transpose1d", "conv3d", "conv_transpose3d", "max_pool1d", "avg_pool1d", "max_pool3d", "avg_pool3d",
  "interpolate", "scaled_dot_product_attention",
}

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

--- Adds the steps.
-- @tparam table choose name -> function(r, g)
function M.add(choose)
  for name, domain in pairs(DOMAINS) do
    choose[name] = function(_, g)
      local i = g:where(domain)
      return i and step{i}
    end
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
  for _, name in ipairs{"l1_loss", "smooth_l1_loss", "huber_loss"} do
    choose[name] = function(_, g)
      local i = g:any()
      return step{i, g:like(i)}
    end
  end
end

return M
