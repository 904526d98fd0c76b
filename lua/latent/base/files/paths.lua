--- Names of files: their parts, the folders above them, and what they stand for once links are followed.
-- @module latent.base.files.paths
local core = require "latent.core"
local options = require "latent.base.options"
local raise = core.raise

local M = {}

local MOST_LINKS = 40 -- as many as the kernel follows

--- Refuses what cannot be a path.
-- @tparam string fname the function of latent.base.files that was called
-- @param path
function M.check(fname, path)
  if type(path) ~= "string" then
    raise(("files.%s: path: expected a string, got %s"):format(fname, options.describe(path)))
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
  return (table.concat({...}, "/"):gsub("([^/])//+", "%1/"))
end

--- The folder that a path lies in: "." for a plain name.
-- @tparam string path
-- @treturn string
function M.dirname(path)
  local folder = path:match("^(.*)/[^/]*$")
  if folder == "" then return "/" end
  return folder or "."
end

--- Makes a folder and the folders above it that are missing.
-- @tparam string path
-- @return true, or nil and a message
function M.mkdir_p(path)
  M.check("mkdir_p", path)
  if core.is_dir(path) then return true end
  local parent = M.dirname(path:match("^(.-)/*$"))
  if parent ~= path and parent ~= "." then
    local ok, message = M.mkdir_p(parent)
    if not ok then return nil, message end
  end
  if core.file_info(path) then return nil, path .. ": is a file, expected a folder" end
  local ok, message = core.mkdir(path)
  return ok, not ok and message or nil
end

--- What a name that is to be written stands for.
-- @tparam string path
-- @return the name of the file itself, with links followed; the same name where it is special. Or nil and a message
-- @return what `core.file_info` tells of it, nil where there is nothing yet
-- @return whether it is special, so that no other file may take its place: a device, a FIFO, an open file's name
function M.target(path)
  local info = core.file_info(path)
  if info and info.kind ~= "file" then return path, info, info.kind ~= "folder" end
  local name, hops, link = path, 0, core.read_link(path)
  while link do
    local folder = M.dirname(name)
    -- The kernel's links to what a process has open, as /dev/stdout is one.
    if folder:find "^/proc/" or folder == "/dev/fd" then return path, info, true end
    hops = hops + 1
    if hops > MOST_LINKS then return nil, path .. ": too many symbolic links" end
    name = link:sub(1, 1) == "/" and link or M.join(folder, link)
    link = core.read_link(name)
  end
  return name, info, false
end

return M
