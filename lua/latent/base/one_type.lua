--- Refuses tensors of two floating types, as the core's ops do, under the names that a function has for its arguments.
-- @module latent.base.one_type
local core = require "latent.core"

local function refuse(name, a, first, b, second)
  local narrow, wide = a, b
  if first.dtype == "float64" then narrow, wide = b, a end
  core.raise(("%s: %s is %s and %s %s; make them one type, with %s:double() or %s:float()"):format(name, a, first.dtype,
    b, second.dtype, narrow, wide))
end

--- Raises where two tensors of a list have different floating types.
-- @tparam string name of the function
-- @tparam {string,...} names of the arguments
-- @param ... the arguments in that order; what is no tensor has no type
return function(name, names, ...)
  local list, first = {...}, nil
  for i = 1, #names do
    local x = list[i]
    if core.is_tensor(x) and x.dtype:find "^float" then
      first = first or i
      if x.dtype ~= list[first].dtype then refuse(name, names[first], list[first], names[i], x) end
    end
  end
end
