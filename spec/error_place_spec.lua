-- A mistake is answered at the user's line, by the layer's name, with the value that came and what was
-- expected instead.
local lt = require "latent"
local shapes = require "latent.base.shapes"
local nn = require "latent.nn"
local optim = require "latent.optim"

-- Calls f, which stands on one line, and checks that its error begins with that line. (Not by a tail
-- call: those leave no frame behind, and the error moves up to the caller.)
local function assert_here(f, pattern)
  local ok, message = pcall(f)
  assert.is_false(ok, "no error where one like this was due: " .. pattern)
  local at = debug.getinfo(f, "S")
  local place = ("%s:%d: "):format(at.short_src, at.linedefined)
  assert.equal(place, message:sub(1, #place), message)
  local text = message:sub(#place + 1)
  assert.is_truthy(text:find(pattern), ("%q does not match %q"):format(text, pattern))
end

local function here(cases)
  for _, case in ipairs(cases) do
    it(case[2], function() assert_here(case[1], "^" .. case[2]) end)
  end
end

-- Each layer, what it calls itself, what it expects, and an input of a wrong shape with its text.
local LAYERS = {
  {nn.Linear(784, 400), "[*, 784]", {128, 28, 28, 1}},
  {nn.Conv2d(1, 16, 3), "[batch, height, width, 1]", {128, 1, 28, 28}},
  {nn.ConvTranspose2d(4, 2, 3), "[batch, height, width, 4]", {5, 5, 4}},
  {nn.MaxPool2d(2), "[batch, height, width, channels]", {28, 28}},
  {nn.AvgPool2d(2), "[batch, height, width, channels]", {28, 28, 1}},
  {nn.Upsample(2), "[batch, height, width, channels]", {2, 2, 2, 2, 2}},
  {nn.BatchNorm2d(3), "[batch, height, width, 3]", {2, 3, 4, 4}},
  {nn.LayerNorm(3), "[*, 3]", {3, 2}},
  {nn.Flatten(), "[batch, ...]", {}},
  {nn.Reshape(2, 3), "items of 6 elements", {2, 4}},
  {nn.Reshape(2, -1), "items of a multiple of 2 elements", {2, 3}},
  {nn.Dropout(0.5)}, {nn.ReLU()}, {nn.LeakyReLU(0.1)}, {nn.ELU()}, {nn.GELU()}, {nn.SiLU()},
  {nn.Tanh()}, {nn.Sigmoid()}, {nn.Softplus()},
}

describe("a layer refuses", function()
  for _, case in ipairs(LAYERS) do
    local layer, expected, shape = case[1], case[2], case[3]
    local name = tostring(layer)
    local escaped = name:gsub("%p", "%%%0")

    if shape then
      it("a wrong shape: " .. name, function()
        local ok, message = pcall(function() layer(lt.zeros(shape)) end)
        assert.is_false(ok)
        local text = ("%s: expected %s, got %s"):format(name, expected, shapes.text(shape))
        assert.equal(text, message:match "^[^:]+:%d+: (.*)$")
      end)
    end

    it("what is no tensor, or none that it can use: " .. name, function()
      local closed = lt.ones(2, 4, 4, 3)
      closed:close()
      assert_here(function() layer(nil) end, "^" .. escaped .. ": expected a tensor, got nil$")
      assert_here(function() layer() end, "^" .. escaped .. ": expected a tensor, got nil$")
      assert_here(function() layer {1, 2} end, "^" .. escaped .. ": expected a tensor, got a table$")
      assert_here(function() layer "x" end, "^" .. escaped .. ': expected a tensor, got "x"$')
      assert_here(function() layer(closed) end, "^" .. escaped .. ": closed tensor$")
      local last = expected and tonumber(expected:match "(%d+)%]") or 3
      local u8 = lt.zeros(1, 4, 4, last):u8()
      assert_here(function() layer(u8) end,
        "^" .. escaped .. ": expected .*float32.*, got u8 %[1, 4, 4, " .. last .. "%]$")
    end)
  end
end)

describe("a layer is not made", function()
  here {
    {function() nn.Linear() end, "nn.Linear: inputs: expected a whole number of at least 1, got nil$"},
    {function() nn.Linear(2) end, "nn.Linear: outputs: expected a whole number of at least 1, got nil$"},
    {function() nn.Linear(2, 2.5) end, "nn.Linear: outputs: expected a whole number of at least 1, got 2.5$"},
    {function() nn.Linear(0, 2) end, "nn.Linear: inputs: expected a whole number of at least 1, got 0$"},
    {function() nn.Module{forward = print, count = lt.zeros(1)} end,
      "nn.Module: count: a method of every module has that name; give the part another$"},
    {function() nn.Module({forward = print}, {lr = 1}) end, "nn.Module: expected at most 1 argument, got a table as "
      .. "argument 2; parts, forward and all else stand in the one table$"},
    {function() nn.Linear(2, 2, {bais = false}) end,
      'nn.Linear: unknown option "bais" %(did you mean "bias"%?%); options: bias, dtype$'},
    {function() nn.Linear(2, 2, {bias = "no"}) end, 'nn.Linear: bias: expected a boolean, got "no"$'},
    {function() nn.Linear(2, 2, false) end, "nn.Linear: expected an options table, got false$"},
    {function() nn.Conv2d(1, 2) end, "nn.Conv2d: kernel: expected a whole number of at least 1, got nil$"},
    {function() nn.Conv2d(1, 2, 0) end, "nn.Conv2d: kernel: expected a whole number of at least 1, got 0$"},
    {function() nn.Conv2d(1, 2, {3}) end, "nn.Conv2d: kernel: expected a number or {height, width}$"},
    {function() nn.Conv2d(1, 2, 3, {pading = 1}) end,
      'nn.Conv2d: unknown option "pading" %(did you mean "padding"'},
    {function() nn.Conv2d(1, 2, 3, {stride = 0}) end,
      "nn.Conv2d: stride: expected a whole number of at least 1, got 0$"},
    {function() nn.Conv2d(1, 2, 3, {padding = {1, -1}}) end,
      "nn.Conv2d: padding: expected a whole number of at least 0, got %-1$"},
    {function() nn.Conv2d(1, 2, 3, {padding = "sme"}) end,
      'nn.Conv2d: padding: expected a whole number of at least 0, got "sme"$'},
    {function() nn.ConvTranspose2d(1, 2, 3, {outptu_padding = 1}) end,
      'nn.ConvTranspose2d: unknown option "outptu_padding" %(did you mean "output_padding"'},
    {function() nn.MaxPool2d() end, "nn.MaxPool2d: kernel: expected a whole number of at least 1, got nil$"},
    {function() nn.AvgPool2d(2, {strid = 1}) end, 'nn.AvgPool2d: unknown option "strid" %(did you mean "stride"'},
    {function() nn.Upsample(-1) end, "nn.Upsample: scale: expected a number above 0, got %-1$"},
    {function() nn.Upsample(2, {mode = "x"}) end, 'nn.Upsample: mode: expected "nearest"'},
    {function() nn.BatchNorm2d(2, {momentun = 1}) end,
      'nn.BatchNorm2d: unknown option "momentun" %(did you mean "momentum"'},
    {function() nn.BatchNorm2d(2, {eps = math.huge}) end,
      "nn.BatchNorm2d: eps: expected a finite number above 0, got inf$"},
    {function() nn.BatchNorm2d(2, {momentum = 1.5}) end,
      "nn.BatchNorm2d: momentum: expected a number from 0 to 1, or false, got 1.5$"},
    {function() nn.LeakyReLU(0 / 0) end, "nn.LeakyReLU: slope: expected a finite number, got %-?nan$"},
    {function() nn.BatchNorm2d(2, {eps = 0}) end, "nn.BatchNorm2d: eps: expected a number above 0, got 0$"},
    {function() nn.LayerNorm {} end, "nn.LayerNorm: features: expected a whole number of at least 1, got a table$"},
    {function() nn.Dropout(1.5) end, "nn.Dropout: p: expected a number in %[0, 1%], got 1.5$"},
    {function() nn.Dropout(0 / 0) end, "nn.Dropout: p: expected a number in %[0, 1%], got %-?nan$"},
    {function() nn.Dropout "half" end, 'nn.Dropout: p: expected a number in %[0, 1%], got "half"$'},
    {function() nn.Dropout(false) end, "nn.Dropout: p: expected a number in %[0, 1%], got false$"},
    {function() nn.ReLU(0.1) end, "nn.ReLU: expected an options table, got 0.1$"},
    {function() nn.ReLU {inplace = true} end, 'nn.ReLU: unknown option "inplace"; options: none$'},
    {function() nn.LeakyReLU {slope = 1} end, "nn.LeakyReLU: slope: expected a number, got a table$"},
    {function() nn.ELU "1" end, 'nn.ELU: alpha: expected a number, got "1"$'},
    {function() nn.Flatten(2) end, "nn.Flatten: expected an options table, got 2$"},
    {function() nn.Reshape() end, "nn.Reshape: expected the sizes of an item, such as nn.Reshape%(8, 8, 16%)$"},
    {function() nn.Reshape(2, "x") end, 'nn.Reshape: size 2: expected a whole number of at least 0, got "x"$'},
    {function() nn.Reshape(-1, -1) end, "nn.Reshape: size 2: expected a whole number of at least 0, got %-1$"},
    {function() nn.Sequential(nn.ReLU()) end, "nn.Sequential: expected a list of layers in braces, got a module$"},
    {function() nn.Sequential() end, "nn.Sequential: expected a list of layers in braces, got nil$"},
    {function() nn.Sequential {nn.ReLU(), 3} end, "nn.Sequential: layer 2: expected a module or a function, got 3$"},
    {function() nn.Sequential {nn.ReLU} end,
      "nn.Sequential: layer 1: expected a module or a function, got nn.ReLU; write nn.ReLU%(...%)$"},
    {function() nn.Sequential {head = nn.ReLU()} end,
      'nn.Sequential: expected a list without gaps or names, got "head"$'},
    {function() nn.Sequential {nn.ReLU(), training = nn.ReLU()} end,
      'nn.Sequential: expected a list without gaps or names, got "training"$'},
    {function() nn.Sequential {nn.ReLU(), nil, nn.ReLU()} end,
      'nn.Sequential: expected a list without gaps or names, got "3"$'},
    {function() nn.Module(3) end, "nn.Module: expected a table of parts, got 3$"},
    {function() nn.Module {} end, "nn.Module: expected a field forward = function%(self, ...%)$"},
    {function() nn.Module(nn.ReLU()) end, "nn.Module: expected a table of parts, got a module$"},
    {function() optim.Adam({lt.param(lt.ones(1))}, {lr = -1}) end,
      "optim.Adam: lr: expected a number of at least 0"},
    {function() nn.ReLU():load_state {extra = lt.ones(1)} end, "load_state: the state does not fit the model:\n"},
    {function() nn.Linear(1, 1):summary {2, 3} end, "Linear%(1 %-> 1%): expected %[%*, 1%], got %[2, 3%]$"},
  }
end)

describe("the place of an error", function()
  local model = nn.Sequential {nn.Sequential {nn.ReLU(), nn.Linear(3, 2)}, nn.Tanh()}
  local TEXT = "^Linear%(3 %-> 2%): expected %[%*, 3%], got %[1, 2%]$"
  local bad = lt.ones(1, 2)

  it("is the call of the outermost container", function()
    assert_here(function() model(bad) end, TEXT)
  end)

  it("is the line in a forward function of one's own", function()
    local forward = function(_, x) return model(x), 1 end
    local own = nn.Module {forward = forward}
    local _, message = pcall(own, bad)
    assert.equal(debug.getinfo(forward, "S").linedefined, tonumber(message:match ":(%d+): Linear"))
  end)

  it("is found inside no_grad, in a coroutine and through a method", function()
    assert_here(function() lt.no_grad(function() model(bad) end) end, TEXT)
    assert_here(function() error(select(2, coroutine.resume(coroutine.create(function() model(bad) end))), 0) end, TEXT)
    assert_here(function() local _ = bad:matmul(bad) end, "^matmul: ")
    assert_here(function() return bad + lt.ones(3) end, "^add: ")
    assert_here(function() return 1 + bad ^ "2" end, "^pow: ")
    assert_here(function() local _ = bad:var(5) end, "axis")
  end)

  it("is found where only latent.nn is required", function()
    local program = [[local nn = require "latent.nn"
local optim = require "latent.optim"
local ok, message = pcall(function() nn.Linear(2, 2)(3) end)
print(message)]]
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write(program)
    file:close()
    local files = require "latent.base.files"
    local lua = arg and arg[-1] and arg[-1]:match "lua[%d.]*$" and arg[-1] or "lua5.4"
    local path = ("LUA_PATH=%s LUA_CPATH=%s"):format(files.quote(package.path), files.quote(package.cpath))
    local out = files.capture(("%s %s %s"):format(path, lua, name))
    os.remove(name)
    assert.equal(name .. ":3: Linear(2 -> 2): expected a tensor, got 3", (out:gsub("\n$", "")))
  end)
end)

describe("a closed tensor", function()
  local core = require "latent.core"

  it("is refused by every method, under the method's name", function()
    local count = 0
    for name, method in pairs(core.methods) do
      if name ~= "close" and name ~= "__unknown" then
        local x = lt.ones(2, 2)
        x:close()
        local plain = name:gsub("%p", "%%%0")
        assert_here(function() method(x, x) end, "^" .. plain .. ": .*closed tensor$")
        count = count + 1
      end
    end
    assert.is_true(count > 80)
  end)

  it("is refused as a field, an operand, an item of a list and a text; closing twice is nothing", function()
    local x = lt.ones(2, 2)
    x:close()
    x:close()
    assert_here(function() return x.shape end, "^shape: closed tensor$")
    assert_here(function() return x + 1 end, "^add: a: closed tensor$")
    assert_here(function() return 1 - x end, "^sub: b: closed tensor$")
    assert_here(function() return #x end, "^#: closed tensor$")
    assert_here(function() return x[1] end, "^index: closed tensor$")
    assert_here(function() lt.cat {lt.ones(2, 2), x} end, "^cat: item 2: closed tensor$")
    assert_here(function() local _ = tostring(x) end, "^tostring: closed tensor$")
    assert_here(function() lt.tensor(x) end, "^tensor: closed tensor$")
    assert_here(function() optim.SGD {x} end, "^optim.SGD: parameter 1: closed tensor$")
  end)
end)

describe("the public name of a function", function()
  it("is where it stands now", function()
    local names = require "latent.base.names"
    local function f() end
    finally(function() package.loaded["latent.made_up"] = nil end)
    assert.is_nil(names.of(f))
    package.loaded["latent.made_up"] = {one = f}
    assert.equal("made_up.one", names.of(f))
    package.loaded["latent.made_up"].one, package.loaded["latent.made_up"].other = nil, f
    assert.equal("made_up.other", names.of(f))
    package.loaded["latent.made_up"].other = nil
    assert.is_nil(names.of(f))
    assert.equal("optim.Adam", names.of(optim.Adam))
  end)
end)
