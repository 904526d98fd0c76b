--- latent: tensors, automatic differentiation and autoencoders.
-- Tensors are float32 (or float64, i64 or u8: `dtype`), row-major and contiguous; axes, elements and ranges count from
-- 1. Every op is a function `lt.name(x, ...)` and a method `x:name(...)`.
-- @module latent
local core = require "latent.core"
local profile = require "latent.profile"

-- Errors are raised at the first line outside this folder, under the name of the function called there.
local home = debug.getinfo(1, "S").source:gsub("init%.lua$", "")
core.set_home(home, require("latent.base.names").rename)

local lt = require("latent.base.face").build(core)

--- Runs a function and prints where its time went; see latent.profile.
-- @tparam function f
-- @tparam ?table opts
-- @treturn table
function lt.profile(f, opts)
  local lines = profile.run(f, opts) -- no tail call: errors are to speak of lt.profile
  return lines
end

lt._VERSION = "latent 0.1.0"

return setmetatable(lt, require("latent.base.foreign").asked("lt", "lt"))
