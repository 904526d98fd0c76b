-- The command with words that make no sense: each says so in a sentence, ends with a status, and shows no traceback.
local files = require "latent.base.files"
local scratch = require "spec.support.scratch"

local COMMAND = "lua5.4 " .. files.quote(assert(files.capture "pwd"):gsub("\n", "") .. "/bin/latent")

describe("latent", function()
  local folder, remove
  setup(function()
    folder, remove = scratch.folder()
    assert(files.mkdir_p(folder .. "/dir"))
    scratch.write(folder, "file", "no Lua <")
    scratch.write(folder, "good.lua", "return 1")
    scratch.write(folder, "wide.lua", "require('latent.experiment').begin{options = {width = 1}}")
  end)
  teardown(function() remove() end)

  -- What a line of the shell prints, standard error beside the rest, and its status.
  local function shell(line)
    local text = files.capture(("cd %s && { %s; } 2>&1; echo status $?"):format(files.quote(folder), line))
    local output, status = text:match "^(.*)status (%d+)%s*$"
    return output, tonumber(status)
  end

  for words, message in pairs{
    ['""'] = "^latent: expected a script, got an empty name\n$",
    ["-x"] = "^latent: unknown option %-x",
    ["-e"] = "^latent: %-e: expected a piece of Lua\n$",
    ["nosuch.lua"] = "^latent: cannot open nosuch.lua: No such file",
    ["nosuch"] = "^latent: nosuch: neither a command nor a file %(latent %-%-help%)\n$",
    ["-i nosuch"] = "^latent: nosuch: neither a command nor a file",
    ["doctr"] = '^latent: doctr: neither a command nor a file, did you mean "doctor"%? %(latent %-%-help%)\n$',
    ["-- doctr"] = "^latent: cannot open doctr: No such file",
    ["dir"] = "^latent: cannot read dir: Is a directory\n$",
    ["run"] = "^latent: run: expected a script, such as latent run script.lua\n$",
    ['run ""'] = "^latent: expected a script, got an empty name\n$",
    ["run nosuch"] = "^latent: cannot open nosuch: No such file",
    ["doctor x"] = "^latent: doctor: expected nothing behind it, got x\n$",
    ["runs x"] = "^latent: no runs of x in runs\n$",
    ["runs a b"] = "^latent: runs: expected one script, got b too\n$",
    ['runs ""'] = "^latent: runs: expected a name, got an empty one\n$",
    ["runs --out"] = "^latent: runs: %-%-out: expected a folder\n$",
    ["runs --out="] = "^latent: runs: %-%-out: expected a folder\n$",
    ['runs --out ""'] = "^latent: runs: %-%-out: expected a folder\n$",
    ["runs --out file"] = "^latent: no runs in file\n$",
    ["runs --far"] = "^latent: runs: unknown option %-%-far",
    ["compare"] = "^latent: compare: expected two or more runs",
    ["compare x"] = "^latent: compare: expected two or more runs",
    ['compare "" x'] = "^latent: compare: expected a name, got an empty one\n$",
    ["compare x y"] = "^latent: no run x %(latent runs %-%-out runs lists them%)\n$",
    ["compare x y --out file"] = "^latent: no run x %(",
    ["sweep"] = "^latent: sweep: expected a script, such as",
    ['sweep ""'] = "^latent: sweep: expected a script, got an empty name\n$",
    ["sweep nosuch.lua"] = "^latent: nosuch.lua: no such file\n$",
    ["sweep dir"] = "^latent: dir .*cannot read dir: Is a directory",
    ["sweep file"] = "^latent: file .*file:1: syntax error",
    ["sweep file file"] = "^latent: sweep: a second script: file\n$",
    ["sweep file --jobs 0"] = "^latent: sweep: %-%-jobs: expected a whole number of at least 1, got 0\n$",
    ["sweep file --jobs"] = "^latent: sweep: %-%-jobs: expected a whole number of at least 1, got nothing\n$",
    ['sweep file --out ""'] = "^latent: sweep: %-%-out: expected a folder\n$",
    ["sweep good.lua --out file --a 1"] = "^latent: ",
    ["sweep wide.lua --widht 3"] = "^latent: wide.lua .*: unknown option '%-%-widht', did you mean '%-%-width'%?\n$",
    ["report"] = "^latent: runs: holds no run of an experiment\n$",
    ['report ""'] = "^latent: report: expected a folder of runs, got an empty name\n$",
    ["report file"] = "^latent: file: holds no run of an experiment\n$",
    ["report nosuch"] = "^latent: nosuch: holds no run of an experiment\n$",
    ["report --title"] = "^latent: report: expected a folder of runs and %-%-title TEXT, got %-%-title\n$",
    ["report a b"] = "^latent: report: expected a folder of runs and %-%-title TEXT, got b\n$",
    ["explorer --out"] = "^latent: explorer: %-%-out: expected a path\n$",
    ['explorer --out ""'] = "^latent: explorer: %-%-out: expected a path\n$",
    ['explorer --runs ""'] = "^latent: explorer: %-%-runs: expected a path\n$",
    ["explorer --out dir"] = "^latent: explorer: dir: is a folder, expected a file\n$",
    ["explorer --out file/x.html"] = "^latent: explorer: file: is a file, expected a folder\n$",
    ["explorer --out /proc/x/y.html"] = "^latent: explorer: /proc/x: No such file or directory\n$",
    ['explorer ""'] = "^latent: explorer: expected a file of weights, got an empty name\n$",
    ["explorer nosuch"] = "^latent: explorer: nosuch: No such file or directory\n$",
    ["explorer dir"] = "^latent: explorer: dir: is a folder, expected a file\n$",
    ["explorer file"] = "^latent: explorer: file: ",
    ["explorer --far"] = "^latent: explorer: unknown option %-%-far",
    ["kernel"] = "^usage: latent kernel install",
    ['kernel ""'] = "^latent kernel: expected a word, got an empty one",
    ["kernel nosuch"] = "^latent kernel: unknown word nosuch",
    ["kernel serve"] = "^latent kernel: serve: expected the numbers of two open files\n$",
    ["kernel serve a b"] = "^latent kernel: serve: expected the numbers of two open files\n$",
    ["kernel serve 0 1 2"] = "^latent kernel: serve: expected the numbers of two open files\n$",
    ["kernel serve 50 51"] = "^latent: kernel: channel: file 50: Bad file descriptor\n$",
    ["kernel install --python"] = "^latent kernel: %-%-python: expected the name of a Python\n$",
    ['kernel install --python ""'] = "^latent kernel: %-%-python: expected the name of a Python\n$",
    ["kernel install --python /nosuch"] = "^latent kernel: no ipykernel %(looked at /nosuch%)",
    ["kernel list --python /nosuch"] = "^latent kernel: no ipykernel %(looked at /nosuch%)",
    ["kernel uninstall --python /nosuch"] = "^latent kernel: no ipykernel %(looked at /nosuch%)",
  } do
    it(words .. " is answered in a sentence", function()
      local output, status = shell(("timeout 600 %s %s </dev/null"):format(COMMAND, words))
      assert.matches(message, output)
      assert(status == 1 or status == 2, ("status %s"):format(status))
      assert.is_nil(output:find("traceback", 1, true))
    end)
  end

  it("leaves at exit and quit, piped or as an argument, without a word", function()
    for text, expected in pairs{
      ["exit"] = "", ["quit"] = "", ["exit()"] = "", ["quit()"] = "", [" exit; "] = "", [""] = "",
      ["print(1)\\nquit\\nprint(2)"] = "1\n", ["1 + 1\\nexit"] = "2\n",
      ["if true then\\nprint(1)\\nend\\nexit()\\n<"] = "1\n",
      ["exit = 5\\nexit"] = "5\n", ["local function exit() print(3) end\\nexit()"] = "3\n",
      ['print "no exit"\\nexit\\nprint(2)'] = "no exit\n", [" -- exit = 1\\nexit\\nprint(2)"] = "",
      ["if 1 == 2 then os.exit(3) end\\nexit\\nprint(2)"] = "", ["t = {exit = 1}\\nexit\\nprint(2)"] = "",
      ["print([[\\nexit\\n]])"] = "exit\n\n", ["\\n--[[\\nquit\\n]] print(4)\\nquit\\n<"] = "4\n",
      ["a, exit = 1, 2\\nexit"] = "2\n",
    } do
      local output, status = shell(("printf '%s\\n' | %s"):format(text, COMMAND))
      assert.same({expected, 0, text}, {output, status, text})
    end
    assert.same({"", 3}, {shell(("echo 'os.exit(3)' | %s"):format(COMMAND))})
    assert.same({"", 0}, {shell(("%s -e exit </dev/null"):format(COMMAND))})
  end)
end)
