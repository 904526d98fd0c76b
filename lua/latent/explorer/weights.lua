--- Which weights a page gets: files that the user names, else what the newest runs have trained, else those that come
-- with the exercises. What a file holds is told by the names and shapes in it.
-- @module latent.explorer.weights
local files = require "latent.base.files"
local folder = require "latent.experiment.folder"
local safetensors = require "latent.safetensors"

local M = {}

local MNIST = {mnist = true, mini = true} -- the data that the page's own images are of
local USUAL_BETA = 0.01 -- of exercises 7 and 8, whose weights have no beta in their name

-- The page's models where the user names none, the slider's betas in ascending order; and what stands for them where a
-- run has trained that instead.
M.usual = {"autoencoder", "vae2_beta0.001", "vae2", "vae2_beta0.1", "vae2_beta1", "vae16", "classifier"}

-- What tells the kinds: a name with its shape, 0 for any size.
local MARKS = {
  {kind = "autoencoder", name = "decoder.3.weight", shape = {3, 3, 1, 16}},
  {kind = "classifier", name = "14.weight", shape = {64, 10}},
  {kind = "vae", name = "mu.3.weight", shape = {32, 0}},
}

local function fits(tensor, shape)
  if not tensor or tensor:dim() ~= #shape then return false end
  for axis, n in ipairs(shape) do
    if n ~= 0 and tensor:size(axis) ~= n then return false end
  end
  return true
end

--- The kind of model that a state is of, and the size of its code.
-- @tparam table state
-- @treturn ?string "autoencoder", "classifier" or "vae"; nil for any other
-- @treturn ?int
function M.kind(state)
  for _, mark in ipairs(MARKS) do
    local tensor = state[mark.name]
    if fits(tensor, mark.shape) then
      return mark.kind, mark.kind == "vae" and tensor:size(2) or mark.kind == "autoencoder" and 2 or nil
    end
  end
end

local function base_name(path) return path:match("([^/]*)$"):gsub("%.safetensors$", "") end

-- The beta of a VAE: as its name says, or as the record beside it, or the exercises' own.
local function beta_of(name, path)
  local named = tonumber(name:match "beta([%d.e+-]*%d)")
  if named then return named end
  local record = folder.read(files.dirname(path))
  return record and tonumber(record.options.beta) or USUAL_BETA
end

--- Reads a file of weights.
-- @tparam string path
-- @tparam function new_model of a kind and the size of its code
-- @treturn ?table kind, latent, beta (of a VAE), epochs (a text, where the file says it), path, name, state; nil where
-- the file cannot be read, or is of no model that the page has
-- @treturn ?string the message then
function M.read(path, new_model)
  local state, metadata = safetensors.load(path)
  if not state then return nil, metadata end
  local kind, latent = M.kind(state)
  if not kind then
    return nil, path .. ": expected weights of an autoencoder, a VAE or a classifier as the exercises train them"
  end
  local ok, message = pcall(function() new_model(kind, latent):load_state(state) end)
  if not ok then return nil, ("%s: %s"):format(path, message) end
  local name = base_name(path)
  return {kind = kind, latent = latent, beta = kind == "vae" and beta_of(name, path) or nil,
    epochs = metadata and metadata.epochs, path = path, name = name, state = state}
end

-- The file of a name: the newest run's that has one and was about MNIST, else the shipped one.
local function find(name, runs, shipped)
  local file = name .. ".safetensors"
  local newest = folder.newest(runs, nil, function(record)
    return (record.options.data == nil or MNIST[record.options.data]) and files.exists(files.join(record.folder, file))
  end)
  if newest then return files.join(newest.folder, file) end
  local path = files.join(shipped, file)
  return files.exists(path) and path or nil
end

-- Where a model stands: models of one place exclude each other, but for VAEs of the plane, of which each has its beta.
local function place(model)
  if model.kind ~= "vae" then return model.kind end
  return model.latent == 2 and "plane" or "restoring"
end

local function before(a, b)
  local order = {autoencoder = 1, plane = 2, restoring = 3, classifier = 4}
  local x, y = order[place(a)], order[place(b)]
  if x ~= y then return x < y end
  if a.beta ~= b.beta then return a.beta < b.beta end
  return a.name < b.name
end

--- The models of a page, in the order of its slider: autoencoder, VAEs of two numbers by their beta, one VAE with
-- another number of them, classifier.
-- @tparam {string,...} given files; they take the place of what would be there
-- @tparam table where runs, shipped (folders), new_model
-- @treturn ?{table,...} as `read` makes them; nil where one is missing or damaged
-- @treturn ?string the message then
function M.choose(given, where)
  local list, taken = {}, {}
  for i, path in ipairs(given) do
    local model, message = M.read(path, where.new_model)
    if not model then return nil, message end
    local at = place(model)
    if at ~= "plane" and taken[at] then
      return nil, ("%s: the page has room for one model of this kind, and %s is one"):format(path, taken[at])
    end
    taken[at], list[i] = path, model
  end
  for _, name in ipairs(M.usual) do
    local path = find(name, where.runs, where.shipped)
    if not path then return nil, ("no weights %s: train them (make exercises)"):format(name) end
    local model, message = M.read(path, where.new_model)
    if not model then return nil, message end
    if not taken[place(model)] then list[#list + 1] = model end
  end
  table.sort(list, before)
  return list
end

return M
