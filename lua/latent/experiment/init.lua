--- Experiments: a script says its question, its options and what it finds, and gets a command line, a run folder with
-- everything in it, and a place in `latent runs`, `latent compare`, `latent sweep` and `latent report`.
--
--     local experiment = require "latent.experiment"
--     local e <close> = experiment.begin{
--       options = {epochs = {10, "how often each image is seen", min = 1}, lr = {2e-3, above = 0}, batch = 64},
--       recipes = {slow = {lr = 1e-4}},
--     }
--     local o, train, test = e.options, e:data()
--     ... model, optimizer ...
--     e:train("classifier", {model = model, optimizer = optimizer, data = train, epochs = o.epochs,
--       loss = function(batch) return lt.cross_entropy(model(batch.x), batch.y) end})
--     e:figure("loss", plot.lines{{y = e:log("classifier").train_loss}}, "The loss after each epoch.")
--     e:number("accuracy", accuracy, {unit = "%", reference = 97.1, better = "higher"})
--     e:claim(accuracy > 10, "the network does better than chance", "%.1f %% against 10 %%", accuracy)
--
-- `lua5.4 script.lua --help` (or `latent script.lua --help`) lists the options. Besides its own a script has `--seed`
-- (all random numbers start there), `--threads`, `--data` (what `e:data()` reads), `--out` (the folder of all runs),
-- `--recipe` where there are some, `--resume`, `--reuse` (take weights that are there instead of training), `--format`
-- (png, svg, pdf) and `--settings` (print the options as JSON, and end).
--
-- A run folder, `runs/<script>/<number>`, holds `record.json` (options, numbers, claims, tables, texts, versions,
-- machine, threads, instruction set, commit, how it ended), `output.txt` (what was printed), the figures, and of each
-- training log, checkpoint and weights. It is written as the run goes on: a crash or Ctrl-C loses nothing. No run
-- overwrites another's.
--
-- Needs the rock argparse (Debian: lua-argparse).
-- @module latent.experiment
local lt = require "latent"
local core = require "latent.core"
local attempt = require "latent.base.attempt"
local data = require "latent.data"
local files = require "latent.base.files"
local json = require "latent.json"
local launcher = require "latent.mpi.launcher"
local mpi = require "latent.mpi"
local locks = require "latent.base.files.lock"
local options = require "latent.base.options"
local capture = require "latent.experiment.capture"
local declared = require "latent.experiment.options"
local folder = require "latent.experiment.folder"
local machine = require "latent.experiment.machine"
local records = require "latent.experiment.record"
local say = require "latent.experiment.say"
local sweep = require "latent.experiment.sweep"
local train = require "latent.train"
local training = require "latent.experiment.training"

local raise = core.raise

local M = {}

--- A run of a script. `local e <close> = experiment.begin{...}` tells it also how the script ended.
-- @type Experiment
-- @tfield table options by name, those of the script and the common ones
-- @tfield string folder of this run
-- @tfield string name of the script
-- @tfield boolean resumed whether it goes on in the folder of an earlier run
local Experiment = {}
Experiment.__index = Experiment
Experiment.__name = "experiment" -- in messages

-- ---- what it says ----

local function note(self, item)
  local ok, message = self.record:add(item)
  if not ok then self:fail(message) end
end

local function evidence_of(fname, format, ...)
  if format == nil then return nil end
  options.expect(fname, "evidence", format, "string")
  local ok, text = pcall(core.plainly, string.format, format, ...)
  if not ok then raise(("%s: evidence: %s"):format(fname, tostring(text):gsub("^.-: ", ""))) end
  return text
end

--- Prints a paragraph and keeps it for the report.
-- @tparam string format as for string.format
-- @param ... its values
function Experiment:text(format, ...)
  options.expect("Experiment:text", "format", format, "string")
  local text = (select("#", ...) > 0 and evidence_of("Experiment:text", format, ...) or format):gsub("%s+", " ")
  note(self, {kind = "text", text = text})
  say.paragraph(text)
  say.print()
end

--- Says whether a statement holds in this run, with the numbers that decide. A written answer is a list of these.
-- @tparam boolean holds what the script has just checked
-- @tparam string statement a sentence that would be true if it holds: "the loss falls"
-- @tparam ?string evidence the numbers that decide, as for string.format: "from %.3f to %.3f"
-- @param ... its values
-- @treturn boolean holds
-- @usage e:claim(ours > theirs, "the VAE separates the classes better", "%.1f %% against %.1f %%", ours, theirs)
function Experiment:claim(holds, statement, evidence, ...)
  if type(holds) ~= "boolean" then
    raise("Experiment:claim: holds: expected true or false, got " .. options.describe(holds))
  end
  options.expect("Experiment:claim", "statement", statement, "string")
  local text = evidence_of("Experiment:claim", evidence, ...)
  note(self, {kind = "claim", holds = holds, statement = statement, evidence = text})
  say.paragraph(("%s %s%s"):format(holds and "holds:" or "DOES NOT HOLD:", statement,
    text and (" (%s)"):format(text) or ""), "  ")
  return holds
end

local number_options = options.declare("Experiment:number", {
  {"unit", "string", nil, "of the number"}, {"reference", "any", nil, "a number, or a text, that it is compared with "
    .. "(a list for a list)"},
  {"better", options.one_of{"higher", "lower"}}, {"label", "string", nil, "what it is, in words (default: the name)"},
  {"source", "string", nil, 'whose the reference is (default: "reference")'},
  {"names", "list", nil, "of a list's places: then it is printed as a table"},
}, "experiment.Experiment:number")

-- A number or a list of numbers, and what it is compared with: the list, and whether it is one.
local function check_number(fname, name, value, opts)
  local list = type(value) == "table" and not core.is_tensor(value)
  local function numbers(what, values)
    if type(values) ~= "table" or #values == 0 then
      raise(("%s: %s: expected numbers, got %s"):format(fname, what, type(values) == "table" and "an empty table"
        or options.describe(values)))
    end
    core.check_list(values, ("%s: %s"):format(fname, what))
    for i, x in ipairs(values) do
      if type(x) ~= "number" then
        raise(("%s: %s: expected a number in place %d, got %s"):format(fname, what, i, options.describe(x)))
      end
    end
  end
  if list then
    numbers(name, value)
    if opts.reference ~= nil then numbers(name .. ": reference", opts.reference) end
    if opts.names ~= nil and (type(opts.names) ~= "table" or #opts.names ~= #value) then
      raise(("%s: %s: names: expected a list of %d names"):format(fname, name, #value))
    end
    return true
  end
  if type(value) ~= "number" then
    raise(("%s: %s: expected a number, got %s"):format(fname, name, options.describe(value)))
  end
  local kind = type(opts.reference)
  if kind ~= "nil" and kind ~= "number" and kind ~= "string" then
    raise(("%s: %s: reference: expected a number or a text, got %s"):format(fname, name,
      options.describe(opts.reference)))
  end
  return false
end

local function copied(list) return list and json.array(table.move(list, 1, #list, 1, {})) end

--- Keeps a number that the run has found, under a name by which `latent runs`, `compare`, `sweep` and the report know
-- it, and prints it.
-- @tparam string name
-- @tparam number|{number,...} value a number, or a list (one a class, say)
-- @tparam ?table opts
-- @treturn number value
function Experiment:number(name, value, opts)
  local fname = "Experiment:number"
  training.check_name(fname, name)
  opts = number_options(opts, fname .. ": " .. name)
  local list, reference = check_number(fname, name, value, opts), opts.reference
  note(self, {kind = "number", name = name, value = list and copied(value) or value, unit = opts.unit,
    label = opts.label, reference = list and copied(reference) or reference, source = opts.source,
    better = opts.better})
  local label, unit = opts.label or name, opts.unit and " " .. opts.unit or ""
  local source = opts.source or "reference"
  if not list then
    say.print(("%s: %s%s%s"):format(label, say.number(value), unit, reference == nil and "" or ("  (%s: %s%s)"):format(
      source, type(reference) == "number" and say.number(reference) or reference,
      type(reference) == "number" and unit or "")))
  elseif opts.names then
    self:table(opts.unit and ("%s, %s"):format(label, opts.unit) or label, {"", table.unpack(opts.names)},
      {{"here", table.unpack(value)}, reference and {source, table.unpack(reference)} or nil})
  end
  return value
end

--- Prints a table and keeps it for the report.
-- @tparam string title
-- @tparam {string,...} head the names of the columns
-- @tparam {table,...} rows lists of texts and numbers (which get four digits); the first of each names the row
function Experiment:table(title, head, rows)
  local fname = "Experiment:table"
  options.expect(fname, "title", title, "string")
  options.expect(fname, "rows", rows, "list")
  local all = {options.expect(fname, "head", head, "list")}
  table.move(rows, 1, #rows, 2, all)
  for i, row in ipairs(all) do
    local cells = {}
    for k, value in ipairs(options.expect(fname, "row " .. i - 1, row, "list")) do cells[k] = say.cell(value) end
    if #cells ~= #head then
      raise(("%s: row %d: expected %d cells, as the head has, got %d"):format(fname, i - 1, #head, #cells))
    end
    all[i] = cells
  end
  note(self, {kind = "table", title = title, rows = all})
  say.table(title, all)
end

-- Where the newest pictures of all scripts lie: plots/x for the runs of runs/x, else plots/ below their folder.
local function pictures_of(out)
  local below = (out .. "/"):match "^runs(/.*)$"
  return below and "plots" .. below:gsub("/$", "") or files.join(out, "plots")
end

--- Saves a figure in the run folder, as PNG, or what `--format` says.
-- @tparam string name of the file, without its ending
-- @tparam table figure what a function of latent.plot gives
-- @tparam ?string caption a sentence or two for the report
-- @treturn string the file
function Experiment:figure(name, figure, caption)
  local fname = "Experiment:figure"
  training.check_name(fname, name)
  if type(figure) ~= "table" or type(figure.save) ~= "function" then
    raise(("%s: %s: expected a figure, such as plot.lines{...}, got %s"):format(fname, name,
      options.describe(figure)))
  end
  local file = name .. "." .. self.options.format
  local path = self:path(file)
  if self.elsewhere then return path end
  local ok, message = attempt(figure.save, figure, path)
  if ok and self.pictures then
    local bytes
    path = pictures_of(self.options.out) .. "/" .. self.pictures .. file
    bytes, message = files.read_all(self:path(file))
    ok = bytes
    if ok then ok, message = files.write_atomic(path, bytes) end
  end
  if not ok then self:fail(tostring(message)) end
  note(self, {kind = "figure", name = name, file = file, shows = figure.kind, title = figure.title,
    caption = caption})
  say.print("figure " .. path)
  return path
end

-- ---- data, models, trainings ----

--- A path in the run folder.
-- @tparam string name of a file
-- @treturn string
function Experiment:path(name) return files.join(self.folder, name) end

--- The data set that `--data` names; the record keeps what it was. Where it is missing the script ends with a sentence
-- that says how to get it.
-- @treturn Set its training part
-- @treturn Set its test part
function Experiment:data()
  local which = self.options.data
  local read = which == "fashion" and data.fashion_mnist or data.mnist
  local parts = {}
  for i, split in ipairs{"train", "test"} do
    local set, message = read{split = split, mini = which == "mini" or nil}
    parts[i] = set or self:fail(message .. "\n(or try --data mini, images that come along)")
  end
  local ok, message = self.record:note_data(parts[1], parts[2])
  if not ok then self:fail(message) end
  return parts[1], parts[2]
end

--- f(...), with the random numbers that start at `--seed`: what it makes does not depend on what was drawn before.
-- @tparam function f
-- @param ... its arguments
-- @return what f returns
function Experiment:seeded(f, ...)
  lt.manual_seed(self.options.seed)
  return f(...)
end

--- A training run with its log, checkpoint and progress bar in place, whose loop is the script's own; see
-- latent.train.new and Run:batches. With `--resume` it goes on where it was, with `--reuse` its loop has nothing to do
-- and the model gets weights that are there. When the loop has ended the weights are written. A signal ends the script
-- after the step that is being made, with everything on the disk.
-- @tparam string name of the training: of its files, and of its weights
-- @tparam table opts those of latent.train but for log, checkpoint, resume and progress
-- @treturn Run
function Experiment:run(name, opts)
  local run, message = training.new(self, name, opts, "Experiment:run")
  return run or self:fail(message)
end

--- The same with latent.train's own loop: one step of the optimiser a batch, from what `loss` returns, or what
-- `step` does.
-- @tparam string name
-- @tparam table opts as for `run`; `loss` or `step` is needed
-- @treturn Run
function Experiment:train(name, opts)
  local run, message = training.train(self, name, opts)
  return run or self:fail(message)
end

--- The log of a training of this run, as columns; see latent.train.read_log.
-- @tparam string name
-- @treturn table name -> list, one entry an epoch
function Experiment:log(name)
  options.expect("Experiment:log", "name", name, "string")
  local path = self.logs[name]
  if not path then
    raise(("Experiment:log: %s: nothing of this name was trained here, or its log is missing"):format(name))
  end
  local log, message = training.as_first(self, function() return train.read_log(path) end)
  return log or self:fail(message)
end

--- The file of weights that an earlier run has trained, or that come with the script; see `weights`.
-- @tparam string name
-- @treturn ?string nil where there is none
function Experiment:find_weights(name)
  return (training.find(self, training.check_name("Experiment:find_weights", name)))
end

--- Gives a model weights that an earlier run has trained: the newest of this name below `--out` with the same data,
-- else those that come with the script. Where there are none the script ends and says so.
-- @tparam string name
-- @tparam Module model
-- @treturn Module the model, in evaluation mode
function Experiment:weights(name, model)
  training.check_name("Experiment:weights", name)
  local loaded, message = training.load(self, name, model)
  return loaded or self:fail(message)
end

-- ---- its end ----

local PATIENCE = 50 -- tenths of a second

-- Puts the run's numbers in the place of those that a file has under the same prefix.
local function update_answers(self, path)
  local all = {}
  if files.exists(path) then
    local text, message = files.read_all(path)
    if text then all, message = json.decode(text) end
    if json.type(all) ~= "object" then
      return nil, ("%s: %s; its numbers are in %s"):format(path, message or "expected an object", self.folder)
    end
  end
  local prefix = self.answers .. "."
  for key in pairs(all) do
    if key:sub(1, #prefix) == prefix then all[key] = nil end
  end
  for name, value in pairs(records.numbers(self.record.values)) do all[prefix .. name] = value end
  return files.write_atomic(path, json.encode(all, {indent = 2, nan = "null"}))
end

-- Numbers of the newest runs, by "<prefix>.<name>": one file for all scripts of a folder. Scripts that end together
-- take turns.
local function write_answers(self)
  local path = files.join(self.options.out, "answers.json")
  local lock, holder
  for _ = 1, PATIENCE do
    lock, holder = locks.take(path, {started = true})
    if lock then break end
    os.execute "sleep 0.1"
  end
  if not lock then return nil, holder end
  local ok, message = update_answers(self, path)
  lock:release()
  return ok, message
end

-- Once: the record gets its last entry, and what was lent is given back.
local function finish(self, status, message)
  if self.status then return end
  self.status = status
  if message and self.capture then self.capture:add(message) end
  local ok, trouble = self.record:finish(status, message)
  if ok and not self.elsewhere and status == "done" and self.answers and next(records.numbers(self.record.values)) then
    ok, trouble = write_answers(self)
  end
  if self.capture then self.capture:close() end
  if self.lock then self.lock:release() end
  if not ok then io.stderr:write(trouble, "\n") end
end

--- Ends the run with its numbers in order. `<close>` does it by itself; without either the record says "running" for
-- as long as the program lives, and then "left": whether it ended well nobody knows.
function Experiment:close() finish(self, "done") end

function Experiment:__close(problem)
  if problem == nil then return finish(self, "done") end
  local text = tostring(problem)
  finish(self, text:find "interrupted!" and "stopped" or "failed", text)
end

Experiment.__gc = function(self)
  if self.record and self.record.path then
    finish(self, "left", "the script never said how it ended: write local e <close> = experiment.begin{...}")
  end
end

--- Ends the program with a message on standard error and exit status 1; the record says "failed".
-- @tparam string message
-- @tparam ?boolean everywhere whether all ranks of an MPI job fail alike: rank 0 alone says it then, and is waited for
function Experiment:fail(message, everywhere)
  if not (everywhere and self.elsewhere) then io.stderr:write(message, "\n") end
  finish(self, "failed", message)
  if everywhere and self.mpi then self.mpi.barrier() end
  os.exit(1, true)
end

--- Ends the program as a signal does; the record says "stopped".
-- @tparam string why the signal's name
-- @tparam int code the exit status
function Experiment:stop(why, code)
  finish(self, "stopped", "stopped by SIG" .. why)
  if self.mpi then self.mpi.barrier() end -- they have all stopped; the others wait for rank 0's files
  os.exit(code, true)
end

function Experiment:__tostring() return ("experiment %s: %s"):format(self.name, self.folder) end

-- ---- its beginning ----

-- The script that is being run, where begin was called from its main chunk or a function of it: else the words of the
-- command line are some other program's (the prompt's, a spec's).
local function running_script()
  local script = _G.arg and _G.arg[0] -- the script's: the library may have globals of its own
  local level = 3
  while true do
    local frame = debug.getinfo(level, "S")
    if not frame then return nil end
    if frame.what == "main" then return frame.source == "@" .. (script or "") and script or nil end
    level = level + 1
  end
end

-- What the first comment of a script says, up to its first line end.
local function question_of(script)
  local text = script and files.exists(script) and files.read_all(script) or ""
  return text:match "^#![^\n]*\n%-%-%-?%s*([^\n]*)" or text:match "^%-%-%-?%s*([^\n]*)"
end

local function refuse(message)
  io.stderr:write(message, "\n")
  os.exit(1, true)
end

-- One program at a time writes into a folder, whoever else resumes it.
local function hold(self, path)
  local message
  self.lock, message = locks.take(files.join(path, folder.RECORD), {started = true})
  return self.lock and path or refuse((self.resumed and "--resume: " or "--out: ") .. message)
end

-- The folder of the run: with --resume that of the newest run with the same options, if there is one.
local function place(self)
  if self.options.resume then
    -- A script that was mended after it broke goes on; a run that an earlier version has ended stays as it is.
    local digest = self.record.values.digest
    local earlier = folder.newest(self.options.out, self.name, function(record)
      return declared.same(declared.decisive(record.options), self.decisive)
        and (record.status ~= "done" or record.digest == digest)
    end)
    if earlier then
      self.resumed = true
      return hold(self, earlier.folder)
    end
  end
  local path, message = folder.create(self.options.out, self.name)
  return path and hold(self, path) or refuse("--out: " .. message)
end

-- On several ranks: all run the script, rank 0 alone has files and says something.
local function join(values)
  local size = launcher.size()
  if values.parts == 0 and launcher.is_mpirun() then values.parts = (7 // size + 1) * size end
  if size == 1 then return nil end
  if values.parts and values.parts % size ~= 0 then
    refuse(("--parts: expected a multiple of the %d ranks, got %d"):format(size, values.parts))
  end
  return mpi
end

-- The run folder and what is printed; on the ranks that leave both to rank 0, its folder and silence.
local function open(self)
  if not self.elsewhere then self.folder = place(self) end
  if self.mpi then
    local told = self.mpi.broadcast{folder = self.folder, resumed = self.resumed}
    self.folder, self.resumed = told.folder, told.resumed
  end
  if self.elsewhere then
    self.capture = capture.mute()
    return
  end
  local ok, message = self.record:begin(self.folder)
  if ok then self.capture, message = capture.open(self:path "output.txt") end
  if not self.capture then
    if ok then finish(self, "failed", message) end
    self.status = "failed"
    refuse(message)
  end
end

local begin_options = options.declare("experiment.begin", {
  {"options", "any", nil, "name -> default, or {default, help, min =, max =, above =, choices =}. Numbers are whole "
    .. "where their default is; a `false` is a flag. `false` for a common option such as `data` takes it away"},
  {"recipes", "any", nil, "name -> {option = value, ...}, chosen by `--recipe`; what the command line says itself "
    .. "comes first"},
  {"question", "string", nil, "what the script asks (default: the first line of its first comment)"},
  {"name", "any", nil, "of the script (default: its file's)"},
  {"arguments", "list", nil, "the words of the command line (default: the global `arg`, where a script is being run)"},
  {"weights", "string", nil, "a folder with weights that come along, from the script's own folder"},
  {"needs", "list", {}, "names of weights without which the script ends at once, before it trains anything"},
  {"pictures", "string", nil, "the newest figures are also written to `plots` (below `--out`, where that is another "
    .. 'folder than runs), with this before their names: "07_" for "plots/07_loss.png"'},
  {"answers", "string", nil, 'the numbers are also kept in `<out>/answers.json`, as "<answers>.<name>"'},
})

--- Begins an experiment: reads the command line, seeds the random numbers, makes the run folder.
-- @tparam ?table opts
-- @treturn Experiment
-- @raise if a declaration is not as said. Words of the command line that make no sense end the program with a
--   sentence and exit status 1
function M.begin(opts)
  opts = begin_options(opts)
  local script = running_script()
  local words = opts.arguments or script and _G.arg or {}
  local name = opts.name or script and script:match "([^/]*)%.lua$" or script and script:match "[^/]*$" or "prompt"
  training.check_name("experiment.begin", name)
  local question = opts.question or question_of(script)
  local declaration = declared.declare(opts.options, opts.recipes)
  local values, given, show = declared.read(declaration, words, name, question)
  if not values then return refuse(given) end
  if values.out == "" then
    local own = opts.options and opts.options.data ~= nil
    values.out = (own or values.data == "mnist" or not values.data) and "runs" or "runs/" .. values.data
  end
  if show then
    io.write(json.encode(values), "\n")
    os.exit(0, true)
  end
  if values.threads and values.threads > 0 then lt.set_threads(values.threads) end
  local ranks = join(values)
  if values.seed then lt.manual_seed(values.seed) end
  local self = setmetatable({options = values, name = name, resumed = false, logs = {}, pictures = opts.pictures,
    answers = opts.answers, decisive = declared.decisive(values), mpi = ranks,
    elsewhere = ranks and ranks.rank > 0 or nil}, Experiment)
  self.shipped = opts.weights and files.join(script and files.dirname(script) or ".", opts.weights)
  self.record = records.new{name = name, script = script, digest = folder.digest(script), question = question,
    options = values, given = given, git = machine.git(script and files.dirname(script) or ".")}
  open(self)
  if values.resume and not self.resumed then
    say.print(("--resume: no run of %s in %s has had these options; this one begins anew"):format(name, values.out))
  end
  for _, needed in ipairs(opts.needs) do
    local path, missing = training.find(self, training.check_name("experiment.begin", needed))
    if not path then self:fail(missing) end
  end
  return self
end

--- Runs a script once for each table of options, side by side, and waits for all of them. What an earlier sweep has
-- done is not done again, what was broken off goes on.
-- @usage
-- local runs = assert(experiment.sweep("vae.lua", {{beta = 0.001}, {beta = 0.01}}, {jobs = 2}))
-- print(runs:column("mse")[1], runs[1].folder)
-- @tparam string script a file that calls experiment.begin
-- @tparam {table,...} list options by name, one table a run
-- @tparam ?table opts
-- @treturn ?Runs in the order of the list; nil where one failed
-- @treturn ?string the message then
function M.sweep(script, list, opts) return sweep.run(script, list, opts) end

core.methods_of(Experiment, "e")

return M
