--- The library as the command `latent` loads it: from its own place alone, whatever lies in the current folder,
-- and with a copy of Lua's library that is its own. A script or a line at the prompt may define a global `type`, or
-- overwrite `table.concat`: it changes its own globals and nobody else's. But for the methods of strings: all code of
-- a process shares their metatable, so a script that sets `string.format = nil` breaks `("%d"):format(1)` here too.
--
-- Knows Lua only; bin/latent runs it before anything else is loaded.
-- @module latent.tools.sealed
local M = {}

-- This file itself has the user's globals.
local error, next, type, find, gsub = error, next, type, string.find, string.gsub

local function copy(t)
  local same = {}
  for key, value in next, t do same[key] = value end
  return same
end

-- The globals of the library's own files. `_G` is the user's: who writes a global there means theirs.
local function own_globals(share, lib)
  local globals = {}
  for name, value in next, _G do
    globals[name] = type(value) == "table" and value ~= _G and copy(value) or value
  end
  globals._G = _G
  globals.package = {loaded = {}, path = ("%s/?.lua;%s/?/init.lua"):format(share, share), cpath = lib .. "/?.so",
    config = package.config, searchpath = package.searchpath}
  return globals
end

local function is_own(name) return name == "latent" or find(name, "^latent%.") ~= nil end

--- Makes every `require` of the library find it there, the user's too.
-- @tparam string share the folder that has latent/init.lua
-- @tparam string lib the folder that has latent/core.so
-- @treturn function require, as the library's own files have it
function M.install(share, lib)
  local globals = own_globals(share, lib)
  local search, load_file, load_library = package.searchpath, loadfile, package.loadlib
  local theirs, stock, own = package.loaded, require, globals.package.loaded

  local function loader_of(name)
    local path, tried = search(name, globals.package.path)
    if path then return load_file(path, "t", globals), path end
    local library, tried_too = search(name, globals.package.cpath)
    if library then return load_library(library, "luaopen_" .. gsub(name, "%.", "_")), library end
    return nil, "module '" .. name .. "' not found:\n\t" .. tried .. "\n\t" .. tried_too
  end

  local function load_own(name)
    local value = own[name]
    if value ~= nil then return value end
    local loader, place = loader_of(name) -- or nil and what is wrong
    if not loader then error(place, 0) end
    value = loader(name, place)
    if value == nil then value = true end
    own[name], theirs[name] = value, value
    return value
  end

  function globals.require(name)
    if type(name) == "string" and is_own(name) then return load_own(name) end
    return stock(name)
  end

  -- The first searcher: what is not there is nowhere, and no other searcher is asked.
  table.insert(package.searchers, 1, function(name)
    if not is_own(name) then return nil end
    load_own(name)
    return load_own
  end)
  return globals.require
end

return M
