-- The pool of storages: what it keeps, counted by lt.info, each time in a process of its own, for how full the moments
-- before were decides.

describe("the pool", function()
  -- What a program of its own prints: numbers.
  local function printed(script, ...)
    local pipe <close> = assert(io.popen("lua5.4 -e '" .. script .. "' 2>&1"))
    return pipe:read(...)
  end

  it("holds at most twice the fullest moment, where a program collects by itself and changes its sizes", function()
    local held, peak, pooled = printed([[
      local lt = require "latent"
      local most = 0
      for step = 1, 60 do
        local list = {}
        for i = 1, 10 do list[i] = lt.zeros(100000 + 20000 * step + i) end
        list = nil
        collectgarbage()
        local now = lt.info()
        most = math.max(most, now.live_bytes + now.pooled_bytes)
      end
      print(most, lt.info().peak_bytes, lt.info().pooled_bytes)]], "n", "n", "n")
    assert(held and peak > 40e6, "no count")
    assert(held <= 2 * peak and pooled > peak / 2, ("%.0f MB of %.0f are held"):format(held / 1e6, peak / 1e6))
  end)

  it("shrinks to what a program needs now, though it collects by itself", function()
    local before, after = printed([[
      local lt = require "latent"
      local big = lt.zeros(6e6)
      big = nil
      collectgarbage()
      print(lt.info().pooled_bytes)
      for _ = 1, 1500 do
        local small = lt.zeros(1000000)
        small = nil
        collectgarbage()
      end
      print(lt.info().pooled_bytes)]], "n", "n")
    assert(before and before >= 24e6, "no count")
    assert(after < 12e6, ("%.0f MB"):format(after / 1e6))
  end)

  it("serves steps that use two sizes in turn: nothing comes from the system", function()
    local first, second = printed([[
      local lt = require "latent"
      local function steps()
        for step = 1, 40 do
          local list = {}
          for i = 1, 8 do list[i] = lt.zeros(step % 2 == 0 and 1000000 or 700000) end
          list = nil
          collectgarbage()
        end
        return lt.info().system_allocs
      end
      print(steps(), steps())]], "n", "n")
    assert(first and first >= 16, "no count")
    assert.equal(first, second)
  end)
end)
