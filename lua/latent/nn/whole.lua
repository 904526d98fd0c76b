--- Whole models in files: which layers, with which options, and their weights. A file is read, never run: its layers
-- are made by the library's own constructors.
-- @module latent.nn.whole
local core = require "latent.core"
local json = require "latent.json"
local module = require "latent.nn.module"
local options = require "latent.base.options"
local safetensors = require "latent.safetensors"

local raise = core.raise

local M = {}

local FORMAT = "latent.model.1"
local DEEPEST = 100 -- modules and tables within one another

-- ---- writing ----

local describe_value

-- {layer = "Linear", arguments = {784, 400}}: how a module was made.
local function describe_module(classes, model, where)
  local made = model._made
  if not made or classes[model.kind] ~= getmetatable(model) then
    raise(("nn.save: %s (%s) is no layer of the library but code of its own; save the weights, model:state()"):format(
      where, model.kind))
  end
  if rawget(model, "forward") then
    raise(("nn.save: %s: its forward was replaced by another function, which no file holds"):format(where))
  end
  local arguments = {}
  for i = 1, made.n do arguments[i] = describe_value(classes, made[i], ("%s: argument %d"):format(where, i)) end
  return {layer = model.kind, arguments = json.array(arguments)}
end

local function is_list(value)
  local n = 0
  for key in pairs(value) do
    if math.type(key) ~= "integer" or key < 1 or key > #value then return false end
    n = n + 1
  end
  return n == #value and n > 0
end

describe_value = function(classes, value, where)
  if value == nil then return json.null end
  if module.is_module(value) then return describe_module(classes, value, where) end
  local kind = type(value)
  if kind == "number" or kind == "string" or kind == "boolean" then return value end
  if kind ~= "table" then
    raise(("nn.save: %s: is %s, which no file holds"):format(where, options.describe(value)))
  end
  local list, out = is_list(value), {}
  for key, item in pairs(value) do
    if not list and type(key) ~= "string" then
      raise(("nn.save: %s: expected names or a list, got the key %s"):format(where, options.describe(key)))
    end
    out[key] = describe_value(classes, item, ("%s: %s"):format(where, key))
  end
  return list and json.array(out) or {options = out}
end

--- See latent.nn.save.
function M.save(classes, path, model)
  options.expect("nn.save", "path", path, "string")
  if not module.is_module(model) then
    raise("nn.save: model: expected a module, got " .. options.describe(model))
  end
  local text = json.encode(describe_module(classes, model, "model"))
  return safetensors.save(path, model:state(), {metadata = {format = FORMAT, model = text}})
end

-- ---- reading ----

local make_value

local function make_module(classes, entry, depth)
  local class = type(entry.layer) == "string" and classes[entry.layer]
  if type(class) ~= "table" or class.kind ~= entry.layer then
    return nil, ("there is no layer called %s"):format(options.describe(entry.layer))
  end
  if type(entry.arguments) ~= "table" then return nil, entry.layer .. ": its arguments are missing" end
  local arguments, n = {}, #entry.arguments
  for i = 1, n do
    local message
    arguments[i], message = make_value(classes, entry.arguments[i], depth)
    if message then return nil, message end
  end
  -- within: a file may name more arguments than Lua takes
  local ok, made = pcall(function() return class(table.unpack(arguments, 1, n)) end)
  if not ok then return nil, (tostring(made):gsub("^[^\n]-:%d+: ", "")) end
  return made
end

-- The value, or nil and a message; nil alone for null.
make_value = function(classes, entry, depth)
  if entry == json.null then return nil end
  if type(entry) ~= "table" then return entry end
  if depth > DEEPEST then return nil, "its layers lie too deep within one another" end
  if entry.layer then return make_module(classes, entry, depth + 1) end
  local out = {}
  for key, item in pairs(entry.options or entry) do
    local value, message = make_value(classes, item, depth + 1)
    if message then return nil, message end
    out[key] = value
  end
  return out
end

--- See latent.nn.load.
function M.load(classes, path)
  options.expect("nn.load", "path", path, "string")
  local tensors, metadata = safetensors.load(path)
  if not tensors then return nil, metadata end
  if metadata.format ~= FORMAT or not metadata.model then
    return nil, path .. ": holds no whole model, as nn.save writes one (but perhaps its weights: model:load_state)"
  end
  local entry, message = json.decode(metadata.model)
  if entry and not (type(entry) == "table" and entry.layer) then message = "its description is none" end
  if message then return nil, ("%s: %s"):format(path, message) end
  local model
  model, message = make_module(classes, entry, 0)
  if not model then return nil, ("%s: %s"):format(path, message) end
  local ok, refusal = pcall(model.load_state, model, tensors)
  if not ok then return nil, ("%s: %s"):format(path, (tostring(refusal):gsub("^[^\n]-:%d+: ", ""))) end
  return model
end

return M
