--- What is measured. Each case has a `name`; `peer`, what peer.py is to prepare, unless it is `alone`; `setup`, a
-- function that makes {time = n -> seconds of n iterations, once = one iteration for counting its arithmetic, kind =
-- "backward" where only that is timed}; and perhaps `target`, the ratio to reach for an instruction set, or `empty`:
-- there is nothing for more threads to do.
local core, lt = require "latent.core", require "latent"
local data, optim = require "latent.data", require "latent.optim"
local progress = require "latent.progress"
local set = require "latent.data.set"
local models = require "exercises.models"
local harness, users = require "bench.harness", require "bench.models"

local M = {}

local function of(once) return {time = harness.timer(once), once = once} end

-- ---- steps of the exercises ----

local function images(n) return lt.rand(n, 32, 32, 1) * 2 - 1 end

local function trainer(model, loss_of)
  local opt = optim.Adam(model:parameters(), {lr = 1e-3})
  return of(function()
    opt:zero_grad()
    loss_of(model):backward()
    opt:step()
  end)
end

local function ae_step(batch)
  local x = images(batch)
  return trainer(models.autoencoder(), function(model) return lt.mse_loss(model(x), x) end)
end

local function classifier_step(batch)
  local x, y = images(batch), (lt.rand(batch) * 9.99):floor()
  return trainer(models.classifier(), function(model) return lt.cross_entropy(model(x), y) end)
end

local function vae_step(batch)
  local x = images(batch)
  return trainer(models.vae(16), function(model)
    local r, mu, log_var = model(x)
    return lt.mse_loss(r, x) + 0.01 * lt.gaussian_kl(mu, log_var)
  end)
end

local function map_iteration(codes)
  local decoder = models.vae(16):freeze():eval()
  local noisy, z = lt.randn(codes, 32, 32, 1), lt.param(lt.randn(codes, 16))
  local opt = optim.Adam({z}, {lr = 0.01})
  return of(function()
    opt:zero_grad()
    local loss = lt.mse_loss(decoder:decode(z), noisy) + 0.01 * z:square():mean()
    loss:backward()
    opt:step()
  end)
end

-- As the exercises encode a set: by batches, the codes joined in the end.
local function encode(count, batch)
  local x, model = images(count), models.autoencoder():eval()
  return of(function()
    lt.no_grad(function()
      local parts = {}
      for first = 1, count, batch do
        parts[#parts + 1] = model:encode(x:slice(1, first, math.min(first + batch - 1, count)))
      end
      return lt.cat(parts, 1)
    end)
  end)
end

local function knn(train, queries, dims)
  local points, query = lt.randn(train, dims), lt.randn(queries, dims)
  return of(function() lt.knn(points, query, 1) end)
end

-- ---- an epoch with loader and progress ----

--- A training set: MNIST where it is at hand and large enough, else random images of the same size.
function M.training_set(count)
  local found = data.mnist{split = "train"}
  if found and #found >= count then return found:take(count) end
  local pixels = lt.full({count, 32, 32, 1}, 0, "u8")
  for first = 1, count, 1000 do
    local last = math.min(first + 999, count)
    pixels:slice(1, first, last):copy_((lt.rand(last - first + 1, 32, 32, 1) * 255):floor():u8())
  end
  return set.new{name = "random", split = "train", images = pixels, labels = lt.full({count}, 0, "u8"), classes = {"0"}}
end

--- One epoch of the autoencoder over a set, as exercise 1 does it; returns a function.
function M.ae_epoch(train, batch)
  local model = models.autoencoder()
  local loader = data.loader(train, {batch = batch, seed = 1})
  local opt = optim.Adam(model:parameters(), {lr = 1e-3})
  return function()
    local quiet <close> = assert(io.open("/dev/null", "w"))
    local bar <close> = progress.new{label = "autoencoder", steps = #loader, stream = quiet, terminal = true}
    for b in loader do
      opt:zero_grad()
      local loss = lt.mse_loss(model(b.x), b.x)
      loss:backward()
      opt:step()
      bar:step(loss:item())
    end
  end
end

-- ---- single ops ----

-- Its channels stay as many; "same" padding. Backward: all three gradients, its forward not timed.
local function conv(c)
  local x, w = lt.randn(c.batch, c.size, c.size, c.channels), lt.randn(c.kernel, c.kernel, c.channels, c.channels)
  local b, options = lt.randn(c.channels), {stride = c.stride, padding = c.kernel // 2}
  if c.direction == "forward" then
    return of(function() lt.no_grad(lt.conv2d, x, w, b, options) end)
  end
  local seed
  local function time(n)
    local seconds = 0
    for _ = 1, n do
      -- fresh leaves on the same elements, so that no gradient is added to an old one
      local y = lt.conv2d(lt.param(x), lt.param(w), lt.param(b), options)
      seed = seed or lt.ones(y.shape)
      local start = core.clock()
      y:backward(seed)
      seconds = seconds + core.clock() - start
    end
    return seconds
  end
  return {time = time, once = function() time(1) end, kind = "backward"}
end

local OPS = {
  add = function(x, y) return x + y end, mul = function(x, y) return x * y end,
  relu = lt.relu, exp = lt.exp, tanh = lt.tanh, sigmoid = lt.sigmoid, sqrt = lt.sqrt,
  sum = lt.sum, mean = lt.mean, max = lt.max,
  sum_rows = function(x) return x:sum(2) end, sum_columns = function(x) return x:sum(1) end,
  softmax = function(x) return x:softmax(2) end, log_softmax = function(x) return x:log_softmax(2) end,
}
local OP_NAMES = {"add", "mul", "relu", "exp", "tanh", "sigmoid", "sqrt", "sum", "mean", "max", "sum_rows",
  "sum_columns", "softmax", "log_softmax"}

local function op(name, shape)
  local x, y, f = lt.randn(shape), lt.randn(shape), OPS[name]
  local function time(n)
    return lt.no_grad(function()
      local start = core.clock()
      for _ = 1, n do f(x, name == "add" and y or name == "mul" and y or nil) end
      return core.clock() - start
    end)
  end
  return {time = time, once = function() time(1) end}
end

-- One row of a million elements: what a second thread can help with only where it shares a line.
local ROWS = {
  sort = function(r) return lt.sort(r.x) end, unique = function(r) return lt.unique(r.x) end,
  searchsorted = function(r) return lt.searchsorted(r.sorted, r.x) end,
  nonzero = function(r) return lt.nonzero(r.mask) end, gather = function(r) return lt.gather(r.x, 1, r.places) end,
  scatter_add = function(r) return lt.scatter_add(r.x, 1, r.places, r.x) end,
  cumsum = function(r) return lt.cumsum(r.x, 1) end, histc = function(r) return lt.histc(r.x) end,
}
local ROW_NAMES = {"sort", "unique", "searchsorted", "nonzero", "gather", "scatter_add", "cumsum", "histc"}

local function row(name, n)
  local x = lt.randn(n)
  local all = {x = x, sorted = lt.sort(x), mask = x:gt(0), places = lt.randint(1, n, {n})}
  return of(function() lt.no_grad(ROWS[name], all) end)
end

local function matmul(m, n, k, batch)
  local a, b = lt.randn(m, k), lt.randn(k, n)
  if batch then a, b = lt.randn(batch, m, k), lt.randn(batch, k, n) end
  return of(function() lt.no_grad(lt.matmul, a, b) end)
end

-- ---- the threads themselves ----

-- A job of 64 chunks, each of about so many microseconds; between two of them the calling thread is busy for a while,
-- as it is between two ops. Only the jobs are timed.
local function chunks(microseconds, pause)
  local many, least = 1 << 16, math.huge
  local timed = harness.timer(function() core.spend_chunks(1, many) end)
  for _ = 1, 20 do least = math.min(least, timed(1)) end
  local rounds = math.floor(microseconds * 1e-6 / least * many)
  local function time(n)
    local seconds = 0
    for _ = 1, n do
      local start = core.clock()
      core.spend_chunks(64, rounds)
      local stop = core.clock()
      seconds = seconds + stop - start
      while core.clock() < stop + pause * 1e-6 do end
    end
    return seconds
  end
  return {time = time, once = function() time(1) end}
end

-- ---- the list ----

local function add_steps(list, o)
  local function add(case) list[#list + 1] = case end
  for _, batch in ipairs{64, 16, 256, 1024} do
    add{name = batch == 64 and "ae" or "ae." .. batch, batch = batch, peer = {kind = "ae", batch = batch},
      target = batch == 64 and {avx512 = 11, avx2 = 5.5} or nil, setup = function() return ae_step(batch) end}
  end
  add{name = "ae.threads", batch = 64, against_one_thread = true, target = {avx512 = 1.7, avx2 = 1.7},
    setup = function() return ae_step(64) end}
  add{name = "classifier", batch = 64, peer = {kind = "classifier", batch = 64},
    target = {avx512 = 5, avx2 = 2.5}, setup = function() return classifier_step(64) end}
  add{name = "vae16", batch = 64, peer = {kind = "vae", batch = 64, latent = 16},
    target = {avx512 = 9, avx2 = 4.5}, setup = function() return vae_step(64) end}
  for _, codes in ipairs{10, 1000} do
    add{name = "map." .. codes, batch = codes, peer = {kind = "map", codes = codes, latent = 16},
      target = codes == 10 and {avx512 = 15, avx2 = 10} or nil, setup = function() return map_iteration(codes) end}
  end
  add{name = "encode", batch = 500, peer = {kind = "encode", images = 10000, batch = 500},
    setup = function() return encode(10000, 500) end}
  for _, dims in ipairs{2, 16} do
    add{name = ("knn.%dd"):format(dims), peer = {kind = "knn", train = 60000, queries = 10000, dims = dims},
      target = {avx512 = 1, avx2 = 1}, setup = function() return knn(60000, 10000, dims) end}
  end
  add{name = "epoch", batch = 64, inner = 1, peer = {kind = "epoch", images = o.images, batch = 64},
    setup = function() return of(M.ae_epoch(M.training_set(o.images), 64)) end}
end

-- Small maps by sixteen images, large ones by fewer: at most about half a GFLOP an iteration.
local function conv_batch(c)
  local places = (c.size // c.stride) ^ 2
  local flops = 2 * places * c.kernel ^ 2 * c.channels ^ 2
  return math.max(1, math.min(16, math.floor(5e8 / flops)))
end

local function add_convs(list)
  for _, channels in ipairs{3, 16, 32, 64, 128} do
    for _, kernel in ipairs{1, 3, 5, 7} do
      for _, size in ipairs{7, 14, 28, 64} do
        for _, stride in ipairs{1, 2} do
          for _, direction in ipairs{"forward", "backward"} do
            local c = {kind = "conv", channels = channels, kernel = kernel, size = size, stride = stride,
              direction = direction}
            c.batch = conv_batch(c)
            list[#list + 1] = {name = ("conv.c%d.k%d.s%d.x%d.%s"):format(channels, kernel, size, stride, direction),
              batch = c.batch, peer = c, held = true, target = {avx512 = 0.8, avx2 = 0.8},
              setup = function() return conv(c) end}
          end
        end
      end
    end
  end
end

local function add_ops(list)
  for _, size in ipairs{{"1e3", 10, 100}, {"1e6", 1000, 1000}} do
    for _, name in ipairs(OP_NAMES) do
      local shape = {size[2], size[3]}
      list[#list + 1] = {name = ("op.%s.%s"):format(name, size[1]), peer = {kind = "op", op = name, shape = shape},
        setup = function() return op(name, shape) end}
    end
  end
end

local function add_rows(list)
  for _, name in ipairs(ROW_NAMES) do
    list[#list + 1] = {name = "row." .. name, peer = {kind = "row", op = name, n = 1000000},
      setup = function() return row(name, 1000000) end}
  end
end

-- Square ones; few rows, few columns; batches (the fourth number).
local PRODUCTS = {{64, 64, 64}, {128, 128, 128}, {256, 256, 256}, {512, 512, 512}, {1024, 1024, 1024},
  {2048, 2048, 2048}, {64, 400, 784}, {1, 1024, 1024}, {8, 1024, 1024}, {32, 1024, 1024}, {1024, 1, 1024},
  {128, 10, 84}, {32, 32, 32, 64}, {128, 128, 64, 16}}

local function add_products(list)
  for _, s in ipairs(PRODUCTS) do
    local m, n, k, batch = table.unpack(s)
    local name = ("matmul.%s%dx%dx%d"):format(batch and batch .. "x" or "", m, n, k)
    list[#list + 1] = {name = name, peer = {kind = "matmul", m = m, n = n, k = k, batch = batch},
      share = m == n and n == k and n >= 512 and 0.85 or nil, setup = function() return matmul(m, n, k, batch) end}
  end
end

-- Empty chunks show what a parallel region costs, those of 9 us how evenly work is shared out.
local function add_threads(list)
  for _, c in ipairs{{"empty", 0, 0}, {"empty.paused", 0, 60}, {"9us", 9, 0}, {"9us.paused", 9, 60}} do
    list[#list + 1] = {name = "parallel." .. c[1], alone = true, empty = c[2] == 0,
      setup = function() return chunks(c[2], c[3]) end}
  end
end

-- Models of users: what is to be reached does not depend on the instruction set.
local MODELS = {{"lenet", 2}, {"resnet20", 1.4}, {"conv_vae", 1.8}, {"mlp_vae", 1.5}, {"mlp", 1.2},
  {"transformer_mlp", 1.3}, {"tiny"}}

local function add_models(list)
  for _, entry in ipairs(MODELS) do
    local name, ratio = entry[1], entry[2]
    list[#list + 1] = {name = name, peer = {kind = "model", model = name},
      target = ratio and {avx512 = ratio, avx2 = ratio}, setup = function() return of(users[name]()) end}
  end
end

-- ---- whole processes ----

-- Commands are run by the shell; `python` stands for the peer's.
local function add_processes(list, o)
  list[#list + 1] = {name = "startup", limit_ms = 25, ours_command = o.lua .. [[ -l latent -e ""]],
    peer_command = [[%s -c "import torch"]]}
  list[#list + 1] = {name = "memory", limit_mb = 160, measures = "MB", batch = 64,
    ours_command = ("%s %smemory.lua %d 64"):format(o.lua, o.folder, o.images),
    peer_command = ("%%s %speer.py --memory %d 64"):format(o.folder, o.images)}
end

--- All cases.
-- @tparam table o `images` of an epoch; `lua`, the interpreter's command; `folder`, where these files lie
function M.list(o)
  local list = {}
  add_steps(list, o)
  add_models(list)
  add_convs(list)
  add_ops(list)
  add_rows(list)
  add_products(list)
  add_threads(list)
  add_processes(list, o)
  return list
end

return M
