--- Elements and rows by their places, which count from 1 and are i64 (or whole numbers of another type).
-- @module latent.base.ops.indexing
local arguments = require "latent.base.arguments"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

--- @tparam table core latent.core
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops, raise, check, like = core.ops, core.raise, core.check_tensor, core.tensor_like

  local AXIS = {name = "axis", kind = "axis", required = true}
  local INDEX = {name = "index", kind = "tensor", required = true}
  local SOURCE = {name = "src", kind = "tensor", required = true}

  -- A number as a tensor of x's type; a table as one of numbers.
  local function of_type(x, value, shape, name)
    if type(value) == "number" then return core.full(shape, value, x.dtype) end
    return like(value, name)
  end

  local function gather(x, ...)
    check(x, "gather")
    local o = arguments.read("gather", {AXIS, INDEX}, ...)
    return ops.gather(x, o.index, o.axis)
  end

  -- The part of a source that an index of a smaller shape asks for.
  local function narrowed(src, shape)
    if src:dim() ~= #shape then return src end
    for d, size in ipairs(shape) do
      if src:size(d) > size then src = ops.slice(src, d, 1, size) end
    end
    return src
  end

  local function scatter_as(name, accumulate)
    return function(x, ...)
      check(x, name)
      local o = arguments.read(name, {AXIS, INDEX, SOURCE}, ...)
      local index = like(o.index, name .. ": index")
      local src = narrowed(of_type(x, o.src, index.shape, name .. ": src"), index.shape)
      return ops.scatter(x, index, src, o.axis, accumulate)
    end
  end

  local function index_select(x, ...)
    check(x, "index_select")
    local o = arguments.read("index_select", {AXIS, INDEX}, ...)
    return ops.gather_rows(x, o.index, o.axis)
  end

  local function put_as(name, accumulate)
    return function(x, ...)
      check(x, name)
      local o = arguments.read(name, {AXIS, INDEX, SOURCE}, ...)
      local index, shape = like(o.index, name .. ": index"), x.shape
      if type(o.src) == "number" and math.type(o.axis) == "integer" and shape[o.axis] then
        shape[o.axis] = index:numel()
      end
      return ops.index_put(x, index, of_type(x, o.src, shape, name .. ": src"), o.axis, accumulate)
    end
  end

  -- The indices of index_put, a mask as the places where it is true.
  local function places_of(x, indices)
    local list = {}
    for i, index in ipairs(core.check_list(indices, "index_put: indices")) do
      index = like(index, ("index_put: indices: item %d"):format(i))
      if index.dtype ~= "u8" then
        list[#list + 1] = index:long()
      else
        local own = {table.unpack(x.shape, #list + 1, #list + index:dim())}
        if shapes.text(own) ~= shapes.text(index.shape) then
          raise(("index_put: indices: item %d: expected a mask %s, got %s"):format(i, shapes.text(own),
            shapes.text(index.shape)))
        end
        local places = ops.nonzero(index)
        for d = 1, index:dim() do list[#list + 1] = ops.slice(places, 2, d, d):reshape(-1) end
      end
    end
    return list
  end

  -- The places of rows in x seen as one list of rows: the indices, broadcast, as one.
  local function flat_places(x, list)
    local flat
    for d, index in ipairs(list) do
      local size = x:size(d)
      local outside = ops.add(ops.lt(index, 1), ops.gt(index, size))
      if index:numel() > 0 and outside:sum():item() > 0 then
        raise(("index_put: indices: item %d: expected whole numbers 1..%d, got %d..%d"):format(d, size,
          index:min():item(), index:max():item()))
      end
      flat = flat and ops.add(ops.mul(ops.sub(flat, 1), size), index) or index
    end
    return flat
  end

  local function index_put(x, ...)
    check(x, "index_put")
    local o = arguments.read("index_put", {{name = "indices", kind = "tensors", required = true},
      {name = "values", kind = "tensor", required = true}, {name = "accumulate", kind = "bool", default = 0}}, ...)
    if type(o.indices) ~= "table" or #o.indices == 0 then
      raise("index_put: indices: expected a list of tensors, such as {rows, columns}, got " ..
        options.describe(o.indices))
    end
    local list = places_of(x, o.indices)
    if #list > x:dim() then
      raise(("index_put: indices: expected at most %d, for x %s, got %d"):format(x:dim(), shapes.text(x.shape), #list))
    end
    local flat, shape = flat_places(x, list), x.shape
    local rest = {table.unpack(shape, #list + 1)}
    local wanted = flat.shape
    table.move(rest, 1, #rest, #wanted + 1, wanted)
    local values = of_type(x, o.values, wanted, "index_put: values")
    if shapes.text(values.shape) ~= shapes.text(wanted) then values = values:broadcast_to(wanted) end
    local rows = ops.reshape(x, {-1, table.unpack(rest)})
    local y = ops.index_put(rows, flat:reshape(-1), values:reshape{-1, table.unpack(rest)}, 1, o.accumulate)
    return ops.reshape(y, shape)
  end

  local function masked_fill(x, ...)
    check(x, "masked_fill")
    local o = arguments.read("masked_fill", {{name = "mask", kind = "tensor", required = true},
      {name = "value", kind = "number", required = true}}, ...)
    local mask = like(o.mask, "masked_fill: mask")
    local y = ops.where(mask, o.value, x)
    if shapes.text(y.shape) ~= shapes.text(x.shape) then
      raise(("masked_fill: mask: expected a shape that broadcasts to %s, got %s"):format(shapes.text(x.shape),
        shapes.text(mask.shape)))
    end
    return y
  end

  local function masked_select(x, ...)
    check(x, "masked_select")
    local o = arguments.read("masked_select", {{name = "mask", kind = "tensor", required = true}}, ...)
    local mask = like(o.mask, "masked_select: mask")
    local all = ops.add(ops.ne(mask, 0), ops.mul(ops.ne(x, x), 0)) -- the shape that both broadcast to
    if shapes.text(all.shape) ~= shapes.text(x.shape) then x = x:broadcast_to(all.shape) end
    return ops.gather_rows(ops.reshape(x, -1), ops.nonzero(ops.reshape(all, -1)):reshape(-1))
  end

  local function take(x, ...)
    check(x, "take")
    local index = like(arguments.read("take", {INDEX}, ...).index, "take: index")
    return ops.gather_rows(ops.reshape(x, -1), index:reshape(-1)):reshape(index.shape)
  end

  local function op(name, params, f, doc)
    return {name = name, inputs = {"x"}, params = params, f = f, differentiable = true, doc = doc}
  end
  return {
    op("gather", {AXIS, INDEX}, gather, "Elements of x by their places along an axis: of a matrix and axis 1 " ..
      "y[i][j] = x[index[i][j]][j]. The index has x's axes, and along the others no larger sizes."),
    op("scatter", {AXIS, INDEX, SOURCE}, scatter_as("scatter", false), "x with elements of src (or a number) " ..
      "written " ..
      "where the index says: of a matrix and axis 1 y[index[i][j]][j] = src[i][j], the later of two."),
    op("scatter_add", {AXIS, INDEX, SOURCE}, scatter_as("scatter_add", true), "x with elements of src added where " ..
      "the index says: of a matrix and axis 1 y[index[i][j]][j] += src[i][j], in order."),
    op("index_select", {AXIS, INDEX}, index_select, "The rows of an axis that the index lists."),
    op("index_copy", {AXIS, INDEX, SOURCE}, put_as("index_copy", false),
      "x with the rows of an axis that the index lists replaced by those of src, or by a number."),
    op("index_add", {AXIS, INDEX, SOURCE}, put_as("index_add", true),
      "x with the rows of src added to those of an axis that the index lists, in order."),
    op("index_put", {{name = "indices", kind = "tensors", required = true},
      {name = "values", kind = "tensor", required = true}, {name = "accumulate", kind = "bool", default = 0}},
        index_put,
      "x with values (a tensor that broadcasts, or a number) at the places that the indices give together: a " ..
      "list of " ..
      "tensors of one shape, the first for the first axis; u8 is a mask. With accumulate = true they are added."),
    op("masked_fill", {{name = "mask", kind = "tensor", required = true},
      {name = "value", kind = "number", required = true}}, masked_fill, "x with a number where the mask is not 0."),
    op("masked_select", {{name = "mask", kind = "tensor", required = true}}, masked_select,
      "The elements of x where the mask, which may broadcast, is not 0, as a list [*]."),
    op("take", {INDEX}, take, "The elements at places of x seen as one list, in the shape of the index."),
  }
end
