--- PyTorch's arrays in our layout: images there are [channels, height, width], so convolution weights are
-- permuted, and so are linear weights that read a flattened map or write one.
-- @module latent.nn.torch
local core = require "latent.core"
local options = require "latent.options"

local ops = core.ops

local M = {}

local function check_names(fname, names)
  for key, value in pairs(names) do
    options.expect(fname, "names", key, "string")
    options.expect(fname, "names: " .. key, value, "string")
  end
end

-- A key by a table from names, or beginnings of names up to a dot; the longest beginning wins.
local function renamed_key(key, names)
  local head, tail = key, ""
  while head and not names[head] do
    local cut = head:match "^.*()%."
    tail = cut and head:sub(cut) .. tail or tail
    head = cut and head:sub(1, cut - 1)
  end
  return head and names[head] .. tail or key
end

-- A key whose numbers, as parts of the name, are moved: PyTorch's layers count from 0, ours from 1.
local function counted_key(key, by)
  return ((key:gsub("%f[^%.\0]%d+%f[%.\0]", function(n) return ("%d"):format(tonumber(n) + by) end)))
end

local function rename(fname, state, key_of)
  local renamed, origin = {}, {}
  for key, value in pairs(state) do
    local name = key_of(key)
    if origin[name] then
      core.raise(("%s: names: %s and %s both become %s"):format(fname, origin[name], key, name))
    end
    renamed[name], origin[name] = value, key
  end
  return renamed
end

--- Renames the keys of a state by a table from their names, or beginnings of names up to a dot, to ours.
-- The longest beginning wins.
-- @tparam {[string]=Tensor} state
-- @tparam {[string]=string}|string names or "zero-based": parts that are numbers count from 0 there
-- @treturn {[string]=Tensor}
function M.rename(state, names)
  if names == "zero-based" then
    return rename("load_state", state, function(key) return counted_key(key, 1) end)
  end
  check_names("load_state", names)
  return rename("load_state", state, function(key) return renamed_key(key, names) end)
end

--- The way back: from our names to theirs, by the same table.
-- @tparam {[string]=Tensor} state
-- @tparam {[string]=string}|string names from their names to ours, as `rename` takes it
-- @treturn {[string]=Tensor}
-- @raise where the table does not lead back to our names
function M.rename_back(state, names)
  if names == "zero-based" then
    return rename("state", state, function(key) return counted_key(key, -1) end)
  end
  check_names("state", names)
  local back = {}
  for theirs, ours in pairs(names) do
    if back[ours] then core.raise(("state: names: %s and %s both mean %s"):format(back[ours], theirs, ours)) end
    back[ours] = theirs
  end
  return rename("state", state, function(key)
    local theirs = renamed_key(key, back)
    if renamed_key(theirs, names) ~= key then
      core.raise(("state: names: %s would become %s, which means %s"):format(key, theirs, renamed_key(theirs, names)))
    end
    return theirs
  end)
end

-- Axis 1 counted as (channel, pixel) becomes (pixel, channel), or the other way. What cannot be cut so is of the
-- wrong shape: load_state says it when it compares.
local function recount(x, channels, back)
  local shape = x.shape
  if shape[1] % channels ~= 0 then return x end
  local rest, pixels = x:numel() // math.max(shape[1], 1), shape[1] // channels
  local split = ops.reshape(x, back and {pixels, channels, rest} or {channels, pixels, rest})
  return ops.reshape(ops.permute(split, {2, 1, 3}), shape)
end

-- [outputs, inputs] there, [inputs, outputs] here.
local function linear_weight(w, layout, back)
  local function inputs(x) return layout.input and recount(x, layout.input, back) or x end
  if back then w = inputs(w) end
  w = ops.permute(w, {2, 1})
  if layout.output and not back then
    w = ops.permute(recount(ops.permute(w, {2, 1}), layout.output), {2, 1})
  elseif layout.output then
    w = recount(w, layout.output, true)
  end
  return back and w or inputs(w)
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
local function linear_layouts(fname, model, given)
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
    options.expect(fname, name, channels, "count")
    if not layout or not layout.inputs then
      core.raise(("%s: %s: the model has no such linear layer"):format(fname, name))
    elseif layout.inputs % channels ~= 0 then
      core.raise(("%s: %s: expected a divisor of the layer's %d inputs, got %d"):format(fname, name,
        layout.inputs, channels))
    end
    layout.input = channels
  end
  return found
end

-- [out, in, height, width] there, [height, width, in, out] here; of transposed convolutions [in, out, ...].
local CONVOLUTIONS = {
  Conv2d = {ours = {3, 4, 2, 1}, theirs = {4, 3, 1, 2}},
  ConvTranspose2d = {ours = {3, 4, 1, 2}, theirs = {3, 4, 1, 2}},
}

-- An array of a layer in our layout, or `back` in PyTorch's.
local function convert_array(kind, field, value, layout, back)
  local dims = value:dim()
  if CONVOLUTIONS[kind] and field == "weight" and dims == 4 then
    return ops.permute(value, CONVOLUTIONS[kind][back and "theirs" or "ours"])
  elseif kind == "Linear" and field == "weight" and dims == 2 then
    return linear_weight(value, layout, back)
  elseif kind == "Linear" and field == "bias" and dims == 1 and layout.output then
    return recount(value, layout.output, back)
  elseif kind == "LayerNorm" and dims == 1 and layout then
    local map = layout.input or layout.output
    return map and recount(value, map, back) or value
  end
  return value
end

local function convert(fname, model, state, channels, back)
  local layouts, kinds, converted = linear_layouts(fname, model, channels), {}, {}
  for _, entry in ipairs(model:modules()) do kinds[entry[1]] = entry[2].kind end
  for key, value in pairs(state) do
    local path, field = key:match "^(.-)%.?([^.]+)$"
    if core.is_tensor(value) then value = convert_array(kinds[path], field, value, layouts[path], back) end
    -- PyTorch counts the batches of a batch norm; nothing here depends on it.
    if field ~= "num_batches_tracked" then converted[key] = value end
  end
  return converted
end

--- A state with PyTorch's arrays, under our names, in our layout.
-- @tparam Module model
-- @tparam {[string]=Tensor} state
-- @tparam {[string]=int} channels of the flattened map before a linear layer, by the layer's name
-- @treturn {[string]=Tensor}
function M.convert(model, state, channels) return convert("load_state", model, state, channels, false) end

--- The way back: a state of ours, under our names, in PyTorch's layout; tensors of its own.
-- @tparam Module model
-- @tparam {[string]=Tensor} state
-- @tparam {[string]=int} channels as for `convert`
-- @treturn {[string]=Tensor}
function M.export(model, state, channels)
  return core.no_grad(function()
    local copies = {}
    for key, value in pairs(state) do copies[key] = value:clone() end
    return convert("state", model, copies, channels, true)
  end)
end

return M
