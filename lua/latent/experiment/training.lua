--- Trainings and weights of an experiment: `latent.train` with the files already in their place, and models that
-- earlier runs have trained.
-- @module latent.experiment.training
local attempt = require "latent.base.attempt"
local core = require "latent.core"
local data = require "latent.data"
local files = require "latent.base.files"
local folder = require "latent.experiment.folder"
local options = require "latent.base.options"
local safetensors = require "latent.safetensors"
local say = require "latent.experiment.say"
local several = require "latent.train.several"
local train = require "latent.train"

local M = {}

local STATUS = {INT = 130, TERM = 143} -- what a shell has for a program that a signal ended

local function check_name(fname, name)
  options.expect(fname, "name", name, "string")
  if not name:find "^[%w_][%w_%-.]*$" then
    core.raise(("%s: name: expected letters, digits, _, - and ., got %q"):format(fname, name))
  end
  return name
end
M.check_name = check_name

-- ---- weights ----

-- Where weights of a name lie: in this run, in the newest run with the same data, in the folder that comes with the
-- script.
local function places(self, name)
  local list, file = {}, name .. ".safetensors"
  list[1] = self:path(file)
  local newest = folder.newest(self.options.out, nil, function(record)
    return record.folder ~= self.folder and record.options.data == self.options.data
      and files.exists(files.join(record.folder, file))
  end)
  if newest then list[2] = files.join(newest.folder, file) end
  local of_mnist = self.options.data == "mnist" or self.options.data == "mini"
  if self.shipped and of_mnist then list[#list + 1] = files.join(self.shipped, file) end
  return list
end

-- On several ranks: what f returns on rank 0, for all of them.
local function as_first(self, f)
  local mpi = self.mpi
  if not mpi then return f() end
  local result = mpi.broadcast(mpi.rank == 0 and table.pack(f()) or nil)
  return table.unpack(result, 1, result.n)
end
M.as_first = as_first

local function find(self, name)
  local list = places(self, name)
  for _, path in ipairs(list) do
    if files.exists(path) then return path end
  end
  return nil, ("no weights %q: neither a run in %s has trained them%s"):format(name, self.options.out,
    self.shipped and " nor do they lie in " .. self.shipped or "")
end

--- The file of a model's weights.
-- @treturn ?string nil where there is none
-- @treturn ?string a message then
function M.find(self, name) return as_first(self, function() return find(self, name) end) end

--- Gives a model the weights of a name, and says which and how they were trained.
function M.load(self, name, model)
  local path, message = M.find(self, name)
  if not path then return nil, message end
  local state, made = as_first(self, function() return safetensors.load(path) end)
  if not state then return nil, made end
  self.record:add_weights{name = name, file = path, trained = false, recipe = made.recipe, seed = made.seed,
    epochs = made.epochs, data = made.data}
  say.print(("%s: weights from %s"):format(name, path) .. (made.recipe and
    (" (%s recipe, seed %s, epochs %s, data %s)"):format(made.recipe, made.seed, made.epochs, made.data) or ""))
  return model:load_state(state):eval()
end

local function save(self, name, model, epochs)
  local o = self.options
  local made = {recipe = o.recipe or "default", seed = tostring(o.seed), epochs = tostring(epochs), data = o.data}
  local path = self:path(name .. ".safetensors")
  local ok, message = true, nil
  if not self.elsewhere then ok, message = attempt(safetensors.save, path, model:state(), {metadata = made}) end
  if not ok then return self:fail(tostring(message)) end
  made.name, made.file, made.trained = name, path, true
  self.record:add_weights(made)
  say.print("weights written to " .. path)
end

-- ---- runs ----

-- Ends a training: what it leaves, and whether the script goes on.
local function finish(self, run, name)
  if run.stopped == "diverged" then
    self:fail(("%s: %s: try a lower learning rate"):format(name, run.message), true)
  elseif STATUS[run.stopped] then
    say.print(("%s: %s; the same command with --resume goes on from there"):format(name, run.message))
    self:stop(run.stopped, STATUS[run.stopped])
  elseif run.stopped ~= "left" then
    save(self, name, run.model, run.epochs)
  end
end

-- In the place of a run whose weights are there already: a loop over its batches has nothing to do.
local Reused = {}
Reused.__index = Reused
function Reused.batches() return function() end end
function Reused.close() end

local function reuse(self, name, opts)
  local own = opts.models and several.model("Experiment: models", opts.models) or opts.model
  local model, message = M.load(self, name, own)
  if not model then return nil, message end
  local path = M.find(self, name):gsub("%.safetensors$", ".jsonl")
  self.logs[name] = files.exists(path) and path or nil
  return setmetatable({model = model, stopped = "reused", epochs = opts.epochs, name = name}, Reused)
end

-- For the help: what `train.new` takes and checks, but for the options that the experiment sets.
local SETS = {log = true, checkpoint = true, resume = true, progress = true}
for _, name in ipairs{"run", "train"} do
  local documented = "experiment.Experiment:" .. name
  options.declare("Experiment:" .. name, {
    {"data", "any", nil, "a set, in the place of `loader`"},
    {"batch", "count", nil, "images in a batch of `data` (default: the script's option)"},
  }, documented)
  for _, row in ipairs(options.declared["train.new"]) do
    if not SETS[row.name] then table.insert(options.declared[documented], row) end
  end
end

--- Makes a training run; see Experiment:run.
function M.new(self, name, opts, fname)
  check_name(fname, name)
  options.expect(fname, "options", opts, "table")
  local all = {}
  for key, value in pairs(opts) do all[key] = value end
  for _, key in ipairs{"settings", "callbacks"} do
    if all[key] ~= nil then options.expect(fname, key, all[key], "table") end
  end
  for key in pairs(SETS) do
    if all[key] ~= nil then core.raise(("%s: %s: the experiment sets it"):format(fname, key)) end
  end
  local o = self.options
  if o.reuse then return reuse(self, name, all) end
  if all.data ~= nil then
    if all.loader ~= nil then core.raise(fname .. ": give data or loader, not both") end
    all.loader = data.loader(all.data, {batch = all.batch or o.batch, seed = o.seed})
  end
  all.data, all.batch = nil, nil
  local settings = {}
  for key, value in pairs(self.decisive) do settings[key] = value end
  for key, value in pairs(all.settings or {}) do settings[key] = value end
  local callbacks = {}
  for key, value in pairs(all.callbacks or {}) do callbacks[key] = value end
  local users = callbacks.on_end
  callbacks.on_end = function(run)
    if users then users(run) end
    finish(self, run, name)
  end
  all.settings, all.callbacks, all.progress, all.resume = settings, callbacks, name, self.resumed
  all.parallel = all.parallel or self.mpi
  if o.parts and o.parts > 0 then all.parts = all.parts or o.parts end
  all.log, all.checkpoint = self:path(name .. ".jsonl"), self:path(name .. ".ckpt")
  self.logs[name] = all.log
  local run, message = train.new(all)
  if not run then return nil, message end
  run.name = name
  if run.resumed then say.print(("%s: goes on after step %d"):format(name, run.steps)) end
  return run
end

--- Trains; see Experiment:train.
function M.train(self, name, opts)
  options.expect("Experiment:train", "options", opts, "table")
  local step = several.body("Experiment:train", opts)
  local run, message = M.new(self, name, opts, "Experiment:train")
  if not run then return nil, message end
  for batch, now in run:batches() do step(batch, now, run) end
  return run
end

return M
