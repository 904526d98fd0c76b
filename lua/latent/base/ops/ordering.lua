--- Order and counts: sorting, ranks, what occurs how often. NaN is the largest of numbers, and equals keep their order.
-- @module latent.base.ops.ordering
local arguments = require "latent.base.arguments"
local axes = require "latent.base.axes"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

--- @tparam table core latent.core
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops, raise, check, like = core.ops, core.raise, core.check_tensor, core.tensor_like
  local axis_of = axes.axis

  local LAST, KEEPDIM = {name = "axis", kind = "axis", default = -1}, {name = "keepdim", kind = "bool", default = 0}
  local DESCENDING = {name = "descending", kind = "bool", default = 0}
  local SORT = {LAST, DESCENDING, {name = "stable", kind = "bool", default = 1}}

  -- Sorted values and their places; a scalar is a list of one.
  local function sorted(name, x, axis, descending)
    if x:dim() == 0 then
      axis_of(name, axis, 1)
      local y, index = ops.sort(ops.reshape(x, 1), 1, descending)
      return ops.reshape(y, {}), ops.reshape(index, {})
    end
    return ops.sort(x, axis_of(name, axis, x:dim()), descending)
  end

  local function sort(x, ...)
    check(x, "sort")
    local o = arguments.read("sort", SORT, ...)
    return sorted("sort", x, o.axis, o.descending)
  end

  local function argsort(x, ...)
    check(x, "argsort")
    local o = arguments.read("argsort", SORT, ...)
    return (select(2, sorted("argsort", x:detach(), o.axis, o.descending)))
  end

  -- Place k of what is sorted along an axis, with or without that axis.
  local function ranked(y, axis, k, keepdim)
    y = ops.slice(y, axis, k, k)
    return keepdim and y or y:squeeze(axis)
  end

  local TOPK = {{name = "k", kind = "int", required = true}, LAST, {name = "largest", kind = "bool", default = 1},
    {name = "sorted", kind = "bool", default = 1}}
  local function topk(x, ...)
    check(x, "topk")
    local o = arguments.read("topk", TOPK, ...)
    local axis = axis_of("topk", o.axis, x:dim())
    if o.k < 0 or o.k > x:size(axis) then raise(("topk: k: expected 0..%d, got %d"):format(x:size(axis), o.k)) end
    local y, index = ops.sort(x, axis, o.largest)
    return ops.slice(y, axis, 1, o.k), ops.slice(index, axis, 1, o.k)
  end

  local KTH = {{name = "k", kind = "int", required = true}, LAST, KEEPDIM}
  local function kthvalue(x, ...)
    check(x, "kthvalue")
    local o = arguments.read("kthvalue", KTH, ...)
    local axis = axis_of("kthvalue", o.axis, x:dim())
    if o.k < 1 or o.k > x:size(axis) then
      raise(("kthvalue: k: expected 1..%d, got %d"):format(x:size(axis), o.k))
    end
    local y, index = ops.sort(x, axis)
    return ranked(y, axis, o.k, o.keepdim), ranked(index, axis, o.k, o.keepdim)
  end

  local AXIS = {name = "axis", kind = "axis"}
  -- An axis that has elements; without one, x as one list.
  local function chosen(name, x, axis)
    if axis == nil then x, axis = ops.reshape(x, -1), 1 end
    axis = axis_of(name, axis, x:dim())
    if x:size(axis) == 0 then
      raise(("%s: x: expected at least one element to choose from, got shape %s"):format(name, shapes.text(x.shape)))
    end
    return x, axis
  end

  local function median(x, ...)
    check(x, "median")
    local o = arguments.read("median", {AXIS, KEEPDIM}, ...)
    local list, axis = chosen("median", x, o.axis)
    local n = list:size(axis)
    local y, index = ops.sort(list, axis)
    local last, middle = ranked(y, axis, n, o.keepdim), (n + 1) // 2
    local nan = ops.ne(last, last)
    y = ops.where(nan, last, ranked(y, axis, middle, o.keepdim))
    if o.axis == nil then return o.keepdim and ops.reshape(y, shapes.ones(x:dim())) or y end
    return y, ops.where(nan, ranked(index, axis, n, o.keepdim), ranked(index, axis, middle, o.keepdim))
  end

  local INTERPOLATIONS = {"linear", "lower", "higher", "midpoint", "nearest"}
  local QUANTILE = {{name = "q", kind = "tensor", required = true}, AXIS, KEEPDIM,
    {name = "interpolation", kind = "choice", choices = INTERPOLATIONS}}
  local FRACTION = {linear = function(f) return f end, lower = function() return 0 end,
    higher = function(f) return f > 0 and 1 or 0 end, midpoint = function(f) return f > 0 and 0.5 or 0 end}
  function FRACTION.nearest(f, low) -- a half goes to the even place, counted from 0
    return (f > 0.5 or f == 0.5 and low % 2 == 1) and 1 or 0
  end

  local function quantile_at(y, axis, q, o)
    if not (q >= 0 and q <= 1) then raise(("quantile: q: expected numbers from 0 to 1, got %.14g"):format(q)) end
    local n = y:size(axis)
    local low = math.floor(q * (n - 1))
    local fraction = FRACTION[o.interpolation](q * (n - 1) - low, low)
    local at = ranked(y, axis, low + 1, o.keepdim)
    if fraction > 0 then at = at + (ranked(y, axis, low + 2, o.keepdim) - at) * fraction end
    local last = ranked(y, axis, n, o.keepdim)
    return ops.where(ops.ne(last, last), last, at)
  end

  local function quantile(x, ...)
    check(x, "quantile")
    local o = arguments.read("quantile", QUANTILE, ...)
    local q = like(o.q, "quantile: q")
    if q:dim() > 1 then raise(("quantile: q: expected a number or a list, got %s"):format(shapes.text(q.shape))) end
    local list, axis = chosen("quantile", x, o.axis)
    local y, results = ops.sort(list, axis), {}
    local exact = type(o.q) == "table" and o.q or type(o.q) == "number" and {o.q} or q:reshape(-1):table()
    for i, each in ipairs(exact) do
      results[i] = quantile_at(y, axis, each, o)
      if o.axis == nil and o.keepdim then results[i] = ops.reshape(results[i], shapes.ones(x:dim())) end
    end
    if q:dim() == 0 then return results[1] end
    for i, r in ipairs(results) do results[i] = r:unsqueeze(1) end
    return ops.cat(results, 1)
  end

  -- ---- what occurs ----

  -- An axis as the first one, and the order of axes that undoes this.
  local function to_front(x, axis)
    local order, back = {axis}, {}
    for d = 1, x:dim() do if d ~= axis then order[#order + 1] = d end end
    for place, d in ipairs(order) do back[d] = place end
    return ops.permute(x, order), back
  end

  -- The places of rows [n, m] in ascending order, the first elements deciding first: by each column, from the
  -- last one on, where equals keep their order.
  local function order_of_rows(rows)
    local order = core.arange(1, rows:size(1), {dtype = "i64"})
    for column = rows:size(2), 1, -1 do
      local key = ops.gather_rows(ops.slice(rows, 2, column, column):reshape(-1), order)
      order = ops.gather_rows(order, (select(2, ops.sort(key, 1))))
    end
    return order
  end

  -- 1 where an element, or a row, of what is sorted differs from the one before.
  local function is_new(y)
    local n = y:size(1)
    local first = core.full({math.min(n, 1)}, 1, "u8")
    if n < 2 then return first end
    local differs = ops.ne(ops.slice(y, 1, 2, n), ops.slice(y, 1, 1, n - 1))
    if y:dim() == 2 then differs = ops.gt(ops.sum(differs:long(), 2), 0) end
    return ops.cat{first, differs}
  end

  local UNIQUE = {{name = "sorted", kind = "bool", default = 1}, {name = "return_inverse", kind = "bool", default = 0},
    {name = "return_counts", kind = "bool", default = 0}, AXIS}
  local function unique(x, ...)
    local shape = check(x, "unique").shape
    local o = arguments.read("unique", UNIQUE, ...)
    x = x:detach()
    local y, order, n, axis, back
    if o.axis == nil then
      y, order = ops.sort(x:reshape(-1), 1)
      n = y:numel()
    else
      axis = axis_of("unique", o.axis, #shape)
      n = shape[axis]
      local front
      front, back = to_front(x, axis)
      local rows = front:reshape{n, x:numel() // math.max(n, 1)}
      order = order_of_rows(rows)
      y, x, shape = ops.gather_rows(rows, order), front, {n}
    end
    local results, first = {}, is_new(y)
    local places = ops.nonzero(first):reshape(-1)
    results[1] = axis == nil and ops.gather_rows(y, places)
      or ops.permute(ops.gather_rows(x, ops.gather_rows(order, places)), back)
    if o.return_inverse then
      local group = ops.cumsum(first:long(), 1)
      results[2] = ops.index_put(group, order, group, 1):reshape(shape)
    end
    if o.return_counts then
      local count = places:numel()
      local stops = core.full({math.min(n, 1)}, n + 1, "i64")
      if count > 1 then stops = ops.cat{ops.slice(places, 1, 2, count), stops} end
      results[#results + 1] = ops.sub(stops, places)
    end
    return table.unpack(results)
  end

  local BINCOUNT = {{name = "weights", kind = "tensor"}, {name = "minlength", kind = "int", default = 0}}
  local function bincount(x, ...)
    local labels = like(x, "bincount: x")
    local o = arguments.read("bincount", BINCOUNT, ...)
    if labels:dim() ~= 1 then raise(("bincount: x: expected a list [*], got %s"):format(shapes.text(labels.shape))) end
    if o.minlength < 0 then raise(("bincount: minlength: expected at least 0, got %d"):format(o.minlength)) end
    local empty = labels:numel() == 0
    if not empty and labels:min():item() < 0 then
      raise(("bincount: x: expected whole numbers of at least 0, got %.14g"):format(labels:min():item()))
    end
    local odd = labels.dtype:find "float" and not empty and ops.ne(labels, labels:long()):nonzero()
    if odd and odd:numel() > 0 then
      raise(("bincount: x: expected whole numbers, got %.14g at position %d"):format(labels:get(odd:get(1, 1)),
        odd:get(1, 1)))
    end
    local length = math.max(o.minlength, empty and 0 or math.floor(labels:max():item()) + 1)
    local weights = o.weights and like(o.weights, "bincount: weights") or core.full({labels:numel()}, 1, "i64")
    return ops.index_put(core.full({length}, 0, weights.dtype), ops.add(labels, 1), weights, 1, true)
  end

  -- How much of x, or of weights, lies between neighbours of `edges`, the last edge included. What lies before the
  -- first and behind the last is counted too, and left out.
  local function counted(x, edges, weights)
    local bins = edges:numel() - 1
    local place = ops.searchsorted(edges, x, true)
    place = ops.where(ops.eq(x, edges:get(bins + 1)), bins + 1, place)
    local sums = ops.index_put(core.full({bins + 2}, 0, weights.dtype), place, weights, 1, true)
    return ops.slice(sums, 1, 2, bins + 1)
  end

  local function edges_of(name, x, bins, low, high)
    if low == high then
      low, high = 0, 1
      if x:numel() > 0 then low, high = x:min():item(), x:max():item() end
      if low == high then low, high = low - 0.5, high + 0.5 end
    end
    if not (low < high and high - low < math.huge) then
      raise(("%s: expected a finite range from less to more, got %g to %g"):format(name, low, high))
    end
    return core.linspace(low, high, bins + 1, {dtype = x.dtype})
  end

  local HISTC = {{name = "bins", kind = "int", default = 100}, {name = "min", kind = "number", default = 0},
    {name = "max", kind = "number", default = 0}}
  local function histc(x, ...)
    x = ops.reshape(check(x, "histc"):detach(), -1)
    local o = arguments.read("histc", HISTC, ...)
    if o.bins < 1 then raise(("histc: bins: expected at least 1, got %d"):format(o.bins)) end
    return counted(x, edges_of("histc", x, o.bins, o.min, o.max), core.full({x:numel()}, 1, x.dtype))
  end

  local HISTOGRAM = {{name = "bins", kind = "tensor", default = 10}, {name = "range", kind = "numbers"},
    {name = "weight", kind = "tensor"}, {name = "density", kind = "bool", default = 0}}
  local function histogram(x, ...)
    x = ops.reshape(check(x, "histogram"):detach(), -1)
    local o = arguments.read("histogram", HISTOGRAM, ...)
    local range = o.range or {0, 0}
    if type(range) ~= "table" or type(range[1]) ~= "number" or type(range[2]) ~= "number" then
      raise("histogram: range: expected {first, last}, got " .. options.describe(range))
    end
    local edges
    if math.type(o.bins) == "integer" and o.bins > 0 then
      edges = edges_of("histogram", x, o.bins, range[1], range[2])
    else
      edges = like(o.bins, "histogram: bins")
      if edges:dim() ~= 1 or edges:numel() < 2 then
        raise("histogram: bins: expected a number of at least 1 or a list of edges, got " .. options.describe(o.bins))
      end
    end
    local weight = o.weight and like(o.weight, "histogram: weight"):reshape(-1) or core.full({x:numel()}, 1, x.dtype)
    local sums = counted(x, edges, weight)
    if o.density then
      local n = edges:numel()
      sums = sums / (ops.slice(edges, 1, 2, n) - ops.slice(edges, 1, 1, n - 1)) / sums:sum()
    end
    return sums, edges
  end

  local function bucketize(x, ...)
    x = like(x, "bucketize: x")
    local o = arguments.read("bucketize", {{name = "boundaries", kind = "tensor", required = true},
      {name = "right", kind = "bool", default = 0}}, ...)
    return ops.searchsorted(like(o.boundaries, "bucketize: boundaries"), x, o.right)
  end

  -- ---- truth ----

  local AXES = {{name = "axis", kind = "axes"}, KEEPDIM}
  local function truth(name, compare, wanted)
    return function(x, ...)
      x = like(x, name .. ": x")
      local o = arguments.read(name, AXES, ...)
      return ops[wanted](ops.sum(ops[compare](x, 0):long(), o.axis, o.keepdim), 0)
    end
  end

  local function op(name, params, f, doc, differentiable)
    return {name = name, inputs = {"x"}, params = params, f = f, differentiable = differentiable,
      doc = doc}
  end
  return {
    op("sort", SORT, sort, "The elements along an axis in ascending (or descending) order, and, as a second result, " ..
      "the places that they had, i64; NaN is the largest, and equals keep their order.", true),
    op("argsort", SORT, argsort, "The places of the elements along an axis in ascending (or descending) order, i64."),
    op("topk", TOPK, topk, "The k largest (or smallest) elements along an axis in order, and their places, i64; of " ..
      "equals the first.", true),
    op("kthvalue", KTH, kthvalue, "The k-th smallest element along an axis, and its place, i64.", true),
    op("median", {AXIS, KEEPDIM}, median, "The middle element, of an even number the lower of the two, over all, or " ..
      "along an axis with its place as a second result; NaN where there is one.", true),
    op("quantile", QUANTILE, quantile, "The quantile q (or one for each of a list, as a first axis) over all or " ..
      "along " ..
      "an axis; between two elements as interpolation says. NaN where there is one.", true),
    op("unique", UNIQUE, unique, "The different elements in ascending order, or with an axis the different slices " ..
      "of it, such as rows; then, if asked for, for each element (or slice) of x the place of its like there " ..
      "(return_inverse), and how often each occurs (return_counts)."),
    op("bincount", BINCOUNT, bincount, "How often each of the labels 0, 1, ... occurs in a list of them, or the " ..
      "sums of " ..
      "their weights: label c at place c + 1."),
    op("histc", HISTC, histc, "How many elements lie in each of so many bins of equal width from min to max, " ..
      "or, where " ..
      "these are equal, from the smallest to the largest element."),
    op("histogram", HISTOGRAM, histogram, "The counts (or sums of weights, or with density = true their density) of " ..
      "values between edges, a number of bins or a list, and the edges; the last is included."),
    op("bucketize", {{name = "boundaries", kind = "tensor", required = true},
      {name = "right", kind = "bool", default = 0}}, bucketize, "For each element the bucket, counted from 1, that " ..
      "ascending boundaries put it in; see searchsorted."),
    op("any", AXES, truth("any", "ne", "gt"), "1 where an element is not 0, over all or along axes, else 0; u8."),
    op("all", AXES, truth("all", "eq", "eq"), "1 where no element is 0, over all or along axes, else 0; u8."),
  }
end
