--- Gradients of functions of one element.
-- @module latent.base.grad.elementwise

return function(core, again)
  local ops = core.ops
  local where = ops.where

  -- A rule from the derivative: d(x, y, parameters), where only what the op saves is known of x and y.
  local function slope(d)
    return function(n, dy) return dy * d(n[1], n.y, n.params) end
  end

  -- 1 / sqrt(1 - x^2) and its like
  local function inverse_root(x2) return ops.rsqrt(x2) end

  local SQRT_PI = math.sqrt(math.pi)
  local rules = {
    neg = function(_, dy) return -dy end,
    exp = slope(function(_, y) return y end),
    expm1 = slope(function(_, y) return y + 1 end),
    exp2 = slope(function(_, y) return y * math.log(2) end),
    log = function(n, dy) return dy / n[1] end,
    log1p = function(n, dy) return dy / (n[1] + 1) end,
    log2 = function(n, dy) return dy / n[1] * (1 / math.log(2)) end,
    log10 = function(n, dy) return dy / n[1] * (1 / math.log(10)) end,
    sqrt = function(n, dy) return dy / (n.y * 2) end,
    rsqrt = slope(function(_, y) return y * y * y * -0.5 end),
    reciprocal = slope(function(_, y) return -(y * y) end),
    square = slope(function(x) return x * 2 end),
    abs = slope(function(x) return ops.sign(x) end),
    sigmoid = slope(function(_, y) return y * (1 - y) end),
    relu = function(n, dy) return where(ops.le(n.y, 0), 0, dy) end,
    leaky_relu = function(n, dy) return where(ops.gt(n.y or n[1], 0), dy, dy * n.params.slope) end,
    elu = function(n, dy)
      local below = ops.clamp(n[1], {max = 0}) -- what is above overflows, and is not asked for
      return where(ops.gt(n[1], 0), dy, dy * n.params.alpha * ops.exp(below))
    end,
    gelu = again(function(p, x)
      if p.approximate == "tanh" then
        return x * ops.sigmoid(x * (x * x * 0.044715 + 1) * (2 * math.sqrt(2 / math.pi)))
      end
      return x * 0.5 * (ops.erf(x * math.sqrt(0.5)) + 1)
    end),
    silu = again(function(_, x) return x * ops.sigmoid(x) end),
    softplus = function(n, dy)
      local p = n.params
      local x = n[1] * p.beta
      return where(ops.gt(x, p.threshold), dy, dy * ops.sigmoid(x))
    end,
    pow = function(n, dy)
      local p = n.params.exponent
      if p == 0 then return dy * 0 end
      return dy * p * ops.pow(n[1], p - 1)
    end,
    clamp = function(n, dy)
      local x, p = n[1], n.params
      return where(ops.ge(x, p.min), where(ops.le(x, p.max), dy, 0), 0)
    end,
    sin = slope(function(x) return ops.cos(x) end),
    cos = slope(function(x) return -ops.sin(x) end),
    tan = slope(function(_, y) return y * y + 1 end),
    asin = slope(function(x) return inverse_root(1 - x * x) end),
    acos = slope(function(x) return -inverse_root(1 - x * x) end),
    atan = function(n, dy) return dy / (n[1] * n[1] + 1) end,
    sinh = slope(function(x) return ops.cosh(x) end),
    cosh = slope(function(x) return ops.sinh(x) end),
    tanh = slope(function(_, y) return 1 - y * y end),
    asinh = slope(function(x) return inverse_root(x * x + 1) end),
    acosh = slope(function(x) return inverse_root((x - 1) * (x + 1)) end),
    atanh = function(n, dy) return dy / ((1 - n[1]) * (n[1] + 1)) end,
    erf = slope(function(x) return ops.exp(-(x * x)) * (2 / SQRT_PI) end),
    erfc = slope(function(x) return ops.exp(-(x * x)) * (-2 / SQRT_PI) end),
    erfinv = slope(function(_, y) return ops.exp(y * y) * (SQRT_PI / 2) end),
    lgamma = slope(function(x) return ops.digamma(x) end),
    digamma = slope(function(x) return ops.polygamma(x, 1) end),
    polygamma = function(n, dy) return dy * ops.polygamma(n[1], n.params.n + 1) end,
    dropout = function(n, dy) return n.extras[1] and dy * n.extras[1] or dy end,
  }
  for _, step in ipairs{"floor", "ceil", "trunc", "round", "sign"} do
    rules[step] = function(_, dy) return dy * 0 end
  end
  return rules
end
