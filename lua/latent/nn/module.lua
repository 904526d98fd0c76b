--- What all models and layers share: parameters by name, state, modes, summary.
-- A module is a table whose fields are its parts: other modules, and parameters made by `lt.param`.
-- @module latent.nn.module
local core = require "latent.core"
local foreign = require "latent.base.foreign"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"
local torch = require "latent.nn.torch"

local raise = core.raise

--- A layer or model. `model(...)` calls its `forward`; its fields are its parts.
-- @type Module
-- @tfield boolean training whether it is in training mode
-- @tfield string kind its name in texts and messages
local Module = {is_latent_module = true, training = true, kind = "Module"}
Module.__index = Module
Module.__name = "module" -- in messages
setmetatable(Module, foreign.of_modules)

local M = {Module = Module}

-- A class such as nn.ReLU is no module yet: it is its own __index.
local function is_class(value)
  return type(value) == "table" and rawget(value, "__index") == value and rawget(value, "kind") ~= nil
end

--- Whether a value is a layer or model (an object, not a class).
-- @param value
-- @treturn boolean
function M.is_module(value)
  if type(value) ~= "table" or is_class(value) then return false end
  -- Raw: any value is asked, and its __index may raise.
  local class = value
  repeat
    local meta = debug.getmetatable(class)
    class = type(meta) == "table" and rawget(meta, "__index")
  until type(class) ~= "table" or rawget(class, "is_latent_module")
  return type(class) == "table"
end

-- Field names in a fixed order: numbers, then the class's own order, then the alphabet.
local function field_names(self)
  local rank = {}
  for i, name in ipairs(self.order or {}) do rank[name] = i end
  local names = {}
  for name in pairs(self) do
    if type(name) == "number" or (type(name) == "string" and name:sub(1, 1) ~= "_") then
      names[#names + 1] = name
    end
  end
  -- Files depend on the order of parameters: no locale may change the alphabet.
  core.plainly(table.sort, names, function(a, b)
    if type(a) ~= type(b) then return type(a) == "number" end
    if type(a) == "number" then return a < b end
    local ra, rb = rank[a] or math.huge, rank[b] or math.huge
    if ra ~= rb then return ra < rb end
    return a < b
  end)
  return names
end

-- A layer's own parameters stay parameters when they want no gradient for a while.
local function is_parameter(self, name, value)
  if not core.is_tensor(value) then return false end
  if self._frozen and self._frozen[name] then return true end
  for _, own in ipairs(self.order or {}) do
    if own == name then return true end
  end
  return value.is_leaf and value.requires_grad
end

-- Calls visit(path, module) for a module and all below it, parents first.
local function walk(self, visit, path, seen)
  if seen[self] then return end -- a module used in two places has one set of parameters
  seen[self] = true
  visit(path, self)
  for _, name in ipairs(field_names(self)) do
    local child = rawget(self, name)
    if M.is_module(child) then
      walk(child, visit, path == "" and tostring(name) or path .. "." .. name, seen)
    end
  end
end

--- Every module in this one, itself first.
-- @treturn {{string,Module},...} pairs of path ("encoder.1"; "" for itself) and module
function Module:modules()
  local list = {}
  walk(self, function(path, module) list[#list + 1] = {path, module} end, "", {})
  return list
end

-- Calls visit(name, tensor, module, field, is_buffer) for each parameter and buffer. They are the module's own, also
-- where they were copied out of another tensor: nobody takes them for a part of it any more when they change.
local function each_tensor(self, visit)
  for _, entry in ipairs(self:modules()) do
    local path, module = entry[1], entry[2]
    local prefix = path == "" and "" or path .. "."
    for _, field in ipairs(field_names(module)) do
      local value = rawget(module, field)
      if is_parameter(module, field, value) then
        visit(prefix .. field, core.own(value), module, field, false)
      elseif core.is_tensor(value) and module.buffers and module.buffers[field] then
        visit(prefix .. field, core.own(value), module, field, true)
      end
    end
  end
end

--- The parameters with their names, in a fixed order; one that stands in two places comes once.
-- @treturn {{string,Tensor},...} pairs such as {"encoder.1.weight", tensor}
function Module:named_parameters()
  local list, seen = {}, {}
  each_tensor(self, function(name, value, _, _, buffer)
    if buffer or seen[value] then return end
    seen[value] = true
    list[#list + 1] = {name, value}
  end)
  return list
end

--- The parameters: what an optimiser takes.
-- @treturn {Tensor,...}
function Module:parameters()
  local list = {}
  for i, entry in ipairs(self:named_parameters()) do list[i] = entry[2] end
  return list
end

--- The number of parameters, element by element.
-- @treturn int
function Module:count()
  local n = 0
  for _, p in ipairs(self:parameters()) do n = n + p:numel() end
  return n
end

-- The options that say how a state stands to PyTorch's.
local NAMES = options.kind("table|string", "a table", function(value)
  return (value == "zero-based" or type(value) == "table") and value or nil
end)
local LAYOUT = {
  {"layout", options.one_of{"torch"}, nil, "the arrays are PyTorch's and are permuted"},
  {"names", NAMES, nil, '{["conv.0"] = "encoder.1", ...}: their names, or beginnings of names, and ours; or '
    .. '"zero-based": the same names, but for numbers in them, which count from 0 there'},
  {"channels", "table", nil, '{["mu.1"] = 16, fc = {writes = 32}}: linear layers that read a flattened map of so many '
    .. "channels, or whose output becomes one, 1 for none: wanted where it is not seen in the chain of layers before "
    .. "and behind, because a forward function of your own lies between (see `nn.Module`'s torch_layout), or the model "
    .. "begins with a Flatten"},
}
local state_options = options.declare("state", LAYOUT, "nn.Module:state")
local load_options = options.declare("load_state", LAYOUT, "nn.Module:load_state")

--- Parameters and buffers (running statistics) by name. Without options the tensors are the model's own; with
-- `layout` or `names` they are copies, made for another program.
-- @usage pt.save("weights.pt", model:state{layout = "torch", names = "zero-based"})
-- @tparam ?table opts as `load_state` takes them: what that reads with
-- the same options is this state again, bit for bit, and PyTorch's `load_state_dict` takes it
-- @treturn {[string]=Tensor}
-- @raise where `names` gives two names to one array, or does not lead back; where `channels` has to name a layer
function Module:state(opts)
  opts = state_options(opts)
  local state = {}
  each_tensor(self, function(name, value) state[name] = value end)
  if not opts.layout and not opts.names then return state end
  if opts.layout then
    state = torch.export(self, state, opts.channels or {})
  else
    for name, value in pairs(state) do state[name] = value:detach():clone() end
  end
  return opts.names and torch.rename_back(state, opts.names) or state
end

local function is_floating(x) return x.dtype == "float32" or x.dtype == "float64" end

-- What keeps a state from being loaded, as the lines of a table.
local function mismatches(wanted, state)
  local lines = {}
  local function line(kind, name, text)
    lines[#lines + 1] = ("  %-12s %-28s %s"):format(kind, name, text)
  end
  for name, own in pairs(wanted) do
    local given = state[name]
    if given == nil then
      line("missing", name, "expected " .. shapes.text(own))
    elseif not core.is_tensor(given) then
      line("wrong type", name, "expected a tensor, got " .. options.describe(given))
    elseif shapes.text(given) ~= shapes.text(own) or not (given.dtype == own.dtype or is_floating(given)
        and is_floating(own)) then
      line("wrong shape", name, ("expected %s, got %s"):format(shapes.typed(own), shapes.typed(given)))
    end
  end
  for name, given in pairs(state) do
    if wanted[name] == nil then
      line("unexpected", tostring(name), core.is_tensor(given) and "got " .. shapes.text(given) or "")
    end
  end
  table.sort(lines)
  return lines
end

--- Copies a state into the model. Every name must be there, with its shape, and no other; one floating type is
-- converted to the other.
-- @tparam {[string]=Tensor} state as `state()` gives it, or as read from a file
-- @tparam ?table opts
-- @treturn Module itself
-- @raise a table of what is missing, unexpected or of the wrong shape, or a list of the layers that `channels` has to
-- name; nothing is changed then
function Module:load_state(state, opts)
  -- The second result of a reader, handed on by assert, is no options table.
  if options.is_beside(opts) then opts = nil end
  opts = load_options(opts)
  options.expect("load_state", "state", state, "table")
  for name in pairs(state) do options.expect("load_state", "name", name, "string") end
  if opts.names then state = torch.rename(state, opts.names) end
  if opts.layout == "torch" then state = torch.convert(self, state, opts.channels or {}) end
  local wanted = self:state()
  local lines = mismatches(wanted, state)
  if #lines > 0 then
    raise("load_state: the state does not fit the model:\n" .. table.concat(lines, "\n"))
  end
  core.no_grad(function()
    for name, own in pairs(wanted) do
      local given = state[name]
      own:copy_(given.dtype == own.dtype and given or core.tensor(given, {dtype = own.dtype}))
    end
  end)
  return self
end

-- Every parameter and buffer of a floating type anew, of the given one; what stands in two places stays one.
local function convert(self, dtype)
  local made, list = {}, {}
  each_tensor(self, function(_, value, module, field, buffer) list[#list + 1] = {value, module, field, buffer} end)
  for _, entry in ipairs(list) do
    local value, module, field, buffer = table.unpack(entry)
    if is_floating(value) and value.dtype ~= dtype then
      if not made[value] then
        local new = core.tensor(value:detach(), {dtype = dtype})
        made[value] = buffer and new or core.param(new):requires_grad_(value.requires_grad)
      end
      module[field] = made[value]
    end
  end
  return self
end

--- Converts all parameters and buffers to float64: they are new tensors, without gradients, so that an optimiser is
-- made after it.
-- @treturn Module itself
function Module:double() return convert(self, "float64") end

--- Converts all parameters and buffers to float32, as `double` does to float64.
-- @treturn Module itself
function Module:float() return convert(self, "float32") end

--- Zeroes all gradients, in place.
function Module:zero_grad() core.zero_grads(self:parameters()) end

local function set_mode(self, training)
  for _, entry in ipairs(self:modules()) do entry[2].training = training end
  return self
end

--- Training mode: dropout drops, batch norm uses the batch's statistics.
-- @treturn Module itself
function Module:train() return set_mode(self, true) end

--- Evaluation mode.
-- @treturn Module itself
function Module:eval() return set_mode(self, false) end

--- No parameter wants a gradient any more, nor keeps one; they stay parameters.
-- @treturn Module itself
function Module:freeze()
  each_tensor(self, function(_, value, module, field, buffer)
    if buffer then return end
    module._frozen = module._frozen or {}
    module._frozen[field] = true
    value:requires_grad_(false)
    value.grad = nil
  end)
  return self
end

--- Undoes freeze.
-- @treturn Module itself
function Module:unfreeze()
  for _, entry in ipairs(self:modules()) do
    local module = entry[2]
    for field in pairs(module._frozen or {}) do module[field]:requires_grad_(true) end
    module._frozen = nil
  end
  return self
end

--- Which parts are in evaluation mode and which parameters are frozen: what `state` does not tell.
-- @treturn table {eval = {path, ...}, frozen = {name, ...}}, paths and names as in `modules` and `state`
function Module:modes()
  local modes = {eval = {}, frozen = {}}
  for _, entry in ipairs(self:modules()) do
    if not entry[2].training then modes.eval[#modes.eval + 1] = entry[1] end
  end
  each_tensor(self, function(name, value, _, _, buffer)
    if not buffer and not value.requires_grad then modes.frozen[#modes.frozen + 1] = name end
  end)
  return modes
end

--- Takes up what `modes` told of a model with the same parts.
-- @tparam table modes
-- @treturn Module itself
function Module:set_modes(modes)
  options.expect("set_modes", "modes", modes, "table")
  options.check("set_modes", modes, {"eval", "frozen"})
  local eval, frozen = {}, {}
  for _, path in ipairs(options.expect("set_modes", "eval", modes.eval, "list")) do eval[path] = true end
  for _, name in ipairs(options.expect("set_modes", "frozen", modes.frozen, "list")) do frozen[name] = true end
  for _, entry in ipairs(self:modules()) do entry[2].training = not eval[entry[1]] end
  each_tensor(self, function(name, value, module, field, buffer)
    if buffer then return end
    if not frozen[name] then
      value:requires_grad_(true)
      if module._frozen then module._frozen[field] = nil end
    else
      module._frozen = module._frozen or {}
      module._frozen[field] = true
      value:requires_grad_(false)
      value.grad = nil
    end
  end)
  return self
end

-- While a summary runs: the list that calls are noted in.
local trace

--- Whether a summary runs, which wants every call of a layer to be seen.
function M.is_tracing() return trace ~= nil end

local function run(self, ...)
  if not trace then return self:forward(...) end
  local entry = {module = self}
  trace[#trace + 1] = entry
  local output = self:forward(...)
  entry.output = core.is_tensor(output) and output.shape or nil
  return output
end

-- The output behind the hooks of a layer, in the order in which they came.
local function call_with_hooks(self, ...)
  local results = table.pack(run(self, ...))
  for _, hook in ipairs{table.unpack(self._hooks)} do
    local fresh = table.pack(hook.f(self, {...}, table.unpack(results, 1, results.n)))
    if fresh[1] ~= nil then results = fresh end
  end
  return table.unpack(results, 1, results.n)
end

--- How often hooks have come to layers, or gone.
M.hook_changes = 0

--- Calls a function after each call of the module: f(module, inputs, output), the inputs as a list. What it returns,
-- unless nil, takes the output's place. A layer with hooks is computed alone, not fused with its neighbours.
-- @tparam function f
-- @treturn table `handle:remove()` takes the hook away
-- @usage net[3]:register_forward_hook(function(layer, inputs, y) print(layer, y:std():item()) end)
function Module:register_forward_hook(f)
  options.expect("register_forward_hook", "f", f, "function")
  local hook, hooks = {f = f}, self._hooks or {}
  self._hooks = hooks
  hooks[#hooks + 1] = hook
  M.hook_changes = M.hook_changes + 1
  return {remove = function()
    M.hook_changes = M.hook_changes + 1
    for i, other in ipairs(hooks) do
      if other == hook then return table.remove(hooks, i) end
    end
  end}
end

--- Calls a module.
-- @tparam Module self
-- @param ... its inputs
-- @return its outputs
function M.call(self, ...)
  if not self.forward then raise(self.kind .. ": has no forward function") end
  if self._hooks and self._hooks[1] then return call_with_hooks(self, ...) end
  return run(self, ...)
end

-- Where `M.intercept` is set, it is called in the place of each module: latent.onnx follows models so.
function Module:__call(...)
  if M.intercept then return M.intercept(self, ...) end
  local forward = self.forward
  if trace or self._hooks or not forward then return M.call(self, ...) end
  return forward(self, ...)
end

local CALL = Module.__call -- of Module itself it may be replaced, too

--- Whether a call is nothing else than a call of forward, unless a summary runs or `M.intercept` is set.
-- @tparam Module self
-- @treturn boolean
function M.calls_forward(self)
  local class = getmetatable(self)
  return class ~= nil and class.__call == CALL and rawget(self, "_hooks") == nil and self.forward ~= nil
end

-- Rows of texts as lines, each column as wide as its longest text and no narrower than said; the last to the right.
local function in_columns(rows, widths)
  for _, row in ipairs(rows) do
    for i, text in ipairs(row) do widths[i] = math.max(widths[i], #text) end
  end
  local lines, last = {}, #widths
  for i, row in ipairs(rows) do
    local cells = {}
    for k, text in ipairs(row) do
      local space = (" "):rep(widths[k] - #text)
      cells[k] = k == last and space .. text or text .. space
    end
    lines[i] = table.concat(cells, " "):gsub(" +$", "")
  end
  return table.concat(lines, "\n")
end

--- A table of the parts, their output shapes for an input of the given shape, and parameter counts.
-- @tparam {int,...} shape of the input, batch included
-- @treturn string
function Module:summary(shape)
  if type(shape) ~= "table" then
    raise("summary: expected the input's shape, such as {64, 32, 32, 1}, got " .. options.describe(shape))
  end
  local paths, calls = {}, {}
  for _, entry in ipairs(self:modules()) do paths[entry[2]] = entry[1] end
  local modes = {} -- a part may be in another mode than the whole
  for _, entry in ipairs(self:modules()) do modes[entry[2]] = entry[2].training end
  self:eval()
  trace = calls
  local ok, message = pcall(function()
    core.no_grad(function() return self(core.zeros(shape)) end)
  end)
  trace = nil
  for module, training in pairs(modes) do module.training = training end
  if not ok then error(message, 0) end
  local rows = {{"name", "layer", "output", "parameters"}}
  for _, call in ipairs(calls) do
    local module = call.module
    local leaf = true
    for _, value in pairs(module) do leaf = leaf and not M.is_module(value) end
    local text = leaf and tostring(module) or module.kind
    rows[#rows + 1] = {paths[module] or "?", text:find "\n" and module.kind or text,
      call.output and shapes.text(call.output) or "", leaf and tostring(module:count()) or ""}
  end
  rows[#rows + 1] = {"total", "", "", tostring(self:count())}
  return in_columns(rows, {20, 44, 20, 10})
end

--- The text of a module: its kind and, below it, its parts, parameters and buffers.
local function text_of(self)
  if type(self.text) == "function" then return self:text() end
  local lines = {self.kind .. "("}
  for _, name in ipairs(field_names(self)) do
    local child = rawget(self, name)
    if M.is_module(child) then
      lines[#lines + 1] = ("  %s: %s"):format(name, (tostring(child):gsub("\n", "\n  ")))
    elseif core.is_tensor(child) then
      local what = self.buffers and self.buffers[name] and "buffer" or is_parameter(self, name, child) and "parameter"
      if what then lines[#lines + 1] = ("  %s: %s %s"):format(name, what, shapes.text(child)) end
    end
  end
  if #lines == 1 then return self.kind .. "()" end
  return table.concat(lines, "\n") .. "\n)"
end

function Module:__tostring() return core.plainly(text_of, self) end

-- The type that options ask for; init says what is wrong with another.
local function asked_dtype(opts)
  local dtype = type(opts) == "table" and not M.is_module(opts) and rawget(opts, "dtype")
  return (dtype == "float32" or dtype == "float64") and dtype
end

-- Its arrays are made of the default type: the one that the last argument asks for is the default meanwhile.
local function initialise(self, dtype, ...)
  local before = core.get_default_dtype()
  core.set_default_dtype(dtype)
  local ok, message = pcall(self.init, self, ...)
  core.set_default_dtype(before)
  if not ok then error(message, 0) end
end

-- What stands behind the last argument that init takes would be dropped by Lua, and nobody would notice.
local function refuse_further(class, ...)
  local takes = debug.getinfo(class.init, "u")
  if takes.isvararg then return end
  local most = math.max(takes.nparams - 1, 0) -- without self
  for i = most + 1, select("#", ...) do
    local value, name = select(i, ...), "nn." .. class.kind
    if type(value) == "table" and not core.is_tensor(value) and not M.is_module(value)
        and not options.declared[name] then
      options.check(name, value, {})
    elseif value ~= nil then
      raise(("%s: expected at most %d argument%s, got %s as argument %d"):format(name, most, most == 1 and "" or "s",
        options.describe(value), i))
    end
  end
end

--- A class of layers. `class(...)` makes one by calling `init(self, ...)`.
-- @tparam string kind its name in texts and messages
-- @tparam table class its functions and constants
function M.class(kind, class)
  class.kind = kind
  class.__index, class.__name = class, Module.__name
  class.__call = Module.__call
  class.__tostring = Module.__tostring
  return setmetatable(class, {__name = "class of layers", __index = Module, __call = function(_, ...)
    refuse_further(class, ...)
    local self = setmetatable({training = true, _made = table.pack(...)}, class) -- nn.save tells it
    local dtype = asked_dtype((select(-1, nil, ...)))
    if dtype then initialise(self, dtype, ...) else self:init(...) end
    return self
  end})
end

-- Layers in a plain table would be no part of the model: not trained, not saved, and nobody would notice.
local function refuse_plain_list(name, part)
  if type(part) ~= "table" or M.is_module(part) then return end
  for _, item in pairs(part) do
    if M.is_module(item) or (core.is_tensor(item) and item.requires_grad) then
      raise(('nn.Module: %s: layers and parameters in a plain table are not part of the model; '
        .. 'put them into nn.Sequential or into fields'):format(tostring(name)))
    end
  end
end

--- A model of one's own: a table of parts with a forward function.
-- @function nn.Module
-- @usage nn.Module{encoder = e, decoder = d, forward = function(self, x) return self.decoder(self.encoder(x)) end}
-- @tparam table parts fields; `buffers` = {name = true, ...} names the tensors that are no parameters but part of its
-- state, as running statistics are; `kind` names it in texts; `torch_layout` says what comes out of it, for weights
-- from PyTorch and for PyTorch: "keeps" (maps with the channels of the input, rows in its order), or a number (maps of
-- so many channels)
-- @treturn Module
function M.new(parts)
  if type(parts) ~= "table" or M.is_module(parts) then
    raise("nn.Module: expected a table of parts, got " .. options.describe(parts))
  end
  if type(parts.forward) ~= "function" then raise("nn.Module: expected a field forward = function(self, ...)") end
  for name, part in pairs(parts) do
    if type(rawget(Module, name)) == "function" and type(part) ~= "function" then
      raise(("nn.Module: %s: a method of every module has that name; give the part another"):format(name))
    end
    refuse_plain_list(name, part)
    if core.is_tensor(part) and type(parts.buffers) == "table" and parts.buffers[name] then core.own(part) end
  end
  return setmetatable(parts, Module)
end

core.methods_of(Module, "model")

return M
