--- Weights that are computed from others at each call: divided by their largest singular value, or split into length
-- and direction. The layer stays the layer that it was; only its parameters have other names.
-- @module latent.nn.reparameterize
require "latent" -- tensors get their methods, and errors the user's line
local core = require "latent.core"
local module = require "latent.nn.module"
local options = require "latent.base.options"

local ops, raise = core.ops, core.raise

local M = {}

-- The weight [..., outputs] of a layer, checked; these layers' last axis counts what they write.
local function weight_of(name, layer, field)
  if not module.is_module(layer) then
    raise(("%s: layer: expected a module, got %s"):format(name, options.describe(layer)))
  end
  local weight = rawget(layer, field)
  if not core.is_tensor(weight) or not weight.is_leaf or not weight.requires_grad then
    raise(("%s: %s has no parameter %q"):format(name, tostring(layer), field))
  end
  if weight:dim() < 2 then
    raise(("%s: %s: expected at least two axes, got %d"):format(name, field, weight:dim()))
  end
  return weight
end

local function replaced(list, old, new)
  local copy = {}
  for _, name in ipairs(list or {}) do
    for _, other in ipairs(name == old and new or {name}) do copy[#copy + 1] = other end
  end
  return copy
end

-- Puts parameters in the place of a weight, and `compute(self)` in front of the layer's own forward function.
local function replace(layer, field, parameters, arrays, compute)
  local forward, names = layer.forward, {}
  for i, entry in ipairs(parameters) do names[i] = entry[1] end
  layer.order = replaced(layer.order, field, names)
  local torch_arrays = {}
  for name, how in pairs(layer.torch_arrays or {}) do torch_arrays[name] = how end
  for name, how in pairs(arrays) do torch_arrays[name] = how end
  layer.torch_arrays, layer.torch_layout = torch_arrays, layer.torch_layout
  layer[field] = nil
  for _, entry in ipairs(parameters) do layer[entry[1]] = entry[2] end
  function layer:forward(...)
    self[field] = compute(self)
    local _ <close> = setmetatable({}, {__close = function() self[field] = nil end})
    return forward(self, ...)
  end
  return layer
end

-- Axes of a weight as PyTorch has them: outputs, then the others in its order.
local function matrix_axes(how, dims)
  local axes = {dims}
  for d = 1, dims - 1 do axes[d + 1] = d end
  if not how or not how.axes then return axes end
  -- Ours at each of theirs.
  local back = {}
  for ours, theirs in ipairs(how.axes) do back[theirs] = ours end
  axes = {dims}
  for _, ours in ipairs(back) do
    if ours ~= dims then axes[#axes + 1] = ours end
  end
  return axes
end

local function normalized(x, eps) return ops.mul(x, 1 / math.max(ops.sum(ops.square(x)):item() ^ 0.5, eps)) end

local spectral_options = options.declare("nn.spectral_norm", {{"name", "string", "weight", "of the parameter"},
  {"iterations", "count", 1, "of the power method at each call in training"},
  {"eps", "positive", 1e-12, "the least length of a vector"}})

--- Divides a layer's weight by its largest singular value, which a step of the power method follows at each call in
-- training (Miyato et al., 2018). The weight itself is the parameter `weight_orig` from then on, and the vectors are
-- the buffers `weight_u` and `weight_v`, as in PyTorch.
-- @tparam Module layer changed and returned
-- @tparam ?table opts
-- @treturn Module layer
-- @usage nn.Sequential{nn.spectral_norm(nn.Linear(2, 64)), nn.LeakyReLU(0.2), nn.spectral_norm(nn.Linear(64, 1))}
function M.spectral_norm(layer, opts)
  local name = "nn.spectral_norm"
  opts = spectral_options(opts)
  local field, eps = opts.name, opts.eps
  local weight = weight_of(name, layer, field)
  local how = (layer.torch_arrays or {})[field]
  local axes, outputs = matrix_axes(how, weight:dim()), weight:size(-1)
  local others = weight:numel() // outputs
  local u_name, v_name, orig = field .. "_u", field .. "_v", field .. "_orig"

  local function matrix(self) return ops.reshape(ops.permute(self[orig], axes), {outputs, others}) end

  local function follow(self, steps)
    core.no_grad(function()
      local w = matrix(self)
      local u, v = ops.reshape(self[u_name], {1, outputs}), nil
      for _ = 1, steps do
        v = normalized(ops.matmul(u, w), eps)
        u = normalized(ops.matmul(v, w:transpose()), eps)
      end
      self[u_name]:copy_(ops.reshape(u, {outputs}))
      self[v_name]:copy_(ops.reshape(v, {others}))
    end)
  end

  local function compute(self)
    if self.training then follow(self, opts.iterations) end
    -- Copies: the vectors change in place, and the tape reads them later.
    local u, v = ops.reshape(self[u_name]:clone(), {1, outputs}), ops.reshape(self[v_name]:clone(), {others, 1})
    local sigma = ops.reshape(ops.matmul(ops.matmul(u, matrix(self)), v), {})
    return ops.div(self[orig], sigma)
  end

  local buffers = {[u_name] = true, [v_name] = true}
  for key in pairs(layer.buffers or {}) do buffers[key] = true end
  local sides = how or {}
  replace(layer, field, {{orig, weight}}, {[orig] = how, [u_name] = sides.writes and {writes = 1},
    [v_name] = sides.reads and {reads = 1}}, compute)
  layer.buffers = buffers
  layer[u_name] = normalized(core.randn(outputs), eps)
  layer[v_name] = normalized(core.randn(others), eps)
  follow(layer, 15)
  return layer
end

local weight_norm_options = options.declare("nn.weight_norm", {{"name", "string", "weight", "of the parameter"}})

--- Splits a layer's weight into the length of what leads to each output, `weight_g`, and its direction, `weight_v`
-- (Salimans and Kingma, 2016), which are parameters from then on, as in PyTorch.
-- @tparam Module layer changed and returned
-- @tparam ?table opts
-- @treturn Module layer
function M.weight_norm(layer, opts)
  opts = weight_norm_options(opts)
  local field = opts.name
  local weight = weight_of("nn.weight_norm", layer, field)
  local how, axes = (layer.torch_arrays or {})[field], {}
  for d = 1, weight:dim() - 1 do axes[d] = d end
  local function lengths(x) return ops.sqrt(ops.sum(ops.square(x), axes, true)) end
  local g = core.no_grad(function() return lengths(weight) end)
  local wide = how and how.axes and {axes = how.axes} or nil
  return replace(layer, field, {{field .. "_g", core.param(g)}, {field .. "_v", weight}},
    {[field .. "_g"] = wide, [field .. "_v"] = how}, function(self)
      return ops.mul(self[field .. "_v"], ops.div(self[field .. "_g"], lengths(self[field .. "_v"])))
    end)
end

return M
