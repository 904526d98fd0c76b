-- Training runs: the loop, what it logs, when it stops, and that a resumed run is the uninterrupted one.
local data, files, json = require "latent.data", require "latent.base.files", require "latent.json"
local lt, nn, optim, train = require "latent", require "latent.nn", require "latent.optim", require "latent.train"
local scratch, small = require "spec.support.scratch", require "spec.support.small_run"
require "spec.support.close"
require "spec.support.misuse"

-- One weight that a loss of our choice moves, and a loader of n batches.
local function plain(changes)
  local model = nn.Module{w = lt.param(lt.tensor{0.0}), forward = function(self) return self.w end}
  local set = setmetatable({batch = function(_, index) return index:reshape(-1, 1), index end},
    {__len = function() return 4 end})
  local opts = {model = model, optimizer = optim.SGD(model:parameters(), {lr = 1}), epochs = 2,
    loader = data.loader(set, {batch = 2}), loss = function() return model.w:sum() end}
  for name, value in pairs(changes or {}) do opts[name] = value end
  return opts, model
end

-- An option that comes out as a curve over the epochs.
local function curve(values, changes)
  local epoch = 0
  local opts, model = plain(changes)
  opts.validate = function()
    epoch = epoch + 1
    return {score = values[epoch]}
  end
  opts.watch, opts.epochs = "score", #values
  return opts, model
end

describe("train", function()
  local folder, remove
  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  it("steps, with the schedules' values, and averages by the batches' sizes", function()
    local seen = {}
    local opts, model = plain{epochs = 3, schedules = {lr = function(step) return step end, beta = 2}}
    opts.loader = data.loader(opts.loader.set, {batch = 3})
    opts.loss = function(batch, now)
      seen[#seen + 1] = ("%d.%d lr %d beta %d n %d"):format(now.epoch, now.step, now.lr, now.beta, #batch.y)
      return model.w:sum(), {size = #batch.y}
    end
    local run = assert(train.run(opts))
    assert.same({"1.1 lr 1 beta 2 n 3", "1.2 lr 2 beta 2 n 1", "2.3 lr 3 beta 2 n 3", "2.4 lr 4 beta 2 n 1",
      "3.5 lr 5 beta 2 n 3", "3.6 lr 6 beta 2 n 1"}, seen)
    assert.equal(-21, model.w:item())
    assert.equal("done", run.stopped)
    assert.equal(6, run.steps)
    -- weights 0, -1 | -3, -6 | -10, -15; three images in the first batch, one in the second
    assert.same({{epoch = 1, step = 2, lr = 2, beta = 2, train_loss = -1 / 4, train_size = 10 / 4},
      {epoch = 2, step = 4, lr = 4, beta = 2, train_loss = -15 / 4, train_size = 10 / 4},
      {epoch = 3, step = 6, lr = 6, beta = 2, train_loss = -45 / 4, train_size = 10 / 4}}, run.log)
    assert.equal("run: 6 of 6 steps, epoch 3 of 3, done", tostring(run))
  end)

  it("leaves the body to the script", function()
    local opts, model = plain()
    opts.loss = nil
    local run = assert(train.new(opts))
    for batch, now in run:batches() do
      opts.optimizer:zero_grad()
      local loss = model.w * #batch.y
      loss:backward()
      opts.optimizer:step()
      run:note{loss = loss, step_number = now.step}
    end
    assert.equal(-8, model.w:item())
    assert.same({-2.0, -10.0}, {run.log[1].train_loss, run.log[2].train_loss})
    assert.equal(1.5, run.log[1].train_step_number)
    assert.misuse(function() run:batches() end, "train: batches: the run has been made")
    assert.misuse(function() run:note{loss = 1} end, "train: note: no step is being made")
  end)

  it("is left by break, and says so", function()
    local run = assert(train.new(plain()))
    for _, now in run:batches() do
      if now.step == 1 then break end
    end
    assert.equal("left", run.stopped)
    assert.equal(0, run.steps)
  end)

  it("clips the gradients' common norm", function()
    local opts, model = plain{clip = 0.5, epochs = 1}
    opts.loss = function() return model.w:sum() * 4 end
    local norms = {}
    opts.callbacks = {on_step = function(now) norms[#norms + 1] = now.norm end}
    assert(train.run(opts))
    assert.same({4, 4}, norms)
    assert.close(model.w:item(), -1)
  end)

  it("averages the gradients of several steps where it is told to", function()
    local opts, model = plain{accumulate = 2, epochs = 3}
    local weights, factor = {}, 0
    opts.loader = data.loader(opts.loader.set, {batch = 4})
    opts.loss = function()
      factor = factor + 2
      return model.w:sum() * factor
    end
    opts.callbacks = {on_step = function() weights[#weights + 1] = model.w:item() end}
    assert(train.run(opts))
    assert.close(weights, {0, -3, -3}) -- (2 + 4) / 2; the third is left over
    assert.misuse(function() train.run{model = model, optimizer = opts.optimizer, loader = opts.loader, epochs = 1,
      loss = print, accumulate = 0} end, "train.%a+: accumulate: expected a whole number of at least 1, got 0")
  end)

  it("validates in evaluation mode, without recording, and leaves modes and generator alone", function()
    local opts = plain{epochs = 1}
    local layers = nn.Module{model = opts.model, a = nn.Dropout(0.5), b = nn.Dropout(0.5),
      forward = function(self) return self.model() end}
    layers.b:eval()
    opts.model = layers
    local before
    opts.callbacks = {on_step = function() before = lt.rng_state() end, on_epoch = function()
      assert.same(before, lt.rng_state())
    end}
    opts.validate = function(now)
      assert.equal(2, now.step)
      assert.same({false, false}, {layers.a.training, layers.b.training})
      assert.is_false((layers.model.w * 2).requires_grad)
      return {drawn = lt.randn(3):sum() * 0 + 5, plain = 1}
    end
    local run = assert(train.run(opts))
    assert.same({true, false}, {layers.a.training, layers.b.training})
    assert.equal(5, run.log[1].drawn)
  end)

  it("validates over a set with the loss of the run", function()
    local opts = small.options(folder, {clip = 2})
    local held_back, model = opts.validate, opts.model
    opts.loss = function(batch) return lt.cross_entropy(model(batch.x), batch.y), {n = #batch.y} end
    local run = assert(train.run(opts))
    model:eval()
    local x, y = held_back:batch{1, 2, 3, 4, 5, 6}
    local wanted = lt.no_grad(function() return lt.cross_entropy(model(x), y):item() end)
    assert.close(run.log[3].val_loss, wanted)
    assert.equal(6, run.log[3].val_n)
  end)

  it("stops early, after `patience` epochs without a gain", function()
    local run = assert(train.run(curve({5, 4, 4.5, 4, 3.9, 4, 4, 4, 1}, {patience = 3})))
    assert.equal("patience", run.stopped)
    assert.equal(8, #run.log)
    assert.same({epoch = 5, value = 3.9}, run.best)
    assert.equal("score has not improved for 3 epochs; best: 3.9 in epoch 5", run.message)
    -- a gain of 0.1 is none here
    run = assert(train.run(curve({5, 4, 3.95, 3.9, 1}, {patience = 2, min_delta = 0.2})))
    assert.equal(4, #run.log)
    assert.same({epoch = 4, value = 3.9}, run.best)
    run = assert(train.run(curve({1, 2, 1.5, 1.8, 3}, {patience = 2, goal = "max"})))
    assert.equal(4, #run.log)
    run = assert(train.run(curve({3, 2, 1}, {patience = 1})))
    assert.equal("done", run.stopped)
  end)

  it("keeps the best weights", function()
    local opts, model = curve({3, 1, 2, 1}, {best = true})
    local run = assert(train.run(opts))
    assert.equal(-8, model.w:item())
    assert.same({2, 1}, {run:load_best()})
    assert.equal(-4, model.w:item()) -- after four steps, that is the second epoch
    run = assert(train.new((curve({1}, {best = true}))))
    assert.same({nil, "no epoch has ended"}, {run:load_best()})
    local other = assert(train.new((plain())))
    assert.misuse(function() other:load_best() end, "train: load_best: the run was made without the option best")
  end)

  it("ends when a number is no longer finite, and leaves the checkpoint before", function()
    local opts, model = plain{checkpoint = folder .. "/run.ckpt", every = 1, epochs = 5}
    opts.loss = function(_, now) return now.step == 4 and (model.w * 0 / 0):sum() or model.w:sum() end
    local run = assert(train.run(opts))
    assert.equal("diverged", run.stopped)
    assert.equal("loss is not finite in epoch 2, step 4", run.message)
    opts = plain{checkpoint = folder .. "/run.ckpt", resume = true, epochs = 5}
    run = assert(train.new(opts))
    assert.equal(3, run.steps)
    assert.equal(-3, opts.model.w:item())
  end)

  it("calls back", function()
    local calls = {}
    local opts = plain{epochs = 1, callbacks = {
      on_step = function(now, run) calls[#calls + 1] = ("step %d of %d"):format(now.step, run.steps) end,
      on_epoch = function(entry) entry.extra = 7 end}}
    local run = assert(train.run(opts))
    assert.same({"step 1 of 1", "step 2 of 2"}, calls)
    assert.equal(7, run.log[1].extra)
  end)

  it("prints a line an epoch", function()
    local path = folder .. "/out"
    local stream = assert(io.open(path, "w"))
    local opts = plain{progress = {label = "it", stream = stream}}
    opts.validate = function() return {z = 1e-5, a = 2} end
    assert(train.run(opts))
    stream:close()
    assert.matches("^it epoch 1/2  train_loss %-0.5000  a 2.0000  z 1e%-05  [%d.]+ s\nit epoch 2/2",
      files.read_all(path))
  end)

  describe("log", function()
    it("is JSON lines, which can be read while the run goes on", function()
      local path, lengths = folder .. "/deep/log.jsonl", {}
      local opts = plain{log = path, log_steps = 2, epochs = 2, callbacks = {
        on_step = function() lengths[#lengths + 1] = #train.read_log(path, {steps = true}).step or 0 end}}
      opts.callbacks.on_step = function()
        local log = assert(train.read_log(path))
        lengths[#lengths + 1] = log.epoch and #log.epoch or 0
      end
      assert(train.run(opts))
      assert.same({0, 0, 1, 1}, lengths)
      local lines = {}
      for line in io.lines(path) do lines[#lines + 1] = assert(json.decode(line)) end
      assert.same({{step = 2, lr = 1, loss = -1}, {epoch = 1, step = 2, lr = 1, train_loss = -0.5},
        {step = 4, lr = 1, loss = -3}, {epoch = 2, step = 4, lr = 1, train_loss = -2.5}}, lines)
      assert.same({epoch = {1, 2}, step = {2, 4}, lr = {1, 1}, train_loss = {-0.5, -2.5}}, train.read_log(path))
      assert.same({step = {2, 4}, lr = {1, 1}, loss = {-1, -3}}, train.read_log(path, {steps = true}))
    end)

    it("is read without a half-written last line, and with NaN for what a line lacks", function()
      local text = '{"epoch":1,"a":1}\n{"epoch":2,"b":5}\n{"epoch":3,"a":3}\n{"epoch":4,"a":4'
      local log = assert(train.read_log(scratch.write(folder, "log", text)))
      assert.same({1, 2, 3}, log.epoch)
      assert.same({"1", "nan", "3"}, {tostring(log.a[1]), (tostring(log.a[2]):gsub("-", "")), tostring(log.a[3])})
      assert.same({"nan", "5", "nan"}, {(tostring(log.b[1]):gsub("-", "")), "5", (tostring(log.b[3]):gsub("-", ""))})
      assert.same({}, assert(train.read_log(scratch.write(folder, "log", ""))))
    end)

    it("is read but for what was cut off, and tells of that", function()
      local text = '{"epoch":1,"a":1}\n{"epoch":2,"a":{"epoch":3,"a":3}\n\0\0\0{"epoch":4,"a":4}\n{"epoch":5,\n\0\0\n'
        .. '{"epoch":6,"a":6}\n'
      local log, message = train.read_log(scratch.write(folder, "log", text))
      assert.same({epoch = {1, 3, 4, 6}, a = {1, 3, 4, 6}}, log)
      assert.equal(folder .. "/log: 4 of 6 lines cut off, the first is line 2", message)
      log, message = train.read_log(scratch.write(folder, "log", '{"epo\n'))
      assert.same({nil, folder .. "/log: 1 of 1 lines cut off, the first is line 1"}, {log, message})
      for _, other in ipairs{"[1]", "5", "null"} do
        log, message = train.read_log(scratch.write(folder, "log", '{"epoch":1}\n' .. other .. "\n"))
        assert.is_nil(log)
        assert.matches("log: line 2: expected an object", message)
      end
    end)

    -- The disk is full from the n-th call on, for a while.
    it("is whole when a full disk has room again", function()
      if not files.exists "build/faults/disk.so" or os.getenv "LATENT_SANITIZE" then pending "needs the shim" end
      local code = ([[local log = assert(require("latent.train.log").open(%q, {'{"step":0}'}))
        for i = 1, 6 do log:add{step = i, text = ("x"):rep(50)} end
        log:close()]]):format(folder .. "/log")
      local function run(n, times)
        local command = "FAULT_DIR=%s FAULT=ENOSPC,%d,%d FAULT_COUNT=%s LD_PRELOAD=build/faults/disk.so lua5.4 -e %s"
        assert(files.capture(command:format(files.quote(folder), n, times, files.quote(folder .. "/count"),
          files.quote(code))))
        return tonumber(files.read_all(folder .. "/count"))
      end
      local calls = run(1000, 1)
      assert.is_true(calls > 7)
      for n = calls - 6, calls - 3 do -- the writes of lines, the last of which still has room
        for _, times in ipairs{1, 2, 3} do
          run(n, times)
          assert.same({0, 1, 2, 3, 4, 5, 6}, assert(train.read_log(folder .. "/log", {steps = true})).step)
        end
      end
    end)

    it("is refused where few bytes would become many numbers", function()
      local lines = {}
      for i = 1, 5000 do lines[i] = ('{"epoch":%d,"n%d":1}\n'):format(i, i) end
      local path = scratch.write(folder, "log", table.concat(lines))
      local log, message = train.read_log(path)
      assert.is_nil(log)
      local size = #table.concat(lines)
      assert.equal(("%s: 5001 names in 5000 lines make 25005000 numbers, expected at most %d from %d bytes"):format(
        path, 4 * size + (1 << 20), size), message)
      for i = 1, 20000 do lines[i] = ('{"epoch":%d,"loss":0.5}\n'):format(i) end -- as many lines as one likes
      lines[9] = '{"epoch":9,"note":"rare","loss":1}\n'
      log = assert(train.read_log(scratch.write(folder, "log", table.concat(lines))))
      assert.equal(20000, #log.note)
      assert.equal("rare", log.note[9])
    end)

    it("is read in a time that its length bounds, also where no line ever ends", function()
      local path = scratch.write(folder, "log", '{"epoch":1}\n' .. ("["):rep(1 << 21))
      assert.same({epoch = {1}}, train.read_log(path))
    end)

    it("says which line is damaged, and that a file is missing", function()
      local path = scratch.write(folder, "log", '{"epoch":1}\nnonsense\n')
      local log, message = train.read_log(path)
      assert.is_nil(log)
      assert.matches("log: line 2: ", message)
      for text, kind in pairs{["[]"] = "array", ["null"] = "null", ["3"] = "number", ["false"] = "boolean"} do
        log, message = train.read_log(scratch.write(folder, "log", '{"epoch":1}\n' .. text .. "\n"))
        assert.is_nil(log)
        assert.matches("log: line 2: expected an object, found " .. kind, message)
      end
      log, message = train.read_log(folder .. "/none")
      assert.is_nil(log)
      assert.matches("none: No such file", message)
      assert.misuse(function() train.read_log(5) end, "train.read_log: path: expected a string, got 5")
    end)
  end)

  describe("refuses", function()
    local function new(changes, removed)
      local opts = plain(changes)
      if removed then opts[removed] = nil end
      return function() train.new(opts) end
    end
    local stray = lt.param(lt.ones(1))
    for _, case in ipairs{
      {"a misspelt option", new{epoch = 3},
        'train.new: unknown option "epoch" %(did you mean "epochs"%?%); options: model, '},
      {"no model", new({}, "model"), "train.new: model: expected a model, got nil"},
      {"a class for a model", new{model = nn.ReLU},
        "train.new: model: expected a model, got nn.ReLU; write nn.ReLU%(...%)"},
      {"parameters for a model", new{model = nn.Linear(1, 1):parameters()},
        "train.new: model: expected a model, got a list of tensors; parameters are the optimiser's"},
      {"no optimiser", new{optimizer = {step = 1}},
        "train.new: optimizer: expected an optimiser, such as .*, got a table"},
      {"parameters that the model has not", new{optimizer = optim.SGD({stray})},
        "train.new: optimizer: its parameter 1 is none of the model's; make it a field of the model"},
      {"no loader", new{loader = 5}, "train.new: loader: expected a loader, such as .*, got 5"},
      {"no epochs", new({}, "epochs"), "train.new: epochs: expected a whole number of at least 1, got nil"},
      {"a loss that is no function", new{loss = lt.ones(1)}, "train.new: loss: expected a function, got a tensor"},
      {"schedules in a list", new{schedules = {5}}, "train.new: schedules: expected names such as lr and beta, got 1"},
      {"a schedule of text", new{schedules = {lr = "cosine"}},
        'train.new: schedules.lr: expected a function, got "cosine"'},
      {"a clip of 0", new{clip = 0}, "train.new: clip: expected a number above 0, got 0"},
      {"to validate with a number", new{validate = 0.1},
        "train.new: validate: expected a data set or a function that returns numbers, got 0.1"},
      {"to validate over a set without loss", new({validate = small.set(3)}, "loss"),
        "train.new: validate: a data set needs the option loss"},
      {"patience without a name to watch", new{patience = 2, validate = function() return {} end},
        "train.new: watch: expected the name of a number that validate returns, got nil"},
      {"no such goal", new{goal = "low"}, 'train.new: goal: expected "min" or "max", got "low"'},
      {"a gain below 0", new{min_delta = -1}, "train.new: min_delta: expected a number of at least 0, got %-1"},
      {"no such interval", new{every = {minutes = 1}}, 'train.new: every: unknown option "minutes"'},
      {"no interval", new{every = 0}, "train.new: every: steps: expected a whole number of at least 1, got 0"},
      {"to resume nothing", new{resume = true}, "train.new: resume: needs the option checkpoint"},
      {"a log that is no name", new{log = true}, "train.new: log: expected a string, got true"},
      {"states without state", new{states = {noise = {}}},
        "train.new: states.noise: expected a generator, or anything with state%(%) and set_state%(state%), got a t"},
      {"a number for progress", new{progress = 1},
        "train.new: progress: expected true, a label or options of progress.new, got 1"},
      {"no such callback", new{callbacks = {on_batch = print}}, 'train.new: callbacks: unknown option "on_batch"'},
      {"no options", function() train.new() end, "train.new: options: expected a table, got nil"},
      {"no loss", function() train.run((plain{loss = 1})) end, "train.run: loss: expected a function, got 1"},
      {"no options to run", function() train.run "x" end, 'train.run: options: expected a table, got "x"'},
    } do
      it(case[1], function() assert.misuse(case[2], case[3]) end)
    end

    it("a loader in the middle of an epoch", function()
      local opts = plain()
      opts.loader:next()
      assert.misuse(function() train.new(opts) end,
        "train.new: loader: expected one at the beginning of an epoch, got one at 2; make it anew")
    end)

    it("what the loop is given", function()
      local function run(changes) return function() train.run((plain(changes))) end end
      assert.misuse(run{loss = function() return 5 end}, "train: loss: expected a tensor, got 5")
      assert.misuse(run{schedules = {beta = function() end}}, "train.run: schedules.beta: expected a number, got nil")
      assert.misuse(run{validate = function() return 5 end},
        "train: validate: expected it to return a table of numbers, got 5")
      assert.misuse(run{validate = function() return {a = "x"} end}, 'train: validate: a: expected a number, got "x"')
      assert.misuse(run{watch = "mse"},
        'train: watch: an epoch has no number "mse"; it has epoch, lr, step, train_loss')
      local one = assert(train.new((plain())))
      for _ in one:batches() do
        assert.misuse(function() one:note(5) end, "train: note: values: expected a table, got 5")
        assert.misuse(function() one:note{5} end, "train: note: expected names, got 1")
        assert.misuse(function() one:note{epoch = 5} end, 'train: note: expected names, got "epoch"')
        assert.misuse(function() one:note{a = "x"} end, 'train: note: a: expected a number, got "x"')
      end
      assert.misuse(function() one:save() end, "train: save: the run was made without the option checkpoint")
    end)
  end)

  describe("resumed", function()
    local wanted
    setup(function()
      local place, clear = scratch.folder()
      wanted = small.bits(assert(train.run(small.options(place))))
      clear()
    end)

    it("after any step, is the uninterrupted run, bit for bit", function()
      for stop = 0, 12 do
        local place = ("%s/%d"):format(folder, stop)
        local run = assert(train.run(small.options(place, {every = 5, callbacks = {
          on_step = function(now, run) if now.step == stop then run:stop() end end}})))
        if stop > 0 then
          assert.equal(stop == 12 and "done" or "asked", run.stopped)
          assert.equal(stop, run.steps)
        end
        lt.manual_seed(99)
        run = assert(train.run(small.options(place, {resume = true})))
        assert.is_true(run.resumed)
        assert.is_true(wanted == small.bits(run), "stopped after step " .. stop)
      end
    end)

    it("with gradients that add up, a mean of the weights, groups, and a rate that falls on a plateau", function()
      local function options_of(place, changes)
        local opts = small.options(place, changes)
        local mean = optim.average(opts.model:parameters(), {decay = 0.9})
        local plateau = optim.schedule.plateau(0.02, {patience = 0, threshold = 0.1})
        local list = opts.model:parameters()
        opts.optimizer = optim.RMSprop({{params = {table.unpack(list, 1, 4)}},
          {params = {table.unpack(list, 5)}, lr = 0.002, centered = true}}, {lr = 0.02, momentum = 0.5})
        opts.schedules.lr, opts.accumulate = nil, 3
        opts.states.mean, opts.states.plateau = mean, plateau
        local on_step = opts.callbacks and opts.callbacks.on_step
        opts.callbacks = {on_epoch = function(entry, run) run.optimizer.lr = plateau:observe(entry.val_loss) end,
          on_step = function(now, run)
            mean:update()
            if on_step then on_step(now, run) end
          end}
        return opts
      end
      local function bits(run)
        local mean, text = run.states.mean:state(), small.bits(run)
        return text .. mean.updates .. mean.arrays["mean.3"]:bytes() .. run.states.plateau.value
      end
      local place = folder .. "/whole"
      local whole = bits(assert(train.run(options_of(place))))
      for _, stop in ipairs{1, 5, 8, 9} do
        place = ("%s/%d"):format(folder, stop)
        assert(train.run(options_of(place, {every = 5, callbacks = {
          on_step = function(now, run) if now.step == stop then run:stop() end end}})))
        local run = assert(train.run(options_of(place, {resume = true})))
        assert.is_true(run.resumed and whole == bits(run), "stopped after step " .. stop)
      end
      local _, message = train.run(small.options(folder .. "/5", {resume = true}))
      assert.matches("accumulate: 3 in the checkpoint, none here", message)
    end)

    it("from a checkpoint that lies back, has each line of the log once", function()
      local ok, message = pcall(train.run, small.options(folder, {every = 6, callbacks = {
        on_step = function(now) if now.step == 11 then error("power cut", 0) end end}}))
      assert.same({false, "power cut"}, {ok, message})
      assert.equal(4, #assert(files.capture("cat " .. files.quote(folder .. "/log.jsonl"))):gsub("[^\n]", "") + 1)
      local run = assert(train.new(small.options(folder, {resume = true})))
      assert.equal(6, run.steps)
      for batch, now in run:batches() do run:step(run.loss(batch, now)) end
      assert.is_true(wanted == small.bits(run))
    end)
  end)
end)
