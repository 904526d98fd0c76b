--- What the launchers of MPI tell the processes that they start, as it stands in the environment: Open MPI's and
-- PMIx's, MPICH's and Slurm's PMI.
-- @module latent.mpi.launcher
local M = {}

local function number(names)
  for _, name in ipairs(names) do
    local value = tonumber(os.getenv(name) or "")
    if value then return math.tointeger(value) end
  end
end

--- Whether this process was started by mpirun, or by another launcher that MPI understands.
-- @treturn boolean
function M.is_launched() return number{"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"} ~= nil end

--- Whether mpirun itself, or another launcher that says how many ranks it starts, has started this process.
-- @treturn boolean
function M.is_mpirun() return number{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"} ~= nil end

--- How many ranks the job has, as far as the environment tells.
-- @treturn int
function M.size()
  return M.is_launched() and number{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"} or 1
end

--- How many of them are on this machine.
-- @treturn int
function M.here() return number{"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"} or 1 end

--- The beginning of a shell command that starts a program outside the job.
-- @treturn string
function M.outside()
  local words, pipe = {"env"}, assert(io.popen "env")
  for line in pipe:lines() do
    local name = line:match "^([A-Z]+_[%w_]*)="
    if name and (name:find "^OMPI_" or name:find "^PMIX?_" or name:find "^MPI_" or name:find "^[OP]RTE_") then
      words[#words + 1] = "-u " .. name
    end
  end
  pipe:close()
  return table.concat(words, " ")
end

return M
