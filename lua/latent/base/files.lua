--- Files as the rest of the library wants them: read whole, written whole or not at all, checked by
-- digest. Everything that can fail on a disk returns nil and a message that names the file.
-- @module latent.base.files

local core = require "latent.core"
local options = require "latent.base.options"
local outputs = require "latent.base.files.output"
local paths = require "latent.base.files.paths"
local raise = core.raise

local M = {}

local check_path = paths.check

M.join, M.dirname, M.mkdir_p = paths.join, paths.dirname, paths.mkdir_p

--- Whether there is a file or folder of this name.
-- @tparam string path
-- @treturn boolean
function M.exists(path)
  check_path("exists", path)
  return core.file_info(path) ~= nil
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
  local info = core.file_info(path)
  if info and info.kind == "folder" then return nil, path .. ": is a folder, expected a file" end
  -- A pipe or device has no size; nothing here reads those, or waits until somebody writes into one.
  if info and info.kind ~= "file" then return nil, path .. ": not a plain file" end
  local file, message = io.open(path, "rb")
  if not file then return nil, message end
  local size = file:seek("end")
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

M.temporary = outputs.temporary

--- What a name that is to be written stands for: see latent.base.files.paths.
M.target = paths.target

--- Writes a file whole or not at all: a temporary file in the same folder takes the bytes and is
-- then renamed, so that a reader sees the old content or the new, and a failure leaves the old.
-- Missing folders are made. Symbolic links are followed; mode, owner and group stay, as far as the
-- process may give them away; another hard link keeps the old content. A device or FIFO, which
-- nothing can take the place of, is written straight.
-- @tparam string path
-- @tparam string|function content the bytes, or `function(file)` that writes them and returns a
--   true value, or nil and a message
-- @tparam ?table opts `sync`: wait until the bytes are on the disk, so that a loss of power
--   leaves the old or the new too (false); `keep`: a name in the same folder that the old file is
--   given (default: it is gone); `check`: `function(name)` that looks at the finished file before
--   it takes the old one's place, and returns true, or nil and a message
-- @return true, or nil and a message
function M.write_atomic(path, content, opts)
  check_path("write_atomic", path)
  if type(content) ~= "string" and type(content) ~= "function" then
    raise("files.write_atomic: content: expected a string or a function, got " .. options.describe(content))
  end
  return outputs.write(path, content, options.check("files.write_atomic", opts, {"sync", "keep", "check"}))
end

--- What the public functions that save a file do: `write_atomic`, and a failure is raised at the
-- user's line. A script goes on without looking at what a writer returns.
-- @tparam string path
-- @tparam string|function content
-- @treturn boolean true
function M.save(path, content)
  local ok, message = M.write_atomic(path, content)
  if not ok then raise(message) end
  return true
end

--- A text as one word of a shell command.
-- @tparam string text
-- @treturn string
function M.quote(text)
  if type(text) ~= "string" then
    raise("files.quote: text: expected a string, got " .. options.describe(text))
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
