--- Something done for all images of a set, batch by batch and without recording.
-- @module latent.data.whole
local lt = require "latent"
local core = require "latent.core"
local loader = require "latent.data.loader"
local options = require "latent.base.options"
local share = require "latent.data.share"

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

-- What f makes of each batch of a set.
local function each_batch(set, batch, f)
  local batches = loader.new(set, {batch = batch, shuffle = false})
  local function draw() return batches:draw() end
  return share.results(#batches, function() return f(batches:fetch(1, draw())) end, draw)
end

--- See latent.data.apply.
function M.apply(set, f, opts)
  check("data.apply", set, f)
  local batch = apply_options(opts).batch
  return lt.no_grad(function()
    local parts = each_batch(set, batch, function(b)
      local value = f(b.x, b.y)
      if not core.is_tensor(value) then
        raise("data.apply: f: expected a tensor as its result, got " .. options.describe(value))
      end
      return value
    end)
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
    local results = each_batch(set, opts.batch, function(b)
      local values = table.pack(f(b.x, b.y))
      for i = 1, math.max(values.n, 1) do
        if core.is_tensor(values[i]) then values[i] = values[i]:item() end
        if type(values[i]) ~= "number" then
          raise("data.average: f: expected numbers as its results, got " .. options.describe(values[i]))
        end
      end
      values.count = b.x:size(1)
      return values
    end)
    for _, values in ipairs(results) do
      for i = 1, math.max(values.n, 1) do sums[i] = (sums[i] or 0) + values[i] * values.count end
      n = n + values.count
    end
  end)
  for i, sum in ipairs(sums) do sums[i] = sum / n end
  return table.unpack(sums)
end

return M
