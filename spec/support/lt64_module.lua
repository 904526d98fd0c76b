-- A module of the library, made once more for the double precision twin, and what it consists of with it.
local core64 = require "latent.core64"
local lt64 = require "spec.support.lt64"

local OWN = {latent = lt64, ["latent.core"] = core64}

--- @tparam string name such as "latent.linalg"
-- @treturn table the module
return function(name)
  local function load_twin(wanted)
    if not OWN[wanted] and wanted ~= name and wanted:sub(1, #name + 1) ~= name .. "." then return require(wanted) end
    if not OWN[wanted] then
      local env = setmetatable({require = load_twin}, {__index = _G})
      OWN[wanted] = assert(loadfile(assert(package.searchpath(wanted, package.path)), "t", env))()
    end
    return OWN[wanted]
  end
  return load_twin(name)
end
