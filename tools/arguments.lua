--- The options of the tools, read by argparse, and what they take: functions for its `convert` that give a value, or
-- nil and what was expected.
-- @module tools.arguments
local argparse = require "argparse"

local M = {}

--- A parser as argparse makes it; words that make no sense end the program with status 2, for 1 says that something
-- was found.
function M.parser(...)
  local parser = argparse(...)
  function parser:error(message)
    io.stderr:write(self:get_usage(), "\n\nError: ", message, "\n")
    os.exit(2)
  end
  -- What an option cannot take is said with its name.
  local new_option = parser.option
  function parser:option(name, ...)
    local option = new_option(self, name, ...)
    local set_convert = option.convert
    function option.convert(this, f)
      return set_convert(this, function(text)
        local value, message = f(text)
        if value == nil then message = ("%s: %s"):format(name, message or "cannot be " .. text) end
        return value, message
      end)
    end
    return option
  end
  return parser
end

--- A whole number of at least so much.
-- @tparam ?int least
-- @treturn function
function M.whole(least)
  return function(text)
    local n = math.tointeger(tonumber(text))
    if n and n >= (least or math.mininteger) then return n end
    return nil, ("expected a whole number%s, got %s"):format(least and " of at least " .. least or "", text)
  end
end

--- A number above another.
-- @tparam number least
-- @treturn function
function M.above(least)
  return function(text)
    local x = tonumber(text)
    if x and x > least then return x end
    return nil, ("expected a number above %g, got %s"):format(least, text)
  end
end

--- Words separated by commas or spaces; all of them known ones, where these are given.
-- @tparam ?{string,...} known
-- @treturn function
function M.words(known)
  local is_known = {}
  for _, word in ipairs(known or {}) do is_known[word] = true end
  return function(text)
    local list = {}
    for word in text:gmatch "[^,%s]+" do
      if known and not is_known[word] then
        return nil, ("expected %s, got %s"):format(table.concat(known, ", "), word)
      end
      list[#list + 1] = word
    end
    return list
  end
end

return M
