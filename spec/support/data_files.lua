--- For specs of data sets: their files, as they should be and otherwise.
local assert = require "luassert"
local core = require "latent.core"
local files = require "latent.base.files"
local scratch = require "spec.support.scratch"
local sources = require "latent.data.sources"

local M = {}

--- The bytes of an IDX file of the set that comes with the library, unpacked.
function M.mini_bytes(name)
  return assert(core.inflate(assert(files.read_all(sources.mini() .. "/" .. name .. ".gz"))))
end

--- A pair of IDX files in a folder; what a case does not give is right.
function M.pair(folder, case)
  local images = case.images or (">I4I4I4I4"):pack(0x803, 3, 2, 2) .. ("\0\128\255\64"):rep(3)
  local labels = case.labels or (">I4I4"):pack(0x801, 3) .. "\0\1\9"
  return {
    images = scratch.write(folder, "images", images),
    labels = scratch.write(folder, "labels", labels),
    size = case.size,
  }
end

--- Asserts that a reader has refused, with a message in which this Lua pattern is.
function M.fails(pattern, value, message)
  assert.is_nil(value)
  assert.is_truthy(message:find(pattern), message)
end

--- Runs f with these environment variables (false: unset) as the library sees them.
function M.with_env(values, f)
  local real = sources.env
  sources.env = function(name)
    if values[name] ~= nil then return values[name] or nil end
    return real(name)
  end
  local results = table.pack(pcall(f))
  sources.env = real
  assert(results[1], results[2])
  return table.unpack(results, 2, results.n)
end

return M
