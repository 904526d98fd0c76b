--- The prompt without a terminal: computes what a notebook's kernel asks for over a pipe, `latent kernel serve`.
--
-- Messages are JSON (framed by core.send). Requests: "execute" a cell, "complete", "inspect", "is_complete". While a
-- cell runs, this side asks too, and waits for the answer: "display" something, or "input", a line of the reader's.
-- What is printed, by C and by other programs too, goes to standard output, which the kernel reads; it is all there
-- before a question or an answer is sent.
-- @module latent.repl.kernel
local base64 = require "latent.base.base64"
local complete = require "latent.repl.complete"
local core = require "latent.core"
local guard = require "latent.tools.guard"
local help = require "latent.help"
local input = require "latent.repl.input"
local inspect = require "latent.repl.inspect"
local json = require "latent.json"
local mime = require "latent.repl.mime"
local page = require "latent.base.page"
local problems = require "latent.repl.problem"
local repl = require "latent.repl"

local M = {}

--- What both sides of the pipe must agree upon.
M.PROTOCOL = 1

-- Taken now: a cell may overwrite any field of any module.
local own, encode, decode, bundle_of, name_of = guard.own, json.encode, json.decode, mime.bundle, help.name_of
local receive, send, exchange, clear_signal = core.receive, core.send, core.exchange, core.clear_signal
local raise, raise_signal, execute, pack, unpack = core.raise, core.raise_signal, os.execute, table.pack, table.unpack
local stdout, stderr = io.stdout, io.stderr

local from, to -- the pipes
local cell -- of what runs: {source, number, silent, answer}

local function flush()
  stdout:flush()
  stderr:flush()
end

-- What is no UTF-8 is no text for JSON.
local function clean(text)
  local parts, at = {}, 1
  while true do
    local ok, bad = utf8.len(text, at)
    if ok then return table.concat(parts) .. text:sub(at) end
    parts[#parts + 1] = text:sub(at, bad - 1) .. "\xEF\xBF\xBD"
    at = bad + 1
  end
end

-- Asks the other side; without it there is nothing left to do.
local function ask(question)
  flush()
  local answer = exchange(to, from, encode(question))
  if not answer then os.exit(1, true) end
  return decode(answer)
end

-- ---- what cells show ----

local BINARY = {["image/png"] = true, ["image/jpeg"] = true, ["image/gif"] = true, ["application/pdf"] = true}

local function transferred(bundle)
  local copy = {}
  for kind, content in next, bundle do copy[kind] = BINARY[kind] and base64(content) or clean(content) end
  copy["text/plain"] = copy["text/plain"] or ""
  return copy
end

local known -- names of what the cell has shown: run again, it begins anew

local function show_bundle(bundle, id)
  local question = {type = "display", bundle = bundle, id = id}
  if id then question.update, known[id] = known[id] or false, true end
  ask(question)
end

local function show_on_page(value, id)
  local bundle, caption = bundle_of(value, name_of)
  show_bundle(transferred(bundle), id)
  if caption and not id then show_bundle{["text/plain"] = clean(caption)} end
end

-- It is called by code of the user and of the library.
local function display(value, id)
  local ok, message = own(show_on_page, value, id)
  if not ok then error(message, 0) end
end

local function is_plain(bundle) return next(bundle) == "text/plain" and next(bundle, "text/plain") == nil end

local face = {}

-- Values that are but text stand together, and the last of what there is to see is the cell's result.
function face.show(values)
  local list = {} -- bundles
  local function add(bundle)
    local last = list[#list]
    if last and is_plain(last) and is_plain(bundle) then
      last["text/plain"] = last["text/plain"] .. "\n" .. bundle["text/plain"]
    else
      list[#list + 1] = bundle
    end
  end
  for i = 1, values.n do
    local bundle, caption = bundle_of(values[i], name_of)
    add(transferred(bundle))
    if caption then add{["text/plain"] = clean(caption)} end
  end
  for i = 1, #list - 1 do show_bundle(list[i]) end
  cell.answer.result = list[#list]
end

-- The line of a cell that a message or a frame speaks of, to stand below it.
local function quoted_line(text)
  local number = cell.source and tonumber(text:match("^%s*" .. face.name:gsub("%p", "%%%0") .. ":(%d+):"))
  if not number then return nil end
  local at = 0
  for line in (cell.source .. "\n"):gmatch "(.-)\n" do
    at = at + 1
    if at == number then return ("%6d | %s"):format(number, line) end
  end
end

function face.report(problem)
  local answer = cell.answer
  if not problem then
    answer.status, answer.name, answer.message, answer.traceback = "interrupted", "interrupted", "", {"interrupted"}
    return
  end
  local lines = problems.lines(problem)
  for i, line in ipairs(lines) do lines[i] = clean(line) end
  local line = quoted_line(lines[1])
  if line then table.insert(lines, 2, line) end
  answer.status, answer.name, answer.message, answer.traceback = "error", "error", lines[1]:match "[^\n]*", lines
end

-- ---- what is different where there is no terminal ----

local function ask_line()
  local answer = ask{type = "input"}
  if answer.text then return answer.text end
  if answer.message then raise("io.read: " .. answer.message) end
  return nil -- interrupted: the hook raises
end

-- `os.execute` keeps Ctrl-C from its caller while the other program runs, which alone is ended by it.
local function execute_interruptibly(...)
  flush()
  local results = pack(execute(...))
  if results[2] == "signal" and results[3] == 2 then raise_signal "INT" end
  return unpack(results, 1, results.n)
end

local function check_id(opts)
  if opts == nil then return nil end
  local id = type(opts) == "table" and opts.id
  if type(id) ~= "string" or next(opts, next(opts)) ~= nil then
    raise "display: opts: expected {id = name}"
  end
  return id
end

local function install(session)
  input.install(_G.io, ask_line)
  rawset(_G.os, "execute", execute_interruptibly)
  page.display = display
  rawset(session.scope.environment, "display", function(value, opts) display(value, check_id(opts)) end)
  stdout:setvbuf "line"
end

-- ---- requests ----

local handlers = {}

function handlers.execute(session, request)
  face.name = ("In[%d]"):format(request.count)
  cell, known = {source = request.code, answer = {type = "done", status = "ok"}}, {}
  local more = session:enter(request.code)
  if more then
    local _, message = session:compile(request.code, face.name)
    face.report(problems.of(message))
  end
  cell.answer.leaving = session.is_leaving() or nil
  flush()
  return cell.answer
end

function handlers.complete(session, request)
  local words, first = session.complete(request.code)
  for i, word in ipairs(words) do words[i] = clean(word) end
  return {type = "done", words = json.array(words), first = first}
end

function handlers.inspect(session, request)
  local text, markdown = inspect.at(request.code, request.cursor, session.scope)
  return {type = "done", text = text and clean(text), markdown = markdown and clean(markdown)}
end

function handlers.is_complete(session, request)
  if request.code:find "^%s*[!%%]" then return {type = "done", status = "complete"} end
  local f, _, more = session:compile(request.code, "cell")
  return {type = "done", status = f and "complete" or more and "incomplete" or "invalid"}
end

local function answer(session, text)
  local request, message = decode(text)
  if not request then return {type = "done", status = "error", message = message} end
  local handler = handlers[request.type]
  if not handler then return {type = "done", status = "error", message = "unknown request"} end
  local ok, result = own(handler, session, request)
  if ok then return result end
  return {type = "done", status = "error", name = "error", message = guard.error_text(result),
    traceback = {"the kernel itself failed: " .. guard.error_text(result)}}
end

local function serve()
  local session = repl.session(face)
  session.complete = complete.new(session.scope)
  cell, known = {answer = {}}, {}
  session.begin()
  install(session)
  send(to, encode{type = "hello", protocol = M.PROTOCOL, version = require("latent")._VERSION})
  while not session.is_leaving() do
    local text = receive(from)
    if text == nil then break end
    if text then
      send(to, encode(answer(session, text)))
    elseif not session.is_leaving() then
      clear_signal()
    end
  end
  session:finish()
end

--- Answers requests until there are no more.
-- @tparam int requests number of the open file that they are read from
-- @tparam int answers number of the one that answers are written to
function M.serve(requests, answers)
  from, to = requests, answers
  core.channel(from, to)
  local ok, message = own(serve)
  if not ok then error(message, 0) end
end

return M
