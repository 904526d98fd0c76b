-- The core compiles without a warning by clang too, with the project's own flags and with those of the sanitizers.
local files = require "latent.base.files"
local scratch = require "spec.support.scratch"

describe("the core #slow", function()
  local function compiles(name, words)
    it("compiles by " .. name, function()
      if not files.has_program(words:match "CC=(%S+)") then return pending "is not installed" end
      local folder, remove = scratch.folder()
      local targets = {}
      for i, file in ipairs{"ops/arithmetic", "ops/special", "ops/elementwise"} do
        targets[i] = ("%s/obj/core/avx2_float32/%s.o"):format(folder, file)
      end
      local said, _, printed = files.capture(("make -s -f tools/compile.mk BUILD=%s %s %s 2>&1"):format(folder, words,
        table.concat(targets, " ")))
      remove()
      assert(said, printed)
      assert.is_nil(said:find("warning", 1, true))
    end)
  end
  compiles("clang", "CC=clang")
  compiles("gcc and the sanitizers' flags at -O3",
    "CC=gcc SANITIZE='-fsanitize=address,undefined -fno-omit-frame-pointer'")
end)
