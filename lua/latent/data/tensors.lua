--- Tensors as a data set: what `data.loader`, `data.split`, `data.apply` and `latent.train` take.
-- @module latent.data.tensors
require "latent" -- tensors get their methods
local core = require "latent.core"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local raise = core.raise

local M = {}

local Tensors = {}
Tensors.__index = Tensors
Tensors.random = false -- it draws nothing: a loader makes no generator for it
Tensors.__name = "data set" -- in messages

--- Some rows: x [b, ...] and, where the set has them, y [b, ...].
function Tensors:batch(index)
  if type(index) == "table" and #index > 0 then index = core.tensor(index) end
  local x = self.x:gather_rows(index)
  if x.dtype == "u8" then x = core.tensor(x, {dtype = core.get_default_dtype()}) end
  local y = self.y and self.y:gather_rows(index)
  return x, y and y.dtype == "u8" and y:float() or y
end

--- The first n rows as a set of their own, which shares the memory of this one.
function Tensors:take(n)
  if math.type(n) ~= "integer" or n < 1 or n > #self then
    raise(("take: n: expected 1 to %d, got %s"):format(#self, options.describe(n)))
  end
  return M.new{x = self.x:slice(1, 1, n), y = self.y and self.y:slice(1, 1, n), classes = self.classes}
end

function Tensors:__len() return self.x.shape[1] end

function Tensors:__tostring() return ("%d rows of tensors"):format(#self) end

local function rows_of(name, x)
  if not core.is_tensor(x) then
    raise(("data.tensors: %s: expected a tensor, got %s"):format(name, options.describe(x)))
  end
  if x:dim() < 1 or x:size(1) < 1 then
    raise(("data.tensors: %s: expected at least one row, got %s"):format(name, shapes.text(x)))
  end
  return x:size(1)
end

local parts_options = options.declare("data.tensors", {{"x", "any", nil, "a tensor [n, ...]"},
  {"y", "any", nil, "a tensor [n, ...]"}, {"classes", "list", nil, "their names"}})

--- See latent.data.tensors.
function M.new(parts)
  parts = parts_options(options.expect("data.tensors", "parts", parts, "table"))
  local n = rows_of("x", parts.x)
  if parts.y ~= nil and rows_of("y", parts.y) ~= n then
    raise(("data.tensors: expected as many rows in y as in x, got %d and %d"):format(parts.y:size(1), n))
  end
  return setmetatable({x = parts.x:detach(), y = parts.y and parts.y:detach(),
    labels = parts.y and parts.y:detach(), classes = parts.classes, name = "tensors"}, Tensors)
end

core.methods_of(Tensors, "set")

return M
