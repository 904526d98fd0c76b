-- How the Lua files are written, where luacheck does not look; CONTRIBUTING.md has the rules.
local files = require "latent.base.files"
local lexer = require "latent.repl.lexer"

local function sources(folders)
  local list = {}
  for path in assert(files.capture("find " .. folders .. " -name '*.lua' | sort")):gmatch "[^\n]+" do
    list[#list + 1] = path
  end
  return list
end

-- What programs load late: a command begins at once, and `latent doctor` works where a part of the library does not.
local function is_program(path) return path:find "^lua/latent/tools/" or path:find "^lua/latent/repl/" end

-- The modules of the library that a file requires: {name, whether within a function, what the result is called}.
local function required(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do
    local code = line:gsub("%-%- .*$", "")
    local within = line:find "^%s" or line:find "^function" or line:find "^local function"
    for name in code:gmatch "%f[%w]require%(?%s?['\"](latent[%w_.]*%f[^%w_])['\"]" do
      local called = line:match "^local (%w+) = require \"[%w_.]+\"$"
      list[#list + 1] = {name = name, within = within ~= nil, called = called}
    end
  end
  return list
end

describe("the modules", function()
  local list, found = sources "lua/latent", {}
  for _, path in ipairs(list) do found[path] = required(assert(files.read_all(path))) end

  it("reach the core as core, what users have as lt, and both at the top of a file", function()
    local cores = 0
    for _, path in ipairs(list) do
      for _, use in ipairs(path ~= "lua/latent/base/foreign.lua" and found[path] or {}) do
        assert(not use.within or is_program(path), ("%s: require of %s within a function"):format(path, use.name))
        if use.name == "latent.core" and not is_program(path) then
          assert.equal("core", use.called, path)
          cores = cores + 1
        elseif use.name == "latent" and use.called then
          assert.equal("lt", use.called, path)
        end
      end
    end
    assert(cores > 50)
  end)

  it("of base, of which latent is made, know the core alone", function()
    for _, path in ipairs(list) do
      for _, use in ipairs(path:find "^lua/latent/base/" and not path:find "foreign%.lua$" and found[path] or {}) do
        assert(use.name:find "^latent%.base%." or use.name == "latent.core", ("%s requires %s"):format(path, use.name))
      end
    end
  end)

  it("require each other in no circle", function()
    local uses = {}
    for _, path in ipairs(list) do
      local name = path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
      uses[name] = path ~= "lua/latent/base/foreign.lua" and found[path] or {}
    end
    local done, open = {}, {}
    local function visit(name, from)
      assert(not open[name], ("%s and %s require each other"):format(from or "", name))
      if done[name] then return end
      open[name] = true
      for _, use in ipairs(uses[name] or {}) do
        if not use.within then visit(use.name, name) end
      end
      open[name], done[name] = nil, true
    end
    for name in pairs(uses) do visit(name) end
    assert(done["latent.vae"])
  end)
end)

describe("the Lua files", function()
  it("have no spaces within braces", function()
    local count = 0
    for _, path in ipairs(sources "lua spec tools bench exercises docs") do
      local text = assert(files.read_all(path))
      local tokens = lexer.tokens(text)
      for i, token in ipairs(tokens) do
        local brace = token.text or text:sub(token.first, token.last)
        local before, after = tokens[i - 1], tokens[i + 1]
        local gap = brace == "{" and after and after.kind ~= "comment" and text:sub(token.last + 1, after.first - 1)
          or brace == "}" and before and text:sub(before.last + 1, token.first - 1) or ""
        assert(gap == "" or gap:find "\n", ("%s: %s"):format(path, text:sub(token.first - 20, token.last + 20)))
        count = count + (brace == "{" and 1 or 0)
      end
    end
    assert(count > 5000)
  end)

  it("have at most 600 lines", function()
    local all = assert(files.capture "find lua tools bench exercises c -name '*.lua' -o -name '*.[ch]' | sort")
    for path in all:gmatch "[^\n]+" do
      local _, lines = assert(files.read_all(path)):gsub("\n", "")
      assert(lines <= 600, ("%s has %d lines"):format(path, lines))
    end
  end)
end)
