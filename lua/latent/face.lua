--- The Lua face of a core: functions, methods and operators of tensors. Made once for `latent.core`
-- (the module `latent`) and, in the specs, once for its double precision twin.
-- @module latent.face
local composites = require "latent.composites"
local format = require "latent.format"
local options = require "latent.options"

local M = {}

-- Functions of the core that are the library's own business.
local PRIVATE = {ops = true, methods = true, metatable = true, registry = true, set_home = true,
  raise = true, nearest = true, check_tensor = true, fits = true, unchanged = true,
  isatty = true, pid = true, is_dir = true, mkdir = true, inflate = true, deflate = true, crc32 = true,
  sync = true, file_info = true, can_write = true, read_link = true, list = true, hold = true, let_go = true,
  note = true, alive = true, host = true, create = true, open_special = true, keep_owner = true, append = true,
  plainly = true,
  ignore_sigpipe = true, profile_start = true, profile_stop = true, profile_running = true,
  sgd = true, adam = true, rmsprop = true, trap = true, untrap = true, pending = true,
  clear_signal = true, raise_signal = true, interruptible = true, resume = true, wrap = true,
  statistics = true, blas = true}

local function add_methods(core, lt)
  local methods = core.methods
  for _, op in ipairs(lt.ops()) do
    local list = op.inputs[1]:find "%*"
    if not list then methods[op.name] = lt[op.name] end
    if op.elementwise then methods[op.name .. "_"] = core.ops[op.name .. "_"] end
  end
  --- An iterator over the rows of the first axis: `for i, row in x:rows() do`.
  -- @function Tensor:rows
  -- @treturn function gives a number and a row, of a tensor with one axis two numbers
  function methods.rows(x)
    local i, n = 0, #core.check_tensor(x, "rows")
    return function()
      i = i + 1
      if i <= n then return i, x[i] end
    end
  end
  --- Makes every element 0, in place.
  -- @function Tensor:zero_
  -- @treturn Tensor itself
  function methods.zero_(x) return core.check_tensor(x, "zero_"):fill_(0) end
  function methods.__unknown(key)
    local names = {"shape", "dtype", "grad", "requires_grad", "is_leaf"}
    for name in pairs(methods) do names[#names + 1] = name end
    table.sort(names)
    local near = options.nearest(key, names)
    core.raise(('a tensor has no method or field "%s"%s'):format(key,
      near and (' (did you mean "%s"?)'):format(near) or ""))
  end
end

local function add_operators(core)
  local ops, meta = core.ops, core.metatable
  meta.__add, meta.__sub, meta.__mul, meta.__div = ops.add, ops.sub, ops.mul, ops.div
  meta.__unm = function(x) return ops.neg(x) end
  meta.__pow = function(x, y)
    if type(y) ~= "number" then core.raise("pow: expected a number as exponent, got " .. options.describe(y)) end
    return ops.pow(x, y)
  end
  meta.__tostring = function(x) return format.tensor(core.check_tensor(x, "tostring")) end
  meta.__name = "tensor"
end

--- Builds the face of a core.
-- @tparam table core latent.core or latent.core64
-- @treturn table the module: every function of the library that works on tensors
function M.build(core)
  local lt = {}
  for name, value in pairs(core) do
    if not PRIVATE[name] then lt[name] = value end
  end
  local list = core.registry()
  for _, op in ipairs(list) do lt[op.name] = core.ops[op.name] end
  for _, op in ipairs(composites(core)) do
    lt[op.name] = op.f
    list[#list + 1] = op
  end
  --- Every op, in a fixed order.
  -- @function lt.ops
  -- @treturn {table,...} each {name, inputs, params, doc, differentiable, elementwise}
  function lt.ops() return list end
  add_methods(core, lt)
  add_operators(core)
  return lt
end

return M
