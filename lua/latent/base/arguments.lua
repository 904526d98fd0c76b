--- Arguments of functions written in Lua, read as those of the core's rows are: behind the tensors in their order, or
-- by name in a table at the end.
-- @module latent.base.arguments
local core = require "latent.core"
local options = require "latent.base.options"

local M = {}

-- Whether a value is a table of names: not a list, not a tensor.
local function is_options(value) return type(value) == "table" and value[1] == nil end

-- Kinds of parameters that are lists, beside which others may stand by name: x:pad{1, 1, mode = "reflect"}.
local LISTS = {ints = true, axes = true, sizes = true, shape = true}

local function names_of(params)
  local names = {}
  for i, param in ipairs(params) do names[i] = param.name end
  return names
end

local CHECKS = {}

function CHECKS.bool(name, param, value) return options.expect(name, param.name, value, "boolean") end
function CHECKS.number(name, param, value) return options.expect(name, param.name, value, "number") end
function CHECKS.int(name, param, value) return options.expect(name, param.name, value, "integer") end
function CHECKS.dtype(name, param, value)
  if value == "float32" or value == "float64" then return value end
  core.raise(('%s: %s: expected "float32" or "float64", got %s'):format(name, param.name, options.describe(value)))
end
function CHECKS.choice(name, param, value)
  for _, choice in ipairs(param.choices) do
    if choice == value then return value end
  end
  core.raise(("%s: %s: expected one of %s, got %s"):format(name, param.name, table.concat(param.choices, " "),
    options.describe(value)))
end

--- The arguments by name.
-- @tparam string name of the function
-- @tparam {table,...} params `name`, `kind` ("bool", "number", "int", "dtype" and "choice" are checked, others left to
-- the function), `required`, `default`, `choices`
-- @param ... what the caller gave behind the tensors
-- @treturn table the values; of those that were not given, their defaults
function M.read(name, params, ...)
  local given, count, named = {...}, select("#", ...), {}
  while count > 0 and given[count] == nil do count = count - 1 end
  if count > 0 and is_options(given[count]) then
    named, count = options.check(name, given[count], names_of(params)), count - 1
  elseif count > 0 and count <= #params and LISTS[params[count].kind] then
    given[count], named = options.separate(given[count])
    options.check(name, named, names_of(params))
  end
  if count > #params then
    core.raise(("%s: too many arguments: expected at most %d after the tensors, got %d"):format(name, #params, count))
  end
  local values = {}
  for i, param in ipairs(params) do
    local value = named[param.name]
    if i <= count and given[i] ~= nil then
      if value ~= nil then core.raise(("%s: %s is given twice"):format(name, param.name)) end
      value = given[i]
    end
    if value == nil and param.required then core.raise(("%s: %s is missing"):format(name, param.name)) end
    if value ~= nil and CHECKS[param.kind] then value = CHECKS[param.kind](name, param, value) end
    if value == nil then value = M.default(param) end
    values[param.name] = value
  end
  return values
end

--- One or two arguments; of small functions, as nothing is made for them where they stand in their order.
-- @tparam string name of the function
-- @tparam {table,...} params as for `read`, of which neither kind is checked
-- @param a
-- @param b
-- @param ... nothing more, where the call is right
-- @return the first, or its default
-- @return the second
function M.few(name, params, a, b, ...)
  if type(a) == "table" or type(b) == "table" or select("#", ...) > 0 or b ~= nil and #params == 1 then
    local values = M.read(name, params, a, b, ...)
    return values[params[1].name], params[2] and values[params[2].name]
  end
  if a == nil then a = params[1].default end
  if b == nil and params[2] then b = params[2].default end
  return a, b
end

--- The default of a parameter: of a row numbers stand for the choices and for truth.
-- @tparam table param
-- @return the value, nil where there is none
function M.default(param)
  if param.choices then return param.choices[(param.default or 0) // 1 + 1] end
  if param.kind == "bool" then return (param.default or 0) ~= 0 end
  return param.default
end

return M
