--- What the exercises share and no reader needs to see first: options, data, weights, answers, tables.
local lt, data, files = require "latent", require "latent.data", require "latent.files"
local json, safetensors = require "latent.json", require "latent.safetensors"

local M = {}

local HERE = debug.getinfo(1, "S").source:match "^@(.*)support%.lua$"
local ROOT = HERE == "" and ".." or HERE:match "^(.*)exercises/$" or "."
if ROOT == "" then ROOT = "." end

local function fail(message)
  io.stderr:write(message, "\n")
  os.exit(1)
end

-- ---- options ----

-- Common to all scripts: which recipe and data, where results go.
local COMMON = {recipe = "default", seed = 1, data = "mnist", threads = 0, demo = false, out = ""}
local CHOICES = {data = "mnist, fashion, mini", recipe = "default, sheet"}

local function convert(name, text, default)
  if type(default) == "boolean" then return text == "true" end
  if type(default) == "number" then
    return math.tointeger(tonumber(text)) or tonumber(text)
      or fail(("--%s: expected a number, got %q"):format(name, text))
  end
  if CHOICES[name] and not (", " .. CHOICES[name] .. ","):find(", " .. text .. ",", 1, true) then
    fail(("--%s: expected one of %s, got %q"):format(name, CHOICES[name], text))
  end
  return text
end

local function usage(known)
  local names = {}
  for name in pairs(known) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do names[i] = ("--%s %s"):format(name, tostring(known[name])) end
  return "options, with their defaults:\n  " .. table.concat(names, "\n  ")
end

local function parse(words, known)
  local given, i = {}, 1
  while words[i] do
    local name, value = words[i]:match "^%-%-([%w_]+)=?(.*)$"
    if name == "help" then
      print(usage(known))
      os.exit(0)
    end
    if not name or known[name] == nil then
      fail(("unknown option %q; %s"):format(words[i], usage(known)))
    end
    if value == "" then
      local flag = type(known[name]) == "boolean"
      value = flag and "true" or words[i + 1] or fail(("--%s: a value is missing"):format(name))
      i = i + (flag and 0 or 1)
    end
    given[name] = convert(name, value, known[name])
    i = i + 1
  end
  return given
end

--- The settings of a script: its constants, those of the recipe, and what the command line says.
-- @tparam ?table constants; `recipes` holds a table of constants a recipe, `in_demo` what the demo changes
function M.options(constants)
  constants = constants or {}
  local recipes, known = constants.recipes or {default = {}, sheet = {}}, {}
  for _, source in ipairs{COMMON, constants, recipes.default} do
    for name, value in pairs(source) do
      if type(value) ~= "table" then known[name] = value end
    end
  end
  local given = parse(arg or {}, known)
  local o = {}
  for _, source in ipairs{known, recipes[given.recipe or "default"], given.demo and constants.in_demo or {}, given} do
    for name, value in pairs(source) do o[name] = value end
  end
  if o.demo then o.data = "mini" end
  if o.threads > 0 then lt.set_threads(o.threads) end
  lt.manual_seed(o.seed)
  M.demo, M.dataset, M.out = o.demo, o.data, o.out
  return o
end

-- ---- places ----

-- Results lie in runs/ and plots/ of the project, or of the folder that --out names; those of the demo and
-- of other data stay apart from those of the answer sheet.
local function place(folder, name)
  local path = files.join(M.out and M.out ~= "" and M.out or ROOT, folder)
  if M.demo then
    path = files.join(path, "demo")
  elseif M.dataset and M.dataset ~= "mnist" then
    path = files.join(path, M.dataset)
  end
  assert(files.mkdir_p(path))
  return files.join(path, name)
end

local function shipped(name) return files.join(files.join(ROOT, "exercises/weights"), name) end

-- ---- data ----

--- The data set that the options name: training and test part.
function M.data(o)
  local read = o.data == "fashion" and data.fashion_mnist or data.mnist
  local parts = {}
  for i, split in ipairs{"train", "test"} do
    local set, message = read{split = split, mini = o.data == "mini" or nil}
    parts[i] = set or fail(message .. "\n(fetch it with `make data`, or try --data mini)")
  end
  return parts[1], parts[2]
end

--- Calls f(x, y) for consecutive batches of a set, without recording; returns the means of its results
-- (numbers or one-element tensors), weighted by the batches' sizes.
function M.mean_over(set, f, batch)
  local sums, n = {}, 0
  lt.no_grad(function()
    for b in data.loader(set, {batch = batch or 250, shuffle = false}) do
      local count = #b.y
      for i, value in ipairs{f(b.x, b.y)} do
        sums[i] = (sums[i] or 0) + (type(value) == "number" and value or value:item()) * count
      end
      n = n + count
    end
  end)
  for i, sum in ipairs(sums) do sums[i] = sum / n end
  return table.unpack(sums)
end

--- f(x) for all images of a set, batch by batch, as one tensor.
function M.map(set, f, batch)
  return lt.no_grad(function()
    local parts = {}
    for b in data.loader(set, {batch = batch or 250, shuffle = false}) do parts[#parts + 1] = f(b.x) end
    return lt.cat(parts, 1)
  end)
end

-- ---- weights, logs, answers ----

--- Writes a model's weights to runs/name.safetensors.
function M.save(model, name)
  local path = place("runs", name .. ".safetensors")
  local ok, message = safetensors.save(path, model:state())
  if not ok then fail(message) end
  print("weights written to " .. path)
end

--- Gives a model the weights of runs/, else those that come with the exercises; says which.
function M.load(model, name)
  local own = place("runs", name .. ".safetensors")
  local path = not M.demo and files.exists(own) and own or shipped(name .. ".safetensors")
  local state, message = safetensors.load(path)
  if not state then fail(message) end
  print(("%s: weights from %s"):format(name, path))
  return model:load_state(state):eval()
end

--- A log of one JSON line an epoch in runs/name.jsonl: call it with a table.
function M.log(name)
  local path = place("runs", name .. ".jsonl")
  local lines = {}
  return function(entry)
    lines[#lines + 1] = json.encode(entry, {nan = "null"}) .. "\n"
    local ok, message = files.write_atomic(path, table.concat(lines))
    if not ok then fail(message) end
  end
end

--- The entries of a log: runs/name.jsonl, in the demo the one that comes with the exercises.
function M.read_log(name)
  local path = M.demo and shipped(name .. ".jsonl") or place("runs", name .. ".jsonl")
  local entries = {}
  for line in (files.read_all(path) or fail(path .. " is missing")):gmatch "[^\n]+" do
    entries[#entries + 1] = json.decode(line)
  end
  return entries
end

--- One field of all entries of a log.
function M.column(entries, field)
  local list = {}
  for i, entry in ipairs(entries) do list[i] = entry[field] end
  return list
end

--- The answers so far, by key.
function M.answers()
  local text = files.read_all(place("runs", "answers.json"))
  return text and json.decode(text) or {}
end

--- Adds answers to runs/answers.json: a table from keys such as "ex1.test_mse" to numbers or lists.
function M.answer(values)
  local all = M.answers()
  for key, value in pairs(values) do all[key] = value end
  local ok, message = files.write_atomic(place("runs", "answers.json"), json.encode(all, {indent = 2}))
  if not ok then fail(message) end
end

--- Saves a figure in plots/ and says so.
function M.figure(figure, name)
  local path, message = figure:save(place("plots", name))
  if not path then fail(message) end
  print("figure " .. path)
end

-- ---- classes ----

--- The names of the classes.
function M.classes(o)
  return o.data == "fashion" and data.classes.fashion_mnist or data.classes.mnist
end

--- Percentages of right answers a class, and their mean. Labels and answers: [n], values 0..9.
function M.accuracy(answers, labels)
  local right, count = {}, {}
  local given, true_label = answers:table(), labels:float():table()
  for i, label in ipairs(true_label) do
    local k = math.tointeger(label) + 1
    count[k] = (count[k] or 0) + 1
    right[k] = (right[k] or 0) + (given[i] == label and 1 or 0)
  end
  local mean = 0
  for k = 1, 10 do
    right[k] = count[k] and 100 * right[k] / count[k] or 0
    mean = mean + right[k] / 10
  end
  return right, mean
end

--- Values with their names, the largest first: {{name =, value =}, ...}.
function M.ranked(values, names)
  local list = {}
  for i, value in ipairs(values) do list[i] = {name = names[i], value = value} end
  table.sort(list, function(a, b) return a.value > b.value end)
  return list
end

--- All pairs (x, y) as codes [#ys * #xs, 2], row by row, the first row for ys[1].
function M.grid(xs, ys)
  local points = {}
  for _, y in ipairs(ys) do
    for _, x in ipairs(xs) do points[#points + 1] = {x, y} end
  end
  return lt.tensor(points)
end

--- The label of the nearest training code for each code.
function M.nearest_labels(train_codes, train_labels, codes)
  local index = lt.knn(train_codes, codes, 1)
  return train_labels:float():gather_rows(index:reshape(-1))
end

--- What a classifier sees in images: labels 0..9 and how sure it is (probability), [n] each.
function M.classify(classifier, images)
  return lt.no_grad(function()
    local logits = {}
    for first = 1, #images, 500 do
      logits[#logits + 1] = classifier(images:slice(1, first, math.min(first + 499, #images)))
    end
    local p = lt.cat(logits, 1):softmax(2)
    return p:argmax(2) - 1, p:max(2)
  end)
end

--- How many images a classifier is more than 90 % sure of, and how many classes occur among them.
function M.readable(classifier, images)
  local seen, certainty = M.classify(classifier, images)
  local sure, classes = certainty:gt(0.9), 0
  for class = 0, 9 do classes = classes + (sure * seen:eq(class)):max():item() end
  return math.tointeger(sure:sum():item()), math.tointeger(classes)
end

--- The mean squared error of the best single picture: the variance of a set's pixels about their means.
function M.variance(set)
  local sum, square, n = 0, 0, 0
  for b in data.loader(set, {batch = 500, shuffle = false}) do
    sum, square, n = b.x:sum(1) + sum, square + b.x:square():sum():item(), n + #b.y
  end
  local mean = sum / n
  return square / (n * mean:numel()) - mean:square():mean():item()
end

--- How much of a square grid of codes [#axis * #axis] has a code of the set within a cell's width, as text.
function M.occupied(codes, axis)
  local grid = M.grid(axis, axis)
  local near = M.grid(axis, axis):norm(2):le(2) -- where a standard normal code mostly lies
  local _, distance = lt.knn(codes, grid, 1)
  local filled = distance:reshape(-1):le(axis[2] - axis[1]) * near
  return ("(%.0f %% of the cells within 2 of it have a code)"):format(100 * filled:sum():item() / near:sum():item())
end

--- Prints rows of a table with a title; numbers with one decimal.
function M.print_table(title, head, rows)
  print("\n" .. title)
  local function line(cells)
    local parts = {}
    for i, cell in ipairs(cells) do
      local text = type(cell) == "number" and ("%.1f"):format(cell) or tostring(cell)
      parts[i] = i == 1 and ("%-26s"):format(text) or ("%8s"):format(text)
    end
    print("  " .. table.concat(parts))
  end
  line(head)
  for _, row in ipairs(rows) do line(row) end
end

--- Prints a paragraph, broken into lines of at most 100 characters.
function M.say(format, ...)
  local line = ""
  for word in format:format(...):gmatch "%S+" do
    if #line + #word + 1 > 100 then
      print(line)
      line = ""
    end
    line = line == "" and word or line .. " " .. word
  end
  print(line .. "\n")
end

return M
