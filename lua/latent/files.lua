--- Files as the rest of the library wants them: read whole, written whole or not at all, checked by
-- digest. Everything that can fail on a disk returns nil and a message that names the file.
-- @module latent.files

local core = require "latent.core"
local options = require "latent.options"
local raise = core.raise

local M = {}

local function check_path(fname, path)
  if type(path) ~= "string" then
    raise(("files.%s: path: expected a string, got %s"):format(fname, type(path)))
  end
  -- C would read the name only up to the zero byte, and so mean another file.
  if path == "" or path:find("\0", 1, true) then
    raise(("files.%s: path: %s"):format(fname, path == "" and "empty" or "holds a zero byte"))
  end
end

--- Joins the parts of a path with "/".
-- @tparam string ... the parts
-- @treturn string
function M.join(...)
  return (table.concat({ ... }, "/"):gsub("([^/])//+", "%1/"))
end

--- The folder that a path lies in: "." for a plain name.
-- @tparam string path
-- @treturn string
function M.dirname(path)
  local folder = path:match("^(.*)/[^/]*$")
  if folder == "" then return "/" end
  return folder or "."
end

--- Whether a file or folder of this name can be opened.
-- @tparam string path
-- @treturn boolean
function M.exists(path)
  check_path("exists", path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

--- Whether this is a folder.
-- @tparam string path
-- @treturn boolean
function M.is_dir(path)
  check_path("is_dir", path)
  return core.is_dir(path) and true or false
end

--- Opens a file for reading and measures it.
-- @tparam string path
-- @return the open file and its size in bytes, or nil and a message
function M.open(path)
  check_path("open", path)
  if core.is_dir(path) then return nil, path .. ": is a folder, expected a file" end
  local file, message = io.open(path, "rb")
  if not file then return nil, message end
  local size = file:seek("end")
  -- A pipe or device has no size; nothing here reads those.
  if not size or not file:seek("set", 0) then
    file:close()
    return nil, path .. ": not a plain file"
  end
  return file, size
end

--- The whole file as a string.
-- @tparam string path
-- @return the bytes, or nil and a message
function M.read_all(path)
  check_path("read_all", path)
  local file, size = M.open(path)
  if not file then return nil, size end
  local bytes, message = file:read("a")
  file:close()
  if not bytes then return nil, ("%s: %s"):format(path, message) end
  return bytes
end

--- Makes a folder and the folders above it that are missing.
-- @tparam string path
-- @return true, or nil and a message
function M.mkdir_p(path)
  check_path("mkdir_p", path)
  if core.is_dir(path) then return true end
  local parent = M.dirname(path:match("^(.-)/*$"))
  if parent ~= path and parent ~= "." then
    local ok, message = M.mkdir_p(parent)
    if not ok then return nil, message end
  end
  return core.mkdir(path)
end

local counter = 0

--- A name beside `path` that no other running program uses.
-- @tparam string path
-- @treturn string
function M.temporary(path)
  counter = counter + 1
  return ("%s.tmp-%d-%d"):format(path, core.pid(), counter)
end

local function write_to(file, content, opts)
  local ok, message
  if type(content) == "string" then
    ok, message = file:write(content)
  else
    ok, message = content(file)
  end
  if ok and opts.sync then ok, message = core.sync(file) end
  return ok, message
end

-- The whole new file takes its place; a crash between the two renames leaves the old one as `keep`.
local function take_place(temporary, path, opts)
  if opts.keep and M.exists(path) then
    local ok, message = os.rename(path, opts.keep)
    if not ok then return nil, message end
  end
  local ok, message = os.rename(temporary, path)
  if ok and opts.sync then ok, message = core.sync(M.dirname(path)) end
  return ok, message
end

--- Writes a file whole or not at all: a temporary file in the same folder takes the bytes and is
-- then renamed, so that a reader sees the old content or the new, and a failure leaves the old.
-- @tparam string path
-- @tparam string|function content the bytes, or `function(file)` that writes them and returns a
--   true value, or nil and a message
-- @tparam ?table opts `sync`: wait until the bytes are on the disk, so that a loss of power
--   leaves the old or the new too (false); `keep`: a name in the same folder that the old file is
--   given (default: it is gone); `temporary`: the name in the meantime, in the same folder (default:
--   one that no other program uses; a constant one leaves no litter where a program is killed)
-- @return true, or nil and a message
function M.write_atomic(path, content, opts)
  check_path("write_atomic", path)
  if type(content) ~= "string" and type(content) ~= "function" then
    raise("files.write_atomic: content: expected a string or a function, got " .. type(content))
  end
  opts = options.check("files.write_atomic", opts, { "sync", "keep", "temporary" })
  if core.is_dir(path) then return nil, path .. ": is a folder, expected a file" end
  local temporary = opts.temporary or M.temporary(path)
  local file, message = io.open(temporary, "wb")
  if not file then
    -- The user knows the name that was asked for, not the temporary one.
    return nil, ("%s: cannot be written: %s"):format(path, message:match("[^:]*$"):match("%S.*"))
  end
  -- A `content` that raises must leave no file behind either.
  local ran, ok, reason = pcall(write_to, file, content, opts)
  local closed, close_message = file:close()
  if ran and ok and closed then ok, reason = take_place(temporary, path, opts) end
  if ran and ok and closed then return true end
  os.remove(temporary)
  if not ran then error(ok, 0) end
  reason = not ok and reason or close_message or "the write failed"
  return nil, ("%s: cannot be written: %s"):format(path, reason)
end

--- A text as one word of a shell command.
-- @tparam string text
-- @treturn string
function M.quote(text)
  if type(text) ~= "string" then
    raise("files.quote: text: expected a string, got " .. type(text))
  end
  if text:find("\0", 1, true) then raise("files.quote: text: holds a zero byte") end
  return "'" .. text:gsub("'", [['\'']]) .. "'"
end

--- Runs a shell command and collects what it prints. Quote every word that is not a constant.
-- @tparam string command
-- @return the standard output without the last line end; or nil, a message with the exit status,
--   and what was printed
function M.capture(command)
  local pipe, message = io.popen(command, "r")
  if not pipe then return nil, message end
  local output = pipe:read("a")
  local ok, _, status = pipe:close()
  output = (output or ""):gsub("\n$", "")
  if not ok then return nil, ("exit status %s"):format(status), output end
  return output
end

--- Whether the shell finds a program of this name.
-- @tparam string program
-- @treturn boolean
function M.has_program(program)
  return M.capture("command -v " .. M.quote(program) .. " 2>/dev/null") ~= nil
end

-- The file comes through standard input, so that no odd name is taken for an option or escaped.
local DIGEST = "{ sha256sum || shasum -a 256 || openssl dgst -sha256; } 2>/dev/null"

--- The SHA-256 of a file's content.
-- @tparam string path
-- @tparam[opt=false] boolean gunzip of what a gzip file holds, not of the file as it is
-- @return 64 lower-case hexadecimal digits, or nil and a message
function M.sha256(path, gunzip)
  check_path("sha256", path)
  local file, message = M.open(path)
  if not file then return nil, message end
  file:close()
  local from = "< " .. M.quote(path)
  local command = gunzip and ("gzip -dc 2>/dev/null %s | %s"):format(from, DIGEST)
    or ("%s %s"):format(DIGEST, from)
  local output = M.capture(command) or ""
  for word in output:gmatch("%x+") do
    if #word == 64 then return word:lower() end
  end
  return nil, path .. ": no SHA-256: needs sha256sum, shasum or openssl"
end

return M
