--- Standard input where nobody types into it: `io.read`, `io.lines` and `io.stdin` ask for lines instead, as the page
-- of a notebook asks its reader.
-- @module latent.repl.input
local M = {}

local Input = {}
Input.__index = Input

-- One line more behind what is there; false where there is none.
local function fill(self)
  local text = self.ask()
  if not text then return false end
  self.text = self.text .. text .. "\n"
  return true
end

local function take(self, last)
  local text = self.text:sub(1, last)
  self.text = self.text:sub(last + 1)
  return text
end

local function read_line(self, keep_end)
  if not self.text:find "\n" and not fill(self) and self.text == "" then return nil end
  local line = take(self, self.text:find "\n" or #self.text)
  return keep_end and line or (line:gsub("\n$", ""))
end

-- There is no end: an empty line stands for it.
local function read_all(self)
  local start = #self.text
  while fill(self) do
    if self.text:sub(start + 1) == "\n" then
      self.text = self.text:sub(1, start)
      break
    end
    start = #self.text
  end
  return take(self, #self.text)
end

local function read_bytes(self, count)
  while #self.text < math.max(count, 1) do
    if not fill(self) then break end
  end
  if self.text == "" then return nil end
  return take(self, count)
end

-- The longest of a numeral's beginnings that is a number.
local function read_number(self)
  while not self.text:find "%S" do
    if not fill(self) then return nil end
  end
  take(self, self.text:find "%S" - 1)
  local word = self.text:match "^[%w.+-]+" or ""
  for last = math.min(#word, 200), 1, -1 do
    local value = tonumber(word:sub(1, last))
    if value then
      take(self, last)
      return value
    end
  end
  return nil
end

local READERS = {
  n = read_number, a = read_all,
  l = function(self) return read_line(self, false) end,
  L = function(self) return read_line(self, true) end,
}

--- Reads as `file:read` does.
-- @param ... formats
-- @return what they ask for, up to the first that cannot be had, which gives nil
function Input:read(...)
  local formats = select("#", ...) > 0 and table.pack(...) or {"l", n = 1}
  local results = {n = 0}
  for i = 1, formats.n do
    local format = formats[i]
    local count = math.tointeger(format)
    local reader = type(format) == "string" and READERS[format:match "^%*?(.)"]
    if not count and not reader then error(("bad argument #%d to 'read' (invalid format)"):format(i), 2) end
    results.n = i
    if count then results[i] = read_bytes(self, count) else results[i] = reader(self) end
    if results[i] == nil then break end
  end
  return table.unpack(results, 1, results.n)
end

--- Makes the standard input of a program ask.
-- @tparam table io the program's table `io`
-- @tparam function ask gives a line without its end, or nil
function M.install(io, ask)
  local input = setmetatable({ask = ask, text = ""}, Input)
  local stdin, methods = io.stdin, getmetatable(io.stdin).__index
  local read, lines, lines_of, chosen = methods.read, methods.lines, io.lines, io.input

  local function read_any(file, ...)
    if rawequal(file, stdin) then return input:read(...) end
    return read(file, ...)
  end

  local function lines_any(file, ...)
    if not rawequal(file, stdin) then return lines(file, ...) end
    local formats = table.pack(...)
    return function() return input:read(table.unpack(formats, 1, formats.n)) end
  end

  rawset(methods, "read", read_any)
  rawset(methods, "lines", lines_any)
  rawset(io, "read", function(...) return read_any(chosen(), ...) end)
  rawset(io, "lines", function(path, ...)
    if path ~= nil then return lines_of(path, ...) end
    return lines_any(chosen(), ...)
  end)
end

return M
