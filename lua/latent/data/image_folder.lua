--- Pictures in folders as a data set: a folder for each class, its name the class's.
-- @module latent.data.image_folder
local lt = require "latent"
local core = require "latent.core"
local files = require "latent.base.files"
local options = require "latent.base.options"
local image = require "latent.image"
local sets = require "latent.data.set"

local M = {}

local ENDINGS = {png = true, pgm = true, ppm = true}
local MOST_CLASSES = 256 -- a label is a byte

local function sorted(list)
  table.sort(list)
  return list
end

-- The names in a folder that do not begin with a dot, sorted; nil and a message where it cannot be read.
local function names_in(folder)
  local list = core.list(folder, "")
  if not list then return nil, folder .. ": no such folder, or it cannot be read" end
  local names = {}
  for _, name in ipairs(list) do
    if not name:find "^%." then names[#names + 1] = name end
  end
  return sorted(names)
end

local function pictures_in(folder)
  local paths = {}
  for _, name in ipairs(names_in(folder) or {}) do
    if ENDINGS[(name:match "%.(%w+)$" or ""):lower()] then paths[#paths + 1] = files.join(folder, name) end
  end
  return paths
end

-- Classes, and for each picture its path and label (from 0). Pictures right in the folder make one class.
local function find(folder)
  local names, message = names_in(folder)
  if not names then return nil, message end
  local classes, pictures = {}, {}
  for _, name in ipairs(names) do
    local path = files.join(folder, name)
    local found = files.is_dir(path) and pictures_in(path) or {}
    if #found > 0 then
      classes[#classes + 1] = name
      for _, picture in ipairs(found) do pictures[#pictures + 1] = {picture, #classes - 1} end
    end
  end
  if #classes == 0 then
    for _, picture in ipairs(pictures_in(folder)) do pictures[#pictures + 1] = {picture, 0} end
    classes = {folder:match "([^/]+)/*$" or folder}
  end
  if #pictures == 0 then return nil, folder .. ": holds no pictures (png, pgm, ppm), nor do the folders in it" end
  if #classes > MOST_CLASSES then
    return nil, ("%s: %d folders of pictures, expected at most %d classes"):format(folder, #classes, MOST_CLASSES)
  end
  return classes, pictures
end

local read_options = options.declare("data.image_folder", {
  {"size", "count", 32, "side of the images after resizing"},
  {"color", "boolean", false, "three channels, red, green and blue, in place of one"},
})

--- See latent.data.image_folder.
function M.read(folder, opts)
  options.expect("data.image_folder", "folder", folder, "string")
  opts = read_options(opts)
  local classes, pictures = find(folder)
  if not classes then return nil, pictures end
  local channels = opts.color and 3 or 1
  local images = lt.full({#pictures, opts.size, opts.size, channels}, 0, "u8")
  local labels = {}
  for i, entry in ipairs(pictures) do
    local picture, message = image.read(entry[1], {color = opts.color})
    if not picture then return nil, message end
    local x <close> = picture
    local whole = x:reshape(1, x:size(1), x:size(2), channels)
    images:slice(1, i, i):copy_((lt.resize_bilinear(whole, opts.size, opts.size) * 255):u8())
    labels[i] = entry[2]
  end
  return sets.new{name = folder, split = "all", classes = classes, images = images,
    labels = lt.tensor(labels):u8()}
end

return M
