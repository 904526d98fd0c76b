--- A file in the making. Beside the plain file that it is for, and in its own mode, stands a temporary one that takes
-- the bytes; at the end it takes the other's place, in one step. What is no plain file (a device, a FIFO) is written
-- straight, as nothing can take its place. What killed programs left of the same file is cleared.
-- @module latent.base.files.output
local core = require "latent.core"
local paths = require "latent.base.files.paths"

local M = {}

local Output = {}
Output.__index = Output

local counter = 0

--- A name beside a path that no other running program of this machine uses.
-- @tparam string path
-- @treturn string
function M.temporary(path)
  counter = counter + 1
  return ("%s.tmp-%d-%d"):format(path, core.pid(), counter)
end

-- What the system says, without the temporary name, which the user does not know.
local function reason(message) return (message:match "[^:]*$":match "%S.*") end

local function cannot(path, message)
  return nil, ("%s: cannot be written: %s"):format(path, message or "the write failed")
end

-- ---- what killed programs left ----

local litter = {} -- folder -> name -> its temporary files; each folder is read once

local function read_litter(folder)
  local found = {}
  for _, name in ipairs(core.list(folder, ".tmp-") or {}) do
    local of = name:match "^(.*)%.tmp%-%d+%-%d+$"
    if of then
      found[of] = found[of] or {}
      table.insert(found[of], name)
    end
  end
  return found
end

--- Removes what killed programs left of a file. A writer that lives holds its temporary file, on whatever machine
-- where the file system carries locks across.
-- @tparam string path the file's, not the temporary one's
-- @tparam ?function remove how (os.remove)
function M.clear(path, remove)
  local folder, name = paths.dirname(path), path:match "[^/]*$"
  litter[folder] = litter[folder] or read_litter(folder)
  for _, left in ipairs(litter[folder][name] or {}) do
    local hold = core.hold(paths.join(folder, left))
    if hold then
      (remove or os.remove)(paths.join(folder, left))
      core.let_go(hold)
    end
  end
  litter[folder][name] = nil
end

-- ---- opening ----

local function open_straight(self)
  local message
  self.file, message = core.open_special(self.target)
  if not self.file then return cannot(self.path, message) end
  return self
end

-- A new file beside a path, open for writing; its hold, as long as which nobody clears it; and its name. Or nil and a
-- message.
local function create_beside(path, mode)
  local file, hold, exists, name
  repeat
    name = M.temporary(path)
    file, hold, exists = core.create(name, mode)
  until file or not exists
  return file, hold, name
end

local function open_beside(self, info)
  local ok, message
  M.clear(self.target)
  -- Not readable by more people than the old one, not even for a moment.
  self.file, self.hold, self.temporary = create_beside(self.target, info and info.mode & 511)
  if not self.file then
    message, self.hold, self.temporary = self.hold, nil, nil
    return cannot(self.path, message)
  end
  if info then
    ok, message = core.keep_owner(self.file, info)
    if not ok then
      self:discard()
      return cannot(self.path, message)
    end
  end
  return self
end

--- Begins to write a file. Folders that are missing are made.
-- @tparam string path links are followed
-- @return an object with `file`, open for writing, and `temporary`, its name (nil where the file is written straight);
--   or nil and a message
function M.open(path)
  local target, info, special = paths.target(path)
  if not target then return nil, info end
  if info and info.kind == "folder" or path:find "/$" then return nil, path .. ": is a folder, expected a file" end
  local self = setmetatable({path = path, target = target}, Output)
  if special then return open_straight(self) end
  if info and not core.can_write(target) then return cannot(path, "it is write-protected") end
  local ok, message = paths.mkdir_p(paths.dirname(target))
  if not ok then return cannot(path, message) end
  return open_beside(self, info)
end

-- ---- ending ----

-- os.rename, where the file system may say one thing and do another: NFS carries a request out twice and reports the
-- second's failure; others report success too early.
local function rename(from, to)
  local before = core.file_info(from, true)
  local ok, message = os.rename(from, to)
  local left, after = core.file_info(from, true), core.file_info(to, true)
  if not ok and not left and before and after and before.id == after.id then return true end
  if not ok then return nil, reason(message) end
  if left then return nil, "the file system did not rename it, and said it had" end
  return true
end

-- The whole new file takes its place; a crash between the two renames leaves the old one as `keep`.
local function take_place(self, opts)
  local moved = opts.keep and core.file_info(self.target, true)
  if moved then
    local ok, message = rename(self.target, opts.keep)
    if not ok then return nil, message end
  end
  local ok, message = rename(self.temporary, self.target)
  if ok then
    self.temporary = nil
    if opts.sync then ok, message = core.sync(paths.dirname(self.target)) end
  elseif moved then
    rename(opts.keep, self.target)
  end
  return ok, message
end

--- Ends the writing: the file is closed and takes its place.
-- @tparam ?table opts sync, keep, check: as `files.write_atomic` has them
-- @return true, or nil and what the system says; then `discard` is due
function Output:commit(opts)
  opts = opts or {}
  local ok, message = true, nil
  if opts.sync then ok, message = core.sync(self.file) end
  local closed, close_message = self.file:close()
  if ok and not closed then ok, message = nil, close_message end
  if not self.temporary then return ok, message end
  if ok and opts.check then ok, message = opts.check(self.temporary) end
  if ok then ok, message = take_place(self, opts) end
  if ok then core.let_go(self.hold) end
  return ok, message
end

--- An empty file beside the one in the making, for another program to write into and `discard` to remove.
-- @return its name, or nil and a message
function Output:scratch()
  self.scratches = self.scratches or {}
  local file, hold, name
  if self.temporary then
    file, hold, name = create_beside(self.target)
    if not file then return nil, hold end
    file:close()
  else
    name = os.tmpname() -- not among devices
  end
  table.insert(self.scratches, {name, hold})
  return name
end

--- Removes the scratch files.
function Output:clear()
  for _, scratch in ipairs(self.scratches or {}) do
    os.remove(scratch[1])
    if scratch[2] then core.let_go(scratch[2]) end
  end
  self.scratches = nil
end

--- Leaves the old file as it is, and nothing of the new one. Harmless after `commit`.
function Output:discard()
  self:clear()
  if io.type(self.file) == "file" then self.file:close() end
  if self.temporary then os.remove(self.temporary) end
  if self.hold then core.let_go(self.hold) end
end

local function fill(self, content, opts)
  local ok, message
  if type(content) == "string" then
    ok, message = self.file:write(content)
  else
    ok, message = content(self.file)
  end
  if ok then ok, message = self:commit(opts) end
  return ok, message
end

--- Writes a file; see `files.write_atomic`.
-- @tparam string path
-- @tparam string|function content
-- @tparam table opts
-- @return true, or nil and a message
function M.write(path, content, opts)
  local self, message = M.open(path)
  if not self then return nil, message end
  local ran, ok
  -- A reader that went away is an error, not a death. And a `content` that raises must leave no file behind.
  if self.temporary then
    ran, ok, message = pcall(fill, self, content, opts)
  else
    ran, ok, message = pcall(core.ignore_sigpipe, fill, self, content, opts)
  end
  if ran and ok then return true end
  self:discard()
  if not ran then error(ok, 0) end
  return cannot(path, message)
end

return M
