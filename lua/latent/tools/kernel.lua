--- The command `latent kernel`: makes Jupyter find the kernel, and is what the kernel computes with.
-- @module latent.tools.kernel
local files = require "latent.base.files"

local M = {}

local USAGE = [[
usage: latent kernel install [--user | --prefix FOLDER | --sys-prefix] [--name NAME] [--python PYTHON]
                         tells Jupyter of it: for this user (the default), below a prefix, or where the Python is
       latent kernel uninstall [--name NAME] [--python PYTHON]
       latent kernel list    the kernels that Jupyter knows, and where they are
       latent kernel serve REQUESTS ANSWERS
                         what a kernel starts: answers what comes by the first of two open files by the second
PYTHON is one that has ipykernel; without it the first of $PYTHON, python3 and /usr/bin/python3 that does.]]

local function say(text) io.stderr:write("latent kernel: ", text, "\n") end

-- The folder of the Python package: in the source tree, else beside the installed library.
local function package_folder()
  local here = debug.getinfo(1, "S").source:match "^@(.*)/tools/[^/]*$"
  for _, path in ipairs{here .. "/../../tools/jupyter/latent_kernel", here .. "/jupyter/latent_kernel"} do
    if files.exists(path .. "/__main__.py") then return path end
  end
  return nil, "the Python package latent_kernel is neither in the source tree nor in " .. here .. "/jupyter"
end

-- The first line that a command prints; nil where it fails.
local function line_of(command)
  local text = files.capture(command .. " 2>/dev/null </dev/null")
  return text and text:match "^[^\n]+"
end

--- Finds a Python that has ipykernel.
-- @tparam ?string named the only one to look at
-- @treturn ?string its name
-- @treturn string the version of its ipykernel, or what was looked at
function M.python(named)
  local candidates = named and {named} or {"python3", "/usr/bin/python3"}
  local own = os.getenv "PYTHON"
  if not named and own and own ~= "" then table.insert(candidates, 1, own) end
  for _, python in ipairs(candidates) do
    local version = line_of(files.quote(python) .. " -c 'import ipykernel; print(ipykernel.__version__)'")
    if version then return python, version end
  end
  return nil, table.concat(candidates, ", ")
end

--- Where Jupyter finds the kernel.
-- @tparam string python one that has ipykernel
-- @treturn ?string a folder; nil where it is not installed
function M.installed(python)
  return line_of(files.quote(python) .. " -c 'import os; from jupyter_core.paths import jupyter_path as p; "
    .. "print(next(k for k in (os.path.join(d, \"latent\") for d in p(\"kernels\")) "
    .. "if os.path.isfile(os.path.join(k, \"kernel.json\"))))'")
end

--- What to do where no Python has ipykernel.
-- @treturn string
function M.hint()
  local folder = package_folder()
  local tree = folder and folder:match "^(.*/tools/jupyter)/latent_kernel$"
  return "install python3-ipykernel (Debian, Ubuntu), or in an environment of its own: python3 -m venv ~/jupyter && "
    .. "~/jupyter/bin/pip install jupyterlab " .. (tree and files.quote(line_of("cd " .. files.quote(tree) .. " && pwd")
    or tree) or "ipykernel") .. ", and name that Python: latent kernel install --python ~/jupyter/bin/python"
end

-- This command as others can call it.
local function own_path()
  local path = arg[0]
  local folder = line_of("cd " .. files.quote(path:match "^(.*)/[^/]*$" or ".") .. " && pwd")
  return folder and folder .. "/" .. path:match "[^/]*$" or path
end

-- What the Python package does: it knows Jupyter's folders.
local function hand_over(arguments)
  local words, named = {}, nil
  local i = 1
  while arguments[i] do
    local inline = arguments[i]:match "^%-%-python=(.*)$"
    if arguments[i] == "--python" or inline then
      named = inline or arguments[i + 1]
      if (named or "") == "" then
        say "--python: expected the name of a Python"
        return 2
      end
      i = i + (inline and 1 or 2)
    else
      words[#words + 1], i = files.quote(arguments[i]), i + 1
    end
  end
  local folder, message = package_folder()
  local python, about = M.python(named)
  if not folder then
    say(message)
    return 1
  elseif not python then
    say(("no ipykernel (looked at %s): %s"):format(about, M.hint()))
    return 1
  end
  local command = ("%s %s --latent %s %s"):format(files.quote(python), files.quote(folder), files.quote(own_path()),
    table.concat(words, " "))
  local _, how, code = os.execute(command)
  return how == "exit" and code or 1
end

local function serve(arguments)
  local requests, answers = math.tointeger(tonumber(arguments[2])), math.tointeger(tonumber(arguments[3]))
  if not requests or not answers or arguments[4] then
    say "serve: expected the numbers of two open files"
    return 2
  end
  require("latent.repl.kernel").serve(requests, answers)
  return 0
end

local WORDS = {install = hand_over, uninstall = hand_over, list = hand_over, serve = serve}

--- The command.
-- @tparam {string,...} arguments
-- @treturn int the exit status
function M.main(arguments)
  local word = arguments[1]
  if WORDS[word] then return WORDS[word](arguments) end
  if word == nil or word == "-h" or word == "--help" then
    print(USAGE)
    return word and 0 or 2
  end
  say(word == "" and "expected a word, got an empty one (latent kernel --help)"
    or ("unknown word %s (latent kernel --help)"):format(word))
  return 2
end

return M
