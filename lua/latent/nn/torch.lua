--- PyTorch's arrays in our layout: images there are [channels, height, width], so convolution weights are
-- permuted, and so are linear weights that read a flattened map or write one. A layer class says by its field
-- `torch_arrays` how its arrays stand there, and by `torch_layout` what it does to its input (see latent.nn.flow).
-- @module latent.nn.torch
local core = require "latent.core"
local flow = require "latent.nn.flow"
local options = require "latent.base.options"

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

-- An axis counted as (channel, pixel) becomes one counted as (pixel, channel), or the other way. What cannot be cut so
-- is of the wrong shape: load_state says it when it compares.
local function recount(x, axis, channels, back)
  local shape, before, after = x.shape, 1, 1
  for d, size in ipairs(shape) do
    if d < axis then before = before * size elseif d > axis then after = after * size end
  end
  if channels == 1 or shape[axis] % channels ~= 0 then return x end
  local pixels = shape[axis] // channels
  local split = ops.reshape(x, {before, back and pixels or channels, back and channels or pixels, after})
  return ops.reshape(ops.permute(split, {1, 3, 2, 4}), shape)
end

local function inverse(axes)
  local back = {}
  for to, from in ipairs(axes) do back[from] = to end
  return back
end

-- An array of a layer in our layout, or `back` in PyTorch's; `how` is what its class says of it:
--   axes = our axes, as places in PyTorch's; reads, writes = the axis, ours, that counts what the layer reads or writes
local function convert_array(value, how, layout, back)
  local dims = how.axes and #how.axes or 1
  if value:dim() ~= dims then return value end
  if how.axes and not back then value = ops.permute(value, how.axes) end
  for _, side in ipairs{"reads", "writes"} do
    if how[side] and layout then value = recount(value, how[side], layout[side], back) end
  end
  return how.axes and back and ops.permute(value, inverse(how.axes)) or value
end

local function convert(fname, model, state, channels, back)
  local layouts, layers, converted = flow.layouts(fname, model, channels), {}, {}
  for _, entry in ipairs(model:modules()) do layers[entry[1]] = entry[2] end
  for key, value in pairs(state) do
    local path, field = key:match "^(.-)%.?([^.]+)$"
    local layer = layers[path]
    local how = layer and layer.torch_arrays and layer.torch_arrays[field]
    if how and core.is_tensor(value) then value = convert_array(value, how, layouts[layer], back) end
    -- PyTorch counts the batches of every batch norm, in whole numbers; here one does that averages over them.
    if field ~= "num_batches_tracked" then
      converted[key] = value
    elseif layer and layer[field] and core.is_tensor(value) then
      converted[key] = back and value:long() or core.tensor(value, {dtype = layer[field].dtype})
    end
  end
  return converted
end

--- A state with PyTorch's arrays, under our names, in our layout.
-- @tparam Module model
-- @tparam {[string]=Tensor} state
-- @tparam table channels by the layer's name: of the map that it reads, where it cannot be seen, or {reads =, writes =}
-- @treturn {[string]=Tensor}
function M.convert(model, state, channels) return convert("load_state", model, state, channels, false) end

--- The way back: a state of ours, under our names, in PyTorch's layout; tensors of its own.
-- @tparam Module model
-- @tparam {[string]=Tensor} state
-- @tparam table channels as for `convert`
-- @treturn {[string]=Tensor}
function M.export(model, state, channels)
  return core.no_grad(function()
    local copies = {}
    for key, value in pairs(state) do copies[key] = value:clone() end
    return convert("state", model, copies, channels, true)
  end)
end

return M
