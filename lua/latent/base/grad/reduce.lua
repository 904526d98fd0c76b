--- Gradients of sums, moments, extremes and what is normalised along axes.
-- @module latent.base.grad.reduce

return function(core, again, filled)
  local ops = core.ops

  -- The axes that a reduction took, as a set; all where it names none.
  local function taken(n)
    local axes, given = {}, n.params.axis
    if type(given) == "number" then given = {given} end
    if not given or #given == 0 then
      for d = 1, #n.shapes[1] do axes[d] = true end
    else
      for _, d in ipairs(given) do axes[d] = true end
    end
    return axes
  end

  -- A reduced tensor with its axes, of size 1.
  local function kept(n, t)
    local shape, axes = n.shapes[1], taken(n)
    local with = {}
    for d, size in ipairs(shape) do with[d] = axes[d] and 1 or size end
    return ops.reshape(t, with)
  end

  -- How many elements went into each of the output.
  local function count(n)
    local terms, axes = 1, taken(n)
    for d, size in ipairs(n.shapes[1]) do
      if axes[d] then terms = terms * size end
    end
    return terms
  end

  local function spread(n, dy) return ops.add(kept(n, dy), filled(dy, n.shapes[1], 0)) end

  -- The differences to the mean.
  local function centred(n)
    local axes = {}
    for d in pairs(taken(n)) do axes[#axes + 1] = d end
    return n[1] - (#axes > 0 and ops.mean(n[1], axes, true) or n[1])
  end

  local function divisor(n) return math.max(count(n) - (n.params.unbiased and n.params.correction or 0), 0) end

  -- x over a root, which is 0 only where all of the x are.
  local function over_root(n, x, dy)
    local y = kept(n, n.y)
    return kept(n, dy) * (x / ops.where(ops.eq(y, 0), 1, y))
  end

  -- The norm of another order: sign(x) (|x| / y)^(p-1), 0 at 0; the extremes share.
  local function power_norm(n, dy, p)
    local x = n[1]
    local g, size = kept(n, dy) * ops.sign(x), ops.abs(x)
    if p == 0 then return g * 0 end
    if p == 1 then return g end
    local y = kept(n, n.y)
    if p == math.huge or p == -math.huge then
      local chosen = ops.where(ops.eq(size, y), ops.add(x * 0, 1), 0)
      local axes = {}
      for d in pairs(taken(n)) do axes[#axes + 1] = d end
      return g * chosen / (#axes > 0 and ops.sum(chosen, axes, true) or chosen)
    end
    local none = ops.eq(size, 0)
    local share = ops.where(none, 1, size) / ops.where(ops.eq(y, 0), 1, y)
    return g * ops.where(none, 0, ops.pow(share, p - 1))
  end

  local function extreme(n, dy)
    local elements = 1
    for _, size in ipairs(n.shapes[1]) do elements = elements * size end
    local none = filled(dy, {elements}, 0)
    return ops.reshape(ops.index_put(none, core.node_winners(n.node), ops.reshape(dy, -1), 1, true), n.shapes[1])
  end

  -- With an axis at the end; its own inverse.
  local function at_end(x, axis)
    local order, dims = {}, x:dim()
    for d = 1, dims do order[d] = d end
    order[axis], order[dims] = dims, axis
    return ops.permute(x, order)
  end

  -- [..., n] as [..., n, n]: row k is x with its element k replaced by 1.
  local function each_left_out(x)
    local shape = x.shape
    local size = shape[#shape]
    table.insert(shape, #shape, 1)
    return ops.where(core.eye(size, {dtype = x.dtype}), 1, ops.reshape(x, {table.unpack(shape)}))
  end

  local function has_zeros(x)
    return x:numel() > 0 and core.no_grad(function() return ops.min(ops.abs(x)):item() == 0 end)
  end

  local function prod(n, dy)
    local x, axis = n[1], n.params.axis
    if not axis then
      local flat = ops.reshape(x, -1)
      local others = has_zeros(x) and ops.prod(each_left_out(flat), -1) or ops.prod(flat) / flat
      return dy:reshape{} * ops.reshape(others, n.shapes[1])
    end
    if not has_zeros(x) then return kept(n, dy) * (ops.prod(x, axis, true) / x) end
    return kept(n, dy) * at_end(ops.prod(each_left_out(at_end(x, axis)), -1), axis)
  end

  local function behind(dy, axis) return ops.flip(ops.cumsum(ops.flip(dy, axis), axis), axis) end

  -- dx_k is the sum over m >= k of dy_m times the product of the first m without the k-th.
  local function cumprod(n, dy)
    local x, axis = n[1], n.params.axis
    if not has_zeros(x) then return behind(dy * n.y, axis) / x end
    local products = ops.cumprod(each_left_out(at_end(x, axis)), -1)
    local size = products:size(-1)
    local later = ops.le(ops.reshape(core.arange(1, size), size, 1), core.arange(1, size))
    local turned = at_end(dy, axis)
    local shape = turned.shape
    table.insert(shape, #shape, 1)
    return at_end(ops.sum(ops.where(later, products, 0) * ops.reshape(turned, {table.unpack(shape)}), -1), axis)
  end

  return {
    sum = spread,
    mean = function(n, dy) return spread(n, dy) / count(n) end,
    var = function(n, dy) return kept(n, dy) * centred(n) * (2 / divisor(n)) end,
    std = function(n, dy) return over_root(n, centred(n), dy) / divisor(n) end,
    norm = function(n, dy)
      if n.params.p == 2 then return over_root(n, n[1], dy) end
      return power_norm(n, dy, n.params.p)
    end,
    max = extreme,
    min = extreme,
    max_pool2d = extreme,
    sort = extreme,
    prod = prod,
    cumsum = function(n, dy) return behind(dy, n.params.axis) end,
    cumprod = cumprod,
    softmax = function(n, dy) return n.y * (dy - ops.sum(n.y * dy, n.params.axis, true)) end,
    log_softmax = function(n, dy) return dy - ops.exp(n.y) * ops.sum(dy, n.params.axis, true) end,
    logsumexp = function(n, dy)
      local axis, x = n.params.axis, n[1]
      if axis then return kept(n, dy) * ops.softmax(x, axis) end
      return dy:reshape{} * ops.reshape(ops.softmax(ops.reshape(x, -1), 1), n.shapes[1])
    end,
    -- The bias is not saved, and only added.
    batch_norm_train = again(function(p, x, weight, bias)
      local axes = {}
      for d = 1, x:dim() - 1 do axes[d] = d end
      local difference = x - ops.mean(x, axes, true)
      local y = difference * ops.rsqrt(ops.mean(difference * difference, axes, true) + p.eps)
      if weight then y = y * weight end
      return bias and y + bias or y
    end),
    layer_norm = again(function(p, x, weight, bias)
      local axes = {}
      local last = weight and weight:dim() or bias and bias:dim() or math.max(#p.normalized_shape, 1)
      for d = 1, last do axes[d] = -d end
      local difference = x - ops.mean(x, axes, true)
      local y = difference * ops.rsqrt(ops.mean(difference * difference, axes, true) + p.eps)
      if weight then y = y * weight end
      return bias and y + bias or y
    end),
    group_norm = again(function(p, x, weight, bias)
      local shape = x.shape
      local split = ops.reshape(x, {shape[1], x:numel() // math.max(shape[1] * shape[#shape], 1), p.groups,
        shape[#shape] // p.groups})
      local difference = split - ops.mean(split, {2, 4}, true)
      local y = difference * ops.rsqrt(ops.mean(difference * difference, {2, 4}, true) + p.eps)
      y = ops.reshape(y, {table.unpack(shape)})
      if weight then y = y * weight end
      return bias and y + bias or y
    end),
  }
end
