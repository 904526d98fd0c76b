-- The element types: i64 and u8 beside the floating ones, and float64 beside float32.
require "spec.support.close"
require "spec.support.misuse"
local layer_cases = require "spec.support.layer_cases"
local lt = require "latent"
local npy = require "latent.npy"
local npz = require "latent.npz"
local options = require "latent.base.options"
local pt = require "latent.pt"
local safetensors = require "latent.safetensors"
local scratch = require "spec.support.scratch"
local nn = require "latent.nn"
local optim = require "latent.optim"

local BIG = (1 << 53) + 1 -- no double is this number

local function i64(values) return lt.tensor(values, {dtype = "i64"}) end

describe("i64", function()
  it("is made by name, in PyTorch's spellings too", function()
    for name, dtype in pairs{i64 = "i64", int64 = "i64", long = "i64", u8 = "u8", uint8 = "u8", byte = "u8",
      float32 = "float32", float = "float32", float64 = "float64", double = "float64"} do
      for what, x in pairs{tensor = lt.tensor({1, 2}, {dtype = name}), zeros = lt.zeros(2, {dtype = name}),
        ones = lt.ones({2}, {dtype = name}), full = lt.full({2}, 3, {dtype = name}), bare = lt.full({2}, 3, name),
        arange = lt.arange(2, {dtype = name}), eye = lt.eye(2, {dtype = name})} do
        assert.equal(dtype, x.dtype, what)
      end
    end
    assert.same({{1, 0}, {0, 1}}, lt.eye(2, {dtype = "i64"}):table())
    assert.same({BIG, BIG + 2, BIG + 4}, lt.arange(BIG, BIG + 5, 2, {dtype = "i64"}):table())
    assert.same({3, 2, 1}, lt.arange(3, 1, -1, {dtype = "i64"}):table())
    assert.equal(0, #lt.arange(3, 2, {dtype = "i64"}))
    assert.same({BIG}, lt.from_bytes(("<i8"):pack(BIG), {1}, {dtype = "i64"}):table())
    assert.same({2, 3}, lt.zeros(lt.ones(2, 3), {dtype = "i64"}).shape)
  end)

  it("keeps every whole number, and gives it back as an integer", function()
    local x = i64{{BIG, -BIG}, {math.maxinteger, math.mininteger}}
    assert.equal(BIG, x:get(1, 1))
    assert.equal("integer", math.type(x:get(1, 2)))
    assert.equal(math.mininteger, x[2][2])
    assert.same({{BIG, -BIG}, {math.maxinteger, math.mininteger}}, x:table())
    x:set(1, 1, BIG + 2)
    x[2][1] = 7.0 -- whole
    assert.same({{BIG + 2, -BIG}, {7, math.mininteger}}, x:table())
    assert.equal(BIG, i64(BIG):item())
    assert.equal(BIG, i64{1, 2}:fill_(BIG)[2])
    assert.truthy(tostring(i64{BIG, 1}):find("[9007199254740993,                1]", 1, true))
    for i, v in i64{4, 5}:rows() do assert.equal(i + 3, v) end
    assert.same({BIG, 2}, i64{BIG, 2}:clone():table())
  end)

  it("refuses what is not whole, with its value", function()
    assert.misuse(function() lt.tensor({1.5}, {dtype = "i64"}) end, "tensor: expected a whole number for i64, got 1.5")
    assert.misuse(function() i64{1}:fill_(0.5) end, "fill_: value: expected a whole number for i64, got 0.5")
    assert.misuse(function() i64{1}:set(1, 2 ^ 63) end, "set: expected a whole number for i64, got 9.22%d+e%+18")
    assert.misuse(function() lt.arange(1.5, 3, {dtype = "i64"}) end, "arange: first: expected a whole number")
    assert.misuse(function() lt.zeros(2, {dtype = "int32"}) end,
      'zeros: dtype: expected "float32", "float64", "u8" or "i64", got "int32"')
    assert.misuse(function() lt.zeros(2, {dtpye = "i64"}) end,
      'zeros: unknown option "dtpye" %(did you mean "dtype"%?%)')
    assert.misuse(function() lt.randn(2, {dtype = "i64"}) end, 'randn: dtype: expected "float32" or')
    assert.misuse(function() lt.param(i64{1}) end, "param: expected float32, got i64")
  end)

  it("is converted to and from", function()
    assert.same({1, -2, 3}, lt.tensor{1.9, -2.9, 3}:long():table())
    assert.same({1, 2}, i64{1, 2}:byte():table())
    assert.equal("u8", i64{1, 2}:byte().dtype)
    assert.same({0, 255, 7}, i64{-3, 300, 7}:u8():table())
    assert.equal("float32", i64{1, 2}:float().dtype)
    local x = i64{1}
    assert.equal(x, x:long())
    assert.misuse(function() lt.tensor{0, 1e30}:long() end, "long: element 2 is 1.0000%d+e%+30, which i64 cannot hold")
    assert.misuse(function() lt.tensor{0 / 0}:long() end, "long: element 1 is NaN, which i64 cannot hold")
    assert.misuse(function() i64{3, 256}:byte() end, "byte: element 2 is 256, which u8 cannot hold")
    assert.misuse(function() lt.tensor{-1}:byte() end, "byte: element 1 is %-1, which u8 cannot hold")
    assert.same({1, 2}, lt.tensor(lt.tensor{1.5, 2}, {dtype = "i64"}):table())
  end)

  it("goes through the ops that move elements", function()
    local x = i64{{BIG, 2, 3}, {4, 5, 6}}
    assert.same({{BIG, 2}, {3, 4}, {5, 6}}, x:reshape(3, 2):table())
    assert.same({{BIG, 4}, {2, 5}, {3, 6}}, x:transpose():table())
    assert.same({{2, 3}, {5, 6}}, x:slice(2, 2, 3):table())
    assert.same({{3, 2, BIG}, {6, 5, 4}}, x:flip(2):table())
    assert.same({{4, 5, 6}, {BIG, 2, 3}}, x:gather_rows{2, 1}:table())
    assert.same({{4, 5, 6}}, x:gather_rows(i64{2}):table())
    assert.same({4, 3}, lt.cat{x, x}.shape)
    assert.equal("i64", lt.stack{x, x}.dtype)
    assert.same({{7, 7}, {7, 7}}, i64{7}:broadcast_to(2, 2):table())
    assert.same({{7, 7}}, i64{7}:byte():broadcast_to{1, 2}:table())
    assert.misuse(function() return lt.cat{x, lt.ones(2, 3)} end, "cat: tensor 2: expected i64 %[2, 3%]")
  end)

  it("is compared exactly, also with the others", function()
    local x = i64{BIG, BIG - 1, -5}
    assert.equal("u8", x:eq(BIG).dtype)
    assert.same({1, 0, 0}, x:eq(BIG):table())
    assert.same({0, 1, 0}, x:eq(2.0 ^ 53):table())
    assert.same({1, 0, 0}, x:gt(2.0 ^ 53):table())
    assert.same({0, 0, 1}, x:lt(-4.5):table())
    assert.same({0, 0, 1}, x:ge(-5.5):le(x:le(-4)):table())
    assert.same({1, 1, 1}, x:ne(lt.tensor{0 / 0, 1 / 0, -1 / 0}):table())
    assert.same({0, 1, 0}, x:lt(lt.tensor{0 / 0, 1 / 0, -1 / 0}):table())
    assert.same({0, 0, 1}, lt.tensor{0 / 0, -1 / 0, 1 / 0}:gt(x):table())
    assert.same({1, 1}, i64{3, 4}:eq(lt.tensor({3, 4}, {dtype = "u8"})):table())
    assert.same({{1, 0}, {0, 1}}, i64{{1}, {2}}:eq(i64{1, 2}):table())
  end)

  it("is added, multiplied and divided as whole numbers", function()
    local x = i64{BIG, -7, 7}
    assert.same({BIG + 1, -6, 8}, (x + 1):table())
    assert.same({2 - BIG, 9, -5}, (2 - x):table())
    assert.same({2 * BIG, -14, 14}, (x * 2):table())
    assert.same({-BIG, 7, -7}, (-x):table())
    assert.same({BIG, 7, 7}, x:abs():table())
    assert.same({BIG // 2, -4, 3}, (x // 2):table())
    assert.same({1, 1, 1}, (x % 2):table())
    assert.same({1, -1, 1}, x:fmod(2):table())
    assert.same({-BIG, 7, -7}, (x // -1):table())
    assert.same({math.mininteger}, (i64{math.maxinteger} + 1):table())
    assert.same({BIG, 0, 7}, x:maximum(0):table())
    assert.same({0, -7, 0}, x:minimum(0):table())
    assert.same({BIG, 1, 7}, lt.where(x:gt(0), x, 1):table())
    assert.same({{2, 3}, {3, 4}}, (i64{{1}, {2}} + i64{1, 2}):table())
    assert.same({3, 5}, i64{1, 2}:add_(i64{2, 3}):table())
    assert.misuse(function() return x // 0 end, "[^:]*: b: 0 at position 1, which whole numbers cannot be divided by")
    assert.misuse(function() return x:clone():add_(0.5) end,
      "add_: the result is float32 and does not fit into i64 in place")
    assert.misuse(function() return x:sqrt() end, "sqrt: x: expected float32, got i64 %(convert it with :float%(%)%)")
  end)

  it("gives way to floating types", function()
    assert.equal("float32", (i64{1, 2} * 0.5).dtype)
    assert.equal("float32", (i64{1, 2} * 2.0).dtype)
    assert.same({0.5, 1}, (i64{1, 2} / 2):table())
    assert.same({3.5, 5}, (i64{1, 2} + lt.tensor{2.5, 3}):table())
    local x = lt.param(lt.tensor{1, 2, 3})
    local y = (x * x:gt(1) * i64{1, 2, 3}):sum()
    y:backward()
    assert.same({0, 2, 3}, x.grad:table())
    assert.equal("float32", x.grad.dtype)
    assert.same({0, 2}, lt.where(lt.tensor({0, 1}, {dtype = "u8"}), lt.tensor{1, 2}, 0):table())
  end)

  it("is summed and searched", function()
    local x = i64{{BIG, 2, 1}, {4, 4, -6}}
    assert.equal(BIG + 5, x:sum():item())
    assert.same({BIG + 4, 6, -5}, x:sum(1):table())
    assert.same({{BIG + 3}, {2}}, x:sum(2, {keepdim = true}):table())
    assert.same({BIG, 4}, x:max(2):table())
    assert.equal(-6, x:min():item())
    assert.same({1, 1}, x:argmax(2):table())
    assert.same({2, 1, 2}, x:argmin(1):table())
    assert.equal(6, x:argmin():item())
    assert.equal(0.75, i64{1, 0, 1, 1}:mean():item())
    assert.equal(3, lt.tensor{1, 2, 3, 4}:gt(1):sum():item())
    assert.equal(0, i64{}:sum():item())
    assert.misuse(function() lt.zeros(0, {dtype = "i64"}):max() end, "max: x: expected at least one element")
  end)

  it("is what places come in, and are taken in", function()
    for _, x in ipairs{lt.tensor{1, 3, 2}:argmax(), lt.tensor{1, 3, 2}:argmin(), lt.randperm(3),
      (lt.knn({{1}, {2}}, {{1}}))} do
      assert.equal("i64", x.dtype)
    end
    local x = lt.tensor{{1, 2}, {3, 4}, {5, 6}}
    for _, index in ipairs{i64{3, 1}, lt.tensor{3, 1}, lt.tensor({3, 1}, {dtype = "u8"}), {3, 1}} do
      assert.same({{5, 6}, {1, 2}}, x:gather_rows(index):table())
      assert.same({{0, 0, 0, 1}, {0, 1, 0, 0}}, lt.one_hot(index, 4):table())
    end
    assert.misuse(function() x:gather_rows(i64{BIG}) end,
      "gather_rows: index: expected whole numbers 1..3, got 9007199254740993 at position 1")
    assert.equal(lt.cross_entropy(x, {0, 1, 1}):item(), lt.cross_entropy(x, i64{0, 1, 1}):item())
  end)

  it("comes back from every format as it went", function()
    local folder, remove = scratch.folder()
    local x, u = i64{{BIG, -BIG}, {math.maxinteger, math.mininteger}}, lt.tensor({1, 255}, {dtype = "u8"})
    local d = lt.tensor({0.1, 1e300}, {dtype = "float64"})
    npy.save(folder .. "/x.npy", x)
    npz.save(folder .. "/x.npz", {x = x, u = u, d = d}, {compress = true})
    pt.save(folder .. "/x.pt", {x = x, u = u, d = d})
    safetensors.save(folder .. "/x.safetensors", {x = x, u = u, d = d})
    local files = {{x = assert(npy.load(folder .. "/x.npy"))}, assert(npz.load(folder .. "/x.npz")),
      assert(pt.load(folder .. "/x.pt")), (assert(safetensors.load(folder .. "/x.safetensors")))}
    for _, got in ipairs(files) do
      assert.equal("i64", got.x.dtype)
      assert.same(x:table(), got.x:table())
      if got.u then
        assert.equal("u8", got.u.dtype)
        assert.same(d:table(), got.d:table())
      end
    end
    remove()
  end)
end)

describe("float64", function()
  after_each(function() lt.set_default_dtype "float32" end)

  it("is the default type where that is asked for", function()
    assert.equal("float32", lt.get_default_dtype())
    lt.set_default_dtype "double"
    assert.equal("float64", lt.get_default_dtype())
    assert.equal(0.1, lt.tensor(0.1):item())
    for _, x in ipairs{lt.zeros(2), lt.randn(2), lt.rand(2), lt.arange(3), lt.linspace(0, 1, 3), lt.eye(2),
      lt.full({1}, 2), lt.one_hot({1}, 3), lt.tensor{1}:eq(1):mean()} do
      assert.equal("float64", x.dtype)
    end
    lt.set_default_dtype "float32"
    assert.equal("float32", lt.zeros(2).dtype)
    for _, name in ipairs{"i64", "f64", 3} do
      assert.misuse(function() lt.set_default_dtype(name) end,
        'set_default_dtype: expected "float32" or "float64", got ')
    end
  end)

  it("draws the random numbers of float32", function()
    for _, name in ipairs{"rand", "randn"} do
      lt.manual_seed(3)
      local single = lt[name](1001)
      lt.manual_seed(3)
      local double = lt[name](1001, {dtype = "float64"})
      assert.equal("float64", double.dtype)
      assert.same(single:table(), double:table())
    end
    assert.equal("float64", lt.randn(lt.ones(2, {dtype = "float64"})).dtype)
  end)

  it("does not mix with float32", function()
    local a, b = lt.ones(2), lt.ones(2, {dtype = "float64"})
    assert.misuse(function() return a + b end,
      "[^:]*: a is float32 and b float64; make them one type, with a:double%(%) or b:float%(%)")
    assert.misuse(function() b:reshape(1, 2):matmul(lt.ones(2, 2)) end,
      "matmul: a is float64 and b float32; make them one type, with b:double%(%) or a:float%(%)")
    assert.misuse(function() return lt.cat{a, b} end,
      "cat: item 1 is float32 and item 2 float64; make them one type, with :double%(%) or :float%(%)")
    assert.misuse(function() lt.knn(lt.ones(2, 1), lt.ones(1, 1, {dtype = "float64"})) end,
      "knn: train is float32 and query float64; make them one type")
    assert.misuse(function() a:copy_(b) end, "copy_: expected float32 %[2%], got float64 %[2%]")
    assert.equal("float64", (b * 2 + 0.5).dtype)
    assert.equal(1.1, (0.1 + b)[1])
  end)

  it("has gradients of its own type, through conversions too", function()
    local x, w = lt.param(lt.tensor{1, 2}), lt.param(lt.tensor({0.1, 0.2}, {dtype = "float64"}))
    local loss = (x:double() * w):sum()
    assert.equal("float64", loss.dtype)
    loss:backward()
    assert.equal("float32", x.grad.dtype)
    assert.close(x.grad, {0.1, 0.2}, 1e-7)
    assert.equal("float64", w.grad.dtype)
    assert.same({1, 2}, w.grad:table())
    w:zero_grad()
    w:float():square():sum():backward()
    assert.equal("float64", w.grad.dtype)
    assert.close(w.grad, {0.2, 0.4}, 1e-7)
    assert.equal(w, w:double())
    assert.misuse(function() x:sum():backward(lt.tensor(1.0, {dtype = "float64"})) end,
      "backward: gradient: expected float32, got float64")
    assert.misuse(function() x.grad = lt.zeros(2, {dtype = "float64"}) end,
      "grad: expected a tensor of the same shape and dtype")
  end)

  it("is finer than float32 in every kind of op", function()
    local function worst(f)
      lt.manual_seed(1)
      local x = lt.randn(4, 6)
      return (f(x):double() - f(x:double())):abs():max():item()
    end
    for name, f in pairs{exp = lt.exp, softmax = function(x) return x:softmax(2) end,
      matmul = function(x) return x:matmul(x:transpose()) end, sum = function(x) return x:sum(1) end,
      norm = function(x) return lt.layer_norm(x, lt.ones(x:slice(1, 1, 1):reshape(-1)), lt.zeros(x[1])) end} do
      local error = worst(f)
      assert.is_true(error > 0 and error < 1e-5, name .. " " .. error)
    end
    local x = lt.tensor({{1, 2}, {4, 6}}, {dtype = "float64"})
    local index, distance = lt.knn(x, {{1.0, 2.1}}, 2)
    assert.same({{1, 2}}, index:table())
    assert.close(distance, {{0.1, math.sqrt(9 + 3.9 ^ 2)}}, 1e-14)
    local p = lt.param(x)
    p:square():sum():backward()
    local norm = lt.clip_grad_norm({p}, 1)
    assert.close(lt.tensor(norm, {dtype = "float64"}), 2 * math.sqrt(57), 1e-13)
    assert.close(p.grad:square():sum(), 1, 1e-6)
  end)

  local function model()
    lt.manual_seed(5)
    return nn.Sequential{nn.Conv2d(1, 3, 3, {padding = 1}), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(),
      nn.Linear(48, 4)}
  end

  -- The losses of some steps.
  local function train(m, optimiser, x, steps)
    local losses = {}
    for i = 1, steps do
      optimiser:zero_grad()
      local loss = lt.mse_loss(m(x), lt.zeros(2, 4, {dtype = x.dtype}))
      loss:backward()
      optimiser:step()
      losses[i] = loss:item()
    end
    return losses
  end

  it("trains a model that was converted, or made so", function()
    lt.manual_seed(6)
    local x = lt.randn(2, 4, 4, 1)
    local single = model()
    local want = train(single, optim.Adam(single:parameters(), {lr = 0.01}), x, 5)
    local double = model():double()
    for _, p in ipairs(double:parameters()) do assert.equal("float64", p.dtype) end
    local got = train(double, optim.Adam(double:parameters(), {lr = 0.01}), x:double(), 5)
    for i, loss in ipairs(want) do
      assert.is_true(math.abs(loss - got[i]) < 1e-5 * loss and loss ~= got[i], i)
    end
    assert.equal("float64", double[2].running_mean.dtype)
    lt.set_default_dtype "float64"
    local born = model()
    lt.set_default_dtype "float32"
    assert.equal("float64", born[1].weight.dtype)
    assert.equal("float32", born:float()[1].weight.dtype)
    assert.misuse(function() single(x:double()) end, "[^:]*: .*float64.* make them one type")
    assert.equal("float32", single:float():load_state(double:state())[1].weight.dtype)
  end)

  it("has its type by an option of every layer with arrays of its own", function()
    local wide = {dtype = "float64"}
    for _, layer in ipairs{nn.Linear(3, 4, wide), nn.Conv2d(1, 2, 3, wide), nn.ConvTranspose1d(1, 2, 3, wide),
      nn.LSTM(3, 4, wide), nn.GRUCell(3, 4, wide), nn.BatchNorm2d(4, wide), nn.LayerNorm(4, wide), nn.PReLU(2, wide),
      nn.Embedding(3, 4, wide), nn.TransformerEncoder(4, 2, 2, wide)} do
      for name, x in pairs(layer:state()) do assert.equal("float64", x.dtype, name) end
    end
    assert.equal("float32", lt.get_default_dtype())
    assert.misuse(function() nn.Linear(3, -1, wide) end, "nn.Linear: outputs: expected a whole number of at least 1")
    assert.misuse(function() nn.Linear(3, 4, {dtype = "i64"}) end,
      'nn.Linear: dtype: expected "float32" or "float64", got "i64"')
    assert.equal("float32", lt.get_default_dtype())
    local count = 0
    for _, name in ipairs(layer_cases.classes()) do
      local rows, layer = options.declared["nn." .. name], layer_cases.made(name)
      if rows and #layer:parameters() > 0 then
        local found = false
        for _, row in ipairs(rows) do found = found or row.name == "dtype" end
        assert.is_true(found, name)
        count = count + 1
      end
    end
    assert.is_true(count > 15)
  end)

  it("goes on from a checkpoint to the same bits", function()
    local folder, remove = scratch.folder()
    lt.manual_seed(7)
    local x = lt.randn(2, 4, 4, 1):double()
    local m = model():double()
    local o = optim.Adam(m:parameters(), {lr = 0.01})
    train(m, o, x, 3)
    safetensors.save(folder .. "/model", m:state())
    local state = o:state()
    safetensors.save(folder .. "/optimiser", state.arrays)
    local want = train(m, o, x, 3)
    local n = model():double():load_state(assert(safetensors.load(folder .. "/model")))
    local p = optim.Adam(n:parameters(), {lr = 0.01})
    p:load_state{steps = 3, lr = 0.01, arrays = assert(safetensors.load(folder .. "/optimiser"))}
    assert.same(want, train(n, p, x, 3))
    remove()
  end)
end)
