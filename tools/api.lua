--- The public face as the comments describe it: modules with their functions, classes with their methods.
-- What is generated from the comments (reference, annotations) and what is compared with them starts here.
-- @module tools.api
local comments = require "latent.help.comments"
local index = require "latent.help.index"

local M = {}

M.described, M.parameter_names = comments.described, comments.parameter_names

-- The entries of ops, as if they had been written as comments.
local KINDS = {generator = "Generator",
  tensor = "Tensor|number|{number,...}", sizes = "int|{int,...}", scales = "number|{number,...}",
  padding = "int|{int,...}|string", number = "number", int = "int", bool = "boolean", axis = "int",
  axes = "int|{int,...}", ints = "{int,...}", shape = "int|{int,...}|Tensor", pair = "int|{int,int}", choice = "string",
  dtype = "string", text = "string", numbers = "{number,...}", tensors = "{Tensor,...}"}

local function default_of(param)
  if param.required or param.default == nil then return "" end
  if param.choices then
    return (' one of "%s" (default "%s")'):format(table.concat(param.choices, '", "'),
      param.choices[param.default // 1 + 1])
  end
  if param.kind == "bool" then return " default " .. tostring(param.default ~= 0) end
  if param.kind == "axes" then return " all unless given" end
  if param.kind == "axis" and param.default == 0 then return " all axes unless given" end
  if param.kind == "pair" and param.default < 0 then return " default: the kernel's size" end
  return param.kind == "ints" and "" or (" default %g"):format(param.default)
end

local function input_tag(op, input)
  local name, kind = input:gsub("[*?]", ""), "Tensor"
  if name == "weight" and op.name == "lerp" then kind = "Tensor|number" end
  if input:find "%*" then kind = "{Tensor,...}" end
  if (name == "a" or name == "b") and op.name ~= "matmul" then kind = "Tensor|number" end
  return {"tparam", (input:find "%?" and "?" or "") .. kind .. " " .. name}
end

local function op_tags(op)
  local tags = {{"text", op.doc}}
  for _, input in ipairs(op.inputs) do tags[#tags + 1] = input_tag(op, input) end
  for _, param in ipairs(op.params) do
    tags[#tags + 1] = {"tparam", (param.required and "" or "?") .. KINDS[param.kind] .. " " .. param.name ..
      default_of(param)}
  end
  tags[#tags + 1] = {"treturn", "Tensor"}
  return tags
end

-- Ops as functions of lt, as methods of tensors and, where there is one, in place.
local function add_ops(lt, tensor)
  for _, op in ipairs(require("latent").ops()) do
    local tags, names = op_tags(op), {}
    for i, item in ipairs(comments.described({tags = tags}, "param")) do names[i] = item.name end
    local parameters = "(" .. table.concat(names, ", ") .. ")"
    lt[#lt + 1] = {name = "lt." .. op.name, field = op.name, module = "latent", op = op, tags = tags,
      parameters = parameters}
    if not op.inputs[1]:find "%*" then
      local own = {table.unpack(tags)}
      table.remove(own, 2)
      local method = {name = "Tensor:" .. op.name, field = op.name, module = "latent", op = op, tags = own,
        is_method = true, parameters = "(" .. table.concat(names, ", ", 2) .. ")"}
      tensor[#tensor + 1] = method
      if op.elementwise then
        local placed = setmetatable({name = method.name .. "_", field = op.name .. "_"}, {__index = method})
        placed.tags = {table.unpack(own)}
        placed.tags[1] = {"text", ("In place, `%s`: %s"):format(op.name, op.doc)}
        tensor[#tensor + 1] = placed
      end
    end
  end
end

local function by_name(a, b) return a.name < b.name end

local function class_of(classes, module, name)
  if not classes[name] then
    classes[name] = {name = name, module = module, methods = {}}
    classes[#classes + 1] = classes[name]
  end
  return classes[name]
end

-- Puts an entry where it belongs.
local function place(entry, modules, classes)
  if entry.op then return end
  local module = modules[entry.owner]
  if entry.is_module then
    module.entry = entry
  elseif entry.is_class then
    class_of(classes, module, entry.name:match "[^.]+$").entry = entry
  elseif entry.is_method then
    local methods = class_of(classes, module, entry.name:match "([%w_]+):").methods
    methods[#methods + 1] = entry
  else
    local list = entry.is_value and module.values or module.functions
    list[#list + 1] = entry
  end
end

local function sorted_classes(classes)
  for _, class in ipairs(classes) do table.sort(class.methods, by_name) end
  table.sort(classes, by_name)
  return classes
end

--- Reads the comments of the library and sorts them.
-- @treturn table modules, a list (and by name) of {name, prefix, entry, functions, values}; classes, a list
-- (and by name) of {name, module, entry, methods}. Functions,
-- methods and values are entries of `comments.read`
function M.read()
  local modules, classes = {}, {}
  for i, name in ipairs(index.modules) do
    modules[i] = {name = name, prefix = comments.prefix_of(name), functions = {}, values = {}}
    modules[name] = modules[i]
  end
  local found = index.build()
  for _, entry in ipairs(found.entries) do place(entry, modules, classes) end
  add_ops(modules["latent"].functions, classes.Tensor.methods)
  for _, module in ipairs(modules) do
    table.sort(module.functions, by_name)
    table.sort(module.values, by_name)
  end
  return {modules = modules, classes = sorted_classes(classes)}
end

return M
