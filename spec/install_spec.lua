-- `make install` puts all that is needed where a plain Lua finds it.
local files = require "latent.base.files"
local json = require "latent.json"
local kernel = require "latent.tools.kernel"
local scratch = require "spec.support.scratch"

-- This spec may itself run below make, whose options are not meant for this one. `path` stands before PATH's folders.
local function install(path, arguments)
  return assert(files.capture(("env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u LUA_PATH -u LUA_CPATH PATH=%s\"$PATH\" "
    .. "make -s install %s 2>&1"):format(path, arguments)))
end

describe("make install #slow", function()
  local folder, remove, said

  setup(function()
    folder, remove = scratch.folder()
    said = install("", "DESTDIR=" .. files.quote(folder) .. " PREFIX=/usr")
  end)

  teardown(function() remove() end)

  -- Runs Lua in the folder /, with the installed files and nothing else on its paths.
  local function run(arguments)
    local share, lib = folder .. "/usr/share/lua/5.4", folder .. "/usr/lib/lua/5.4"
    return assert(files.capture(("cd / && LUA_PATH=%s LUA_CPATH=%s lua5.4 %s 2>&1"):format(
      files.quote(share .. "/?.lua;" .. share .. "/?/init.lua"), files.quote(lib .. "/?.so"), arguments)))
  end

  it("makes `lua5.4 -l latent` work anywhere", function()
    assert.matches("^tensor %[2, 2%] float32\n", run [[-l latent -e 'print(latent.ones(2, 2))']])
  end)

  it("installs the command, which finds the library beside itself", function()
    local latent = files.quote(folder .. "/usr/bin/latent")
    local command = "cd " .. files.quote(folder) .. " && env -u LUA_PATH -u LUA_CPATH %s %s 2>&1"
    assert.equal("3.0", files.capture(command:format(latent, [[-e 'print(require("latent").tensor(3):item())']])))
    assert.matches("arithmetic ok", files.capture(command:format(latent, "doctor")))
  end)

  it("installs every module, and each can be required alone", function()
    local count = 0
    for path in assert(files.capture "cd lua && find latent -name '*.lua'"):gmatch "[^\n]+" do
      local name = path:gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
      assert.equal("ok", (run(("-e 'require(\"%s\") io.write(\"ok\")'"):format(name)):gsub("%s+$", "")), name)
      count = count + 1
    end
    assert.is_true(count > 15)
  end)

  it("installs Jupyter's side of the kernel beside the library, and the command tells Jupyter of it", function()
    local share, latent = folder .. "/usr/share/lua/5.4/latent", folder .. "/usr/bin/latent"
    for path in assert(files.capture "cd tools/jupyter && ls latent_kernel/*.py"):gmatch "[^\n]+" do
      assert(files.exists(share .. "/jupyter/" .. path), path)
    end
    local python = kernel.python()
    if not python then return end -- notebook_spec says what is missing then
    local prefix, remove_prefix = scratch.folder()
    assert(files.capture(("cd / && env -u LUA_PATH -u LUA_CPATH %s kernel install --prefix %s --name other --python %s")
      :format(files.quote(latent), files.quote(prefix), files.quote(python))))
    local place = prefix .. "/share/jupyter/kernels/other"
    local argv = assert(json.decode((assert(files.read_all(place .. "/kernel.json"))))).argv
    assert.equal(share .. "/jupyter/latent_kernel", argv[3])
    assert.same({"--latent", latent, "-f", "{connection_file}"}, {table.unpack(argv, 4)})
    assert(files.capture(("%s kernel uninstall --prefix %s --name other --python %s"):format(files.quote(latent),
      files.quote(prefix), files.quote(python))))
    assert.is_false(files.exists(place .. "/kernel.json"))
    remove_prefix()
  end)

  it("tells errors at the user's line", function()
    local script = scratch.write(folder, "user.lua", [[local lt = require "latent"
local nn = require "latent.nn"
local layer = nn.Linear(2, 3)
print(pcall(function() layer(lt.ones(1, 3)) end))
]])
    assert.matches("user.lua:4: Linear%(2 %-> 3%): expected %[%*, 2%], got %[1, 3%]", run(script))
  end)

  it("installs annotations for editors", function()
    local annotations = folder .. "/usr/share/latent/annotations"
    assert.matches("^%-%-%-@meta latent\n", assert(files.read_all(annotations .. "/latent.lua")))
    local layers = assert(files.read_all(annotations .. "/latent/nn.lua"))
    assert.matches("function nn.Linear%(inputs, outputs, opts%) end", layers)
  end)

  it("says where things are, and of a package no more", function()
    local at = folder .. "/usr"
    assert.matches(("library      %s/share/lua/5.4/latent, %s/lib/lua/5.4/latent\ncommand      %s/bin/latent\n"
      .. "annotations  %s/share/latent/annotations %%([^\n]*%%)$"):format(at, at, at, at), said)
  end)

  it("leaves nothing else behind", function()
    assert.same({"user.lua", "usr"}, scratch.list(folder))
    assert.same({"bin", "lib", "share"}, scratch.list(folder .. "/usr"))
    assert.same({"latent"}, scratch.list(folder .. "/usr/bin"))
    local libraries = {"blas.so", "core.so"}
    if files.exists "build/latent/mpicore.so" then table.insert(libraries, "mpicore.so") end
    if files.exists "build/latent/readline.so" then table.insert(libraries, "readline.so") end
    assert.same(libraries, scratch.list(folder .. "/usr/lib/lua/5.4/latent"))
  end)
end)

describe("what make install says #slow", function()
  local folder, prefix, remove
  setup(function()
    folder, remove = scratch.folder()
    prefix = folder .. "/it's a prefix"
  end)
  teardown(function() remove() end)

  local function said(path) return install(path, "PREFIX=" .. files.quote(prefix)) end

  it("is enough for a shell to find the command, and for Lua the library", function()
    local exports = {}
    for line in said(""):gmatch "\n  (export [^\n]+)" do exports[#exports + 1] = line .. "\n" end
    assert.equal(3, #exports) -- PATH, LUA_PATH, LUA_CPATH
    local script = scratch.write(folder, "shell", table.concat(exports) .. "cd / && command -v latent && "
      .. "latent -e '1 + 1' && lua5.4 -l latent -e 'print(latent.ones(2):sum():item())'")
    assert.equal(prefix .. "/bin/latent\n2\n2.0", files.capture(
      "env -u LUA_PATH -u LUA_CPATH -u LUA_PATH_5_4 -u LUA_CPATH_5_4 sh " .. files.quote(script) .. " 2>&1"))
  end)

  it("is no word of PATH where that has the folder, unless another latent comes first", function()
    local here = files.quote(prefix .. "/bin") .. ":"
    assert.not_matches("PATH", (said(here):gsub("LUA_C?PATH", "")))
    files.mkdir_p(folder .. "/other")
    local other = scratch.write(folder .. "/other", "latent", "#!/bin/sh\n")
    files.capture("chmod +x " .. files.quote(other))
    local there = files.quote(folder .. "/other") .. ":"
    assert.matches("PATH has another one before it, " .. other .. "\n", said(there .. here))
  end)
end)

describe("make env", function()
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  -- What a shell has as LUA_PATH and as PATH after `eval "$(make env)"`, twice, in a folder of this name; or nil, and
  -- what was said.
  local function paths_in(name)
    local at = files.quote(folder .. "/" .. name)
    local output, _, said = files.capture(([[
      mkdir -p %s/tools && cp Makefile %s && cp tools/env.lua %s/tools && cd %s &&
      lines=$(env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -s env 2>&1) || { printf %%s "$lines"; exit 1; }
      PATH=/bin; eval "$lines" && eval "$lines" && printf '%%s\n%%s' "$LUA_PATH" "$PATH"]]):format(at, at, at, at))
    if not output then return nil, said end
    return output:match "^(.*)\n(.*)$"
  end

  it("is right in a folder of any name", function()
    for _, name in ipairs{"plain", "it's", "'", "a  b", "$HOME", "`ls`", '"', "a\\b", "$(echo x)", "#!*&|<>()[]{}~",
      "%s", "\u{e4}"} do
      local at = folder .. "/" .. name
      local lua_path, path = paths_in(name)
      assert.equal(("%s/lua/?.lua;%s/lua/?/init.lua;%s/?.lua;;"):format(at, at, at), lua_path)
      assert.equal(at .. "/bin:/bin", path)
    end
  end)

  it("leaves the command out where PATH cannot express the folder", function()
    assert.equal("/bin", (select(2, paths_in "a:b")))
  end)

  it("is refused where Lua's path cannot express the folder", function()
    for _, name in ipairs{"a;b", "who?"} do
      local output, said = paths_in(name)
      assert.is_nil(output)
      assert.matches("make env: the name of the folder .* has a \"[;?]\", which Lua's search path cannot express", said)
    end
  end)
end)
