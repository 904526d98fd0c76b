-- The small helpers of the core that Lua itself lacks.
describe("inflate", function()
  local core = require "latent.core"
  local files = require "latent.base.files"

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
      {"", "ends too early"},
      {whole:sub(1, -2), "ends too early"},
      {whole:sub(1, #gzip "one" + 5), "ends too early"},
      {gzip "one" .. "more", "something else follows its end"},
      {"no gzip data at all", "incorrect header check"},
      {whole:sub(1, -9) .. "\0\0\0\0" .. whole:sub(-4), "incorrect data check"},
    } do
      local out, message = core.inflate(case[1])
      assert.is_nil(out)
      assert.equal("damaged gzip data: " .. case[2], message)
    end
  end)
end)

describe("crc32", function()
  local core = require "latent.core"

  it("is the sum that zlib and gzip have, in one piece or in several", function()
    assert.equal(0, core.crc32 "")
    assert.equal(0xCBF43926, core.crc32 "123456789") -- the check value of the algorithm's catalogues
    assert.equal(0xCBF43926, core.crc32("6789", core.crc32 "12345"))
  end)
end)

describe("sync", function()
  local core = require "latent.core"
  local scratch = require "spec.support.scratch"

  it("brings a file and a folder to the disk", function()
    local folder, remove = scratch.folder()
    local file <close> = assert(io.open(folder .. "/x", "w"))
    file:write "text"
    assert.is_true(core.sync(file))
    assert.is_true(core.sync(folder))
    local ok, message = core.sync(folder .. "/none")
    assert.is_nil(ok)
    assert.matches("No such file", message)
    file:close()
    assert.has_error(function() core.sync(file) end)
    remove()
  end)
end)
