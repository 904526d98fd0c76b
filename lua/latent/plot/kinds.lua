--- What the options of plots take, and the options that charts have in common.
-- @module latent.plot.kinds

local core = require "latent.core"
local axes = require "latent.plot.axes"
local options = require "latent.base.options"
local values = require "latent.plot.values"

local raise = core.raise

local M = {}

M.MOST_PIXELS = 30000 -- a side of a figure: cairo has no larger ones

local MOST = 10000 -- of sizes and counts, unless they say otherwise

-- A kind whose check has messages of its own.
local function kind(type_name, words, check)
  return {type = type_name, words = function() return words end, check = check}
end

--- A text to be drawn, checked: everything that a figure says passes here.
-- @tparam string name of the argument, for the message
-- @param v nil, or a string, a number or a boolean
-- @treturn ?string
function M.to_text(name, v)
  if v == nil then
    return nil
  elseif type(v) ~= "string" and type(v) ~= "number" and type(v) ~= "boolean" then
    raise(("%s: expected text, got %s"):format(name, options.describe(v)))
  end
  local text = tostring(v)
  if text:find("\0", 1, true) then
    raise(("%s: expected text, got a string with a zero byte"):format(name))
  end
  return text
end

--- A list of texts.
-- @tparam string name
-- @param list table
-- @tparam int count how many there must be
-- @tparam string each in words, "one a point"
-- @treturn {string,...}
function M.texts(name, list, count, each)
  if type(list) ~= "table" or #list ~= count then
    raise(("%s: expected a list of %d, %s"):format(name, count, each))
  end
  core.check_list(list, name)
  local out = {}
  for i = 1, count do
    out[i] = M.to_text(("%s: %d"):format(name, i), list[i]) or ""
  end
  return out
end

M.text = kind("string|number|boolean", "a text", M.to_text)

--- True or false. What is neither is refused: 0 and "no" would be true to Lua.
M.flag = options.kind("boolean", "true or false", function(v)
  if type(v) == "boolean" then
    return v
  end
end)

--- The kind of a number of at least `least`.
-- @tparam number least
-- @tparam ?boolean whole
-- @tparam[opt=10000] number most
-- @treturn table
function M.at_least(least, whole, most)
  most = most or MOST
  return options.kind(whole and "int" or "number", function(v)
    return ("a %s of at least %g%s"):format(whole and "whole number" or "number", least,
      math.type(v) and v > most and (" and at most %d"):format(most) or "")
  end, function(v)
    local fits = math.type(v) and v >= least and v <= most and not (whole and math.type(v) ~= "integer")
    return fits and v or nil
  end)
end

--- {lo, hi}, each finite and lo < hi.
M.range = kind("{number,number}", "{lowest, highest}", function(name, range)
  local lo, hi = type(range) == "table" and range[1], type(range) == "table" and range[2]
  if not (math.type(lo) and math.type(hi) and values.is_finite(lo) and values.is_finite(hi) and lo < hi) then
    raise(name .. ": expected {lowest, highest}")
  end
  core.check_list(range, name)
  if axes.is_narrow(lo, hi) then
    raise(("%s: {%.17g, %.17g} is too narrow to be drawn (at least %g of its values)"):format(
      name, lo, hi, axes.NARROWEST))
  end
  return range
end)

--- A number of the palette or "#rrggbb".
M.colour = kind("int|string", 'a number of the palette, from 1, or "#rrggbb"', function(name, color)
  local named = type(color) == "string" and color:match "^#%x%x%x%x%x%x$"
  if not named and (math.type(color) ~= "integer" or color < 1) then
    raise(('%s: expected a number of the palette, from 1, or "#rrggbb", got %s'):format(name, options.describe(color)))
  end
  return color
end)

local LEGENDS = {auto = true, outside = true, ["top right"] = true, ["bottom right"] = true, ["top left"] = true,
  ["bottom left"] = true}

M.legend = options.kind("string|boolean",
  'false or "auto", "outside", "top right", "bottom right", "top left", "bottom left"', function(v)
    if type(v) == "boolean" or LEGENDS[v] then
      return v
    end
  end)

local SIDE = M.at_least(100, false, M.MOST_PIXELS)

-- Options that all charts take, after some of their own.
local COMMON = {
  {"title", M.text}, {"xlabel", M.text}, {"ylabel", M.text}, {"xrange", M.range}, {"yrange", M.range},
  {"legend", M.legend, nil, "where it stands"}, {"width", SIDE, nil, "pixels"}, {"height", SIDE, nil, "pixels"},
}

--- Declares the options of a plot, which are called with its series in the same table.
-- @tparam string fname
-- @tparam {table,...} rows as for `options.declare`
-- @tparam ?boolean is_chart true: the common ones follow
-- @tparam ?table without those that make no sense for it, by name
-- @treturn function gives the options of a call, checked, without the positional part
function M.declare(fname, rows, is_chart, without)
  local all = table.move(rows, 1, #rows, 1, {})
  for _, row in ipairs(is_chart and COMMON or {}) do
    if not (without and without[row[1]]) then all[#all + 1] = row end
  end
  local read = options.declare(fname, all)
  return function(arguments)
    if type(arguments) ~= "table" then
      raise(("%s: expected a table, got %s"):format(fname, options.describe(arguments)))
    end
    local named, items = {}, {}
    for key, value in pairs(arguments) do
      local part = type(key) == "number" and items or named
      part[key] = value
    end
    core.check_list(items, fname)
    return read(named)
  end
end

return M
