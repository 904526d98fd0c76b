-- Checkpoints: whole or refused, whatever happens to the file; and runs that were killed or stopped by a signal.
local checkpoint = require "latent.train.checkpoint"
local core = require "latent.core"
local files, safetensors = require "latent.base.files", require "latent.safetensors"
local lt, nn, optim, train = require "latent", require "latent.nn", require "latent.optim", require "latent.train"
local data = require "latent.data"
local scratch, small = require "spec.support.scratch", require "spec.support.small_run"
require "spec.support.misuse"

local function flipped(bytes, place, bit)
  return bytes:sub(1, place - 1) .. string.char(bytes:byte(place) ~ (1 << bit)) .. bytes:sub(place + 1)
end

describe("a checkpoint", function()
  local folder, remove, path
  before_each(function()
    folder, remove = scratch.folder()
    path = folder .. "/run.ckpt"
  end)
  after_each(function() remove() end)

  local function write(bytes) return scratch.write(folder, "run.ckpt", bytes) end

  it("holds tensors and values, and is a safetensors file", function()
    assert.is_false(checkpoint.exists(path))
    local values = {step = 3, rate = 0.1, big = 1 << 62, text = "two\nlines", list = {1, 2}, flag = true}
    assert(checkpoint.save(path, {a = lt.tensor{1, 2}, b = lt.ones(0)}, values))
    assert.is_true(checkpoint.exists(path))
    local tensors, read = checkpoint.load(path)
    assert.same({{1, 2}, {0}}, {tensors.a:table(), tensors.b.shape})
    assert.is_nil(tensors["~crc32"])
    assert.same(values, read)
    assert.same({1, 2}, safetensors.load(path).a:table())
  end)

  it("keeps the one before it, and nothing else", function()
    for i = 1, 3 do assert(checkpoint.save(path, {a = lt.tensor{i}}, {})) end
    assert.same({"run.ckpt", "run.ckpt.prev"}, scratch.list(folder))
    assert.equal(3, checkpoint.load(path).a:item())
    os.remove(path) -- as a crash between the two renames leaves it
    assert.is_true(checkpoint.exists(path))
    local tensors, _, damage = checkpoint.load(path)
    assert.equal(2, tensors.a:item())
    assert.is_nil(damage)
  end)

  it("of an earlier run is set aside as a whole, where there is one", function()
    assert.is_true(checkpoint.set_aside(path))
    assert.same({}, scratch.list(folder))
    for i = 1, 2 do assert(checkpoint.save(path, {a = lt.tensor{i}}, {})) end
    os.remove(path) -- as a crash between the two renames leaves it
    assert.is_true(checkpoint.set_aside(path))
    assert.same({"run.ckpt.old"}, scratch.list(folder))
    for i = 3, 4 do assert(checkpoint.save(path, {a = lt.tensor{i}}, {})) end
    assert.is_true(checkpoint.set_aside(path))
    assert.same({"run.ckpt.old"}, scratch.list(folder))
    assert.equal(4, checkpoint.load(path .. ".old").a:item())
  end)

  it("is refused, cut off at any length", function()
    assert(checkpoint.save(path, {a = lt.tensor{1, 2, 3}}, {step = 1}))
    local bytes = files.read_all(path)
    for length = 0, #bytes - 1 do
      write(bytes:sub(1, length))
      local tensors, message = checkpoint.load(path)
      assert.is_nil(tensors)
      assert.matches("run.ckpt: damaged", message)
    end
    write(bytes .. "x")
    assert.is_nil(checkpoint.load(path))
  end)

  it("is refused with any bit flipped", function()
    assert(checkpoint.save(path, {a = lt.tensor{1, 2, 3}}, {step = 1}))
    local bytes = files.read_all(path)
    for place = 1, #bytes do
      write(flipped(bytes, place, place % 8))
      local tensors, message = checkpoint.load(path)
      assert.is_nil(tensors)
      assert.matches("run.ckpt: damaged, or no checkpoint: its checksum is %x+, that of its content %x+", message)
    end
  end)

  it("that is damaged gives way to the one before it", function()
    for i = 1, 2 do assert(checkpoint.save(path, {a = lt.tensor{i}}, {step = i})) end
    local bytes = files.read_all(path)
    write(bytes:sub(1, 50))
    local tensors, values, damage = checkpoint.load(path)
    assert.equal(1, tensors.a:item())
    assert.equal(1, values.step)
    assert.matches("run.ckpt: damaged", damage)
    assert(checkpoint.fall_back(path))
    assert.same({"run.ckpt", "run.ckpt.damaged"}, scratch.list(folder))
    assert.equal(1, checkpoint.load(path).a:item())
    scratch.write(folder, "run.ckpt.prev", "x")
    write ""
    local none, message = checkpoint.load(path)
    assert.is_nil(none)
    assert.matches("run.ckpt: damaged: only 0 bytes; and .*run.ckpt.prev: damaged", message)
  end)

  it("of a later version or of another program is refused", function()
    checkpoint.version = 2
    local ok = checkpoint.save(path, {}, {})
    checkpoint.version = 1
    assert.is_true(ok)
    local none, message = checkpoint.load(path)
    assert.is_nil(none)
    assert.matches("run.ckpt: has version 2 of the format, this library reads up to 1", message)
    assert(safetensors.save(folder .. "/other", {a = lt.ones(2)}))
    none, message = checkpoint.load(folder .. "/other")
    assert.is_nil(none)
    assert.matches("other: damaged, or no checkpoint", message)
    none, message = checkpoint.load(folder .. "/none")
    assert.is_nil(none)
    assert.matches("none: No such file", message)
  end)

  it("that cannot be written leaves what is there", function()
    scratch.write(folder, "file", "")
    local ok, message = checkpoint.save(folder .. "/file/run.ckpt", {}, {})
    assert.is_nil(ok)
    assert.matches("file/run.ckpt: cannot be written: .*file: is a file, expected a folder", message)
    assert(checkpoint.save(path, {a = lt.tensor{1}}, {}))
    assert.is_false(pcall(checkpoint.save, path, {a = lt.tensor{2}}, {f = print}))
    assert.equal(1, checkpoint.load(path).a:item())
    assert.same({"file", "run.ckpt"}, scratch.list(folder))
  end)

  it("that does not come back as it was written leaves the ones before it", function()
    for i = 1, 2 do assert(checkpoint.save(path, {a = lt.tensor{i}}, {})) end
    local write_tensors, crc32 = safetensors.write, core.crc32
    local function refused(pattern)
      local ok, message = checkpoint.save(path, {a = lt.tensor{3}}, {})
      safetensors.write, core.crc32 = write_tensors, crc32
      assert.is_nil(ok)
      assert.matches("run.ckpt: cannot be written: read back: " .. pattern, message)
      assert.equal(2, checkpoint.load(path).a:item())
      assert.equal(1, checkpoint.load(path .. ".prev").a:item())
    end
    -- A header that nobody can read again, though its sum is right.
    function safetensors.write(sink, tensors) return write_tensors(sink, tensors, {["latent.checkpoint"] = "{"}) end
    refused "not a checkpoint of a training run"
    -- A bit that turns on its way to the disk.
    local first = true
    function core.crc32(...)
      local sum = crc32(...)
      if first then sum = sum ~ 1 end
      first = false
      return sum
    end
    refused "damaged, or no checkpoint: its checksum is"
    assert.same({"run.ckpt", "run.ckpt.prev"}, scratch.list(folder))
  end)

  it("lies where a link points, with the one before it beside it", function()
    assert(files.mkdir_p(folder .. "/big"))
    assert(files.capture(("ln -s big/real.ckpt %s"):format(files.quote(path))))
    for i = 1, 2 do assert(checkpoint.save(path, {a = lt.tensor{i}}, {})) end
    assert.equal(2, checkpoint.load(path).a:item())
    assert.same({"real.ckpt", "real.ckpt.prev"}, scratch.list(folder .. "/big"))
    assert(checkpoint.set_aside(path))
    assert.same({"real.ckpt.old"}, scratch.list(folder .. "/big"))
    assert.same({"big", "run.ckpt"}, scratch.list(folder))
  end)

  it("is none on a FIFO or a device, which stays", function()
    assert(files.capture("mkfifo " .. files.quote(path)))
    assert.same({nil, path .. ": is a fifo, expected a plain file"}, {checkpoint.save(path, {}, {})})
    assert.is_true(checkpoint.set_aside(path))
    assert.same({nil, path .. ": not a plain file"}, {checkpoint.load(path)})
    assert.same({"run.ckpt"}, scratch.list(folder))
  end)
end)

describe("a run with a checkpoint", function()
  local folder, remove
  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  local function stop_at(step, how)
    return {on_step = function(now, run)
      if now.step == step then how(run) end
    end}
  end
  local function stop(run) run:stop() end

  local wanted
  setup(function()
    local place, clear = scratch.folder()
    wanted = small.bits(assert(train.run(small.options(place))))
    clear()
  end)

  it("is refused when neither checkpoint is good", function()
    for _, name in ipairs{"run.ckpt", "run.ckpt.prev"} do scratch.write(folder, name, "nothing") end
    local none, message = train.run(small.options(folder, {resume = true}))
    assert.is_nil(none)
    assert.matches("run.ckpt: damaged, or no checkpoint: .*; and .*run.ckpt.prev: damaged", message)
  end)

  it("that begins anew leaves the earlier run's checkpoint, with which that one can go on", function()
    assert(train.run(small.options(folder, {callbacks = stop_at(7, stop)})))
    assert(train.run(small.options(folder, {callbacks = stop_at(2, stop)})))
    assert(os.rename(folder .. "/run.ckpt.old", folder .. "/run.ckpt"))
    assert.equal(wanted, small.bits(assert(train.run(small.options(folder, {resume = true})))))
  end)

  it("is not disturbed by what the script draws before the loop", function()
    assert(train.run(small.options(folder, {callbacks = stop_at(7, stop)})))
    local run = assert(train.new(small.options(folder, {resume = true})))
    lt.randn(100)
    for batch, now in run:batches() do run:step(run.loss(batch, now)) end
    assert.is_true(wanted == small.bits(run))
  end)

  for _, signal in ipairs{"INT", "TERM"} do
    it("ends after the step in which SIG" .. signal .. " comes", function()
      local run = assert(train.run(small.options(folder, {every = 100,
        callbacks = stop_at(6, function() core.raise_signal(signal) end)})))
      assert.equal(signal, run.stopped)
      assert.equal(6, run.steps)
      assert.equal(("stopped by SIG%s after step 6 (epoch 2 of 3)"):format(signal), run.message)
      assert.is_nil(core.pending())
      run = assert(train.run(small.options(folder, {resume = true})))
      assert.is_true(wanted == small.bits(run))
    end)
  end

  it("resumes gradients that are added up over steps, and parameters that had none yet", function()
    local function make(place, stop_step)
      lt.manual_seed(1)
      local opts = small.options(place, {resume = true, clip = false, loss = false, validate = false, patience = false,
        schedules = {}, best = false, callbacks = stop_step and stop_at(stop_step, stop)})
      for name, value in pairs(opts) do if value == false then opts[name] = nil end end
      local used, late = opts.model, nn.Linear(3, 3)
      opts.model = nn.Module{used = used, late = late, forward = function(_, x) return used(x) end}
      opts.optimizer = optim.AdamW(opts.model:parameters(), {lr = 0.01})
      local run = assert(train.new(opts))
      for batch, now in run:batches() do
        local y = run.model(batch.x)
        if now.step > 5 and now.step < 9 then y = late(y) end
        lt.cross_entropy(y, batch.y):backward()
        if now.step % 3 == 0 then
          opts.optimizer:step()
          opts.optimizer:zero_grad()
        end
      end
      return run
    end
    local whole = small.bits(make(folder .. "/whole"))
    for step = 1, 11 do
      local place = ("%s/%d"):format(folder, step)
      make(place, step)
      assert.is_true(whole == small.bits(make(place)), "stopped after step " .. step)
    end
  end)

  it("resumes frozen parts and modes that the script changed on the way", function()
    local function make(place, stop_step)
      local opts = small.options(place, {resume = true})
      opts.callbacks = {on_step = function(now, run)
        if now.step == 5 then
          opts.model[1]:freeze()
          opts.model[2]:eval()
        end
        if now.step == 10 then opts.model[1]:unfreeze() end
        if now.step == stop_step then run:stop() end
      end}
      return assert(train.run(opts)), opts.model
    end
    local whole = small.bits((make(folder .. "/whole")))
    for _, step in ipairs{4, 5, 6, 10} do
      local place = ("%s/%d"):format(folder, step)
      make(place, step)
      local run, model = make(place)
      assert.is_true(whole == small.bits(run), "stopped after step " .. step)
      assert.is_false(model[2].training)
      assert.is_true(model[1].weight.requires_grad)
    end
  end)

  it("goes on with more epochs, where no schedule depends on them, and does nothing when it is done", function()
    local changes = {schedules = {scale = 1}}
    assert(train.run(small.options(folder, changes)))
    local run = assert(train.run(small.options(folder, {schedules = {scale = 1}, resume = true})))
    assert.same({12, "done"}, {run.steps, run.stopped})
    run = assert(train.run(small.options(folder, {schedules = {scale = 1}, epochs = 5, resume = true})))
    assert.equal(20, run.steps)
    local whole = assert(train.run(small.options(folder .. "/whole", {schedules = {scale = 1}, epochs = 5})))
    assert.is_true(small.bits(whole) == small.bits(run))
  end)

  it("begins where there is none", function()
    local run = assert(train.run(small.options(folder, {resume = true})))
    assert.is_false(run.resumed)
    assert.is_true(wanted == small.bits(run))
  end)

  it("goes on from a checkpoint that was saved before the first step, of which schedules know nothing", function()
    assert(assert(train.new(small.options(folder))):save())
    local run = assert(train.run(small.options(folder, {resume = true})))
    assert.is_true(run.resumed)
    assert.is_true(wanted == small.bits(run))
  end)

  it("saves when told to, but not inside a step", function()
    local opts = small.options(folder, {every = 1000})
    local run = assert(train.new(opts))
    for batch, now in run:batches() do
      assert.misuse(function() run:save() end, "train: save: a step is being made")
      run:step(run.loss(batch, now))
    end
    assert(run:save())
    assert.is_true(wanted == small.bits(run))
  end)

  describe("is refused, naming what differs:", function()
    local function refused(changes, message)
      assert(train.run(small.options(folder, {callbacks = stop_at(5, stop)})))
      local before = files.read_all(folder .. "/run.ckpt")
      changes.resume = true
      local opts = small.options(folder, changes)
      local weights = opts.model:state()
      for name, x in pairs(weights) do weights[name] = x:bytes() end
      local run, found = train.new(opts)
      assert.is_nil(run)
      assert.matches("run.ckpt: was made with other settings: " .. message, found)
      -- nothing was touched
      assert.equal(before, files.read_all(folder .. "/run.ckpt"))
      for name, x in pairs(opts.model:state()) do assert.equal(weights[name], x:bytes()) end
    end
    local function loader(opts) return data.loader(data.split(small.set(26), 6, {seed = 2}), opts) end

    it("batch", function()
      refused({loader = loader{batch = 5, seed = 3}}, "loader batch: 6 in the checkpoint, 5 here$")
    end)
    it("loader's seed", function()
      refused({loader = loader{batch = 6, seed = 4}}, "loader seed: 3 in the checkpoint, 4 here$")
    end)
    it("a short last batch left out", function()
      refused({loader = loader{batch = 6, seed = 3, drop_last = true}}, "loader batches: 4 in the checkpoint, 3 here$")
    end)
    it("size of the data", function()
      refused({loader = data.loader(small.set(26), {batch = 6, seed = 3})},
        "loader batches: 4 in the checkpoint, 5 here; loader count: 20 in the checkpoint, 26 here$")
    end)
    it("clip", function() refused({clip = 2}, "clip: 1 in the checkpoint, 2 here$") end)
    it("patience", function() refused({patience = 6}, "patience: 5 in the checkpoint, 6 here$") end)
    it("settings", function() refused({settings = {beta = 3}}, "settings beta: none in the checkpoint, 3 here$") end)
    it("states", function() refused({states = {}}, "states noise: true in the checkpoint, none here$") end)
    it("schedules", function()
      refused({schedules = {lr = train.schedule.cosine(0.02, {steps = 13}), scale = 1}},
        "schedule %a+: [%d.]+ in step %d+ in the checkpoint, [%d.]+ here$")
      refused({schedules = {lr = 1}}, "schedule scale: true in the checkpoint, none here$")
    end)
    it("optimiser and its settings", function()
      local other = small.options(folder)
      refused({model = other.model, optimizer = optim.AdamW(other.model:parameters(), {lr = 0.01})},
        "optimizer decoupled: false in the checkpoint, true here; optimizer name: \"optim.Adam\" in the checkpoint, "
        .. "\"optim.AdamW\" here; optimizer weight_decay: ")
    end)
    it("shapes of the model", function()
      local model = nn.Sequential{nn.Flatten(), nn.Linear(12, 3)}
      refused({model = model, optimizer = optim.Adam(model:parameters())}, "model 1.bias: .*and %d+ more$")
    end)
    it("seed", function()
      local opts = small.options(folder)
      assert(train.run(opts))
      opts = small.options(folder, {resume = true})
      lt.manual_seed(8)
      local none, message = train.new(opts)
      assert.is_nil(none)
      assert.matches("seed: 7 in the checkpoint, 8 here$", message)
    end)
    it("lr without a schedule", function()
      local opts = small.options(folder, {schedules = {scale = 1}})
      assert(train.run(opts))
      opts = small.options(folder, {schedules = {scale = 1}, resume = true})
      opts.optimizer.lr = 0.5
      local none, message = train.new(opts)
      assert.is_nil(none)
      assert.matches("optimizer lr: 0.01 in the checkpoint, 0.5 here$", message)
    end)
  end)

  it("keeps a second program away from checkpoint and log, until it ends or is killed", function()
    local path = folder .. "/run.ckpt"
    local before
    local run = assert(train.new(small.options(folder)))
    before = files.read_all(path)
    for _, changes in ipairs{{}, {checkpoint = folder .. "/other"}, {log = folder .. "/other"}} do
      local code = ([[local small, train = require "spec.support.small_run", require "latent.train"
        local changes = {%s = %q}
        print(train.new(small.options(%q, changes)))]]):format(next(changes) or "every", select(2, next(changes)) or 1,
        folder)
      local output = files.capture(("lua5.4 -e %s"):format(files.quote(code)))
      assert.matches(("^nil\t.*: in use by process %d on .* since "):format(core.pid()), output)
    end
    assert.equal(before, files.read_all(path))
    for batch, now in run:batches() do
      run:step(run.loss(batch, now))
      if now.step == 3 then
        local generator = lt.rng_state() -- small.options seeds it
        assert.same({nil, path .. ": in use by another run of this program"}, {train.new(small.options(folder))})
        lt.set_rng_state(generator)
      end
    end
    assert.is_true(wanted == small.bits(run))
    assert.same({"log.jsonl", "run.ckpt", "run.ckpt.prev"}, scratch.list(folder))
  end)

  it("that was never begun gives way to one made later, and says so", function()
    local first = assert(train.new(small.options(folder)))
    local second = assert(train.new(small.options(folder)))
    assert.misuse(function() first:batches() end, "train: batches: .*: a run that was made later has it")
    for batch, now in second:batches() do second:step(second.loss(batch, now)) end
    assert.is_true(wanted == small.bits(second))
  end)

  it("tells a trouble with a file once, that it is over too, and loses nothing of it", function()
    local save, append, told = checkpoint.save, core.append, {}
    local stderr = io.stderr
    rawset(io, "stderr", {write = function(_, text) told[#told + 1] = text end})
    local run = assert(train.run(small.options(folder, {every = 1, log_steps = 1, callbacks = {
      on_step = function(now)
        if now.step == 3 then
          checkpoint.save = function() return nil, "run.ckpt: cannot be written: No space left on device" end
          core.append = function() return nil, "No space left on device", 0 end
        elseif now.step == 8 then
          checkpoint.save, core.append = save, append
        end
      end}})))
    rawset(io, "stderr", stderr)
    assert.same({"run.ckpt: cannot be written: No space left on device",
      folder .. "/log.jsonl: cannot be written: No space left on device", folder .. "/log.jsonl: written again",
      folder .. "/run.ckpt: written again"}, told)
    assert.same({"done", {}}, {run.stopped, run.troubles})
    assert.is_nil(run.message)
    local log = assert(train.read_log(folder .. "/log.jsonl", {steps = true}))
    assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, log.step)
    assert.same({1, 2, 3}, assert(train.read_log(folder .. "/log.jsonl")).epoch)
    assert.equal(12, assert(train.new(small.options(folder, {resume = true}))).steps)
  end)

  it("lets an interruption of its reading be one", function()
    assert(train.run(small.options(folder, {callbacks = stop_at(7, stop)})))
    local opts = small.options(folder, {resume = true})
    opts.states.noise = {state = function() return 1 end, set_state = function() error "interrupted!" end}
    local ok, message = pcall(train.new, opts)
    assert.is_false(ok)
    assert.matches("interrupted!$", message)
    opts.states.noise.set_state = function() error "no such thing" end
    local none, why = train.new(opts)
    assert.is_nil(none)
    assert.matches("run.ckpt: does not fit: .*no such thing", why)
  end)

  it("says at once what cannot be written", function()
    scratch.write(folder, "file", "")
    for _, option in ipairs{"log", "checkpoint"} do
      local run, message = train.new(small.options(folder, {[option] = folder .. "/file/x"}))
      assert.is_nil(run)
      assert.matches("file: ", message)
    end
  end)
end)

describe("a run in a process of its own", function()
  local child = ("LUA_PATH=%s LUA_CPATH=%s lua5.4 spec/support/small_run.lua "):format(files.quote(package.path),
    files.quote(package.cpath))
  local folder, remove, wanted

  setup(function()
    folder, remove = scratch.folder()
    assert(files.capture(child .. folder))
    wanted = files.read_all(folder .. "/bits")
    remove()
  end)
  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  -- Starts it, and sends a signal so many seconds after its first step; without a number it waits for that. What it
  -- printed.
  local function hit(signal, delay)
    return files.capture(([[cd %s && rm -f alive && cd - >/dev/null; %s %s %s & child=$!
      while [ ! -e %s/alive ] && kill -0 $child 2>/dev/null; do sleep 0.004; done
      sleep %.3f; kill -%s $child 2>/dev/null; wait $child 2>/dev/null; true]]):format(folder, child, folder,
      delay and "" or "waits", folder, delay or 0, signal))
  end

  it("that is killed at ten random moments ends with the same bits", function()
    for _ = 1, 10 do hit("KILL", math.random() * 0.025) end
    assert(checkpoint.load(folder .. "/run.ckpt"))
    local output = assert(files.capture(child .. folder))
    assert.matches("^40\tdone", output)
    assert.is_true(wanted == files.read_all(folder .. "/bits"))
  end)

  for _, signal in ipairs{"INT", "TERM"} do
    it("that gets SIG" .. signal .. " writes its checkpoint, and ends with the same bits", function()
      local output = assert(hit(signal))
      assert.matches("^%d+\t" .. signal .. "\tstopped by SIG" .. signal .. " after step %d+ %(epoch %d+ of 10%)",
        output)
      output = assert(files.capture(child .. folder))
      assert.matches("^40\tdone", output)
      assert.is_true(wanted == files.read_all(folder .. "/bits"))
    end)
  end

  it("goes on from the checkpoint before a damaged one, and says so", function()
    hit "TERM"
    local path = folder .. "/run.ckpt"
    scratch.write(folder, "run.ckpt", files.read_all(path):sub(1, 999))
    local output = assert(files.capture(child .. folder .. " 2>&1"))
    assert.matches("run.ckpt: damaged[^\n]+; the checkpoint before it is taken\n40\tdone", output)
    assert.is_true(wanted == files.read_all(folder .. "/bits"))
    assert.is_true(files.exists(path .. ".damaged"))
  end)
end)
