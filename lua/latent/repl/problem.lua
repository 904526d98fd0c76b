--- What went wrong in code of the user: the error and the frames that led to it, as the prompt tells them.
-- @module latent.repl.problem
local guard = require "latent.tools.guard"
local help = require "latent.help"
local kept = require "latent.repl.kept"
local printer = require "latent.repl.print"

local M = {}

local FRAMES = 8 -- of a traceback

-- Taken now: a line at the prompt may overwrite any field of any module.
local own, text_of, help_text, name_of = guard.own, printer.text, help.text, help.name_of
local keep_locals = kept.at_error

-- The library's folder, as names of its files begin with it.
local home = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("repl/problem%.lua$", "")

-- Whether a message begins with a file of the library. Of a long name Lua shows "..." and the end.
local function is_library(text)
  local shown = text:match "^%.%.%.(.*)"
  if not shown then return text:sub(1, #home) == home end
  for stop in shown:gmatch "()/" do
    if stop >= #"/latent/" and shown:sub(1, stop) == home:sub(-stop) then return true end
  end
  return false
end

-- The frames between the error and the prompt. Those of the prompt itself and of C say nothing; nor do the
-- library's, where the message is about a line of the user.
local function frames(traceback, internal)
  local list = {}
  for frame in traceback:gmatch "\n%s+([^\n]+)" do
    if frame:find "interruptible" then break end
    local library = is_library(frame)
    if not frame:find "^%[C%]" and not frame:find "^%(%.%.%.tail calls" and not frame:find "in main chunk"
      and not (library and not internal) and not frame:find("latent/repl/", 1, true) then
      list[#list + 1] = frame
    end
  end
  return list
end

local function located(value, traceback)
  local internal = type(value) == "string" and is_library(value)
  return {value = value, frames = frames(traceback, internal)}
end

--- The message handler: an error that is no string keeps its value, and both get their traceback.
-- @param value the error
-- @treturn table the problem
function M.caught(value)
  keep_locals()
  local ok, problem = own(located, value, debug.traceback("", 2))
  return ok and problem or {value = value, frames = {}}
end

--- A problem without frames.
-- @param value the error
-- @treturn table
function M.of(value) return {value = value, frames = {}} end

local FIELDS = {dtype = true, grad = true, requires_grad = true, is_leaf = true}

-- Of a misspelt function of a module Lua says only that it is nil, of a tensor's field that it cannot be called.
local function with_suggestion(text)
  local field = text:match "attempt to call a %a+ value %(method '([%w_]+)'%)$"
  if FIELDS[field] then return ("%s (a field: write x.%s)"):format(text, field) end
  local name = text:match "attempt to call a nil value %(field '([%w_]+)'%)$"
  local message = name and select(2, help_text(name))
  return text .. (message and message:match " %(did you mean .*$" or "")
end

--- The message, and a line a frame.
-- @param problem as `caught` made it; or the error alone, for without memory, or at the end of the stack, no handler
-- is called
-- @treturn {string,...}
function M.lines(problem)
  if type(problem) ~= "table" or not problem.frames then problem = {value = problem, frames = {}} end
  local value, list = problem.value, {}
  if type(value) == "string" then
    local ok, text = pcall(with_suggestion, value)
    list[1] = ok and text or value
  else
    list[1] = "error: " .. text_of(value, name_of)
  end
  for i, frame in ipairs(problem.frames) do
    if i > FRAMES then
      list[#list + 1] = ("    ... %d more"):format(#problem.frames - FRAMES)
      break
    end
    list[#list + 1] = "    " .. frame
  end
  return list
end

return M
