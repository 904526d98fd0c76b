--- The prompt of the page: the session of `latent.repl`, whose figures are drawn in the page. What Lua prints goes to
-- standard output; a figure is a line of JSON there, between two marks that no terminal shows.
-- @module latent.explorer.prompt
require "latent.explorer.screen" -- before the prompt
local comments = require "latent.help.comments"
local complete = require "latent.repl.complete"
local json = require "latent.json"
local repl = require "latent.repl"

local M = {}

local Prompt = {}
Prompt.__index = Prompt

--- A prompt.
-- @tparam Lab lab whose models and images it has
-- @tparam {string,...} sources paths of the library's modules, which help reads
-- @treturn table with the methods enter, run and complete
function M.new(lab, sources)
  comments.sources = function() return sources end
  local session = repl.session()
  local names = {test = lab:test(), models = {}}
  for _, listed in ipairs(lab.listed) do names.models[listed.name] = lab:model(listed.name) end
  names.model = names.models[lab:usual()]
  for name, value in pairs(names) do session.scope.keep(name, value) end
  return setmetatable({session = session, complete_text = complete.new(session.scope)}, Prompt)
end

--- Computes an input and prints its values. @tparam table request text @treturn table more: whether it wants more lines
function Prompt:enter(request) return {more = self.session:enter(request.text) or false} end

--- Runs a piece of code as a script, which has the prompt's names. @tparam table request text, name
function Prompt:run(request)
  local f, message = self.session:compile_script(request.text, request.name)
  if not f then return {error = message} end
  local ok
  ok, message = xpcall(f, function(value) return tostring(value) end)
  io.stdout:flush()
  return {error = not ok and message or nil}
end

--- What may stand at the end of a text. @tparam table request text @treturn table words, first (from which position)
function Prompt:complete(request)
  local words, first = self.complete_text(request.text)
  return {words = json.array(words), first = first}
end

return M
