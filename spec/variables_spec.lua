-- The environment variables that the documents list are those that the sources read: users' in docs/install.md, those
-- of tools and specs in CONTRIBUTING.md.
local files = require "latent.base.files"

-- Names in the sources of some folders: a text of its own in Lua and C, behind a dollar in shell, a field of env in
-- JavaScript. Lines that include files or set macros have none.
local function read_in(folders)
  local names = {}
  for path in assert(files.capture("find " .. folders .. " -type f")):gmatch "[^\n]+" do
    local text = (path:find "%.[%a]+$" and path:match "%.(%a+)$" or "lua")
    if ({lua = true, c = true, h = true, js = true, cjs = true, sh = true, py = true, latent = true})[text] then
      local source = "\n" .. assert(files.read_all(path))
      for name in source:gmatch '["\'](LATENT_[A-Z0-9_]+)["\']' do names[name] = path end
      for name in source:gmatch "%${?(LATENT_[A-Z0-9_]+)" do names[name] = path end
      for name in source:gmatch "env%.(LATENT_[A-Z0-9_]+)" do names[name] = path end
    end
  end
  return names
end

local function listed_in(path)
  local names = {}
  for name in assert(files.read_all(path)):gmatch "\n| `(LATENT_[A-Z0-9_]+)` |" do names[name] = path end
  return names
end

local function sorted(names, without)
  local list = {}
  for name in pairs(names) do if not without[name] then list[#list + 1] = name end end
  table.sort(list)
  return list
end

describe("environment variables", function()
  local users, listed = read_in "lua c bin exercises", listed_in "docs/install.md"

  it("of users are listed where they are read, and none else", function()
    assert.same(sorted(users, {}), sorted(listed, {}))
    assert(users.LATENT_DATA and users.LATENT_ISA)
  end)

  it("of tools and specs are listed for those who work on them", function()
    assert.same(sorted(read_in "tools bench spec web Makefile .ci", users), sorted(listed_in "CONTRIBUTING.md", {}))
  end)
end)
