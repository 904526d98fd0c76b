--- Python's pickles, read without executing anything.
-- A pickle is a program for a small stack machine that may call whatever Python can import. This reader runs the
-- part of the machine that builds values (protocols 2 to 5) and knows only the names that its caller lists; any
-- other name, and any instruction that is not needed for plain values, ends it with a message. Work and memory
-- are bounded by the pickle's length, or by the steps that the caller allows where the pickle was packed more tightly:
-- nothing in it can make a few bytes into many.
--
-- What values become: numbers, strings and booleans are Lua's; None is `pickle.none`; tuples, lists, sets and
-- dictionaries are tables with a field `kind` ("tuple", "list", "set", "dict"), `n` items in [1] to [n], and for
-- a dictionary the values of its keys in `values`.
-- @module latent.formats.pickle

local options = require "latent.base.options"

local M = {}

--- Stands for Python's None.
M.none = setmetatable({}, {__tostring = function() return "None" end, __name = "pickle.none"})

local MARK = {}

local Failure = {}

-- Ends the reading, with a message.
local function fail(format, ...) error(setmetatable({text = format:format(...)}, Failure), 0) end
M.fail = fail

--- How a value reads in a message.
-- @param value as this reader makes it
-- @treturn string
function M.describe(value)
  if value == M.none then return "None" end
  if type(value) == "table" then return "a " .. (value.kind or "mark") end
  return type(value) == "string" and "a string" or tostring(value)
end

-- The machine. `at` is the next byte; the stack's length is kept by hand, because it may hold nothing else.
local Machine = {}
Machine.__index = Machine

function Machine:unpack(format)
  local size = format:packsize()
  if self.at + size - 1 > #self.bytes then fail "ends too early" end
  local value = format:unpack(self.bytes, self.at)
  self.at = self.at + size
  return value
end

function Machine:take(count)
  if count < 0 or count > #self.bytes - self.at + 1 then fail "ends too early" end
  self.at = self.at + count
  return self.bytes:sub(self.at - count, self.at - 1)
end

function Machine:line()
  local text, next_at = self.bytes:match("^([^\n]*)\n()", self.at)
  if not text then fail "ends too early" end
  self.at = next_at
  return text
end

function Machine:push(value)
  self.top = self.top + 1
  self.stack[self.top] = value
end

function Machine:pop()
  local value = self.stack[self.top]
  if value == nil or value == MARK then fail "takes a value that is not there" end
  self.stack[self.top] = nil
  self.top = self.top - 1
  return value
end

function Machine:peek(kind)
  local value = self.stack[self.top]
  if type(value) ~= "table" or value.kind ~= kind then fail("expected a %s to add to", kind) end
  return value
end

-- The values above the last mark, and how many.
function Machine:pop_mark()
  local from = self.top
  while from > 0 and self.stack[from] ~= MARK do from = from - 1 end
  if from == 0 then fail "takes a mark that is not there" end
  local count = self.top - from
  local items = table.move(self.stack, from + 1, self.top, 1, {})
  for i = self.top, from, -1 do self.stack[i] = nil end
  self.top = from - 1
  return items, count
end

local function new(kind, items, count)
  items = items or {}
  items.kind, items.n = kind, count or 0
  if kind == "dict" then items.values, items.index = {}, {} end
  return items
end
M.new = new

local function append(list, value)
  list.n = list.n + 1
  list[list.n] = value
end

local function set_item(dict, key, value)
  if type(key) == "table" or key ~= key then
    fail("a dictionary with the key %s; expected strings, numbers or booleans", M.describe(key))
  end
  local i = dict.index[key]
  if not i then
    append(dict, key)
    i = dict.n
    dict.index[key] = i
  end
  dict.values[i] = value
end

local function set_items(dict, items, count)
  if count % 2 ~= 0 then fail "a key without a value" end
  for i = 1, count, 2 do set_item(dict, items[i], items[i + 1]) end
end

-- A whole number of 8 bytes or less, or the nearest float of a longer one.
local function long(bytes)
  if #bytes <= 8 then return #bytes == 0 and 0 or (("<i" .. #bytes):unpack(bytes)) end
  if #bytes > 128 then fail("a whole number of %d bytes", #bytes) end
  local value, scale = 0.0, 1.0
  for i = 1, #bytes do
    local byte = bytes:byte(i)
    if i == #bytes and byte >= 128 then byte = byte - 256 end
    value, scale = value + byte * scale, scale * 256
  end
  return value
end

function Machine:name(module, name)
  local full = module .. "." .. name
  local known = self.globals[full]
  if not known then
    fail("refers to %s, which is no tensor, container or number: nothing else is read",
      options.shown(full):gsub("[^%w%._]", "?"))
  end
  self:push({kind = "name", name = full, call = known})
end

function Machine:call()
  local arguments, callee = self:pop(), self:pop()
  if type(callee) ~= "table" or callee.kind ~= "name" or type(callee.call) ~= "function"
    or type(arguments) ~= "table" or arguments.kind ~= "tuple" then
    fail("calls %s, which cannot be called", M.describe(callee))
  end
  self:push(callee.call(arguments))
end

local OPS = {}
local function op(byte, f) OPS[byte:byte()] = f end

op("\149", function(m) m:take(8) end) -- frame: a hint for readers of streams
op("(", function(m) m:push(MARK) end)
op("0", function(m) if m.stack[m.top] == MARK then m:pop_mark() else m:pop() end end)
op("1", function(m) m:pop_mark() end)
op("2", function(m)
  local value = m:pop()
  m:push(value)
  m:push(value)
end)

op("N", function(m) m:push(M.none) end)
op("\136", function(m) m:push(true) end)
op("\137", function(m) m:push(false) end)
for byte, format in pairs{J = "<i4", K = "<I1", M = "<I2", G = ">d"} do
  op(byte, function(m) m:push(m:unpack(format)) end)
end
op("\138", function(m) m:push(long(m:take(m:unpack "<I1"))) end)
op("\139", function(m) m:push(long(m:take(m:unpack "<i4"))) end)
for byte, format in pairs{X = "<I4", ["\140"] = "<I1", ["\141"] = "<i8", B = "<I4", C = "<I1", ["\142"] = "<i8",
  T = "<i4", U = "<I1"} do
  op(byte, function(m) m:push(m:take(m:unpack(format))) end)
end

op(")", function(m) m:push(new "tuple") end)
op("]", function(m) m:push(new "list") end)
op("}", function(m) m:push(new "dict") end)
op("\143", function(m) m:push(new "set") end)
op("t", function(m) m:push(new("tuple", m:pop_mark())) end)
op("l", function(m) m:push(new("list", m:pop_mark())) end)
op("\145", function(m) m:push(new("set", m:pop_mark())) end)
op("d", function(m)
  local dict = new "dict"
  set_items(dict, m:pop_mark())
  m:push(dict)
end)
for count, byte in ipairs{"\133", "\134", "\135"} do
  op(byte, function(m)
    local items = {}
    for i = count, 1, -1 do items[i] = m:pop() end
    m:push(new("tuple", items, count))
  end)
end
op("a", function(m)
  local value = m:pop()
  append(m:peek "list", value)
end)
for byte, kind in pairs{e = "list", ["\144"] = "set"} do
  op(byte, function(m)
    local items, count = m:pop_mark()
    local into = m:peek(kind)
    for i = 1, count do append(into, items[i]) end
  end)
end
op("s", function(m)
  local value, key = m:pop(), m:pop()
  set_item(m:peek "dict", key, value)
end)
op("u", function(m)
  local items, count = m:pop_mark()
  set_items(m:peek "dict", items, count)
end)

local function put(m, index)
  if m.top == 0 or m.stack[m.top] == MARK then fail "remembers a value that is not there" end
  if m.memo[index] == nil then m.remembered = m.remembered + 1 end
  m.memo[index] = m.stack[m.top]
end
local function get(m, index)
  if m.memo[index] == nil then fail("uses value %d, which it has not made", index) end
  m:push(m.memo[index])
end
op("q", function(m) put(m, m:unpack "<I1") end)
op("r", function(m) put(m, m:unpack "<I4") end)
op("\148", function(m) put(m, m.remembered) end)
op("h", function(m) get(m, m:unpack "<I1") end)
op("j", function(m) get(m, m:unpack "<I4") end)

op("c", function(m)
  local module = m:line()
  m:name(module, m:line())
end)
op("\147", function(m)
  local name, module = m:pop(), m:pop()
  if type(name) ~= "string" or type(module) ~= "string" then fail "a name that is no string" end
  m:name(module, name)
end)
op("R", Machine.call)
op("\129", Machine.call)
-- What an ordered dictionary carries beside its items (PyTorch: the versions of its layers) is left out.
op("b", function(m)
  m:pop()
  m:peek "dict"
end)
op("Q", function(m) m:push(m.persistent(m:pop())) end)

local function run(machine)
  if machine.bytes:byte(1) ~= 0x80 then fail "is no pickle of protocol 2 to 5" end
  local protocol = machine.bytes:byte(2) or 0
  if protocol < 2 or protocol > 5 then fail("has protocol %d, expected 2 to 5", protocol) end
  machine.at = 3
  for _ = 1, machine.steps do
    local byte = machine:unpack "<I1"
    if byte == 46 then -- "."
      local value = machine:pop()
      if machine.top > 0 then fail "leaves more than one value" end
      return value
    end
    local step = OPS[byte]
    if not step then fail("has the instruction %d, which plain values do not need", byte) end
    step(machine)
  end
  fail("has more than %d instructions", machine.steps)
end

--- Runs functions that end by `pickle.fail`.
-- @tparam function f
-- @param ... its arguments
-- @return its result, or nil and the message
function M.guard(f, ...)
  local ok, result = pcall(f, ...)
  if ok then return result end
  if getmetatable(result) ~= Failure then error(result, 0) end
  return nil, result.text
end

--- Reads a pickle.
-- @tparam string bytes
-- @tparam {[string]=function} globals what the names that may occur ("collections.OrderedDict") stand for: a function
-- of the tuple of arguments, or `true` for a name that is not to be called
-- @tparam function persistent makes the value of a persistent id; like the functions of `globals` it may call
-- `pickle.fail(format, ...)`
-- @tparam ?int steps the most instructions (default: the pickle's bytes); a state dict has about fifty a tensor
-- @return the value, or nil and a message
function M.decode(bytes, globals, persistent, steps)
  return M.guard(run, setmetatable({bytes = bytes, at = 1, stack = {}, top = 0, memo = {}, remembered = 0,
    globals = globals, persistent = persistent, steps = steps or #bytes}, Machine))
end

return M
