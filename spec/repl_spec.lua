-- The prompt as its user sees it, through a pseudo-terminal, and the command around it.
require "latent"
local core = require "latent.core"
local files = require "latent.base.files"
local pty = require "spec.support.pty"
local scratch = require "spec.support.scratch"

-- With the library's paths, which the specs' own interpreter may have from Busted's options.
local COMMAND = "lua5.4 bin/latent"

-- Of what needs a terminal.
local function describe_prompt(name, body)
  describe(name, pty.available() and body or function() pending "has a pseudo-terminal" end)
end

describe_prompt("the prompt", function()
  local folder, remove, terminal

  setup(function()
    folder, remove = scratch.folder()
    terminal = pty.open(COMMAND, folder, "LATENT_HISTORY=" .. folder .. "/history")
    terminal:expect "Ctrl%-D leaves%.\n> "
  end)
  teardown(function()
    terminal:close()
    remove()
  end)

  it("prints expressions, and keeps the last value and locals", function()
    terminal:enter("1 + 1", "^2\n> ")
    terminal:enter("_ * 10, nil, 'a\"b'", '^20\nnil\n"a\\"b"\n> ')
    terminal:enter("local half <const>, names = 0.5, {'x', y = {1}}", "^> ")
    terminal:enter("half", "^0%.5\n> ")
    terminal:enter("names", '^{"x", y = {1}}\n> ')
    terminal:enter("= half * 2", "^1%.0\n> ")
    terminal:enter("_G.half", "^nil\n> ")
    terminal:enter("half + 1;", "^> ")
    terminal:enter("_", "^1%.5\n> ")
  end)

  it("prints tensors with their statistics, and layers as a tree", function()
    terminal:enter("lt.tensor{{1, 2}, {3, 0/0}}",
      "^tensor %[2, 2%] float32  min 1  mean 2  max 3  NaN 1\n%[%[  1,   2%],\n %[  3, nan%]%]\n> ")
    terminal:enter("nn.Sequential{nn.Linear(2, 3), nn.ReLU()}",
      "^Sequential%(\n  1: Linear%(2 %-> 3%)\n  2: ReLU\n%)\n9 parameters\n> ")
  end)

  it("takes inputs of several lines", function()
    terminal:enter("for i = 1, 2 do", "^>> ")
    terminal:enter("print(i * 11)", "^>> ")
    terminal:enter("end", "^11\n22\n> ")
    terminal:enter("f = function(", "^>> ")
    terminal:send "\3"
    terminal:expect "%^C\n> "
    terminal:enter("f", "^nil\n> ")
  end)

  it("tells errors with a short traceback and goes on", function()
    terminal:enter("x = = 2", "^prompt:1: unexpected symbol near '='\n> ")
    terminal:enter("function outer() lt.ones(2):matmul(lt.ones(3)) end outer()",
      "^prompt:1: matmul: [^\n]+\n    prompt:1: in [^\n]*'outer'\n> ")
    terminal:enter("error{code = 5}", "^error: {code = 5}\n> ")
    terminal:enter("half", "^0%.5\n> ")
  end)

  it("completes names, methods, options and files", function()
    terminal:send "lt.max_pool2\t"
    terminal:expect "lt%.max_pool2d"
    terminal:send "\3"
    terminal:expect "%^C\n> "
    terminal:enter("t = lt.ones(2)", "^> ")
    terminal:send "t:resh\t"
    terminal:expect "t:reshape"
    terminal:send "(1, 2).sh\t"
    terminal:expect "%.shape"
    terminal:send "\n"
    terminal:expect "{1, 2}\n> "
    terminal:send "nn.Conv2d(1, 2, 3, {pad\t1})\n"
    terminal:expect "{padding = 1}%)\nConv2d%(1 %-> 2, 3x3, padding 1%)\n20 parameters\n> "
    terminal:send 'data.mnist{split = "te\t", mini = true}.split\n'
    terminal:expect 'split = "test", mini = true}%.split\n[^\n]+\n> '
    scratch.write(folder, "a-file.txt", "")
    terminal:send(('io.open("%s/a-f\t"):close()\n'):format(folder))
    terminal:expect 'a%-file%.txt"%):close%(%)\n'
    terminal:expect "true\n> "
  end)

  it("shows help", function()
    terminal:enter("help(lt.conv2d)", "^lt%.conv2d%(x, weight, bias%?, {stride = 1.-\n> ")
    terminal:enter('help "nn.Linear"', "^nn%.Linear%(inputs, outputs, opts%).-bias = true.-\n> ")
    terminal:enter('help "conv2"', '^no help for "conv2" %(did you mean "lt.conv2d"%?%)\n> ')
    terminal:enter('apropos "max_pool2d"', "^lt%.max_pool2d +The maximum.-\n> ")
  end)

  it("shows the last value of several statements, times, and reaches the shell", function()
    terminal:enter("local five = 5; five", "^5\n> ")
    terminal:enter("x = lt.ones(2); x:sum()", "^tensor %[%] float32\n2\n> ")
    terminal:enter("%time five + 1", "^6\nwall [%d.e-]+ [um]?s, processor [%d.e-]+ [um]?s\n> ")
    terminal:enter("%time", "^%%time: expected Lua code behind it\n> ")
    terminal:enter("%times 1", "^%%times: there is %%time code, and no other such command\n> ")
    terminal:enter("!echo from the shell; exit 3", "^from the shell\nexit status 3\n> ")
    terminal:enter('io.write "a line\\n"', "^a line\n> ")
  end)

  it("draws a figure that is a value", function()
    terminal:enter("plot.lines{{y = {1, 2, 3}}, title = 'Rising'}", "^[^>]-Rising.-\n> ")
    terminal:enter("plot.lines{{y = {1, 2}}};", "^> ")
  end)

  it("keeps the locals of what dofile runs, also after an error", function()
    local script = scratch.write(folder, "script.lua",
      "local found, twice = 1, 1\nlocal function count() found = found + 1 return found end\ncount()\n"
      .. "local twice = twice + 1\ndo local inner = 1 end\nif stop then error 'stopped' end\nreturn 'given'")
    terminal:enter(("dofile %q"):format(script), '^"given"\n> ')
    terminal:enter("found, twice, inner, count()", "^2\n2\nnil\n3\n> ")
    terminal:enter("stop, found = true, nil", "^> ")
    terminal:enter(("dofile %q"):format(script), "^[^\n]*script.lua:6: stopped\n> ")
    terminal:enter("found, twice", "^2\n2\n> ")
    terminal:enter("dofile '/no/such.lua'", "^cannot open /no/such.lua")
    terminal:expect "> "
  end)

  it("is interrupted in loops, coroutines, the core and backward, and everything is still there", function()
    local function interrupt(line)
      terminal:enter("print 'on' " .. line, "^on\n")
      core.ignore_sigpipe(os.execute, "sleep 0.2")
      terminal:send "\3"
      terminal:expect "%^C\ninterrupted\n> "
    end
    terminal:enter("kept, w = 7, lt.param(lt.zeros(2000, 2000))", "^> ")
    interrupt "while true do end"
    interrupt "while true do pcall(error) end"
    terminal:enter("co = coroutine.wrap(function() while true do end end)", "^> ")
    interrupt "while true do pcall(co) end"
    terminal:enter("p = lt.zeros(200000, 40)", "^> ")
    interrupt "q = lt.knn(p, p, 2)"
    interrupt "y = w for i = 1, 200 do y = y:matmul(w) end"
    -- (Lines that the terminal need not break: where it does, its echo is not what was typed.)
    terminal:enter("maps = lt.ones(8, 8, 8, 1)", "^> ")
    terminal:enter("y = w for i = 1, 60 do y = lt.conv2d(maps, y:slice(1, 1, 9):reshape(3, 3, 1, 2000)):sum() * w end",
      "> $")
    interrupt "while true do (w * 1):matmul(w):sum():backward() end"
    terminal:enter("kept, p.shape, w.grad == nil or w.grad.shape", "^7\n{200000, 40}\n[^\n]+\n> ")
  end)

  it("clears the line at Ctrl-C, and appends each input to the history", function()
    terminal:send "not finished"
    terminal:expect "not finished"
    terminal:send "\3"
    terminal:expect "%^C\n> "
    terminal:enter("'after'", '^"after"\n> ')
    local text = assert(files.read_all(folder .. "/history"))
    assert.matches("^1 %+ 1\n_ %* 10", text)
    assert.matches("\nfor i = 1, 2 do\\nprint%(i %* 11%)\\nend\n", text)
    assert.matches("\n'after'\n$", text)
    assert.is_nil(text:find("not finished", 1, true))
    terminal:send "\27[A\27[A\27[B\n" -- up, up, down
    terminal:expect '"after"\n> '
  end)

  it("leaves at Ctrl-D, and the next session knows the history", function()
    terminal:send "\4"
    terminal:expect "Script done"
    terminal:close()
    os.remove(folder .. "/keys")
    terminal = pty.open(COMMAND, folder, "LATENT_HISTORY=" .. folder .. "/history")
    terminal:expect "Ctrl%-D leaves%.\n> "
    terminal:send "\27[A\n"
    terminal:expect "'after'\n\"after\"\n> "
  end)

  it("leaves in order when it is told to end", function()
    terminal:send 'require("latent.core").raise_signal "TERM"\n'
    terminal:expect 'interrupted\n.-Script done[^\n]-COMMAND_EXIT_CODE="0"'
  end)
end)

describe_prompt("the words exit and quit", function()
  it("leave, but where they are variables", function()
    local folder, remove = scratch.folder()
    local terminal
    finally(remove)
    for _, word in ipairs{"exit", "quit()"} do
      os.remove(folder .. "/keys")
      terminal = pty.open(COMMAND, folder, "LATENT_HISTORY=off")
      terminal:expect "leaves%.\n> "
      terminal:enter("quit, exit = 1, 2", "^> ")
      terminal:enter("exit", "^2\n> ")
      terminal:enter("quit, exit = nil, nil", "^> ")
      terminal:send(word .. "\n")
      terminal:expect 'Script done[^\n]-COMMAND_EXIT_CODE="0"'
      terminal:close()
    end
  end)
end)

describe_prompt("the prompt without line editing", function()
  it("reads plain lines, and Ctrl-C clears one", function()
    local folder, remove = scratch.folder()
    local terminal = pty.open(COMMAND, folder, "TERM=dumb LATENT_HISTORY=off")
    finally(function()
      terminal:close()
      remove()
    end)
    terminal:expect "> "
    terminal:send "6 * 7\n"
    terminal:expect "\n42\n> "
    terminal:send "\3"
    terminal:expect "%^C\n> "
    terminal:send "print 'on' while true do end\n"
    terminal:expect "end\non\n"
    terminal:send "\3"
    terminal:expect "interrupted\n> "
    terminal:send "\4"
    terminal:expect "Script done"
  end)
end)

describe("the command latent", function()
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  local function run(arguments, input)
    local output = assert(files.capture(("{ %s %s; echo \"status $?\"; } 2>&1 <%s"):format(COMMAND, arguments,
      input and files.quote(scratch.write(folder, "input", input)) or "/dev/null")))
    return output
  end

  it("runs scripts with their arguments", function()
    local script = scratch.write(folder, "script.lua",
      'print(arg[0]:match "[^/]*$", #arg, arg[2], select("#", ...), lt) os.exit(3)')
    assert.equal("script.lua\t2\t-e\t2\tnil\nstatus 3", run(script .. " one -e"))
  end)

  it("tells a script's error as lua5.4 does", function()
    local script = scratch.write(folder, "bad.lua", "local function f() error 'broken' end\nf() return 1")
    local output = run(script)
    assert.matches("^latent: [^\n]*bad.lua:1: broken\nstack traceback:\n.*bad.lua:2: in main chunk\nstatus 1$", output)
    assert.matches("cannot open", run "no_such_script.lua")
  end)

  it("leaves the library's own frames out at the prompt, however long its path", function()
    local deep = folder .. "/" .. ("a long name/"):rep(8)
    assert(files.mkdir_p(deep))
    local here = assert(files.capture "pwd")
    assert(files.capture(("ln -s %s %s"):format(files.quote(here), files.quote(deep .. "latent"))))
    assert.matches("^> > prompt:1: matmul: [^\n]+\n    prompt:1: in function 'f'\n> $", files.capture(
      ("unset LUA_PATH; lua5.4 %s -i <%s 2>&1"):format(files.quote(deep .. "latent/bin/latent"),
        files.quote(scratch.write(folder, "input", "function f() lt.ones(2):matmul(lt.ones(3)) end\nf()")))))
  end)

  it("runs pieces of code, standard input, and then the prompt where it is asked for", function()
    assert.equal("1\n2\nstatus 0", run "-e 'x = 1 print(x)' -e 'print(x + 1)'")
    assert.equal("3\nstatus 0", run "-e 'print(#lt.zeros(3))'")
    assert.matches("^latent: .-unexpected symbol.-status 1$", run "-e 'x ='")
    assert.equal("5\nstatus 0", run("", "print(5)"))
    assert.equal("6\nstatus 0", run("-", "print(6)"))
    assert.equal("1\n> 2\n> status 0", run("-e 'print(1) y = 2' -i", "y"))
  end)

  it("have what the prompt has: help, modules, and values that are printed", function()
    assert.matches("^lt%.conv2d%(x, weight.*status 0$", run [[-e 'help "conv2d"']])
    assert.matches("^data%.csv%(path.*status 0$", run("", 'help "data.csv"\n'))
    for _, name in ipairs{"lt", "nn", "optim", "data", "plot", "vae", "train", "map", "image", "pt", "experiment",
      "metrics"} do
      assert.equal("true\nstatus 0", run(("-e 'type(%s) == \"table\"'"):format(name)))
    end
    assert.equal("tensor [] float32\n2\nstatus 0", run "-e 'local x = lt.ones(2)' -e 'x = x * 1; x:sum()'")
    assert.equal("status 0", run "-e 'lt.ones(2);'")
    assert.equal("2\n4\nstatus 0", run "-e '1 + 1' -e '_ * 2'")
    assert.equal("6\nstatus 0", run "-e '3;' -e '_ * 2'")
    assert.equal("3\nstatus 0", run("", "1 + 2"))
    assert.equal("1\n4\nstatus 0", run("", "#!/usr/bin/env latent\nlocal x = 1\nprint(x)\nx + 3"))
    assert.equal("lines figure, 900 x 600\nstatus 0", run "-e 'plot.lines{{y = {1, 2}}}'")
  end)

  it("leaves a script from a pipe as Lua has it", function()
    assert.equal("1\nstatus 0", run("",
      "local x = 1 local function f() return x end local x = 2 print(f()) f()"))
    assert.equal("a b\nstatus 0", run("- a b", "print(table.concat({...}, ' '))"))
    assert.matches("^latent: stdin:2: broken\nstack traceback:.-\nstatus 1$", run("", "\nerror 'broken'"))
    assert.matches("^latent: stdin:1: unexpected symbol near '='\nstatus 1$", run("", "x = = 1"))
  end)

  it("keeps a script's locals for the prompt behind it, also after an error", function()
    local script = scratch.write(folder, "kept.lua", "#!/usr/bin/latent\nlocal a, b = 1, {2}\n"
      .. "local function f() a = a + 1 end f()\ndo local hidden = 1 end\nif ... then error 'stopped' end\nreturn a")
    assert.equal("> 2\n> {2}\n> nil\n> nil\n> status 0", run("-i " .. script, "a\nb\nhidden\n_kept"))
    local output = run("-i " .. script .. " stop", "a\nb\nhidden")
    assert.matches("kept.lua:5: stopped\nstack traceback:.-in main chunk", output)
    assert.matches("> 2\n> {2}\n> nil\n> ", output)
    assert.matches("unexpected symbol", run("-i " .. scratch.write(folder, "wrong.lua", "x = = 1"), ""))
    local locals = {}
    for i = 1, 200 do locals[i] = ("local v%d = %d"):format(i, i) end
    local crowded = scratch.write(folder, "crowded.lua", table.concat(locals, "\n") .. "\nprint(v200)")
    assert.equal("200\n> nil\n> status 0", run("-i " .. crowded, "v1"))
  end)

  it("says what a misspelt function may have meant, and that there is no help for nil", function()
    assert.equal('> prompt:1: attempt to call a nil value (field \'rndn\') (did you mean "lt.randn"?)\n'
      .. "> prompt:1: attempt to call a nil value (global 'model')\n> no help for nil\n> status 0",
      run("-i", "lt.rndn(3)\nmodel()\nhelp(unknown)"))
    assert.matches("call a string value %(method 'dtype'%) %(a field: write x.dtype%)\n",
      run("-i", "lt.ones(2):dtype()"))
  end)

  it("tells its version and use, and refuses unknown options", function()
    assert.matches("^latent %d+%.%d+%.%d+, Lua 5%.4, kernels %w+, %d+ threads?\nstatus 0$", run "--version")
    assert.matches("^usage: latent.-status 0$", run "--help")
    for _, word in ipairs{"run", "runs", "compare", "sweep", "report", "doctor", "kernel", "explorer"} do
      local said = run(word .. " --help")
      assert.matches("^usage: latent " .. word .. " .-status 0$", said)
      assert.is_nil(said:find("the prompt", 1, true))
    end
    assert.matches("unknown option %-%-vresion.-status 1$", run "--vresion")
    assert.matches("%-e: expected a piece of Lua.-status 1$", run "-e")
    assert.equal("1\nstatus 0", run "-e 'print(1)' -e exit -e 'print(2)'")
  end)

  it("has a doctor, which says what is missing", function()
    assert.matches("arithmetic ok .-writing +ok .-all that is needed is there\nstatus 0$", run "doctor")
    local old = files.capture(("OPENBLAS_CORETYPE=Prescott lua5.4 %s/bin/latent doctor"):format(
      files.quote(assert(files.capture "pwd"))))
    if core.info().isa ~= "baseline" and old:find "kernel Prescott" then -- it has kernels to choose from
      assert.matches("BLAS +note +OpenBLAS %S+ kernel Prescott %(by OPENBLAS_CORETYPE%): older than this", old)
    end
    local crippled = assert(files.capture(([[cd %s && env HOME=/proc/nowhere XDG_CACHE_HOME=/proc/nowhere/x \
      LATENT_GNUPLOT=/no/gnuplot lua5.4 %s/bin/latent doctor; echo "status $?"]]):format(files.quote(folder),
      files.quote(assert(files.capture "pwd")))))
    assert.matches("gnuplot +note +/no/gnuplot is not found", crippled)
    assert.matches("writing +missing +cannot write /proc/nowhere/x", crippled)
    assert.matches("something needed is missing\nstatus 1$", crippled)
  end)
end)
