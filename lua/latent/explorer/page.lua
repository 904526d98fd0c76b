--- Writes the page: one file of HTML with the compiled core, the library's Lua, the models and the test images in it.
-- Nothing in it is loaded from elsewhere, and its policy lets nothing be.
-- @module latent.explorer.page
local base64 = require "latent.base.base64"
local base85 = require "latent.explorer.base85"
local comments = require "latent.help.comments"
local core = require "latent.core"
local files = require "latent.base.files"
local half = require "latent.explorer.half"
local html = require "latent.experiment.html"
local json = require "latent.json"
local lexer = require "latent.repl.lexer"
local open = require "latent.explorer.open"
local sha256 = require "latent.explorer.sha256"

local M = {}

--- The most bytes that a page may have.
M.MOST = 1500000

local LEVEL = 9 -- of deflate
local SCRIPTS = {"dom", "pixels", "charts", "lab", "plane", "film", "planes", "pad", "digit", "restore", "printed",
  "prompt", "page"}
-- What a page of the reference needs to run a piece.
local LABORATORY = {"dom", "pixels", "charts", "lab", "printed"}
-- What the worker is made of, below the folder web.
local WORKER = {"files.js", "host.js", "explorer/library.js", "explorer/worker.js"}
local MINI = {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"}
-- What is tried until a page is small enough: half precision, then fewer than all 500 test images.
local WAYS = {{}, {halved = true}, {halved = true, images = 400}, {halved = true, images = 300},
  {halved = true, images = 200}}

-- Modules that a page cannot use: programs, folders of runs, notebooks.
local LEFT_OUT = {"^experiment", "^tools/", "^jupyter/", "^repl/kernel", "^repl/mime", "^repl/inspect",
  "^explorer/page", "^explorer/weights", "^explorer/command", "^explorer/half", "^explorer/sha256", "^explorer/base85",
  "^explorer/exercises/"}
local KEPT = {["tools/guard.lua"] = true}
-- Modules whose comments no help shows, and those among them whose it does.
local UNTOLD = {"^base/", "^repl/", "^formats/", "^tools/", "^explorer/", "^plot/"}
local TOLD = {["base/face.lua"] = true, ["base/grad/init.lua"] = true, ["base/grad/keep.lua"] = true}

local function is_among(name, patterns, except)
  for _, pattern in ipairs(patterns) do
    if name:find(pattern) and not except[name] then return true end
  end
  return false
end

--- A module's text as the page has it: without comments, but for those that document if they are wanted, and without
-- indentation; lines keep their numbers.
-- @tparam string text
-- @tparam ?boolean documented
-- @treturn string
function M.stripped(text, documented)
  local parts, at, kept_line = {}, 1, nil
  local function add(piece) parts[#parts + 1] = piece:gsub("\n[ \t]+", "\n"):gsub("[ \t]+\n", "\n") end
  for _, token in ipairs(lexer.tokens(text)) do
    if token.kind == "comment" then
      local comment = text:sub(token.first, token.last)
      local before = text:sub(at, token.first - 1)
      local begins = comment:find "^%-%-%-" ~= nil
      local goes_on = kept_line == at and before:find "^\n[ \t]*$" ~= nil
      add((before:gsub("[ \t]+$", "")))
      if documented and (begins or goes_on) then
        parts[#parts + 1], kept_line = comment, token.last + 1
      else
        parts[#parts + 1] = comment:gsub("[^\n]", "")
      end
      at = token.last + 1
    elseif token.kind == "string" and text:sub(token.first, token.last):find "\n" then -- nothing in it may change
      add(text:sub(at, token.first - 1))
      parts[#parts + 1], at = text:sub(token.first, token.last), token.last + 1
    end
  end
  add(text:sub(at))
  return table.concat(parts)
end

local function read_all(path)
  local text, message = files.read_all(path)
  if not text then error(message, 0) end
  return text
end

local function read(folder, name) return read_all(files.join(folder, name)) end

-- The library's modules, {name in the page, text}, and their names.
local function modules()
  local list, names = {}, {}
  for _, path in ipairs(comments.sources()) do
    local name = path:match "^.*/latent/(.*)$" -- the last: a clone of the project may lie in a folder of that name
    if name and not is_among(name, LEFT_OUT, KEPT) then
      local place, documented = "lua/latent/" .. name, not is_among(name, UNTOLD, TOLD)
      list[#list + 1], names[#names + 1] = {place, M.stripped(read_all(path), documented)}, place
    end
  end
  return list, json.array(names)
end

-- Files behind each other, with a list of their names and sizes in front.
local function packed(list)
  local head, parts = {}, {}
  for i, file in ipairs(list) do
    head[i], parts[i + 1] = json.array{file[1], #file[2]}, file[2]
  end
  parts[1] = ("<s4"):pack(json.encode(json.array(head)))
  return table.concat(parts)
end

-- As text: the number of bytes, a blank, the bytes.
local function carried(bytes) return ("%d %s"):format(#bytes, base85.encode(bytes)) end

-- The models' files, as they are or in half precision, and what the page says of them.
local function model_files(models, halved)
  local list, about, worst = {}, {}, 0
  for i, model in ipairs(models) do
    local name = ("weights/%d.safetensors"):format(i)
    if halved then
      local bytes, off = half.file(model.state)
      list[i], worst = {name, bytes}, math.max(worst, off)
    else
      list[i] = {name, read_all(model.path)}
    end
    about[i] = {name = model.page_name, kind = model.kind, latent = model.latent, beta = model.beta,
      epochs = model.epochs, file = name}
  end
  return list, json.array(about), worst
end

-- Scripts or styles behind each other; the project's own without the lines that are comments, and without indentation.
local function joined(folder, names)
  local parts = {}
  for i, name in ipairs(names) do
    local text = "\n" .. read(folder, name)
    if not name:find "/uplot/" then text = text:gsub("\n[ \t]+", "\n"):gsub("\n//[^\n]*", ""):gsub("\n\n+", "\n") end
    parts[i] = text
  end
  return table.concat(parts)
end

local function hash(text) return "'sha256-" .. base64(sha256(text)) .. "'" end

-- The template's {{names}} replaced; what is put in is not looked at again.
local function filled(template, values)
  return (template:gsub("{{(%l+)}}", function(name) return values[name] end))
end

local function about_text(models, worst)
  local from = {}
  for _, model in ipairs(models) do from[#from + 1] = model.name end
  return ("Models: %s. %sTest images: MNIST (Yann LeCun, Corinna Cortes; CC BY-SA 3.0). Charts: uPlot (Leon Sorokin; "
    .. "MIT). Everything is computed in this page; nothing is sent or loaded."):format(table.concat(from, ", "),
    worst > 0 and ("Weights in half precision, off by %.2g %%. "):format(100 * worst) or "")
end

-- The first images or labels of an IDX file.
local function first_of(text, n)
  local axes = text:byte(4)
  local head = 4 + 4 * axes
  local count = (">I4"):unpack(text, 5)
  if count <= n then return text end
  return text:sub(1, 4) .. (">I4"):pack(n) .. text:sub(9, head + (#text - head) // count * n)
end

-- What a worker is made of, as texts: its script, the core, all files; and what the page says of the models.
local function contents(models, where, way)
  local list, names = modules()
  local weights, about, worst = model_files(models, way.halved)
  for _, file in ipairs(weights) do list[#list + 1] = file end
  list[#list + 1] = {"exercises/models.lua", M.stripped(read(where.exercises, "models.lua"))}
  list[#list + 1] = {open.LIST, json.encode{models = about, sources = names}}
  for _, name in ipairs(MINI) do
    local text = assert(core.inflate(read(where.mini, name .. ".gz"), "gzip"))
    list[#list + 1] = {"lua/latent/data/mini/" .. name, first_of(text, way.images or math.huge)}
  end
  return {worker = joined(where.web, WORKER), wasm = carried(read_all(where.wasm)),
    files = carried(core.deflate(packed(list), "gzip", LEVEL)), models = about, worst = worst}
end

local function scripts_of(where, names)
  local scripts = {"explorer/uplot/uPlot.iife.min.js"}
  for i, name in ipairs(names) do scripts[i + 1] = ("explorer/%s.js"):format(name) end
  return '"use strict";\n' .. joined(where.web, scripts)
end

-- Those of the core's parts and of uPlot ask to be kept with them.
local function licences(where)
  return table.concat({"latent", read_all(where.licence), read(where.web, "LICENSES"), "uPlot",
    read(where.web, "explorer/uplot/LICENSE")}, "\n\n")
end

local function make(models, where, way)
  local parts, script = contents(models, where, way), scripts_of(where, SCRIPTS)
  local style = joined(where.web, {"explorer/uplot/uPlot.min.css", "explorer/style.css"})
  local policy = {"default-src 'none'", "script-src " .. hash(script) .. " 'wasm-unsafe-eval'",
    "style-src " .. hash(style), "worker-src blob:", "base-uri 'none'", "form-action 'none'"}
  return filled(read(where.web, "explorer/index.html"), {policy = table.concat(policy, "; "), style = style,
    script = script, worker = parts.worker, wasm = parts.wasm, files = parts.files,
    data = json.encode{models = parts.models}, about = html.escape(about_text(models, parts.worst)),
    licences = html.escape(licences(where))}), parts.worst
end

-- Names by which a page knows its models.
local function name_models(models)
  local taken = {}
  for i, model in ipairs(models) do
    local name = model.kind == "vae" and model.name or model.kind
    model.page_name = taken[name] and ("%s_%d"):format(name, i) or name
    taken[model.page_name] = true
  end
end

--- The worker of the prompt as a script for other pages: it puts its parts into the document, where web/explorer/lab.js
-- looks for them, and defines that and what draws figures.
-- @tparam {table,...} models as for `html`
-- @tparam table where the same
-- @treturn string JavaScript
-- @treturn string the styles of charts
function M.laboratory(models, where)
  name_models(models)
  local parts = contents(models, where, {})
  local texts = json.encode{worker = parts.worker, wasm = parts.wasm, files = parts.files}:gsub("</", "<\\/")
  return scripts_of(where, LABORATORY) .. ([[

for (const [id, text] of Object.entries(%s)) {
  document.body.append(el("script", {type: "text/plain", id}, text));
}
]]):format(texts), read(where.web, "explorer/uplot/uPlot.min.css")
end

--- The page.
-- @tparam {table,...} models as `latent.explorer.weights` chooses them
-- @tparam table where folders: web, exercises, mini; files: licence, and the compiled core, by gzip: wasm
-- @treturn string HTML
-- @treturn number by how much the weights are rounded (root of the mean square, a share of theirs): 0 unless the page
-- would be larger than `MOST` with all their bits
-- @raise where a part of the page is missing, or it is larger than `MOST` even so
function M.html(models, where)
  name_models(models)
  local page, worst
  for _, way in ipairs(WAYS) do
    page, worst = make(models, where, way)
    if #page <= M.MOST then break end
  end
  if #page > M.MOST then
    error(("the page would have %.2f MB, more than %.2f: give it fewer models"):format(#page / 1e6, M.MOST / 1e6), 0)
  end
  return page, worst
end

return M
