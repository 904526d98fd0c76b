--- CIFAR-10 (Krizhevsky 2009) from the files of its binary version: records of a label and 32 x 32 pixels, first all
-- red, then all green, then all blue ones.
-- @module latent.data.cifar
local lt = require "latent"
local files = require "latent.base.files"
local sets = require "latent.data.set"
local sources = require "latent.data.sources"

local M = {}

M.classes = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}

local NAMES = {
  train = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
  test = {"test_batch.bin"},
}
local SIDE, RECORD = 32, 1 + 3 * 32 * 32

-- The folder itself, or the one that the archive makes in it.
local function locate(dir)
  for _, place in ipairs{dir, files.join(dir, "cifar-10-batches-bin")} do
    if files.exists(files.join(place, "test_batch.bin")) then return place end
  end
  return nil, files.join(dir, "test_batch.bin") .. ": missing; expected the files of CIFAR-10's binary version"
end

-- Images u8 [n, 32, 32, 3] and labels u8 [n] of a file, or nil and a message.
local function read_file(path)
  local bytes, message = files.read_all(path)
  if not bytes then return nil, message end
  local count = #bytes // RECORD
  if count == 0 or #bytes % RECORD ~= 0 then
    return nil, ("%s: holds %d bytes, expected records of %d"):format(path, #bytes, RECORD)
  end
  local records = lt.from_bytes(bytes, {count, RECORD}, "u8")
  local labels = records:slice(2, 1, 1):reshape(count)
  local most = labels:float():max():item()
  if most > 9 then return nil, ("%s: has label %.0f, expected 0 to 9"):format(path, most) end
  local planes = records:slice(2, 2, RECORD):reshape(count, 3, SIDE, SIDE)
  return planes:permute{1, 3, 4, 2}, labels
end

--- See latent.data.cifar10.
function M.read(dir, split)
  dir = dir or sources.env "LATENT_CIFAR10_DATA"
  if not dir then
    return nil, "CIFAR-10: name the folder of its binary version (option dir, or LATENT_CIFAR10_DATA)"
  end
  local folder, message = locate(dir)
  if not folder then return nil, message end
  local images, labels = {}, {}
  for i, name in ipairs(NAMES[split]) do
    images[i], labels[i] = read_file(files.join(folder, name))
    if not images[i] then return nil, labels[i] end
  end
  return sets.new{name = "CIFAR-10", split = split, classes = M.classes, images = lt.cat(images, 1),
    labels = lt.cat(labels, 1)}
end

return M
