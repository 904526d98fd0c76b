local core = require "latent.core"
local damage = require "spec.support.damage"
local files = require "latent.base.files"
local image = require "latent.image"
local lt = require "latent"
local npz = require "latent.npz"
local scratch = require "spec.support.scratch"
require "spec.support.close"
require "spec.support.misuse"

local FIXTURES = "spec/fixtures/interop/png/"
local SIGNATURE = "\137PNG\r\n\26\n"

describe("image", function()
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  local function read(bytes, opts) return image.read(scratch.write(folder, "picture", bytes), opts) end

  local function refused(bytes, pattern)
    local x, message = read(bytes)
    assert.is_nil(x)
    assert.equal(folder .. "/picture: ", message:sub(1, #folder + 10))
    assert.is_truthy(message:find(pattern), message)
  end

  local function chunk(kind, data)
    return (">I4"):pack(#data) .. kind .. data .. (">I4"):pack(core.crc32(kind .. data))
  end

  local function header(width, height, depth, color, rest)
    return chunk("IHDR", (">I4I4BB"):pack(width, height, depth, color) .. (rest or "\0\0\0"))
  end

  -- A PNG with this header chunk and these rows, and chunks between them.
  local function png(head, rows, between)
    return SIGNATURE .. head .. (between or "") .. chunk("IDAT", core.deflate(rows)) .. chunk("IEND", "")
  end

  describe("of PNG", function()
    it("reads every kind that other programs write, interlaced too", function()
      local count = 0
      for name, expected in pairs(assert(npz.load(FIXTURES .. "values.npz"))) do
        local x = assert(image.read(FIXTURES .. name .. ".png"))
        assert.same(expected.shape, x.shape, name)
        assert.close(x, expected, 1e-6)
        count = count + 1
      end
      assert.equal(34, count)
    end)

    it("undoes all five filters", function()
      local rows = "\0\10\20\30" .. "\1\1\1\1" .. "\2\1\2\255" .. "\3\5\5\5" .. "\4\1\2\3"
      assert.close(assert(read(png(header(3, 5, 8, 0), rows))) * 255,
        lt.tensor {{10, 20, 30}, {1, 2, 3}, {2, 4, 2}, {6, 10, 11}, {7, 12, 15}}, 1e-6)
    end)

    it("writes grey and RGB", function()
      local path = folder .. "/a.png"
      local x = lt.rand(7, 5)
      assert.is_true(image.write(path, x))
      assert.is_true((image.read(path) - x):abs():max():item() <= 0.5 / 255 + 1e-6)
      assert(image.write(path, lt.tensor {{-1, 0, 0.5, 1, 7}}))
      assert.close(image.read(path), lt.tensor {{0, 0, 128 / 255, 1, 1}}, 1e-6)
      assert(image.write(path, lt.from_bytes("\0\1\254\255", {2, 2, 1}, "u8")))
      assert.close(image.read(path) * 255, lt.tensor {{0, 1}, {254, 255}}, 1e-6)
      assert(image.write(path, lt.tensor {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 1, 1}}}))
      assert.close(image.read(path), lt.tensor {{0.299, 0.587, 0.114, 1}}, 1e-6)
    end)

    it("reads the largest that there may be", function()
      local row = "\1\7" .. ("\0"):rep(4095)
      local x = assert(read(png(header(4096, 4096, 8, 0), row:rep(4096))))
      assert.same({4096, 4096}, x.shape)
      assert.close(x[4096] * 255, lt.full({4096}, 7), 1e-6)
    end)

    it("refuses what does not exist or does not fit", function()
      local rows = "\0abc"
      refused(png(header(0, 1, 8, 0), rows), "0 x 1 pixels; expected 1 to 32767 a side")
      refused(png(header(32767, 32767, 8, 0), rows), "and at most 16777216")
      refused(png(header(3, 1, 3, 0), rows), "colour type 0 with 3 bits does not exist")
      refused(png(header(3, 1, 8, 5), rows), "colour type 5")
      refused(png(header(3, 1, 8, 0, "\0\0\2"), rows), "asks for what does not exist")
      refused(png(header(3, 2, 8, 0), rows), "holds 4 bytes, expected 8")
      refused(png(header(2, 1, 8, 0), rows), "holds more than was expected")
      refused(png(header(4000, 4000, 16, 6), rows), "too short for its size")
      refused(png(header(3, 1, 8, 0), "\5abc"), "row 1 has filter 5")
      refused(png(header(3, 1, 8, 3), rows), "its palette is missing")
      refused(png(header(3, 1, 8, 3), rows, chunk("PLTE", "abc")), "a colour that its palette lacks")
      refused(png(header(3, 1, 8, 3), rows, chunk("PLTE", "ab")), "palette has the wrong length")
      refused(png(header(3, 1, 8, 0), rows, chunk("NEWS", "")), 'chunk "NEWS" is not known')
      refused(png("", rows), "its header is missing")
      refused(png(chunk("IHDR", "x"), rows), "header has the wrong length")
      refused(SIGNATURE .. header(3, 1, 8, 0) .. chunk("IEND", ""), "ends too early")
      assert(read(png(header(3, 1, 8, 0), rows, chunk("tEXt", "a comment"))))
    end)

    it("answers any damage with a message or a picture", function()
      assert(image.write(folder .. "/b.png", lt.rand(4, 4)))
      damage.try(image.read, files.read_all(folder .. "/b.png"), folder)
      damage.try(image.read, files.read_all(FIXTURES .. "palette4_interlaced.png"), folder)
    end)

    -- With the checksums right, damage reaches what lies behind them.
    it("answers damage inside its data", function()
      local packed = core.deflate("\0abcd\1abcd\4abcd", "zlib")
      for i = 1, #packed do
        for _, byte in ipairs {"\0", "\255", string.char(packed:byte(i) ~ 1)} do
          local x, message = read(SIGNATURE .. header(4, 3, 8, 0)
            .. chunk("IDAT", packed:sub(1, i - 1) .. byte .. packed:sub(i + 1)) .. chunk("IEND", ""))
          assert.is_string(x == nil and message or "fine")
        end
      end
    end)
  end)

  describe("of PGM", function()
    it("reads bytes, two bytes and text", function()
      assert.close(read "P5 3 2 255\n\0\51\102\153\204\255", lt.tensor {{0, 0.2, 0.4}, {0.6, 0.8, 1}}, 1e-6)
      assert.close(read "P5\n# by hand\n2 1\n# more\n10\n\5\10", lt.tensor {{0.5, 1}}, 1e-6)
      assert.close(read "P5 2 1 65535\n\51\51\255\255", lt.tensor {{0.2, 1}}, 1e-6)
      assert.close(read "P2\n2 2 # sizes\n4\n0 1\n# a row\n2 4\n", lt.tensor {{0, 0.25}, {0.5, 1}}, 1e-6)
    end)

    it("writes grey", function()
      local path = folder .. "/a.pgm"
      assert.is_true(image.write(path, lt.tensor {{0, 0.2, 2}, {-1, 1, 0.5}}))
      assert.equal("P5\n3 2\n255\n\0\51\255\0\255\128", files.read_all(path))
      assert.same({2, 3}, image.read(path).shape)
    end)

    it("refuses what does not fit", function()
      refused("P5 3 2 255\n12345", "ends after 5 bytes of its pixels, expected 6")
      refused("P5 3 2 65535\n12345678901", "ends after 11 bytes of its pixels, expected 12")
      refused("P5 3 2 255", "ends after 0 bytes")
      refused("P5 3", "its header is cut off")
      refused("P5 # no end", "its header is cut off")
      refused("P5 0 2 255\n", "0 x 2 pixels")
      refused("P5 99999999999999999999 1 255\n", "pixels; expected 1 to 32767 a side")
      refused("P5 20000 20000 255\n", "at most 16777216")
      refused("P5 1 1 0\n\0", "largest value is 0, expected 1 to 65535")
      refused("P5 1 1 65536\n\0\0", "largest value is 65536")
      refused("P5 1 1 9\n\10", "pixel 1 is 10, above its largest value 9")
      refused("P2 2 2 255\n1 2 3", "is too short for 4 pixels")
      refused("P2 2 2 255\n10 20 30", "ends after 3 pixels, expected 4")
      refused("P2 2 2 255\n1 2 x 4", "ends after 2 pixels")
      refused("P6 1 1 255\nab", "ends after 2 bytes of its pixels, expected 3")
      refused("P3 1 1 255\n1 2", "is too short for 3 pixels")
      refused("P7 1 1 255\nabc", "expected a PNG, PGM or PPM picture")
      refused("", "expected a PNG, PGM or PPM picture")
    end)

    it("answers any damage with a message or a picture", function()
      damage.try(image.read, "P5\n# x\n3 2\n255\n\0\51\102\153\204\255", folder)
      local text = "P2 2 2 255\n1 2 3 4\n"
      for i = 1, #text do
        for _, byte in ipairs {"\0", "\255", "9", "#", ""} do
          local x, message = read(text:sub(1, i - 1) .. byte .. text:sub(i + 1))
          assert.is_string(x == nil and message or "fine")
        end
      end
    end)
  end)

  describe("in colour", function()
    it("holds what its grey is made of, in every kind of PNG", function()
      local weights, count = lt.tensor{0.299, 0.587, 0.114}, 0
      for _, name in ipairs(scratch.list(FIXTURES)) do
        if name:find "%.png$" then
          local grey, color = assert(image.read(FIXTURES .. name)), assert(image.read(FIXTURES .. name, {color = true}))
          assert.same({grey:size(1), grey:size(2), 3}, color.shape)
          assert.close((color * weights):sum(3), grey, 1e-6)
          count = count + 1
        end
      end
      assert(count > 20)
    end)

    it("is written and read again", function()
      local x = (lt.rand(4, 5, 3) * 255):u8()
      for _, ending in ipairs{"png", "ppm"} do
        assert(image.write(folder .. "/rgb." .. ending, x))
        assert.close(assert(image.read(folder .. "/rgb." .. ending, {color = true})) * 255, x:float(), 1e-4)
      end
      assert.close(read("P3 2 1 4\n0 1 2 4 4 4", {color = true}), lt.tensor{{{0, 0.25, 0.5}, {1, 1, 1}}}, 1e-6)
      assert.close(read "P3 2 1 4\n0 1 2 4 4 4", lt.tensor{{0.587 * 0.25 + 0.114 * 0.5, 1}}, 1e-6)
      assert.close(read("P5 2 1 4\n\1\2", {color = true}), lt.tensor{{{0.25, 0.25, 0.25}, {0.5, 0.5, 0.5}}}, 1e-6)
    end)

    it("refuses misuse", function()
      assert.misuse(function() image.read("x.png", {colour = true}) end, 'image.read: unknown option "colour"')
      assert.misuse(function() image.read("x.png", {color = 3}) end, "image.read: color: expected a boolean, got 3")
      assert.misuse(function() image.write(folder .. "/c.ppm", lt.zeros(1, 1)) end,
        "image.write: tensor: PPM is in colour")
    end)
  end)

  it("says what it cannot open or write", function()
    assert.is_truthy(select(2, image.read(folder .. "/none.png")):find "No such file")
    assert.misuse(function() image.write(folder, lt.zeros(1, 1)) end, "image.write: path: expected a name ending")
    assert(files.mkdir_p(folder .. "/x.png"))
    assert.misuse(function() image.write(folder .. "/x.png", lt.zeros(1, 1)) end, "[^:]*x%.png: is a folder")
  end)

  it("refuses misuse at the caller's line, and writes nothing", function()
    local path = folder .. "/c.png"
    assert.misuse(function() image.read() end, "image.read: path: expected a string, got nil")
    assert.misuse(function() image.write(path, {1}) end, "image.write: expected a tensor")
    assert.misuse(function() image.write(path, lt.zeros(3)) end,
      "image.write: tensor: expected %[height, width%].*%[3%]")
    assert.misuse(function() image.write(path, lt.zeros(3, 3, 2)) end, "image.write: tensor: expected .*%[3, 3, 2%]")
    assert.misuse(function() image.write(path, lt.zeros(0, 3)) end, "image.write: tensor: expected .*%[0, 3%]")
    assert.misuse(function() image.write(path, lt.full({1, 2}, 0 / 0)) end,
      "image.write: tensor: 2 of its elements are NaN")
    assert.misuse(function() image.write(folder .. "/c.gif", lt.zeros(1, 1)) end,
      "image.write: path: expected a name ending")
    assert.misuse(function() image.write(folder .. "/c.pgm", lt.zeros(1, 1, 3)) end, "image.write: tensor: PGM is grey")
    assert.is_false(files.exists(path))
  end)
end)
