-- Every function that the modules export answers wrong arguments with one message: at the user's line, under the
-- name that was called, in words; and none counts to the end of an axis where nothing is. spec/support/walk.lua and
-- spec/support/empties.lua make the calls.
local files = require "latent.base.files"
local scratch = require "spec.support.scratch"

local function modules()
  local list = {}
  for path in assert(files.capture "cd lua && find latent -maxdepth 2 -name '*.lua' | sort"):gmatch "[^\n]+" do
    local name = path:match "^latent/([%w_]+)%.lua$" or path:match "^latent/([%w_]+)/init%.lua$"
    if name then list[#list + 1] = name == "init" and "latent" or "latent." .. name end
  end
  return list
end

local function absolute(paths, folder) return (paths:gsub("%f[^;%z]([%w_]+[^;]*)", folder .. "/%1")) end

describe("misuse", function()
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  -- What the program of spec/support prints about all modules.
  local function walk(program)
    local here = assert(files.capture "pwd"):gsub("\n", "")
    -- A sanitizer's allocator too refuses what is too large; the limit is of processor time, whatever else runs.
    local command = ([[cd %s && ulimit -t 60 && LUA_PATH=%s LUA_CPATH=%s \
      ASAN_OPTIONS="$ASAN_OPTIONS:allocator_may_return_null=1" lua5.4 %s %s 2>&1 </dev/null]]):format(
      files.quote(folder), files.quote(absolute(package.path, here)), files.quote(absolute(package.cpath, here)),
      files.quote(here .. "/spec/support/" .. program), table.concat(modules(), " "))
    return files.capture(command .. " | grep -v '^ok'") or ""
  end

  it("of whatever the modules export is answered at the user's line, by name", function()
    local out = walk "walk.lua"
    assert(out:find "%d+ calls, 0 faults", out)
  end)

  it("of axes as long as any in a tensor without elements costs no time", function()
    local out = walk "empties.lua"
    assert(out:find "%d+ calls, 0 faults", out:sub(-1000))
  end)
end)
