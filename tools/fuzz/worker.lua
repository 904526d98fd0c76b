-- Tries inputs, one after another, for some seconds: damaged files on the readers, random programs on the ops.
--   lua5.4 tools/fuzz/worker.lua FOLDER SEED FIRST SECONDS WHAT     inputs FIRST, FIRST + 1, ... under a seed
--   lua5.4 tools/fuzz/worker.lua --replay FILE...                   files by name: npz-what, program-what.json;
--                                                                   npz-refused-what must not be read
-- What is being tried lies in the folder: where the process dies, it is the culprit. What failed stays there,
-- with what is wrong beside it.
local files = require "latent.base.files"
local judge = require "tools.fuzz.judge"
local programs = require "tools.fuzz.programs"
local Random = require "tools.fuzz.random"
local readers = require "tools.fuzz.readers"

local MANY = 200 -- inputs between looks at the memory of tensors

local function write(path, bytes)
  local file = assert(io.open(path, "wb"))
  assert(file:write(bytes))
  assert(file:close())
end

-- The kind of an input by its file's name. @return "program", or a reader
local function kind_of(path)
  local kind = path:match("[^/]*$"):gsub("^trying%-", ""):gsub("^failed%-", ""):match "^([%w_]+)%-"
  if kind ~= "program" and not readers.list[kind] then error(path .. ": expected a name such as npz-what", 0) end
  return kind
end

--- One input that lies in a file. @return nil, or what is wrong
local function try(path)
  local kind = kind_of(path)
  local bytes = assert(files.read_all(path))
  if kind == "program" then return programs.judge(assert(programs.parse(bytes))) end
  return judge.read(kind, path, #bytes, path:find "%-refused%-[^/]*$" ~= nil)
end

local function replay(paths)
  local failed = 0
  for _, path in ipairs(paths) do
    local problem = try(path)
    failed = failed + (problem and 1 or 0)
    print(("%-4s %s%s"):format(problem and "FAIL" or "ok", path, problem and ": " .. problem or ""))
  end
  print(("%d replayed, %d failed"):format(#paths, failed))
  os.exit(failed == 0, true)
end

-- Input number `index`: its file's name and content.
local function make(folder, seed, index, what)
  local r = Random.new(seed, index)
  local is_program = what == "programs" or what == "all" and index % 2 == 0
  if is_program then return ("program-%d-%d.json"):format(seed, index), programs.text(programs.random(r)) end
  local name = readers.list[what] and what or r:pick(readers.names)
  return ("%s-%d-%d"):format(name, seed, index), readers.damaged(r, name, folder)
end

local counts = {file = 0, program = 0, unsure = 0, failed = 0}

local function try_one(folder, seed, index, what)
  local name, bytes = make(folder, seed, index, what)
  local path = folder .. "/trying-" .. name
  write(path, bytes)
  local problem, unsure = try(path)
  local kind = name:find "^program" and "program" or "file"
  counts[kind] = counts[kind] + 1
  if unsure then counts.unsure = counts.unsure + 1 end
  if problem then
    counts.failed = counts.failed + 1
    assert(os.rename(path, folder .. "/failed-" .. name))
    write(folder .. "/failed-" .. name .. ".txt", problem .. "\n")
  else
    os.remove(path)
  end
end

local function work(folder, seed, first, seconds, what)
  local stop, index = os.time() + seconds, first
  local live = judge.live_bytes()
  while os.time() < stop do
    try_one(folder, seed, index, what)
    index = index + 1
    if index % MANY == 0 and judge.live_bytes() > live + (1 << 20) then
      write(("%s/failed-leak-%d-%d.txt"):format(folder, seed, index),
        ("%d bytes of tensors stay after inputs %d to %d\n"):format(judge.live_bytes() - live, index - MANY, index - 1))
      counts.failed, live = counts.failed + 1, judge.live_bytes()
    end
  end
  print(("done %d %d files %d programs %d unsure %d failed"):format(index, counts.file, counts.program, counts.unsure,
    counts.failed))
end

if arg[1] == "--replay" then
  replay(table.move(arg, 2, #arg, 1, {}))
else
  work(arg[1], math.tointeger(arg[2]), math.tointeger(arg[3]), math.tointeger(arg[4]), arg[5])
end
