-- A view of a module whose functions are called with float64 as the default type.
local lt = require "latent"

local function restore(before, ok, ...)
  lt.set_default_dtype(before)
  if not ok then error((...), 0) end
  return ...
end

local function in_double(f)
  return function(...)
    local before = lt.get_default_dtype()
    lt.set_default_dtype "float64"
    return restore(before, pcall(f, ...))
  end
end

--- @tparam table module
-- @treturn table
return function(module)
  return setmetatable({}, {__index = function(view, name)
    local value = module[name]
    if type(value) == "function" then value = in_double(value) end
    view[name] = value
    return value
  end})
end
