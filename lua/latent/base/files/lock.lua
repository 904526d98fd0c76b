--- Locks: one program at a time writes a checkpoint or a log. Beside the file lies `<file>.lock`, which says who has
-- it; the kernel's own lock (flock) on that is what counts, so that it ends with its process, even with SIGKILL. Where
-- a file system has no such locks, the file itself is the lock, and is taken over when its process is no more.
-- @module latent.base.files.lock
local core = require "latent.core"
local paths = require "latent.base.files.paths"

local M = {}

local Lock = {}
Lock.__index = Lock

local own = setmetatable({}, {__mode = "v"}) -- the locks of this process by their names

-- When a process began, in the kernel's count: tells it from a later one that got its number. And its state. "" where
-- not known.
local function birth(pid)
  local file = io.open(("/proc/%d/stat"):format(pid), "rb")
  local text = file and file:read "a" or ""
  if file then file:close() end
  local fields, n = text:match "^.*%) (.*)$" or "", 0
  for field in fields:gmatch "%S+" do
    n = n + 1
    if n == 20 then return field, fields:match "^%a" end
  end
  return "", ""
end

local function this_host()
  local name = core.host():gsub("%s", "?")
  return name ~= "" and name or "?"
end

--- What tells this program from all others, of other machines and times too.
-- @treturn table pid, host, born
function M.identity() return {pid = core.pid(), host = this_host(), born = (birth(core.pid()))} end

local function note()
  local own_identity = M.identity()
  return ("%d %s %s %s\n"):format(own_identity.pid, own_identity.host, os.date "!%Y-%m-%dT%H:%M:%SZ", own_identity.born)
end

-- What the note in a lock says: process, host, since when, and the process's birth.
local function read_note(name)
  local file = io.open(name, "rb")
  local text = file and file:read(1000) or ""
  if file then file:close() end
  local pid, host, since, born = text:match "^(%d+) (%S+) (%S+) (%S*)\n"
  return pid and {pid = math.tointeger(tonumber(pid)), host = host, since = since, born = born}
end

local function refuse(path, name)
  local holder = read_note(name)
  local who = holder and ("process %d on %s since %s"):format(holder.pid or 0, holder.host, holder.since)
    or "another process"
  return nil, ("%s: in use by %s (%s)"):format(path, who, name)
end

-- ---- the file itself as lock ----

--- Whether a program has ended.
-- @tparam table holder as `identity` gives it
-- @treturn boolean false too where it ran on another machine, as that cannot be known from here
function M.is_dead(holder)
  if holder.host ~= this_host() then return false end
  if not holder.pid or not core.alive(holder.pid) then return true end
  local born, state = birth(holder.pid)
  if state == "Z" or state == "X" then return true end -- a zombie: its parent has not looked yet
  return holder.born ~= "" and holder.born ~= born
end

local function make(name)
  local file, hold, exists = core.create(name)
  if not file then return nil, hold, exists end
  local ok = file:write(note())
  core.let_go(hold) -- else the collector would remove the file with it
  if not file:close() or not ok then
    os.remove(name)
    return nil, "its note cannot be written"
  end
  return true
end

-- The lock of a dead process is renamed before it goes: of two that take over, one finds it gone, or finds that what
-- it renamed is the other's new one, and gives it back.
local function take_over(name, dead)
  local aside = ("%s.%d"):format(name, core.pid())
  if not os.rename(name, aside) then return end
  local found = read_note(aside)
  if found and (found.pid ~= dead.pid or found.born ~= dead.born or found.host ~= dead.host) then
    os.rename(aside, name)
  else
    os.remove(aside)
  end
end

local function take_by_name(self)
  self.name = self.name .. "ed" -- the other kind's, which nobody can hold here, is no lock
  for _ = 1, 2 do
    local ok, message, exists = make(self.name)
    if ok then
      self.by_name = true
      return self
    end
    if not exists then return nil, ("%s: cannot be locked: %s"):format(self.path, message) end
    local holder = read_note(self.name)
    if not holder or not M.is_dead(holder) then break end
    take_over(self.name, holder)
  end
  local _, message = refuse(self.path, self.name)
  return nil, message .. "; remove that file where this is no longer so"
end

-- ---- both kinds ----

-- A run that was made and never begun gives way to the next one of the same program.
local function inherit(self, other)
  if other.owner.started and not other.owner.stopped then
    return nil, self.path .. ": in use by another run of this program"
  end
  self.name, self.hold, self.by_name = other.name, other.hold, other.by_name
  other.hold, other.by_name = nil, nil
  return self
end

local function take(self)
  local hold, message, kind = core.hold(self.name, true)
  if hold then
    core.note(hold, note()) -- that the disk has no room for it is no reason to stop
    self.hold = hold
    return self
  end
  if kind == "held" then return refuse(self.path, self.name) end
  if kind ~= "unsupported" then return nil, ("%s: cannot be locked: %s"):format(self.path, message) end
  os.remove(self.name)
  return take_by_name(self)
end

--- Takes the lock of a file, whose folder exists. What is no plain file, a device say, needs none.
-- @tparam string path
-- @tparam table owner whom it is for; its fields `started` and `stopped` say whether it is at work
-- @return the lock; or nil and a message that says who has it
function M.take(path, owner)
  local target, message, special = paths.target(path)
  if not target then return nil, message end
  local name = target .. ".lock"
  local self = {path = path, owner = owner, name = name, special = special}
  if special then return setmetatable(self, Lock) end
  local other, ok = own[name]
  if other and other:is_held() then ok, message = inherit(self, other) else ok, message = take(self) end
  if not ok then return nil, message end
  own[name] = self
  return setmetatable(self, Lock) -- only now: what is marked last is collected first, before its hold
end

--- Whether its owner has it still.
-- @treturn boolean
function Lock:is_held() return self.special or self.hold ~= nil or self.by_name == true end

--- Gives it back.
function Lock:release()
  -- Removed while it is held: whoever opens it before that finds another file there afterwards, and tries again.
  if self.hold then core.let_go(self.hold, self.name) end
  if self.by_name then os.remove(self.name) end
  self.hold, self.by_name, self.special = nil, nil, nil
end

Lock.__gc, Lock.__close = Lock.release, Lock.release

return M
