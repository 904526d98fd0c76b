--- All that is documented, under the names by which users know it.
-- @module latent.help.index
local comments = require "latent.help.comments"
local files = require "latent.files"
local lt = require "latent"

local M = {}

--- The modules that are made for users; what is in none of them is the library's own business.
M.modules = {"latent", "latent.nn", "latent.optim", "latent.schedule", "latent.data", "latent.plot", "latent.train",
  "latent.vae", "latent.map", "latent.safetensors", "latent.npy", "latent.npz", "latent.pt", "latent.image",
  "latent.json", "latent.idx", "latent.profile", "latent.progress", "latent.help"}

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

--- Reads the table of ops and the comments of the installed sources.
-- @treturn table entries, a list as `comments.read` makes it (those of ops have the field `op` in place of tags);
-- by_name; options, lists of option names by the name of the function
function M.build()
  local entries, options, by_name = {}, {}, {}
  for _, op in ipairs(lt.ops()) do
    entries[#entries + 1] = {name = "lt." .. op.name, module = "latent", field = op.name, op = op}
  end
  for _, path in ipairs(comments.sources()) do
    local text = files.read_all(path)
    if text then
      comments.read(text, entries)
      comments.read_options(text, options)
    end
  end
  for _, entry in ipairs(entries) do
    local first = by_name[entry.name]
    local weaker = first and (first.is_class or first.is_module and not entry.is_module)
    if not first or weaker then by_name[entry.name] = entry end
  end
  for _, entry in ipairs(entries) do
    if entry.op then by_name["Tensor:" .. entry.field] = entry end
    if entry.op and entry.op.elementwise then by_name["Tensor:" .. entry.field .. "_"] = entry end
  end
  publish(entries, by_name)
  return {entries = entries, by_name = by_name, options = options}
end

return M
