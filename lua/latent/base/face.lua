--- The Lua face of the core: functions, methods and operators of tensors.
-- @module latent.base.face
local comparing = require "latent.base.compare"
local foreign = require "latent.base.foreign"
local format = require "latent.base.format"
local grad = require "latent.base.grad"
local options = require "latent.base.options"
local subscript = require "latent.base.subscript"

local M = {}

-- The ops that are written in Lua, a family a file of ops/.
local FAMILIES = {"shape", "elementwise", "reductions", "convolutions", "pooling", "adaptive", "resampling", "losses",
  "attention", "indexing", "arranging", "ordering", "contraction", "products", "criteria", "draws"}

-- What of the core is its users' as it stands; the rest of it, but for the ops, is the library's own business.
local PUBLIC = {"arange", "check_finite", "clip_grad_norm", "clock", "eye", "from_bytes", "full", "gather_scaled",
  "generator", "get_default_dtype", "info", "is_recording", "is_tensor", "knn", "linspace", "manual_seed", "no_grad",
  "ones", "op", "param", "rand", "randn", "randperm", "resize_bilinear", "rng_state", "set_default_dtype",
  "set_rng_state", "set_threads", "tensor", "threads", "trim", "zeros"}

-- Those in Lua whose results stand for parts of a tensor, as slice and permute do, but are copies.
local PARTS = {"transpose", "diagonal", "broadcast_to", "split", "chunk"}

-- These the core reads itself.
local GENERATOR = {"generator", "any", nil, "one made by `lt.generator` (default: the global one)"}
local DTYPE = {"dtype", options.one_of{"float32", "float64", "i64", "u8"}, nil, "the type (default: "
  .. "`lt.get_default_dtype()`)"}
options.declare("lt.randperm", {GENERATOR})
for _, name in ipairs{"rand", "randn"} do options.declare("lt." .. name, {GENERATOR, DTYPE}) end
for _, name in ipairs{"arange", "eye", "from_bytes", "full", "linspace", "ones", "tensor", "zeros"} do
  options.declare("lt." .. name, {DTYPE})
end

-- Random numbers in place, outside of the tape as other ways to fill a tensor are.
local function add_draws(methods, core)
  local function spread(x, name, opts, draw, scale, shift)
    opts = options.check(name, opts, {"generator"})
    return x:copy_(core.ops.add(core.ops.mul(draw(x, {generator = opts.generator}), scale), shift))
  end
  local function number(name, option, value, default)
    return options.expect(name, option, value == nil and default or value, "finite")
  end
  --- Fills a tensor from the normal distribution, in place.
  -- @function Tensor:normal_
  -- @tparam ?number mean 0 unless said
  -- @tparam ?number std the standard deviation: 1 unless said
  -- @tparam ?table opts {generator = made by lt.generator}
  -- @treturn Tensor itself
  function methods.normal_(x, mean, std, opts)
    core.check_tensor(x, "normal_")
    mean, std = number("normal_", "mean", mean, 0), number("normal_", "std", std, 1)
    if std < 0 then core.raise(("normal_: std: expected at least 0, got %g"):format(std)) end
    return (spread(x, "normal_", opts, core.randn, std, mean)) -- no tail call: errors are to speak of normal_
  end
  --- Fills a tensor from the uniform distribution on [low, high), in place.
  -- @function Tensor:uniform_
  -- @tparam ?number low 0 unless said
  -- @tparam ?number high 1 unless said
  -- @tparam ?table opts {generator = made by lt.generator}
  -- @treturn Tensor itself
  function methods.uniform_(x, low, high, opts)
    core.check_tensor(x, "uniform_")
    low, high = number("uniform_", "low", low, 0), number("uniform_", "high", high, 1)
    if high < low then core.raise(("uniform_: high: expected at least %g, got %g"):format(low, high)) end
    return (spread(x, "uniform_", opts, core.rand, high - low, low))
  end
end

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
  add_draws(methods, core)
  --- Makes every element 0, in place.
  -- @function Tensor:zero_
  -- @treturn Tensor itself
  function methods.zero_(x) return (core.check_tensor(x, "zero_"):fill_(0)) end
  function methods.__unknown(key)
    foreign.refuse("tensor", "a tensor", key)
    local names = {"shape", "dtype", "grad", "requires_grad", "is_leaf"}
    for name in pairs(methods) do names[#names + 1] = name end
    table.sort(names)
    local near = options.nearest(key, names)
    core.raise(('a tensor has no method or field "%s"%s'):format(key,
      near and (' (did you mean "%s"?)'):format(near) or ""))
  end
end

-- What Lua's other operators would be asked for. `x > y` arrives here as `y < x`.
local function refuse_operators(core)
  local meta, describe = core.metatable, options.describe
  local function compare(operator, method, swapped)
    return function(x, y)
      local first = core.is_tensor(x)
      local name, other = first and method or swapped, first and y or x
      other = core.is_tensor(other) and "y" or describe(other)
      core.raise(("%s has one answer, a tensor one for each element; write x:%s(%s)"):format(operator, name, other))
    end
  end
  meta.__lt, meta.__le = compare("< or >", "lt", "gt"), compare("<= or >=", "le", "ge")
  for event, text in pairs{
    __concat = "no ..; write tostring(x) or x:item() to make text of it, lt.cat{x, y} to join tensors",
    __call = "no call; write x[i], x:get(i, j) or x:slice(axis, first, last) for its elements",
    __band = "no &; write x * y of results of comparisons",
    __bor = "no |; write lt.maximum(x, y) of results of comparisons",
    __bxor = "no ~; write x:ne(y)",
    __bnot = "no ~; write x:eq(0)",
    __shl = "no <<; write x * 2 ^ n",
    __shr = "no >>; write (x / 2 ^ n):floor()",
  } do
    meta[event] = function() core.raise("a tensor has " .. text) end
  end
end

local function add_operators(core, lt)
  local ops, meta = core.ops, core.metatable
  meta.__add, meta.__sub, meta.__mul, meta.__div = ops.add, ops.sub, ops.mul, ops.div
  meta.__unm = function(x) return ops.neg(x) end
  meta.__pow, meta.__idiv, meta.__mod = lt.pow, lt.floor_divide, ops.remainder
  meta.__tostring = function(x) return format.tensor(core.check_tensor(x, "tostring")) end
  meta.__name = "tensor"
end

-- Adds an op that is written in Lua, and is described as a row is: without its function. One that `extends` a row
-- takes its place, with more arguments, and `more` stands behind the row's text.
local function add_composite(lt, list, op)
  lt[op.name] = op.f
  op.f = nil
  if not op.extends then
    list[#list + 1] = op
    return
  end
  for _, row in ipairs(list) do
    if row.name == op.name then
      row.doc = op.doc or op.more and row.doc .. " " .. op.more or row.doc
      table.move(op.params or {}, 1, #(op.params or {}), #row.params + 1, row.params)
    end
  end
end

--- Builds the face of a core.
-- @tparam table core latent.core
-- @treturn table the module: every function of the library that works on tensors
function M.build(core)
  local lt = {}
  for _, name in ipairs(PUBLIC) do lt[name] = core[name] end
  local list = core.registry()
  for _, op in ipairs(list) do lt[op.name] = core.ops[op.name] end
  for _, family in ipairs(FAMILIES) do
    local entries, randint = require("latent.base.ops." .. family)(core)
    for _, op in ipairs(entries) do add_composite(lt, list, op) end
    --- Random whole numbers from first to last, both included, each as likely as the others.
    -- @function lt.randint
    -- @tparam int first
    -- @tparam int last
    -- @tparam ?int|{int,...} shape of the result (default: one number, no axes)
    -- @tparam ?table opts {generator = made by lt.generator}
    -- @treturn Tensor i64
    lt.randint = randint or lt.randint
  end
  for _, name in ipairs(PARTS) do lt[name] = core.gives_part(name, lt[name]) end
  --- Every op, in a fixed order.
  -- @function lt.ops
  -- @treturn {table,...} each {name, inputs, params, doc, differentiable, elementwise}
  function lt.ops() return list end
  grad(core, lt)
  comparing(core, lt)
  subscript(core)
  lt.set_print_options = format.set_print_options
  add_methods(core, lt)
  add_operators(core, lt)
  refuse_operators(core)
  return lt
end

return M
