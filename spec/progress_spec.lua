local progress = require "latent.progress"

-- A stream that remembers, and a clock that goes a fixed time a step.
local function recorder()
  local parts = {}
  return {
    write = function(_, ...) for _, part in ipairs {...} do parts[#parts + 1] = part end end,
    flush = function() end,
    text = function() return table.concat(parts) end,
  }
end

local function ticking(seconds)
  local now = 0
  return function()
    now = now + seconds
    return now
  end
end

local function run(opts, epochs, steps)
  local out = recorder()
  opts.stream, opts.steps, opts.epochs = out, steps, epochs
  do
    local bar <close> = progress.new(opts)
    for _ = 1, epochs do
      for step = 1, steps do bar:step(1 / step) end
      bar:epoch("train %.3f", 0.25)
    end
  end
  return out.text()
end

describe("progress", function()
  it("prints one line an epoch and nothing else where there is no terminal", function()
    local text = run({label = "AE", terminal = false, clock = ticking(1)}, 3, 1000)
    assert.equal("AE epoch 1/3  train 0.250  1.0 s\nAE epoch 2/3  train 0.250  1.0 s\n"
      .. "AE epoch 3/3  train 0.250  1.0 s\n", text)
  end)

  it("takes a stream that is given for no terminal", function()
    assert.is_nil(run({clock = ticking(1)}, 1, 5):find("\r"))
  end)

  it("draws a bar with count, rate, loss and time left on a terminal", function()
    local text = run({label = "AE", terminal = true, clock = ticking(0.5), width = 100}, 2, 10)
    local drawn = {}
    for line in text:gmatch("\r\27%[K([^\r\n]+)") do drawn[#drawn + 1] = line end
    assert.equal("AE epoch 1/2 [==========          ] 5/10  2.0/s  loss 0.2000  left 7.5 s",
      drawn[5])
    assert.is_truthy(text:find("\r\27[KAE epoch 1/2  train 0.250  5.5 s\n", 1, true))
  end)

  it("draws no more than ten times a second", function()
    local text = run({terminal = true, clock = ticking(0.001)}, 1, 10000)
    local _, drawn = text:gsub("\r", "")
    assert.is_true(drawn > 50 and drawn <= 102, drawn)
  end)

  it("never fills more than the terminal's width", function()
    for width = 10, 90, 5 do
      local text = run({label = "a long label", terminal = true, clock = ticking(1),
        width = width}, 2, 5)
      for line in text:gmatch("\r\27%[K([^\r\n]+)\r") do assert.is_true(#line < width) end
    end
  end)

  it("wipes the bar when it is closed", function()
    local out = recorder()
    pcall(function()
      local bar <close> = progress.new {steps = 3, stream = out, terminal = true,
        clock = ticking(1)}
      bar:step(1)
      error "stop"
    end)
    assert.is_truthy(out.text():find("\r\27%[K$"))
  end)

  it("counts a resumed run from where it began", function()
    local out = recorder()
    local bar = progress.new {steps = 2, epochs = 10, first = 9, stream = out, terminal = false,
      clock = ticking(1)}
    bar:step():step():epoch()
    assert.equal("epoch 9/10  1.0 s\n", out.text())
  end)

  it("counts the steps of an epoch that were made before", function()
    local out = recorder()
    local bar = progress.new {steps = 10, done = 4, stream = out, terminal = true, clock = ticking(1)}
    bar:step()
    assert.matches("5/10  1.0/s  left 5.0 s", out.text(), 1, true)
    assert.error_matches(function() progress.new {done = -1} end, "progress.new: done: expected a whole number")
  end)

  it("prints text as it is where there are no values for it", function()
    local out = recorder()
    progress.new {stream = out, clock = ticking(1)}:epoch("100 %")
    assert.equal("100 %  1.0 s\n", out.text())
  end)

  it("tells times as a reader likes them", function()
    for seconds, text in pairs {[0] = "0.0 s", [8.31] = "8.3 s", [59.9] = "1:00", [125] = "2:05",
      [3725] = "1:02:05", [math.huge] = "?"} do
      assert.equal(text, progress.duration(seconds))
    end
  end)

  it("refuses misuse", function()
    assert.error_matches(function() progress.new {step = 3} end, "unknown option")
    assert.error_matches(function() progress.new {steps = 0} end, "steps: expected a whole")
    assert.error_matches(function() progress.new {stream = recorder()}:step "x" end,
      'loss: expected a number, got "x"')
  end)
end)
