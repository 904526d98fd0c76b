-- The kernel as a page of Jupyter sees it: what cells show, Ctrl-C, and every way to end. spec/support/notebook.py is
-- the page. Where no Python has ipykernel, as before `make notebook-test`, these are pending.
local files = require "latent.base.files"
local image = require "latent.image"
local json = require "latent.json"
local kernel = require "latent.tools.kernel"
local scratch = require "spec.support.scratch"

local python, about = kernel.python()

local function describe_kernel(name, body)
  describe(name, python and body or function()
    pending("has a Python with ipykernel (looked at " .. about .. "; `make notebook-test` installs one)")
  end)
end

-- Runs steps with a kernel of their own and returns what came of them: a list, and the pictures' folder.
local folder, remove
local function run(steps)
  local lines = {}
  for i, step in ipairs(steps) do
    if type(step) == "string" then step = {code = step} end
    step["do"] = step["do"] or "execute"
    lines[i] = json.encode(step)
  end
  local path = scratch.write(folder, "steps", table.concat(lines, "\n") .. "\n")
  local said, message = files.capture(("%s spec/support/notebook.py %s <%s 2>%s"):format(files.quote(python),
    files.quote(folder), files.quote(path), files.quote(folder .. "/log")))
  assert(said, (message or "") .. (files.read_all(folder .. "/log") or ""))
  local results = {}
  for line in said:gmatch "[^\n]+" do results[#results + 1] = assert(json.decode(line)) end
  assert.equal(#steps, #results)
  return results
end

-- The text of the outputs of one kind.
local function text_of(result, kind)
  local parts = {}
  for _, output in ipairs(result.outputs) do
    if output.kind == kind or output.name == kind then
      parts[#parts + 1] = output.text or output.data and output.data["text/plain"]
        or table.concat(output.traceback, "\n")
    end
  end
  return table.concat(parts, "|")
end

local function data_of(result, kind)
  for _, output in ipairs(result.outputs) do
    if output.kind == kind then return output.data, output end
  end
end

describe_kernel("the kernel #slow", function()
  setup(function()
    folder, remove = scratch.folder()
    local bin = assert(files.capture "pwd") .. "/bin/latent"
    assert(files.capture(("%s kernel install --prefix %s --python %s"):format(files.quote(bin), files.quote(folder),
      files.quote(python))))
  end)
  teardown(function() remove() end)

  it("computes as the prompt does: locals stay, the last value is shown, a semicolon silences", function()
    local r = run{
      "local a <const> = 20\nlocal function twice(x) return 2 * x end", "twice(a) + 2", "_ + 1", "a + 1;",
      "a = 3",
      "twice(a), nil, 'x'", "data.mnist ~= nil", "print 'one' io.write 'two' io.stderr:write 'three'", "%time 1 + 1",
      "!echo $((6 * 7))", "help 'nn.Linear'", "-- nothing", "", {code = "b = 1 b", silent = true}, "b",
    }
    assert.same({}, r[1].outputs)
    assert.equal("42", text_of(r[2], "execute_result"))
    assert.equal("43", text_of(r[3], "execute_result"))
    assert.same({}, r[4].outputs)
    assert.matches("attempt to assign to const variable 'a'", r[5].error)
    assert.equal('40\nnil\n"x"', text_of(r[6], "execute_result"))
    assert.equal("true", text_of(r[7], "execute_result"))
    assert.equal("one\ntwo", text_of(r[8], "stdout"))
    assert.equal("three", text_of(r[8], "stderr"))
    assert.equal(2, #r[8].outputs)
    assert.equal("2", text_of(r[9], "execute_result"))
    assert.matches("^wall ", text_of(r[9], "stdout"))
    assert.equal("42\n", text_of(r[10], "stdout"))
    assert.matches("^nn%.Linear%(inputs", text_of(r[11], "stdout"))
    for i = 12, 14 do assert.same({}, r[i].outputs) end
    assert.equal("1", text_of(r[15], "execute_result"))
  end)

  it("tells errors with the cell and its line", function()
    local r = run{
      "local function inner()\n  return nil + 1\nend\nfunction outer()\n  return (inner())\nend", "outer()\nprint 'no'",
      "x = = 1", "for i = 1, 2 do", "error({code = 7})", "lt.ones(2):matmul(lt.ones(3))",
      "setmetatable({}, {__tostring = function() error 'bad' end})", "error()",
      "local s = 'ä\xF0\x9F\x98\x80'; error(s)",
      "print '\\xFF\\xFE'", "error '\\xFF'", "string.format = nil; ('x'):rep(2)",
    }
    local problem = text_of(r[2], "error")
    assert.equal("error", r[2].status)
    assert.matches("In%[1%]:2: attempt to perform arithmetic on a nil value", problem)
    assert.matches("In%[1%]:5: in function 'outer'", problem)
    assert.equal("", text_of(r[2], "stdout"))
    assert.matches("In%[3%]:1: unexpected symbol near '='", problem and r[3].error)
    assert.matches("\n     1 | x = = 1$", text_of(r[3], "error"))
    assert.matches("In%[4%]:1: 'end' expected near <eof>", r[4].error)
    assert.matches("error: {code = 7}", r[5].error)
    assert.matches("^In%[6%]:1: matmul", r[6].error)
    assert.equal("ok", r[7].status)
    assert.matches("whose __tostring raises", text_of(r[7], "execute_result"))
    assert.equal("error: nil", r[8].error)
    assert.equal("In[9]:1: ä\xF0\x9F\x98\x80", r[9].error)
    assert.equal("\u{FFFD}\u{FFFD}\n", text_of(r[10], "stdout"))
    assert.equal("In[11]:1: \u{FFFD}", r[11].error)
    assert.equal('"xx"', text_of(r[12], "execute_result"))
  end)

  it("shows tensors as tables, images and figures as pictures, in their order", function()
    local path = folder .. "/images.png"
    local r = run{
      "lt.tensor{{1.5, 2}, {3, 0/0}}", "lt.arange(1, 2000):reshape(100, 20)", "lt.ones(2, 3, 4)", "lt.tensor(5)",
      {code = "data.mnist{split = 'test', mini = true}.images:slice(1, 1, 10)", keep = path},
      "print 'a' plot.show(plot.lines{{y = {1, 2, 3}}}) print 'b'\nplot.lines{{y = {3, 2, 1}}}",
      "display(lt.ones(2)) display({['text/html'] = '<b>x</b>'})",
      "display('first', {id = 'here'}) display('second', {id = 'here'})", "display('third', {id = 'here'})",
      "display(1, {ID = 'x'})", "lt.ones(3), plot.lines{{y = {1, 2}}}, 3, 4",
      "plot.lines{{y = {1, 2}}}:save('/proc/none/all.png')",
    }
    local data = data_of(r[1], "execute_result")
    assert.equal("tensor [2, 2] float32  min 1.5  mean 2.167  max 3  NaN 1\n[[1.5,   2],\n [  3, nan]]",
      data["text/plain"])
    assert.matches("<tr><th>1</th><td>1.5</td><td>2</td></tr>\n<tr><th>2</th><td>3</td><td>nan</td></tr>",
      data["text/html"])
    local html = data_of(r[2], "execute_result")["text/html"]
    assert.equal(22, select(2, html:gsub("<tr>", "")) + 2)
    assert.matches("<th>9</th><td>161</td>.*<th>&hellip;</th><td>&hellip;</td>.*<th>100</th><td>1981</td>", html)
    assert.is_nil(data_of(r[3], "execute_result")["text/html"])
    assert.matches("^tensor .*5", text_of(r[4], "execute_result"))

    data = data_of(r[5], "display_data")
    assert.is_string(data["image/png"])
    assert.matches("^tensor %[10, 32, 32, 1%] u8", text_of(r[5], "execute_result"))
    local picture = assert(image.read(path))
    assert.same({68, 272}, picture.shape)
    local digit = require("latent.data").mnist{split = "test", mini = true}.images[9]
    assert.equal(0, (picture:slice(1, 36, 67):slice(2, 2, 33) - digit:reshape(32, 32):float() / 255):abs():max():item())

    local kinds = {}
    for i, output in ipairs(r[6].outputs) do kinds[i] = output.kind end
    assert.same({"stream", "display_data", "stream", "execute_result"}, kinds)
    for _, i in ipairs{2, 4} do
      data = r[6].outputs[i].data
      assert.matches("^iVBORw0KGgo", data["image/png"])
      assert.matches("^<%?xml.*<svg", data["image/svg+xml"])
      assert.equal("lines figure, 900 x 600", data["text/plain"])
    end
    assert.equal("<b>x</b>", r[7].outputs[2].data["text/html"])
    local _, first = data_of(r[8], "display_data")
    local _, second = data_of(r[8], "update_display_data")
    assert.equal("here", first.transient.display_id)
    assert.equal("here", second.transient.display_id)
    assert.equal('"second"', second.data["text/plain"])
    assert.equal('"third"', data_of(r[9], "display_data")["text/plain"]) -- run again, a cell begins anew
    assert.matches("^In%[10%]:1: display: opts: expected {id = name}", r[10].error)
    assert.is_string(r[11].outputs[1].data["text/html"])
    assert.is_string(r[11].outputs[2].data["image/png"])
    assert.equal("3\n4", r[11].outputs[3].data["text/plain"])
    assert.matches("^In%[12%]:1: /proc/none/all.png: ", r[12].error)
  end)

  it("draws progress in its place", function()
    local r = run{[[
local progress = require "latent.progress"
do
  local bar <close> = progress.new{label = "AE", steps = 3, epochs = 2}
  for epoch = 1, 2 do
    for i = 1, 3 do os.execute "sleep 0.12"; bar:step(i) end
    bar:epoch("loss %.1f", epoch)
  end
end]]}
    local ids, shown = {}, 0
    for _, output in ipairs(r[1].outputs) do
      if output.data then
        ids[output.transient.display_id] = true
        assert.equal(shown == 0 and "display_data" or "update_display_data", output.kind)
        assert.matches("^AE epoch %d/2 %[=+ *%] %d/3", output.data["text/plain"])
        shown = shown + 1
      end
    end
    assert.is_string(next(ids))
    assert.is_nil(next(ids, next(ids)))
    assert(shown >= 5)
    assert.matches("^AE epoch 1/2  loss 1.0 .*\nAE epoch 2/2  loss 2.0 .*\n$", text_of(r[1], "stdout"):gsub("|", ""))
  end)

  it("reads what the reader types", function()
    local r = run{
      {code = "io.write 'name? '; local n = io.read(); n, io.read('n', 'l')", stdin = {"Ada", "12 left"}},
      {code = "for line in io.lines() do if line == '' then break end print('<' .. line .. '>') end",
        stdin = {"a", "b", ""}},
      {code = "io.stdin:read('a')", stdin = {"x", "y", ""}},
      "io.read()", {code = "kept = 1 io.read()", stdin = {}}, "kept", "os.execute 'cat'",
    }
    assert.equal("name? ", text_of(r[1], "stdout"))
    assert.equal('"Ada"\n12\n" left"', text_of(r[1], "execute_result"))
    assert.equal("<a>\n<b>\n", text_of(r[2], "stdout"))
    assert.equal("[[\nx\ny\n]]", text_of(r[3], "execute_result"))
    assert.matches("^In%[4%]:1: io%.read: nobody is there to answer", r[4].error)
    assert.equal("error", r[5].status)
    assert.matches("interrupted", text_of(r[5], "error"))
    assert.equal("1", text_of(r[6], "execute_result"))
    assert.equal("ok", r[7].status)
  end)

  it("completes and tells what is known of a name", function()
    local code = "local ä = 1; x = nn.Linear(2, 3, {bi"
    local r = run{
      {["do"] = "complete", code = code}, {["do"] = "complete", code = "lt.conv2"},
      {["do"] = "complete", code = "ä + lt.ones(2):sigm ", cursor = 19},
      {["do"] = "inspect", code = "ä = nn.Linear(2, 3)", cursor = 8}, {["do"] = "inspect", code = "nn.Linear(2, "},
      {["do"] = "inspect", code = "nothing_of_that_name"}, "z = {1, 2}", {["do"] = "inspect", code = "z"},
      {["do"] = "is_complete", code = "for i = 1, 2 do\n  print(i)"}, {["do"] = "is_complete", code = "f()"},
      {["do"] = "is_complete", code = "x = = 2"}, {["do"] = "is_complete", code = "!ls"},
    }
    assert.same({"bias = "}, setmetatable(r[1].matches, nil))
    assert.equal(utf8.len(code) - 2, r[1].cursor_start)
    assert.same({"conv2d"}, setmetatable(r[2].matches, nil))
    assert.same({"sigmoid", "sigmoid_"}, setmetatable(r[3].matches, nil))
    for i = 4, 5 do
      assert.is_true(r[i].found)
      assert.matches("^nn%.Linear%(inputs", r[i].data["text/plain"])
      assert.matches("^```lua\nnn%.Linear%(inputs, outputs, opts%)\n```\n.*%- %*%*inputs%*%* `int`",
        r[i].data["text/markdown"])
    end
    assert.is_false(r[6].found)
    assert.equal("z, a table\n{1, 2}", r[8].data["text/plain"])
    assert.equal("incomplete", r[9].status)
    assert.equal("  ", r[9].indent)
    assert.equal("complete", r[10].status)
    assert.equal("invalid", r[11].status)
    assert.equal("complete", r[12].status)
  end)

  it("is interrupted in whatever runs, and everything is still there", function()
    local cells = {
      "while true do end", "while true do pcall(function() while true do end end) end",
      "local co = coroutine.wrap(function() while true do end end) co()",
      "while true do os.execute 'sleep 1' end", "io.popen('sleep 310'):read 'a'",
      "while true do print(('x'):rep(200)) end",
      "local a = lt.randn(600, 600) while true do a = a:matmul(a):tanh() end",
      "while true do plot.show(plot.lines{{y = {1, 2, 3}}}) end",
      "for i = 1, math.huge do display(i, {id = 'count'}) end",
    }
    local steps = {"here = 'still'"}
    for _, code in ipairs(cells) do
      steps[#steps + 1] = {code = "print 'on' " .. code, ["while"] = "interrupt"}
      steps[#steps + 1] = "here"
    end
    local r = run(steps)
    for i, code in ipairs(cells) do
      local stopped, after = r[2 * i], r[2 * i + 1]
      assert.equal("error", stopped.status, code)
      assert.matches("interrupted", text_of(stopped, "error"), code)
      assert.equal('"still"', text_of(after, "execute_result"), code)
      assert.equal(1, #after.outputs, code)
    end
  end)

  it("leaves out what a cell prints behind its first eight million characters", function()
    local r = run{"for _ = 1, 41000 do print(('x'):rep(200)) end", "'here'"}
    assert.equal(8000000 + #"\n... more than 8000000 characters; the rest is left out\n", r[1].printed)
    assert.equal('"here"', text_of(r[2], "execute_result"))
  end)

  it("says so where the program has ended, and goes on with another", function()
    local r = run{
      "x = 1", "print 'before' os.exit(3)", "x", {code = "x = 2 print 'on' while true do end", ["while"] = "kill"}, "x",
      "y = 5", {["do"] = "kill"}, "y", "y", "exit", "y", "os.execute('kill -SEGV $PPID')",
      {code = "print 'on' io.write(('a'):rep(30):find(('a?'):rep(30) .. ('a'):rep(30)))", ["while"] = "insist"},
    }
    assert.equal("latent ended with status 3", r[2].error)
    assert.equal("before\n", text_of(r[2], "stdout"))
    assert.equal("nil", text_of(r[3], "execute_result"))
    assert.matches("latent was started again", text_of(r[3], "stderr"))
    assert.equal("latent was ended by signal SIGKILL", r[4].error)
    assert.equal("nil", text_of(r[5], "execute_result"))
    assert.equal("latent was ended by signal SIGKILL", r[8].error)
    assert.equal("nil", text_of(r[9], "execute_result"))
    assert.is_true(r[10].leaving)
    assert.equal("nil", text_of(r[11], "execute_result"))
    assert.equal("latent was ended by signal SIGSEGV", r[12].error)
    assert.equal("latent was ended by signal SIGINT", r[13].error)
  end)

  it("says so where the program cannot be started", function()
    local spec = folder .. "/share/jupyter/kernels/latent/kernel.json"
    local text = assert(files.read_all(spec))
    local program = scratch.write(folder, "no_latent", "#!/bin/sh\necho 'no library here' >&2\nexit 4\n")
    assert(os.execute("chmod 755 " .. files.quote(program)))
    local changed = assert(json.decode(text))
    changed.argv[5] = program
    assert(files.save(spec, json.encode(changed)))
    local r = run{"1", "2"}
    assert(files.save(spec, text))
    for i = 1, 2 do
      assert.equal("latent ended with status 4", r[i].error)
      assert.equal("no library here\n", text_of(r[i], "stderr"))
    end
  end)

  it("leaves no process behind, and shares nothing with another", function()
    local r = run{
      {code = "x = 1", page = "a"}, {code = "x", page = "b"},
      {["do"] = "restart", code = "while true do end", page = "a"},
      {code = "x", page = "a"}, {["do"] = "restart", page = "a"}, {["do"] = "shutdown", page = "a"},
      {code = "os.execute 'sleep 30 &' x = 1", page = "b"}, {code = "local t <close> = setmetatable({}, "
        .. "{__close = function() local f = io.open('" .. folder .. "/closed', 'w') f:close() end})", page = "b"},
      {["do"] = "shutdown", page = "b"}, {code = "1", page = "c"}, {["do"] = "kill_kernel", page = "c"},
    }
    assert.equal("nil", text_of(r[2], "execute_result"))
    for _, i in ipairs{3, 5} do
      assert.equal(0, r[i].left)
      assert.equal(1, r[i].processes)
      assert(r[i].seconds < 20 + 5 * r[i].start)
    end
    assert.equal("nil", text_of(r[4], "execute_result"))
    assert.equal(0, r[6].left)
    assert.equal(0, r[9].left)
    assert.is_true(files.exists(folder .. "/closed"))
    assert.equal(1, r[11].were)
    assert.equal(0, r[11].left)
  end)
end)
