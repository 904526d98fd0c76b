--- Options tables: names are checked, and a misspelt one is answered with the nearest.
-- @module latent.options
local core = require "latent.core"

local M = {}

-- The number of single-letter changes that turn one word into the other.
local function edit_distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local replace = diagonal + (a:byte(i) == b:byte(j) and 0 or 1)
      diagonal = row[j]
      row[j] = math.min(replace, row[j] + 1, row[j - 1] + 1)
    end
  end
  return row[#b]
end

--- The word of a list that is most like the one given.
-- @tparam string word
-- @tparam {string,...} list
-- @treturn ?string nil where none is near
function M.nearest(word, list)
  local best, least = nil, math.max(1, #word // 3) + 1
  for _, candidate in ipairs(list) do
    local distance = edit_distance(word:lower(), candidate:lower())
    if distance < least then best, least = candidate, distance end
  end
  return best
end

--- Raises "name: unknown option ..." at the user's line unless every key is allowed.
-- @tparam string name of the function, for the message
-- @tparam ?table options
-- @tparam {string,...} allowed
-- @treturn table the options, an empty table for nil
function M.check(name, options, allowed)
  if options == nil then return {} end
  if type(options) ~= "table" or core.is_tensor(options) then
    core.raise(("%s: expected an options table, got %s"):format(name, type(options)))
  end
  for key in pairs(options) do
    local known = false
    for _, word in ipairs(allowed) do known = known or key == word end
    if not known then
      local near = type(key) == "string" and M.nearest(key, allowed)
      core.raise(('%s: unknown option "%s"%s; options: %s'):format(name, tostring(key),
        near and (' (did you mean "%s"?)'):format(near) or "",
        #allowed > 0 and table.concat(allowed, ", ") or "none"))
    end
  end
  return options
end

--- Raises "name: option: expected ..., got ..." unless a value has the wanted type.
-- @tparam string name of the function
-- @tparam string option
-- @param value
-- @tparam string wanted a Lua type, "integer", "positive" (number above 0) or "count" (integer of at least 1)
-- @return the value
function M.expect(name, option, value, wanted)
  local ok = type(value) == wanted
  if wanted == "integer" or wanted == "count" then
    ok = math.type(value) == "integer" or (math.type(value) == "float" and value % 1 == 0)
    if wanted == "count" then ok = ok and value >= 1 end
  elseif wanted == "positive" then
    ok = type(value) == "number" and value > 0
  end
  if not ok then
    local words = {positive = "a number above 0", count = "a whole number of at least 1",
      integer = "a whole number"}
    core.raise(("%s: %s: expected %s, got %s"):format(name, option, words[wanted] or "a " .. wanted,
      type(value) == "string" and ("%q"):format(value) or tostring(value)))
  end
  return value
end

return M
