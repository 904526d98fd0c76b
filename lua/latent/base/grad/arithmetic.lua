--- Gradients of functions of two elements. They have the broadcast shape.
-- @module latent.base.grad.arithmetic

return function(core)
  local ops = core.ops
  local where = ops.where

  -- Of the larger (or smaller) of two: half and half at a tie.
  local function share(is_chosen)
    return function(n, dy)
      local a, b, half = n[1], n[2], dy * 0.5
      local tied = where(ops.eq(a, b), half, 0)
      local da = n.wants[1] and where(is_chosen(a, b), dy, tied) or nil
      return da, n.wants[2] and where(is_chosen(b, a), dy, tied) or nil
    end
  end

  -- Of a remainder: -quotient for b, and the quotient is a step.
  local function remainder(rounded)
    return function(n, dy)
      return dy, n.wants[2] and -(dy * rounded(n[1] / n[2])) or nil
    end
  end

  return {
    add = function(_, dy) return dy, dy end,
    sub = function(n, dy) return dy, n.wants[2] and -dy or nil end,
    mul = function(n, dy)
      return n.wants[1] and dy * n[2] or nil, n.wants[2] and dy * n[1] or nil
    end,
    div = function(n, dy)
      if n.params.rounding_mode ~= "none" then return dy * 0, dy * 0 end
      return n.wants[1] and dy / n[2] or nil, n.wants[2] and -(dy / n[2] * n.y) or nil
    end,
    remainder = remainder(ops.floor),
    fmod = remainder(ops.trunc),
    pow_tensor = function(n, dy)
      local a, b = n[1], n[2]
      local none = ops.eq(a, 0)
      local da = n.wants[1] and where(ops.eq(b, 0), 0, dy * b * ops.pow_tensor(a, b - 1)) or nil
      local db = n.wants[2] and where(none, 0, dy * ops.pow_tensor(a, b) * ops.log(where(none, 1, a))) or nil
      return da, db
    end,
    atan2 = function(n, dy)
      local a, b = n[1], n[2]
      local r2 = a * a + b * b
      return n.wants[1] and dy * (b / r2) or nil, n.wants[2] and -(dy * (a / r2)) or nil
    end,
    xlogy = function(n, dy)
      return n.wants[1] and dy * ops.log(n[2]) or nil, n.wants[2] and dy * (n[1] / n[2]) or nil
    end,
    maximum = share(ops.gt),
    minimum = share(ops.lt),
    where = function(n, dy)
      return nil, n.wants[2] and where(n[1], dy, 0) or nil, n.wants[3] and where(n[1], 0, dy) or nil
    end,
  }
end
