--- The names by which users know the library's functions: what a message of an inner function is changed to.
-- @module latent.base.names
local core = require "latent.core"

local M = {}

local function key_of(t, f)
  if type(t) ~= "table" then return nil end
  for key, value in next, t do
    if value == f and type(key) == "string" then return key end
  end
end

--- The public name of a function: "relu_", "data.noisy"; nil for what no module offers.
-- @tparam function f
-- @treturn ?string
function M.of(f)
  local name = key_of(package.loaded["latent"], f) or key_of(core.methods, f)
  if name then return name end
  for module, t in next, package.loaded do
    local tail = module:match "^latent%.([%w_]+)$"
    local key = tail and tail ~= "core" and key_of(t, f)
    if key then return tail .. "." .. key end
  end
end

--- A message "inner: ..." of one of the library's functions, under the name of the function that the user called.
-- @tparam function f
-- @tparam string message
-- @treturn string
function M.rename(f, message)
  local inner, rest = message:match "^([%a_][%w_.]*): (.*)$"
  -- Other first words are the user's own: the name of an op, a file.
  local lt = package.loaded["latent"] or core
  local known = inner and (inner:find(".", 1, true) or rawget(lt, inner) or core.ops[inner] or core.methods[inner]
    or rest == "closed tensor")
  local name = known and M.of(f)
  return name and name .. ": " .. rest or message
end

return M
