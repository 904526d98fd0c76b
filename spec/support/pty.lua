-- A program in a pseudo-terminal, as `script` of util-linux gives one: send what a user types, wait for
-- what appears.
local core = require "latent.core"
local files = require "latent.base.files"

local M = {}
local Terminal = {}
Terminal.__index = Terminal

local PATIENCE = 300 -- seconds; a machine may be busy

--- Whether this machine has `script` and gives it terminals: a bare container may not.
function M.available() return files.capture "script -qec true /dev/null </dev/null 2>&1" ~= nil end

--- Starts a command. `folder` takes its transcript; `environment` is text such as "A=1 B=2".
function M.open(command, folder, environment)
  local fifo, transcript = folder .. "/keys", folder .. "/transcript"
  os.remove(transcript) -- of a program before this one
  assert(files.capture("mkfifo " .. files.quote(fifo)))
  local inner = ("stty cols 100 rows 40; exec env TERM=xterm INPUTRC=/dev/null %s %s"):format(environment, command)
  -- Redirected by exec: else the shell would keep our pipe open while it waits for the keys.
  local pid = assert(files.capture(("(exec >/dev/null 2>&1; exec <%s; exec script -qefc %s %s) & echo $!"):format(
    files.quote(fifo), files.quote(inner), files.quote(transcript))))
  local keys = assert(io.open(fifo, "w"))
  keys:setvbuf "no"
  return setmetatable({keys = keys, transcript = transcript, seen = 0, pid = pid}, Terminal)
end

-- What has appeared, without the sequences that move and colour.
local function readable(path)
  local file = io.open(path, "rb")
  local text = file and file:read "a" or ""
  if file then file:close() end
  return (text:gsub("\27%[[%d;?]*%a", ""):gsub("[\r\a]", ""):gsub("^Script started[^\n]*\n", ""))
end

--- Types something. "\n" is the Enter key, "\3" Ctrl-C, "\4" Ctrl-D, "\t" Tab.
function Terminal:send(text) self.keys:write((text:gsub("\n", "\r"))) end

--- Waits until a pattern appears behind what was waited for last; returns what it captures.
function Terminal:expect(pattern)
  local start = core.clock()
  while true do
    local text = readable(self.transcript)
    local found = table.pack(text:find(pattern, self.seen + 1))
    if found[1] then
      self.seen = found[2]
      return table.unpack(found, 3, found.n)
    elseif core.clock() > start + PATIENCE then
      error(("expected %q, got %q"):format(pattern, text:sub(self.seen + 1)), 2)
    end
    os.execute "sleep 0.02"
  end
end

--- Types a line and waits for its echo and a pattern.
function Terminal:enter(line, pattern)
  self:send(line .. "\n")
  self:expect(line:gsub("%p", "%%%0") .. "\n")
  return self:expect(pattern)
end

--- Ends the program if it still runs.
function Terminal:close()
  self.keys:close()
  os.execute(("kill %s 2>/dev/null"):format(self.pid))
end

return M
