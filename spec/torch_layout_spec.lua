-- PyTorch's weights in networks of every make: what they compute here is what the same network computes by hand on
-- [batch, channels, height, width], where it can be seen how rows and maps follow on each other, and refused elsewhere.
local lt = require "latent"
local nn = require "latent.nn"
require "spec.support.close"
require "spec.support.misuse"

local H, W, C = 4, 6, 5 -- a map that is not square

-- PyTorch's layers by hand: pictures are [n, channels, height, width], weights as it keeps them.
local hand = {}

local function last(x) return x:permute{1, 3, 4, 2} end -- to [n, height, width, channels]
local function first(x) return x:permute{1, 4, 2, 3} end

function hand.conv(x, w, b) return first(lt.conv2d(last(x), w:permute{3, 4, 2, 1}, b)) end
function hand.deconv(x, w, b) return first(lt.conv_transpose2d(last(x), w:permute{3, 4, 1, 2}, b)) end
function hand.linear(x, w, b) return x:matmul(w:transpose()) + b end
function hand.flatten(x) return x:reshape(#x, -1) end
function hand.norm(x, s, path) return lt.layer_norm(x, s[path .. ".weight"], s[path .. ".bias"], 1e-5) end
function hand.batch_norm(x, s, path)
  local function wide(name) return s[path .. name]:reshape(1, -1, 1, 1) end
  return (x - wide ".running_mean") / (wide ".running_var" + 1e-5):sqrt() * wide ".weight" + wide ".bias"
end
function hand.max_pool(x, k) return first(lt.max_pool2d(last(x), k)) end

-- Arrays of PyTorch's shapes under our names, random.
local function random_state(model)
  local state = {}
  for name, x in pairs(model:state()) do
    local s, layer = x.shape, model
    for part in name:gmatch "([^.]+)%." do layer = layer[math.tointeger(part) or part] end
    if #s == 4 then s = layer.kind == "Conv2d" and {s[4], s[3], s[1], s[2]} or {s[3], s[4], s[1], s[2]} end
    if #s == 2 then s = {s[2], s[1]} end
    state[name] = name:find "var" and lt.rand(s) + 0.5 or lt.randn(s)
  end
  return state
end

-- Loads, computes and writes again: the same as by hand, and the same arrays, bit for bit.
local function assert_same(model, theirs, x, opts)
  opts = opts or {}
  opts.layout = "torch"
  local s = random_state(model)
  model:load_state(s, opts):eval()
  local want = theirs(s, x)
  local got = lt.no_grad(function() return model(x:dim() == 4 and last(x) or x) end)
  assert.close(got:dim() == 4 and first(got) or got, want, 1e-5)
  for name, array in pairs(model:state(opts)) do assert.equal(s[name]:bytes(), array:bytes(), name) end
end

local function assert_refuses(model, pattern, opts)
  opts = opts or {}
  opts.layout = "torch"
  local state, before = random_state(model), {}
  for name, x in pairs(model:state()) do before[name] = x:bytes() end
  assert.misuse(function() model:load_state(state, opts) end, "load_state: layout: .*" .. pattern)
  assert.misuse(function() model:state(opts) end, "state: layout: .*" .. pattern)
  for name, x in pairs(model:state()) do assert.equal(before[name], x:bytes()) end
end

local function own(parts, forward)
  parts.forward = forward
  return nn.Module(parts)
end

local function image(channels) return lt.randn(2, channels, H, W) end

describe("PyTorch's weights behind a flattened map", function()
  before_each(function() lt.manual_seed(5) end)

  local function linear(s, path, x) return hand.linear(x, s[path .. ".weight"], s[path .. ".bias"]) end

  -- What may stand between the model's input and a Flatten without telling the channels.
  local BEFORE = {
    nothing = function() return {}, function(x) return x end end,
    SiLU = function() return {nn.SiLU()}, lt.silu end,
    ["a pool"] = function() return {nn.MaxPool2d(2)}, function(x) return hand.max_pool(x, 2) end end,
    ["nested layers"] = function()
      return {nn.Sequential{nn.Dropout(0.5), nn.Sequential{nn.Tanh()}}}, lt.tanh
    end,
  }
  for text, make in pairs(BEFORE) do
    it("asks for channels where the model begins with " .. text, function()
      local layers, before = make()
      local size = before(image(C)):numel() // 2
      table.move({nn.Flatten(), nn.Dropout(0.1), nn.Linear(size, 3)}, 1, 3, #layers + 1, layers)
      local path = tostring(#layers)
      assert_refuses(nn.Sequential(layers), path .. " +Linear%(" .. size .. " %-> 3%) reads " .. size .. " numbers")
      assert_same(nn.Sequential(layers), function(s, x) return linear(s, path, hand.flatten(before(x))) end, image(C),
        {channels = {[path] = C}})
    end)
  end

  it("asks once for all that read the same row", function()
    local function make() return nn.Sequential{nn.Flatten(), nn.LayerNorm(H * W * C), nn.Linear(H * W * C, 3)} end
    assert_refuses(make(), "2 +LayerNorm.*3 +Linear")
    for _, named in ipairs{"2", "3"} do
      assert_same(make(), function(s, x) return linear(s, "3", hand.norm(hand.flatten(x), s, "2")) end, image(C),
        {channels = {[named] = C}})
    end
  end)

  it("takes 1 for rows that are no map, or of one channel", function()
    local model = nn.Sequential{nn.Flatten(), nn.Linear(H * W, 3)}
    assert_same(model, function(s, x) return linear(s, "2", hand.flatten(x)) end, image(1), {channels = {["2"] = 1}})
  end)

  it("sees the channels through all layers that keep them", function()
    local model = nn.Sequential{nn.BatchNorm2d(C), nn.Sequential{nn.LeakyReLU(), nn.Upsample(2)}, nn.MaxPool2d(2),
      nn.Dropout(0.3), nn.Sequential{nn.Flatten(), nn.ELU()}, nn.LayerNorm(H * W * C), nn.Flatten(), nn.Softplus(),
      nn.Linear(H * W * C, 3), nn.GELU(), nn.Linear(3, 4)}
    assert_same(model, function(s, x)
      local y = hand.norm(lt.elu(hand.flatten(lt.leaky_relu(hand.batch_norm(x, s, "1"), 0.01))), s, "6")
      return linear(s, "11", lt.gelu(linear(s, "9", lt.softplus(y))))
    end, image(C))
  end)

  it("goes from rows to a map and back to rows", function()
    local model = nn.Sequential{nn.Linear(3, H * W * C), nn.LayerNorm(H * W * C), nn.Flatten(), nn.SiLU(),
      nn.Reshape(H, W, -1), nn.Conv2d(C, 2, 3), nn.Flatten(), nn.Linear((H - 2) * (W - 2) * 2, 2)}
    assert_same(model, function(s, z)
      local y = lt.silu(hand.norm(linear(s, "1", z), s, "2")):reshape(#z, C, H, W)
      return linear(s, "8", hand.flatten(hand.conv(y, s["6.weight"], s["6.bias"])))
    end, lt.randn(2, 3))
  end)

  it("asks where a layer is not known, which may say itself what it does", function()
    local function residual(says)
      local block = own({conv = nn.Conv2d(C, C, 1)}, function(self, x) return x + self.conv(x):relu() end)
      block.torch_layout = says
      return block
    end
    local function make(says)
      return nn.Sequential{nn.Conv2d(2, C, 1), residual(says), nn.Flatten(), nn.Linear(H * W * C, 3)}
    end
    local function theirs(s, x)
      local y = hand.conv(x, s["1.weight"], s["1.bias"])
      return linear(s, "4", hand.flatten(y + hand.conv(y, s["2.conv.weight"], s["2.conv.bias"]):relu()))
    end
    assert_refuses(make(), "\n  4 +Linear")
    assert_same(make(), theirs, image(2), {channels = {["4"] = C}})
    assert_same(make "keeps", theirs, image(2))
    assert_same(make(C), theirs, image(2))
    assert.misuse(function() make "mixes":state{layout = "torch"} end,
      'state: Module: torch_layout: expected a whole number of at least 1, got "mixes"')
    local changed = nn.Sequential{nn.Conv2d(2, C, 1), nn.ReLU(), nn.Flatten(), nn.Linear(H * W * C, 3)}
    changed[2].forward = function(_, x) return x end
    assert_refuses(changed, "\n  4 +Linear")
  end)

  it("refuses a reshape that PyTorch's order does not have", function()
    for _, sizes in ipairs{{2 * H, W, 3}, {2 * H, W, -1}, {6 * H * W}} do
      local conv, pixels = nn.Conv2d(2, 6, 1), nn.Reshape(2 * H, W, 3)
      assert_refuses(nn.Sequential{conv, nn.Reshape(sizes), pixels, nn.Conv2d(3, 1, 1)},
        "a map of 6 channels in the shape of one of 3 mixes")
    end
    assert_refuses(nn.Sequential{nn.Conv2d(2, 6, 1), nn.Reshape(H * W, 6), nn.Flatten(), nn.Linear(6 * H * W, 1)},
      "\n  4 +Linear")
    assert_refuses(nn.Sequential{nn.Linear(3, H * W), nn.Reshape(H, 2 * W, C), nn.Conv2d(C, 1, 1)}, "\n  1 +Linear")
  end)

  it("lets a layer stand in two places where it reads the same", function()
    local shared = nn.Linear(8, 8)
    assert_same(nn.Sequential{shared, nn.ReLU(), shared}, function(s, x)
      return linear(s, "1", linear(s, "1", x):relu())
    end, lt.randn(2, 8))
    shared = nn.Linear(H * W * C, H * W * C)
    assert_refuses(nn.Sequential{nn.BatchNorm2d(C), nn.Flatten(), shared, shared}, "a flattened map of 5 or 1 channels")
  end)
end)

describe("PyTorch's weights in a model of one's own", function()
  before_each(function() lt.manual_seed(6) end)

  local function linear(s, path, x) return hand.linear(x, s[path .. ".weight"], s[path .. ".bias"]) end

  it("are refused where one part may read another's flattened map", function()
    local function make()
      return own({body = nn.Sequential{nn.Conv2d(3, C, 1), nn.Flatten()},
        head = nn.Sequential{nn.ReLU(), nn.Linear(H * W * C, 7)}, last = nn.Linear(7, 2)},
        function(self, x) return self.last(self.head(self.body(x))) end)
    end
    assert_refuses(make(), "\n  head.2 +Linear.* perhaps a flattened map of 5 channels\nsay it by")
    assert_same(make(), function(s, x)
      local y = hand.flatten(hand.conv(x, s["body.1.weight"], s["body.1.bias"]))
      return linear(s, "last", linear(s, "head.2", y:relu()))
    end, image(3), {channels = {["head.2"] = C}})
  end)

  it("are refused where the forward function flattens, or makes a map, by itself", function()
    local function make()
      return own({conv = nn.Conv2d(3, C, 1), to_code = nn.Linear(H * W * C, 7), from_code = nn.Linear(7, H * W * C),
        deconv = nn.ConvTranspose2d(C, 3, 1)}, function(self, x)
        local code = self.to_code(self.conv(x):reshape(#x, -1))
        return self.deconv(self.from_code(code):reshape(#x, H, W, C))
      end)
    end
    local function theirs(s, x)
      local code = linear(s, "to_code", hand.flatten(hand.conv(x, s["conv.weight"], s["conv.bias"])))
      return hand.deconv(linear(s, "from_code", code):reshape(#x, C, H, W), s["deconv.weight"], s["deconv.bias"])
    end
    assert_refuses(make(), "from_code +Linear.* writes 120 numbers: perhaps a map of 3 or 5 channels\n +to_code")
    assert_refuses(make(), "from_code", {channels = {to_code = C}})
    assert_same(make(), theirs, image(3), {channels = {to_code = C, from_code = {writes = C}}})
  end)

  it("are refused where a Flatten or Reshape stands apart from its neighbours", function()
    local apart = own({flatten = nn.Flatten(), fc = nn.Linear(H * W * C, 2)},
      function(self, x) return self.fc(self.flatten(x)) end)
    assert_refuses(apart, "\n  fc +Linear")
    assert_same(apart, function(s, x) return linear(s, "fc", hand.flatten(x)) end, image(C), {channels = {fc = C}})
    local decoder = own({fc = nn.Linear(3, H * W * C), up = nn.Sequential{nn.Reshape(H, W, C), nn.BatchNorm2d(C)}},
      function(self, z) return self.up(self.fc(z)) end)
    assert_refuses(decoder, "\n  fc +Linear.* writes 120 numbers: perhaps a map of 5 channels\n")
    assert_same(decoder, function(s, z)
      return hand.batch_norm(linear(s, "fc", z):reshape(#z, C, H, W), s, "up.2")
    end, lt.randn(2, 3), {channels = {fc = {writes = C}}})
  end)

  it("need nothing said where the order cannot matter", function()
    -- no maps at all; maps of one channel; sizes that no map of the model has
    assert_same(own({a = nn.Linear(6, 6), b = nn.Sequential{nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 6)}},
      function(self, x) return self.b(self.a(x)) end),
      function(s, x) return linear(s, "b.3", linear(s, "b.1", linear(s, "a", x)):relu()) end, lt.randn(2, 6))
    assert_same(own({conv = nn.Conv2d(1, 1, 1), fc = nn.Linear(H * W, 7)},
      function(self, x) return self.fc(self.conv(x):reshape(#x, -1)) end),
      function(s, x) return linear(s, "fc", hand.flatten(hand.conv(x, s["conv.weight"], s["conv.bias"]))) end, image(1))
    assert_same(own({conv = nn.Conv2d(3, 3, {H, W}), fc = nn.Linear(3, 7)},
      function(self, x) return self.fc(self.conv(x):reshape(#x, -1)) end),
      function(s, x) return linear(s, "fc", hand.flatten(hand.conv(x, s["conv.weight"], s["conv.bias"]))) end, image(3))
  end)

  it("take as channels a divisor of what the layer reads or writes", function()
    local model = own({fc = nn.Linear(6, 4)}, function(self, x) return self.fc(x) end)
    local function given(answer, pattern)
      assert.misuse(function() model:state{layout = "torch", channels = {fc = answer}} end,
        "state: channels: fc: " .. pattern)
    end
    given(4, "expected a divisor of the layer's 6 inputs, got 4")
    given({writes = 3}, "expected a divisor of the layer's 4 outputs, got 3")
    given({write = 2}, 'unknown option "write"')
    given("x", "expected a whole number of at least 1, got \"x\"")
  end)
end)

describe("layer classes", function()
  it("all say what they do to the order of their input", function()
    local known = 0
    for name, class in pairs(nn) do
      if type(class) == "table" and rawget(class, "kind") then
        assert.is_truthy(rawget(class, "torch_layout"), name)
        known = known + 1
      end
    end
    assert.is_true(known >= 18)
  end)
end)
