--- The run that is starved and killed: checkpoint, log, best weights and a figure in one folder, resumed where it
-- stands. Its last line is "done" with a sum of all that it has computed; before it, a line for each thing that it
-- could not write. It ends with 3 where it could not begin.
local core, lt = require "latent.core", require "latent"
local plot, safetensors, train = require "latent.plot", require "latent.safetensors", require "latent.train"
local small = require "spec.support.small_run"

local folder, stop = arg[1], tonumber(arg[2])
lt.set_threads(1)

local function try(what, f, ...)
  local ok, message = pcall(f, ...)
  if not ok then print(what .. ": " .. message) end
end

local opts = small.options(folder, {resume = true, every = 3, log_steps = 2, callbacks = {on_step = function(now, run)
  if now.step == stop then run:stop() end
end}})
local run, message = train.run(opts)
if not run then
  print("refused: " .. message)
  os.exit(3, true)
end
for file, trouble in pairs(run.troubles) do print(file .. ": " .. trouble) end
local losses = {}
for i, entry in ipairs(run.log) do losses[i] = entry.train_loss end
try("figure", function()
  plot.lines{{y = #losses > 0 and losses or {0}}, width = 300, height = 200}:save(folder .. "/figs/loss.png",
    {keep = true})
end)
try("best", function() safetensors.save(folder .. "/best.safetensors", run.best_state or {}) end)

run.log_path = arg[0] -- the sum is of what was computed; the log is compared by itself
print(run.stopped, ("%08x"):format(core.crc32(small.bits(run))))
