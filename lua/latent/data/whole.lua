--- Something done for all images of a set, batch by batch and without recording.
-- @module latent.data.whole
local lt = require "latent"
local core = require "latent.core"
local loader = require "latent.data.loader"
local options = require "latent.base.options"

local raise = core.raise

local M = {}

local BATCH = {"batch", "count", 250, "images at a time"}
local apply_options = options.declare("data.apply", {BATCH})
local average_options = options.declare("data.average", {BATCH,
  {"grad", "any", nil, "true: f may record, for it optimises something itself"}})

local function check(fname, set, f)
  if type(set) ~= "table" or type(set.batch) ~= "function" then
    raise(("%s: set: expected a data set, got %s"):format(fname, options.describe(set)))
  end
  options.expect(fname, "f", f, "function")
end

--- See latent.data.apply.
function M.apply(set, f, opts)
  check("data.apply", set, f)
  local batch = apply_options(opts).batch
  return lt.no_grad(function()
    local parts = {}
    for b in loader.new(set, {batch = batch, shuffle = false}) do
      local value = f(b.x, b.y)
      if not core.is_tensor(value) then
        raise("data.apply: f: expected a tensor as its result, got " .. options.describe(value))
      end
      parts[#parts + 1] = value
    end
    if #parts == 0 then raise "data.apply: set: it has no images" end
    return lt.cat(parts, 1)
  end)
end

--- See latent.data.average.
function M.average(set, f, opts)
  check("data.average", set, f)
  opts = average_options(opts)
  local sums, n = {}, 0
  local run = opts.grad and function(g) g() end or lt.no_grad
  run(function()
    for b in loader.new(set, {batch = opts.batch, shuffle = false}) do
      local count = b.x:size(1)
      local values = table.pack(f(b.x, b.y))
      for i = 1, math.max(values.n, 1) do
        local value = values[i]
        if core.is_tensor(value) then value = value:item() end
        if type(value) ~= "number" then
          raise("data.average: f: expected numbers as its results, got " .. options.describe(value))
        end
        sums[i] = (sums[i] or 0) + value * count
      end
      n = n + count
    end
  end)
  for i, sum in ipairs(sums) do sums[i] = sum / n end
  return table.unpack(sums)
end

return M
