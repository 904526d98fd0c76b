-- The steps of random programs that index, order and move elements; see tools/fuzz/steps.lua.

--- @tparam table choose and `apply`: the tables of steps
-- @tparam function step makes a step
-- @tparam function any_axis
return function(choose, apply, step, any_axis)
  local function with_axes(least, most)
    return function(n) return #n.shape >= least and #n.shape <= (most or 8) and n.numel > 0 and n.numel < 400 end
  end

  -- A node that has these axes, and what its arguments are, given its shape.
  local function on(name, least, most, arguments, fits)
    choose[name] = function(r, g)
      local has = with_axes(least, most)
      local i = g:where(function(n) return has(n) and (not fits or fits(n)) end)
      return i and step({i}, arguments(r, g.nodes[i].shape))
    end
  end

  local function place(r, shape)
    local axis = r:int(1, #shape)
    return axis, r:int(1, shape[axis])
  end
  local function nested(depth, value) return depth == 0 and value or {nested(depth - 1, value)} end
  local function first(name) apply[name] = function(lt, x, args) return (lt[name](x[1], table.unpack(args, 1,
    args.n))) end end

  on("gather", 1, 8, function(r, shape)
    local axis, k = place(r, shape)
    return axis, nested(#shape, k)
  end)
  for _, name in ipairs{"scatter", "scatter_add"} do
    on(name, 1, 8, function(r, shape)
      local axis, k = place(r, shape)
      return axis, nested(#shape, k), r:real()
    end)
  end
  for _, name in ipairs{"index_copy", "index_add"} do
    on(name, 1, 8, function(r, shape)
      local axis, k = place(r, shape)
      return axis, {k, 1}, r:real()
    end)
  end
  on("index_select", 1, 8, function(r, shape)
    local axis, k = place(r, shape)
    return axis, {k, 1}
  end)
  on("index_put", 1, 8, function(r, shape) return {{r:int(1, shape[1])}}, r:real(), r:chance(0.5) end)
  on("masked_fill", 0, 8, function(r) return r:real() - 0.5, r:real() end)
  apply.masked_fill = function(lt, x, args) return lt.masked_fill(x[1], lt.gt(x[1]:detach(), args[1]), args[2]) end
  on("masked_select", 1, 8, function() return {1} end)
  on("take", 1, 8, function() return {1, 1} end)

  for _, name in ipairs{"sort", "median"} do
    on(name, 1, 8, function(r, shape) return any_axis(r, shape) end)
    first(name)
  end
  for _, name in ipairs{"topk", "kthvalue"} do
    on(name, 1, 8, function(r, shape)
      local axis, k = place(r, shape)
      return k, axis
    end)
    first(name)
  end
  on("quantile", 1, 8, function(r, shape) return r:real(), any_axis(r, shape) end)

  on("cumsum", 1, 8, any_axis)
  local function small(n) return n.largest < 2 and n.least > 0.05 end
  on("cumprod", 1, 8, any_axis, small)
  on("prod", 1, 8, any_axis, small)

  on("roll", 1, 8, function(r, shape) return r:int(-3, 3), any_axis(r, shape) end)
  for _, name in ipairs{"tril", "triu"} do on(name, 2, 8, function(r) return r:int(-1, 1) end) end
  on("diagonal", 2, 8, function() return 0 end)
  on("diag_embed", 1, 4, function(r) return r:int(-1, 1) end)
  on("diag", 1, 2, function() return 0 end)
  on("trace", 2, 2, function() end)
  on("pad", 1, 8, function(r) return {r:int(0, 2), r:int(0, 2)}, r:pick{"constant", "replicate"} end)
  on("tile", 1, 8, function(r) return {r:int(1, 2)} end)
  on("repeat_interleave", 1, 8, function(r, shape) return r:int(1, 2), any_axis(r, shape) end)
  for _, name in ipairs{"split", "chunk"} do
    on(name, 1, 8, function(r, shape) return r:int(1, 3), any_axis(r, shape) end)
    apply[name] = function(lt, x, args) return lt[name](x[1], args[1], args[2])[1] end
  end
  on("unfold", 4, 4, function(r, shape) return {r:int(1, shape[2]), r:int(1, shape[3])} end)
  on("fold", 3, 3, function(_, shape) return {1, shape[2]}, 1 end)
  on("meshgrid", 1, 1, function() end)
  apply.meshgrid = function(lt, x)
    local a, b = lt.meshgrid{x[1], x[1]}
    return a * b
  end
  on("einsum", 1, 8, function() end)
  apply.einsum = function(lt, x) return lt.einsum("...a,...a->...", x[1], x[1]) end
  choose.cdist = function(_, g)
    local i = g:where(with_axes(2))
    return i and step{i, g:like(i)}
  end
end
