--- The page as the prompt's screen: standard output is looked at, and figures are drawn among its lines. Loaded before
-- the prompt, which asks once what is a terminal.
-- @module latent.explorer.screen
local core = require "latent.core"
local figures = require "latent.explorer.figures"
local json = require "latent.json"

local BEGIN, END = "\27]figure;", "\7" -- as terminals mark commands

core.isatty = function(descriptor) return descriptor == 1 end -- somebody looks, but types elsewhere

figures.install(function(figure)
  io.stdout:write(BEGIN, json.encode(figure, {nan = "null"}), END)
  io.stdout:flush()
end)

return true
