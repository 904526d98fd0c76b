--- What all distributions share: shapes, checks of what is asked, and the face; each kind is a table of rules.
-- @module latent.distributions.distribution
local core = require "latent.core"
local lt = require "latent"
local one_type = require "latent.base.one_type"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local raise = core.raise

local M = {}

--- A distribution. `batch_shape` is the shape of its parameters: so many distributions side by side, whose draws are
-- independent; `event_shape` that of one draw.
-- @type Distribution
-- @tfield string kind its name: "Normal", "Categorical", ...
-- @tfield {int,...} batch_shape
-- @tfield {int,...} event_shape
local Distribution = {}
Distribution.__index = Distribution
Distribution.__name = "distribution" -- in messages

--- A distribution by its rules: functions of it, `draw(self, shape, generator)` (recorded where `reparameterized`),
-- `log_prob(self, x)`, `entropy(self)`, `mean(self)`, `variance(self)`; what is missing it does not have.
-- @local
function M.new(kind, rules, fields)
  fields.kind, fields._rules = kind, rules
  fields.event_shape = fields.event_shape or {}
  local inner = fields.base or fields.components
  fields._like = fields.loc or fields.low or fields.logits or inner and inner._like -- what numbers become a tensor like
  return setmetatable(fields, Distribution)
end

--- Whether a value is a distribution.
-- @local
function M.is_distribution(value) return getmetatable(value) == Distribution end

--- The shapes one behind the other.
-- @local
function M.joined(...)
  local all = {}
  for _, shape in ipairs{...} do table.move(shape, 1, #shape, #all + 1, all) end
  return all
end

--- A tensor of whole numbers in the type of another, or the default one; one of a floating type as it is.
-- @local
function M.floating(x, like)
  if x.dtype:find "^float" then return x end
  return core.tensor(x, {dtype = like and like.dtype or core.get_default_dtype()})
end

--- Uniform and normal numbers in the type of a parameter.
-- @local
function M.rand(shape, generator, like) return lt.rand(shape, {generator = generator, dtype = like.dtype}) end
--- @local
function M.randn(shape, generator, like) return lt.randn(shape, {generator = generator, dtype = like.dtype}) end

--- Parameters (tensors, numbers or lists) as tensors of one shape and one type.
-- @local
function M.parameters(name, names, ...)
  local list, shape, like = {}, {}, nil
  for i = 1, #names do
    local value = (select(i, ...))
    if core.is_tensor(value) and value.dtype:find "^float" then like = like or value end
  end
  for i, key in ipairs(names) do
    local place = ("%s: %s"):format(name, key)
    local value = (select(i, ...))
    if value == nil then raise(place .. " is missing") end
    list[i] = M.floating(core.tensor_like(value, place, like), like)
    local fits = shapes.broadcast(shape, list[i].shape)
    if not fits then
      raise(("%s: %s does not fit to what comes before"):format(place, shapes.text(list[i])))
    end
    shape = fits
  end
  one_type(name, names, table.unpack(list))
  for i, x in ipairs(list) do
    if shapes.text(x) ~= shapes.text(shape) then list[i] = lt.broadcast_to(x, shape) end
  end
  list[#list + 1] = shape
  return table.unpack(list)
end

--- Raises unless two distributions have parameters of one type.
-- @local
function M.check_types(name, first, p, second, q)
  local a, b = p._like.dtype, q._like.dtype
  if a ~= b then
    raise(("%s: %s is %s and %s %s; make them of parameters of one type"):format(name, first, a, second, b))
  end
end

--- Raises unless all numbers of a parameter are above 0.
-- @local
function M.check_positive(name, option, x)
  local least, _, _, nans = core.statistics(x)
  if x:numel() > 0 and (nans > 0 or least <= 0) then
    raise(("%s: %s: expected numbers above 0, got %s"):format(name, option, nans > 0 and "nan" or
      core.plainly(string.format, "%g", least)))
  end
end

-- A number of draws, or a shape of them.
local function sample_shape(name, shape)
  if shape == nil then return {} end
  if type(shape) ~= "table" then return {options.expect(name, "shape", shape, "size")} end
  local list = {}
  core.check_list(shape, name .. ": shape")
  for i, size in ipairs(shape) do list[i] = options.expect(name, ("shape[%d]"):format(i), size, "size") end
  return list
end

-- options; {generator = g} without a shape is them too
local read_options = options.reader("sample", {{"generator", "any", nil, "made by lt.generator"}})

local function draw(self, name, shape, opts)
  if opts == nil and type(shape) == "table" then -- sample{generator = g}, sample{2, 3, generator = g}
    local named
    shape, named = options.separate(shape)
    if #shape == 0 then shape, named = nil, shape end
    opts = next(named) and named
  end
  opts = read_options(opts, name)
  shape = M.joined(sample_shape(name, shape), self.batch_shape, self.event_shape)
  return self._rules.draw(self, shape, opts.generator)
end

local function expect_rule(self, name)
  local rule = self._rules[name]
  if not rule then raise(("%s: %s has none"):format(name, self.kind)) end
  return rule
end

--- Draws, without gradients.
-- @tparam ?int|{int,...} shape how many (default: one)
-- @tparam ?table opts {generator = made by lt.generator}
-- @treturn Tensor [shape..., batch_shape..., event_shape...]
function Distribution:sample(shape, opts)
  return core.no_grad(function() return draw(self, "sample", shape, opts):detach() end)
end

--- Draws through which gradients go to the parameters.
-- @tparam ?int|{int,...} shape how many (default: one)
-- @tparam ?table opts {generator = made by lt.generator}
-- @treturn Tensor [shape..., batch_shape..., event_shape...]
-- @raise where the distribution has no such draws: those of a discrete one do not move with its parameters
function Distribution:rsample(shape, opts)
  if not self._rules.reparameterized and not self.reparameterized then
    raise(("rsample: draws of %s have no gradient; sample has none either, or take log_prob"):format(self.kind))
  end
  return draw(self, "rsample", shape, opts)
end

-- Raises where a value and the parameters have two floating types; the values of one may be integers.
local function check_value_type(x, like)
  if core.is_tensor(like) and x.dtype ~= like.dtype and x.dtype:find "^float" and like.dtype:find "^float" then
    raise(("log_prob: x is %s and a parameter %s; make them one type, with x:%s() or a distribution of %s \z
      parameters"):format(x.dtype, like.dtype, like.dtype == "float64" and "double" or "float", x.dtype))
  end
end

--- The logarithm of the density, or of the probability.
-- @tparam Tensor x broadcasts to the batch shape; its last axes are the event
-- @treturn Tensor [..., batch_shape...]
function Distribution:log_prob(x)
  x = core.tensor_like(x, "log_prob: x", self._like)
  if not self._rules.labels and not self.base then check_value_type(x, self._like) end
  local events, shape = #self.event_shape, x.shape
  for d = 1, events do
    if shape[#shape - events + d] ~= self.event_shape[d] then
      raise(("log_prob: x: expected [..., %s], got %s"):format(table.concat(self.event_shape, ", "), shapes.text(x)))
    end
  end
  local batch = table.move(shape, 1, #shape - events, 1, {})
  if not shapes.broadcast(batch, self.batch_shape) then
    raise(("log_prob: x: %s does not fit to %s distributions"):format(shapes.text(x), shapes.text(self.batch_shape)))
  end
  return self._rules.log_prob(self, x)
end

--- The entropy, nats.
-- @treturn Tensor [batch_shape...]
-- @raise where it has no closed form
function Distribution:entropy() return expect_rule(self, "entropy")(self) end

--- The mean.
-- @treturn Tensor [batch_shape..., event_shape...]
function Distribution:mean() return expect_rule(self, "mean")(self) end

--- The variance of each number by itself.
-- @treturn Tensor [batch_shape..., event_shape...]
function Distribution:variance() return expect_rule(self, "variance")(self) end

function Distribution:__tostring()
  return ("%s(batch %s, event %s)"):format(self.kind, shapes.text(self.batch_shape), shapes.text(self.event_shape))
end

--- @local

core.methods_of(Distribution, "d")

return M
