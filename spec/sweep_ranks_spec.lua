-- `latent sweep` in an MPI job: its ranks do the runs.
local files = require "latent.base.files"
local ranks = require "spec.support.ranks"
local scratch = require "spec.support.scratch"

local SCRIPT = [[
--- A toy: what is the square?
local experiment = require "latent.experiment"
local e <close> = experiment.begin{options = {x = 1.0, how = "well", data = false}}
local o, folder = e.options, (arg[0]:gsub("/[^/]*$", ""))
assert(not os.getenv "OMPI_COMM_WORLD_RANK", "the run is in the job")
if o.x > 4 and io.open(folder .. "/hold") then
  io.open(("%s/holds%g"):format(folder, o.x), "w"):close()
  while true do os.execute "sleep 1" end
end
local mark = ("%s/died%g"):format(folder, o.x)
local before = io.open(mark)
if o.how == "twice" and not before then
  io.open(mark, "w"):close()
  os.execute "kill -9 $PPID"
end
if o.how == "dies" then os.execute "kill -9 $PPID" end
if o.how == "fails" then error "no luck" end
local log = io.open(folder .. "/log", "a")
log:write(("%g\n"):format(o.x))
log:close()
e:number("square", o.x * o.x)
]]

describe("a sweep on ranks", function()
  local missing = ranks.missing()
  local folder, remove
  before_each(function()
    folder, remove = scratch.folder()
    scratch.write(folder, "toy.lua", SCRIPT)
  end)
  after_each(function() remove() end)

  local function sweep(count, words)
    return ranks.run(count, "bin/latent", {arguments = ("sweep %s/toy.lua --out %s/runs %s"):format(folder, folder,
      words)})
  end
  local function log()
    local lines = {}
    for line in assert(files.read_all(folder .. "/log")):gmatch "[^\n]+" do lines[#lines + 1] = line end
    table.sort(lines)
    return table.concat(lines, " ")
  end
  local function check(name, f)
    it(name, function()
      if missing then pending(missing) end
      f()
    end)
  end

  check("does each run once, and none that is done", function()
    local said, status = sweep(3, "--x 1..4")
    assert.equal(0, status, said)
    assert.matches("4 runs of .*, 0 of them done already, 3 at a time", said)
    assert.equal("1 2 3 4", log())
    assert.equal(1, select(2, said:gsub("Sweep of", "")))
    said, status = sweep(2, "--x 3..6")
    assert.equal(0, status, said)
    assert.matches("2 of them done already, 2 at a time", said)
    assert.equal("1 2 3 4 5 6", log())
    said, status = sweep(2, "--x 1..6")
    assert.equal(0, status, said)
    assert.equal("1 2 3 4 5 6", log())
    assert.matches("x=6 +1 +36", said)
  end)

  check("tries a run that died once more, and reports what dies again or fails", function()
    local said, status = sweep(2, "--x 1,2 --how twice")
    assert.equal(0, status, said)
    assert.equal(2, select(2, said:gsub("died, and is tried once more", "")))
    assert.equal("1 2", log())
    said, status = sweep(3, "--x 5 --how dies,fails,well")
    assert.equal(1, status)
    assert.matches("how dies, x 5: died, and is tried once more", said)
    assert.not_matches("how fails, x 5: died", said)
    assert.matches("how dies, x 5: died\n", said)
    assert.matches("how fails, x 5: .*no luck", said)
    assert.equal("1 2 5", log())
  end)

  check("goes on where the job was killed", function()
    scratch.write(folder, "hold", "")
    -- Each of the two ranks has one that holds: those before are done.
    files.capture(([[exec >/dev/null 2>&1
      %s lua5.4 bin/latent sweep FOLDER/toy.lua --out FOLDER/runs --x 1..12 & job=$!
      until [ $(ls FOLDER/holds* | wc -l) = 2 ] || ! kill -0 $job; do sleep 0.05; done
      kill -9 $(pgrep -P $job) $job
      while pkill -9 -f FOLDER/[t]oy.lua; do sleep 0.05; done]]):gsub("FOLDER", folder):format(ranks.command(2)))
    assert(os.remove(folder .. "/hold"))
    local said, status = sweep(2, "--x 1..12")
    assert.equal(0, status, said)
    assert.matches("4 of them done already", said)
    assert.equal("1 10 11 12 2 3 4 5 6 7 8 9", log())
  end)

  check("is what experiment.sweep does in a job, with the results on every rank", function()
    local program = scratch.write(folder, "program.lua", ([[
      local experiment, mpi = require "latent.experiment", require "latent.mpi"
      local runs = assert(experiment.sweep("%s/toy.lua", {{x = 2}, {x = 3}, {x = 2}}, {out = "%s/runs"}))
      local sum = 0
      for _, square in ipairs(runs:column "square") do sum = sum + square end
      print(mpi.rank, sum)
    ]]):format(folder, folder))
    local said, status = ranks.run(2, program)
    assert.equal(0, status, said)
    assert.matches("0\t17", said)
    assert.matches("1\t17", said)
  end)
end)
