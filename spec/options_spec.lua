local lt = require "latent"
local options = require "latent.base.options"

describe("options.nearest", function()
  local list = {"stride", "padding", "title", "batch", "shuffle", "seed", "lr", "output_padding"}
  for given, wanted in pairs {
    titel = "title", bacth = "batch", shufle = "shuffle", pading = "padding", strides = "stride", SEED = "seed",
    rl = "lr", esed = "seed", outptu_pading = "output_padding", Title = "title",
  } do
    it(("takes %s for %s"):format(given, wanted), function()
      assert.equal(wanted, options.nearest(given, list))
    end)
  end

  it("knows when nothing is near", function()
    for _, given in ipairs {"colour", "x", "", "momentum", ("long"):rep(100)} do
      assert.is_nil(options.nearest(given, list))
    end
    assert.is_nil(options.nearest("title", {}))
  end)

  it("prefers the nearest, and the first of equals", function()
    assert.equal("steps", options.nearest("steps", {"step", "steps"}))
    assert.equal("bat", options.nearest("cat", {"bat", "hat"}))
  end)
end)

describe("options.check", function()
  local function message_of(opts, allowed)
    local ok, message = pcall(options.check, "plot.lines", opts, allowed or {"file", "title"})
    assert.is_false(ok)
    return message
  end

  it("returns the table, or an empty one", function()
    local opts = {file = "a.png"}
    assert.equal(opts, options.check("f", opts, {"file", "title"}))
    assert.same({}, options.check("f", nil, {"file"}))
  end)

  it("names what is unknown and what there is", function()
    assert.matches('plot.lines: unknown option "titel" %(did you mean "title"%?%); options: file, title$',
      message_of {titel = 1})
    assert.matches('plot.lines: unknown option "colour"; options: file, title$', message_of {colour = 1})
    assert.matches('plot.lines: unknown option "1"; options: none$', message_of({"a.png"}, {}))
  end)

  it("takes tables only", function()
    assert.matches("plot.lines: expected an options table, got 3$", message_of(3))
    assert.matches('plot.lines: expected an options table, got "x"$', message_of "x")
    assert.matches("plot.lines: expected an options table, got a tensor %[2%]$", message_of(lt.ones(2)))
  end)
end)

describe("options.describe", function()
  local nn, optim, data = require "latent.nn", require "latent.optim", require "latent.data"
  local describe_value = options.describe

  it("names any value", function()
    local closed = lt.ones(2)
    closed:close()
    for expected, value in pairs {
      ["a tensor [2, 3]"] = lt.ones(2, 3), ["a tensor []"] = lt.tensor(1), ["a closed tensor"] = closed,
      ["a module"] = nn.Sequential {}, ["nn.ReLU; write nn.ReLU(...)"] = nn.ReLU, ["a generator"] = lt.generator(1),
      ["an optimiser"] = optim.SGD({lt.param(lt.ones(1))}, {lr = 1}),
      ["a data set"] = data.mnist {split = "test", mini = true}, ["a function"] = print, ["a table"] = {}, ["3"] = 3,
      ["0.5"] = 0.5, ["true"] = true, ['"text"'] = "text", ["a FILE*"] = io.stdout, ["a thing"] = setmetatable({},
        {__name = "thing", __tostring = error, __index = error, __metatable = 5}),
    } do assert.equal(expected, describe_value(value)) end
    assert.equal("nil", describe_value(nil))
    assert.equal(65, #describe_value(("x"):rep(1000)))
  end)

  it("names them so in the core as well", function()
    for expected, value in pairs {
      ["a module"] = nn.ReLU(), ["a class of layers"] = nn.ReLU,
      ["a data set"] = data.mnist {split = "test", mini = true}, ["a generator"] = lt.generator(1),
      ["an optimiser"] = optim.SGD({lt.param(lt.ones(1))}, {lr = 1}),
    } do
      local _, message = pcall(function() lt.ones(2):copy_(value) end)
      assert.matches("copy_: source: expected a tensor, got " .. expected .. "$", message)
    end
  end)
end)

describe("options.expect", function()
  it("returns what fits", function()
    assert.equal("x", options.expect("f", "o", "x", "string"))
    assert.equal(false, options.expect("f", "o", false, "boolean"))
    assert.equal(0.5, options.expect("f", "o", 0.5, "positive"))
    assert.equal(-0.5, options.expect("f", "o", -0.5, "finite"))
    assert.equal("integer", math.type(options.expect("f", "o", 3.0, "count")))
    assert.equal(-3, options.expect("f", "o", -3, "integer"))
    assert.equal(0, options.expect("f", "o", 0, "size"))
  end)

  for _, case in ipairs {
    {0, "count", "a whole number of at least 1, got 0"},
    {-1, "size", "a whole number of at least 0, got %-1"},
    {1.5, "integer", "a whole number, got 1.5"},
    {1e300, "count", "a whole number of at least 1, got 1e%+300"},
    {0 / 0, "count", "a whole number of at least 1, got %-?nan"},
    {math.huge, "integer", "a whole number, got inf"},
    {"3", "count", 'a whole number of at least 1, got "3"'},
    {0, "positive", "a number above 0, got 0"},
    {math.huge, "positive", "a finite number above 0, got inf"},
    {-0.1, "not negative", "a number of at least 0, got %-0.1"},
    {0 / 0, "not negative", "a number of at least 0, got %-?nan"},
    {math.huge, "not negative", "a finite number of at least 0, got inf"},
    {"1", "share", 'a number from 0 to 1, got "1"'},
    {1.1, "share", "a number from 0 to 1, got 1.1"},
    {0 / 0, "positive", "a number above 0, got %-?nan"},
    {0 / 0, "finite", "a finite number, got %-?nan"},
    {-math.huge, "finite", "a finite number, got %-inf"},
    {"1", "finite", 'a number, got "1"'},
    {{}, "number", "a number, got a table"},
    {print, "string", "a string, got a function"},
    {nil, "table", "a table, got nil"},
  } do
    it("wants " .. case[3], function()
      local ok, message = pcall(options.expect, "f", "size", case[1], case[2])
      assert.is_false(ok)
      assert.matches("f: size: expected " .. case[3] .. "$", message)
    end)
  end
end)

describe("an op's options", function()
  it("are suggested by the same rule", function()
    local x, w = lt.ones(1, 3, 3, 1), lt.ones(2, 2, 1, 1)
    for given, wanted in pairs {strdie = "stride", pading = "padding", Dilation = "dilation"} do
      local ok, message = pcall(lt.conv2d, x, w, nil, {[given] = 1})
      assert.is_false(ok)
      assert.matches(('conv2d: unknown option "%s" %%(did you mean "%s"%%?%%); options: stride, padding, dilation')
        :format(given, wanted), message)
    end
    assert.error_matches(function() lt.conv2d(x, w, nil, {x = 1}) end,
      'conv2d: unknown option "x"; options: stride, padding, dilation')
  end)

  it("are checked where they come after an axis", function()
    assert.error_matches(function() lt.var(lt.ones(3), nil, {unbiasde = false}) end,
      'var: unknown option "unbiasde" %(did you mean "unbiased"%?%); options: axis, unbiased, keepdim')
    assert.error_matches(function() lt.var(lt.ones(3), nil, 3) end, "var: unbiased: expected true or false, got 3")
  end)

  it("of methods that do not exist are suggested too", function()
    assert.error_matches(function() return lt.ones(1):rehsape(1) end,
      'a tensor has no method or field "rehsape" %(did you mean "reshape"%?%)')
  end)
end)

describe("row numbers", function()
  it("are whole and in range", function()
    local bytes, floats = lt.ones(3, 2):u8(), lt.ones(3, 2)
    for _, wrong in ipairs {1.5, 0, 4, -1, math.huge, 0 / 0} do
      assert.error_matches(function() floats:gather_rows {1, wrong} end,
        "gather_rows: index: expected whole numbers 1..3, got .* at position 2")
      assert.error_matches(function() lt.gather_scaled(bytes, {1, wrong}, 1, 0) end,
        "gather_scaled: index: expected whole numbers 1..3, got .* at position 2")
    end
    assert.same({2, 2}, floats:gather_rows({3, 1}).shape)
    assert.same({2, 2}, lt.gather_scaled(bytes, {3, 1}, 2, 0).shape)
  end)
end)

describe("options.declare", function()
  local read = options.declare("spec.options", {
    {"size", "count", 3, "how large"}, {"method", options.one_of{"fast", "exact"}, "fast"},
    {"scale", "positive", nil, "default: 1"}, {"flag", "boolean", true}, {"list", "table", {1}},
    {"name", "string", nil, required = true},
  })
  teardown(function() options.declared["spec.options"] = nil end)

  local function message_of(opts)
    local ok, message = pcall(read, opts)
    assert.is_false(ok)
    return message
  end

  it("reads a call's options into a table of its own, defaults filled in", function()
    local given = {name = "x", size = 4.0, flag = false}
    local values = read(given)
    assert.same({size = 4, method = "fast", flag = false, list = {1}, name = "x"}, values)
    values.list[2] = 2
    assert.same({1}, read{name = "x"}.list)
    assert.equal("integer", math.type(values.size))
    assert.same({name = "x", size = 4.0, flag = false}, given)
  end)

  it("checks names, kinds and what must be there", function()
    assert.matches("spec.options: size: expected a whole number of at least 1, got 0$", message_of{size = 0})
    assert.matches('spec.options: method: expected "fast" or "exact", got "slow"$', message_of{method = "slow"})
    assert.matches("spec.options: scale: expected a finite number above 0, got inf$",
      message_of{name = "x", scale = math.huge})
    assert.matches("spec.options: name: expected a string, got nil$", message_of{})
    assert.matches('spec.options: unknown option "sise" %(did you mean "size"%?%); options: size, method, scale, ',
      message_of{sise = 1})
  end)

  it("says what the help says", function()
    local said = {}
    for i, row in ipairs(options.declared["spec.options"]) do said[i] = table.concat({options.said(row)}, ": ") end
    assert.same({"size = 3: a whole number of at least 1; how large", 'method = "fast": "fast" or "exact"',
      "scale: a number above 0; default: 1", "flag = true: ", "list = {1}: a table", "name: a string"}, said)
  end)
end)
