--- All that is documented, under the names by which users know it.
-- @module latent.help.index
local comments = require "latent.help.comments"
local files = require "latent.base.files"
local lt = require "latent"
local declared = require("latent.base.options").declared

local M = {}

--- The modules that are made for users; what is in none of them is the library's own business.
M.modules = {"latent", "latent.nn", "latent.nn.initial", "latent.optim", "latent.schedule", "latent.data",
  "latent.plot", "latent.train", "latent.vae", "latent.distributions", "latent.map", "latent.safetensors",
  "latent.npy", "latent.npz", "latent.pt", "latent.onnx", "latent.image", "latent.audio", "latent.linalg",
  "latent.fft", "latent.experiment", "latent.metrics", "latent.json", "latent.testing", "latent.idx",
  "latent.profile", "latent.progress", "latent.mpi", "latent.help"}

-- A function of a file inside a public module's folder is the module's, if the module hands it on.
local function publish(entries, by_name)
  for _, parent in ipairs(M.modules) do
    local prefix = comments.prefix_of(parent)
    for _, entry in ipairs(entries) do
      local inside = entry.field and not entry.is_method and entry.module:sub(1, #parent + 1) == parent .. "."
      local name = inside and prefix .. "." .. entry.field
      if name and not by_name[name] then
        local ok, module = pcall(require, parent)
        local own = package.loaded[entry.module]
        local value = ok and rawget(module, entry.field)
        if value ~= nil and type(own) == "table" and own[entry.field] == value then
          entry.name, by_name[name] = name, entry
        end
      end
    end
  end
end

-- Whose functions and methods are `latent`'s and its tensors'.
local FACE = {}
for _, name in ipairs{"help.reference", "base.face", "base.grad", "base.grad.keep", "base.compare", "base.format"} do
  FACE["latent." .. name] = true
end

-- The public module that an entry belongs to, nil where it belongs to none.
local function owner_of(entry)
  if FACE[entry.module] then return "latent" end
  local name = entry.module
  while name do
    for _, public in ipairs(M.modules) do
      if name == public then return public end
    end
    name = name:match "^(.+)%.[^.]+$"
    if name == "latent" then return nil end
  end
end

-- Gives functions the options that they have declared; what has not been loaded yet has declared none.
local function add_options(entries)
  for _, entry in ipairs(entries) do
    if owner_of(entry) then pcall(require, entry.module) end
  end
  for _, entry in ipairs(entries) do entry.options = declared[entry.name] end
end

-- Marks what is made for users with its module, `owner`: modules, classes that have a comment, their methods,
-- functions and values that the module itself has.
local function mark_public(entries)
  local classes = {}
  for _, entry in ipairs(entries) do
    if entry.is_class and owner_of(entry) then classes[entry.name] = true end
  end
  for _, entry in ipairs(entries) do
    local owner = owner_of(entry)
    local public
    if entry.op then public = true
    elseif not owner or (entry.field and entry.field:find "^__") then public = false
    elseif entry.is_module then public = entry.module == owner
    elseif entry.is_class then public = true
    elseif entry.is_method then public = classes[entry.name:match "^([^:]+):"]
    else public = entry.name:match "^([%w_]+)%.[%w_]+$" == comments.prefix_of(owner)
    end
    entry.owner = public and (owner or "latent") or nil
  end
end

--- Reads the table of ops and the comments of the installed sources.
-- @treturn table entries for users, a list as `comments.read` makes it (those of ops have the field `op` in place of
-- tags), each with its public module as `owner` and its declared `options`; by_name; classes, by name also where a
-- function has the name
function M.build()
  local entries, by_name = {}, {}
  for _, op in ipairs(lt.ops()) do
    entries[#entries + 1] = {name = "lt." .. op.name, module = "latent", field = op.name, op = op}
  end
  for _, path in ipairs(comments.sources()) do
    local text = files.read_all(path)
    if text then comments.read(text, entries) end
  end
  for _, entry in ipairs(entries) do by_name[entry.name] = by_name[entry.name] or entry end
  publish(entries, by_name)
  add_options(entries)
  mark_public(entries)
  local public, classes = {}, {}
  by_name = {}
  for _, entry in ipairs(entries) do
    local first = by_name[entry.name]
    local weaker = first and (first.is_class or first.is_module and not entry.is_module)
    if entry.owner then
      public[#public + 1] = entry
      if entry.is_class then classes[entry.name] = entry end
      if not first or weaker then by_name[entry.name] = entry end
    end
  end
  for _, entry in ipairs(public) do
    if entry.op and not entry.op.inputs[1]:find "%*" then by_name["Tensor:" .. entry.field] = entry end
    if entry.op and entry.op.elementwise then by_name["Tensor:" .. entry.field .. "_"] = entry end
  end
  return {entries = public, by_name = by_name, classes = classes}
end

return M
