-- Whether a reader answered a file as it should: with a value, or with nil and a message; never with an error,
-- nor with much time or memory for few bytes. And whether the library works as before.
local json = require "latent.json"
local lt = require "latent"
local readers = require "tools.fuzz.readers"

local M = {}

--- Bounds for one input: seconds of the processor; bytes, beyond those a byte of the file may become (deflate
-- makes 1 into 1032, which are in a buffer, in a string and in a tensor).
M.seconds = tonumber(os.getenv "LATENT_FUZZ_SECONDS") or 3
M.memory, M.expansion = 128 << 20, 4000

local MOST_MESSAGE = 2000
local TOO_LONG = "fuzz: too long"

-- A number of kB from Linux's report on this process, in bytes; nil elsewhere.
local function status(field)
  local file = io.open "/proc/self/status"
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return tonumber(text:match(field .. ":%s*(%d+)")) * 1024
end

-- Forgets the highest memory so far.
local function reset_peak()
  local file = io.open("/proc/self/clear_refs", "w")
  if file then file:write("5"):close() end
end

local BYTES = {u8 = 1, float32 = 4, float64 = 8, i64 = 8}

-- Looks at every element of what was read: memory that is not there would be noticed.
local function touch(value, depth)
  if lt.is_tensor(value) then
    assert(#value:bytes() == value:numel() * BYTES[value.dtype], "a tensor of another size than its shape")
  elseif type(value) == "table" and depth < 200 then
    for _, item in next, value do touch(item, depth + 1) end
  end
end

-- nil, or what is wrong with the results of a reader.
local function check_answer(ok, value, message)
  if not ok then return "raised: " .. tostring(value) end
  if value ~= nil then
    local sound, problem = pcall(touch, value, 0)
    return not sound and tostring(problem) or nil
  end
  if type(message) ~= "string" or message == "" then return "nil without a message" end
  if #message > MOST_MESSAGE then return ("a message of %d bytes: %s..."):format(#message, message:sub(1, 200)) end
  for _, word in ipairs{"attempt to ", "bad argument", "stack overflow"} do
    if message:find(word, 1, true) then return "a message that is not for users: " .. message end
  end
end

--- Whether the library does what it did before: nil, or what is wrong.
function M.check_library()
  if tostring(json.null) ~= "null" or json.encode{a = json.null} ~= '{"a":null}' then return "json.null was changed" end
  local x = lt.param(lt.tensor{{1, 2}, {3, 4}})
  x:matmul(x):sum():backward()
  if x.grad:get(1, 1) ~= 7 or x.grad:get(2, 2) ~= 13 then return "a product has another gradient" end
end

--- Tensors that nobody holds any more leave nothing behind: bytes that are alive after a full collection.
function M.live_bytes()
  collectgarbage()
  collectgarbage()
  return lt.info().live_bytes
end

-- What a hook can end: a loop in Lua. One in C is ended from outside.
local function with_deadline(f, ...)
  local stop = os.clock() + M.seconds
  debug.sethook(function()
    if os.clock() > stop then error(TOO_LONG, 0) end
  end, "", 100000)
  local ok, value, message = pcall(f, ...)
  debug.sethook()
  return ok, value, message
end

--- Hands a reader a file. `refuse`: it must not be read. @return nil, or what is wrong
function M.read(name, path, size, refuse)
  local before = status "VmRSS"
  if before and status "VmHWM" > before then reset_peak() end -- what others took before is not this reader's
  local start = os.clock()
  local ok, value, message = with_deadline(readers.list[name].load, path)
  local took = os.clock() - start
  if not ok and value == TOO_LONG or took > M.seconds then return ("took %.1f s"):format(took) end
  local peak = before and status "VmHWM" - before or 0
  if peak > M.memory + M.expansion * size then
    reset_peak()
    return ("took %.0f MB for a file of %d bytes"):format(peak / 2 ^ 20, size)
  end
  if refuse and ok and value ~= nil then return "was read, and should be refused" end
  return check_answer(ok, value, message) or M.check_library()
end

return M
