--- What a run has on the disk, from its locks to its checkpoint, and the troubles with that.
-- @module latent.train.disk
local checkpoint = require "latent.train.checkpoint"
local core = require "latent.core"
local files = require "latent.base.files"
local locks = require "latent.base.files.lock"
local snapshot = require "latent.train.snapshot"

local M = {}

-- ---- locks ----

--- Takes the locks of a run's checkpoint and log: two programs that write one file would each destroy what the other
-- has made. Makes their folders.
-- @tparam table run
-- @return true, or nil and a message that says who has them
function M.take_locks(run)
  local paths = {run.path}
  paths[#paths + 1] = run.log_path
  for _, path in ipairs(paths) do
    local ok, message = files.mkdir_p(files.dirname(files.target(path) or path))
    if ok then run.locks[path], message = locks.take(path, run) end
    if not run.locks[path] then return nil, message end
  end
  return true
end

--- The file that another run has got since this one was made.
-- @tparam table run
-- @treturn ?string nil where it has all of them
function M.taken_from(run)
  for path, lock in pairs(run.locks) do
    if not lock:is_held() then return path end
  end
end

--- Lets other programs have the files.
-- @tparam table run
function M.release(run)
  for _, lock in pairs(run.locks) do lock:release() end
end

-- ---- the checkpoint ----

local function gather(run)
  local tensors, values = snapshot.gather(run)
  values.settings, values.probes = run.own_settings, run.probes
  values.steps, values.epoch, values.epoch_steps = run.steps, run.epoch, run.epoch_steps
  values.sums, values.watching, values.lines = run.sums, run.watching, run.file.lines
  return tensors, values
end

local function save(run)
  local held = run.locks[run.path]
  if held and held:is_held() then return checkpoint.save(run.path, gather(run)) end
  -- It has ended, or another run has taken its place.
  local lock <close>, message = locks.take(run.path, run)
  if not lock then return nil, message end
  return checkpoint.save(run.path, gather(run))
end

--- Writes the checkpoint of a run as it stands.
-- @tparam table run
-- @return true, or nil and a message
function M.write_checkpoint(run)
  run.tried_step, run.saved_at = run.steps, core.clock()
  local ok, message = save(run)
  if ok then run.saved_step = run.steps end
  return ok, message
end

-- ---- troubles ----

local function tell(run, message)
  if run.bar then run.bar:print(message) else io.stderr:write(message, "\n") end
end

--- Takes note of how writing a file has ended. A trouble does not end a training of hours: it is told when it begins
-- and when it is over, and kept in `message` as long as it lasts.
-- @tparam table run
-- @tparam string file
-- @param ok whether it was written
-- @tparam ?string message what was wrong
function M.heed(run, file, ok, message)
  local before = run.troubles[file]
  if not ok then
    run.troubles[file], run.message = message, message
    if not before then tell(run, message) end
  elseif before then
    run.troubles[file] = nil
    if run.message == before then run.message = nil end
    tell(run, file .. ": written again")
  end
end

return M
