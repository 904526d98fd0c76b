--- What a script prints goes into a file as well: `print` and `io.write`, for as long as a run lasts.
-- @module latent.experiment.capture
local M = {}

local Capture = {}
Capture.__index = Capture

--- Begins to copy.
-- @tparam string path the file is added to
-- @return the capture, or nil and a message
function M.open(path)
  local file, message = io.open(path, "ab")
  if not file then return nil, message end
  file:setvbuf "line"
  local self = setmetatable({file = file, print = print, write = io.write}, Capture)
  rawset(_G, "print", function(...)
    self.print(...)
    local parts = table.pack(...)
    for i = 1, parts.n do parts[i] = tostring(parts[i]) end
    if self.file then self.file:write(table.concat(parts, "\t"), "\n") end
  end)
  self.own_print = print
  rawset(io, "write", function(...)
    if self.file then self.file:write(...) end
    return self.write(...)
  end)
  self.own_write = io.write
  return self
end

--- Adds a text to the file alone.
function Capture:add(text)
  if self.file then self.file:write(text, "\n") end
end

--- Ends it. What the script has put in the place of print or io.write in the meantime stays.
function Capture:close()
  if not self.file then return end
  self.file:close()
  self.file = nil
  if print == self.own_print then rawset(_G, "print", self.print) end
  if io.write == self.own_write then rawset(io, "write", self.write) end
end

return M
