--- Something done for all images of a set, batch by batch and without recording.
-- @module latent.data.whole
local core = require "latent.core"
local loader = require "latent.data.loader"
local options = require "latent.base.options"

local raise = core.raise

local M = {}

local BATCH = 250

local function check(fname, set, f, opts, allowed)
  if type(set) ~= "table" or type(set.batch) ~= "function" then
    raise(("%s: set: expected a data set, got %s"):format(fname, options.describe(set)))
  end
  options.expect(fname, "f", f, "function")
  opts = options.check(fname, opts, allowed)
  return opts.batch and options.expect(fname, "batch", opts.batch, "count") or BATCH, opts
end

--- See latent.data.apply.
function M.apply(set, f, opts)
  local lt = require "latent"
  local batch = check("data.apply", set, f, opts, {"batch"})
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
  local lt = require "latent"
  local batch
  batch, opts = check("data.average", set, f, opts, {"batch", "grad"})
  local sums, n = {}, 0
  local run = opts.grad and function(g) g() end or lt.no_grad
  run(function()
    for b in loader.new(set, {batch = batch, shuffle = false}) do
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
