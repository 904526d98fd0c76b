-- The floors of c/: a file includes only what lies on its own floor or below, and each header compiles alone.
local files = require "latent.base.files"

local FLOORS = {base = 1, blas = 1, simd = 2, ops = 3, graph = 4, lua = 5, optional = 6, wasm = 6}

local function sources(pattern)
  local list = {}
  for path in assert(files.capture("find c -name " .. files.quote(pattern) .. " | sort")):gmatch "[^\n]+" do
    list[#list + 1] = path
  end
  assert(#list > 10)
  return list
end

describe("the floors of c/", function()
  it("include only downwards, by paths that name the floor, and only the top one knows Lua", function()
    for _, path in ipairs(sources "*.[ch]") do
      local floor = assert(FLOORS[path:match "^c/(%w+)/"], path)
      local text = assert(files.read_all(path))
      for included in text:gmatch '#include "([^"]+)"' do
        local other = FLOORS[included:match "^(%w+)/"]
        assert(other and other <= floor, ("%s includes %s"):format(path, included))
        assert(files.exists("c/" .. included), included)
      end
      assert(floor >= 5 or not text:find "#include <l[ua][ux]", path .. " includes Lua")
      local said = text:match "^/%* Floor (%d)"
      assert(not said or tonumber(said) == floor or path:find "^c/blas/", ("%s says floor %s"):format(path, said or ""))
    end
  end)

  it("have headers that compile alone #slow", function()
    local flags = files.capture "pkg-config --cflags lua5.4 openblas zlib 2>/dev/null" or ""
    local command = "${CC:-cc} -std=c11 -D_GNU_SOURCE -DLATENT_ISA=baseline -DLATENT_REAL=float32 -fsyntax-only "
      .. "-Ic %s -x c %s 2>&1; echo %s"
    for _, path in ipairs(sources "*.h") do
      -- Those of c/wasm stand in for the headers of another system.
      local said = path:find "^c/wasm/" and "" or files.capture(command:format(flags:gsub("\n", " "), path, "done"))
      assert(not said:find "error", path .. ":\n" .. said)
    end
  end)
end)
