--- Gradients of what moves elements about.
-- @module latent.base.grad.shape

return function(core, _, filled)
  local ops = core.ops

  -- Zeros before and behind, along an axis that is to have a size.
  local function padded(dy, axis, before, size)
    local shape, parts = dy.shape, {}
    local behind = size - before - shape[axis]
    local function zeros(count)
      shape[axis] = count
      parts[#parts + 1] = filled(dy, shape, 0)
    end
    if before > 0 then zeros(before) end
    parts[#parts + 1] = dy
    if behind > 0 then zeros(behind) end
    return #parts > 1 and ops.cat(parts, axis) or dy
  end

  local function back(n, dy) return ops.reshape(dy, n.shapes[1]) end

  return {
    reshape = back,
    permute = function(n, dy)
      local inverse = {}
      for to, from in ipairs(n.params.axes) do inverse[from] = to end
      return ops.permute(dy, inverse)
    end,
    slice = function(n, dy)
      local axis, first = n.params.axis, n.params.first
      local size = n.shapes[1][axis]
      return padded(dy, axis, first > 0 and first - 1 or size + first, size)
    end,
    select = function(n, dy)
      local shape, index = n.shape, n.params.index
      local row = ops.reshape(dy, {1, table.unpack(shape)})
      return padded(row, 1, index - 1, n.shapes[1][1])
    end,
    cat = function(n, dy)
      local axis, from, parts = n.params.axis, 1, {}
      for i, shape in ipairs(n.shapes) do
        local size = shape[axis]
        if n.wants[i] then
          parts[i] = size > 0 and ops.slice(dy, axis, from, from + size - 1) or filled(dy, shape, 0)
        end
        from = from + size
      end
      return table.unpack(parts, 1, #n.shapes)
    end,
    gather_rows = function(n, dy)
      return ops.index_put(filled(dy, n.shapes[1], 0), n[2], dy, n.params.axis, true)
    end,
    index_put = function(n, dy)
      local index, axis, size = n[2], n.params.axis, n.shapes[1][n.params.axis]
      local source = n.wants[3] and ops.gather_rows(dy, index, axis) or nil
      if n.params.accumulate then return dy, nil, source end
      local order = core.arange(1, index:numel(), {dtype = "i64"})
      local writer = ops.index_put(core.zeros(size, {dtype = "i64"}), index, order, 1)
      local shape = {}
      for d = 1, #n.shapes[1] do shape[d] = d == axis and index:numel() or 1 end
      local last = ops.reshape(ops.eq(ops.gather_rows(writer, index), order), shape)
      return n.wants[1] and ops.index_put(dy, index, filled(dy, n.shapes[3], 0), axis) or nil, nil,
        source and ops.where(last, source, 0)
    end,
    gather = function(n, dy)
      return ops.scatter(filled(dy, n.shapes[1], 0), n[2], dy, n.params.axis, true)
    end,
    scatter = function(n, dy)
      local index, axis = n[2], n.params.axis
      local source = n.wants[3] and ops.gather(dy, index, axis) or nil
      if n.params.accumulate then return dy, nil, source end
      local order = ops.reshape(core.arange(1, index:numel(), {dtype = "i64"}), n.shapes[2])
      local writer = ops.scatter(core.zeros(n.shapes[1], {dtype = "i64"}), index, order, axis)
      return n.wants[1] and ops.scatter(dy, index, filled(dy, n.shapes[3], 0), axis) or nil, nil,
        source and ops.where(ops.eq(ops.gather(writer, index, axis), order), source, 0)
    end,
    flip = function(n, dy) return ops.flip(dy, n.params.axis) end,
  }
end
