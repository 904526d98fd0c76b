--- For specs: a folder of their own, and writing into it.

local files = require "latent.base.files"

local M = {}

--- Makes an empty folder. @return its path and a function that removes it
function M.folder()
  local path = os.tmpname()
  os.remove(path)
  assert(files.mkdir_p(path))
  return path, function() files.capture("rm -rf -- " .. files.quote(path)) end
end

--- Writes a file. @return its path
function M.write(folder, name, bytes)
  local path = folder .. "/" .. name
  local file = assert(io.open(path, "wb"))
  assert(file:write(bytes))
  assert(file:close())
  return path
end

--- The names in a folder, sorted, those with a leading dot too.
function M.list(folder)
  local out = {}
  for name in (files.capture("ls -A " .. files.quote(folder)) or ""):gmatch("[^\n]+") do
    out[#out + 1] = name
  end
  table.sort(out)
  return out
end

return M
