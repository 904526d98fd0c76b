-- Nothing that a user defines, raises or leaves in the current folder reaches the command's own code.
local files = require "latent.base.files"
local scratch = require "spec.support.scratch"

local HERE = assert(files.capture "pwd")
local COMMAND = "lua5.4 " .. files.quote(HERE .. "/bin/latent")

describe("the command's own code", function()
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  -- What a command prints in the scratch folder, without LUA_PATH, and its status.
  local function run(arguments, input, command)
    local from = input and files.quote(scratch.write(folder, "input", input)) or "/dev/null"
    local line = "cd %s && { env -u LUA_PATH -u LUA_CPATH %s %s; echo \"status $?\"; } 2>&1 <%s"
    return assert(files.capture(line:format(files.quote(folder), command or COMMAND, arguments, from)))
  end

  local function prompt(lines, first, command)
    return run("-e " .. files.quote(first or "") .. " -i", lines, command)
  end

  -- How often a text stands in another.
  local function count(text, plain)
    local n, at = 0, 0
    repeat
      at = text:find(plain, at + 1, true)
      n = n + (at and 1 or 0)
    until not at
    return n
  end

  it("is not reached by any global, library field or metatable field that is overwritten", function()
    local use = ('S = loadfile("%s/spec/support/spoil.lua")(true)'):format(HERE)
    local listing = use .. " for _, line in ipairs((S.lines())) do print(line) end print(select(2, S.lines()))"
    local printed = run("-e " .. files.quote(listing))
    local lines, answers, whole = printed:match "^(.*)\n(%d+)\t(%d+)\nstatus 0$"
    answers, whole = tonumber(answers), tonumber(whole)
    assert.is_true(answers > 1000 and whole > 500)
    local out = prompt(lines, use)
    assert.equal(answers, count(out, '"\n42\n'), out:sub(-300))
    assert.equal(3, count(out, '> "everything '))
    assert.equal(whole, count(out, "tensor [2] float32  min 1  mean 1  max 1  NaN 0\n[1, 1]\n"))
    assert.equal(whole, count(out, "\na table whose __tostring raises: odd\n"))
    assert.equal(whole, count(out, "lt.relu(x)\n"))
    assert.is_nil(out:find("the prompt itself failed", 1, true))
    assert.matches("status 0$", out)
  end)

  it("leaves the library whole where a user's globals have the names of Lua's", function()
    local out = prompt([[
type, table, select, load, io, ipairs, pairs, string, math, error = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
nn.Linear(2, 3)
lt.ones(2):matmul(lt.ones(3))
lt.ones(2):relu():sum():item()
require "latent.vae" ~= nil
type]])
    assert.matches("> Linear%(2 %-> 3%)\n9 parameters\n> prompt:1: matmul: [^\n]+\n> 2%.0\n> true\n> 1\n> status 0$",
      out)
  end)

  it("has its own methods of strings, and the user theirs", function()
    assert.equal('> > "b"\n> > "b"\n> > prompt:1: attempt to index a string value\n> 5\n> status 0', (prompt [[
function string.second(s) return string.sub(s, 2, 2) end
("abc"):second()
getmetatable("").__index = function(s, i) return string.sub(s, i, i) end
("abc")[2]
debug.setmetatable("", nil);
("abc"):second()
2 + 3]]):gsub("attempt to index a string value[^\n]*", "attempt to index a string value"))
  end)

  it("gives the user's __tostring the user's strings, in scripts and at the prompt", function()
    local replaced = [[
debug.setmetatable("", {__index = setmetatable({trim = function() return "trimmed" end}, {__index = string})})
T = setmetatable({}, {__tostring = function() return (" x "):trim() end})
]]
    assert.matches("^latent: trimmed\n", run(scratch.write(folder, "script.lua", replaced .. "error(T)")))
    assert.equal('> ""\n> > trimmed\n> "trimmed"\n> error: trimmed\n> status 0',
      prompt(replaced .. 'T\n(""):trim()\nerror(T)'))
    local script = scratch.write(folder, "script.lua", replaced)
    assert.equal("> trimmed\n> status 0", run("-i " .. files.quote(script), "T"))
  end)

  it("outlives strict globals, hooks and a lost standard input", function()
    local out = prompt [[
setmetatable(_G, {__index = function(_, k) error("strict " .. k) end, __newindex = function() error "strict" end})
local x = 5
x, nothing
y = 1
debug.sethook(function() error "hook" end, "l")
x + 1
io.input "/dev/null" x + 2
io.output "/dev/null" io.write "unseen"
x + 3
setmetatable(_ENV, {})
x + 4]]
    assert.matches("> prompt:1: strict nothing.-> prompt:1: strict.-> 6\n> .*> 8\n> prompt:1: [^\n]*protected metatable"
      .. "[^\n]*\n> 9\n> status 0$", out)
  end)

  it("tells errors of any kind and goes on", function()
    local out = prompt [[
M = function(meta) return setmetatable({}, meta) end
error(M{__tostring = error})
error(M{__tostring = function() return {} end})
error(M{__index = error, __name = {}, __metatable = false, __pairs = error})
error(nil)
error(print)
function deep() return 1 + deep() end deep()
io.open "/dev/zero":read(1 << 46)
help(M{__index = error, __tostring = error})
apropos(M{__tostring = error})
M{__close = error}, 'still'
local c <close> = M{__close = function() error("at the end", 0) end}
'here']]
    local short = out:gsub("\n    [^\n]*", ""):gsub("> ", ""):gsub("0x%x+", "0x")
      :gsub("==%d+==WARNING: AddressSanitizer[^\n]*\n", "")
    assert.equal([[
error: a table whose __tostring raises: a table
error: a table whose __tostring raises: '__tostring' must return a string
error: {}
error: nil
error: function: 0x
prompt:1: stack overflow
not enough memory
no help for a table whose __tostring raises: a table
prompt:1: help.apropos: expected a string, got a table
{}
"still"
"here"
at the end
status 0]], short)
  end)

  it("tells the errors of scripts, whatever their value is", function()
    for source, expected in pairs{
      ["error(setmetatable({}, {__tostring = function() error('no', 0) end}))"] = "a table whose __tostring raises: no",
      ["error(setmetatable({}, {__tostring = function() return {} end}))"] = "a table whose __tostring raises: '__tost",
      ["error(setmetatable({}, {__metatable = 5, __tostring = function() return 'mine' end}))"] = "mine",
      ["error(setmetatable({}, {__index = error}))"] = "(error object is a table value)",
      ["error()"] = "(error object is a nil value)",
      ["string.gsub, string.format, debug.traceback, type, tostring, io = nil error 'plain'"] = "plain",
      ["getmetatable('').__index = nil error('plain', 0)"] = "plain",
    } do
      local script = scratch.write(folder, "script.lua", source)
      local out = run(script)
      assert.is_true(out:find("^latent: [^\n]*" .. expected:gsub("%p", "%%%0")) ~= nil, out)
      assert.matches("status 1$", out)
    end
  end)

  it("is not taken from the current folder, where a user's own modules are", function()
    assert(files.mkdir_p(folder .. "/latent"))
    local loud = 'io.stderr:write "PLANTED\\n" return {}'
    for name in assert(files.capture "cd lua/latent && find . -name '*.lua'"):gmatch "%./([^\n]+)" do
      assert(files.mkdir_p(files.dirname(folder .. "/latent/" .. name)))
      scratch.write(folder .. "/latent", name, loud)
    end
    scratch.write(folder .. "/latent", "readline.lua", loud)
    scratch.write(folder, "latent.lua", loud)
    scratch.write(folder, "doctor", loud)
    scratch.write(folder, "mymodule.lua", "return {answer = 42}")
    -- A copy of the library without its optional modules.
    local copy = folder .. "/copy"
    assert(files.mkdir_p(copy .. "/build/latent"))
    assert(files.capture(("cp -r bin lua %s && cp build/latent/core.so build/latent/blas.so %s/build/latent"):format(
      files.quote(copy), files.quote(copy))))
    for _, command in ipairs{COMMAND, "lua5.4 " .. files.quote(copy .. "/bin/latent")} do
      local answer = prompt('require("mymodule").answer\npcall(require, "latent.readline");', nil, command)
      assert.equal("> 42\n> > status 0", answer)
      for _, out in ipairs{run("doctor", nil, command), run("--version", nil, command)} do
        assert.is_nil(out:find("PLANTED", 1, true), out)
        assert.matches("status 0$", out)
      end
    end
  end)
end)
