--- What a script prints goes into a file as well: `print` and `io.write`, and what the library says for it, for as long
-- as a run lasts.
-- @module latent.experiment.capture
local say = require "latent.experiment.say"

local M = {}

local Capture = {}
Capture.__index = Capture

-- What print would write.
local function line_of(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  return table.concat(parts, "\t")
end

--- Begins to copy.
-- @tparam string path the file is added to
-- @return the capture, or nil and a message
function M.open(path)
  local file, message = io.open(path, "ab")
  if not file then return nil, message end
  file:setvbuf "line"
  -- The script's own functions, which need not be those that the library has.
  local self = setmetatable({file = file, print = _G.print, io = _G.io}, Capture)
  self.write = type(self.io) == "table" and self.io.write or nil
  local plain = print -- before it is replaced: run by plain Lua, the library's is the script's
  if type(self.print) == "function" then
    self.own_print = function(...)
      self.print(...)
      self:add(line_of(...))
    end
    rawset(_G, "print", self.own_print)
  end
  if self.write then
    self.own_write = function(...)
      local result = self.write(...)
      if io.type(self.file) == "file" then self.file:write(...) end
      return result
    end
    rawset(self.io, "write", self.own_write)
  end
  self.before = say.redirect(function(...)
    plain(...)
    self:add(line_of(...))
  end)
  return self
end

--- Keeps what the script prints, and what the library says for it, from being seen at all: another rank says it.
-- @return something to close, as `open` gives it
function M.mute()
  local self = setmetatable({print = _G.print, io = _G.io, file = false}, Capture)
  local function nothing() end
  self.own_print = nothing
  rawset(_G, "print", nothing)
  self.write = type(self.io) == "table" and self.io.write or nil
  if self.write then
    self.own_write = function() return io.stdout end
    rawset(self.io, "write", self.own_write)
  end
  self.before = say.redirect(nothing)
  return self
end

-- At the end of the program the file may have been collected before whom it is for.
local function is_open(self) return io.type(self.file) == "file" end

--- Adds a line to the file alone.
function Capture:add(text)
  if is_open(self) then self.file:write(text, "\n") end
end

--- Ends it. What the script has put in the place of print or io.write in the meantime stays.
function Capture:close()
  if self.file == nil then return end
  if is_open(self) then self.file:close() end
  self.file = nil
  say.redirect(self.before)
  if _G.print == self.own_print then rawset(_G, "print", self.print) end
  if self.write and self.io.write == self.own_write then rawset(self.io, "write", self.write) end
end

return M
