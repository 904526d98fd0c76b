-- tools/test.lua: several files at a time, and whatever becomes of one of them is said and counted.
local core, files = require "latent.core", require "latent.base.files"
local scratch = require "spec.support.scratch"

describe("the runner of the specs", function()
  local folder, remove
  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  local function command(words) return ("lua5.4 tools/test.lua --jobs 2 %s"):format(words) end

  -- What it printed of spec files with these texts, and its exit status.
  local function run(texts, words)
    for name, text in pairs(texts) do scratch.write(folder, name .. "_spec.lua", text) end
    local said = files.capture(("%s 2>&1; echo \"status $?\""):format(command(folder .. " " .. (words or ""))))
    local text, status = said:match "^(.*)\nstatus (%d+)$"
    return text, tonumber(status)
  end

  local GOOD = 'it("is good", function() end)\n'
  local BAD = GOOD .. 'it("is bad", function() assert.equal("this", "that") end)\n'

  it("adds up what all of them found, and says nothing else where all is well", function()
    local said, status = run{a = GOOD, b = GOOD .. GOOD, c = GOOD}
    assert.matches("^%+%+%+%+\n\n4 successes / 0 failures / 0 errors / 0 pending : [%d.]+ seconds$", said)
    assert.equal(0, status)
  end)

  it("tells failures in full, behind what is pending", function()
    local said, status = run{bad = BAD, later = 'it("is late", function() pending "not yet" end)',
      raises = 'it("raises", function() error "no more" end)', syntax = "this is no Lua", z = GOOD}
    assert.matches("\n2 successes / 1 failure / 2 errors / 1 pending : [%d.]+ seconds$", said)
    assert.equal(1, status)
    local at = said:find "later_spec.lua:1: not yet"
    for _, text in ipairs{"Failure -> " .. folder .. "/bad_spec.lua @ 2\nis bad\n",
      "bad_spec.lua:2: Expected objects to be equal.\nPassed in:\n(string) 'that'\nExpected:\n(string) 'this'",
      "raises_spec.lua:1: no more", "syntax_spec.lua:1:"} do
      assert.is_true(said:find(text, 1, true) > at, said)
    end
  end)

  it("takes for an error, and names, what ends before its time", function()
    local said, status = run{a = GOOD, crash = GOOD .. 'it("dies", function() os.execute "kill -9 $PPID" end)',
      exit = 'it("leaves", function() print "so far" os.exit(0) end)', z = GOOD,
      late = GOOD .. [[debug.getregistry().kept = setmetatable({}, {__gc = function()
        io.stdout:flush()
        os.execute "kill -9 $PPID"
      end})]]}
    assert.matches("Error %-> %S+/crash_spec.lua\nBusted ended by signal 9, having said:\n", said)
    assert.matches("Error %-> %S+/exit_spec.lua\nBusted ended with exit status 0, having said:\nso far\n", said)
    assert.matches("Error %-> %S+/late_spec.lua\nBusted ended by signal 9, having said:\n%+\n1 success / ", said)
    assert.matches("\n3 successes / 0 failures / 3 errors / 0 pending : ", said)
    assert.equal(1, status)
  end)

  it("takes for an error what does not run, as all that begin files have died", function()
    local kills = 'it("kills", function() os.execute "kill -9 $(ps -o ppid= $(ps -o ppid= $PPID))" end)'
    local waits = [[it("waits", function()
      os.execute "x=$(ps -o ppid= $(ps -o ppid= $PPID)); while case $(ps -o state= -o comm= $x) in Z*) false;; ]]
      .. [[*xargs) ;; *) false;; esac; do sleep 0.02; done"
    end)]]
    local said, status = run{a = kills, b = waits, c = GOOD}
    assert.matches("Error %-> %S+/c_spec.lua\nBusted did not end, having said:\n", said)
    assert.equal(1, status)
  end)

  it("hands options on to Busted, and finds the specs of folders and files", function()
    files.mkdir_p(folder .. "/deep/er")
    scratch.write(folder .. "/deep/er", "d_spec.lua", GOOD)
    scratch.write(folder, "no_spec.txt", GOOD)
    local said, status = run({a = BAD, b = BAD}, "-- --filter=good")
    assert.matches("\n3 successes / 0 failures", said)
    assert.equal(0, status)
    said = files.capture(command(("%s/a_spec.lua %s/deep %s/deep -- --filter=good"):format(folder, folder, folder)))
    assert.matches("\n2 successes / 0 failures", said)
    said, status = run({}, "nowhere")
    assert.matches("nowhere", said)
    assert.equal(2, status)
  end)

  it("has everything in one Busted, where it is one job", function()
    for _, name in ipairs{"a", "b"} do scratch.write(folder, name .. "_spec.lua", BAD) end
    local _, status, said = files.capture(command(("--jobs 1 %s </dev/null"):format(folder)))
    assert.matches("^%+%-%+%-\n2 successes / 2 failures / 0 errors / 0 pending : ", said)
    assert.equal("exit status 1", status)
  end)

  it("takes for an error, and names, what ends before its time in one Busted", function()
    for _, words in ipairs{"--jobs 1", "--jobs 4"} do
      for code, how in pairs{["os.exit(0)"] = "ended with exit status 0",
        ["os.exit(255)"] = "ended with exit status 255", ['os.execute "kill -9 $PPID"'] = "ended by signal 9"} do
        files.mkdir_p(folder .. "/one")
        if words == "--jobs 1" then scratch.write(folder, "one/a_spec.lua", GOOD .. ("-"):rep(200)) end
        scratch.write(folder, "one/b_spec.lua", ('it("leaves", function() %s end)'):format(code))
        local said = files.capture(("lua5.4 tools/test.lua %s %s/one 2>&1; echo status $?"):format(words, folder))
        assert.matches(("Error %%-> %%S+/one/b_spec.lua\nBusted %s before it was through\nstatus 1$"):format(how), said)
        files.capture("rm -r " .. folder .. "/one")
      end
    end
  end)

  it("tells an exit status that no signal makes", function()
    local said = run{a = GOOD, high = 'it("leaves", function() os.exit(255) end)'}
    assert.matches("/high_spec.lua\nBusted ended with exit status 255, having said:\n", said)
  end)

  it("ends all that it has begun when it is interrupted, and says what it had found", function()
    for i = 1, 3 do
      scratch.write(folder, i .. "_spec.lua", ([[it("lasts", function()
        require("latent.core").trap("INT", "TERM")
        os.execute "echo $$ >>%s/running; sleep 60 & echo $! >>%s/running; wait"
      end)]]):format(folder, folder))
    end
    local bad = scratch.write(folder, "bad_spec.lua", BAD .. ("-"):rep(1000))
    local said = files.capture(("%s 2>&1 & job=$!; until [ $(wc -l 2>/dev/null <%s/running || echo 0) = 4 ]; do "
      .. "sleep 0.02; done; kill -INT $job; wait $job; echo status $?"):format(command(folder), folder))
    assert.matches("Failure %-> " .. bad:gsub("%p", "%%%0") .. " @ 2\n", said)
    assert.matches("interrupted: 3 of 4 files had not ended\nstatus 130$", said)
    local count = 0
    for pid in assert(files.read_all(folder .. "/running")):gmatch "%d+" do
      count = count + 1
      -- a zombie is dead, whoever is to look
      local state = (files.read_all(("/proc/%s/stat"):format(pid)) or ""):match "%) (%a)"
      assert.is_true(not core.alive(math.tointeger(tonumber(pid))) or state == "Z", said)
    end
    assert.equal(4, count)
  end)
end)
