--- A run on several ranks: that all of them make the same one, begin with the same state, and end each epoch with the
-- same numbers and weights. Files belong to rank 0.
-- @module latent.train.ranks
local core = require "latent.core"
local lt = require "latent"
local snapshot = require "latent.train.snapshot"
local sorted_keys = require "latent.base.sorted_keys"

local raise = core.raise

local M = {}

local NAME = "train.run"

-- What must be the same on all ranks, besides the settings of the run.
local function terms_of(run)
  local terms = {version = lt._VERSION, isa = core.info().isa, epochs = run.epochs, ["steps an epoch"] =
    run.steps_per_epoch, validates = type(run.validate), ["validation batch"] = run.validation_batch or 0}
  for name, value in pairs(run.own_settings) do terms[name] = value end
  return terms
end

local function check_terms(mpi, run)
  local list = mpi.all_gather(terms_of(run))
  for rank = 1, mpi.size - 1 do
    local lines = {}
    local names = {}
    for name in pairs(list[1]) do names[name] = true end
    for name in pairs(list[rank + 1]) do names[name] = true end
    for _, name in ipairs(sorted_keys(names)) do
      local first, other = list[1][name], list[rank + 1][name]
      if first ~= other then
        lines[#lines + 1] = ("%s: %s on rank 0, %s on rank %d"):format(name, snapshot.said(first),
          snapshot.said(other), rank)
      end
    end
    if lines[1] then
      raise(("%s: parallel: the ranks differ: %s"):format(NAME, table.concat(lines, "; ", 1, math.min(#lines, 5))))
    end
  end
end

--- Before the files are opened: refuses ranks that make different runs, takes the files from all but rank 0, and gives
-- all of them the state that rank 0 begins with.
-- @tparam table run
function M.begin(run)
  local mpi = run.mpi
  check_terms(mpi, run)
  if mpi.rank > 0 then
    run.elsewhere = run.path ~= nil
    run.path, run.log_path, run.progress = nil, nil, nil
  end
  local state = mpi.broadcast(mpi.rank == 0 and {snapshot.gather(run)} or nil)
  if mpi.rank > 0 then snapshot.apply(run, state[1], state[2]) end
end

--- After rank 0 has opened them: how that ended, and what it has read from a checkpoint.
-- @tparam table run
-- @param ok
-- @tparam ?string message
-- @return ok
-- @treturn ?string message
function M.opened(run, ok, message)
  local mpi = run.mpi
  local said = mpi.broadcast(mpi.rank == 0 and {ok = ok, message = message, restored = run.restored} or nil)
  if mpi.rank > 0 and said.restored then
    run.restored = said.restored
    run:restore(table.unpack(said.restored))
  end
  if mpi.rank > 0 and not said.ok then return nil, said.message end
  return ok, message
end

local function sum_of(run)
  local sum, state = 0, run.model:state()
  for _, name in ipairs(sorted_keys(state)) do sum = core.crc32(state[name]:bytes(), sum) end
  return sum
end

--- At the end of an epoch: the entry of rank 0 for all, and whether they still have the same weights.
-- @tparam table run
-- @tparam table entry
-- @treturn table
-- @treturn ?string the number that is not finite, where there is one
function M.same_epoch(run, entry)
  local own = {entry = run.mpi.rank == 0 and entry or nil, diverged = run.diverged, sum = sum_of(run)}
  local list = run.mpi.all_gather(own)
  for rank = 1, run.mpi.size - 1 do
    if list[rank + 1].sum ~= list[1].sum then
      raise(("train: after epoch %d rank %d has other weights than rank 0: the ranks have drawn different random "
        .. "numbers, or changed the model each for itself"):format(run.epoch, rank))
    end
  end
  return list[1].entry, list[1].diverged
end

return M
