--- This process's place among the ranks of a job, and the calls of MPI that the library itself makes: without checks
-- that all ranks call the same. Without a launcher there is one rank, and nothing is called.
-- @module latent.mpi.job
local core = require "latent.core"
local launcher = require "latent.mpi.launcher"
local options = require "latent.base.options"

local raise = core.raise

local M = {rank = 0, size = 1, library = ""}

local function limit_of(text)
  local seconds = tonumber(text ~= "" and text or "600")
  if seconds and seconds >= 0 then return seconds + 0.0 end
  raise(("mpi: LATENT_MPI_TIMEOUT: expected seconds, got %s"):format(options.describe(text)))
end

-- Ranks of one machine share its processors: by default each rank would start a thread for every one of them.
local function share_threads()
  local here, from = launcher.here(), core.info().threads_from
  if here > 1 and not from:find "LATENT_NUM_THREADS" and from:find "processors of this machine" then
    core.set_threads(math.max(1, core.threads() // here))
  end
end

--- The functions of latent.mpicore; nil without a launcher, and before the start.
M.link = nil

--- Takes this process's place in the job, where a launcher has started it; once.
function M.start()
  if M.link or not launcher.is_launched() then return end
  local ok, found = pcall(require, "latent.mpicore")
  if not ok and launcher.size() == 1 then return end
  if not ok then
    raise("mpi: this program was started by mpirun, and latent was built without MPI: install libopenmpi-dev and "
      .. "openmpi-bin (Debian, Ubuntu), and build again")
  end
  local rank, size, library = found.init(function() end, limit_of(os.getenv "LATENT_MPI_TIMEOUT"))
  if not rank then raise("mpi: " .. tostring(size)) end
  M.rank, M.size, M.link = rank, size, found
  M.library = library:match "^[^\n,]*"
  share_threads()
end

--- Raises where a call has failed.
-- @tparam string name of the user's function
-- @param ok what the call returned
-- @tparam ?string message
-- @return ok
function M.check(name, ok, message)
  if ok == nil then raise(("%s: %s"):format(name, message)) end
  return ok
end

--- The sum over all ranks in the order of a binary tree, in place and on every rank.
-- @tparam string name of the user's function
-- @tparam Tensor x float32 or float64
function M.sum_in_order(name, x)
  local link = M.link
  if not link then return end
  if M.size & (M.size - 1) == 0 then
    M.check(name, link.tree_sum(x, core.zeros({(x:numel() + 1) // 2}, {dtype = x.dtype})))
    return
  end
  local other = core.zeros(x.shape, {dtype = x.dtype})
  local function sum(first, last)
    if first == last then return end
    local middle = (first + last) // 2
    sum(first, middle)
    sum(middle + 1, last)
    if M.rank == middle + 1 then M.check(name, link.send(x, first)) end
    if M.rank == first then
      M.check(name, link.receive(other, middle + 1))
      core.no_grad(function() x:add_(other) end)
    end
  end
  sum(0, M.size - 1)
  M.check(name, link.broadcast(x, 0))
end

return M
