--- One file that holds all of a run: a safetensors file whose metadata has the plain values as JSON, and whose
-- last four bytes, the tensor "~crc32", are the CRC-32 of all bytes before them. It is written to a temporary
-- name, brought to the disk, read back and renamed; the one before it stays as `<path>.prev`, so that at any time one
-- good checkpoint exists. Knows nothing of what a run is.
-- @module latent.train.checkpoint
local core = require "latent.core"
local files = require "latent.base.files"
local json = require "latent.json"
local safetensors = require "latent.safetensors"

local M = {}

--- The version of the format that is written; later ones are refused on reading.
M.version = 1

local KEY = "latent.checkpoint"
local SUM = "~crc32" -- sorts behind every other name, so its bytes come last
local BLOCK = 1 << 20

--- The name that the checkpoint before the last one has.
-- @tparam string path
-- @treturn string
function M.previous(path) return path .. ".prev" end

-- The file that a name means, beside which the others lie: where a link points. It need not exist. And whether it is
-- a device or the like, which can hold no checkpoint.
local function place_of(path)
  local target, info, special = files.target(path)
  return target or path, special and info.kind
end

--- Whether there is a checkpoint of this name, or the one before it.
-- @tparam string path
-- @treturn boolean
function M.exists(path)
  path = place_of(path)
  return files.exists(path) or files.exists(M.previous(path))
end

-- A file that sums up what passes, and holds the latest piece back: the last one is the sum's own place.
local function summing(file)
  local sum, held = 0, nil
  local sink = {}
  function sink.write(_, ...)
    for _, piece in ipairs{...} do
      if held then
        sum = core.crc32(held, sum)
        local ok, message = file:write(held)
        if not ok then return nil, message end
      end
      held = piece
    end
    return sink
  end
  function sink.finish() return file:write(("<I4"):pack(sum)) end
  return sink
end

-- Whether the last four bytes of a file are the sum of the others: true, or nil and what is wrong.
local function check_sum(path)
  local file, size = files.open(path)
  if not file then return nil, size end
  local sum, left, trouble = 0, size - 4, nil
  while left > 0 do
    local piece
    piece, trouble = file:read(math.min(left, BLOCK))
    if not piece then break end
    sum, left = core.crc32(piece, sum), left - #piece
  end
  local tail = left == 0 and file:read(4)
  file:close()
  if trouble then return nil, ("%s: cannot be read: %s"):format(path, trouble) end
  if not tail or #tail < 4 then return nil, ("%s: damaged: only %d bytes"):format(path, size) end
  local wanted = ("<I4"):unpack(tail)
  if wanted == sum then return true end
  return nil, ("%s: damaged, or no checkpoint: its checksum is %08x, that of its content %08x"):format(
    path, wanted, sum)
end

-- What a header says of a checkpoint: its plain values, or nil and a message.
local function values_of(path, metadata)
  local head = metadata[KEY] and json.decode(metadata[KEY])
  if json.type(head) ~= "object" or math.type(head.version) ~= "integer" or json.type(head.values) ~= "object" then
    return nil, path .. ": not a checkpoint of a training run"
  end
  if head.version > M.version then
    return nil, ("%s: has version %d of the format, this library reads up to %d"):format(
      path, head.version, M.version)
  end
  return head.values
end

-- One file: tensors and values, or nil and a message.
local function read(path)
  local ok, message = check_sum(path)
  if not ok then return nil, message end
  local tensors, metadata = safetensors.load(path)
  if not tensors then return nil, metadata end
  local values
  values, message = values_of(path, metadata)
  if not values then return nil, message end
  tensors[SUM] = nil
  return tensors, values
end

-- Reads a finished file back, but for the tensors' values, whose bytes the sum covers.
local function verify(path)
  local ok, message = check_sum(path)
  local metadata
  if ok then metadata, message = safetensors.read_metadata(path) end
  if metadata then ok, message = values_of(path, metadata) end
  if ok and metadata then return true end
  return nil, "read back: " .. message:sub(#path + 3)
end

--- Writes a checkpoint. The one that is there becomes the previous one, once the new one has been
-- read back.
-- @tparam string path
-- @tparam {[string]=Tensor} tensors
-- @tparam table values plain values that JSON can hold
-- @return true, or nil and a message
function M.save(path, tensors, values)
  local all = {[SUM] = core.from_bytes(("\0"):rep(4), {4}, "u8")}
  for name, tensor in pairs(tensors) do all[name] = tensor end
  local text = json.encode{version = M.version, values = values}
  local kind
  path, kind = place_of(path)
  if kind then return nil, ("%s: is a %s, expected a plain file"):format(path, kind) end
  return files.write_atomic(path, function(file)
    local sink = summing(file)
    local ok, message = safetensors.write(sink, all, {[KEY] = text})
    if not ok then return nil, message end
    return sink.finish()
  end, {sync = true, keep = M.previous(path), check = verify})
end

--- Reads a checkpoint, or where it is missing or damaged the one before it.
-- @tparam string path
-- @return name -> tensor, or nil
-- @return the plain values, or a message
-- @return what is wrong with the newer one, where the one before it had to do
function M.load(path)
  path = place_of(path)
  local tensors, values
  local previous, damage = M.previous(path), nil
  if files.exists(path) or not files.exists(previous) then
    tensors, values = read(path)
    if tensors then return tensors, values end
    damage = values
    if not files.exists(previous) then return nil, damage end
  end
  tensors, values = read(previous)
  if tensors then return tensors, values, damage end
  return nil, damage and ("%s; and %s"):format(damage, values) or values
end

--- Makes the one before the newest checkpoint again; a damaged newest one is kept as `<path>.damaged`. To be
-- called before the next `save`, which would otherwise put the damaged one in the place of the good one.
-- @tparam string path
-- @return true, or nil and a message
function M.fall_back(path)
  path = place_of(path)
  if files.exists(path) then
    local ok, message = os.rename(path, path .. ".damaged")
    if not ok then return nil, message end
  end
  return os.rename(M.previous(path), path)
end

--- Gives the newest checkpoint the name `<path>.old`, for a run that begins anew under its name.
-- @tparam string path
-- @return true, or nil and a message
function M.set_aside(path)
  local kind
  path, kind = place_of(path)
  local previous = M.previous(path)
  if kind or files.is_dir(path) then return true end -- `save` says so
  if not files.exists(path) then
    if files.exists(previous) then return os.rename(previous, path .. ".old") end
    return true
  end
  local ok, message = os.rename(path, path .. ".old")
  -- It belongs to that run, and must not be taken for this one's.
  if ok and files.exists(previous) then ok, message = os.remove(previous) end
  return ok, message
end

return M
