--- Where a model spends its time: every op forward and backward, optimiser steps, the loader's work.
--
--     lt.profile(function() for _ = 1, 20 do step() end end)
-- @module latent.profile

local core = require "latent.core"
local options = require "latent.base.options"
local raise = core.raise

local M = {}

--- A profile. Fields: `seconds`, of the whole run; `rows`, a list of {`name`, `kind` ("forward",
-- "backward" or "other"), `calls`, `seconds`, `share` of the run, `flops`, `gflops` a second (nil where
-- the op has no matrix product)}, the slowest first; `inside`, the seconds of all rows; `elsewhere`,
-- the rest: Lua itself, the collector, reading data. `tostring` makes the table that is printed.
-- @type Profile
local Profile = {}
Profile.__index = Profile
Profile.__name = "profile" -- in messages

-- "1.234 s", "12.34 ms", "5.6 us"
local function duration(seconds)
  if seconds >= 1 then return ("%.3f s"):format(seconds) end
  if seconds >= 1e-3 then return ("%.2f ms"):format(seconds * 1e3) end
  return ("%.1f us"):format(seconds * 1e6)
end

-- The rows of one name and kind as one: ops written in Lua may share a name.
local function merged(list)
  local rows, by_key = {}, {}
  for _, row in ipairs(list) do
    local key = row.kind .. " " .. row.name
    local first = by_key[key]
    if first then
      for _, field in ipairs{"calls", "seconds", "flops"} do first[field] = first[field] + row[field] end
    else
      by_key[key] = row
      rows[#rows + 1] = row
    end
  end
  return rows
end

local function before(a, b)
  if a.seconds ~= b.seconds then return a.seconds > b.seconds end
  if a.name ~= b.name then return a.name < b.name end
  return a.kind < b.kind
end

local function new(seconds, list)
  local self = setmetatable({seconds = seconds, rows = merged(list), inside = 0}, Profile)
  for _, row in ipairs(self.rows) do
    self.inside = self.inside + row.seconds
    row.share = row.seconds / math.max(seconds, 1e-12)
    if row.flops > 0 then row.gflops = row.flops / math.max(row.seconds, 1e-12) / 1e9 end
  end
  table.sort(self.rows, before)
  self.elsewhere = math.max(seconds - self.inside, 0)
  return self
end

--- Calls, seconds and operations of an op, forward and backward together.
-- @tparam string name
-- @treturn table {`calls`, `seconds`, `flops`}
function Profile:of(name)
  local sum = {calls = 0, seconds = 0, flops = 0}
  for _, row in ipairs(self.rows) do
    if row.name == name then
      for field, value in pairs(sum) do sum[field] = value + row[field] end
    end
  end
  return sum
end

--- The operations of all matrix products and convolutions.
-- @treturn number
function Profile:flops()
  local sum = 0
  for _, row in ipairs(self.rows) do sum = sum + row.flops end
  return sum
end

local HEAD = "%-24s %-8s %8s %10s %10s %6s %9s"

local function text_of(self)
  local lines = {HEAD:format("op", "", "calls", "time", "a call", "share", "GFLOP/s")}
  local function add(name, kind, calls, seconds, gflops)
    lines[#lines + 1] = HEAD:format(name, kind, calls, duration(seconds),
      calls ~= "" and duration(seconds / calls) or "",
      ("%.1f%%"):format(100 * seconds / math.max(self.seconds, 1e-12)),
      gflops and ("%.1f"):format(gflops) or ""):gsub("%s+$", "")
  end
  for _, row in ipairs(self.rows) do
    add(row.name, row.kind == "other" and "" or row.kind, row.calls, row.seconds, row.gflops)
  end
  add("elsewhere (Lua, data)", "", "", self.elsewhere)
  add("all", "", "", self.seconds)
  return table.concat(lines, "\n")
end

function Profile:__tostring() return core.plainly(text_of, self) end

local profile_options = options.declare("profile", {{"quiet", "boolean", false, "print nothing"}}, "profile.run")
options.declared["lt.profile"] = options.declared["profile.run"]

--- Runs a function and prints a table of the ops it applied, and of those that its backward ran:
-- time, calls, share of the whole, and GFLOP/s for convolutions and matrix products. These are counted
-- by shapes, as the plain layers would do them; a fused block may need fewer.
-- @tparam function f called without arguments
-- @tparam ?table opts
-- @treturn Profile
function M.run(f, opts)
  opts = profile_options(opts)
  if type(f) ~= "function" then raise("profile: expected a function, got " .. options.describe(f)) end
  if core.profile_running() then raise "profile: one is running already" end
  local start = core.clock()
  core.profile_start()
  local ok, message = pcall(f)
  local rows = core.profile_stop()
  local seconds = core.clock() - start
  if not ok then error(message, 0) end
  local profile = new(seconds, rows)
  if not opts.quiet then print(tostring(profile)) end
  return profile
end

core.methods_of(Profile, "profile")

return M
