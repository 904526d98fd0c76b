--- The names that a session declared, over the globals: `local x = 1` does not touch `_G.x`, loaded modules do
-- not see it, and `local print = print` reads the old value. The differences to true locals: functions made
-- earlier see the new value when a name is declared again, and one declared without a value reads as the
-- global of its name until it has one.
--
-- A `<const>` variable keeps its value until its name is declared again. So does a `<close>` variable, whose value
-- is closed when the session ends, the latest first.
-- @module latent.repl.scope
local M = {}

-- As Lua says it where the value is assigned.
local function check_closable(name, value)
  if not value then return end
  local meta = debug.getmetatable(value)
  if type(meta) ~= "table" or rawget(meta, "__close") == nil then
    error(("variable '%s' got a non-closable value"):format(name), 3)
  end
end

-- The globals may have a metatable that raises.
local function read(globals, name)
  local ok, value = pcall(function() return globals[name] end)
  return ok and value or nil
end

--- Makes an empty scope.
-- @tparam table globals
-- @tparam ?table later modules that become globals when an input first mentions them: their names, by the global's
-- @treturn table `environment` for chunks: reads names of the session, then globals; writes globals, unless the name
-- was declared. Functions `declare(names)` before a chunk runs (each {name, attribute}), `settle()` after it,
-- `is_constant(name)`, `own(name)` and `value(name)` (its own, or also a global), `keep(name, value)`,
-- `provide(name)` for the modules, `names()`, and `closing()`, the values to close, in their order
function M.new(globals, later)
  later = later or {}
  local attributes = {} -- of declared names: "plain", "const" or "close"
  local pending = {} -- of those that the running chunk declares: the attribute that they had before
  local open = {} -- the values of <close> variables, in the order of their declaration
  -- Constants are not in the environment itself, so that each write to one is seen.
  local constants = setmetatable({}, {__index = globals})
  local environment = setmetatable({}, {
    __metatable = "the prompt's",
    __index = constants,
    __newindex = function(self, name, value)
      local attribute = attributes[name]
      if not attribute then
        globals[name] = value
      elseif attribute == "plain" then
        rawset(self, name, value)
      elseif pending[name] then
        if attribute == "close" then
          check_closable(name, value)
          if value then open[#open + 1] = value end
        end
        rawset(constants, name, value)
      else
        error(("attempt to assign to const variable '%s'"):format(name), 2)
      end
    end,
  })

  -- Puts a value where those of its attribute are.
  local function place(name, value, attribute)
    local constant = attribute ~= "plain"
    rawset(constant and environment or constants, name, nil)
    rawset(constant and constants or environment, name, value)
  end

  local function own_value(name)
    local value = rawget(environment, name)
    if value == nil then value = rawget(constants, name) end
    return value
  end

  local scope = {environment = environment, own = own_value}

  function scope.declare(names)
    for _, declared in ipairs(names) do
      local name, before = declared.name, attributes[declared.name]
      local value = own_value(name)
      if not before and not declared.attribute then value = read(globals, name) end
      pending[name] = pending[name] or before or "none"
      attributes[name] = declared.attribute or "plain"
      place(name, value, attributes[name])
    end
  end

  -- A constant whose declaration was not reached, after an error, is none.
  function scope.settle()
    for name, before in pairs(pending) do
      pending[name] = nil
      local unreached = attributes[name] ~= "plain" and rawget(constants, name) == nil
      if unreached and before == "none" then attributes[name] = nil end
    end
  end

  function scope.is_constant(name) return attributes[name] == "const" or attributes[name] == "close" end

  -- A plain variable, as if it had been declared here.
  function scope.keep(name, value)
    place(name, value, "plain")
    attributes[name], pending[name] = "plain", nil
  end

  function scope.provide(name)
    local module = later[name]
    if module and own_value(name) == nil and rawget(globals, name) == nil then
      rawset(globals, name, require(module))
    end
  end

  -- Runs nothing of the user's.
  function scope.value(name)
    scope.provide(name)
    local value = own_value(name)
    if value == nil then value = rawget(globals, name) end
    return value
  end

  function scope.names()
    local names = {}
    for _, place_of in ipairs{environment, constants, globals, later} do
      for name in next, place_of do names[#names + 1] = name end
    end
    return names
  end

  function scope.closing() return open end

  return scope
end

return M
