--- Run folders: `<out>/<script>/<number>`, each with a record of its run, `record.json`. Finds them, makes new ones.
-- @module latent.experiment.folder
local files = require "latent.base.files"
local json = require "latent.json"

local M = {}

--- The file of a run's record, below its folder.
M.RECORD = "record.json"

-- The names in a folder, sorted; none where there is no such folder.
local function names_in(path)
  local lfs = require "lfs"
  local list = {}
  if not files.is_dir(path) then return list end
  for name in lfs.dir(path) do
    if not name:find "^%." then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

-- The runs of one script, the oldest first, as paths.
local function runs_of(folder)
  local ids = {}
  for _, name in ipairs(names_in(folder)) do
    local id = math.tointeger(tonumber(name))
    if id and tostring(id) == name and files.exists(("%s/%s/%s"):format(folder, name, M.RECORD)) then
      ids[#ids + 1] = id
    end
  end
  table.sort(ids)
  for i, id in ipairs(ids) do ids[i] = ("%s/%d"):format(folder, id) end
  return ids
end

--- The folders of runs, script by script, each script's oldest first.
-- @tparam string out the folder of all runs
-- @tparam ?string name those of one script alone
-- @treturn {string,...} paths
function M.list(out, name)
  if name then return runs_of(files.join(out, name)) end
  local list = {}
  for _, script in ipairs(names_in(out)) do
    for _, path in ipairs(runs_of(files.join(out, script))) do list[#list + 1] = path end
  end
  return list
end

-- The parts of a record: their types, "?" where they may be absent.
local PARTS = {name = "string", script = "string?", question = "string?", started = "number", seconds = "number",
  status = "string", error = "string?", threads = "number", isa = "string", options = "table", given = "table",
  items = "table", weights = "table", machine = "table", versions = "table", git = "table?"}
local ITEMS = {
  text = {text = "string"},
  claim = {holds = "boolean", statement = "string", evidence = "string?"},
  number = {name = "string", label = "string?", unit = "string?", source = "string?"},
  table = {title = "string", rows = "table"},
  figure = {file = "string", name = "string?", shows = "string?", title = "string?", caption = "string?"},
}

local function check_fields(at, value, fields)
  if type(value) ~= "table" then error(at .. "expected an object", 0) end
  local names = {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names) -- so that the same file has the same message
  for _, name in ipairs(names) do
    local kind = fields[name]
    local expected, got = kind:gsub("%?$", ""), value[name]
    if type(got) ~= expected and not (got == nil and kind ~= expected) then
      error(("%s%s: expected a %s, got %s"):format(at, name, expected, got == nil and "nothing" or type(got)), 0)
    end
  end
end

-- Raises where a table is not what `latent.experiment.record` writes: others may have changed the file.
local function check(record)
  check_fields("", record, PARTS)
  for i, item in ipairs(record.items) do
    local at = ("items %d: "):format(i)
    local fields = type(item) == "table" and ITEMS[item.kind]
    if not fields then error(at .. "expected a text, claim, number, table or figure", 0) end
    check_fields(at, item, fields)
    if item.file and not item.file:find "^[%w_][%w_%-.]*$" then error(at .. "expected the name of a picture", 0) end
    for _, row in ipairs(item.rows or {}) do
      if type(row) ~= "table" then error(at .. "expected rows of texts", 0) end
    end
  end
  for i, weights in ipairs(record.weights) do check_fields(("weights %d: "):format(i), weights, {name = "string"}) end
end

--- The record of a run.
-- @tparam string path the run's folder
-- @treturn ?table nil where there is none, or a damaged one
-- @treturn ?string the message then
function M.read(path)
  local file = files.join(path, M.RECORD)
  local text, message = files.read_all(file)
  if not text then return nil, message end
  local record
  record, message = json.decode(text)
  if record == nil then return nil, ("%s: %s"):format(file, message) end
  local ok
  ok, message = pcall(check, record)
  if not ok then return nil, ("%s: %s"):format(file, message) end
  record.folder = path
  return record
end

--- The newest run that a function says yes to.
-- @tparam string out
-- @tparam ?string name of the script; nil: of all scripts
-- @tparam function accepts of a record
-- @treturn ?table its record, with `folder`
function M.newest(out, name, accepts)
  local found
  for _, path in ipairs(M.list(out, name)) do
    local record = M.read(path)
    if record and accepts(record) and (not found or record.started >= found.started) then found = record end
  end
  return found
end

--- Makes the next free folder for a run. Two programs that ask at once get two folders.
-- @tparam string out
-- @tparam string name of the script
-- @treturn ?string its path; nil where it cannot be made
-- @treturn ?string the message then
function M.create(out, name)
  local lfs = require "lfs"
  local parent = files.join(out, name)
  local ok, message = files.mkdir_p(parent)
  if not ok then return nil, message end
  local last = 0
  for _, entry in ipairs(names_in(parent)) do last = math.max(last, math.tointeger(tonumber(entry)) or 0) end
  for id = last + 1, last + 1000 do
    local path = ("%s/%d"):format(parent, id)
    ok, message = lfs.mkdir(path)
    if ok then return path end
    if not files.is_dir(path) then return nil, ("%s: %s"):format(path, message) end
  end
  return nil, parent .. ": no free number for a run"
end

--- Whether the program that a record belongs to still runs on this machine.
-- @tparam table record
-- @treturn boolean
function M.is_alive(record)
  local pid = math.tointeger(record.pid)
  if record.status ~= "running" or not pid then return false end
  local file = io.open(("/proc/%d/stat"):format(pid), "rb")
  local state = file and (file:read "a" or ""):match "%) (%a)"
  if file then file:close() end
  if state then return state ~= "Z" and state ~= "X" end -- a zombie has ended, and its parent has not looked yet
  return os.execute(("kill -0 %d 2>/dev/null"):format(pid)) == true
end

--- How a run ended, or that it runs.
-- @tparam table record
-- @treturn string "done", "failed", "stopped", "running" or "died" (killed, or the machine went down)
function M.status(record)
  return record.status == "running" and not M.is_alive(record) and "died" or record.status
end

return M
