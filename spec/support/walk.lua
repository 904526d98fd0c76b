-- Run as a program in a folder of its own: calls every function of the library's modules, every method of a
-- tensor and of the other objects with what it does not expect, and prints each message that is not what a user
-- should see. Whatever a module exports is walked: a new function cannot escape.
local lt = require "latent"

local core = require "latent.core"

local SELF = debug.getinfo(1, "S").short_src
-- What would leave this program, or wait.
local SKIP = {["repl.run"] = true, ["lt.set_threads"] = true, ["mpi.abort"] = true}

local closed = lt.ones(2)
closed:close()
-- Arguments, with a name for the report; made anew for each function, which may change them.
local function bad_arguments()
  local odd = {no_such_option = 1}
  return {
    {"nothing"}, {"true", true}, {"nan", 0 / 0}, {"inf", math.huge}, {"-1", -1}, {"1.5", 1.5}, {"1e300", 1e300},
    {"a word", "no such thing"}, {"an empty table", {}}, {"odd options", odd}, {"a function", print},
    {"a coroutine", coroutine.create(print)}, {"a tensor", lt.ones(2, 3)}, {"u8", lt.zeros(2, 3):u8()},
    {"a closed tensor", closed}, {"a table of tensors", {lt.ones(1)}},
    {"a tensor, a word", lt.ones(2, 3), "x"}, {"a tensor, odd options", lt.ones(2, 3), odd},
    {"two tensors", lt.ones(2, 3), lt.ones(4, 5)}, {"two words", "a", "b"}, {"a word, odd options", "a", odd},
    {"a number, odd options", 1, odd}, {"a list, odd options", {lt.ones(1)}, odd},
    {"a tensor, a closed one", lt.ones(2, 3), closed}, {"a tensor and a function", lt.ones(2, 3), print},
  }
end

local calls, faults = 0, 0

local function report(why, name, label, message)
  faults = faults + 1
  print(("%s: %s(%s): %s"):format(why, name, label, (message:gsub("\n", "\n    "))))
end

-- Judges what a call raised.
local function judge(name, label, message)
  if type(message) ~= "string" then return report("not a string", name, label, tostring(message)) end
  local place, text = message:match "^(.-):%d+: (.*)$"
  if place ~= SELF then return report("elsewhere than at the user's line", name, label, message) end
  local field = name:match "[^.:]+$"
  for _, word in ipairs {"attempt to", "bad argument", "stack overflow", "%.lua:%d"} do
    if text:find(word) then return report("not meant for users", name, label, message) end
  end
  if not text:find(field, 1, true) then report("names another function", name, label, message) end
  if #text > 1000 or text:find "\n%d" then report("too long", name, label, message) end
end

local function try(name, f, arguments, ...)
  calls = calls + 1
  local given = table.pack(...)
  for i = 2, #arguments do given[given.n + i - 1] = arguments[i] end
  given.n = given.n + #arguments - 1
  local ok, message = pcall(function()
    local result = f(table.unpack(given, 1, given.n)) -- no tail call: this line is the user's
    return result
  end)
  if not ok then judge(name, arguments[1], message) end
end

local function names_of(t)
  local names = {}
  for name in pairs(t) do
    if type(name) == "string" and not name:find "^_" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function is_callable(value)
  local meta = type(value) == "table" and getmetatable(value)
  return type(value) == "function" or meta and meta.__call
end

local seen = {}
local function walk_module(prefix, module)
  for _, key in ipairs(names_of(module)) do
    local name, value = prefix .. "." .. key, module[key]
    if is_callable(value) and not seen[value] and not SKIP[name] then
      seen[value] = true
      for _, arguments in ipairs(bad_arguments()) do try(name, value, arguments) end
    end
  end
end

-- The methods of an object, called with it and with nothing in its place.
local function walk_methods(kind, methods, make)
  for _, key in ipairs(names_of(methods)) do
    local f = methods[key]
    if type(f) == "function" then
      for _, arguments in ipairs(bad_arguments()) do try(kind .. ":" .. key, f, arguments, make()) end
    end
  end
end

-- Nothing that is walked takes the names of the modules for words of its own.
local modules = table.move(arg, 1, #arg, 1, {})
rawset(_G, "arg", {[0] = "walk"})
for _, module in ipairs(modules) do
  local loaded = require(module)
  if type(loaded) == "table" then walk_module(module == "latent" and "lt" or module:gsub("^latent%.", ""), loaded) end
end
walk_methods("Tensor", core.methods, function() return lt.ones(2, 3) end)
for _, key in ipairs(names_of(core.methods)) do
  try("Tensor:" .. key, core.methods[key], {"closed"}, closed)
  try("Tensor:" .. key, core.methods[key], {"no tensor"}, {})
end
print(("%d calls, %d faults"):format(calls, faults))
