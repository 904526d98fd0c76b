--- NumPy's .npz files: arrays by name, in a zip archive, as np.savez and np.savez_compressed write them.
-- What becomes of each array is said in latent.npy.
-- @module latent.npz

local core = require "latent.core"
local files = require "latent.files"
local npy = require "latent.npy"
local options = require "latent.options"
local zip = require "latent.zip"

local M = {}

local function read_all(archive, opts)
  local tensors = {}
  for _, member in ipairs(archive.names) do
    local name = member:match "^(.*)%.npy$"
    if not name then return nil, ('%s: member "%s" is no .npy array'):format(archive.path, member) end
    local bytes, message = archive:read(member)
    if not bytes then return nil, message end
    tensors[name], message = npy.decode(bytes, opts)
    if not tensors[name] then return nil, ('%s: member "%s": %s'):format(archive.path, member, message) end
  end
  return tensors
end

--- Reads every array of a .npz file.
-- @tparam string path
-- @tparam ?table opts `exact = true`: a value that float32 cannot hold is an error
-- @treturn ?{[string]=Tensor} nil where the file cannot be read
-- @treturn ?string the message then
function M.load(path, opts)
  options.expect("npz.load", "path", path, "string")
  opts = options.check("npz.load", opts, {"exact"})
  local archive, message = zip.open(path)
  if not archive then return nil, message end
  local tensors
  tensors, message = read_all(archive, opts)
  archive:close()
  return tensors, message
end

--- Writes tensors as a .npz file, atomically.
-- @tparam string path
-- @tparam {[string]=Tensor} tensors
-- @tparam ?table opts `compress = true` packs them, as np.savez_compressed does
-- @treturn boolean true
-- @raise where the file cannot be written
function M.save(path, tensors, opts)
  options.expect("npz.save", "path", path, "string")
  options.expect("npz.save", "tensors", tensors, "table")
  opts = options.check("npz.save", opts, {"compress"})
  local names = {}
  for name, tensor in pairs(tensors) do
    options.expect("npz.save", "name", name, "string")
    if #name > 60000 then core.raise "npz.save: name: expected at most 60000 bytes" end
    if not core.is_tensor(tensor) then
      core.raise(('npz.save: "%s": expected a tensor, got %s'):format(name, options.describe(tensor)))
    end
    names[#names + 1] = name
  end
  core.plainly(table.sort, names) -- by their bytes, in any locale
  local members = {}
  for i, name in ipairs(names) do
    members[i] = {name .. ".npy", function() return npy.encode(tensors[name]) end}
  end
  return files.save(path, function(file) return zip.write(file, members, opts.compress) end)
end

return M
