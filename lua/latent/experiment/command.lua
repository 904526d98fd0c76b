--- What `latent runs`, `compare`, `sweep` and `report` do with their words.
-- Read by hand: a sweep has the options of a script that only that script knows, and the others one option.
-- @module latent.experiment.command
local attempt = require "latent.base.attempt"
local compare = require "latent.experiment.compare"
local files = require "latent.base.files"
local folder = require "latent.experiment.folder"
local report = require "latent.experiment.report"
local mpi = require "latent.mpi"
local say = require "latent.experiment.say"
local sweep = require "latent.experiment.sweep"

local M = {}

local INTERRUPTED = 130 -- what a shell has for a program that Ctrl-C ended

local function fail(message)
  io.stderr:write("latent: ", message, "\n")
  return 1
end

-- The folder of all runs and the words that are no option: --out FOLDER.
local function places(name, words)
  local out, rest, i = "runs", {}, 1
  while words[i] do
    local value = words[i]:match "^%-%-out=(.*)$"
    if not value and words[i] == "--out" then value, i = words[i + 1] or "", i + 1 end
    if value == "" then return nil, name .. ": --out: expected a folder" end
    if value then
      out = value
    elseif words[i] == "" then
      return nil, name .. ": expected a name, got an empty one"
    elseif words[i]:find "^%-" then
      return nil, ("%s: unknown option %s (there is --out FOLDER)"):format(name, words[i])
    else
      rest[#rest + 1] = words[i]
    end
    i = i + 1
  end
  return out, rest
end

--- `latent runs [script] [--out FOLDER]`: what has been run, when, how it ended, what it found.
function M.runs(words)
  local out, rest = places("runs", words)
  if not out then return fail(rest) end
  if rest[2] then return fail(("runs: expected one script, got %s too"):format(rest[2])) end
  local name = rest[1] and (rest[1]:match "([^/]*)%.lua$" or rest[1])
  local rows = compare.runs(out, name)
  if #rows == 1 then
    local hint = name and files.is_dir(name) and (" (those of another folder: latent runs --out %s)"):format(name) or ""
    return fail(("no runs%s in %s%s"):format(name and " of " .. name or "", out, hint))
  end
  say.table(("Runs in %s"):format(out), rows)
  return 0
end

-- A run by its folder, or by the last two parts of it below out.
local function read_run(out, word)
  for _, path in ipairs{word, files.join(out, word)} do
    if files.exists(files.join(path, folder.RECORD)) then return folder.read((path:gsub("/+$", ""))) end
  end
  local newest = folder.newest(out, word, function() return true end)
  if newest then return newest end
  return nil, ("no run %s (latent runs --out %s lists them)"):format(word, out)
end

--- `latent compare A B ...`: options, numbers and curves side by side.
function M.compare(words)
  local out, rest = places("compare", words)
  if not out then return fail(rest) end
  if #rest < 2 then return fail "compare: expected two or more runs, such as latent compare script/1 script/2" end
  local list = {}
  for i, word in ipairs(rest) do
    local record, message = read_run(out, word)
    if not record then return fail(message) end
    list[i] = record
  end
  say.table("Runs side by side", compare.side_by_side(list))
  local figure = compare.curves(list)
  if figure then
    local path = files.join(out, "compare.png")
    local ok, message = attempt(figure.save, figure, path)
    if not ok then return fail(message) end
    print("figure " .. path)
  end
  return 0
end

--- `latent sweep script.lua --beta 1e-4,1e-3 --seed 1..3 [--jobs N] [--random N]`: a grid of runs, or some of it by
-- chance; a table and figures of what they found.
function M.sweep(words)
  local o, message = sweep.parse(words)
  if not o then return fail(message) end
  local list = sweep.grid(o.axes)
  if o.random then list = sweep.draw(list, o.random, o.draw_seed or 1) end
  local ok, results
  ok, results, message = pcall(sweep.run, o.script, list, {jobs = o.jobs, out = o.out})
  if not ok and tostring(results):find "interrupted!?$" then
    fail "sweep: interrupted; the same command goes on from there"
    return INTERRUPTED
  elseif not ok then
    error(results, 0)
  end
  if mpi.rank > 0 then return 0 end -- rank 0 says the rest, and ends the job where it failed
  if not results then return fail(message) end
  local records = {}
  for i, result in ipairs(results) do records[i] = assert(folder.read(result.folder)) end
  local rows, axes, groups = compare.sweep(records)
  say.table(("Sweep of %s, %d runs"):format(o.script, #records), rows)
  local place = files.dirname(records[1].folder)
  for _, named in ipairs(compare.sweep_figures(axes, groups, compare.number_names(records))) do
    local path = files.join(place, ("sweep_%s.png"):format(named[1]))
    ok, message = attempt(named[2].save, named[2], path)
    if not ok then return fail(message) end
    print("figure " .. path)
  end
  local path = files.join(place, "sweep.csv")
  ok, message = files.write_atomic(path, compare.csv(records))
  if not ok then return fail(message) end
  print("table " .. path)
  return 0
end

--- `latent report [folder]`: one page of the newest run of each script.
function M.report(words) return report.main(words) end

return M
