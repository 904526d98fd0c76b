-- IDX files: read as they are, refused where they are damaged.
local core = require "latent.core"
local data_files = require "spec.support.data_files"
local files = require "latent.base.files"
local idx = require "latent.idx"
local scratch = require "spec.support.scratch"
local sources = require "latent.data.sources"

local fails, mini_bytes = data_files.fails, data_files.mini_bytes
local folder, remove

describe("idx", function()
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  it("reads plain and gzip files alike", function()
    local name = "t10k-labels-idx1-ubyte"
    local plain = scratch.write(folder, name, mini_bytes(name))
    local a, b = assert(idx.read(plain)), assert(idx.read(sources.mini() .. "/" .. name .. ".gz"))
    assert.same({500}, a.shape)
    assert.equal("u8", a.dtype)
    assert.equal(a:bytes(), b:bytes())
  end)

  it("reads in blocks, the last one short", function()
    local path = scratch.write(folder, "x", (">I4I4I4"):pack(0x802, 5, 2) .. "aabbccddee")
    local reader = assert(idx.open(path))
    assert.same({5, 2}, reader.shape)
    assert.same({"aabbcc", 3}, {reader:read(3)})
    assert.same({"ddee", 2}, {reader:read(3)})
    reader:close()
  end)

  it("refuses what is no IDX file of bytes, naming file, expected and found", function()
    local gz = assert(files.read_all(sources.mini() .. "/t10k-labels-idx1-ubyte.gz"))
    for _, case in ipairs {
      {"", "too short for an IDX file: 0 bytes"},
      {"\0\0\8", "too short for an IDX file: 3 bytes"},
      {"\1\0\8\1", "expected the magic 00 00 08, found 01 00 08"},
      {"<html>", "not an IDX file"},
      {"\0\0\13\1\0\0\0\0", "unsigned bytes, found 32%-bit floats"},
      {"\0\0\8\0", "expected 1 to 4 axes, found 0"},
      {"\0\0\8\9", "expected 1 to 4 axes, found 9"},
      {"\0\0\8\3\0\0", "ends inside its header"},
      {"\0\0\8\1\0\0\0\9abc", "truncated: expected 9 elements, found 3 bytes"},
      {"\0\0\8\2\0\0\0\2\0\0\0\2abc", "truncated: expected 2 x 2 elements, found 3 bytes"},
      {"\0\0\8\4" .. ("\255"):rep(16), "truncated: expected 4294967295 x 4294967295 x"},
      {"\0\0\8\4\0\0\0\0" .. ("\255"):rep(12), "its shape 0 x 4294967295 x 4294967295 x 4294967295 is too large"},
      {"\0\0\8\1\0\0\0\2abc", "1 bytes after the end of its 2 elements"},
      {gz:sub(1, 100), "damaged gzip file"},
      {gz:sub(1, 50) .. "xxxx" .. gz:sub(55), "damaged gzip file"},
      {gz:sub(1, -9) .. "\1" .. gz:sub(-7), "damaged gzip file"}, -- its checksum
      {core.deflate("<html>", "gzip"), "not an IDX file"},
      {core.deflate("\0\0\8\1\0\0\0\9abc", "gzip"), "truncated: expected 9 elements, found 3 bytes"},
      {core.deflate("\0\0\8\1\0\0\0\2abc", "gzip"), "there is more after the end of its 2 elements"},
      {core.deflate("\0\0\8\2\0\0\0\2\0\0\0\9" .. ("x"):rep(17), "gzip"),
        "truncated: expected 2 x 9 elements, found 17"},
    } do
      local path = scratch.write(folder, "bad", case[1])
      local tensor, message = idx.read(path)
      fails(case[2], tensor, message)
      assert.equal(1, message:find(path, 1, true))
    end
    fails("No such file", idx.read(folder .. "/none"))
    fails("is a folder", idx.read(folder))
  end)

  it("unpacks of a gzip file what its header promises, and no more", function()
    local zeros = ("\0"):rep(1 << 24)
    local function try(header)
      local packed = core.deflate(header .. zeros, "gzip")
      assert.is_true(#packed < 20000)
      local before = collectgarbage "count"
      local tensor, message = idx.read(scratch.write(folder, "bomb.gz", packed))
      assert.is_true(tensor ~= nil or collectgarbage "count" - before < 1000)
      return tensor, message
    end
    fails("more after the end of its 5 elements", try "\0\0\8\1\0\0\0\5")
    fails("promises 4294967295 x 255 elements, which %d+ bytes of gzip cannot hold",
      try "\0\0\8\2\255\255\255\255\0\0\0\255")
    assert.equal(1 << 24, assert(try "\0\0\8\1\1\0\0\0"):numel())
  end)
end)
