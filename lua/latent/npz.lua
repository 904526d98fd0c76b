--- NumPy's .npz files: arrays by name, in a zip archive, as np.savez and np.savez_compressed write them.
-- What becomes of each array is said in latent.npy.
-- @module latent.npz

local core = require "latent.core"
local files = require "latent.base.files"
local npy = require "latent.npy"
local options = require "latent.base.options"
local zip = require "latent.formats.zip"

local M = {}

-- One array. Nil and a message where the archive is damaged; false and the reason where the member is sound but
-- nothing that becomes a tensor.
local function read_array(archive, member, opts)
  local function explain(message)
    return ('%s: member "%s": %s'):format(archive.path, options.shown(member), message)
  end
  local bytes, message, ok, other
  if not member:find "%.npy$" then
    ok, message = archive:check(member)
    if not ok then return nil, message end
    return false, "is no .npy array"
  end
  -- What a header does not promise is not unpacked.
  local size = archive:size(member)
  local start
  start, message = archive:peek(member, math.min(size, npy.max_header))
  if not start then return nil, message end
  ok, message, other = npy.check(start, size)
  if not ok and not other then return nil, explain(message) end
  if not ok then
    local reason = message
    ok, message = archive:check(member)
    if not ok then return nil, message end
    return false, reason
  end
  bytes, message = archive:read(member)
  if not bytes then return nil, message end
  local tensor
  tensor, message = npy.decode(bytes, opts)
  if not tensor then return nil, explain(message) end
  return tensor
end

-- The tensors and a table of what was left out, or nil and a message.
local function read_all(archive, opts)
  local tensors, left_out, first = {}, {}, nil
  for _, member in ipairs(archive.names) do
    local tensor, message = read_array(archive, member, opts)
    if tensor == nil then return nil, message end
    local name = member:match "^(.*)%.npy$" or member
    if tensor then
      tensors[name] = tensor
    else
      first = first or ('%s: member "%s": %s'):format(archive.path, options.shown(member), message)
      left_out[name] = message
    end
  end
  if first and not next(tensors) then return nil, first end
  return tensors, first and options.beside(left_out)
end

local load_options = options.declare("npz.load", {
  {"exact", "boolean", false, "a value that float32 cannot hold is an error"}})

--- Reads the arrays of a .npz file. Members that no tensor can hold, such as text, are left out.
-- @usage local arrays, left_out = npz.load "data.npz"
-- for name, reason in pairs(left_out or {}) do print(name, reason) end   -- labels  dtype '<U3' (text) is not ...
-- @tparam string path
-- @tparam ?table opts
-- @treturn ?{[string]=Tensor} nil where the file is damaged, or holds members but no array of numbers
-- @treturn ?{[string]=string}|string the names of what was left out, and why (nil where nothing was); a message where
-- the first result is nil
function M.load(path, opts)
  options.expect("npz.load", "path", path, "string")
  opts = load_options(opts)
  local archive, message = zip.open(path)
  if not archive then return nil, message end
  local tensors, left_out = read_all(archive, opts)
  archive:close()
  return tensors, left_out
end

local save_options = options.declare("npz.save", {
  {"compress", "boolean", false, "packs them, as np.savez_compressed does"}})

--- Writes tensors as a .npz file, atomically.
-- @tparam string path
-- @tparam {[string]=Tensor} tensors
-- @tparam ?table opts
-- @treturn boolean true
-- @raise where the file cannot be written
function M.save(path, tensors, opts)
  options.expect("npz.save", "path", path, "string")
  options.expect("npz.save", "tensors", tensors, "table")
  opts = save_options(opts)
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
