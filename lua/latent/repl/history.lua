--- The lines of earlier sessions. Each line is appended as it is entered, so that nothing is lost with the
-- terminal and several sessions write into one file.
-- @module latent.repl.history
local files = require "latent.base.files"

local M = {}

local MOST = 5000 -- lines that are kept

local function env(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

--- The file: LATENT_HISTORY, else history in $XDG_STATE_HOME/latent, else in ~/.local/state/latent.
-- @treturn ?string nil where there is no home, or LATENT_HISTORY is "off"
function M.path()
  local named = env "LATENT_HISTORY"
  if named then return named ~= "off" and named or nil end
  local state = env "XDG_STATE_HOME" or env "HOME" and files.join(env "HOME", ".local/state")
  return state and files.join(state, "latent", "history")
end

-- An input of several lines is one line of the file.
local function encode(text) return (text:gsub("[\\\n]", {["\\"] = "\\\\", ["\n"] = "\\n"})) end
local function decode(line) return (line:gsub("\\(.)", {n = "\n", ["\\"] = "\\"})) end

--- Reads the inputs, the oldest first. A file that has grown long is cut.
-- @tparam ?string path
-- @treturn {string,...} none where the file cannot be read
function M.load(path)
  local text = path and files.exists(path) and files.read_all(path) or ""
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  if #lines > 2 * MOST then
    lines = table.move(lines, #lines - MOST + 1, #lines, 1, {})
    files.write_atomic(path, table.concat(lines, "\n") .. "\n")
  end
  for i, line in ipairs(lines) do lines[i] = decode(line) end
  return lines
end

--- Appends an input.
-- @tparam ?string path
-- @tparam string text
-- @treturn ?boolean true, or nil and a message
function M.append(path, text)
  if not path then return true end
  local ok, message = files.mkdir_p(files.dirname(path))
  if not ok then return nil, message end
  local file
  file, message = io.open(path, "a")
  if not file then return nil, message end
  ok, message = file:write(encode(text), "\n")
  local closed, why = file:close()
  if ok and closed then return true end
  return nil, message or why
end

return M
