--- What `make install` says at its end: where things are, and what a shell lacks to find them.
--   installed.lua INTERPRETER DESTDIR LUADIR LIBDIR BINDIR ANNOTATIONS
local interpreter, stage, share, lib, bin, annotations = table.unpack(arg)

local function quote(text) return "'" .. text:gsub("'", [['\'']]) .. "'" end

local function output(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read "a"
end

-- Whether a list divided by `sign` has an element, with or without a slash at its end.
local function has(list, sign, element)
  for part in list:gmatch("[^" .. sign .. "]+") do
    if part == element or part == element .. "/" then return true end
  end
  return false
end

print(("library      %s%s/latent, %s%s/latent"):format(stage, share, stage, lib))
print(("command      %s%s/latent"):format(stage, bin))
print(("annotations  %s%s (for workspace.library of the Lua language server)"):format(stage, annotations))
if stage ~= "" then return end -- of a package, whose places are the system's

if not has(os.getenv "PATH" or "", ":", bin) then
  print(("PATH has no %s: the shell finds the command after\n  export PATH=%s:\"$PATH\""):format(bin, quote(bin)))
else
  local first = output "command -v latent":match "^[^\n]*"
  if first ~= bin .. "/latent" then print(("PATH has another one before it, %s"):format(first)) end
end

-- -E: without what the environment says, which make has set for itself.
local paths = output(quote(interpreter) .. " -E -e 'print(package.path) print(package.cpath)'")
local path, cpath = paths:match "^([^\n]*)\n([^\n]*)"
local wanted = {}
if not (has(path, ";", share .. "/?.lua") and has(path, ";", share .. "/?/init.lua")) then
  wanted[#wanted + 1] = ("  export LUA_PATH=%s"):format(quote(("%s/?.lua;%s/?/init.lua;;"):format(share, share)))
end
if not has(cpath, ";", lib .. "/?.so") then
  wanted[#wanted + 1] = ("  export LUA_CPATH=%s"):format(quote(lib .. "/?.so;;"))
end
if #wanted > 0 then
  print(("%s itself does not look there: `require \"latent\"` in other programs than the command needs\n%s"):format(
    interpreter, table.concat(wanted, "\n")))
end
