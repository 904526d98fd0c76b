--- What the specs start finds the library where they do, also where nobody has set LUA_PATH, as `make test` does.
local own = package.path:match "^[^;]*"
local set = os.getenv "LUA_PATH_5_4" or os.getenv "LUA_PATH" or ""
if set:find(own, 1, true) or set:find("lua/?.lua", 1, true) then return end

local function quoted(text) return "'" .. text:gsub("'", [['\'']]) .. "'" end

local pwd = assert(io.popen "pwd"):read "l"
local function absolute(paths) return (paths:gsub("%f[^;%z]([%w_][^;]*)", pwd:gsub("%%", "%%%%") .. "/%1")) end
local PREFIX = ("export LUA_PATH=%s LUA_CPATH=%s; "):format(quoted(absolute(package.path)),
  quoted(absolute(package.cpath)))

local popen, execute = io.popen, os.execute
rawset(io, "popen", function(command, mode) return popen(PREFIX .. command, mode) end)
rawset(os, "execute", function(command) return execute(command and PREFIX .. command) end)
