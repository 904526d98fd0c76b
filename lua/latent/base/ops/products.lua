--- Products of vectors, matrices and batches of them.
-- @module latent.base.ops.products
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

--- @tparam table core latent.core or latent.core64
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops, raise, like = core.ops, core.raise, core.tensor_like

  local function refuse(a, b)
    raise(("matmul: expected [..., m, k] and [..., k, n], or vectors [k], got %s and %s"):format(shapes.text(a),
      shapes.text(b)))
  end

  -- The sizes before the last two that both broadcast to.
  local function leading(a, b)
    local first, second = a.shape, b.shape
    return shapes.broadcast(table.move(first, 1, #first - 2, 1, {}), table.move(second, 1, #second - 2, 1, {}))
      or refuse(a, b)
  end

  local function spread(x, lead)
    local shape = {table.unpack(lead)}
    shape[#shape + 1], shape[#shape + 2] = x:size(-2), x:size(-1)
    return shapes.text(shape) == shapes.text(x) and x or x:broadcast_to(shape)
  end

  local function batches(a, b)
    if a:size(-1) ~= b:size(-2) then refuse(a, b) end
    local lead = leading(a, b)
    return ops.matmul(spread(a, lead), spread(b, lead))
  end

  local function same_leading(a, b)
    local first, second = a.shape, b.shape
    for d = 1, #first - 2 do
      if first[d] ~= second[d] then return false end
    end
    return true
  end

  local function matmul(a, b)
    a, b = like(a, "matmul: a"), like(b, "matmul: b")
    local m, n = a:dim(), b:dim()
    if m >= 2 and (n == 2 or n == m and (m == 2 or same_leading(a, b))) then return ops.matmul(a, b) end
    if m == 0 or n == 0 then refuse(a, b) end
    local left = m == 1 and ops.reshape(a, 1, -1) or a
    local right = n == 1 and ops.reshape(b, -1, 1) or b
    if left:size(-1) ~= right:size(-2) then refuse(a, b) end
    local y = batches(left, right)
    local shape = y.shape
    if n == 1 then table.remove(shape) end
    if m == 1 then table.remove(shape, #shape - (n == 1 and 0 or 1)) end
    return ops.reshape(y, {table.unpack(shape)})
  end

  -- A tensor of so many axes, or a table as one.
  local function of_axes(name, arg, x, dims, words)
    x = like(x, name .. ": " .. arg)
    if x:dim() ~= dims then
      raise(("%s: %s: expected %s, got %s"):format(name, arg, words, options.describe(x)))
    end
    return x
  end

  local function dot(a, b)
    a = of_axes("dot", "a", a, 1, "a vector [n]")
    b = of_axes("dot", "b", b, 1, "a vector [n]")
    if a:numel() ~= b:numel() then
      raise(("dot: b: expected shape %s, got %s"):format(shapes.text(a), shapes.text(b)))
    end
    return (matmul(a, b)) -- no tail call: errors are to speak of dot
  end

  local function mv(a, b)
    a = of_axes("mv", "a", a, 2, "a matrix [m, n]")
    b = of_axes("mv", "b", b, 1, "a vector [n]")
    if a:size(2) ~= b:numel() then
      raise(("mv: b: expected [%d], got %s"):format(a:size(2), shapes.text(b)))
    end
    return (matmul(a, b))
  end

  local function outer(a, b)
    a = of_axes("outer", "a", a, 1, "a vector [m]")
    b = of_axes("outer", "b", b, 1, "a vector [n]")
    return ops.mul(ops.reshape(a, -1, 1), b)
  end

  local function op(name, f, doc)
    return {name = name, inputs = {"a", "b"}, params = {}, f = f, differentiable = true, doc = doc}
  end
  return {
    {name = "matmul", extends = true, f = matmul,
      doc = "The matrix product of [..., m, k] and [..., k, n], whose leading sizes broadcast; a vector [k] is a row "
        .. "at the left and a column at the right, and has no axis in the result."},
    op("dot", dot, "The inner product of two vectors, a scalar."),
    op("mv", mv, "A matrix [m, n] times a vector [n]."),
    op("outer", outer, "The products of each element of a vector with each of another: [m, n]."),
  }
end
