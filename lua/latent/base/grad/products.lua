--- Gradients of matrix products and transforms.
-- @module latent.base.grad.products

return function(core)
  local ops = core.ops

  -- The last two axes exchanged.
  local function turned(x)
    local order, dims = {}, x:dim()
    for d = 1, dims do order[d] = d end
    order[dims], order[dims - 1] = dims - 1, dims
    return ops.permute(x, order)
  end

  local function rows(x) return ops.reshape(x, -1, x:size(-1)) end

  return {
    fft = function(n, dy)
      local p = n.params
      return ops.fft(dy, p.axis, not p.inverse, p.scale)
    end,
    matmul = function(n, dy)
      local a, b = n[1], n[2]
      local da = n.wants[1] and ops.matmul(dy, turned(b)) or nil
      if not n.wants[2] then return da end
      if #n.shapes[2] < #n.shapes[1] then return da, ops.matmul(turned(rows(a)), rows(dy)) end
      return da, ops.matmul(turned(a), dy)
    end,
    linear = function(n, dy)
      local flat = rows(dy)
      local dx = n.wants[1] and ops.reshape(ops.matmul(flat, turned(n[2])), n.shapes[1]) or nil
      local dw = n.wants[2] and ops.matmul(turned(rows(n[1])), flat) or nil
      return dx, dw, n.wants[3] and ops.sum(flat, 1) or nil
    end,
  }
end
