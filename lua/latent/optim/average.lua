--- Running means of weights, which often generalise better than the weights themselves.
-- @module latent.optim.average
local core = require "latent.core"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local ops, raise = core.ops, core.raise

local M = {}

--- A running mean of weights: `update` takes the present ones in, `swap` exchanges them with their mean.
-- @type Average
-- @tfield int updates how many there were
local Average = {}
Average.__index = Average
Average.__name = "running mean of weights" -- in messages

local DECAY = options.kind("number", "a number in [0, 1)", function(value)
  return type(value) == "number" and value >= 0 and value < 1 and value or nil
end)
local read_options = options.declare("optim.average", {
  {"decay", DECAY, nil, "what is kept of the mean at each update (default: the mean of all updates, all alike)"}})

--- See `optim.average`, which checks the list.
-- @local
function M.new(parameters, opts)
  opts = read_options(opts)
  local self = setmetatable({updates = 0, decay = opts.decay, _parameters = {}, _mean = {}}, Average)
  for i, p in ipairs(parameters) do
    self._parameters[i], self._mean[i] = p, p:detach():clone()
  end
  return self
end

-- All changes are made outside of the tape.
local function silently(f) core.no_grad(f) end

--- Takes the present weights into the mean; the first update makes them the mean.
function Average:update()
  self.updates = self.updates + 1
  local share = self.updates > 1 and self.decay and 1 - self.decay or 1 / self.updates
  silently(function()
    for i, p in ipairs(self._parameters) do
      local mean = self._mean[i]
      if share == 1 then mean:copy_(p) else ops.add_(mean, ops.mul(ops.sub(p, mean), share)) end
    end
  end)
end

--- Exchanges the weights and their mean; a second call exchanges them again.
function Average:swap()
  silently(function()
    for i, p in ipairs(self._parameters) do
      local kept = p:detach():clone()
      p:copy_(self._mean[i])
      self._mean[i]:copy_(kept)
    end
  end)
end

--- Calls a function with the mean in the place of the weights, which are put back whatever happens.
-- @tparam function f
-- @return what it returns
function Average:with(f)
  options.expect("with", "f", f, "function")
  self:swap()
  local _ <close> = setmetatable({}, {__close = function() self:swap() end})
  return f()
end

--- What a resumed run needs: `states = {ema = ema}` of `train.run` keeps it in checkpoints.
-- @treturn table {updates =, arrays = {[string]=Tensor}}
function Average:state()
  local arrays = {}
  for i, x in ipairs(self._mean) do arrays["mean." .. i] = x end
  return {updates = self.updates, arrays = arrays}
end

--- Takes up what `state` gave.
-- @tparam table state
function Average:set_state(state)
  local name = "set_state"
  options.check(name, options.expect(name, "state", state, "table"), {"updates", "arrays"})
  local updates = options.expect(name, "updates", state.updates, "size")
  options.expect(name, "arrays", state.arrays, "table")
  for i, own in ipairs(self._mean) do
    local given = state.arrays["mean." .. i]
    if not core.is_tensor(given) then raise(("%s: mean.%d is missing"):format(name, i)) end
    if shapes.typed(given) ~= shapes.typed(own) then
      raise(("%s: mean.%d: expected %s, got %s"):format(name, i, shapes.typed(own), shapes.typed(given)))
    end
  end
  for i, own in ipairs(self._mean) do own:copy_(state.arrays["mean." .. i]) end
  self.updates = updates
end

core.methods_of(Average, "average")

return M
