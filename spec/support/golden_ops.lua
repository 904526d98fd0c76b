-- How an op case of a golden folder, written in PyTorch's terms (channels first, weights [out, in, ...],
-- axes from 0), is put to the public functions of latent. Each entry: `run(x, attrs, given)` makes the
-- output from the converted inputs; `layout` says how inputs and output ("y") are turned around.
local lt = require "latent"
local json = require "latent.json"

local M = {}

-- Layouts: the order of axes that turns PyTorch's array into ours.

local orders = {}

function orders.image(dims)
  if dims < 3 then return nil end
  local order = {1}
  for d = 3, dims do order[#order + 1] = d end
  order[#order + 1] = 2
  return order
end

function orders.conv(dims) return dims == 4 and {3, 4, 2, 1} or nil end -- OIHW
function orders.conv_transpose(dims) return dims == 4 and {3, 4, 1, 2} or nil end -- IOHW
function orders.linear(dims) return dims == 2 and {2, 1} or nil end

--- PyTorch's array in our order of axes.
function M.to_ours(t, layout)
  local order = layout and orders[layout](t:dim())
  return order and t:permute(order) or t
end

--- Ours in PyTorch's order: the inverse.
function M.to_torch(t, layout)
  local order = layout and orders[layout](t:dim())
  if not order then return t end
  local inverse = {}
  for i, d in ipairs(order) do inverse[d] = i end
  return t:permute(inverse)
end

-- Attributes.

local function given(value)
  if value == nil or value == json.null then return nil end
  return value
end

-- The first of several names that is there.
local function attr(attrs, ...)
  for _, name in ipairs {...} do
    local value = given(attrs[name])
    if value ~= nil then return value end
  end
  return nil
end

local function pair(value)
  if type(value) ~= "table" then return value and math.tointeger(value) end
  local a, b = math.tointeger(value[1]), math.tointeger(value[2] or value[1])
  return {a, b}
end

local function axis(value)
  value = math.tointeger(value)
  return value and (value >= 0 and value + 1 or value)
end

-- The axes of a reduction: nil, a number or a list.
local function axes(attrs)
  local value = attr(attrs, "dim", "dims", "axis")
  if type(value) ~= "table" then return axis(value) end
  local list = {}
  for i, v in ipairs(value) do list[i] = axis(v) end
  return #list > 0 and list or nil
end

local function one_axis(attrs)
  local value = axes(attrs)
  if type(value) == "table" then return #value == 1 and value[1] or error "several axes" end
  return value
end

local function keepdim(attrs) return attr(attrs, "keepdim", "keepdims") == true end

local function reduction(attrs) return {reduction = attr(attrs, "reduction") or "mean"} end

local function names_in_order(x)
  local names = {}
  for name in pairs(x) do names[#names + 1] = name end
  table.sort(names, function(a, b) return #a ~= #b and #a < #b or #a == #b and a < b end)
  return names
end

local function only(x) return x.x or x[names_in_order(x)[1]] end

local function list_of(x)
  local list = {}
  for i, name in ipairs(names_in_order(x)) do list[i] = x[name] end
  return list
end

-- An operand that may stand among the inputs, or among the attributes as a number, a nested list or
-- the name of an array.
local function operand(x, attrs, tensors, ...)
  for _, name in ipairs {...} do
    local value = x[name] or given(attrs[name])
    if type(value) == "string" then value = assert(tensors[value], "no array " .. value) end
    if value ~= nil then return value end
  end
  return nil
end


local function index_of(value, tensors, count)
  if type(value) == "string" then value = tensors[value] end
  if lt.is_tensor(value) then value = value:float():reshape(-1):table() end
  local index = {}
  for i, v in ipairs(value) do index[i] = (v < 0 and v + count or v) + 1 end
  return index
end

-- Ops.

local ops = {}

for _, name in ipairs {"neg", "exp", "log", "sqrt", "square", "abs", "sin", "cos", "tanh", "sigmoid",
  "relu", "gelu", "silu", "floor", "ceil", "round", "sign", "clone"} do
  ops[name] = {run = function(x) return lt[name](only(x)) end}
end

for _, name in ipairs {"add", "sub", "mul", "div", "maximum", "minimum"} do
  ops[name] = {run = function(x, attrs, tensors)
    local a = operand(x, attrs, tensors, "a", "x", "input")
    return lt[name](a, operand(x, attrs, tensors, "b", "other", "scalar", "value", "y"))
  end}
end

for _, name in ipairs {"eq", "ne", "lt", "le", "gt", "ge"} do ops[name] = {run = function(x, attrs, tensors)
  return lt[name](operand(x, attrs, tensors, "a", "x"), operand(x, attrs, tensors, "b", "other", "scalar"))
end} end

ops.leaky_relu = {run = function(x, attrs)
  return lt.leaky_relu(only(x), attr(attrs, "slope", "negative_slope") or 0.01)
end}
ops.elu = {run = function(x, attrs) return lt.elu(only(x), attr(attrs, "alpha") or 1) end}
ops.softplus = {run = function(x, attrs)
  local beta = attr(attrs, "beta") or 1
  return beta == 1 and lt.softplus(only(x)) or lt.softplus(only(x) * beta) / beta
end}
ops.clamp = {run = function(x, attrs)
  return lt.clamp(only(x), {min = attr(attrs, "min"), max = attr(attrs, "max")})
end}
ops.pow = {run = function(x, attrs) return lt.pow(only(x), attr(attrs, "exponent", "p", "power")) end}

for _, name in ipairs {"sum", "mean"} do
  ops[name] = {run = function(x, attrs) return lt[name](only(x), axes(attrs), keepdim(attrs)) end}
end
for _, name in ipairs {"max", "min"} do
  ops[name] = {run = function(x, attrs) return lt[name](only(x), one_axis(attrs), keepdim(attrs)) end}
end
for _, name in ipairs {"argmax", "argmin"} do
  ops[name] = {run = function(x, attrs) return lt[name](only(x), one_axis(attrs), keepdim(attrs)) - 1 end}
end
for _, name in ipairs {"var", "std"} do
  ops[name] = {run = function(x, attrs)
    local unbiased = attr(attrs, "unbiased")
    if unbiased == nil then unbiased = (attr(attrs, "correction") or 1) == 1 end
    return lt[name](only(x), axes(attrs), {unbiased = unbiased, keepdim = keepdim(attrs)})
  end}
end
ops.norm = {run = function(x, attrs) return lt.norm(only(x), axes(attrs), keepdim(attrs)) end}

ops.logsumexp = {run = function(x, attrs)
  local over = axes(attrs)
  if type(over) ~= "table" then return lt.logsumexp(only(x), over, keepdim(attrs)) end
  local y = only(x)
  local dims, drop = y:dim(), {}
  for _, a in ipairs(over) do
    y = lt.logsumexp(y, a, true)
    drop[a > 0 and a or dims + 1 + a] = true
  end
  if keepdim(attrs) then return y end
  local shape = {}
  for d, n in ipairs(y.shape) do
    if not drop[d] then shape[#shape + 1] = n end
  end
  return y:reshape(shape)
end}
for _, name in ipairs {"softmax", "log_softmax"} do
  ops[name] = {run = function(x, attrs) return lt[name](only(x), one_axis(attrs) or -1) end}
end

ops.gather_rows = {run = function(x, attrs, tensors)
  local from = only(x)
  return lt.gather_rows(from, index_of(attr(attrs, "index", "indices"), tensors, from:size(1)))
end}

ops.flip = {run = function(x, attrs)
  local y, over = only(x), axes(attrs)
  for _, a in ipairs(type(over) == "table" and over or {over}) do y = lt.flip(y, a) end
  return y
end}

ops.where = {run = function(x, attrs, tensors)
  local condition = operand(x, attrs, tensors, "condition", "cond", "mask")
  if type(condition) == "table" then condition = lt.tensor(condition) end
  return lt.where(condition:float(), operand(x, attrs, tensors, "a", "x"),
    operand(x, attrs, tensors, "b", "other", "y"))
end}

-- PyTorch's matmul also takes vectors, and broadcasts batches.
local function batched(a, b)
  local rank = math.max(a:dim(), b:dim())
  local shape = {}
  for d = 1, rank - 2 do
    local m, n = a.shape[a:dim() - rank + d] or 1, b.shape[b:dim() - rank + d] or 1
    shape[d] = math.max(m, n)
  end
  local function widen(t)
    local full = table.move(shape, 1, #shape, 1, {})
    full[#full + 1], full[#full + 2] = t:size(-2), t:size(-1)
    return lt.broadcast_to(t, full)
  end
  return lt.matmul(widen(a), widen(b))
end

ops.matmul = {run = function(x, attrs, tensors)
  local a = operand(x, attrs, tensors, "a", "x")
  local b = operand(x, attrs, tensors, "b", "y", "other")
  local row, column = a:dim() == 1, b:dim() == 1
  if row then a = a:unsqueeze(1) end
  if column then b = b:unsqueeze(2) end
  local y
  if b:dim() == 2 and a:dim() >= 2 then
    y = lt.matmul(a, b)
  elseif b:dim() == a:dim() then
    local same = true
    for d = 1, a:dim() - 2 do same = same and a:size(d) == b:size(d) end
    y = same and lt.matmul(a, b) or batched(a, b)
  else
    y = batched(a, b)
  end
  if column then y = y:squeeze(-1) end
  if row then y = y:squeeze(column and -1 or -2) end
  return y
end}

ops.transpose = {run = function(x, attrs)
  local dims = attr(attrs, "dims") or {attr(attrs, "dim0", "a") or 0, attr(attrs, "dim1", "b") or 1}
  return lt.transpose(only(x), axis(dims[1]), axis(dims[2]))
end}
ops.permute = {run = function(x, attrs)
  local order = {}
  for i, d in ipairs(attr(attrs, "dims", "axes", "order")) do order[i] = axis(d) end
  return lt.permute(only(x), order)
end}
ops.cat = {run = function(x, attrs) return lt.cat(list_of(x), one_axis(attrs) or 1) end}
ops.stack = {run = function(x, attrs) return lt.stack(list_of(x), one_axis(attrs) or 1) end}
ops.reshape = {run = function(x, attrs)
  local shape = {}
  for i, n in ipairs(attr(attrs, "shape", "size")) do shape[i] = math.tointeger(n) end
  return lt.reshape(only(x), shape)
end}
ops.view = ops.reshape
ops.flatten = {run = function(x, attrs)
  return lt.flatten(only(x), axis(attr(attrs, "start", "start_dim", "dim") or 0))
end}
ops.squeeze = {run = function(x, attrs) return lt.squeeze(only(x), one_axis(attrs)) end}
ops.unsqueeze = {run = function(x, attrs) return lt.unsqueeze(only(x), one_axis(attrs)) end}
ops.broadcast_to = {run = function(x, attrs) return lt.broadcast_to(only(x), attr(attrs, "shape", "size")) end}
ops.expand = ops.broadcast_to

ops.slice = {run = function(x, attrs)
  local from, a = only(x), one_axis(attrs) or 1
  local n = from:size(a)
  local function place(value, otherwise)
    value = math.tointeger(value or otherwise)
    if value < 0 then value = value + n end
    return math.min(math.max(value, 0), n)
  end
  local start, stop = place(attr(attrs, "start"), 0), place(attr(attrs, "stop", "end"), n)
  local step = math.tointeger(attr(attrs, "step") or 1)
  if step == 1 then return lt.slice(from, a, start + 1, math.max(start, stop)) end
  local rows = {}
  for i = start, stop - 1, step do rows[#rows + 1] = i + 1 end
  return from:transpose(1, a):gather_rows(rows):transpose(1, a)
end}

ops.linear = {layout = {w = "linear", weight = "linear"}, run = function(x)
  return lt.linear(x.x or x.input, x.w or x.weight, x.b or x.bias)
end}

ops.mse_loss = {run = function(x, attrs, tensors)
  return lt.mse_loss(operand(x, attrs, tensors, "input", "x", "a"),
    operand(x, attrs, tensors, "target", "b"), reduction(attrs))
end}
ops.bce_with_logits = {run = function(x, attrs, tensors)
  return lt.bce_with_logits(operand(x, attrs, tensors, "x", "input", "logits"),
    operand(x, attrs, tensors, "target"), reduction(attrs))
end}
ops.cross_entropy = {run = function(x, attrs, tensors)
  local labels = operand(x, attrs, tensors, "labels", "target")
  return lt.cross_entropy(operand(x, attrs, tensors, "x", "input", "logits"), labels, reduction(attrs))
end}
ops.gaussian_kl = {run = function(x, attrs) return lt.gaussian_kl(x.mu, x.log_var, reduction(attrs)) end}
ops.gaussian_nll = {run = function(x, attrs, tensors)
  return lt.gaussian_nll(operand(x, attrs, tensors, "mu", "input"), operand(x, attrs, tensors, "log_var"),
    operand(x, attrs, tensors, "target"),
    {constant = attr(attrs, "constant", "full") == true, reduction = attr(attrs, "reduction") or "mean"})
end}

local function conv_options(attrs)
  return {stride = pair(attr(attrs, "stride")), padding = pair(attr(attrs, "padding")),
    dilation = pair(attr(attrs, "dilation"))}
end

ops.conv2d = {layout = {x = "image", input = "image", y = "image", w = "conv", weight = "conv"},
  run = function(x, attrs)
    return lt.conv2d(x.x or x.input, x.w or x.weight, x.b or x.bias, conv_options(attrs))
  end}
ops.conv_transpose2d = {
  layout = {x = "image", input = "image", y = "image", w = "conv_transpose", weight = "conv_transpose"},
  run = function(x, attrs)
    local options = conv_options(attrs)
    options.output_padding = pair(attr(attrs, "output_padding"))
    return lt.conv_transpose2d(x.x or x.input, x.w or x.weight, x.b or x.bias, options)
  end}

for _, name in ipairs {"max_pool2d", "avg_pool2d"} do
  ops[name] = {layout = {x = "image", input = "image", y = "image"}, run = function(x, attrs)
    for _, unknown in ipairs {"ceil_mode", "dilation"} do
      local value = attr(attrs, unknown)
      if value and value ~= 1 then error(name .. ": no such option: " .. unknown, 0) end
    end
    return lt[name](only(x), pair(attr(attrs, "kernel", "kernel_size")),
      {stride = pair(attr(attrs, "stride")), padding = pair(attr(attrs, "padding"))})
  end}
end
ops.upsample_nearest = {layout = {x = "image", input = "image", y = "image"}, run = function(x, attrs)
  return lt.upsample_nearest(only(x), pair(attr(attrs, "scale", "scale_factor")))
end}

ops.batch_norm_train = {layout = {x = "image", input = "image", y = "image"}, run = function(x, attrs)
  local from = x.x or x.input
  local n = from:size(-1)
  return (lt.batch_norm_train(from, x.w or x.weight or lt.ones(n), x.b or x.bias or lt.zeros(n),
    {eps = attr(attrs, "eps") or 1e-5}))
end}
-- PyTorch may normalise over several of the last axes, and knows their shape from the weight.
ops.layer_norm = {run = function(x, attrs)
  local from = x.x or x.input
  local weight, bias = x.w or x.weight, x.b or x.bias
  local shape = attr(attrs, "normalized_shape", "shape") or (weight or bias or {}).shape
    or {from:size(-1)}
  local n = 1
  for _, size in ipairs(type(shape) == "table" and shape or {shape}) do n = n * math.tointeger(size) end
  local y = lt.layer_norm(from:reshape(-1, n), weight and weight:reshape(-1) or lt.ones(n),
    bias and bias:reshape(-1) or lt.zeros(n), {eps = attr(attrs, "eps") or 1e-5})
  return y:reshape(from.shape)
end}

M.ops = ops

return M
