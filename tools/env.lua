--- What `make env` prints: lines that make a shell find latent, the library and the command, from the paths that make
-- has exported; the argument is the folder they stand in. Needs nothing of the library, which may not be built yet.
local folder = arg[1]
local sign = folder:match "[;?]"
if sign then
  -- The search path divides at the one and puts names in place of the other, and knows no way around that.
  io.stderr:write(("make env: the name of the folder %s has a \"%s\", which Lua's search path cannot express; "
    .. "give it another name, or use make install\n"):format(folder, sign))
  os.exit(1)
end
local function quoted(text) return "'" .. text:gsub("'", [['\'']]) .. "'" end
for _, name in ipairs{"LUA_PATH", "LUA_CPATH"} do print(("export %s=%s"):format(name, quoted(os.getenv(name)))) end
-- The command, once; a folder whose name has a ":" cannot stand in PATH.
local bin = quoted(folder .. "/bin")
if not folder:find(":", 1, true) then
  print(('case ":$PATH:" in *:%s:*) ;; *) export PATH=%s:"$PATH" ;; esac'):format(bin, bin))
end
