--- Layers that normalise: over a batch, over the last axis, over groups of channels.
-- @module latent.nn.normalization
local core = require "latent.core"
local input = require "latent.nn.input"
local module = require "latent.nn.module"
local options = require "latent.base.options"
local parts = require "latent.nn.parts"
local shapes = require "latent.base.shapes"
local statistics = require "latent.nn.statistics"

local ops, raise, class = core.ops, core.raise, module.class
local numel = core.methods.numel

local M = {}

-- ---- over a batch ----

local SHARE_OR_FALSE = options.kind("number|boolean", "a number from 0 to 1, or false", function(value)
  if value == false or type(value) == "number" and value >= 0 and value <= 1 then return value end
end)
local BATCH_NORM = {parts.EPS,
  {"momentum", SHARE_OR_FALSE, 0.1, "share of the new in the running statistics; false: they are means of all batches"},
  {"affine", "boolean", true, "whether it has a weight and a bias"},
  {"bias", "boolean", true, "without, the weight alone"},
  {"track_running_stats", "boolean", true, "without, evaluation too uses the batch's statistics"}, parts.DTYPE}

local function init_batch_norm(self, name, channels, opts)
  self.channels = options.expect(name, "channels", channels, "count")
  self.eps, self.momentum = opts.eps, opts.momentum
  if opts.affine then
    self.weight = core.param(core.ones(self.channels))
    if opts.bias then self.bias = core.param(core.zeros(self.channels)) end
  end
  if opts.track_running_stats then
    self.running_mean, self.running_var = core.zeros(self.channels), core.ones(self.channels)
    if not self.momentum then self.num_batches_tracked = core.tensor(0) end
  end
end

-- x weight + bias, where there are such.
local function scaled(self, x)
  if not self.weight then return x end
  x = ops.mul(x, self.weight)
  return self.bias and ops.add(x, self.bias) or x
end

-- running = (1 - share) * running + share * new, the variance being that of n rows as of a sample of them
local function update_running(self, mean, var, n, share)
  ops.running_(self.running_mean, mean, 1 - share, 1, share)
  ops.running_(self.running_var, var, 1 - share, n / (n - 1), share)
end

-- The statistics of all ranks' rows, from two sums; further than that it is the same formula.
local function by_all_ranks(self, x, sum)
  local axes = {}
  for d = 1, x:dim() - 1 do axes[d] = d end
  local rows = numel(x) // self.channels
  local first = sum(ops.cat({ops.sum(x, axes), core.full({1}, rows, {dtype = x.dtype})}, 1))
  local n = first:get(self.channels + 1)
  if n < 2 then raise(("%s: training needs more than one value per channel on all ranks"):format(self:text())) end
  local mean = ops.div(ops.slice(first, 1, 1, self.channels), n)
  local centred = ops.sub(x, mean)
  local var = ops.div(sum(ops.sum(ops.square(centred), axes)), n)
  return scaled(self, ops.div(centred, ops.sqrt(ops.add(var, self.eps)))), mean, var, n
end

-- A sum or a rectifier that follows is then done in the same pass, whoever calls it; see c/graph/later.h.
local function is_fusing()
  local nn = module.library
  return not nn or nn.fuse ~= false
end

local function by_own_rows(self, x)
  local n = numel(x) // self.channels
  if n < 2 then
    raise(("%s: training needs more than one value per channel, got %s"):format(self:text(), shapes.text(x)))
  end
  local op = is_fusing() and ops.batch_norm_train_later or ops.batch_norm_train
  local y, mean, var = op(x, self.weight or core.ones({self.channels}, {dtype = x.dtype}),
    self.bias or core.zeros({self.channels}, {dtype = x.dtype}), self.eps)
  return y, mean, var, n
end

local function by_batch(self, x)
  local sum = self.training and statistics.sum_over_ranks
  local y, mean, var, n = (sum and by_all_ranks or by_own_rows)(self, x, sum)
  if self.training and self.running_mean and not core.replaying then -- a batch counts once
    local share = self.momentum or 1 / core.no_grad(function() return ops.add_(self.num_batches_tracked, 1) end):item()
    core.no_grad(update_running, self, mean, var, n, share)
  end
  return y
end

-- Whether nothing but the value is wanted of an affine layer.
local function is_value_alone(self, x)
  return self.weight and self.bias and not (core.is_recording() and (x.requires_grad or self.weight.requires_grad
    or self.bias.requires_grad or self.running_mean.requires_grad or self.running_var.requires_grad))
end

local function batch_norm(self, x)
  if self.training or not self.running_mean then return by_batch(self, x) end
  local scale = ops.sqrt(ops.add(self.running_var, self.eps))
  if not self.weight then return ops.div(ops.sub(x, self.running_mean), scale) end
  if is_fusing() and is_value_alone(self, x) then
    return ops.batch_norm_eval_later(x, self.running_mean, ops.div(self.weight, scale), self.bias)
  end
  local y = ops.mul(ops.sub(x, self.running_mean), ops.div(self.weight, scale))
  return self.bias and ops.add(y, self.bias) or y
end

local BUFFERS = {running_mean = true, running_var = true, num_batches_tracked = true}
local batch_norm_options = options.declare("nn.BatchNorm2d", BATCH_NORM)

--- Batch normalisation over all axes but the last (Ioffe and Szegedy, 2015). In training the batch's
-- statistics, and running ones are updated; in evaluation the running ones.
-- @function BatchNorm2d
-- @tparam int channels
-- @tparam ?table opts
-- @treturn Module
M.BatchNorm2d = class("BatchNorm2d", {order = {"weight", "bias"}, buffers = BUFFERS})
function M.BatchNorm2d:torch_layout(value, flow) return flow:picture(value, self.channels) end
function M.BatchNorm2d:init(channels, opts)
  init_batch_norm(self, "nn.BatchNorm2d", channels, batch_norm_options(opts))
end
function M.BatchNorm2d:forward(x) return batch_norm(self, input.check(self, x, input.MAPS, self.channels)) end
function M.BatchNorm2d:text() return ("BatchNorm2d(%d)"):format(self.channels) end

local batch_norm_3d_options = options.declare("nn.BatchNorm3d", BATCH_NORM)

--- Batch normalisation of volumes [batch, depth, height, width, channels] over all axes but the last, as BatchNorm2d.
-- @function BatchNorm3d
-- @tparam int channels
-- @tparam ?table opts
-- @treturn Module
M.BatchNorm3d = class("BatchNorm3d", {order = {"weight", "bias"}, buffers = BUFFERS,
  torch_layout = M.BatchNorm2d.torch_layout})
function M.BatchNorm3d:init(channels, opts)
  init_batch_norm(self, "nn.BatchNorm3d", channels, batch_norm_3d_options(opts))
end
function M.BatchNorm3d:forward(x) return batch_norm(self, input.check(self, x, input.VOLUMES, self.channels)) end
function M.BatchNorm3d:text() return ("BatchNorm3d(%d)"):format(self.channels) end

-- Arrays with one number a feature have the order of the row that is read, which may have been a map, or else may
-- become one; of a map it is the order of the channels.
local function row_layout(self, value, flow)
  if value.is == "map" then return value end
  flow:read(self, value, self.features)
  return value.is == "rows" and flow:write(self, self.features, value) or value
end

local BY_FEATURE = {reads = 1, writes = 1}
local batch_norm_1d_options = options.declare("nn.BatchNorm1d", BATCH_NORM)

--- Batch normalisation of rows [batch, features], or of sequences [batch, time, features] over batch and time
-- (Ioffe and Szegedy, 2015). In training the batch's statistics, and running ones are updated; in evaluation the
-- running ones.
-- @function BatchNorm1d
-- @tparam int channels the size of the last axis
-- @tparam ?table opts
-- @treturn Module
M.BatchNorm1d = class("BatchNorm1d", {order = {"weight", "bias"}, buffers = BUFFERS, torch_layout = row_layout,
  torch_arrays = {weight = BY_FEATURE, bias = BY_FEATURE, running_mean = BY_FEATURE, running_var = BY_FEATURE}})
function M.BatchNorm1d:init(channels, opts)
  init_batch_norm(self, "nn.BatchNorm1d", channels, batch_norm_1d_options(opts))
  self.features = self.channels
end
function M.BatchNorm1d:forward(x)
  return batch_norm(self, input.check(self, x, input.ROWS_OR_SEQUENCES, self.channels))
end
function M.BatchNorm1d:text() return ("BatchNorm1d(%d)"):format(self.channels) end

-- ---- over the last axis ----

local layer_norm_options = options.declare("nn.LayerNorm", {parts.EPS,
  {"elementwise_affine", "boolean", true, "whether it has a weight and a bias"}, {"bias", "boolean", true},
  parts.DTYPE})

--- Layer normalisation over the last axis, or the last axes (Ba, Kiros and Hinton, 2016).
-- @function LayerNorm
-- @tparam int|{int,...} features the size of the last axis, or the sizes of the last ones
-- @tparam ?table opts
-- @treturn Module
M.LayerNorm = class("LayerNorm", {order = {"weight", "bias"},
  torch_arrays = {weight = BY_FEATURE, bias = BY_FEATURE}})
-- Of whole images, whose arrays are [channels, height, width] there.
local BY_PIXEL = {weight = {axes = {2, 3, 1}}, bias = {axes = {2, 3, 1}}}

function M.LayerNorm:torch_layout(value, flow) return #self.shape > 1 and value or row_layout(self, value, flow) end

function M.LayerNorm:init(features, opts)
  opts = layer_norm_options(opts)
  self.shape, self.features = {}, 1
  core.check_list(features, "nn.LayerNorm: features")
  for d, size in ipairs(type(features) == "table" and features or {features}) do
    self.shape[d] = options.expect("nn.LayerNorm", "features", size, "count")
    self.features = self.features * self.shape[d]
  end
  if #self.shape == 0 then options.expect("nn.LayerNorm", "features", features, "count") end
  self.eps = opts.eps
  if #self.shape > 1 then self.torch_arrays = #self.shape == 3 and BY_PIXEL or {} end
  if opts.elementwise_affine then
    self.weight = core.param(core.ones(self.shape))
    if opts.bias then self.bias = core.param(core.zeros(self.shape)) end
  end
end

function M.LayerNorm:forward(x)
  if #self.shape > 1 then
    return ops.layer_norm(core.check_tensor(x, self:text()), self.weight, self.bias, self.eps, self.shape)
  end
  return ops.layer_norm(input.check(self, x, input.ROWS, self.features), self.weight, self.bias, self.eps)
end

function M.LayerNorm:text()
  local sizes = table.concat(self.shape, ", ")
  return ("LayerNorm(%s)"):format(#self.shape > 1 and "{" .. sizes .. "}" or sizes)
end

local rms_norm_options = options.declare("nn.RMSNorm", {
  {"eps", "not negative", 2.0 ^ -23, "added to the mean of the squares"},
  {"affine", "boolean", true, "whether it has a weight"}, parts.DTYPE})

--- The last axis divided by the root of its mean square, times a weight (Zhang and Sennrich, 2019).
-- @function RMSNorm
-- @tparam int features
-- @tparam ?table opts
-- @treturn Module
M.RMSNorm = class("RMSNorm", {order = {"weight"}, torch_layout = row_layout, torch_arrays = {weight = BY_FEATURE}})

function M.RMSNorm:init(features, opts)
  opts = rms_norm_options(opts)
  self.features = options.expect("nn.RMSNorm", "features", features, "count")
  self.eps = opts.eps
  if opts.affine then self.weight = core.param(core.ones(self.features)) end
end

function M.RMSNorm:forward(x)
  input.check(self, x, input.ROWS, self.features)
  local mean = ops.mean(ops.square(x), -1, true)
  local y = ops.mul(x, ops.rsqrt(ops.add(mean, self.eps)))
  return self.weight and ops.mul(y, self.weight) or y
end

function M.RMSNorm:text() return ("RMSNorm(%d)"):format(self.features) end

-- ---- over groups of channels of each item ----

local function init_groups(self, channels, eps, affine)
  self.channels, self.eps = channels, eps
  if affine then self.weight, self.bias = core.param(core.ones(channels)), core.param(core.zeros(channels)) end
end

local function channel_layout(self, value, flow)
  if value.is == "map" then return flow:picture(value, self.channels) end
  return value
end

local group_norm_options = options.declare("nn.GroupNorm", {parts.EPS,
  {"affine", "boolean", true, "whether it has a weight and a bias"}, parts.DTYPE})

--- Normalises groups of neighbouring channels of each item over all its places (Wu and He, 2018), [batch, ...,
-- channels]. One group is a layer norm of the whole item.
-- @function GroupNorm
-- @tparam int groups a divisor of the channels
-- @tparam int channels
-- @tparam ?table opts
-- @treturn Module
M.GroupNorm = class("GroupNorm", {order = {"weight", "bias"}, torch_layout = channel_layout})

function M.GroupNorm:init(groups, channels, opts)
  opts = group_norm_options(opts)
  self.groups = options.expect("nn.GroupNorm", "groups", groups, "count")
  channels = options.expect("nn.GroupNorm", "channels", channels, "count")
  if channels % groups ~= 0 then
    raise(("nn.GroupNorm: groups: expected a divisor of the %d channels, got %d"):format(channels, groups))
  end
  init_groups(self, channels, opts.eps, opts.affine)
end

function M.GroupNorm:forward(x)
  return ops.group_norm(input.check(self, x, input.CHANNELS, self.channels), self.weight, self.bias, self.groups,
    self.eps)
end

function M.GroupNorm:text() return ("GroupNorm(%d, %d)"):format(self.groups, self.channels) end

local INSTANCE_NORM = {parts.EPS, {"affine", "boolean", false, "whether it has a weight and a bias"}, parts.DTYPE}

-- An instance norm needs more than one place: of a single one nothing is left.
local function instance_norm(self, x, pattern)
  local shape = input.check(self, x, pattern, self.channels).shape
  if x:numel() == shape[1] * self.channels then
    raise(("%s: expected more than one place, got %s"):format(self:text(), shapes.text(shape)))
  end
  return ops.group_norm(x, self.weight, self.bias, self.channels, self.eps)
end

local instance_norm_1d_options = options.declare("nn.InstanceNorm1d", INSTANCE_NORM)

--- Normalises each channel of each sequence over its time, [batch, time, channels] (Ulyanov et al., 2016).
-- @function InstanceNorm1d
-- @tparam int channels
-- @tparam ?table opts
-- @treturn Module
M.InstanceNorm1d = class("InstanceNorm1d", {order = {"weight", "bias"}, torch_layout = channel_layout})
function M.InstanceNorm1d:init(channels, opts)
  opts = instance_norm_1d_options(opts)
  init_groups(self, options.expect("nn.InstanceNorm1d", "channels", channels, "count"), opts.eps, opts.affine)
end
function M.InstanceNorm1d:forward(x) return instance_norm(self, x, input.STEPS) end
function M.InstanceNorm1d:text() return ("InstanceNorm1d(%d)"):format(self.channels) end

local instance_norm_2d_options = options.declare("nn.InstanceNorm2d", INSTANCE_NORM)

--- Normalises each channel of each picture over its pixels, [batch, height, width, channels] (Ulyanov et al., 2016).
-- @function InstanceNorm2d
-- @tparam int channels
-- @tparam ?table opts
-- @treturn Module
M.InstanceNorm2d = class("InstanceNorm2d", {order = {"weight", "bias"}})
function M.InstanceNorm2d:torch_layout(value, flow) return flow:picture(value, self.channels) end
function M.InstanceNorm2d:init(channels, opts)
  opts = instance_norm_2d_options(opts)
  init_groups(self, options.expect("nn.InstanceNorm2d", "channels", channels, "count"), opts.eps, opts.affine)
end
function M.InstanceNorm2d:forward(x) return instance_norm(self, x, input.MAPS) end
function M.InstanceNorm2d:text() return ("InstanceNorm2d(%d)"):format(self.channels) end

return M
