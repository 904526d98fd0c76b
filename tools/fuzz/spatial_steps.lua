-- The steps of random programs that look at windows of sequences and volumes, make maps of another size, or attend: see
-- steps.lua. What they need in three or five axes is seldom there, and comes in as a new input.
local M = {}

local function step(inputs, ...) return {inputs = inputs, args = table.pack(...)} end

-- One number for all axes of space, or one for each.
local function sizes(r, axes, low, high)
  if axes == 1 or r:chance(0.5) then return r:int(low, high) end
  local list = {}
  for d = 1, axes do list[d] = r:int(low, high) end
  return list
end

-- A value [batch, one to three axes, channels], there or new.
local function pick(r, g, axes)
  local found = r:chance(0.6) and g:where(function(n) return #n.shape == axes + 2 and n.numel < 1000 end)
  if found then return found end
  local shape = {r:int(1, 3)}
  for d = 1, axes do shape[d + 1] = r:int(1, axes == 1 and 9 or 4) end
  shape[axes + 2] = r:pick{1, 2, 3, 4}
  return g:input(shape)
end

local function add_convolutions(choose, apply)
  for name, axes in pairs{conv1d = 1, conv3d = 3, conv_transpose1d = 1, conv_transpose3d = 3} do
    local transposed = name:find "transpose"
    choose[name] = function(r, g)
      local i = pick(r, g, axes)
      local channels, each = g.nodes[i].shape[axes + 2], r:int(1, 3)
      local groups = channels % 2 == 0 and r:chance(0.4) and 2 or 1
      local kernel = {}
      for d = 1, axes do kernel[d] = r:int(1, 3) end
      kernel[axes + 1] = transposed and channels or channels // groups
      kernel[axes + 2] = transposed and each or each * groups
      local options = {stride = sizes(r, axes, 1, 2), padding = sizes(r, axes, 0, 1), dilation = r:int(1, 2),
        groups = groups}
      return step({i, g:input(kernel, "small"), r:chance(0.7) and g:input{each * groups} or nil}, options)
    end
    apply[name] = function(lt, x, args) return lt[name](x[1], x[2], x[3], args[1]) end
  end
end

local function add_pools(choose)
  for name, axes in pairs{max_pool1d = 1, avg_pool1d = 1, max_pool3d = 3, avg_pool3d = 3} do
    choose[name] = function(r, g)
      local options = {stride = sizes(r, axes, 1, 2), ceil_mode = r:chance(0.3)}
      if name:find "avg" then options.count_include_pad = r:chance(0.5) end
      local kernel = sizes(r, axes, 1, 3)
      -- Padding of at most half a window.
      if type(kernel) == "number" and kernel > 1 then options.padding = r:int(0, 1) end
      return step({pick(r, g, axes)}, kernel, options)
    end
  end
end

-- Places in what was pooled, of windows that do not overlap.
local function add_unpools(choose, apply)
  for name, axes in pairs{max_unpool1d = 1, max_unpool2d = 2, max_unpool3d = 3} do
    choose[name] = function(r, g)
      local i = pick(r, g, axes)
      local node, kernel, places, list = g.nodes[i], r:int(1, 2), 1, {}
      for d = 1, axes do places = places * node.shape[d + 1] * kernel end
      for k = 1, node.numel do list[k] = r:int(1, places) end
      return step({i}, list, kernel)
    end
    apply[name] = function(lt, x, args) return lt[name](x[1], lt.tensor(args[1]):reshape(x[1].shape), args[2]) end
  end
end

local function add_adaptive(choose, apply)
  for _, kind in ipairs{"adaptive_avg_pool", "adaptive_max_pool"} do
    for axes = 1, 3 do
      local name = ("%s%dd"):format(kind, axes)
      choose[name] = function(r, g) return step({pick(r, g, axes)}, sizes(r, axes, 1, 4)) end
      apply[name] = function(lt, x, args) return (lt[name](x[1], args[1])) end
    end
  end
end

local function add_shuffles(choose)
  function choose.pixel_shuffle(r, g)
    return step({g:input{r:int(1, 2), r:int(1, 3), r:int(1, 3), 4 * r:int(1, 2)}}, 2)
  end
  function choose.pixel_unshuffle(r, g)
    return step({g:input{r:int(1, 2), 2 * r:int(1, 3), 2 * r:int(1, 3), r:int(1, 3)}}, 2)
  end
end

local MODES = {{"nearest", "nearest-exact", "linear", "area"},
  {"nearest", "nearest-exact", "bilinear", "bicubic", "area"}, {"nearest", "nearest-exact", "trilinear", "area"}}

local function can_align(mode) return mode:find "linear" ~= nil or mode == "bicubic" end

--- Adds the steps.
-- @tparam table choose name -> function(r, g)
-- @tparam table apply name -> function(lt, inputs, args), where a call is not lt.name(inputs..., args...)
function M.add(choose, apply)
  add_convolutions(choose, apply)
  add_pools(choose)
  add_unpools(choose, apply)
  add_adaptive(choose, apply)
  add_shuffles(choose)
  function choose.interpolate(r, g)
    local axes = r:int(1, 3)
    local mode, size = r:pick(MODES[axes]), {}
    for d = 1, axes do size[d] = r:int(1, 6) end
    local aligned = can_align(mode) and r:chance(0.5) or nil
    return step({pick(r, g, axes)}, {size = size, mode = mode, align_corners = aligned})
  end
  -- Queries that are there; keys and values that fit them.
  function choose.scaled_dot_product_attention(r, g)
    local i = g:where(function(n) return #n.shape >= 2 and #n.shape <= 4 and n.size < 4 end)
    if not i then return nil end
    local keys = table.move(g.nodes[i].shape, 1, #g.nodes[i].shape, 1, {})
    local causal = r:chance(0.3)
    if not causal then keys[#keys - 1] = r:int(1, 5) end
    local values = table.move(keys, 1, #keys, 1, {})
    values[#values] = r:int(1, 4)
    return step({i, g:input(keys), g:input(values)}, {is_causal = causal, scale = r:chance(0.3) and 0.5 or nil})
  end
end

return M
