--- For specs: scripts run by mpirun.
local files = require "latent.base.files"
local scratch = require "spec.support.scratch"

local M = {}

--- Why no job can be started here; nil where it can.
function M.missing()
  if os.getenv "LATENT_SANITIZE" then return "Open MPI's own leaks would be reported" end
  if not package.searchpath("latent.mpicore", package.cpath) then return "latent is built without MPI" end
  if not files.has_program "mpirun" then return "there is no mpirun" end
end

--- The words that start a job, before the program. Where a rank ends badly, the others end at once, instead of after
-- the two seconds that Open MPI gives them (`opts.grace`); and none looks for networks, which takes a third of a
-- second (`opts.networks`). What they share lies in /tmp: a container's /dev/shm may have room for a few of them alone.
function M.command(ranks, opts)
  opts = opts or {}
  local at_once = opts.grace and "" or "--mca odls_base_sigkill_timeout 0"
  local near = opts.networks and "" or "--mca pml ob1"
  local shared = "--mca btl_vader_backing_directory /tmp"
  return ("timeout -k 5 %d mpirun --allow-run-as-root --oversubscribe %s %s %s %s -n %d"):format(opts.timeout or 120,
    at_once, near, shared, opts.mpirun or "", ranks)
end

--- Runs a script of the tree, or a text, on so many ranks.
-- @return what all of them wrote, and the exit status
function M.run(ranks, script, opts)
  local folder, remove
  local path = script
  if script:find "\n" then
    folder, remove = scratch.folder()
    path = scratch.write(folder, "script.lua", script)
  end
  local words = ("%s lua5.4 %s %s 2>&1; echo \"status $?\""):format(M.command(ranks, opts), files.quote(path),
    opts and opts.arguments or "")
  local said = files.capture((opts and opts.env or "") .. " " .. words)
  if remove then remove() end
  local text, status = said:match "^(.*)status (%d+)%s*$"
  return text, math.tointeger(tonumber(status))
end

return M
