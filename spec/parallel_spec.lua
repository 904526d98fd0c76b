-- Training in parts, and on several ranks: the same bits for any number of them.
local files = require "latent.base.files"
local lt, nn, optim, train = require "latent", require "latent.nn", require "latent.optim", require "latent.train"
local data = require "latent.data"
local ranks = require "spec.support.ranks"
local scratch = require "spec.support.scratch"
local small = require "spec.support.small_run"

local SCRIPT = "spec/support/ranks_run.lua"

describe("a step in parts", function()
  local folder, remove
  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  -- The gradients and weights after one step of plain descent on a batch of n rows.
  local function step(n, changes, body)
    lt.manual_seed(3)
    local model = nn.Sequential{nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)}
    local set = data.tensors{x = lt.randn(n, 4), y = lt.randn(n, 2)}
    local opts = {model = model, optimizer = optim.SGD(model:parameters(), {lr = 0.5}), epochs = 1,
      loader = data.loader(set, {batch = n}), loss = function(b) return lt.mse_loss(model(b.x), b.y) end}
    for name, value in pairs(changes) do opts[name] = value end
    local run = assert(train.new(opts))
    local sizes = {}
    for batch, now in run:batches() do
      sizes[#sizes + 1] = batch.x:size(1)
      if body then body(run, opts, batch, now) else run:step(opts.loss(batch, now)) end
    end
    local out = {}
    for i, p in ipairs(model:parameters()) do out[i] = lt.cat{p:detach():reshape(-1), p.grad:reshape(-1)} end
    return lt.cat(out), sizes, run
  end

  local function near(a, b) return (a - b):abs():max():item() < 1e-6 end

  it("is the step of the whole batch, but for rounding, whatever the sizes", function()
    for _, n in ipairs{1, 5, 7, 8, 16, 21} do
      local whole = step(n, {})
      for _, count in ipairs{1, 2, 3, 8, 12} do
        local parts, sizes = step(n, {parts = count})
        assert.is_true(near(whole, parts), ("%d rows in %d parts"):format(n, count))
        local sum = 0
        for i, size in ipairs(sizes) do
          sum = sum + size
          assert.equal(n // count + (i <= n % count and 1 or 0), size)
        end
        assert.equal(n, sum)
        assert.equal(math.min(n, count), #sizes)
      end
    end
  end)

  it("keeps the digits of float64", function()
    local function double(run_parts)
      lt.manual_seed(3)
      local model = nn.Sequential{nn.Linear(4, 5), nn.BatchNorm1d(5, {affine = false}), nn.Linear(5, 2)}:double()
      local set = data.tensors{x = lt.randn(9, 4):double(), y = lt.randn(9, 2):double()}
      assert(train.run{model = model, optimizer = optim.SGD(model:parameters(), {lr = 0.5}), epochs = 1,
        parts = run_parts, loader = data.loader(set, {batch = 9}), loss = function(b)
          return lt.mse_loss(model:eval()(b.x), b.y)
        end})
      return lt.cat{model:parameters()[1]:detach():reshape(-1), model:parameters()[3]:detach():reshape(-1)}
    end
    local worst = (double(nil) - double(4)):abs():max():item()
    assert.is_true(worst > 0 and worst < 1e-14, worst)
  end)

  it("clips the gradient of all parts together, also in a loop written by hand", function()
    local function by_hand(_, opts, batch)
      opts.optimizer:zero_grad()
      opts.loss(batch):backward()
      optim.clip_grad_norm(opts.model:parameters(), 0.01)
      opts.optimizer:step()
    end
    local whole = step(12, {clip = 0.01})
    assert.is_true(near(whole, (step(12, {clip = 0.01, parts = 4}))))
    local parts, _, run = step(12, {parts = 4}, by_hand)
    assert.is_true(near(whole, parts))
    assert.equal(1, run.optimizer.steps)
    run.optimizer:step() -- after the run it is the optimiser's own again
    assert.equal(2, run.optimizer.steps)
  end)

  it("averages what is noted over the parts, by their sizes", function()
    local _, _, run = step(7, {parts = 3}, function(run, opts, batch, now)
      run:step(opts.loss(batch, now), {rows = batch.x:size(1)})
    end)
    assert.is_true(math.abs(run.now.rows - (3 * 3 + 2 * 2 + 2 * 2) / 7) < 1e-12)
    local _, _, whole = step(7, {})
    assert.is_true(math.abs(run.now.loss - whole.now.loss) < 1e-6)
    assert.is_true(math.abs(run.log[1].train_loss - whole.log[1].train_loss) < 1e-6)
  end)

  it("keeps gradients that the script adds up over several steps", function()
    local function bits(parts)
      local opts = small.options(folder, {parts = parts, loss = nil})
      opts.model = nn.Sequential{nn.Flatten(), nn.Linear(12, 3)}
      opts.optimizer = optim.SGD(opts.model:parameters(), {lr = 0.1})
      opts.validate, opts.states, opts.patience, opts.best, opts.clip = nil, nil, nil, nil, nil
      local run = assert(train.new(opts))
      for batch, now in run:batches() do
        if now.step % 3 == 1 then opts.optimizer:zero_grad() end
        lt.cross_entropy(opts.model(batch.x), batch.y):backward()
        if now.step % 3 == 0 then opts.optimizer:step() end
      end
      assert.equal(4, opts.optimizer.steps)
      return opts.model[2].weight:detach():clone()
    end
    assert.is_true(near(bits(nil), bits(2)))
    assert.is_true(near(bits(nil), bits(5)))
  end)

  it("gives each part random numbers of its own, which do not depend on the other parts", function()
    local drawn = {}
    local function note(_, opts, batch)
      drawn[#drawn + 1] = ("%.6f"):format(lt.rand(1):item())
      opts.loss(batch):backward()
      opts.optimizer:step()
    end
    step(8, {parts = 4}, note)
    local seen = {}
    for _, x in ipairs(drawn) do
      assert.is_nil(seen[x])
      seen[x] = true
    end
    local first = drawn
    drawn = {}
    step(8, {parts = 4}, function(...)
      note(...)
      lt.rand(1000)
    end)
    assert.same(first, drawn)
  end)

  it("refuses what has no rows, and numbers that make no sense", function()
    local function said(changes) return select(2, pcall(step, 4, changes)) end
    assert.matches("train.new: parts: expected a whole number of at least 1, got 0", said{parts = 0})
    assert.matches('train.new: parallel: expected require "latent.mpi", got a table', said{parallel = {}})
    assert.matches('train.new: order: expected "tree" or "any", got "ring"', said{parts = 2, order = "ring"})
    assert.matches('train.new: batch_norm: "all" needs one part a rank: 1 ranks, got parts = 2',
      said{parts = 2, batch_norm = "all"}, 1, true)
    local loader = {next = function() return {x = 3} end, state = function() return {} end,
      set_state = function() end}
    assert.matches("train: parts: expected batches that are a tensor, or have one as x",
      said{parts = 2, loader = setmetatable(loader, {__len = function() return 1 end})})
  end)
end)

describe("training on ranks", function()
  local missing = ranks.missing()
  local folder, remove
  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  local function check(name, f)
    it(name, function()
      if missing then pending(missing) end
      f()
    end)
  end

  -- Batches of 5, 5 and 3 rows: on four ranks one of them has none of the last.
  check("takes batch norm's statistics over all of them, where that is asked for", function()
    local script = [[
      local lt, nn, optim, data = require "latent", require "latent.nn", require "latent.optim", require "latent.data"
      local mpi = os.getenv "OMPI_COMM_WORLD_RANK" and require "latent.mpi" or nil
      lt.set_threads(1)
      lt.manual_seed(3)
      local model = nn.Sequential{nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Reshape(1, 1, 5),
        nn.BatchNorm2d(5, {affine = false}), nn.Flatten(), nn.Linear(5, 2)}
      local set = data.tensors{x = lt.randn(13, 4), y = lt.randn(13, 2)}
      assert(require("latent.train").run{model = model, optimizer = optim.SGD(model:parameters(), {lr = 0.1}),
        epochs = 3, parallel = mpi, batch_norm = "all",
        loader = data.loader(set, {batch = 5, shuffle = true, seed = 4}),
        loss = function(b) return lt.mse_loss(model(b.x), b.y) end})
      if not mpi or mpi.rank == 0 then
        local names, state = {}, model:state()
        for name in pairs(state) do names[#names + 1] = name end
        table.sort(names)
        for _, name in ipairs(names) do
          for _, x in ipairs(state[name]:reshape(-1):table()) do print(name, ("%.9g"):format(x)) end
        end
      end
    ]]
    local function numbers(text)
      local list = {}
      for x in text:gmatch "\t(%S+)" do list[#list + 1] = tonumber(x) end
      assert.equal(67, #list, text)
      return lt.tensor(list)
    end
    local alone = numbers((ranks.run(1, script)))
    for count = 2, 4 do
      local worst = (numbers((ranks.run(count, script))) - alone):abs():max():item()
      assert.is_true(worst < 5e-6, ("%d ranks: %g"):format(count, worst))
    end
  end)

  -- Runs the script, with mpirun where a number of ranks is given; what it wrote into its folder.
  local function bits(name, count, words)
    local at = folder .. "/" .. name
    assert(files.mkdir_p(at))
    local said, status
    if count then
      said, status = ranks.run(count, SCRIPT, {arguments = at .. " " .. words})
    else
      said = files.capture(("lua5.4 %s %s %s 2>&1; echo \"status $?\""):format(SCRIPT, at, words))
      said, status = said:match "^(.*)status (%d+)$"
    end
    assert.equal(0, math.tointeger(tonumber(status)), said)
    return files.read_all(at .. "/bits"), said
  end

  for _, case in ipairs{
    {"with dropout, batch norm, noise, clipping and validation", "parts=8", {1, 2, 4}},
    {"of which no power of two can be", "parts=12", {2, 3, 4}},
    {"in a loop written by hand", "parts=4 loop=own clip=own", {2, 4}},
    {"with gradients of several steps", "parts=4 loop=own every=2", {2}},
  } do
    check("has the bits of one process with the same parts: " .. case[1], function()
      local one = assert(bits("one", nil, case[2]))
      for _, count in ipairs(case[3]) do
        assert.equal(one, bits("on" .. count, count, case[2]), count .. " ranks")
      end
    end)
  end

  check("goes on with another number of ranks where it was stopped", function()
    local one = bits("one", nil, "parts=4")
    local at = "moved"
    local stopped, said = bits(at, 4, "parts=4 stop=4")
    assert.is_nil(stopped)
    assert.matches("\tasked\n", said)
    stopped, said = bits(at, 2, "parts=4 resume=yes stop=8")
    assert.is_nil(stopped)
    assert.matches("^9\tasked\n", said)
    assert.equal(one, bits(at, nil, "parts=4 resume=yes"))
    said = ranks.run(2, SCRIPT, {arguments = folder .. "/moved parts=8 resume=yes"})
    assert.matches("parts: 4 in the checkpoint, 8 here", said)
  end)

  check("ends on all ranks after one step where one is told to, and goes on", function()
    local one = bits("one", nil, "parts=4")
    local at = folder .. "/told"
    files.mkdir_p(at)
    local said = ranks.run(2, SCRIPT, {arguments = at .. " parts=4 term=1"})
    assert.matches("^[56]\tTERM\n", said)
    assert.equal(one, bits("told", 4, "parts=4 resume=yes"))
  end)

  check("leaves files and words to rank 0", function()
    local _, said = bits("files", 2, "parts=2")
    assert.equal("12\tdone\n", said)
    assert.same({"bits", "log.jsonl", "run.ckpt", "run.ckpt.prev"}, scratch.list(folder .. "/files"))
  end)

  check("adds up in any order by option, to nearly the same", function()
    local a = bits("a", 3, "parts=12 order=any optimizer=sgd")
    local b = bits("b", 3, "parts=12 optimizer=sgd")
    local function loss(text) return tonumber(text:match "best=best=?([%d.e-]+)" or text:match "best=([%d.e-]+)") end
    assert.is_true(math.abs(loss(a) - loss(b)) < 1e-5, loss(a) - loss(b))
  end)

  check("ends where a rank raises, with its words", function()
    local at = folder .. "/raise"
    files.mkdir_p(at)
    local said, status = ranks.run(3, SCRIPT, {arguments = at .. " parts=3 raise=2"})
    assert.not_equal(0, status)
    assert.matches("rank 2 is broken", said)
  end)

  check("refuses ranks that would make different runs", function()
    local function refused(words, pattern)
      local said, status = ranks.run(2, SCRIPT, {arguments = folder .. " " .. words})
      assert.not_equal(0, status)
      assert.matches(pattern, said)
    end
    refused("parts=2 width=7", "parallel: the ranks differ: model .* on rank 0, .* on rank 1")
    refused("parts=2 seed=9", "the ranks differ: loader seed: 3 on rank 0, 9 on rank 1")
    refused("parts=3", "parts: expected a multiple of the 2 ranks, got 3")
    local said = ranks.run(2, [[
      local lt = require "latent"
      if os.getenv "OMPI_COMM_WORLD_RANK" == "1" then lt._VERSION = "latent 9.9" end
      arg = {[0] = arg[0], arg[1], "parts=2"}
      dofile "spec/support/ranks_run.lua"
    ]], {arguments = folder})
    assert.matches('the ranks differ: version: "latent [%d.]+" on rank 0, "latent 9.9" on rank 1', said)
  end)

  check("fails where the ranks come to have different weights", function()
    local said, status = ranks.run(2, [[
      local lt, nn, optim = require "latent", require "latent.nn", require "latent.optim"
      local data, train, mpi = require "latent.data", require "latent.train", require "latent.mpi"
      local model = nn.Sequential{nn.Linear(2, 2)}
      train.run{model = model, optimizer = optim.SGD(model:parameters()), epochs = 2, parallel = mpi,
        loader = data.loader(data.tensors{x = lt.ones(8, 2)}, {batch = 4}),
        callbacks = {on_step = function()
          if mpi.rank == 1 then lt.no_grad(function() model[1].weight:add_(1) end) end
        end},
        loss = function(b) return model(b.x):square():mean() end}
    ]])
    assert.not_equal(0, status)
    assert.matches("train: after epoch 1 rank 1 has other weights than rank 0", said)
  end)

  check("is killed at twenty moments, and ends with the same bits #slow", function()
    local one = bits("one", nil, "parts=4 slow=1")
    local random = lt.generator(41)
    local counts, kills, round = {4, 2, 1, 2}, 0, 0

    -- Starts a job that goes on where the last one was killed, and kills one of its ranks: a while after they were
    -- there, or after they have made a step.
    local function start(at, count)
      local alive, wait = at .. "/alive", 0.6 * lt.rand(1, {generator = random}):item()
      os.remove(alive)
      return assert(io.popen(("spec/support/kill_rank.sh %s %.3f %s lua5.4 %s %s parts=4 resume=yes slow=1 2>&1")
        :format(round % 2 == 0 and "''" or alive, wait, ranks.command(count, {grace = round % 5 == 0}), SCRIPT, at)))
    end

    local function finish(at, job)
      local said = job:read "a"
      job:close()
      assert.not_matches("hangs", said)
      local done = files.exists(at .. "/bits") -- perhaps before the signal came
      if not done and said:find "status %d+ yes" then
        assert.not_matches("status 0", said)
        kills = kills + 1
      end
      if done then
        assert.equal(one, files.read_all(at .. "/bits"))
        for _, name in ipairs(scratch.list(at)) do os.remove(at .. "/" .. name) end
      end
    end

    -- Two trainings side by side, for most of the time is waiting.
    local places = {folder .. "/killed", folder .. "/killed2"}
    for _, at in ipairs(places) do assert(files.mkdir_p(at)) end
    while kills < 20 do
      local jobs = {}
      for i, at in ipairs(places) do jobs[i] = start(at, counts[(round + i) % #counts + 1]) end
      for i, at in ipairs(places) do finish(at, jobs[i]) end
      round = round + 1
    end
    assert.equal(one, bits("killed", 2, "parts=4 slow=1 resume=yes"))
  end)
end)

describe("an exercise under mpirun", function()
  local missing = ranks.missing()

  it("needs no change, and gives the bits of one process with as many parts", function()
    if missing then pending(missing) end
    local folder, remove = scratch.folder()
    local EXERCISE = "exercises/01_autoencoder.lua"
    local function weights(name, count, words)
      words = ("--data mini --epochs 2 --starts 1 --out %s/%s %s"):format(folder, name, words)
      local said, status
      if count then said, status = ranks.run(count, EXERCISE, {arguments = words})
      else
        said = files.capture("lua5.4 " .. EXERCISE .. " " .. words .. " 2>&1 && echo well")
        status = said:find "well$" and 0 or 1
      end
      assert.equal(0, status, said)
      local at = ("%s/%s/01_autoencoder/1"):format(folder, name)
      assert.is_true(files.exists(at .. "/loss.png"))
      assert.same({"1"}, scratch.list(folder .. "/" .. name .. "/01_autoencoder"))
      return files.read_all(at .. "/autoencoder.safetensors"), said
    end
    local one = weights("one", nil, "--parts 8")
    for _, count in ipairs{1, 2, 4} do
      local bytes, said = weights("on" .. count, count, "")
      assert.is_true(one == bytes, count .. " ranks")
      assert.equal(1, select(2, said:gsub("weights written to %S*/autoencoder.safetensors", "")), said)
    end
    local said, status = ranks.run(2, EXERCISE, {arguments = "--data mini --parts 3 --out " .. folder .. "/no"})
    assert.equal(1, status)
    assert.matches("%-%-parts: expected a multiple of the 2 ranks, got 3", said)
    remove()
  end)
end)
