--- PyTorch's arrays in our layout: images there are [channels, height, width], so convolution weights are
-- permuted, and so are linear weights that read a flattened map or write one.
-- @module latent.nn.torch
local core = require "latent.core"
local options = require "latent.options"

local ops = core.ops

local M = {}

--- Renames the keys of a state by a table from their names, or beginnings of names up to a dot, to ours.
-- The longest beginning wins.
-- @tparam {[string]=Tensor} state
-- @tparam {[string]=string} names
-- @treturn {[string]=Tensor}
function M.rename(state, names)
  for key, value in pairs(names) do
    options.expect("load_state", "names", key, "string")
    options.expect("load_state", "names: " .. key, value, "string")
  end
  local renamed, origin = {}, {}
  for key, value in pairs(state) do
    local head, tail = key, ""
    while head and not names[head] do
      local cut = head:match "^.*()%."
      tail = cut and head:sub(cut) .. tail or tail
      head = cut and head:sub(1, cut - 1)
    end
    local name = head and names[head] .. tail or key
    if origin[name] then
      core.raise(("load_state: names: %s and %s both become %s"):format(origin[name], key, name))
    end
    renamed[name], origin[name] = value, key
  end
  return renamed
end

-- Axis 1 counted as (channel, pixel) becomes (pixel, channel). What cannot be cut so is of the wrong
-- shape: load_state says it when it compares.
local function channels_last(x, channels)
  local shape = x.shape
  if shape[1] % channels ~= 0 then return x end
  local rest = x:numel() // math.max(shape[1], 1)
  local split = ops.reshape(x, {channels, shape[1] // channels, rest})
  return ops.reshape(ops.permute(split, {2, 1, 3}), shape)
end

local function linear_weight(w, layout)
  w = ops.permute(w, {2, 1})
  if layout.input then w = channels_last(w, layout.input) end
  if layout.output then w = ops.permute(channels_last(ops.permute(w, {2, 1}), layout.output), {2, 1}) end
  return w
end

local KEEPS_CHANNELS = {Dropout = true, ReLU = true, LeakyReLU = true, ELU = true, GELU = true, SiLU = true,
  Tanh = true, Sigmoid = true, Softplus = true, MaxPool2d = true, AvgPool2d = true, Upsample = true}

local KINDS = {}

function KINDS.Sequential(layer, path, at, found)
  for i = 1, #layer do
    local follow = KINDS[layer[i].kind] or KINDS.other
    follow(layer[i], path == "" and tostring(i) or path .. "." .. i, at, found)
  end
end

function KINDS.Conv2d(layer, _, at) at.channels, at.flat, at.writers = layer.outputs, nil, nil end
KINDS.ConvTranspose2d = KINDS.Conv2d

function KINDS.BatchNorm2d(layer, _, at) at.channels = layer.channels end

function KINDS.Flatten(_, _, at) at.flat, at.writers = at.channels or at.flat, nil end

function KINDS.Linear(_, path, at, found)
  found[path] = {input = at.flat}
  at.writers, at.flat, at.channels = {found[path]}, nil, nil
end

-- Its weight and bias have the order of the features that it reads, and those may be written on to a map.
function KINDS.LayerNorm(_, path, at, found)
  found[path] = {input = at.flat}
  if at.writers then table.insert(at.writers, found[path]) end
end

function KINDS.Reshape(layer, _, at)
  if #layer.sizes == 1 then
    at.flat, at.writers = at.channels or at.flat, nil
    return
  end
  local channels = #layer.sizes == 3 and layer.sizes[3] or nil
  for _, layout in ipairs(at.writers or {}) do layout.output = channels end
  at.channels, at.writers, at.flat = channels, nil, nil
end

function KINDS.other(layer, _, at)
  if not KEEPS_CHANNELS[layer.kind] then at.channels, at.writers, at.flat = nil, nil, nil end
end

-- For each linear layer, by its path: how many channels the flattened map has that it reads (input) or
-- writes (output), as far as that can be followed through the chains of layers.
local function linear_layouts(model, given)
  local found = {}
  local inside = {} -- modules that a Sequential has accounted for
  for _, entry in ipairs(model:modules()) do
    local path, layer = entry[1], entry[2]
    if layer.kind == "Sequential" and not inside[layer] then KINDS.Sequential(layer, path, {}, found) end
    for _, child in ipairs(layer.kind == "Sequential" and layer or {}) do inside[child] = true end
    if layer.kind == "Linear" then
      found[path] = found[path] or {}
      found[path].inputs = layer.inputs
    end
  end
  for path, channels in pairs(given) do
    local layout, name = found[path], "channels: " .. tostring(path)
    options.expect("load_state", name, channels, "count")
    if not layout or not layout.inputs then
      core.raise(("load_state: %s: the model has no such linear layer"):format(name))
    elseif layout.inputs % channels ~= 0 then
      core.raise(("load_state: %s: expected a divisor of the layer's %d inputs, got %d"):format(name,
        layout.inputs, channels))
    end
    layout.input = channels
  end
  return found
end

--- A state with PyTorch's arrays, under our names, in our layout.
-- @tparam Module model
-- @tparam {[string]=Tensor} state
-- @tparam {[string]=int} channels of the flattened map before a linear layer, by the layer's name
-- @treturn {[string]=Tensor}
function M.convert(model, state, channels)
  local layouts, converted = linear_layouts(model, channels), {}
  local by_path = {}
  for _, entry in ipairs(model:modules()) do by_path[entry[1]] = entry[2] end
  for key, value in pairs(state) do
    local path, field = key:match "^(.-)%.?([^.]+)$"
    local layer = by_path[path]
    local kind, dims = layer and layer.kind, core.is_tensor(value) and value:dim()
    if field == "num_batches_tracked" then
      value = nil -- PyTorch's counter; nothing here depends on it
    elseif kind == "Conv2d" and field == "weight" and dims == 4 then
      value = ops.permute(value, {3, 4, 2, 1})
    elseif kind == "ConvTranspose2d" and field == "weight" and dims == 4 then
      value = ops.permute(value, {3, 4, 1, 2})
    elseif kind == "Linear" and field == "weight" and dims == 2 then
      value = linear_weight(value, layouts[path])
    elseif kind == "Linear" and field == "bias" and dims == 1 and layouts[path].output then
      value = channels_last(value, layouts[path].output)
    elseif kind == "LayerNorm" and dims == 1 and layouts[path] then
      local map = layouts[path].input or layouts[path].output
      value = map and channels_last(value, map) or value
    end
    converted[key] = value
  end
  return converted
end

return M
