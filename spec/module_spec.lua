-- What all modules share: parameters by name, state in and out, modes, models of one's own, texts.
local lt = require "latent"
local nn = require "latent.nn"
require "spec.support.close"

local function names(model)
  local list = {}
  for i, entry in ipairs(model:named_parameters()) do list[i] = entry[1] end
  return table.concat(list, " ")
end

local function fill(x, f)
  for i = 1, x:numel() do x:reshape(-1):set(i, f(i)) end
  return x
end

-- An autoencoder small enough to look at.
local function autoencoder()
  return nn.Module {
    kind = "Autoencoder",
    encoder = nn.Sequential {nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)},
    decoder = nn.Sequential {nn.Linear(3, 16), nn.Reshape(4, 4, 1)},
    forward = function(self, x) return self.decoder(self.encoder(x)) end,
  }
end

local function message_of(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

describe("parameters", function()
  it("are named by their path, in a fixed order", function()
    assert.equal("decoder.1.weight decoder.1.bias encoder.1.weight encoder.1.bias encoder.4.weight encoder.4.bias",
      names(autoencoder()))
    local layers = {}
    for i = 1, 11 do layers[i] = nn.Linear(1, 1, {bias = false}) end
    assert.equal("1.weight 2.weight 3.weight 4.weight 5.weight 6.weight 7.weight 8.weight 9.weight 10.weight 11.weight",
      names(nn.Sequential(layers)))
  end)

  it("are the same tensors at every call", function()
    local model = autoencoder()
    local first, second = model:parameters(), model:parameters()
    assert.equal(6, #first)
    for i, p in ipairs(first) do assert.equal(p, second[i]) end
    assert.equal(model.encoder[1].weight, first[3])
    assert.equal(first[3], model:state()["encoder.1.weight"])
  end)

  it("are counted", function()
    assert.equal(2 * 9 + 2 + 8 * 3 + 3 + 3 * 16 + 16, autoencoder():count())
    assert.equal(4, nn.BatchNorm2d(2):count())
  end)

  it("of a module in two places come once", function()
    local shared = nn.Linear(2, 2)
    local model = nn.Sequential {shared, nn.ReLU(), shared}
    assert.equal("1.weight 1.bias", names(model))
    model(lt.ones(1, 2)):sum():backward()
    assert.is_not_nil(shared.weight.grad)
  end)

  it("in two modules come once, and have both names in the state", function()
    local a, b = nn.Linear(2, 2, {bias = false}), nn.Linear(2, 2, {bias = false})
    b.weight = a.weight
    local model = nn.Sequential {a, b}
    assert.equal("1.weight", names(model))
    assert.equal(4, model:count())
    assert.equal(model:state()["1.weight"], model:state()["2.weight"])
  end)

  it("may be replaced", function()
    local model = nn.Sequential {nn.Linear(2, 1)}
    model[1].weight = lt.param(lt.tensor {{2}, {3}})
    model[1].bias = nil
    assert.equal("1.weight", names(model))
    assert.close(model(lt.tensor {{10, 1}}), {{23}})
  end)

  it("have their gradients zeroed", function()
    local model = nn.Linear(2, 2)
    model(lt.ones(1, 2)):sum():backward()
    local grad = model.weight.grad
    model:zero_grad()
    assert.close(grad, {{0, 0}, {0, 0}})
  end)
end)

describe("nn.Module", function()
  it("is a model of one's own with parameters of its own", function()
    local model = nn.Module {
      scale = lt.param(lt.tensor(2)),
      layer = nn.Linear(1, 1),
      note = "no part",
      forward = function(self, x, twice) return self.layer(x) * self.scale * (twice and 2 or 1) end,
    }
    assert.equal("scale layer.weight layer.bias", names(model)) -- its own come first
    local x = lt.ones(1, 1)
    assert.close(model(x, true), model.layer(x) * 4)
    assert.is_true(nn.is_module(model))
    assert.is_false(nn.is_module({}))
  end)

  it("returns all that forward returns", function()
    local model = nn.Module {forward = function(_, x) return x, 2, "three" end}
    assert.same({1, 2, "three"}, {model(1)})
  end)

  it("refuses layers in a plain table: they would not be part of it", function()
    assert.error_matches(function()
      nn.Module {blocks = {nn.Linear(1, 1)}, forward = function() end}
    end, "nn.Module: blocks: layers and parameters in a plain table are not part of the model")
  end)
end)

describe("state", function()
  it("goes round", function()
    local a, b = autoencoder(), autoencoder()
    assert.equal(b, b:load_state(a:state()))
    local x = lt.randn(2, 4, 4, 1)
    assert.equal(a(x):bytes(), b(x):bytes())
    assert.not_equal(a.encoder[1].weight, b.encoder[1].weight) -- copied, not shared
    a.encoder[1].weight:detach():fill_(0)
    assert.not_equal(a(x):bytes(), b(x):bytes())
  end)

  it("holds the running statistics too", function()
    local norm = nn.BatchNorm2d(2)
    norm(lt.randn(4, 2, 2, 2))
    local other = nn.BatchNorm2d(2):load_state(norm:state())
    assert.equal(norm.running_var:bytes(), other.running_var:bytes())
    assert.is_not_nil(norm:state().running_mean)
  end)

  it("that does not fit is refused with a table, and nothing is changed", function()
    local model = autoencoder()
    local state, before = {}, {}
    for name, x in pairs(model:state()) do
      state[name], before[name] = lt.zeros(x), x:bytes()
    end
    state["encoder.4.bias"] = nil
    state["encoder.1.weight"] = lt.ones(3, 3, 2, 1)
    state["decoder.1.bias"] = "text"
    state["decoder.1.weight"] = lt.zeros(3, 16):u8()
    state.extra = lt.ones(2)
    local message = message_of(model.load_state, model, state)
    local lines = {}
    for line in message:gmatch "[^\n]+" do lines[#lines + 1] = (line:gsub(" +", " ")) end
    assert.matches("load_state: the state does not fit the model:$", lines[1])
    assert.same({
      " missing encoder.4.bias expected [3]",
      " unexpected extra got [2]",
      " wrong shape decoder.1.weight expected float32 [3, 16], got u8 [3, 16]",
      " wrong shape encoder.1.weight expected float32 [3, 3, 1, 2], got float32 [3, 3, 2, 1]",
      ' wrong type decoder.1.bias expected a tensor, got "text"',
    }, {table.unpack(lines, 2)})
    for name, x in pairs(model:state()) do assert.equal(before[name], x:bytes()) end
  end)

  it("that misses very much is told in full", function()
    local layers = {}
    for i = 1, 60 do layers[i] = nn.Linear(1, 1) end
    local message = message_of(function() nn.Sequential(layers):load_state {} end)
    local _, missing = message:gsub("missing ", "")
    assert.equal(120, missing)
  end)

  it("refuses options and names that it does not know", function()
    local model = nn.Linear(1, 1)
    assert.error_matches(function() model:load_state({}, {layuot = "torch"}) end,
      'load_state: unknown option "layuot" %(did you mean "layout"%?%)')
    assert.error_matches(function() model:load_state({}, {layout = "jax"}) end,
      'load_state: layout: expected "torch", got "jax"')
    assert.error_matches(function() model:load_state {lt.ones(1, 1)} end,
      "load_state: name: expected a string, got 1")
    assert.error_matches(function() model:load_state(3) end, "load_state: state: expected a table, got 3")
  end)
end)

-- PyTorch's arrays, permuted by hand, element by element.
describe("load_state with layout = torch", function()
  local H, W, C = 2, 3, 4 -- a map that is not square

  it("permutes convolutions", function()
    local w, b = lt.randn(5, 3, 2, 4), lt.randn(5) -- out, in, height, width
    local layer = nn.Conv2d(3, 5, {2, 4}):load_state({weight = w, bias = b}, {layout = "torch"})
    for o = 1, 5 do for i = 1, 3 do for u = 1, 2 do for v = 1, 4 do
      assert.equal(w:get(o, i, u, v), layer.weight:get(u, v, i, o))
    end end end end
    assert.equal(b:bytes(), layer.bias:bytes())
  end)

  it("permutes transposed convolutions", function()
    local w = lt.randn(3, 5, 2, 4) -- in, out, height, width
    local layer = nn.ConvTranspose2d(3, 5, {2, 4}, {bias = false})
    layer:load_state({weight = w}, {layout = "torch"})
    for o = 1, 5 do for i = 1, 3 do for u = 1, 2 do for v = 1, 4 do
      assert.equal(w:get(i, o, u, v), layer.weight:get(u, v, i, o))
    end end end end
  end)

  it("transposes linear layers, also alone", function()
    local w = lt.randn(2, 3)
    local layer = nn.Linear(3, 2, {bias = false}):load_state({weight = w}, {layout = "torch"})
    assert.close(layer.weight, w:transpose(), 0)
  end)

  -- Is `weight` w with its inputs counted (pixel, channel) and not (channel, pixel)?
  local function assert_reads_map(w, weight)
    for o = 1, w:size(1) do
      for c = 0, C - 1 do for pixel = 0, H * W - 1 do
        assert.equal(w:get(o, c * H * W + pixel + 1), weight:get(pixel * C + c + 1, o))
      end end
    end
  end

  for text, flatten in pairs {Flatten = nn.Flatten(), ["Reshape(-1)"] = nn.Reshape(-1)} do
    it("reorders what a linear layer after " .. text .. " reads", function()
      local model = nn.Sequential {
        nn.Conv2d(1, C, 1, {bias = false}), nn.Sequential {nn.ReLU(), nn.Upsample(1)}, flatten,
        nn.Dropout(0.1), nn.Linear(H * W * C, 5),
      }
      local w, b = lt.randn(5, H * W * C), lt.randn(5)
      model:load_state({["1.weight"] = lt.randn(C, 1, 1, 1), ["5.weight"] = w, ["5.bias"] = b},
        {layout = "torch"})
      assert_reads_map(w, model[5].weight)
      assert.equal(b:bytes(), model[5].bias:bytes())
    end)
  end

  it("takes the channels of a map that it cannot see", function()
    local model = nn.Module {head = nn.Sequential {nn.Linear(H * W * C, 2)}, forward = function() end}
    local w, b = lt.randn(2, H * W * C), lt.randn(2)
    local state = {["head.0.weight"] = w, ["head.0.bias"] = b}
    local opts = {layout = "torch", names = {["head.0"] = "head.1"}, channels = {["head.1"] = C}}
    model:load_state(state, opts)
    assert_reads_map(w, model.head[1].weight)
    opts.channels = {["head.1"] = 7}
    assert.error_matches(function() model:load_state(state, opts) end,
      "channels: head.1: expected a divisor of the layer's 24 inputs, got 7")
    opts.channels = {["head.2"] = 4}
    assert.error_matches(function() model:load_state(state, opts) end,
      "channels: head.2: the model has no such linear layer")
  end)

  it("reorders what a linear layer before Reshape writes, weight and bias", function()
    local model = nn.Sequential {nn.Linear(2, H * W * C), nn.ReLU(), nn.Reshape(H, W, C)}
    local w, b = lt.randn(H * W * C, 2), lt.randn(H * W * C)
    model:load_state({["0.weight"] = w, ["0.bias"] = b}, {layout = "torch", names = {["0"] = "1"}})
    for c = 0, C - 1 do for pixel = 0, H * W - 1 do
      local theirs, ours = c * H * W + pixel + 1, pixel * C + c + 1
      assert.equal(b:get(theirs), model[1].bias:get(ours))
      for i = 1, 2 do assert.equal(w:get(theirs, i), model[1].weight:get(i, ours)) end
    end end
  end)

  it("reorders a layer norm between them", function()
    local model = nn.Sequential {nn.BatchNorm2d(C), nn.Flatten(), nn.LayerNorm(H * W * C),
      nn.Linear(H * W * C, 5)}
    local state = model:state()
    local theirs = {}
    for name, x in pairs(state) do theirs[name] = lt.randn(x) end
    theirs["4.weight"] = lt.randn(5, H * W * C)
    model:load_state(theirs, {layout = "torch"})
    assert_reads_map(theirs["4.weight"], model[4].weight)
    assert_reads_map(theirs["3.weight"]:reshape(1, -1), model[3].weight:reshape(-1, 1))
  end)

  it("takes batch norm as it is and drops its counter", function()
    local norm = nn.BatchNorm2d(3)
    local state = {weight = lt.randn(3), bias = lt.randn(3), running_mean = lt.randn(3), running_var = lt.rand(3),
      num_batches_tracked = lt.tensor(12)}
    norm:load_state(state, {layout = "torch"})
    for _, name in ipairs {"weight", "bias", "running_mean", "running_var"} do
      assert.equal(state[name]:bytes(), norm[name]:bytes())
    end
    assert.error_matches(function() norm:load_state(state) end, "unexpected +num_batches_tracked")
  end)

  it("renames by the longest beginning, and refuses two names for one", function()
    local model = nn.Module {a = nn.Linear(1, 1, {bias = false}), b = nn.Linear(1, 1, {bias = false}),
      forward = function() end}
    local state = {["net.0.weight"] = lt.tensor {{1}}, ["net.1.weight"] = lt.tensor {{2}}}
    model:load_state(state, {names = {net = "nothing", ["net.0"] = "b", ["net.1.weight"] = "a.weight"}})
    assert.equal(1, model.b.weight:item())
    assert.equal(2, model.a.weight:item())
    assert.error_matches(function() model:load_state(state, {names = {["net.0"] = "a", ["net.1"] = "a"}}) end,
      "load_state: names: net.%d.weight and net.%d.weight both become a.weight")
    assert.error_matches(function() model:load_state(state, {names = {net = 1}}) end,
      "load_state: names: net: expected a string, got 1")
  end)

  it("still says which shapes are wrong", function()
    local model = nn.Sequential {nn.Conv2d(1, C, 1, {bias = false}), nn.Flatten(), nn.Linear(24, 5)}
    assert.error_matches(function()
      model:load_state({["1.weight"] = lt.ones(C, 1, 1), ["3.weight"] = lt.ones(5, 23), ["3.bias"] = lt.ones(5)},
        {layout = "torch"})
    end, "wrong shape +1.weight +expected float32 %[1, 1, 1, 4%], got float32 %[4, 1, 1%]\n"
      .. " +wrong shape +3.weight +expected float32 %[24, 5%], got float32 %[23, 5%]")
  end)
end)

describe("freeze", function()
  it("stops gradients, keeps names and state, and is undone", function()
    local model = autoencoder()
    local before = names(model)
    model(lt.randn(2, 4, 4, 1)):sum():backward()
    assert.equal(model.encoder, model.encoder:freeze())
    model(lt.randn(2, 4, 4, 1)):sum():backward()
    assert.is_nil(model.encoder[1].weight.grad) -- the old one is gone too
    assert.is_not_nil(model.decoder[1].weight.grad)
    assert.equal(before, names(model))
    assert.is_false(model.encoder[4].bias.requires_grad)
    model:load_state(model:state())
    model:freeze():freeze():unfreeze()
    assert.is_true(model.encoder[4].bias.requires_grad)
    model(lt.randn(2, 4, 4, 1)):sum():backward()
    assert.is_not_nil(model.encoder[1].weight.grad)
  end)

  it("and the modes of parts are told and taken up again", function()
    local model, other = autoencoder(), autoencoder()
    model.encoder:freeze()
    model.decoder[1]:eval()
    local modes = model:modes()
    assert.same({"decoder.1"}, modes.eval)
    assert.is_true(#modes.frozen > 0)
    for _, name in ipairs(modes.frozen) do assert.matches("^encoder%.", name) end
    other.decoder:freeze():eval()
    other(lt.param(lt.randn(2, 4, 4, 1))):sum():backward()
    assert.equal(other, other:set_modes(modes))
    assert.same(modes, other:modes())
    assert.is_nil(other.encoder[1].weight.grad)
    assert.equal(names(model), names(other))
    other:unfreeze()
    assert.same({eval = modes.eval, frozen = {}}, other:modes())
    assert.error_matches(function() other:set_modes {} end, "set_modes: eval: expected a list, got nil")
  end)

  it("lets gradients through to the input", function()
    local decoder, z = autoencoder().decoder:freeze(), lt.param(lt.ones(1, 3))
    decoder(z):sum():backward()
    assert.same({1, 3}, z.grad.shape)
  end)

  it("by hand leaves a layer's parameter a parameter", function()
    local layer = nn.Linear(1, 1)
    layer.weight:requires_grad_(false)
    assert.equal("weight bias", names(layer))
  end)
end)

describe("modes", function()
  it("reach every part", function()
    local drop = nn.Dropout()
    local model = nn.Module {body = nn.Sequential {nn.Sequential {drop}}, forward = function() end}
    assert.is_true(drop.training)
    assert.equal(model, model:eval())
    assert.is_false(drop.training)
    assert.equal(model, model:train())
    assert.is_true(drop.training)
  end)
end)

describe("summary", function()
  it("lists parts, shapes and counts", function()
    assert.equal(table.concat({
      "name                 layer                                        output               parameters",
      "                     Sequential                                   [2, 3]",
      "1                    Conv2d(1 -> 2, 3x3)                          [2, 2, 2, 2]                 20",
      "2                    Flatten                                      [2, 8]                        0",
      "3                    Linear(8 -> 3)                               [2, 3]                       27",
      "total                                                                                          47",
    }, "\n"), nn.Sequential {nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)}:summary {2, 4, 4, 1})
  end)

  it("is as wide as its texts", function()
    local up = nn.Sequential{nn.ConvTranspose2d(16, 8, 4, {stride = 2, padding = 1})}
    local lines = {}
    for line in up:summary{1, 2, 2, 16}:gmatch "[^\n]+" do lines[#lines + 1] = line end
    local column = lines[1]:find "output"
    assert.equal("[1, 4, 4, 8]", lines[2]:sub(column))
    assert.equal("[1, 4, 4, 8]", lines[3]:sub(column, column + 11))
    assert.equal(#lines[1], #lines[3])
    assert.equal(#lines[1], #lines[4])
  end)

  it("names a part with parameters of its own by its kind", function()
    local film = nn.Module{kind = "Film", scale = lt.param(lt.ones(2)),
      forward = function(self, x) return x * self.scale end}
    assert.matches("\n2 +Film +%[1, 2%] +2\n", nn.Sequential{nn.Tanh(), film}:summary{1, 2})
  end)

  it("leaves modes, running statistics and gradients as they were", function()
    local norm, drop = nn.BatchNorm2d(1), nn.Dropout():eval()
    local model = nn.Sequential {norm, drop}
    model:summary {2, 2, 2, 1}
    assert.is_true(model.training and norm.training)
    assert.is_false(drop.training)
    assert.close(norm.running_var, {1}, 0)
    assert.is_true(lt.is_recording())
  end)

  it("of a shape that does not fit is the layer's error, and the next one works", function()
    local model = nn.Sequential {nn.Linear(2, 3)}
    assert.error_matches(function() model:summary {1, 3} end, "Linear%(2 %-> 3%): expected %[%*, 2%], got %[1, 3%]")
    assert.error_matches(function() model:summary(3) end, "summary: expected the input's shape.*, got 3")
    assert.matches("%[1, 3%]", model:summary {1, 2})
    assert.is_true(model.training)
  end)
end)

describe("tostring", function()
  it("is a tree", function()
    assert.equal(table.concat({
      "Autoencoder(",
      "  decoder: Sequential(",
      "    1: Linear(3 -> 16)",
      "    2: Reshape(4, 4, 1)",
      "  )",
      "  encoder: Sequential(",
      "    1: Conv2d(1 -> 2, 3x3)",
      "    2: ReLU",
      "    3: Flatten",
      "    4: Linear(8 -> 3)",
      "  )",
      ")",
    }, "\n"), tostring(autoencoder()))
    assert.equal("Sequential()", tostring(nn.Sequential {}))
    assert.equal("Module()", tostring(nn.Module {forward = function() end}))
    assert.matches("text: Linear", tostring(nn.Module {text = nn.Linear(2, 2), forward = function() end}))
    local own = nn.Module {scale = lt.param(lt.ones(3)), fc = nn.Linear(2, 3), constant = lt.ones(2),
      forward = function() end}
    assert.equal("Module(\n  fc: Linear(2 -> 3)\n  scale: parameter [3]\n)", tostring(own))
    own:freeze()
    assert.matches("\n  scale: parameter %[3%]\n", tostring(own))
  end)
end)

describe("the text of a tensor", function()
  it("is short, whatever the tensor", function()
    for _, shape in ipairs {{}, {3}, {1000}, {300, 300}, {10, 32, 32, 1}, {8, 8, 8}, {3, 100, 100},
      {2, 2, 2, 2, 2, 2, 2, 2}, {5, 5, 5, 5, 5, 5}, {0, 3}} do
      local text = tostring(fill(lt.zeros(shape), function(i) return i / 7 end))
      local _, breaks = text:gsub("\n", "")
      assert.is_true(breaks <= 20, text)
      local head = "tensor [" .. table.concat(shape, ", ") .. "] float32"
      assert.equal(head, text:sub(1, #head))
    end
  end)

  it("shows small ones whole and the ends of long ones", function()
    assert.equal("tensor [2, 3] float32\n[[  1,   2,   3],\n [  4,   5, 6.5]]",
      tostring(lt.tensor {{1, 2, 3}, {4, 5, 6.5}}))
    assert.equal("tensor [10] float32\n[ 1,  2,  3,  4,  5,  6,  7,  8,  9, 10]", tostring(lt.arange(10)))
    assert.equal("tensor [109] float32\n[  1,   2,   3, ..., 107, 108, 109]", tostring(lt.arange(109)))
    assert.equal("tensor [2] float32, wants gradient\n[ nan, -inf]", tostring(lt.param {0 / 0, -math.huge}))
    assert.equal("tensor [4, 1] u8\n[[1],\n [2],\n [3],\n [4]]", tostring(lt.arange(4):reshape(4, 1):u8()))
  end)
end)
