--- What is run while allocations fail: every op forward and back, every layer, optimiser, reader and writer, what the
-- modules compute besides, and a training run with log and checkpoint. A case is a function of a folder of its own
-- that gives what it computed as a string, the same each time; a nil and a message is what a reader or writer says.
local core = require "latent.core"
local lt, nn, optim, data = require "latent", require "latent.nn", require "latent.optim", require "latent.data"
local files = require "latent.base.files"
local op_cases, layer_cases = require "spec.support.op_cases", require "spec.support.layer_cases"
local small_gan, small_run = require "spec.support.small_gan", require "spec.support.small_run"
local values = require "spec.support.values"

local M = {}

local list = {}
local function add(name, f, writes) list[#list + 1] = {name = name, run = f, writes = writes or false} end

-- ---- what was computed, as a string ----

local function tell(value)
  if core.is_tensor(value) then return table.concat(value.shape, ",") .. ":" .. value:bytes() end
  if type(value) ~= "table" then return tostring(value) end
  local keys, parts = {}, {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i, key in ipairs(keys) do parts[i] = tostring(key) .. "=" .. tell(value[key]) end
  return "{" .. table.concat(parts, ";") .. "}"
end

-- The value, and the gradients of the inputs.
local function forward_and_back(y, inputs)
  local parts = {tell(y)}
  y:backward(values.tensor(lt, y.shape, 11))
  for i, x in ipairs(inputs) do parts[i + 1] = x.grad and tell(x.grad) or "none" end
  return table.concat(parts, "|")
end

-- ---- ops ----

local function any(...) return values.tensor(lt, {...}, 1) end

-- Those that no gradient case has.
local OTHERS = {
  one_hot = function() return lt.one_hot(lt.tensor{0, 2, 1}, 3) end,
  bernoulli = function()
    lt.manual_seed(3)
    return lt.bernoulli(lt.full({4, 5}, 0.5))
  end,
  nonzero = function() return lt.nonzero(any(3, 4):gt(0)) end,
  searchsorted = function() return lt.searchsorted(lt.arange(1, 9), any(3, 4)) end,
}
for _, name in ipairs{"eq", "ne", "lt", "le", "gt", "ge"} do
  OTHERS[name] = function() return lt[name](any(3, 4), values.tensor(lt, {4}, 2)) end
end
for _, name in ipairs{"argmax", "argmin"} do OTHERS[name] = function() return lt[name](any(3, 4), 2) end end

-- What the ops in place take after their only tensor.
local IN_PLACE = {pow = {2}, clamp = {{min = 0.3}}, polygamma = {1}}

local function add_ops()
  local names = {}
  for name in pairs(op_cases.cases) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    for i, case in ipairs(op_cases.cases[name]) do
      add(("op %s %d"):format(name, i), function()
        lt.manual_seed(1)
        local inputs = op_cases.inputs(lt, case)
        return forward_and_back(case.f(lt, table.unpack(inputs)), inputs)
      end)
    end
  end
  for _, op in ipairs(core.registry()) do
    if not op_cases.cases[op.name] then
      local f = assert(OTHERS[op.name], "no case for the op " .. op.name)
      add("op " .. op.name, function() return tell(f()) end)
    end
    if op.elementwise then
      add("op " .. op.name .. "_", function()
        local x = any(3, 4):abs() + 0.1
        local more = #op.inputs == 2 and {x:slice(1, 1, 1)} or #op.inputs == 3 and {x, x} or IN_PLACE[op.name] or {}
        return tell(x[op.name .. "_"](x, table.unpack(more)))
      end)
    end
  end
end

-- ---- layers ----

local function add_layers()
  for _, name in ipairs(layer_cases.classes()) do
    add("nn." .. name, function()
      lt.manual_seed(2)
      local layer, given = layer_cases.made(name)
      local inputs = layer:parameters()
      if given[1].requires_grad then table.insert(inputs, 1, given[1]) end
      local y = layer(table.unpack(given, 1, given.n))
      local result = #inputs > 0 and forward_and_back(y, inputs) or tell(y)
      return result .. tell(layer:state()) .. tell((layer:eval()(table.unpack(given, 1, given.n))))
    end)
  end
end

-- ---- optimisers ----

local function add_optimizers()
  for _, row in ipairs(core.optimizers()) do
    local name, opts = row.name, {lr = 0.1}
    for _, number in ipairs(row.numbers) do
      if number.name == "momentum" then opts.momentum = 0.9 end
    end
    add("optim." .. name, function()
      local w = lt.param(any(3, 4))
      local opt = optim[name]({w}, opts)
      for _ = 1, 2 do
        opt:zero_grad()
        w:square():sum():backward()
        optim.clip_grad_norm({w}, 1)
        opt:step()
      end
      return tell(w) .. tell(opt:state())
    end)
  end
  add("optim.lbfgs", function()
    local result = optim.lbfgs(function(x) return (x - 1):square():sum(2) end, any(2, 3), {iterations = 3})
    return tell(result.x)
  end)
end

-- ---- readers and writers ----

-- Writes, and reads back what was written.
local function add_format(name, file, save, load)
  add(name, function(folder)
    local path = folder .. "/" .. file
    local ok, message = save(path)
    if not ok then return nil, message end
    local read
    read, message = load(path)
    if not read then return nil, message end
    return tell(read)
  end, true)
end

local function add_formats()
  local npy, npz, pt = require "latent.npy", require "latent.npz", require "latent.pt"
  local safetensors, image, json = require "latent.safetensors", require "latent.image", require "latent.json"
  local checkpoint, read_log = require "latent.train.checkpoint", require "latent.train".read_log
  local function tensors() return {a = any(3, 4), b = any(5):gt(0), c = lt.zeros(0)} end
  add_format("npy", "x.npy", function(path) return npy.save(path, any(3, 4)) end, npy.load)
  add_format("npz", "x.npz", function(path) return npz.save(path, tensors()) end, npz.load)
  add_format("pt", "x.pt", function(path) return pt.save(path, tensors()) end, pt.load)
  add_format("safetensors", "x.safetensors", function(path)
    return safetensors.save(path, tensors(), {metadata = {of = "them"}})
  end, safetensors.load)
  local onnx = require "latent.onnx"
  add_format("onnx", "x.onnx", function(path)
    lt.manual_seed(5)
    local model = nn.Sequential{nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)}
    return onnx.save(path, model, {input = {1, 4, 4, 1}})
  end, files.read_all)
  local audio = require "latent.audio"
  add_format("wav", "x.wav", function(path) return audio.write(path, any(1, 30):sigmoid(), 8000) end, audio.read)
  add_format("csv", "x.csv", function(path)
    return files.write_atomic(path, 'name,"width, in mm"\na,1.5\n"b ""c""",2\n')
  end, data.csv)
  for _, kind in ipairs{"png", "pgm"} do
    add_format("image " .. kind, "x." .. kind, function(path)
      return image.write(path, any(5, 7):gt(0):float())
    end, image.read)
  end
  add_format("checkpoint", "x.ckpt", function(path)
    return checkpoint.save(path, {a = any(3, 4)}, {step = 3, text = "two\nlines"})
  end, function(path)
    local arrays, rest = checkpoint.load(path)
    if not arrays then return nil, rest end
    return {arrays, rest}
  end)
  add_format("log", "log.jsonl", function(path)
    return files.write_atomic(path, '{"epoch":1,"loss":0.5}\n{"epoch":2,"loss":0.25}\n')
  end, read_log)
  add("json", function()
    local text = json.encode{list = json.array{1, 2.5, "x\n"}, none = json.null, yes = true}
    local value, message = json.decode(text)
    if not value then return nil, message end
    return text .. tell(value.list)
  end)
  add("idx", function()
    local x, message = require("latent.idx").read("lua/latent/data/mini/t10k-labels-idx1-ubyte.gz")
    if not x then return nil, message end
    return tell(x)
  end)
  add("deflate", function()
    local text = ("latent"):rep(100)
    local packed, message = core.deflate(text)
    if not packed then return nil, message end
    return core.inflate(packed, "zlib")
  end)
end

-- ---- what else the modules do ----

local function add_rest()
  local vae, map = require "latent.vae", require "latent.map"
  add("tensors", function()
    local x = lt.tensor{{1, 2}, {3, 4}}
    x[1] = lt.tensor{5, 6}
    x:fill_(2):copy_(lt.ones(2, 2))
    return tell(lt.cat({x, lt.eye(2), lt.full({1, 2}, 3)}, 1)) .. tell(lt.stack{x, x}) .. tell(x:table())
      .. tell(lt.arange(5)) .. tell(lt.linspace(0, 1, 4)) .. tell(x:u8()) .. tostring(x)
      .. tell(lt.from_bytes(x:bytes(), {4})) .. tell(x.shape)
  end)
  add("random numbers", function()
    lt.manual_seed(5)
    local generator = lt.generator(7)
    return tell(lt.randn(3, 40, {generator = generator})) .. tell(lt.rand(7)) .. tell(lt.randperm(9))
      .. tell(generator:state())
  end)
  add("knn", function()
    lt.manual_seed(5)
    local index, distance = lt.knn(lt.randn(700, 3), lt.randn(5, 3), 4)
    return tell(index) .. tell(distance)
  end)
  add("knn, many axes", function()
    local index, distance = lt.knn(any(40, 30), any(3, 30), 4)
    return tell(index) .. tell(distance)
  end)
  add("resize", function() return tell(lt.resize_bilinear(any(2, 7, 5, 1), 9, 8)) end)
  add("statistics", function()
    local x = any(4, 6)
    return tell(x:var(1)) .. tell(x:std()) .. tell(x:norm(2)) .. tell(lt.broadcast_to(x:sum(1), {2, 6}))
  end)
  -- Made once: a definition lives as long as the process.
  local double = lt.op{name = "double", forward = function(ctx, x)
    ctx:save(x, 2)
    return x * 2
  end, backward = function(ctx, dy)
    local _, factor = ctx:saved()
    return dy * factor
  end}
  add("an op in Lua", function()
    local x = lt.param(any(3, 4))
    return forward_and_back(double(double(x)), {x})
  end)
  add("many inputs", function()
    local inputs = {}
    for i = 1, 9 do inputs[i] = lt.param(values.tensor(lt, {2, 3}, i)) end
    return forward_and_back(lt.cat(inputs, 2), inputs)
  end)
  add("products of several blocks", function()
    local a, b = lt.param(any(300, 200)), lt.param(any(200, 300))
    return forward_and_back(a:matmul(b), {a, b})
  end)
  add("a wide graph", function()
    local x = lt.param(any(2, 3))
    local terms = {}
    for i = 1, 150 do terms[i] = (x * i):unsqueeze(1) end
    return forward_and_back(lt.cat(terms, 1):sum(1), {x})
  end)
  add("profile", function()
    local x = lt.param(any(3, 4))
    lt.profile(function() (x * x):sum():backward() end, {quiet = true})
    return tell(x.grad)
  end)
  add("loader", function()
    local parts = {}
    for batch in data.loader(small_run.set(9), {batch = 4, shuffle = true, seed = 3}) do
      parts[#parts + 1] = tell(batch.x:sum()) .. tell(batch.y)
    end
    return table.concat(parts)
  end)
  add("linear algebra", function()
    local linalg = require "latent.linalg"
    local a = lt.param(any(2, 3, 3) + lt.eye(3) * 4)
    local u, s, v = linalg.svd(a)
    local y = u:sum() + s:sum() + v:sum() + linalg.solve(a, any(2, 3, 1)):sum() + linalg.inv(a):sum()
      + (linalg.eigh(a + a:transpose(2, 3))):sum() + linalg.det(a):sum()
    return forward_and_back(y, {a})
  end)
  add("signals", function()
    local fft = require "latent.fft"
    local x = lt.param(any(2, 30))
    return forward_and_back(fft.irfft(fft.rfft(x), {n = 30}) + fft.spectrogram(x, {n_fft = 8}):sum(), {x})
  end)
  add("distributions", function()
    lt.manual_seed(5)
    local distributions = require "latent.distributions"
    local mean = lt.param(any(3, 2))
    local d = distributions.Normal(mean, lt.ones(3, 2))
    return forward_and_back(d:log_prob(d:rsample()):sum() + d:entropy():sum(), {mean})
  end)
  add("second derivatives", function()
    local x = lt.param(any(3, 4))
    return tell(lt.hvp(function(y) return (y * y * y):sum() end, x, lt.ones(3, 4)))
  end)
  add("vae", function()
    lt.manual_seed(4)
    local model = vae.new{encoder = nn.Linear(6, 4), decoder = nn.Linear(2, 6)}
    local loss = vae.elbo(model, any(5, 6):sigmoid()).total
    loss:backward()
    return tell(loss) .. tell(model:state())
  end)
  add("a training run", function(folder)
    local run, message = require("latent.train").run(small_run.options(folder, {epochs = 1}))
    if not run then return nil, message end
    return small_run.bits(run)
  end, true)
  add("a training run of several models", function(folder)
    local run, message = require("latent.train").run((small_gan.options(folder, {epochs = 1})))
    if not run then return nil, message end
    return small_gan.bits(run)
  end, true)
  -- The sum and the rectifier are computed with the batch norm before them, while it waits for what comes next.
  add("a batch norm, a sum and a rectifier in one", function()
    local norm, x, more = nn.BatchNorm1d(3), lt.param(any(5, 3)), lt.param(values.tensor(lt, {5, 3}, 2))
    local waiting = norm(x) -- what nobody asks for is computed with the norm's state
    local y = (norm(x) + more):relu()
    local plain = lt.no_grad(function() return tell((norm(x) + more):leaky_relu(0.1)) end)
    return forward_and_back(y, {x, more, norm.weight, norm.bias}) .. plain .. tell(waiting) .. tell(norm:state())
  end)
  add("map", function()
    lt.manual_seed(4)
    local decoder = nn.Linear(2, 6)
    local problem = map.problem{decode = decoder, measured = any(3, 6), noise = 0.1, latent = 2}
    return tell(map.solve(problem, {iterations = 3}).z)
  end)
end

--- All cases, in an order that is always the same.
-- @treturn {table,...} name, writes (something into the folder), and run(folder) -> string; or nil, message
function M.all()
  add_ops()
  add_layers()
  add_optimizers()
  add_formats()
  add_rest()
  return list
end

return M
