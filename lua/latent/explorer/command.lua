--- `latent explorer`: a page in which trained models can be explored, with nothing installed.
-- @module latent.explorer.command
local files = require "latent.base.files"
local lab = require "latent.explorer.lab"
local page = require "latent.explorer.page"
local sources = require "latent.data.sources"
local weights = require "latent.explorer.weights"

local M = {}

local USAGE = [[
usage: latent explorer [--runs FOLDER] [--out FILE] [weights.safetensors ...]
Writes a page with the models that the newest runs in FOLDER (runs) have trained, else with those that come along; files
of weights take the place of the models of their kind. FILE: FOLDER/explorer.html]]

local function fail(message)
  io.stderr:write("latent: explorer: ", message, "\n")
  return 1
end

-- The folder of a thing that lies beside this module once installed, and elsewhere in the source tree.
local function beside(installed, in_tree)
  local here = files.dirname(debug.getinfo(1, "S").source:match "^@(.*)$" or "")
  local path = files.join(here, installed)
  return files.exists(path) and path or files.join(here, "../../../" .. in_tree)
end

--- Where the parts of a page lie.
-- @treturn table folders web, exercises, mini; the compiled core, by gzip: wasm; the project's licence
function M.places()
  local web = beside("web", "web")
  return {web = web, exercises = beside("exercises", "exercises"), mini = assert(sources.mini()),
    wasm = files.join(web, "latent.wasm.gz"), licence = beside("LICENSE", "LICENSE")}
end

--- The models of the exercises by their kinds and the sizes of their codes.
-- @tparam table where of `places`
-- @treturn function that of `latent.explorer.lab`'s maker
function M.models(where) return lab.maker(dofile(files.join(where.exercises, "models.lua"))) end

local function parse(words)
  local o, i = {runs = "runs", given = {}}, 1
  while words[i] do
    local word = words[i]
    if word == "" then return nil, "expected a file of weights, got an empty name" end
    if word == "--runs" or word == "--out" then
      if (words[i + 1] or "") == "" then return nil, word .. ": expected a path" end
      o[word:sub(3)], i = words[i + 1], i + 1
    elseif word == "--help" or word == "-h" then
      o.help = true
    elseif word:find "^%-" then
      return nil, ("unknown option %s (latent explorer --help)"):format(word)
    else
      o.given[#o.given + 1] = word
    end
    i = i + 1
  end
  o.out = o.out or files.join(o.runs, "explorer.html")
  return o
end

--- `latent explorer [weights ...]`.
-- @tparam {string,...} words
-- @treturn int the exit status
function M.main(words)
  local o, message = parse(words)
  if not o then return fail(message) end
  if o.help then
    print(USAGE)
    return 0
  end
  local where = M.places()
  local list
  local shipped = files.join(where.exercises, "weights")
  list, message = weights.choose(o.given, {runs = o.runs, shipped = shipped, new_model = M.models(where)})
  if not list then return fail(message) end
  local ok, text, worst = pcall(page.html, list, where)
  if not ok then return fail(text) end
  ok, message = files.mkdir_p(files.dirname(o.out))
  if ok then ok, message = files.write_atomic(o.out, text) end
  if not ok then return fail(message) end
  for _, model in ipairs(list) do
    local is_shipped = model.path:sub(1, #shipped) == shipped
    print(("%-14s %s"):format(model.page_name, is_shipped and "comes along" or model.path))
  end
  print(("%s: %.2f MB%s"):format(o.out, #text / 1e6, worst > 0
    and (", weights in half precision (off by %.2g %%)"):format(100 * worst) or ""))
  return 0
end

return M
