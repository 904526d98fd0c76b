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

-- Where a function stands: the table, its key there, and the public name.
local function search(f)
  for _, t in ipairs{package.loaded["latent"] or core.methods, core.methods} do
    local key = key_of(t, f)
    if key then return {t, key, key} end
  end
  for module, t in next, package.loaded do
    local tail = module:match "^latent%.([%w_]+)$"
    local key = tail and tail ~= "core" and key_of(t, f)
    if key then return {t, key, tail .. "." .. key} end
  end
end

local found = setmetatable({}, {__mode = "k"}) -- by function: a look through all modules takes a while

--- The public name of a function: "relu_", "data.noisy"; nil for what no module offers.
-- @tparam function f
-- @treturn ?string
function M.of(f)
  local place = found[f]
  if not place or rawget(place[1], place[2]) ~= f then
    place = search(f)
    found[f] = place
  end
  return place and place[3]
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
