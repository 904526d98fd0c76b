-- latent.mpi: every call against its definition on 1 to 4 ranks, which mpirun starts, and how a job ends.
local files = require "latent.base.files"
local lt = require "latent"
local ranks = require "spec.support.ranks"

-- The ranks check by themselves; what they print tells how far they came.
local COLLECTIVES = [[
local lt, mpi = require "latent", require "latent.mpi"
local rank, size = mpi.rank, mpi.size
assert(size == math.tointeger(tonumber(arg[1])) and rank >= 0 and rank < size)
local function same(x, list)
  x = x:table()
  for i, value in ipairs(list) do assert(x[i] == value, ("%s: %s, expected %s"):format(i, x[i], value)) end
  assert(#x == #list)
end
-- A vector that tells rank and place: every op against the same done in Lua.
local function mine(r, n)
  local list = {}
  for i = 1, n do list[i] = (r + 1) * 3 ^ (i % 5) - (i * (r + 2)) % 7 end
  return list
end
for _, n in ipairs{1, 2, 5, 64, 1001} do
  for _, op in ipairs{"sum", "mean", "max", "min"} do
    for _, order in ipairs{"any", "tree"} do
      local expected = mine(0, n)
      for r = 1, size - 1 do
        for i, v in ipairs(mine(r, n)) do
          local e = expected[i]
          expected[i] = op == "max" and math.max(e, v) or op == "min" and math.min(e, v) or e + v
        end
      end
      if op == "mean" then
        for i, e in ipairs(expected) do expected[i] = lt.tensor{e}:mul_(1 / size):item() end
      end
      local x = lt.tensor(mine(rank, n))
      assert(mpi.all_reduce(x, op, {order = order}) == x)
      same(x, expected)
    end
  end
end
assert(mpi.all_reduce(rank) == size * (size - 1) // 2)
assert(mpi.all_reduce(rank, "max") == size - 1)
assert(mpi.all_reduce(rank + 0.5, "min") == 0.5)
-- The order of the tree: (1 + 2^24) + (1 + 1) is not ((1 + 2^24) + 1) + 1.
local big = mpi.all_reduce(lt.tensor{rank == 1 and 2 ^ 24 or 1}, "sum", {order = "tree"}):item()
assert(big == ({1, 2 ^ 24, 2 ^ 24, 2 ^ 24 + 2})[size] or size == 3 and big == 2 ^ 24 + 2, big)

-- What float32 would lose, in the other dtypes.
for _, order in ipairs{"any", "tree"} do
  for _, n in ipairs{1, 2, 7} do
    local x = lt.full({n}, 1 + rank * 2 ^ -40, {dtype = "float64"})
    mpi.all_reduce(x, "sum", {order = order})
    assert(x:get(n) == size + size * (size - 1) // 2 * 2 ^ -40, x:get(n))
    local whole = lt.full({n}, (1 << 53) + 1, {dtype = "i64"}) + rank
    mpi.all_reduce(whole, "max", {order = order})
    assert(whole:get(n) == (1 << 53) + size, whole:get(n))
    mpi.all_reduce(whole, "sum", {order = order})
    assert(whole:get(n) == size * ((1 << 53) + size), whole:get(n))
  end
end

for root = 0, size - 1 do
  local x = lt.full({3, 2}, rank)
  assert(mpi.broadcast(x, root) == x)
  assert(x:min():item() == root and x:max():item() == root)
  local u = mpi.broadcast(lt.full({4}, rank, "u8"), root)
  assert(u.dtype == "u8" and u:bytes() == string.char(root):rep(4))
  local value = mpi.broadcast(rank == root and {root, name = "r" .. root, deep = {{1.5}}} or nil, root)
  assert(value[1] == root and value.name == "r" .. root and value.deep[1][1] == 1.5)
  local list = mpi.gather({rank, lt.full({rank + 1}, rank)}, root)
  assert((list ~= nil) == (rank == root))
  for r = 0, list and size - 1 or -1 do
    assert(list[r + 1][1] == r and list[r + 1][2]:numel() == r + 1 and list[r + 1][2]:sum():item() == r * (r + 1))
  end
  local parts
  if rank == root then
    parts = {n = size}
    for r = 0, size - 1 do parts[r + 1] = {r * r} end
  end
  assert(mpi.scatter(parts, root)[1] == rank * rank)
end
-- All kinds of values, with their types and bits; short ones and one that fits into no block.
local values = {math.mininteger, -0.0, 0x1p-1074, 1 / 0, "a\0b", ("long"):rep(5000), true, false, lt.ones(2, 3),
  {}, {x = {y = {1, 2, 3}}}}
for i, value in ipairs(values) do
  for r, other in ipairs(mpi.all_gather(value)) do
    if type(value) == "table" then assert(type(other) == "table" and (i ~= 11 or other.x.y[3] == 3))
    elseif lt.is_tensor(value) then assert(other.shape[2] == 3 and other:sum():item() == 6)
    else assert(other == value and math.type(other) == math.type(value) and r <= size) end
  end
end
assert(1 / mpi.all_gather(-0.0)[size] == -1 / 0)
local holes = mpi.all_gather(rank == 0 and 5 or nil)
assert(holes.n == size and holes[1] == 5 and holes[2] == nil)
-- Messages of one tag keep their order, others pass them.
if size > 1 then
  if rank == 0 then
    for r = 1, size - 1 do
      for i = 1, 3 do mpi.send({i, lt.ones(i)}, r) end
      mpi.send("aside", r, {tag = 7})
    end
  else
    assert(mpi.receive(0, {tag = 7}) == "aside")
    for i = 1, 3 do
      local got = mpi.receive(0)
      assert(got[1] == i and got[2]:numel() == i)
    end
    assert(mpi.probe() == nil)
  end
end

-- A value that waits (batch norm's), and one that waits for what the ranks change.
lt.no_grad(function()
  local norm, x = require "latent.nn".BatchNorm1d(3), lt.arange(1, 12):reshape(4, 3) * (rank + 1)
  local y = norm(x)
  mpi.all_reduce(x)
  assert(math.abs(y:sum():item()) < 1e-4 and math.abs(y:get(1, 1) + 1.3416) < 1e-3, tostring(y))
  local z = norm(x)
  mpi.broadcast(z)
  assert(math.abs(z:get(1, 1) + 1.3416) < 1e-3, tostring(z))
end)
-- A copy of a part is told, before anything is sent.
local part = lt.ones(2, 3):transpose()
local ok, message = pcall(mpi.all_reduce, part, "mean")
assert(not ok and message:find("mpi.all_reduce: transpose copied", 1, true), message)
assert(part:get(1, 1) == 1)
mpi.barrier()
io.write("rank ", rank, " is done\n")
]]

local function job(ranks_, body, opts)
  return ranks.run(ranks_, "local lt, mpi = require 'latent', require 'latent.mpi'\n" .. body, opts)
end

describe("mpi without a launcher", function()
  local mpi = require "latent.mpi"

  it("is one rank, with which everything works", function()
    assert.same({0, 1, false}, {mpi.rank, mpi.size, mpi.is_launched()})
    local x = lt.ones(3)
    assert.equal(x, mpi.all_reduce(x))
    assert.equal(5, mpi.all_reduce(5, "mean"))
    assert.same({{1, "a"}, n = 1}, mpi.all_gather{1, "a"})
    assert.same({7, n = 1}, mpi.gather(7))
    assert.equal("x", mpi.scatter{"x"})
    assert.same({y = 2}, mpi.broadcast{y = 2})
    mpi.barrier()
    assert.is_nil(mpi.probe())
  end)

  it("refuses what makes no sense", function()
    local function said(f, ...) return select(2, pcall(f, ...)) end
    assert.matches("mpi.all_reduce: op: expected .*, got \"prod\"", said(mpi.all_reduce, lt.ones(1), "prod"))
    assert.matches("mpi.all_reduce: order: expected", said(mpi.all_reduce, lt.ones(1), "sum", {order = "ring"}))
    assert.matches("mpi.all_reduce: unknown option \"oder\" %(did you mean \"order\"", said(mpi.all_reduce, 1, "sum",
      {oder = "any"}))
    assert.matches("mpi.all_reduce: x: expected float32, float64 or i64, got u8",
      said(mpi.all_reduce, lt.full({2}, 1, "u8")))
    assert.matches("mpi.all_reduce: op: \"mean\" of i64 would lose its fraction",
      said(mpi.all_reduce, lt.ones(2):long(), "mean"))
    local w = lt.param(lt.ones(2))
    assert.matches("expected a leaf, got the result", said(mpi.all_reduce, w * 2))
    assert.matches("mpi.broadcast: root: expected a rank from 0 to 0, got 1", said(mpi.broadcast, 1, 1))
    assert.matches("mpi.gather: value: expected plain values and tensors, got a function", said(mpi.gather, print))
    local loop = {}
    loop[1] = loop
    assert.matches("mpi.all_gather: value: expected tables at most 100 deep", said(mpi.all_gather, loop))
    assert.matches("mpi.scatter: list: expected 1 values, one for each rank, got 2", said(mpi.scatter, {1, 2}))
    assert.matches("mpi.send: to: rank 0 is this one", said(mpi.send, 1, 0))
    assert.matches("mpi.receive: from: expected a rank, got nil", said(mpi.receive))
    assert.matches("mpi.send: tag: expected a whole number from 0 to 16383, got 16384",
      said(mpi.send, 1, 0, {tag = 16384}))
    assert.matches("mpi.set_timeout: seconds: expected a number of at least 0", said(mpi.set_timeout, -1))
    assert.matches("write mpi.size", said(function() return mpi.get_world_size end))
  end)

  it("says what is missing where it was started by mpirun, and built without MPI", function()
    if os.getenv "LATENT_SANITIZE" then pending "the library lies elsewhere" end
    local said = files.capture [[export OMPI_COMM_WORLD_RANK=0
      OMPI_COMM_WORLD_SIZE=2 LUA_CPATH="$(pwd)/build/core-only/?.so" sh -c '
      mkdir -p build/core-only/latent && ln -sf ../../latent/core.so ../../latent/blas.so build/core-only/latent/ &&
      lua5.4 -e "require [==[latent.mpi]==]" 2>&1'; rm -rf build/core-only]]
    assert.matches("mpi: this program was started by mpirun, and latent was built without MPI: install libopenmpi%-dev",
      said)
  end)
end)

describe("mpi", function()
  local missing = ranks.missing()
  local function check(name, f)
    it(name, function()
      if missing then pending(missing) end
      f()
    end)
  end

  for count = 1, 4 do
    check(("does what each call says on %d ranks"):format(count), function()
      local said, status = ranks.run(count, COLLECTIVES, {arguments = tostring(count), networks = true})
      assert.equal(0, status, said)
      assert.equal(count, select(2, said:gsub("rank %d is done", "")), said)
    end)
  end

  check("has as many threads as processors on each machine, shared by its ranks", function()
    local UNSET <const> = "env -u OMP_NUM_THREADS -u LATENT_NUM_THREADS"
    local said = job(2, "if mpi.rank == 0 then print('threads ' .. lt.threads()) end", {mpirun = "--bind-to none",
      env = UNSET})
    local processors = tonumber(files.capture(UNSET .. " lua5.4 -e 'io.write(require(\"latent\").threads())'"))
    assert.equal(math.max(1, processors // 2), tonumber(said:match "threads (%d+)"), said)
    said = job(2, "if mpi.rank == 0 then print('threads ' .. lt.threads()) end",
      {mpirun = "--bind-to none", env = "LATENT_NUM_THREADS=3"})
    assert.matches("threads 3\n", said)
  end)

  -- How a job ends: before its two minutes are over, with a status, and with the words of the rank that has ended it.
  local function fails(body, pattern, opts)
    local said, status = job(opts and opts.ranks or 3, body, opts)
    assert.matches(pattern, said)
    assert.not_equal(0, status, said)
    assert.not_equal(124, status, said) -- timeout's own
    return said
  end

  check("ends all ranks where one raises, with its message", function()
    local said = fails("if mpi.rank == 1 then error('rank 1 is broken') end mpi.barrier()", "rank 1 is broken")
    assert.matches("latent: rank 1 of 3 ended with status 1, and with it the job", said)
    fails("if mpi.rank == 2 then os.exit(7) end while true do mpi.all_gather(1) end", "rank 2 of 3 ended with status 7")
    fails("if mpi.rank == 2 then os.exit(7, true) end while true do lt.ones(1):sum() end", "ended with status 7")
    fails("if mpi.rank == 0 then mpi.abort('no more', 3) end mpi.barrier()", "no more")
  end)

  check("ends all ranks where one is killed", function()
    fails("if mpi.rank == 1 then os.execute('kill -9 $PPID') end while true do mpi.all_reduce(lt.ones(9)) end",
      "signal 9")
  end)

  check("says who has left, where others wait for it", function()
    fails("if mpi.rank < 1 then mpi.all_gather(1) mpi.all_gather(1) elseif mpi.rank == 1 then mpi.all_gather(1) "
      .. "else mpi.all_gather(1) mpi.all_gather(1) end",
      "script.lua:2: mpi.all_gather: rank 1 has ended its program, and rank %d waits for it")
    fails("if mpi.rank == 0 then mpi.receive(1) end", "mpi.receive: rank 1 has ended its program", {ranks = 2})
  end)

  check("refuses ranks that call different things", function()
    local said = fails("if mpi.rank == 1 then mpi.barrier() else mpi.all_reduce(lt.ones(2)) end",
      "rank %d calls mpi%..- where rank %d calls mpi%.")
    assert.matches("rank 1 calls mpi.barrier", said) -- whichever rank comes to say it
    assert.matches("rank [02] calls mpi.all_reduce sum any, float32 2", said)
    fails("mpi.all_reduce(lt.ones(2 + mpi.rank))", "mpi.all_reduce: rank %d calls .* float32 %d where")
    fails("mpi.broadcast(1, mpi.rank)", "mpi.broadcast: rank %d calls mpi.broadcast of rank %d, a value where")
  end)

  check("fails where a rank is not heard of for too long", function()
    fails("if mpi.rank == 0 then os.execute('sleep 130') end mpi.barrier()",
      "mpi.barrier: rank %d has waited for 1 seconds %(LATENT_MPI_TIMEOUT%)", {env = "LATENT_MPI_TIMEOUT=1"})
    fails("mpi.set_timeout(1) if mpi.rank == 0 then os.execute('sleep 130') end mpi.barrier()", "waited for 1 seconds")
    fails("", "LATENT_MPI_TIMEOUT: expected seconds, got \"soon\"", {env = "LATENT_MPI_TIMEOUT=soon"})
  end)

  check("lets ranks end at different times, and a caught error pass", function()
    local said, status = job(3, "pcall(error, 'x') mpi.barrier() if mpi.rank == 2 then os.execute('sleep 1') end "
      .. "io.write('end\\n')")
    assert.equal(0, status, said)
    assert.equal("end\nend\nend\n", said)
  end)

  check("leaves what a rank starts out of the job", function()
    local said, status = job(2, "os.execute('exit 3') print(io.popen('echo child'):read 'l') mpi.barrier()")
    assert.equal(0, status, said)
    assert.equal(2, select(2, said:gsub("child", "")))
  end)
end)
