--- Commands of a shell that the ranks of an MPI job run, one at a time each; rank 0 hands them out and has one of its
-- own under way besides.
-- @module latent.experiment.hands
local files = require "latent.base.files"
local mpi = require "latent.mpi"

local M = {}

local PAUSE = "sleep 0.05"

--- On a rank other than 0: runs what it is handed, until there is no more.
function M.serve()
  local limit = mpi.set_timeout(0) -- others may work for hours
  while true do
    local task = mpi.receive(0)
    if not task then break end
    os.execute(task.command)
    mpi.send(task.number, 0)
  end
  mpi.set_timeout(limit)
end

--- On rank 0, in the end: lets the others go.
function M.dismiss()
  for rank = 1, mpi.size - 1 do mpi.send(false, rank) end
end

-- Runs a command beside this program; a file tells when it has ended.
local function start_own(number, command)
  local mark = files.temporary(os.tmpname())
  os.execute(("{ { %s\n}; : >%s; } &"):format(command, files.quote(mark)))
  return {number = number, mark = mark}
end

--- On rank 0: has commands run, in their order, as soon as a rank is free.
-- @tparam {string,...} commands
-- @tparam function ended of the number of a command that has ended; true if it is to be run again
function M.hand_out(commands, ended)
  local queue, idle, left, own = {}, {}, #commands, nil
  for i = #commands, 1, -1 do queue[#queue + 1] = i end
  for rank = mpi.size - 1, 1, -1 do idle[#idle + 1] = rank end
  local function finish(number)
    if ended(number) then queue[#queue + 1] = number else left = left - 1 end
  end
  local limit = mpi.set_timeout(0)
  while left > 0 do
    while #queue > 0 and #idle > 0 do
      local number = table.remove(queue)
      mpi.send({number = number, command = commands[number]}, table.remove(idle))
    end
    if not own and #queue > 0 then
      local number = table.remove(queue)
      own = start_own(number, commands[number])
    end
    local rank = mpi.probe()
    if rank then
      idle[#idle + 1] = rank
      finish(mpi.receive(rank))
    elseif own and files.exists(own.mark) then
      os.remove(own.mark)
      local number = own.number
      own = nil
      finish(number)
    else
      os.execute(PAUSE)
    end
  end
  mpi.set_timeout(limit)
end

return M
