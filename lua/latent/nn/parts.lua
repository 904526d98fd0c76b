--- What families of layers share: initial weights, kinds of options, texts of options.
-- @module latent.nn.parts
local core = require "latent.core"
local options = require "latent.base.options"

local ops, raise = core.ops, core.raise

local M = {}

--- Uniform in +-bound, from the default generator.
-- @tparam number bound
-- @tparam int ... the shape
-- @treturn Tensor a parameter
function M.uniform(bound, ...)
  return core.param(ops.mul(ops.sub(core.rand(...), 0.5), 2 * bound))
end

--- {height, width} from a number or a pair of what `options.expect` calls "size" or "count".
-- @tparam string name of the function
-- @tparam string option
-- @param value
-- @tparam string wanted
-- @treturn {int,int}
function M.pair(name, option, value, wanted)
  if type(value) ~= "table" then
    value = options.expect(name, option, value, wanted)
    return {value, value}
  end
  core.check_list(value, name .. ": " .. option)
  if #value ~= 2 then raise(("%s: %s: expected a number or {height, width}"):format(name, option)) end
  return {options.expect(name, option, value[1], wanted), options.expect(name, option, value[2], wanted)}
end

-- The same as kinds of options.
local function pair_kind(wanted, words)
  return {type = "int|{int,int}", words = function() return words end, check = function(where, value)
    local name, option = where:match "^(.*): (.*)$"
    return M.pair(name, option, value, wanted)
  end}
end
M.SIZES = pair_kind("size", "a number of at least 0 or {height, width}")
M.COUNTS = pair_kind("count", "a number of at least 1 or {height, width}")

--- The same, or the word "same": what keeps the size.
M.PADDING = {type = "int|{int,int}|string",
  words = function() return 'a number of at least 0, {height, width} or "same"' end,
  check = function(where, value) return value == "same" and value or M.SIZES.check(where, value) end}

--- Checks that groups divide the channels on both sides.
-- @tparam string name of the layer
-- @tparam Module self with inputs, outputs and groups
function M.check_groups(name, self)
  if self.inputs % self.groups ~= 0 or self.outputs % self.groups ~= 0 then
    raise(("%s: groups: expected a divisor of %d inputs and %d outputs, got %d"):format(name, self.inputs,
      self.outputs, self.groups))
  end
end

--- Rows of options that several layers have.
M.GROUPS = {"groups", "count", 1, "of channels, each convolved by itself"}
M.BIAS = {"bias", "boolean", true, "whether the layer has one"}
M.DTYPE = {"dtype", options.one_of{"float32", "float64"}, nil, "of its arrays (default: lt.get_default_dtype())"}
M.EPS = {"eps", "positive", 1e-5, "added to the variance"}

--- "2" or "{2, 3}" of a pair.
-- @tparam {int,int} p
-- @treturn string
function M.pair_text(p) return p[1] == p[2] and ("%d"):format(p[1]) or ("{%d, %d}"):format(p[1], p[2]) end

--- ", stride 2" and the like, for options that are not at their default.
-- @tparam Module self
-- @tparam {table,...} defaults each {name, default}; the option is a number or a pair
-- @treturn string
function M.extras(self, defaults)
  local text = ""
  for _, default in ipairs(defaults) do
    local p = self[default[1]]
    if type(p) ~= "table" then p = {p, p} end
    if p[1] ~= default[2] or p[2] ~= default[2] then
      text = text .. (", %s %s"):format(default[1], p[1] == "same" and "same" or M.pair_text(p))
    end
  end
  return text
end

--- A probability of dropout, as options take it.
M.DROPOUT = options.kind("number", "a number in [0, 1)", function(value)
  return type(value) == "number" and value >= 0 and value < 1 and value or nil
end)

return M
