-- Runs with several models and optimisers: what each step moves, what is logged, and that a resumed run is the
-- uninterrupted one.
local data = require "latent.data"
local lt, nn, optim, train = require "latent", require "latent.nn", require "latent.optim", require "latent.train"
local scratch, small_gan = require "spec.support.scratch", require "spec.support.small_gan"
require "spec.support.close"
require "spec.support.misuse"

local gan, bits = small_gan.options, small_gan.bits

describe("a run with several optimisers", function()
  local folder, remove
  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  it("steps each by its own loss, as often as it is told to", function()
    local opts, generator, critic = gan(folder)
    local run = assert(train.run(opts))
    assert.equal("done", run.stopped)
    assert.equal(12, run.steps)
    assert.equal(24, opts.optimizers.critic.steps)
    assert.equal(4, opts.optimizers.generator.steps)
    local entry = run.log[3]
    assert.equal(0.01 / 12, entry.critic_lr)
    assert.equal(0.01, entry.generator_lr)
    assert.is_nil(entry.lr)
    assert.is_nil(entry.train_loss)
    assert.close(entry.train_gap, -entry.train_critic_loss)
    assert.equal("number", type(entry.train_generator_loss))
    assert.is_true(run.now.critic_norm > 0 and run.now.generator_norm > 0)
    assert.equal(generator, run.model.generator)
    assert.equal(critic, run.model.critic)
    assert.equal(opts.optimizers.critic, run.optimizers.critic)
    assert.truthy(run.model:state()["generator.2.running_mean"])
  end)

  it("computes the gradients of that optimiser's parameters alone, clipped by their norm", function()
    local a, b = lt.param(lt.tensor{1.0}), lt.param(lt.tensor{2.0})
    local set = data.tensors{x = lt.ones(1, 1)}
    local one, two = optim.SGD({a}, {lr = 1}), optim.SGD({b}, {lr = 1})
    local run = assert(train.run{optimizers = {one = one, two = two}, epochs = 1, clip = 0.5,
      model = nn.Module{a = a, b = b, forward = function() return a * b end},
      loader = data.loader(set, {batch = 1}), step = function(_, _, run)
        run:step("one", (a * b):sum() * 2)
        assert.is_nil(b.grad)
        assert.close(a:item(), 0.5) -- the gradient 4, clipped
        run:step("two", (a * b):sum(), {sum = a:item() + b:item()})
        assert.close(a.grad, {0.5})
        assert.close(b:item(), 1.5)
      end})
    assert.close({run.now.one_norm, run.now.two_norm}, {4, 0.5})
    assert.close(run.log[1].train_sum, 2.5)
    assert.same({a}, run.optimizers.one:parameters())
  end)

  it("clips once what two parameters got together", function()
    local a, b = lt.param(lt.tensor{1.0}), lt.param(lt.tensor{1.0})
    local model = nn.Module{a = a, b = b, forward = function() return a + b end}
    assert(train.run{model = model, optimizers = {both = optim.SGD(model:parameters(), {lr = 1})}, epochs = 1,
      clip = 1, loader = data.loader(data.tensors{x = lt.ones(1, 1)}, {batch = 1}),
      step = function(_, _, run) run:step("both", model():sum()) end})
    assert.close({a:item(), b:item()}, {1 - 0.5 ^ 0.5, 1 - 0.5 ^ 0.5})
  end)

  it("ends with the same bits, stopped at any step and resumed", function()
    local whole = bits(assert(train.run(gan(folder))))
    for stop = 1, 11, 2 do
      os.remove(folder .. "/run.ckpt")
      os.remove(folder .. "/run.ckpt.prev")
      local run = assert(train.run(gan(folder, {callbacks = {on_step = function(now, run)
        if now.step == stop then run:stop() end
      end}})))
      assert.equal("asked", run.stopped)
      run = assert(train.run(gan(folder, {resume = true})))
      assert.is_true(run.resumed)
      assert.equal(whole, bits(run), "stopped at step " .. stop)
    end
  end)

  it("is resumed only with the same optimisers", function()
    assert(train.run(gan(folder)))
    local opts, generator = gan(folder, {resume = true})
    opts.optimizers.generator = optim.Adam(generator:parameters(), {lr = 2e-2, betas = {0, 0.9}})
    local run, message = train.run(opts)
    assert.is_nil(run)
    assert.matches("was made with other settings: optimizer generator_lr: 0.01 in the checkpoint, 0.02 here", message)
    opts = gan(folder, {resume = true})
    opts.optimizers.critic = nil
    run, message = train.run(opts)
    assert.is_nil(run)
    assert.matches("optimizer critic name: \"optim.RMSprop\" in the checkpoint, none here", message)
  end)

  it("keeps the best weights of all models, by the number that is named", function()
    local opts, generator = gan(folder, {best = true, watch = "train_gap", goal = "min"})
    local run = assert(train.run(opts))
    local last = generator[1].weight:table()
    local epoch = run:load_best()
    for i = 1, 3 do assert.is_true(run.log[epoch].train_gap <= run.log[i].train_gap) end
    assert.equal(epoch == 3, pcall(assert.same, last, generator[1].weight:table()))
    opts = gan(folder, {best = true})
    assert.misuse(function() train.run(opts) end,
      "train.run: watch: expected the name of a number that the steps note, such as train_loss, got nil")
  end)

  it("validates by a function, in evaluation mode", function()
    local opts, generator, critic = gan(folder)
    opts.validate = function()
      assert.same({false, false}, {generator.training, critic[3].training})
      return {gap = critic(lt.ones(2, 2)):mean()}
    end
    local run = assert(train.run(opts))
    assert.equal("number", type(run.log[1].gap))
    assert.is_true(critic[3].training)
  end)

  it("says what is wrong", function()
    local function refused(changes, pattern)
      local opts = gan(folder)
      for name, value in pairs(changes) do opts[name] = value or nil end
      assert.misuse(function() train.run(opts) end, "train.run: " .. pattern)
    end
    local linear = nn.Linear(2, 2)
    refused({step = false}, "step: expected a function, got nil")
    refused({model = linear}, "give model or models, not both")
    refused({optimizer = optim.SGD(linear:parameters(), {lr = 1})}, "give optimizer or optimizers, not both")
    refused({models = linear}, "models: expected a table of models by name, got a module")
    refused({models = {}}, "models: expected models by name, got an empty table")
    refused({models = {a = 3}}, "models.a: expected a model, got 3")
    refused({models = {linear}}, "models: expected names such as generator, of letters, digits and _, got 1")
    refused({models = {state = linear}}, "models: state is a word of modules; choose another name")
    refused({optimizers = {a = linear}}, "optimizers.a: expected an optimiser")
    refused({optimizers = {a = optim.SGD(linear:parameters(), {lr = 1})}},
      "optimizer: its parameter 1 is none of the model's")
    refused({accumulate = 2}, "accumulate: goes with one optimizer; with 2, let step call run:step every so many steps")
    refused({parts = 2}, "parts: a batch in parts goes with one optimizer, whose step ends it; here are 2")
    refused({schedules = {lr = 1}}, "schedules.lr: which optimizer's%? name it critic_lr")
    refused({validate = data.tensors{x = lt.ones(2, 2)}}, "validate: a data set needs the option loss")
  end)

  it("says what is wrong with a step", function()
    local function refused(step, pattern)
      local opts, generator, critic = gan(folder, {log = false, checkpoint = false, every = false})
      opts.log, opts.checkpoint, opts.every = nil, nil, nil
      opts.step = function(batch, _, run) step(run, generator, critic, batch) end
      local ok, message = pcall(train.run, opts)
      assert.is_false(ok)
      assert.matches("^spec/several_spec.lua:%d+: train: step: " .. pattern, message)
    end
    refused(function(run, _, critic, batch) run:step(critic(batch.x):mean()) end,
      "expected the name of an optimiser first %(critic, generator%), got a tensor")
    refused(function(run, _, critic, batch) run:step("critik", critic(batch.x):mean()) end,
      'expected the name of an optimiser first %(critic, generator%), got "critik"')
    refused(function(run) run:step("critic", 3) end, "critic: expected its loss, a tensor, got 3")
    refused(function(run, _, critic, batch) run:step("generator", critic(batch.x):mean()) end,
      "generator: the loss depends on none of its parameters")
    refused(function(run, generator, critic, batch)
      generator:freeze()
      run:step("generator", critic(batch.x):mean())
    end, "generator: all its parameters are frozen")
  end)
end)

describe("a step of one's own", function()
  it("takes the place of the one step a batch, beside a loss for validation", function()
    local w = lt.param(lt.tensor{0.0})
    local model = nn.Module{w = w, forward = function() return w end}
    local set = data.tensors{x = lt.ones(4, 1)}
    local run = assert(train.run{model = model, optimizer = optim.SGD({w}, {lr = 1}), epochs = 1,
      loader = data.loader(set, {batch = 2}), validate = set, loss = function() return (w - 1):square():sum() end,
      step = function(batch, now, run)
        run:step(w:sum() * #batch.x)
        run:step(w:sum() * now.step)
      end})
    assert.equal(-7, w:item()) -- 2 + 1, and 2 + 2
    assert.equal(64, run.log[1].val_loss)
  end)
end)
