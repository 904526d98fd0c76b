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

local AXES = {[2] = "{height, width}", [3] = "{depth, height, width}"}

--- {height, width} or {depth, height, width}, from a number or a list of what `options.expect` calls "size" or "count".
-- @tparam string name of the function
-- @tparam string option
-- @param value
-- @tparam string wanted
-- @tparam int n how many
-- @treturn {int,...}
function M.many(name, option, value, wanted, n)
  local list = {}
  if type(value) ~= "table" then
    value = options.expect(name, option, value, wanted)
    for d = 1, n do list[d] = value end
    return list
  end
  core.check_list(value, name .. ": " .. option)
  if #value ~= n then raise(("%s: %s: expected a number or %s"):format(name, option, AXES[n])) end
  for d = 1, n do list[d] = options.expect(name, option, value[d], wanted) end
  return list
end

--- The same of two.
function M.pair(name, option, value, wanted) return M.many(name, option, value, wanted, 2) end

local TYPES = {[2] = "int|{int,int}", [3] = "int|{int,int,int}"}

-- The same as kinds of options.
local function list_kind(n, wanted, least)
  return {type = TYPES[n], words = function() return ("a number of at least %d or %s"):format(least, AXES[n]) end,
    check = function(where, value)
      local name, option = where:match "^(.*): (.*)$"
      return M.many(name, option, value, wanted, n)
    end}
end

-- The same, or the word "same": what keeps the size.
local function padding_kind(n, sizes)
  return {type = TYPES[n] .. "|string",
    words = function() return ('a number of at least 0, %s or "same"'):format(AXES[n]) end,
    check = function(where, value) return value == "same" and value or sizes.check(where, value) end}
end

M.SIZES, M.COUNTS = list_kind(2, "size", 0), list_kind(2, "count", 1)
M.SIZES3, M.COUNTS3 = list_kind(3, "size", 0), list_kind(3, "count", 1)
M.PADDING, M.PADDING3 = padding_kind(2, M.SIZES), padding_kind(3, M.SIZES3)

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

local function is_all(list, value)
  for _, x in ipairs(list) do
    if x ~= value then return false end
  end
  return true
end

--- "2" or "{2, 3}" of a pair, or of more.
-- @tparam {int,...} p
-- @treturn string
function M.pair_text(p) return is_all(p, p[1]) and ("%d"):format(p[1]) or "{" .. table.concat(p, ", ") .. "}" end

--- ", stride 2" and the like, for options that are not at their default.
-- @tparam Module self
-- @tparam {table,...} defaults each {name, default}; the option is a number or a list
-- @treturn string
function M.extras(self, defaults)
  local text = ""
  for _, default in ipairs(defaults) do
    local p = self[default[1]]
    if type(p) ~= "table" then p = {p} end
    if not is_all(p, default[2]) then
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
