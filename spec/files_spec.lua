-- What is written: whole or not at all, whatever the name stands for, and nothing else changed.
local core = require "latent.core"
local fails = require("spec.support.data_files").fails
local files = require "latent.base.files"
local image, npy, npz = require "latent.image", require "latent.npy", require "latent.npz"
local locks = require "latent.base.files.lock"
local logs = require "latent.train.log"
local lt, nn, onnx = require "latent", require "latent.nn", require "latent.onnx"
local plot, pt = require "latent.plot", require "latent.pt"
local safetensors = require "latent.safetensors"
local scratch = require "spec.support.scratch"
require "spec.support.misuse"

local quote = files.quote
local root = files.capture "id -u" == "0"

-- Runs Lua code in a process of its own; what it printed.
local function child(code, before)
  return files.capture(("%s LUA_PATH=%s LUA_CPATH=%s lua5.4 -e %s 2>&1"):format(before or "", quote(package.path),
    quote(package.cpath), quote(code)))
end

-- Every public function that makes a file: name, ending, and one that writes to a path.
local x = lt.rand(4, 4)
-- No tail calls: the line of a call that is one is gone.
local WRITERS = {
  {"files.write_atomic", "txt", function(path) return assert(files.write_atomic(path, "text")) end},
  {"safetensors.save", "safetensors", function(path) return (safetensors.save(path, {x = x})) end},
  {"npy.save", "npy", function(path) return (npy.save(path, x)) end},
  {"npz.save", "npz", function(path) return (npz.save(path, {x = x})) end},
  {"pt.save", "pt", function(path) return (pt.save(path, {x = x})) end},
  {"onnx.save", "onnx", function(path) return (onnx.save(path, nn.Linear(2, 2), {input = {1, 2}})) end},
  {"image.write", "png", function(path) return (image.write(path, x)) end},
  {"image.write", "pgm", function(path) return (image.write(path, x)) end},
  {"figure:save", "svg", function(path)
    return (plot.lines{{y = {1, 2}}, width = 300, height = 200}:save(path))
  end},
  {"a log", "jsonl", function(path)
    local log = assert(logs.open(path, {}))
    assert(log:add{step = 1})
    return assert(log:close())
  end},
}

describe("what is written", function()
  local folder, remove
  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  local function shell(command) return assert(files.capture("cd " .. quote(folder) .. " && " .. command)) end

  for _, writer in ipairs(WRITERS) do
    local name, write = writer[1] .. " (" .. writer[2] .. ")", writer[3]
    local function path_of(stem) return ("%s/%s.%s"):format(folder, stem, writer[2]) end

    it("through a link goes where it points, by " .. name, function()
      shell(("mkdir other && ln -s other/real.%s link.%s"):format(writer[2], writer[2]))
      for _ = 1, 2 do -- where there is nothing yet, and over a file
        assert.is_truthy(write(path_of "link"))
        assert.equal("link", core.file_info(path_of "link", true).kind)
        assert.equal("file", core.file_info(path_of "other/real", true).kind)
        assert.is_true(core.file_info(path_of "other/real").size > 0)
      end
      assert.same({"real." .. writer[2]}, scratch.list(folder .. "/other"))
    end)

    it("keeps the mode, by " .. name, function()
      scratch.write(folder, "a." .. writer[2], "")
      shell("chmod 600 a.*")
      assert.is_truthy(write(path_of "a"))
      assert.equal(384, core.file_info(path_of "a").mode)
      if root then
        shell("chown 12345:12346 a.*")
        assert.is_truthy(write(path_of "a"))
        local info = core.file_info(path_of "a")
        assert.same({384, 12345, 12346}, {info.mode, info.uid, info.gid})
      end
      assert.same({"a." .. writer[2]}, scratch.list(folder))
    end)

    it("makes the folders that are missing, by " .. name, function()
      assert.is_truthy(write(path_of "new/and/deep"))
      assert.same({"deep." .. writer[2]}, scratch.list(folder .. "/new/and"))
    end)

    it("leaves a device and a FIFO what they are, by " .. name, function()
      shell("mkfifo fifo." .. writer[2])
      assert.is_false(pcall(write, path_of "fifo")) -- at once: nobody would read it
      local reader = io.popen("cat " .. quote(path_of "fifo"))
      -- Until the reader has opened it.
      repeat until pcall(write, path_of "fifo")
      assert.is_true(#reader:read "a" > 0)
      reader:close()
      assert.equal("fifo", core.file_info(path_of "fifo", true).kind)
      if root and files.capture("mknod " .. quote(path_of "null") .. " c 1 3 2>/dev/null") then
        assert.is_truthy(write(path_of "null"))
        assert.equal("device", core.file_info(path_of "null", true).kind)
      end
      for _, left in ipairs(scratch.list(folder)) do assert.is_nil(left:find "tmp", left) end
    end)
  end

  it("is refused where the name is a folder's, a loop of links or write-protected", function()
    shell "ln -s loop loop"
    for path, message in pairs{[folder] = "is a folder", [folder .. "/new/"] = "is a folder",
      [folder .. "/loop"] = "too many symbolic links"} do
      local ok, found = files.write_atomic(path, "x")
      assert.is_nil(ok)
      assert.matches(path:gsub("%p", "%%%0") .. ": .*" .. message, found)
    end
    assert.is_false(files.exists(folder .. "/new"))
    scratch.write(folder, "kept", "old")
    local can_write = core.can_write
    core.can_write = function() return false end -- root may write anything
    local ok, message = files.write_atomic(folder .. "/kept", "new")
    core.can_write = can_write
    assert.same({nil, folder .. "/kept: cannot be written: it is write-protected"}, {ok, message})
    assert.equal("old", files.read_all(folder .. "/kept"))
  end)

  it("gives another group no more than all others have, where the group cannot be kept", function()
    if not root or not files.has_program "setpriv" then pending "needs root" end
    scratch.write(folder, "a", "old")
    shell "chmod 777 . && chown 12345:12345 a && chmod 662 a"
    local user = "setpriv --reuid=54321 --regid=54321 --clear-groups env"
    local code = "print(require('latent.base.files').write_atomic(%q, 'new'))"
    assert.equal("true", child(code:format(folder .. "/a"), user))
    local info = core.file_info(folder .. "/a")
    assert.same({"622", 54321, 54321}, {("%o"):format(info.mode), info.uid, info.gid})
    assert.equal("new", files.read_all(folder .. "/a"))
  end)

  it("leaves another hard link the old content", function()
    scratch.write(folder, "a", "old")
    shell "ln a b"
    assert(files.write_atomic(folder .. "/a", "new"))
    assert.same({"new", "old"}, {files.read_all(folder .. "/a"), files.read_all(folder .. "/b")})
  end)

  it("raises at the user's line where it cannot be, and leaves nothing", function()
    scratch.write(folder, "file", "")
    for _, writer in ipairs(WRITERS) do
      local write, path = writer[3], ("%s/file/x.%s"):format(folder, writer[2])
      if writer[1] ~= "a log" and writer[1] ~= "files.write_atomic" then
        local message = "[^:]*/file/x%.%a+: cannot be written: .*/file: is a file, expected a folder$"
        assert.misuse(write, message, path)
      end
    end
    assert.same({"file"}, scratch.list(folder))
  end)

  it("clears what killed writers of the same file left, and nothing that lives", function()
    local path = folder .. "/it.txt"
    local killed = ([[require("latent.base.files").write_atomic(%q, function(file)
      file:write "half"
      file:flush()
      os.execute "kill -9 $PPID"
    end)]]):format(path)
    child(killed)
    child((killed:gsub("it%.txt", "other.txt")))
    assert.equal(2, #scratch.list(folder))
    local alive = assert(files.write_atomic(path, function(file)
      -- Another process writes the same while this one does.
      assert.equal("true", child(("print(require('latent.base.files').write_atomic(%q, 'theirs'))"):format(path)))
      return file:write "ours"
    end))
    assert.is_true(alive)
    assert.equal("ours", files.read_all(path))
    local left = scratch.list(folder)
    assert.equal(2, #left)
    assert.matches("^other%.txt%.tmp%-%d+%-%d+$", left[2])
  end)

  it("is not believed to be renamed because the system says so", function()
    local path, rename = scratch.write(folder, "a", "old"), os.rename
    local function with(replacement, ...)
      rawset(os, "rename", replacement)
      local ok, message = files.write_atomic(...)
      rawset(os, "rename", rename)
      return ok, message
    end
    local ok, message = with(function() return true end, path, "new")
    local done = with(function(from, to)
      rename(from, to)
      return nil, "x: Input/output error"
    end, path .. "2", "new")
    assert.is_nil(ok)
    assert.matches("the file system did not rename it", message)
    assert.is_true(done)
    assert.same({"old", "new"}, {files.read_all(path), files.read_all(path .. "2")})
    assert.same({"a", "a2"}, scratch.list(folder))
  end)
end)

describe("a lock", function()
  local folder, remove, path
  before_each(function()
    folder, remove = scratch.folder()
    path = folder .. "/run.ckpt"
  end)
  after_each(function() remove() end)

  local take = [[local lock, message = require("latent.base.files.lock").take(%q, {started = true})
    print(lock and "taken" or message)]]

  local function in_child(more) return child(take:format(path) .. " " .. (more or "")) end

  it("is one process's, and says whose", function()
    local lock = assert(locks.take(path, {started = true}))
    local pattern = "run%%.ckpt: in use by process %d on %%S+ since %%d+%%-%%d+%%-%%d+T[%%d:]+Z %%(.*%%.ckpt%%.lock%%)"
    assert.matches(pattern:format(core.pid()), in_child())
    assert.same({nil, path .. ": in use by another run of this program"}, {locks.take(path, {started = true})})
    assert.is_true(lock:is_held())
    lock:release()
    assert.is_false(lock:is_held())
    assert.same({}, scratch.list(folder))
    assert.equal("taken", in_child())
    assert.same({}, scratch.list(folder))
  end)

  it("of a killed process is free", function()
    in_child "os.execute 'kill -9 $PPID'"
    assert.same({"run.ckpt.lock"}, scratch.list(folder))
    assert(locks.take(path, {})):release()
    assert.same({}, scratch.list(folder))
  end)

  it("goes from a run that never began to the next of the same program", function()
    local first = assert(locks.take(path, {}))
    local second = assert(locks.take(path, {}))
    assert.same({false, true}, {first:is_held(), second:is_held()})
    second:release()
    assert.same({}, scratch.list(folder))
  end)

  it("works by its name alone where the file system has no locks", function()
    local none = [[local core = require "latent.core"
      core.hold = function() return nil, "Function not implemented", "unsupported" end ]]
    local hold = core.hold
    core.hold = function() return nil, "Function not implemented", "unsupported" end
    local lock = assert(locks.take(path, {started = true}))
    core.hold = hold
    collectgarbage() -- what holds the new file until its note is written must not take it along
    collectgarbage()
    assert.same({"run.ckpt.locked"}, scratch.list(folder))
    assert.matches("in use by process %d+ .*; remove that file where this is no longer so",
      child(none .. take:format(path)))
    lock:release()
    child(none .. take:format(path) .. " os.execute 'kill -9 $PPID'")
    assert.same({"run.ckpt.locked"}, scratch.list(folder))
    assert.equal("taken", child(none .. take:format(path)))
    -- a process that has the number of a dead one is not that one
    scratch.write(folder, "run.ckpt.locked", ("%d %s 2020-01-01T00:00:00Z 1\n"):format(core.pid(), core.host()))
    assert.equal("taken", child(none .. take:format(path)))
    scratch.write(folder, "run.ckpt.locked", "1 another.host 2020-01-01T00:00:00Z 1\n")
    assert.matches("in use by process 1 on another.host", child(none .. take:format(path)))
  end)
end)

describe("files", function()
  local folder, remove
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  it("writes whole or not at all", function()
    local path = folder .. "/whole"
    assert(files.write_atomic(path, "old"))
    local before = scratch.list(folder)
    assert.has_error(function()
      files.write_atomic(path, function(file)
        file:write "half"
        error "stop"
      end)
    end)
    fails("whole: cannot be written: no luck",
      files.write_atomic(path, function() return nil, "no luck" end))
    assert.equal("old", files.read_all(path))
    assert.same(before, scratch.list(folder))
    assert(files.write_atomic(path, "new"))
    assert.equal("new", files.read_all(path))
  end)

  it("writes with the old content kept, brought to the disk, once it has been looked at", function()
    local place, clear = scratch.folder()
    local path = place .. "/x"
    local opts = {sync = true, keep = path .. ".old"}
    for _, text in ipairs {"one", "two", "three"} do assert(files.write_atomic(path, text, opts)) end
    assert.equal("three", files.read_all(path))
    assert.equal("two", files.read_all(path .. ".old"))
    fails("no luck", files.write_atomic(path, function() return nil, "no luck" end, opts))
    function opts.check(name)
      assert.equal("four", files.read_all(name))
      return nil, "too bad"
    end
    fails("x: cannot be written: too bad", files.write_atomic(path, "four", opts))
    assert.equal("three", files.read_all(path))
    assert.equal("two", files.read_all(path .. ".old"))
    assert.same({"x", "x.old"}, scratch.list(place))
    assert.error_matches(function() files.write_atomic(path, "", {sinc = true}) end, 'did you mean "sync"')
    clear()
  end)

  it("quotes any name for the shell", function()
    local odd = folder .. "/it's $HOME `x`; \"q\" -n\n\\"
    assert(files.mkdir_p(odd .. "/a/b"))
    assert.is_true(files.is_dir(odd .. "/a/b"))
    assert.equal(odd, files.capture("printf %s " .. files.quote(odd)))
    local path = scratch.write(odd, "-f", "abc")
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      files.sha256(path))
  end)

  it("tells what is wrong with a file", function()
    fails("No such file", files.read_all(folder .. "/none"))
    fails("is a folder", files.read_all(folder))
    fails("No such file", files.sha256(folder .. "/none"))
    scratch.write(folder, "plain", "x")
    assert.is_nil(files.mkdir_p(folder .. "/plain/below"))
    assert.error_matches(function() files.read_all "a\0b" end, "holds a zero byte")
    assert.error_matches(function() files.read_all(nil) end, "path: expected a string")
  end)
end)
