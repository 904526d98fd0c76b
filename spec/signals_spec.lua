-- Signals: a flag in one mode, an interruption of Lua code, coroutines and the core in the other.
local lt = require "latent"
local core = require "latent.core"
local files = require "latent.base.files"
local moment = require "spec.support.moment"

local function message_of(ok, ...)
  assert.is_false(ok)
  return (...)
end

local function same(message) return message end

describe("a trapped signal", function()
  before_each(function() core.trap("INT", "TERM") end)
  after_each(function()
    core.clear_signal()
    core.untrap()
  end)

  it("sets a flag that stays until it is cleared", function()
    assert.is_nil(core.pending())
    core.raise_signal "TERM"
    assert.equal("TERM", core.pending())
    core.raise_signal "INT"
    assert.equal("TERM", core.pending())
    core.clear_signal()
    assert.is_nil(core.pending())
  end)

  it("interrupts nothing in the mode flag: computations and backward stay whole", function()
    local ran = false
    local op = lt.op{name = "signalling", forward = function(_, x) return x * 1 end,
      backward = function(_, dy)
        core.raise_signal "INT"
        ran = true
        return dy
      end}
    local a = lt.param(lt.ones(3))
    op(a * 2):sum():backward()
    assert.is_true(ran)
    assert.equal("INT", core.pending())
    assert.same({2, 2, 2}, a.grad:table())
    assert.same({300, 300}, lt.ones(2, 300):matmul(lt.ones(300, 300)):sum(2):div(300):table())
  end)

  it("is handed back with nested traps, and an unserved one goes to the trap outside", function()
    core.trap "INT"
    core.raise_signal "INT"
    core.untrap()
    assert.equal("INT", core.pending())
  end)

  it("makes a blocking read return", function()
    local pipe = assert(io.popen "sleep 20 & echo $!; wait")
    local child = pipe:read()
    moment.signal("asleep", "INT")
    local text, message = pipe:read()
    assert.is_nil(text)
    assert.matches("Interrupted", message)
    assert.equal("INT", core.pending())
    os.execute("kill " .. child)
    pipe:close()
  end)
end)

describe("signals", function()
  it("kill as ever once nobody traps them, and when a second one finds the first unserved", function()
    local function run(code)
      code = ('package.cpath = %q local core = require "latent.core"\n'):format(package.cpath) .. code
      return assert(files.capture(("lua5.4 -e %s 2>&1; echo status $?"):format(files.quote(code))))
    end
    assert.matches("status 143", run 'core.trap "TERM" core.untrap() core.raise_signal "TERM" print "alive"')
    local wait = "local t = core.clock() repeat until core.clock() > t + 0.35\n"
    assert.matches("status 143$", run('core.trap "TERM" core.raise_signal "TERM"\n' .. wait
      .. 'core.raise_signal "TERM" print "alive"'))
    assert.equal("alive\nstatus 0", run('core.trap "TERM" core.raise_signal "TERM" core.clear_signal()\n' .. wait
      .. 'core.raise_signal "TERM" core.raise_signal "TERM" print "alive"'))
  end)

  it("end a program that a foreign C function holds, where Ctrl-C alone cannot", function()
    local code = ([[package.cpath = %q
      local core = require "latent.core"
      core.trap("INT", "TERM")
      os.execute(("(sleep 0.1; kill -INT %%d; sleep 0.4; kill -INT %%d; while kill -TERM %%d; do sleep 0.4; done) &")
        :gsub("%%%%d", core.pid()))
      core.interruptible(function() return ("a"):rep(60):find(("a?"):rep(60) .. ("a"):rep(60)) end, print)
    ]]):format(package.cpath)
    assert.equal("status 143", files.capture(("timeout -s KILL 100 lua5.4 -e %s 2>/dev/null; echo status $?"):format(
      files.quote(code))))
  end)

  it("end such a program at the third Ctrl-C, not at the second", function()
    local code = ([[package.cpath = %q
      local core = require "latent.core"
      core.trap "INT"
      os.execute(("(sleep 0.1; kill -INT %%d; sleep 0.4; kill -INT %%d; sleep 0.4; kill -0 %%d && touch "
        .. arg[1] .. "; while kill -INT %%d; do sleep 0.4; done) &"):gsub("%%%%d", core.pid()))
      core.interruptible(function() return ("a"):rep(60):find(("a?"):rep(60) .. ("a"):rep(60)) end, print)
    ]]):format(package.cpath)
    local folder, remove = require("spec.support.scratch").folder()
    finally(remove)
    local script = require("spec.support.scratch").write(folder, "script.lua", code)
    local seen = folder .. "/two"
    assert.equal("status 130", files.capture(("timeout -s KILL 100 lua5.4 %s %s 2>/dev/null; echo status $?"):format(
      files.quote(script), files.quote(seen))))
    assert.is_true(files.exists(seen)) -- it was alive after the second
  end)

  it("are known by name", function()
    assert.error_matches(function() core.trap "KILL" end, 'trap: expected INT, TERM, .* got "KILL"')
    assert.error_matches(function() core.trap() end, "trap: expected 1 to 16 names")
    assert.error_matches(function() core.raise_signal(2) end, "raise_signal: expected the name of a signal, got 2")
  end)

  it("are trapped up to eight deep", function()
    for _ = 1, 8 do core.trap "USR1" end
    assert.error_matches(function() core.trap "USR1" end, "trap: nested more than 8 deep")
    for _ = 1, 8 do core.untrap() end
    core.untrap() -- one too many does nothing
  end)
end)

describe("interruptible", function()
  local library = coroutine -- luacheck takes it for read-only under its own name
  local resume, wrap = library.resume, library.wrap

  before_each(function()
    core.trap "INT"
    library.resume, library.wrap = core.resume, core.wrap
  end)
  after_each(function()
    library.resume, library.wrap = resume, wrap
    core.clear_signal()
    core.untrap()
  end)

  local function interrupted(f, ...)
    local message = message_of(core.interruptible(f, same, ...))
    assert.equal("INT", core.pending())
    core.clear_signal()
    return message
  end

  it("is xpcall where no signal comes", function()
    local got = table.pack(core.interruptible(function(...) return select("#", ...), ... end, same, 1, nil, 3))
    assert.same({true, 3, 1, nil, 3, n = 5}, got)
    assert.equal("<x>", message_of(core.interruptible(error, function(m) return "<" .. m .. ">" end, "x", 0)))
    assert.has_error(function() core.interruptible(1, same) end)
  end)

  it("ends a loop, also one that catches errors", function()
    assert.matches("signals_spec.lua:%d+: interrupted", interrupted(function()
      moment.signal("busy", "INT")
      while true do end
    end))
    assert.matches("interrupted", interrupted(function()
      while true do pcall(function() core.raise_signal "INT" end) end
    end))
  end)

  it("ends coroutines, new ones, waiting ones and those that wait for another", function()
    local old = coroutine.wrap(function() while true do coroutine.yield() end end)
    old()
    assert.matches("interrupted", interrupted(function()
      core.raise_signal "INT"
      old()
    end))
    assert.matches("interrupted", interrupted(function()
      local co = coroutine.create(function()
        coroutine.wrap(function()
          core.raise_signal "INT"
          while true do end
        end)()
      end)
      while true do coroutine.resume(co) end
    end))
  end)

  it("leaves no hook behind", function()
    interrupted(function() core.raise_signal "INT" end)
    assert.is_nil((debug.gethook()))
    assert.same({true, 5}, {core.interruptible(function() return 2 + 3 end, same)})
  end)

  it("ends computations of the core between chunks", function()
    local threads = lt.threads()
    finally(function() lt.set_threads(threads) end)
    local x, points = lt.ones(4000, 4000), lt.ones(20000, 400)
    -- Again and again: how long one takes is the machine's.
    local function interrupted_in(f, ...)
      local given = table.pack(...)
      return interrupted(function()
        moment.signal("busy", "INT")
        while true do f(table.unpack(given)) end
      end)
    end
    for n = 1, 2 do
      lt.set_threads(n)
      assert.matches("matmul: interrupted$", interrupted_in(core.ops.matmul, x, x))
      assert.matches("knn: interrupted$", interrupted_in(core.knn, points, points, 2))
    end
    lt.set_threads(1)
    lt.manual_seed(3)
    local before = lt.rng_state()
    assert.matches("randn: interrupted$", interrupted_in(function()
      lt.manual_seed(3)
      core.randn(60000000)
    end))
    assert.same(before, lt.rng_state())
  end)

  it("ends backward between ops: a gradient is untouched or gone, never half a sum", function()
    local op = lt.op{name = "signalling", forward = function(_, x) return x * 1 end,
      backward = function(_, dy)
        core.raise_signal "INT"
        return dy
      end}
    local early, late, away = lt.param(lt.ones(3)), lt.param(lt.ones(3)), lt.param(lt.ones(3))
    for _, p in ipairs{early, late, away} do p:sum():backward() end
    local loss = (op(early * 2) * late):sum()
    assert.matches("interrupted", interrupted(function() loss:backward() end))
    assert.is_nil(late.grad)
    assert.same({1, 1, 1}, early.grad:table())
    assert.same({1, 1, 1}, away.grad:table())
    -- and the next backward is a whole one
    early:zero_grad();
    (early * 2 * late):sum():backward()
    assert.same({2, 2, 2}, early.grad:table())
    assert.same({2, 2, 2}, late.grad:table())
  end)

  it("lets what traps signals itself see the flag, and undoes traps that an error left", function()
    local ok, seen = core.interruptible(function()
      core.trap "INT"
      core.raise_signal "INT"
      local name = core.pending()
      core.clear_signal()
      core.untrap()
      return name
    end, same)
    assert.same({true, "INT"}, {ok, seen})
    assert.matches("oops", message_of(core.interruptible(function()
      core.trap "INT"
      error "oops"
    end, same)))
    assert.matches("interrupted", interrupted(function() core.raise_signal "INT" end))
  end)
end)

describe("resume and wrap", function()
  it("do what coroutine.resume and coroutine.wrap do", function()
    for _, lib in ipairs{coroutine, core} do
      local co = coroutine.create(function(...)
        local got = {n = select("#", ...), ...}
        while true do got = {coroutine.yield(table.unpack(got))} end
      end)
      assert.same({true, 1, 2}, {lib.resume(co, 1, 2)})
      assert.same({true}, {lib.resume(co)})
      assert.same({true, "x"}, {lib.resume(co, "x")})
      local failing = coroutine.create(function() error{} end)
      assert.same({false, {}}, {lib.resume(failing)})
      assert.same({false, "cannot resume dead coroutine"}, {lib.resume(failing)})
      assert.same({false, "cannot resume non-suspended coroutine"}, {lib.resume(coroutine.running())})
      local sum, add = 0
      add = lib.wrap(function(x) while true do sum = sum + x x = coroutine.yield(sum) end end)
      for i = 1, 4 do add(i) end
      assert.equal(10, sum)
      local closed = false
      local broken = lib.wrap(function()
        local _ <close> = setmetatable({}, {__close = function() closed = true end})
        error "broken"
      end)
      assert.error_matches(broken, "broken")
      assert.is_true(closed)
      assert.error_matches(broken, "cannot resume dead coroutine")
    end
  end)
end)
