--- Whether tensors are the same, in one answer.
-- @module latent.base.compare
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

--- @tparam table core latent.core or latent.core64
-- @tparam table lt the face to which the functions are added
return function(core, lt)
  local ops, check = core.ops, core.check_tensor

  --- Whether two tensors have one shape, one type and the same elements. NaN is like nothing.
  -- @function lt.equal
  -- @tparam Tensor a
  -- @tparam Tensor b
  -- @treturn boolean
  function lt.equal(a, b)
    check(a, "equal: a")
    check(b, "equal: b")
    if shapes.typed(a) ~= shapes.typed(b) then return false end
    return a:numel() == 0 or ops.min(ops.eq(a:detach(), b:detach()):float()):item() == 1
  end

  local close_options = options.declare("lt.allclose", {
    {"rtol", "not negative", 1e-5, "of |b|"},
    {"atol", "not negative", 1e-8, "on top"},
    {"equal_nan", "boolean", false, "NaN is close to NaN"},
  })

  -- 1 where two tensors are close, else 0.
  local function isclose(a, b, o)
    local same = ops.eq(a, b):float() -- infinities too
    if o.equal_nan then same = ops.maximum(same, ops.mul(ops.ne(a, a):float(), ops.ne(b, b):float())) end
    local bound = ops.add(ops.mul(ops.abs(b), o.rtol), o.atol)
    local finite = ops.lt(bound, math.huge):float()
    return ops.maximum(same, ops.mul(ops.le(ops.abs(ops.sub(a, b)), bound):float(), finite))
  end

  --- Whether all elements of two tensors, which may broadcast, are close: |a - b| <= atol + rtol |b|.
  -- @function lt.allclose
  -- @tparam Tensor a
  -- @tparam Tensor b
  -- @tparam ?table opts
  -- @treturn boolean
  function lt.allclose(a, b, opts)
    local o = close_options(opts, "allclose")
    check(a, "allclose: a")
    check(b, "allclose: b")
    local near = isclose(a:detach(), b:detach(), o)
    return near:numel() == 0 or ops.min(near):item() == 1
  end

  --- `lt.equal(self, b)`
  -- @function Tensor:equal
  -- @tparam Tensor b
  -- @treturn boolean
  core.methods.equal = lt.equal
  --- `lt.allclose(self, b, opts)`
  -- @function Tensor:allclose
  -- @tparam Tensor b
  -- @tparam ?table opts
  -- @treturn boolean
  core.methods.allclose = lt.allclose
end
