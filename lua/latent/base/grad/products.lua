--- Gradients of matrix products and transforms.
-- @module latent.base.grad.products

return function(core, again)
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
    distances = again(function(_, a, b) return ops.norm(ops.sub(a:unsqueeze(3), b:unsqueeze(2)), -1) end),
    lstm = again(function(p, gates, state, weight)
      local time, hidden, list = gates:size(1), weight:size(1), {}
      local h, c = ops.select(state, 1), ops.select(state, 2)
      for k = 1, time do
        local t = p.reverse and time + 1 - k or k
        local a = ops.add(ops.select(gates, t), ops.matmul(h, weight))
        local function part(i) return ops.slice(a, 2, (i - 1) * hidden + 1, i * hidden) end
        c = ops.add(ops.mul(ops.sigmoid(part(2)), c), ops.mul(ops.sigmoid(part(1)), ops.tanh(part(3))))
        h = ops.mul(ops.sigmoid(part(4)), ops.tanh(c))
        list[t] = ops.reshape(h, {1, h:size(1), hidden})
      end
      list[time + 1] = ops.reshape(c, {1, c:size(1), hidden})
      return ops.cat(list, 1)
    end),
  }
end
