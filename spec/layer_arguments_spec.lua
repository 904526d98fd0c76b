-- Every layer with the arguments of its small case and some more, and a case of every layer for `make faults`.
local nn = require "latent.nn"
local layer_cases = require "spec.support.layer_cases"
require "spec.support.misuse"

describe("no argument of a layer is dropped:", function()
  -- The class, and what its small case is made with.
  local function arguments_of(name)
    local class, list = nn[name], nil
    nn[name] = function(...)
      list = list or table.pack(...)
      return class(...)
    end
    local ok, message = pcall(layer_cases.cases[name].make)
    nn[name] = class
    assert(ok, message)
    return class, list
  end

  local function check(name)
    local class, list = arguments_of(name)
    local takes = debug.getinfo(class.init, "u")
    local most = takes.isvararg and list.n or takes.nparams - 1
    local function refuses(...)
      local given = table.pack(...)
      local arguments = table.move(list, 1, list.n, 1, {})
      for i = 1, given.n do arguments[most + i] = given[i] end
      assert.misuse(function() class(table.unpack(arguments, 1, most + given.n)) end, "nn." .. name .. ": ")
    end
    refuses{astray = 1}
    refuses(nil, true)
    if not takes.isvararg then refuses(3) end -- else one more, as a size of Reshape
  end

  for _, name in ipairs(layer_cases.classes()) do
    if name ~= "Module" then it(name, function() check(name) end) end -- a function, which makes no class's objects
  end

  it("what they say", function()
    for pattern, f in pairs{
      ['nn.ZeroPad2d: unknown option "value"; options: none'] = function() nn.ZeroPad2d(1, {value = 3}) end,
      ['nn.AdaptiveMaxPool2d: unknown option "return_indices"'] = function()
        nn.AdaptiveMaxPool2d(2, {return_indices = true})
      end,
      ['nn.Dropout: unknown option "inplace"'] = function() nn.Dropout(0.5, {inplace = true}) end,
      ["nn.Dropout: expected at most 1 argument, got true as argument 2"] = function() nn.Dropout(0.5, true) end,
      ["nn.Linear: expected at most 3 arguments, got a table as argument 4"] = function()
        nn.Linear(2, 3, {}, {bias = false})
      end,
      ["nn.Sequential: expected at most 1 argument, got a module as argument 2"] = function()
        nn.Sequential({}, nn.ReLU())
      end,
      ["nn.Reshape: expected nothing behind a list of sizes, got 3"] = function() nn.Reshape({2, 2}, 3) end,
      ["nn.Reshape: size 2: expected a whole number of at least 0, got nil"] = function() nn.Reshape(2, nil, 3) end,
    } do
      assert.misuse(f, pattern)
    end
    assert.equal("Dropout(0.25)", tostring(nn.Dropout(0.25, nil)))
  end)
end)

describe("the cases of `make faults`", function()
  it("hold every op of the core and every layer", function()
    local held = {}
    for _, case in ipairs(require "tools.faults.cases".all()) do
      held[case.name:match "^(op %S+)" or case.name] = true
    end
    for _, op in ipairs(require "latent.core".registry()) do assert.is_truthy(held["op " .. op.name], op.name) end
    for _, name in ipairs(layer_cases.classes()) do assert.is_truthy(held["nn." .. name], name) end
  end)
end)
