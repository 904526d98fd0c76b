--- `make faults`, third part: SIGKILL at random moments of a run with log, checkpoint, best weights and figure. After
-- each the last good checkpoint must be there; resumed, the run must end with the bits of one that was never killed.
-- A folder is killed in up to four times before it may end. `--all`: 100 kills in place of 15.
local files = require "latent.base.files"
local watch = require "tools.faults.watch"

local o = watch.options()
local scratch <close> = watch.scratch()
local wanted = watch.reference(scratch.path .. "/whole")
local kills, ended, failed, number = 0, 0, 0, 0

local function complain(folder, message)
  failed = failed + 1
  print(("kills: seed %d, folder %d: %s"):format(o.seed, number, message))
  files.capture(("rm -rf build/faults/failed && cp -r %s build/faults/failed"):format(files.quote(folder)))
end

while kills < (o.all and 100 or 15) do
  number = number + 1
  local folder = ("%s/%d"):format(scratch.path, number)
  for _ = 1, math.random(4) do
    local after = ("timeout -s KILL %.4f"):format(wanted.seconds * (0.1 + 0.9 * math.random()))
    local _, _, _, status = watch.train(folder, nil, after)
    if status ~= 137 then
      ended = ended + 1 -- before the moment came
      break
    end
    kills = kills + 1
    local message = watch.fault_in(folder, false, true)
    if message then complain(folder, message) end
  end
  local message = watch.difference(folder, wanted)
  if message then complain(folder, message) end
end
print(("kills: %d kills in %d runs (%d ended before), %d faults"):format(kills, number, ended, failed))
os.exit(failed == 0, true)
