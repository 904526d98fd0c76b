--- Makes the exercises as students get them, of the scripts themselves: what stands between "-- (task) what is to be
-- done" and "-- (end)" is cut, and so is every written answer (e:claim, e:text).
--   lua5.4 tools/handout.lua build/handout
local files = require "latent.base.files"
local lexer = require "latent.repl.lexer"

local SCRIPTS = {"01_autoencoder", "02_latent_scatter", "03_nearest_neighbour", "04_classifier", "05_generator",
  "06_denoise_bottleneck", "07_vae", "08_map_denoise"}
local BESIDE = {"models"} -- with tasks of its own
local WHOLE = {"sheet"}

local target = arg[1]
if not target or arg[2] then
  io.stderr:write("usage: tools/handout.lua FOLDER\n")
  os.exit(1)
end

local function fail(name, line, message) error(("exercises/%s.lua:%d: %s"):format(name, line, message), 0) end

-- The text without what stands between the marks, and the tasks in their order.
local function open_tasks(name, text)
  local out, tasks, number, begun, last = {}, {}, 0, nil, nil
  for line in text:gmatch "([^\n]*)\n" do
    number = number + 1
    local indent, task = line:match "^(%s*)%-%- %(task%) (.+)$"
    local more = last == number - 1 and begun and line:match "^%s*%-%-%s+(.+)$" -- the task's second line, and so on
    if task then
      if begun then fail(name, number, "a task within a task") end
      begun, last, tasks[#tasks + 1] = {indent = indent, line = number}, number, task
      out[#out + 1] = ("%s-- TASK %d: %s"):format(indent, #tasks, task)
    elseif line:find "%-%- %(end%)$" then -- alone, or behind the last line that is cut
      if not begun then fail(name, number, "the end of no task") end
      out[#out + 1] = ('%serror "task %d is yours"'):format(begun.indent, #tasks)
      begun = nil
    elseif more and more ~= "" then
      tasks[#tasks], last = tasks[#tasks] .. " " .. more, number
      out[#out + 1] = line
    elseif not begun then
      out[#out + 1] = line
    end
  end
  if begun then fail(name, begun.line, "a task without an end") end
  return table.concat(out, "\n") .. "\n", tasks
end

-- The last token of the call whose arguments begin at tokens[i].
local function end_of_call(tokens, i)
  if tokens[i].text ~= "(" then return i end -- a string
  local depth = 0
  for k = i, #tokens do
    if tokens[k].text == "(" then depth = depth + 1 end
    if tokens[k].text == ")" then depth = depth - 1 end
    if depth == 0 then return k end
  end
end

-- The text with a place for an answer where answers stood, one for those that follow each other.
local function without_answers(text)
  local tokens, out, at = lexer.tokens(text), {}, 1
  local i = 1
  while tokens[i] do
    local call = tokens[i].text == "e" and tokens[i + 1].text == ":" and tokens[i + 2].text
    if call == "claim" or call == "text" then
      local last = tokens[end_of_call(tokens, i + 3)]
      local between = text:sub(at, tokens[i].first - 1)
      if #out == 0 or between:find "%S" then
        out[#out + 1] = between
        out[#out + 1] = '-- YOUR ANSWER: e:claim(holds, "a sentence", "the numbers that decide: %.3f", ...)'
      end
      at = last.last + 1
    end
    i = i + 1
  end
  out[#out + 1] = text:sub(at)
  return table.concat(out)
end

-- Of a script's head, what it will find.
local function without_expectations(text)
  for _, word in ipairs{"expect ", "%.%.%. of "} do
    text = text:gsub("\n(%-%-   lua5%.4 [^\n]-)%s+" .. word .. "[^\n]*", "\n%1")
  end
  return text
end

local list = {}
local function make(name)
  local text = assert(files.read_all(("exercises/%s.lua"):format(name)))
  local handed, tasks = open_tasks(name, text)
  handed = without_expectations(without_answers(handed))
  assert(load(handed, "@" .. name))
  assert(files.write_atomic(("%s/exercises/%s.lua"):format(target, name), handed))
  list[#list + 1] = ("\n### %s.lua\n\n%s\n"):format(name, handed:match "^%-%-%- ([^\n]*)")
  for number, task in ipairs(tasks) do list[#list + 1] = ("%d. %s"):format(number, task) end
  if handed:find("YOUR ANSWER", 1, true) then
    list[#list + 1] = ("%d. Then answer where the script says YOUR ANSWER."):format(#tasks + 1)
  end
end

assert(files.mkdir_p(target .. "/exercises"))
for _, name in ipairs(BESIDE) do make(name) end
for _, name in ipairs(SCRIPTS) do make(name) end
for _, name in ipairs(WHOLE) do
  local path = ("exercises/%s.lua"):format(name)
  assert(files.write_atomic(files.join(target, path), assert(files.read_all(path))))
end
assert(files.capture(("cp -r exercises/weights %s"):format(files.quote(target .. "/exercises"))))
assert(files.write_atomic(target .. "/README.md", [[
# Exercises

Eight scripts about autoencoders; in each some lines are yours to write. From this folder:

    lua5.4 exercises/04_classifier.lua --data mini --epochs 2

It stops at the first open task that it comes to, and says its line. `--data mini` takes the thousand images that
come with the library, which is enough to see whether a script works; without it a script wants all of MNIST, and
its numbers mean something. `--recipe demo` takes trained weights in place of every training. `--help` lists what
can be set. Figures, numbers and your claims go to `runs/`, and `latent report` makes one page of them.
`latent -e 'help "nn.Linear"'` explains what you need.

Exercise 4 comes first, for the others ask its classifier what a picture shows. Trained weights of all models are in
`exercises/weights`, so that any exercise can be done alone.

## Tasks
]] .. table.concat(list, "\n") .. "\n"))
print(target .. "/README.md")
