-- Run as a program: gives every function of the library's modules and every method of a tensor tensors without
-- elements whose other axes are as long as a shape may have them, with and without a gradient, and prints each
-- call that takes longer than it may. What counts to the end of such an axis never ends: the name of a call that
-- hangs is the last thing printed.
local core = require "latent.core"
local lt = require "latent"
local shapes = require "latent.base.shapes"

-- What would leave this program, or wait; prior_radius takes a number.
local SKIP = {["repl.run"] = true, ["lt.set_threads"] = true, ["lt.help"] = true, ["vae.prior_radius"] = true}
local LONG = 1 << 38 -- no machine has the memory, should a result have so many elements
local SHAPES = {{0, LONG}, {LONG, 0}, {0, 0}, {0, LONG, 3}, {3, 0, LONG}, {1, LONG, 0, 1}}
local MOST = 1 -- seconds of a processor, of all calls of a function with one shape

local calls, faults = 0, 0

local function arguments(x)
  local none, one = lt.zeros(0), lt.zeros(1)
  return {
    {x}, {x, 1}, {x, 2}, {x, -1}, {x, 1, 1}, {x, 1, 1, 1}, {x, {1, 2}}, {x, x}, {x, x, 1}, {x, x, x}, {{x, x}},
    {{x, x}, 1}, {{x, x}, 2}, {x, 0.5}, {x, {}}, {x, none}, {x, none:u8()}, {x, one}, {one, x}, {none, x},
    {x, one, one}, {x, none, none}, {x:detach():u8()}, {x, 0, LONG}, {x, {0, 0}},
  }
end

-- As users call: the message of an error looks for this line, and all the longer where there is none.
local function call(f, ...)
  local y = f(...)
  return y
end

local function walk(name, f)
  io.write(name, "\n")
  for _, shape in ipairs(SHAPES) do
    local from = os.clock()
    for _, x in ipairs{lt.zeros(shape), lt.param(lt.zeros(shape))} do
      for _, given in ipairs(arguments(x)) do
        calls = calls + 1
        local ok, y = pcall(call, f, table.unpack(given))
        if ok and core.is_tensor(y) then
          pcall(function() y:backward(lt.zeros(y.shape)) end)
          pcall(function() y:sum():backward() end)
        end
      end
    end
    local taken = os.clock() - from
    if taken > MOST then
      faults = faults + 1
      print(("%s of %s: %.1f seconds"):format(name, shapes.text(shape), taken))
    end
  end
end

local seen = {} -- most methods are functions of latent too

local function walk_all(prefix, functions)
  local names = {}
  for name, f in pairs(functions) do
    if type(f) == "function" and type(name) == "string" and not SKIP[prefix .. name] and not seen[f] then
      names[#names + 1], seen[f] = name, true
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do walk(prefix .. name, functions[name]) end
end

for _, name in ipairs(arg) do
  local module = require(name)
  if type(module) == "table" then walk_all((name == "latent" and "lt" or name:gsub("^latent%.", "")) .. ".", module) end
end
walk_all("Tensor:", core.methods)
print(("%d calls, %d faults"):format(calls, faults))
