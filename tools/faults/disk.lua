--- `make faults`, second part: a disk that fails at every single call with which a run changes its folder. Each run
-- goes on from the same place (there are a checkpoint, a log and a figure already); it must end by itself, with what
-- was there or what is new and nothing in between, and resumed without faults it must end with the right bits.
-- `--all`: every call, in place of some taken by chance; `--case kind,n,m`: one of them.
local files = require "latent.base.files"
local watch = require "tools.faults.watch"

local SHIM = "build/faults/disk.so"
-- What goes wrong, how many times in a row, and how many cases are tried where not all are.
local KINDS = {
  {"ENOSPC", 1, 8}, {"ENOSPC", 3, 4}, {"ENOSPC", 1000000, 4}, {"EIO", 1, 6}, {"LOST", 1, 4}, {"UNDONE", 1, 4},
  {"DONE", 1, 4}, {"KILL", 1, 8},
}

local o = watch.options()
if not files.exists(SHIM) then
  print "disk: nothing to preload on this system"
  os.exit(0, true)
end
local scratch <close> = watch.scratch()
local wanted = watch.reference(scratch.path .. "/whole")

-- The place that all begin at.
local from = scratch.path .. "/from"
assert(files.capture(("%s tools/faults/training.lua %s 5"):format(arg[-1], files.quote(from))))

local function copy(name)
  local folder = scratch.path .. "/" .. name
  files.capture(("rm -rf %s && cp -r %s %s"):format(folder, from, folder))
  return folder
end

local function faulty(folder, case)
  return ("FAULT_DIR=%s FAULT=%s FAULT_COUNT=%s LD_PRELOAD=%s"):format(files.quote(folder), case,
    files.quote(scratch.path .. "/count"), files.quote(files.capture "pwd" .. "/" .. SHIM))
end

-- A figure's script and data are each the old or the new.
local function changed_in_part(folder, whole)
  for _, name in ipairs{"loss.gp", "loss.dat"} do
    local bytes = files.read_all(folder .. "/figs/" .. name)
    if bytes ~= files.read_all(from .. "/figs/" .. name) and bytes ~= files.read_all(whole .. "/figs/" .. name) then
      return name .. " is neither the old nor the new"
    end
  end
end

local runs, failed, troubled = 0, 0, 0

local function try(case)
  if failed >= 10 then return end -- enough to look at
  local kind = case:match "^%u+"
  local folder = copy "run"
  local word, sum, text, status = watch.train(folder, faulty(folder, case))
  local message
  if kind == "KILL" then
    if status ~= 137 then message = ("status %d, expected the kill: %s"):format(status, text) end
  elseif status ~= 0 and status ~= 3 or status == 0 and word ~= "done" then
    message = ("status %d: %s"):format(status, text)
  elseif word == "done" and sum ~= wanted.sum then
    message = "computed something else"
  end
  if text ~= wanted.text then troubled = troubled + 1 end
  message = message or watch.fault_in(folder, kind == "LOST", kind == "KILL")
    or kind ~= "LOST" and changed_in_part(folder, scratch.path .. "/whole") or watch.difference(folder, wanted)
  runs = runs + 1
  if message then
    failed = failed + 1
    print(("disk: %s: %s"):format(case, message:sub(1, 400)))
    files.capture(("rm -rf build/faults/failed && cp -r %s build/faults/failed"):format(files.quote(folder)))
  end
end

-- A file system of a few kilobytes that is really full, and then is given room. Needs root.
local function try_full(kilobytes)
  local at = scratch.path .. "/full"
  assert(files.mkdir_p(at))
  if not files.capture(("mount -t tmpfs -o size=%dk none %s 2>/dev/null"):format(kilobytes, at)) then return false end
  local folder = at .. "/run"
  files.capture(("cp -r %s %s 2>/dev/null"):format(from, folder))
  local word, sum, text, status = watch.train(folder)
  local message = status ~= 0 and status ~= 3 and text
    or word == "done" and sum ~= wanted.sum and "computed something else" or watch.fault_in(folder)
  if text ~= wanted.text then troubled = troubled + 1 end
  files.capture(("mount -o remount,size=9m %s"):format(at))
  message = message or watch.difference(folder, wanted)
  -- And one that may not be written at all.
  files.capture("mount -o remount,ro " .. at)
  local _, _, refusal, refused = watch.train(folder)
  if refused ~= 3 or not refusal:find "Read%-only file system" then
    message = message or "read-only: " .. refusal
  end
  files.capture("umount " .. at)
  runs = runs + 2
  if message then
    failed = failed + 1
    print(("disk: tmpfs of %d kB: %s"):format(kilobytes, message))
  end
  return true
end

if o.case then
  try(o.case)
else
  local counting = copy "run"
  assert(watch.train(counting, faulty(counting, "ENOSPC,1000000,1")) == "done")
  local calls = tonumber(files.read_all(scratch.path .. "/count"))
  for _, kind in ipairs(KINDS) do
    for i = 1, o.all and calls or kind[3] do
      try(("%s,%d,%d"):format(kind[1], o.all and i or math.random(calls), kind[2]))
    end
  end
  local smallest = 44
  for kilobytes = smallest, o.all and 160 or 76, o.all and 4 or 16 do
    if not try_full(kilobytes) then
      print "disk: no tmpfs can be mounted here"
      break
    end
  end
  print(("disk: %d calls change the folder"):format(calls))
end
print(("disk: %d runs, %d of which told of a trouble, %d faults (seed %d)"):format(runs, troubled, failed, o.seed))
os.exit(failed == 0, true)
