--- Busted, which says in the file that the first word names, where that is not empty, how far it came: there stands
-- the path of the spec file that it is in, and nothing once all are done. The other words are Busted's. Its own program
-- would start another interpreter, and hide how that ended.
local compatibility, core = require "busted.compatibility", require "busted.core"

local place, exit = table.remove(arg, 1), compatibility.exit
-- An option taken for the file's name would be missing below, and Busted start this program again, and again.
if not place or place:find "^%-" then error("expected the name of a file or '' first, got " .. tostring(place), 0) end

local function note(path)
  if place == "" then return end
  local file <close> = assert(io.open(place, "w"))
  assert(file:write(path))
end

-- Busted's own way out, which specs do not take.
function compatibility.exit(...)
  note ""
  return exit(...)
end

package.loaded["busted.core"] = function()
  local busted = core()
  busted.subscribe({"file", "start"}, function(file)
    note(file.name)
    return nil, true
  end)
  return busted
end

require "busted.runner" {standalone = false}
note ""
