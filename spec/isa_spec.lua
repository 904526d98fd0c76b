-- Every instruction set that this machine has, in a process of its own: values and gradients of all
-- cases agree with double precision.
local function run(isa, program)
  local command = ("LATENT_ISA=%s LUA_PATH='%s' LUA_CPATH='%s' lua5.4 %s 2>&1"):format(isa, package.path, package.cpath,
    program)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  return pipe:close() == true, text
end

describe("instruction set #slow", function()
  for _, isa in ipairs {"baseline", "avx2", "avx512"} do
    it(isa .. " agrees with double precision", function()
      local ok, text = run(isa, "spec/support/precision.lua")
      if text:find "does not have these instructions" then pending "not on this machine" end
      if text:find "expected baseline" then pending "not on this kind of machine" end
      assert(ok, text)
      assert.matches("^" .. isa .. ": %d+ cases, 0 failed", text)
    end)
  end

  it("that does not exist is refused", function()
    local ok, text = run("sse9", "-e 'require \"latent\"'")
    assert.is_false(ok)
    assert.matches("LATENT_ISA=sse9: expected baseline", text)
  end)
end)
