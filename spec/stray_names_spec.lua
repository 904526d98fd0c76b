-- A name beside the items of a list ({1, 2, keepdim = true}) is heeded, or refused by that name; it is never dropped.
-- Calls that are right are made once as they stand, then with a name put into each of their lists.
local lt, nn = require "latent", require "latent.nn"
local calls = require "spec.support.list_calls"
local data, map, plot = require "latent.data", require "latent.map", require "latent.plot"
local experiment, optim = require "latent.experiment", require "latent.optim"
local op_cases = require "spec.support.op_cases"
local layer_cases = require "spec.support.layer_cases"
local scratch = require "spec.support.scratch"
local api = require "tools.api"
require "spec.support.misuse"

local STRAY = "astray"

local function is_list(value)
  return type(value) == "table" and value[1] ~= nil and type(rawget(getmetatable(value) or {}, "__index")) ~= "table"
end

-- The lists within an argument: paths of keys that lead to them.
local function lists_within(value, path, found)
  if type(value) ~= "table" or #path > 4 then return found end
  if is_list(value) then found[#found + 1] = {table.unpack(path)} end
  if getmetatable(value) then return found end
  for key, item in pairs(value) do
    if #path == 0 or type(key) ~= "number" or key <= 2 then
      path[#path + 1] = key
      lists_within(item, path, found)
      path[#path] = nil
    end
  end
  return found
end

-- A copy with the stray name in the list at the end of the path.
local function with_stray(value, path, depth)
  local copy = {}
  for key, item in pairs(value) do copy[key] = item end
  setmetatable(copy, getmetatable(value))
  if depth > #path then copy[STRAY] = 1 else copy[path[depth]] = with_stray(value[path[depth]], path, depth + 1) end
  return copy
end

-- Calls f with a stray name in each list of the arguments, and counts them; what drops it goes into `dropped`.
local function probe(name, f, arguments, dropped)
  local count = 0
  for place = 1, arguments.n do
    for _, path in ipairs(lists_within(arguments[place], {}, {})) do
      count = count + 1
      local changed = {table.unpack(arguments, 1, arguments.n)}
      changed[place] = with_stray(arguments[place], path, 1)
      local ok, message = pcall(f, table.unpack(changed, 1, arguments.n))
      if ok or not tostring(message):find(STRAY, 1, true) then
        dropped[#dropped + 1] = ("%s, argument %d%s: %s"):format(name, place,
          #path > 0 and "[" .. table.concat(path, "][") .. "]" or "", ok and "dropped" or message)
      end
    end
  end
  return count
end

-- A module, of which each function that is called probes first.
local function spied(module, prefix, dropped, seen)
  return setmetatable({}, {__index = function(_, key)
    local f = module[key]
    local callable = type(f) == "function" or type(f) == "table" and getmetatable(f) and getmetatable(f).__call
    if not callable then return f end
    return function(...)
      local name = prefix .. key
      seen[name] = (seen[name] or 0) + probe(name, f, table.pack(...), dropped)
      return f(...)
    end
  end})
end

-- While f runs, the functions of a module are spied on.
local function watched(module, prefix, dropped, seen, f)
  local kept = {}
  for key, value in pairs(module) do kept[key] = value end
  local spy = spied(kept, prefix, dropped, seen)
  for key in pairs(kept) do module[key] = spy[key] end
  local ok, message = pcall(f)
  for key, value in pairs(kept) do module[key] = value end
  if not ok then error(message, 0) end
end

local tried = {}
for _, call in ipairs(calls.list) do tried[call[1]] = true end

describe("a name beside the items of a list is never dropped", function()
  local dropped
  before_each(function() dropped = {} end)

  it("by ops", function()
    local seen = {}
    local spy = spied(lt, "", dropped, seen)
    for op, list in pairs(op_cases.cases) do
      for _, case in ipairs(list) do
        if not case.wide then
          local inputs = op_cases.inputs(lt, case)
          seen[op] = seen[op] or 0
          case.f(spy, table.unpack(inputs))
        end
      end
    end
    assert.same({}, dropped)
    local LISTS, untried = {ints = true, axes = true, shape = true, tensors = true}, {}
    for _, op in ipairs(lt.ops()) do
      local wants = op.inputs[1]:find "%*"
      for _, param in ipairs(op.params) do wants = wants or LISTS[param.kind] end
      if wants and (seen[op.name] or 0) == 0 and not tried["lt." .. op.name] then untried[#untried + 1] = op.name end
    end
    assert.same({}, untried)
  end)

  it("by layers", function()
    local seen = {}
    for _, case in pairs(layer_cases.cases) do watched(nn, "nn.", dropped, seen, case.make) end
    assert.same({}, dropped)
    assert(seen["nn.Sequential"] > 0)
  end)

  it("by the functions of the modules", function()
    for _, call in ipairs(calls.list) do
      local arguments = table.pack(table.unpack(call, 3))
      call[2](table.unpack(arguments, 1, arguments.n))
      assert(probe(call[1], call[2], arguments, dropped) > 0, call[1] .. ": no list among the arguments")
    end
    assert.same({}, dropped)
    -- each documented function that takes a list has a call
    local face = api.read()
    local modules, classes = face.modules, face.classes
    local missing = {}
    local function look(entry)
      for _, item in ipairs(api.described(entry, "param")) do
        local kind = item.type or ""
        if kind:find "{" and not kind:find "{%[" and not tried[entry.name] and not calls.apart[entry.name] then
          missing[#missing + 1] = entry.name .. " " .. item.name
        end
      end
    end
    for _, module in ipairs(modules) do
      for _, entry in ipairs(module.functions) do if not entry.op then look(entry) end end
    end
    for _, class in ipairs(classes) do
      for _, entry in ipairs(class.methods) do if not entry.op then look(entry) end end
    end
    assert.same({}, missing)
  end)

  it("by those that need files or a run", function()
    local folder, remove = scratch.folder()
    local e <close> = experiment.begin{arguments = {"--out", folder}, name = "stray"}
    scratch.write(folder, "a.csv", "a,b\n1,2\n3,4\n")
    local t = assert(data.csv(folder .. "/a.csv"))
    local stray = ': expected a list, got one with the name "astray" in it'
    for text, f in pairs{
      ["data.shards: list"] = function() data.shards{"a.safetensors", astray = 1} end,
      ["experiment.sweep: list"] = function() experiment.sweep("no.lua", {{}, astray = {}}) end,
      ["tensor: names"] = function() t:tensor{"a", astray = "b"} end,
      ["Experiment:number: x"] = function() e:number("x", {1, 2, astray = 3}) end,
      ["Experiment:number: x: names"] = function() e:number("x", {1, 2}, {names = {"a", "b", astray = 3}}) end,
      ["Experiment:table: head"] = function() e:table("t", {"a", astray = 1}, {}) end,
      ["Experiment:table: rows"] = function() e:table("t", {"a"}, {{1}, astray = {2}}) end,
      ["Experiment:table: row 1"] = function() e:table("t", {"a"}, {{1, astray = 2}}) end,
    } do
      assert.misuse(f, text .. stray)
    end
    local problem = map.problem{decode = function(z) return z end, measured = lt.zeros(2, 2), latent = 2, noise = 1}
    local posterior = map.sample(problem, {chains = 2, warmup = 4, draws = 4, generator = lt.generator(1)})
    assert.misuse(function() posterior:diagnose{1, astray = 2} end, "Posterior:diagnose: images" .. stray)
    remove()
  end)

  it("and what is expected beside a list works", function()
    local x = lt.arange(1, 6):reshape(1, 2, 3)
    assert.same("i64", lt.zeros{2, 3, dtype = "i64"}.dtype)
    assert.same({2, 3}, {table.unpack(lt.ones{2, 3, dtype = "u8"}.shape)})
    assert.same("float64", lt.randn{2, dtype = "float64", generator = lt.generator(1)}.dtype)
    assert.same({2, 1}, {table.unpack(lt.zeros(table.pack(2, 1)).shape)})
    assert.same({1, 2, 1}, {table.unpack(x:sum{1, 3, keepdim = true}.shape)})
    assert.same({1, 2, 1}, {table.unpack(x:max{1, 3, keepdim = true}.shape)})
    assert.same({2, 3}, {table.unpack(x:squeeze{axis = 1}.shape)})
    assert.same({3, 2, 1}, {table.unpack(x:transpose{a = 1, b = 3}.shape)})
    assert.same({1, 6}, {table.unpack(x:flatten{first = 2}.shape)})
    assert.same({1, 2, 5}, {table.unpack(x:pad{1, 1, mode = "replicate"}.shape)})
    assert.same({2, 1, 2, 3}, {table.unpack(lt.stack({x, x}, {axis = 1}).shape)})
    assert.same({4}, {table.unpack(lt.randint(1, 6, {4, generator = lt.generator(1)}).shape)})
    for _, pool in ipairs{lt.max_pool2d, lt.avg_pool2d} do
      local image = lt.zeros(1, 4, 4, 1)
      assert.same({1, 3, 3, 1}, pool(image, {2, 2, stride = 1}).shape)
      assert.same({1, 5, 5, 1}, pool(image, 2, {1, 1, padding = 1}).shape)
      assert.misuse(function() pool(image, {2, 2, strid = 1}) end, '%a+_pool2d: unknown option "strid"')
    end
    local _, places = lt.max_pool2d(lt.zeros(1, 4, 4, 1), {2, 2, stride = 1, return_indices = true})
    assert.same({1, 3, 3, 1}, places.shape)
    assert.misuse(function() lt.max_pool2d(lt.zeros(1, 4, 4, 1), {2, 2, return_indice = true}) end,
      'max_pool2d: unknown option "return_indice" %(did you mean "return_indices"%?%)')
    assert.misuse(function() return x:sum{1, axis = 2} end, "sum: axis is given twice")
    for _, name in ipairs{"sum", "max", "min", "amax", "amin", "logsumexp"} do
      local f, list = lt[name], name .. ": axis: expected a list, got one with the name "
      assert.misuse(function() f(x, {1, keepdim = true}, false) end, list .. '"keepdim"')
      assert.misuse(function() f(x, {axis = {1}}, true) end, list .. '"axis"')
      assert.misuse(function() f(x, {1}, true, "junk", 3) end,
        name .. ": too many arguments: expected at most 2 after the tensors, got 4")
      assert.misuse(function() f(x, {1, axis = 2}) end, name .. ": axis is given twice")
      assert.same({1, 1, 3}, f(x, {axis = {2}, keepdim = true}).shape)
    end
    assert.misuse(function() return x:sum{1, keepdims = true} end,
      'sum: unknown option "keepdims" %(did you mean "keepdim"%?%)')
    assert.misuse(function() return lt.zeros{2, dtyp = "i64"} end,
      'zeros: unknown option "dtyp" %(did you mean "dtype"')
    assert.misuse(function() return lt.full({2, dtype = "i64"}, 1) end, 'full: shape: expected a list, got one with ' ..
      'the name "dtype" in it; names stand in a table of their own behind it')
    assert.misuse(function() return lt.cat({x, x, axis = 2}) end, 'cat: expected a list, got one with the name "axis"')
    assert.misuse(function() return x[{1, axis = 2}] end, 'index: expected a list, got one with the name "axis"')
    assert.misuse(function() return lt.tensor{1, 2, [4] = 1} end, "tensor: expected")
    local absent = nil
    assert.same("i64", lt.zeros({2, 3, dtype = "i64"}, absent, absent).dtype)
  end)

  it("nor is what stands behind a hole", function()
    local a, b, x = lt.param(lt.ones(2)), lt.param(lt.ones(2)), lt.ones(2, 3, 4)
    local set = data.tensors{x = lt.ones(4, 2)}
    local hole = ": expected a list, got one with nothing at place 2"
    for text, f in pairs{
      ["optim.SGD"] = function() optim.SGD({a, nil, b}, {lr = 1}) end,
      ["optim"] = function() optim.SGD({{params = {a}}, nil, {params = {b}}}, {lr = 1}) end,
      ["optim.clip_grad_norm"] = function() optim.clip_grad_norm({a, nil, b}, 1) end,
      ["data.concat: sets"] = function() data.concat{set, nil, set} end,
      ["amax: axis"] = function() x:amax{1, nil, 2} end,
      ["max: axis"] = function() x:max{1, nil, 2} end,
      ["sum: axis"] = function() x:sum{1, nil, 2} end,
      ["tile: repeats"] = function() x:tile{2, nil, 2} end,
      ["nn.LayerNorm: features"] = function() nn.LayerNorm{3, nil, 4} end,
      ["grad: xs"] = function() lt.grad((a * b):sum(), {a, nil, b}) end,
      ["zeros: shape"] = function() lt.zeros{2, nil, 3} end,
      ["cat"] = function() lt.cat{x, nil, x, x} end,
      ["index"] = function() x[{1, nil, 2}]:sum() end,
      ["plot.lines"] = function() plot.lines{{y = {1, 2}}, nil, {y = {1, 2}}} end,
    } do assert.misuse(f, text .. hole) end
    assert.misuse(function() lt.tensor{[0] = 1, 2} end, "tensor: expected a list, got one with the name 0 in it")
  end)

  it("wherever Lua keeps the items: long lists that grew beside names, or out of order", function()
    local grown = {astray = 1, b = 1, c = 1}
    for i = 1, 100 do grown[i] = i end
    assert.misuse(function() return lt.tensor(grown) end, 'tensor: expected a list, got one with the name "')
    grown.b, grown.c = nil, nil
    assert.misuse(function() return lt.tensor(grown) end, 'tensor: expected a list, got one with the name "astray"')
    grown.astray = nil
    for i = 101, 140 do grown[i] = i end
    assert.is_true(lt.equal(lt.tensor(grown), lt.arange(1, 140):float()))
    local backwards = {}
    for i = 100, 1, -1 do backwards[i] = {i, i} end
    assert.is_true(lt.equal(lt.tensor(backwards)[{{}, 1}], lt.arange(1, 100):float()))
    local holes = {[1] = 1, [2] = 2, [4] = 4, [8] = 8, [16] = 16, [32] = 32, [64] = 64, [96] = 96}
    assert.misuse(function() return lt.cat(holes) end, "cat: ")
    assert.misuse(function() optim.clip_grad_norm(holes, 1) end, "optim.clip_grad_norm: ")
  end)
end)
