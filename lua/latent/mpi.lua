--- Several processes that work together, on one machine or on many, by MPI: `mpirun -n 4 lua5.4 script.lua` starts
-- the script four times, and each of the four, the ranks, learns here which one it is. All of them run the whole
-- script; a function of this module that all ranks call waits until they do.
--
--     local mpi = require "latent.mpi"
--     local sum = mpi.all_reduce(lt.ones(3) * (mpi.rank + 1))     -- [3], the same on every rank
--     if mpi.rank == 0 then print(sum) end
--
-- Ranks count from 0, as MPI has them. Without mpirun there is one rank, 0 of 1, and everything works with it alone.
--
-- An error that nobody catches in one rank ends all of them, with that rank's message and its exit status. A rank that
-- waits for one which has ended its program gets an error; so do ranks that call different functions, or with tensors
-- of different shapes. Where a rank is not heard of for `LATENT_MPI_TIMEOUT` seconds (600; 0: for ever), the ones that
-- wait for it fail.
--
-- Training on several ranks is an option of latent.train, `parallel`; scripts of latent.experiment have it without one.
--
-- A module of its own, `build/latent/mpicore.so`, is built where MPI is installed (Debian: libopenmpi-dev and
-- openmpi-bin).
-- @module latent.mpi
require "latent" -- tensors get their methods, and errors the user's line
local core = require "latent.core"
local foreign = require "latent.base.foreign"
local options = require "latent.base.options"
local job = require "latent.mpi.job"
local launcher = require "latent.mpi.launcher"
local pack = require "latent.mpi.pack"

job.start()
local check, link, raise = job.check, job.link, core.raise

local M = {}

--- Which rank this process is, from 0.
M.rank = job.rank

--- How many ranks there are.
M.size = job.size

--- The library that does the work, in its own words; "" without a launcher.
M.library = job.library

--- Whether this process was started by mpirun, or by another launcher that MPI understands.
-- @function is_launched
-- @treturn boolean
M.is_launched = launcher.is_launched

-- ---- calls that all ranks make ----

-- All ranks say which function they call with what: they wait for each other for ever if these differ.
local function agree(name, what)
  local own = what == "" and name or name .. " " .. what
  for rank, other in ipairs(check(name, link.all_gather(own))) do
    if other ~= own then
      local theirs = other:find "^mpi%.all_gather" and "mpi.all_gather" or other
      raise(("%s: rank %d calls %s where rank %d calls %s"):format(name, rank - 1, theirs, M.rank, own))
    end
  end
end

local function check_rank(name, option, rank)
  rank = options.expect(name, option, rank == nil and 0 or rank, "integer")
  if rank < 0 or rank >= M.size then
    raise(("%s: %s: expected a rank from 0 to %d, got %d"):format(name, option, M.size - 1, rank))
  end
  return rank
end

-- A tensor that is changed in place, and is no part of a graph.
local function check_open(name, x)
  if not x.is_leaf then raise(name .. ": x: expected a leaf, got the result of a recorded op; write x:detach()") end
  core.no_grad(function() core.change(x, name) end) -- what waits for x is computed first
end

local function kind_of(x) return ("%s %s"):format(x.dtype, table.concat({table.unpack(x.shape)}, "x")) end

--- Waits until all ranks have come this far.
function M.barrier()
  if not link then return end
  agree("mpi.barrier", "")
end

--- Gives all ranks what one has: a tensor in place, for which each rank has one of the same shape and dtype, or any
-- plain value (see `gather`).
-- @param value a tensor on every rank, or a plain value, which counts at the root alone
-- @tparam ?int root the rank that gives (0)
-- @return the root's value
function M.broadcast(value, root)
  local name = "mpi.broadcast"
  root = check_rank(name, "root", root)
  if core.is_tensor(value) then
    check_open(name, value)
    if not link then return value end
    agree(name, ("of rank %d, %s"):format(root, kind_of(value)))
    check(name, link.broadcast(value, root))
    return value
  end
  local bytes = M.rank == root and pack.pack(value, name)
  if not link then return pack.unpack(bytes) end
  agree(name, ("of rank %d, a value"):format(root))
  return pack.unpack(check(name, link.broadcast_bytes(bytes or nil, root)))
end

local OPS = {sum = "sum", mean = "sum", max = "max", min = "min"}

local reduce_options = options.declare("mpi.all_reduce", {
  {"order", options.one_of{"any", "tree"}, "any", '"tree" adds in the order of a binary tree of the ranks, so that the '
    .. "bits depend on neither machines nor network; it moves as many bytes where the ranks are a power of two"},
})

--- Combines what all ranks have, element by element, and gives it to all of them.
-- @tparam Tensor|number x a tensor, which is changed in place, of the same shape and dtype on every rank; or a number
-- @tparam ?string op "sum" (the default), "mean", "max" or "min"
-- @tparam ?table opts
-- @treturn Tensor|number x itself; a number where x was one
function M.all_reduce(x, op, opts)
  local name = "mpi.all_reduce"
  op = op or "sum"
  if not OPS[op] then
    raise(('%s: op: expected "sum", "mean", "max" or "min", got %s'):format(name, options.describe(op)))
  end
  local order = reduce_options(opts).order
  if type(x) == "number" then
    local list = M.all_gather(x)
    local result = list[1]
    for i = 2, #list do
      local other = list[i]
      result = op == "max" and math.max(result, other) or op == "min" and math.min(result, other) or result + other
    end
    return op == "mean" and result / #list or result
  end
  core.check_tensor(x, name)
  check_open(name, x)
  local whole = x.dtype == "i64"
  if x.dtype == "u8" then raise(("%s: x: expected float32, float64 or i64, got %s"):format(name, x.dtype)) end
  if whole and op == "mean" then raise(name .. ": op: \"mean\" of i64 would lose its fraction; write x:double()") end
  if not link then return x end
  agree(name, ("%s %s, %s"):format(op, order, kind_of(x)))
  if order == "tree" and OPS[op] == "sum" and not whole then -- the order of whole numbers changes nothing
    job.sum_in_order(name, x)
  else
    check(name, link.all_reduce(x, OPS[op]))
  end
  if op == "mean" then core.no_grad(function() x:mul_(1 / M.size) end) end
  return x
end

--- Collects a value of each rank on all of them. Values are tensors, nil, booleans, numbers, strings, and tables of
-- these; they come out as copies with the same types and bits.
-- @param value may differ in kind and size between the ranks
-- @treturn table the values by rank + 1; where a value may be nil, `n` of them
function M.all_gather(value)
  local name = "mpi.all_gather"
  local bytes = pack.pack(value, name)
  local list = {n = M.size}
  if not link then
    list[1] = pack.unpack(bytes)
    return list
  end
  -- What is called stands in front: one call less than to agree first.
  for rank, other in ipairs(check(name, link.all_gather(name .. " " .. bytes))) do
    if other:sub(1, #name + 1) ~= name .. " " then
      raise(("%s: rank %d calls %s"):format(name, rank - 1, other:match "^%S*"))
    end
    list[rank] = pack.unpack(other:sub(#name + 2))
  end
  return list
end

--- Collects a value of each rank on one of them.
-- @param value as for `all_gather`
-- @tparam ?int root the rank that gets them (0)
-- @treturn ?table the values by rank + 1; nil on the other ranks
function M.gather(value, root)
  local name = "mpi.gather"
  root = check_rank(name, "root", root)
  local bytes = pack.pack(value, name)
  if not link then return {n = 1, pack.unpack(bytes)} end
  agree(name, ("to rank %d"):format(root))
  if M.rank ~= root then
    check(name, link.send_bytes(bytes, root, 1))
    return nil
  end
  local list = {n = M.size}
  for rank = 0, M.size - 1 do
    list[rank + 1] = pack.unpack(rank == root and bytes or check(name, link.receive_bytes(rank, 1)))
  end
  return list
end

--- Gives each rank one value of a list that one rank has.
-- @tparam ?table list at the root: a value for each rank, as for `all_gather`
-- @tparam ?int root the rank that gives (0)
-- @return this rank's
function M.scatter(list, root)
  local name = "mpi.scatter"
  root = check_rank(name, "root", root)
  local packed = {}
  if M.rank == root then
    options.expect(name, "list", list, "table")
    local count = list.n or #list
    if count ~= M.size then
      raise(("%s: list: expected %d values, one for each rank, got %d"):format(name, M.size, count))
    end
    for i = 1, M.size do packed[i] = pack.pack(list[i], name) end
  end
  if not link then return pack.unpack(packed[1]) end
  agree(name, ("of rank %d"):format(root))
  if M.rank ~= root then return pack.unpack(check(name, link.receive_bytes(root, 1))) end
  for rank = 0, M.size - 1 do
    if rank ~= root then check(name, link.send_bytes(packed[rank + 1], rank, 1)) end
  end
  return pack.unpack(packed[root + 1])
end

-- ---- calls between two ranks ----

local FIRST_TAG, MOST_TAGS = 16, 1 << 14 -- those below are the module's own

local TAG = options.kind("int", ("a whole number from 0 to %d"):format(MOST_TAGS - 1), function(value)
  local tag = type(value) == "number" and math.tointeger(value)
  return tag and tag >= 0 and tag < MOST_TAGS and tag or nil
end)
local TAG_ROW = {"tag", TAG, 0, "tells messages apart; those of one tag arrive in their order"}
local send_options = options.declare("mpi.send", {TAG_ROW})
local receive_options = options.declare("mpi.receive", {TAG_ROW})
local probe_options = options.declare("mpi.probe", {TAG_ROW})

local function other_rank(name, option, rank)
  if rank == nil then raise(("%s: %s: expected a rank, got nil"):format(name, option)) end
  rank = check_rank(name, option, rank)
  if rank == M.rank then raise(("%s: %s: rank %d is this one"):format(name, option, rank)) end
  return rank
end

--- Sends a value to a rank, which calls `receive`.
-- @param value as for `all_gather`
-- @tparam int to a rank
-- @tparam ?table opts
function M.send(value, to, opts)
  local name = "mpi.send"
  local tag = FIRST_TAG + send_options(opts).tag
  to = other_rank(name, "to", to)
  check(name, link.send_bytes(pack.pack(value, name), to, tag))
end

--- Waits for a value that a rank sends.
-- @tparam int from a rank
-- @tparam ?table opts
-- @return the value
function M.receive(from, opts)
  local name = "mpi.receive"
  local tag = FIRST_TAG + receive_options(opts).tag
  from = other_rank(name, "from", from)
  return pack.unpack(check(name, link.receive_bytes(from, tag)))
end

--- Whether a value has arrived that `receive` would take without waiting.
-- @tparam ?table opts
-- @treturn ?int the rank that has sent it; nil where there is none
function M.probe(opts)
  local tag = FIRST_TAG + probe_options(opts).tag
  return link and link.probe(-1, tag)
end

-- ---- the end ----

--- Ends all ranks at once.
-- @tparam ?string message for standard error
-- @tparam ?int status the exit status (1)
function M.abort(message, status)
  if message ~= nil then io.stderr:write(options.expect("mpi.abort", "message", message, "string"), "\n") end
  status = options.expect("mpi.abort", "status", status or 1, "count")
  io.stdout:flush()
  if link then link.abort(status) end
  os.exit(status, true)
end

--- How long a rank may wait for others before it fails.
-- @tparam number seconds 0: for ever
-- @treturn number what it was before; 0 where there is one rank
function M.set_timeout(seconds)
  options.expect("mpi.set_timeout", "seconds", seconds, "not negative")
  return link and link.limit(seconds) or 0
end

return setmetatable(M, foreign.asked("mpi", "mpi"))
