--- An epoch of the autoencoder in a process of its own: prints its largest resident memory in MB.
--   lua5.4 bench/memory.lua IMAGES BATCH [THREADS]
local cases, lt = require "bench.cases", require "latent"

local count, batch, threads = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3] or 1)
lt.set_threads(math.tointeger(threads))
cases.ae_epoch(cases.training_set(math.tointeger(count)), math.tointeger(batch))()

-- Where the system does not tell, nothing is printed.
local status = io.open "/proc/self/status"
local peak = status and status:read("a"):match "VmHWM:%s*(%d+) kB"
if status then status:close() end
if peak then print(peak / 1024) end
