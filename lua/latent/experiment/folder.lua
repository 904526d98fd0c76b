--- Run folders: `<out>/<script>/<number>`, each with a record of its run, `record.json`. Finds them, makes new ones.
-- @module latent.experiment.folder
local core = require "latent.core"
local files = require "latent.base.files"
local json = require "latent.json"
local locks = require "latent.base.files.lock"
local sorted_keys = require "latent.base.sorted_keys"

local M = {}

--- What tells a version of a script from others.
-- @tparam ?string script a file
-- @treturn ?string nil where it cannot be read
function M.digest(script)
  local text = script and files.exists(script) and files.read_all(script)
  return text and ("%08x-%d"):format(core.crc32(text), #text) or nil
end

--- The file of a run's record, below its folder.
M.RECORD = "record.json"

-- The names in a folder, sorted; none where there is no such folder, or one that cannot be read.
local function names_in(path)
  local list = {}
  for _, name in ipairs(core.list(path, "") or {}) do
    if not name:find "^%." then list[#list + 1] = name end
  end
  core.plainly(table.sort, list)
  return list
end

-- The number of a run; nil of any other name.
local function id_of(name) return name:find "^[1-9]%d*$" and #name < 16 and math.tointeger(tonumber(name)) or nil end

-- The runs of one script, the oldest first, as paths.
local function runs_of(folder)
  local ids = {}
  for _, name in ipairs(names_in(folder)) do
    local id = id_of(name)
    if id and files.exists(("%s/%s/%s"):format(folder, name, M.RECORD)) then
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
  status = "string",
  error = "string?", digest = "string?", data = "string?",
  threads = "number", isa = "string", options = "table", given = "table",
  items = "table", weights = "table", machine = "table", versions = "table", git = "table?", pid = "number?",
  host = "string?", born = "string?"}
local LATEST = 253402300799 -- the last second of the year 9999
local ITEMS = {
  text = {text = "string"},
  claim = {holds = "boolean", statement = "string", evidence = "string?"},
  number = {name = "string", label = "string?", unit = "string?", source = "string?"},
  table = {title = "string", rows = "table"},
  figure = {file = "string", name = "string?", shows = "string?", title = "string?", caption = "string?"},
}

local function check_fields(at, value, fields)
  if type(value) ~= "table" then error(at .. "expected an object", 0) end
  for _, name in ipairs(sorted_keys(fields)) do -- so that the same file has the same message
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
  if not (record.started >= 0 and record.started <= LATEST) then
    error("started: expected seconds since 1970, got " .. record.started, 0)
  end
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

-- A number that was not finite was written as null: it is none that could be left out of a mean.
local function restored(value)
  if value == json.null then return -(0 / 0) end
  if type(value) == "table" then
    for i, x in ipairs(value) do value[i] = restored(x) end
  end
  return value
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
  for _, item in ipairs(record.items) do
    if item.kind == "number" then item.value, item.reference = restored(item.value), restored(item.reference) end
  end
  record.started = math.tointeger(record.started // 1)
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
  local parent = files.join(out, name)
  local ok, message = files.mkdir_p(parent)
  if not ok then return nil, message end
  local last = 0
  for _, entry in ipairs(names_in(parent)) do last = math.max(last, id_of(entry) or 0) end
  for id = last + 1, last + 1000 do
    local path = ("%s/%d"):format(parent, id)
    local made
    ok, made = core.mkdir(path)
    if not ok and not files.exists(path) then return nil, made end
    if ok and made then return path end
  end
  return nil, parent .. ": no free number for a run"
end

--- Whether the program that a record belongs to still runs.
-- @tparam table record
-- @treturn boolean true where it ran on another machine, as that cannot be known from here
function M.is_alive(record)
  local pid = math.tointeger(record.pid)
  if record.status ~= "running" or not pid then return false end
  return not locks.is_dead{pid = pid, host = record.host, born = record.born or ""}
end

--- How a run ended, or that it runs.
-- @tparam table record
-- @treturn string "done", "failed", "stopped", "left" (never closed: nobody knows how), "running" or "died" (killed,
--   or the machine went down)
function M.status(record)
  return record.status == "running" and not M.is_alive(record) and "died" or record.status
end

return M
