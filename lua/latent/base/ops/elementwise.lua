--- Functions of single elements that are made of other ops.
-- @module latent.base.ops.elementwise
local arguments = require "latent.base.arguments"
local options = require "latent.base.options"

--- @tparam table core latent.core
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops, like = core.ops, core.tensor_like
  local DECIMALS = {{name = "decimals", kind = "int", default = 0}}
  local CLAMP = {{name = "min", kind = "tensor"}, {name = "max", kind = "tensor"}}

  local function pow(x, exponent, ...)
    local wide = type(exponent) == "table" and exponent[1] ~= nil -- a list of numbers
    if type(x) == "number" or wide or core.is_tensor(exponent) then
      return ops.pow_tensor(like(x, "pow: x", exponent), like(exponent, "pow: exponent", x), ...)
    end
    return ops.pow(x, exponent, ...)
  end

  local function floor_divide(a, b)
    return ops.div(like(a, "floor_divide: a", b), like(b, "floor_divide: b", a), "floor")
  end

  -- From the nearer end, so that weights 0 and 1 give a and b themselves.
  local function lerp(a, b, weight)
    a, b = like(a, "lerp: a", b, weight), like(b, "lerp: b", a, weight)
    local difference = ops.sub(b, a)
    if type(weight) ~= "number" then
      weight = like(weight, "lerp: weight", a, b)
      local near = ops.add(a, ops.mul(difference, weight))
      return ops.where(ops.lt(weight, 0.5), near, ops.sub(b, ops.mul(difference, ops.sub(1, weight))))
    end
    if weight < 0.5 then return ops.add(a, ops.mul(difference, weight)) end
    return ops.sub(b, ops.mul(difference, 1 - weight))
  end

  -- Below a bound, or where it is NaN, the bound; the gradient goes where the value comes from.
  local function bounded(x, bound, beyond)
    bound = like(bound, "clamp: bound")
    return ops.where(ops.ne(bound, bound), bound, ops.where(beyond(x, bound), bound, x))
  end

  local function clamp(x, low, high, ...)
    if type(low) == "number" and type(high) == "number" then return ops.clamp(x, low, high, ...) end
    local least, most = low, high
    if type(low) == "table" and low[1] == nil then least, most = low.min, low.max end
    if not core.is_tensor(least) and not core.is_tensor(most) then return ops.clamp(x, low, high, ...) end
    x = like(x, "clamp: x")
    local o = arguments.read("clamp", CLAMP, low, high, ...)
    if o.min ~= nil then x = bounded(x, o.min, ops.lt) end
    return o.max == nil and x or bounded(x, o.max, ops.gt)
  end

  local function round(x, decimals, ...)
    if type(decimals) == "table" then
      decimals = arguments.read("round", DECIMALS, decimals, ...).decimals
    elseif decimals ~= nil then
      options.expect("round", "decimals", decimals, "integer")
    end
    if decimals == nil or decimals == 0 then return ops.round(x, ...) end
    local scale = 10.0 ^ math.abs(decimals)
    if decimals > 0 then return ops.div(ops.round(ops.mul(x, scale)), scale) end
    return ops.mul(ops.round(ops.div(x, scale)), scale)
  end

  local function isnan(x)
    x = like(x, "isnan: x")
    return ops.ne(x, x)
  end
  local function isinf(x) return ops.eq(ops.abs(like(x, "isinf: x")), math.huge) end
  local function isfinite(x) return ops.lt(ops.abs(like(x, "isfinite: x")), math.huge) end

  local NAN_TO_NUM = {{name = "nan", kind = "number", default = 0}, {name = "posinf", kind = "number"},
    {name = "neginf", kind = "number"}}
  local LARGEST = {float32 = (2 - 2.0 ^ -23) * 2.0 ^ 127, float64 = (2 - 2.0 ^ -52) * 2.0 ^ 1023}

  local function nan_to_num(x, ...)
    x = like(x, "nan_to_num: x")
    local o = arguments.read("nan_to_num", NAN_TO_NUM, ...)
    local y = ops.where(ops.ne(x, x), o.nan, x)
    local largest = LARGEST[y.dtype]
    y = ops.where(ops.eq(x, math.huge), o.posinf or largest, y)
    return ops.where(ops.eq(x, -math.huge), o.neginf or -largest, y)
  end

  return {
    {name = "pow", extends = true, f = pow,
      doc = "x^exponent, element by element; the exponent, or x, may be a number, and two tensors are broadcast."},
    {name = "clamp", extends = true, f = clamp,
      more = "A bound may be a tensor, which is broadcast; where they cross, max counts."},
    {name = "round", extends = true, f = round, params = DECIMALS,
      more = "With decimals, to so many places behind the point, or before it where they are negative."},
    {name = "floor_divide", inputs = {"a", "b"}, params = {}, f = floor_divide,
      doc = "a / b rounded down, element by element, broadcast as in add; a // b."},
    {name = "lerp", inputs = {"a", "b", "weight"}, params = {}, f = lerp, differentiable = true,
      doc = "a + weight (b - a): what lies between a and b. The weight is a number or a tensor."},
    {name = "isnan", inputs = {"x"}, params = {}, f = isnan, doc = "1 where x is NaN, else 0."},
    {name = "isinf", inputs = {"x"}, params = {}, f = isinf,
      doc = "1 where x is infinite, of either sign, else 0."},
    {name = "isfinite", inputs = {"x"}, params = {}, f = isfinite,
      doc = "1 where x is neither infinite nor NaN, else 0."},
    {name = "nan_to_num", inputs = {"x"}, params = NAN_TO_NUM, f = nan_to_num, differentiable = true,
      doc = "x with NaN, inf and -inf replaced: by 0 and the largest and smallest finite number unless given."},
  }
end
