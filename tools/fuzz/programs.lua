-- Random programs over the ops: graphs of 3 to 12 steps with random shapes, whose values and gradients in float32
-- are compared with those in float64; and calls that make no sense, which must be refused in words.
--
-- How far float32 may be off depends on the program: both run it again with a rounding's worth of noise on the inputs
-- and on the result of each step, and what that changes, times a factor, is what float32 may change. (In float32
-- that draws the roundings inside an op anew: those of a normalisation of two rows, or of a tanh that is nearly 1.)
-- In float64, gradients that meet in one value get a noise each: where they cancel, their roundings do not.
-- Where noise changes nearly all (a kink, a tie, a cancellation), the program says nothing and is counted as unsure.
local json = require "latent.json"
local lt = require "latent"
local shapes = require "latent.base.shapes"
local lt64 = require "spec.support.lt64"
local Random = require "tools.fuzz.random"
local steps = require "tools.fuzz.steps"
local wild = require "tools.fuzz.wild"

local M = {}

local MOST_ELEMENTS, LARGEST = 4000, 1e4
local NOISE, RUNS = 2.0 ^ -23, 3
local FACTOR, FLOOR = 40, 2e-5 -- times the effect of noise, and of the largest number of an array
local LEAST = 1e-3 -- what is smaller than that everywhere is compared with it: a saturated tanh leaves nothing
local UNSURE = 1e-2

-- Inputs: numbers of a kind that float32 holds.

local KINDS = {
  any = function(r) return r:real() * 4 - 2 end,
  small = function(r) return r:real() - 0.5 end,
  positive = function(r) return r:real() * 2 + 0.2 end,
  unit = function(r) return r:real() end,
}

local function numel_of(shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return n
end

local function input_tensor(library, input)
  local r, list = Random.new(input.seed, 0), {}
  for i = 1, numel_of(input.shape) do list[i] = ("<f"):unpack(("<f"):pack(KINDS[input.kind](r))) end
  return library.tensor(list):reshape(input.shape)
end

-- Running. A program is {inputs = {{shape, kind, seed}}, steps = {{op, inputs, args}}}; positions count the inputs
-- first and then the steps' results.

-- y times 1 + a rounding's noise, element by element.
local function shaken(library, y, r)
  local list = {}
  for i = 1, y:numel() do list[i] = 1 + NOISE * (2 * r:real() - 1) end
  return y * library.tensor(list):reshape(y.shape)
end

-- x, but the gradient that comes back through it is another by a rounding's noise.
local function shaken_backwards(library, x, r)
  local noise = shaken(library, x, r) - x
  return x + (noise - noise:detach())
end

-- `noise`: a Random, of the gradients that come back.
local function apply(library, step, values, noise)
  local x, args = {}, step.args
  for k = 1, step.count do
    local at = step.inputs[k]
    x[k] = at ~= 0 and values[at] or nil
    if noise and x[k] and x[k].requires_grad then x[k] = shaken_backwards(library, x[k], noise) end
  end
  local special = steps.apply[step.op]
  if special then return special(library, x, args) end
  local all = table.move(x, 1, step.count, 1, {})
  table.move(args, 1, args.n, step.count + 1, all)
  return (library[step.op](table.unpack(all, 1, step.count + args.n)))
end

-- Which results nothing uses: the program's outputs.
local function outputs_of(program)
  local used, list = {}, {}
  for _, step in ipairs(program.steps) do
    for k = 1, step.count do used[step.inputs[k]] = true end
  end
  for at = #program.inputs + 1, #program.inputs + #program.steps do
    if not used[at] then list[#list + 1] = at end
  end
  return list
end

-- The outputs and the gradients of the inputs, as {{name, tensor}}. `noise`, a Random, shakes the steps.
local function run(library, program, noise)
  local values, inputs, results = {}, {}, {}
  for i, input in ipairs(program.inputs) do
    inputs[i] = library.param(input_tensor(library, input))
    values[i] = noise and shaken(library, inputs[i], noise) or inputs[i]
  end
  for _, step in ipairs(program.steps) do
    local y = apply(library, step, values, library == lt64 and noise)
    if noise then y = shaken(library, y, noise) end
    values[#values + 1] = y
  end
  local loss
  for _, at in ipairs(outputs_of(program)) do
    local y = values[at]
    results[#results + 1] = {("output of step %d"):format(at - #program.inputs), y:detach()}
    local part = (y * input_tensor(library, {shape = y.shape, kind = "any", seed = at})):sum()
    loss = loss and loss + part or part
  end
  loss:backward()
  for i, x in ipairs(inputs) do
    if x.grad then results[#results + 1] = {("gradient of input %d"):format(i), x.grad} end
  end
  return results
end

-- Comparing.

local function flat(tensor)
  local list = tensor:reshape(-1):table()
  return type(list) == "table" and list or {list}
end

-- The largest difference of two lists and the largest number of the first; NaN agrees with NaN.
local function difference(want, got)
  local worst, scale, at = 0, 0, nil
  for i, b in ipairs(want) do
    local a = got[i]
    local d = (a == b or a ~= a and b ~= b) and 0 or math.abs(a - b)
    if d ~= d then d = math.huge end
    if d > worst then worst, at = d, i end
    if math.abs(b) < math.huge then scale = math.max(scale, math.abs(b)) end
  end
  return worst, scale, at
end

-- nil; or what differs; or nil and true where noise changes too much.
local function compare(got, exact, shaken_runs)
  for i, want in ipairs(exact) do
    local mine, name = got[i][2], want[1]
    if got[i][1] ~= name or shapes.text(mine) ~= shapes.text(want[2]) then
      return ("%s: shape %s, in float64 %s"):format(name, shapes.text(mine), shapes.text(want[2]))
    end
    local list, effect = flat(want[2]), 0
    for _, results in ipairs(shaken_runs) do
      effect = math.max(effect, (difference(results.of and flat(results.of[i][2]) or list, flat(results[i][2]))))
    end
    local worst, scale, at = difference(list, flat(mine))
    scale = math.max(scale, LEAST)
    if effect > UNSURE * scale then return nil, true end
    if worst > FACTOR * effect + FLOOR * scale + 1e-30 then
      return ("%s: element %d is %.9g, in float64 %.9g; noise changes it by %.2g, the largest is %.3g"):format(name, at,
        flat(mine)[at], list[at], effect, scale)
    end
  end
end

--- Judges a program. @return nil or what is wrong, and whether nothing could be said
function M.judge(program)
  if program.wild then return wild.judge(program.wild) end
  local ok, exact = pcall(run, lt64, program)
  if not ok then return "float64 raises: " .. tostring(exact) end
  local got
  ok, got = pcall(run, lt, program)
  if not ok then return "float32 raises, float64 does not: " .. tostring(got) end
  if #got ~= #exact then return ("%d results, in float64 %d"):format(#got, #exact) end
  local noisy = {}
  for k = 1, RUNS do
    noisy[k] = run(lt64, program, Random.new(k, 1))
    noisy[RUNS + k] = run(lt, program, Random.new(k, 2))
    noisy[RUNS + k].of = got
  end
  return compare(got, exact, noisy)
end

-- Making programs.

local Graph = {}
Graph.__index = Graph

local function describe(tensor)
  local list = flat(tensor)
  local least, largest, size = math.huge, -math.huge, 0
  for _, v in ipairs(list) do
    least, largest = math.min(least, v), math.max(largest, v)
    size = v == v and math.max(size, math.abs(v)) or math.huge
  end
  return {shape = tensor.shape, numel = #list, least = least, largest = largest, size = size}
end

--- A new input of a shape and kind. @return its position
function Graph:input(shape, kind)
  local input = {shape = table.move(shape, 1, #shape, 1, {}), kind = kind or "any", seed = self.r:int(1, 1 << 30)}
  return self:add(input, input_tensor(lt64, input))
end

-- Inputs and steps share the list while a program grows; M.random sorts them out.
function Graph:add(item, value)
  local node = describe(value)
  node.item, node.value = item, value
  self.nodes[#self.nodes + 1] = node
  return #self.nodes
end

--- Any value: late ones more often, so that programs are deep.
function Graph:any()
  local n = #self.nodes
  return self.r:chance(0.5) and n or self.r:int(1, n)
end

--- A value that `test` accepts, or nil.
function Graph:where(test)
  local fitting = {}
  for i, node in ipairs(self.nodes) do
    if test(node) then fitting[#fitting + 1] = i end
  end
  return #fitting > 0 and (self.r:chance(0.4) and fitting[#fitting] or self.r:pick(fitting)) or nil
end

--- A value of the same shape, new or not.
function Graph:like(i)
  local shape = shapes.text(self.nodes[i])
  local j = self.r:chance(0.5) and self:where(function(n) return shapes.text(n) == shape end)
  return j or self:input(self.nodes[i].shape)
end

function Graph:broadcasts(i, node)
  local a, b, numel = self.nodes[i].shape, node.shape, 1
  for k = 0, math.max(#a, #b) - 1 do
    local m, n = a[#a - k] or 1, b[#b - k] or 1
    if m ~= n and m ~= 1 and n ~= 1 then return false end
    numel = numel * math.max(m, n)
  end
  return numel <= MOST_ELEMENTS
end

local function random_shape(r)
  if r:chance(0.25) then return {r:int(1, 3), r:int(1, 8), r:int(1, 8), r:pick{1, 2, 3, 16, 17}} end
  local shape = {}
  for i = 1, r:pick{0, 1, 1, 2, 2, 2, 3} do shape[i] = r:pick{1, 2, 3, 4, 5, 7, 8, 16, 17, 33} end
  return numel_of(shape) <= MOST_ELEMENTS and shape or {3, 4}
end

-- Tries one more step; it stays where its values in float64 are tame. What is raised is a finding only where the
-- step makes sense, which is known for the ops whose arguments are chosen to fit.
local function grow(g, name)
  local before = #g.nodes
  local step = steps.choose[name](g.r, g)
  if step then
    step.op, step.count = name, 0
    for k in pairs(step.inputs) do step.count = math.max(step.count, k) end
    local values = {}
    for i, node in ipairs(g.nodes) do values[i] = node.value end
    local ok, y = pcall(apply, lt64, step, values)
    if ok and lt64.is_tensor(y) and y:numel() <= MOST_ELEMENTS and y:numel() > 0 and describe(y).size < LARGEST then
      return g:add(step, y)
    end
  end
  for i = #g.nodes, before + 1, -1 do g.nodes[i] = nil end
end

-- Inputs first, then steps, with their positions.
local function sorted(nodes)
  local program, place = {inputs = {}, steps = {}}, {}
  for i, node in ipairs(nodes) do
    if not node.item.op then
      table.insert(program.inputs, node.item)
      place[i] = #program.inputs
    end
  end
  for i, node in ipairs(nodes) do
    if node.item.op then
      table.insert(program.steps, node.item)
      place[i] = #program.inputs + #program.steps
    end
  end
  for _, step in ipairs(program.steps) do
    for k = 1, step.count do step.inputs[k] = step.inputs[k] and place[step.inputs[k]] or 0 end
  end
  return program
end

--- A random program.
function M.random(r)
  if r:chance(0.3) then return {wild = wild.random(r)} end
  local g = setmetatable({r = r, nodes = {}}, Graph)
  for _ = 1, r:int(1, 3) do g:input(random_shape(r), r:pick{"any", "any", "positive"}) end
  local wanted, made = r:int(3, 12), 0
  for _ = 1, 4 * wanted do
    if made < wanted and grow(g, r:pick(steps.names)) then made = made + 1 end
  end
  return sorted(g.nodes)
end

-- Text: JSON, with nil among the arguments as null.

local function plain(value)
  if type(value) ~= "table" then return value end
  local out = #value > 0 and json.array() or {}
  for k, v in pairs(value) do out[k] = plain(v) end
  return out
end

--- A program as text.
function M.text(program)
  if program.wild then return json.encode(program, {indent = 1}) .. "\n" end
  local out = {inputs = json.array(), steps = json.array()}
  for i, input in ipairs(program.inputs) do
    out.inputs[i] = {shape = json.array(plain(input.shape)), kind = input.kind, seed = input.seed}
  end
  for i, step in ipairs(program.steps) do
    local args = json.array()
    for k = 1, step.args.n do
      local value = step.args[k]
      args[k] = value == nil and json.null or type(value) == "table" and #value == 0 and next(value) == nil
        and json.array() or plain(value)
    end
    out.steps[i] = {op = step.op, inputs = json.array(plain(step.inputs)), args = args}
  end
  return json.encode(out, {indent = 1}) .. "\n"
end

local function unplain(value)
  if value == json.null then return nil end
  if type(value) ~= "table" then return value end
  local out = {}
  for k, v in pairs(value) do out[k] = unplain(v) end
  return out
end

--- A program from its text, or nil and a message.
function M.parse(text)
  local data, message = json.decode(text)
  if not data then return nil, message end
  if data.wild then return data end
  for _, step in ipairs(data.steps) do
    local n = #step.args
    step.args = unplain(step.args)
    step.args.n, step.count = n, #step.inputs
  end
  return data
end

return M
