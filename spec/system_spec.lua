-- The small helpers of the core that Lua itself lacks.
describe("inflate", function()
  local core = require "latent.core"
  local files = require "latent.files"

  local function gzip(text)
    return assert(files.capture("printf %s " .. files.quote(text) .. " | gzip -c"))
  end

  it("reads all members of a gzip file, and zeros that pad it", function()
    assert.equal("onetwothree", core.inflate(gzip "one" .. gzip "two" .. gzip "three"))
    assert.equal("one", core.inflate(gzip "one" .. ("\0"):rep(512)))
    assert.equal("onetwo", core.inflate(gzip "one" .. ("\0"):rep(3) .. gzip "two"))
  end)

  it("says what is damaged", function()
    local whole = gzip "one" .. gzip(("two"):rep(1000))
    for _, case in ipairs {
      { "", "ends too early" },
      { whole:sub(1, -2), "ends too early" },
      { whole:sub(1, #gzip "one" + 5), "ends too early" },
      { gzip "one" .. "more", "something else follows its end" },
      { "no gzip data at all", "incorrect header check" },
      { whole:sub(1, -9) .. "\0\0\0\0" .. whole:sub(-4), "incorrect data check" },
    } do
      local out, message = core.inflate(case[1])
      assert.is_nil(out)
      assert.equal("damaged gzip data: " .. case[2], message)
    end
  end)
end)
