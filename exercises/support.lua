--- What the exercises share and no reader needs to see first: options, data, weights, answers, tables.
local lt, data, files = require "latent", require "latent.data", require "latent.files"
local json, safetensors = require "latent.json", require "latent.safetensors"
local optim, subset, training = require "latent.optim", require "latent.data.subset", require "latent.train"
local options, record = require "exercises.options", require "exercises.record"
local fail = options.fail

local M = {}

local HERE = debug.getinfo(1, "S").source:match "^@(.*)support%.lua$"
local ROOT = HERE == "" and ".." or HERE:match "^(.*)exercises/$" or "."
if ROOT == "" then ROOT = "." end

-- ---- options ----

-- Common to all scripts: which recipe and data, where results go.
local COMMON = {recipe = "default", seed = 1, data = "mnist", threads = 0, demo = false, resume = false, out = ""}
local settings = COMMON -- those of this run, once M.options has read them

--- The settings of a script: its constants, those of the recipe, and what the command line says.
-- @tparam ?table constants; `recipes` holds a table of constants a recipe, `in_demo` what the demo changes,
--   `needs` the models whose weights must be there before anything is trained, `positive` the numbers that may
--   not be 0; demo = false: there is none (nor any other option of all scripts that is false here)
function M.options(constants)
  constants = constants or {}
  local recipes, known = constants.recipes or {default = {}, sheet = {}}, {}
  for _, source in ipairs{COMMON, constants, recipes.default} do
    for name, value in pairs(source) do
      if type(value) ~= "table" then known[name] = value end
    end
  end
  for name in pairs(COMMON) do
    if constants[name] == false then known[name] = nil end
  end
  local given = options.parse(arg or {}, known)
  local o = {}
  for _, source in ipairs{known, recipes[given.recipe or "default"], given.demo and constants.in_demo or {}, given} do
    for name, value in pairs(source) do o[name] = value end
  end
  for _, name in ipairs(constants.positive or {}) do
    if o[name] == 0 then fail(('--%s: expected a number above 0, got "%g"'):format(name, o[name])) end
  end
  if o.demo then o.data = "mini" end
  if o.threads and o.threads > 0 then lt.set_threads(o.threads) end
  if o.seed then lt.manual_seed(o.seed) end
  settings = o
  record.begin(o, function(name) return M.path("runs", name) end)
  for _, name in ipairs(constants.needs or {}) do M.find(name) end
  return o
end

--- What of the settings decides the result of a training: all but names, places and threads.
function M.settings(o)
  local kept, free = {}, {name = true, out = true, threads = true, demo = true, resume = true}
  for name, value in pairs(o) do
    if not free[name] then kept[name] = value end
  end
  return kept
end

-- ---- places ----

-- Results lie in runs/ and plots/ of the project, or of the folder that --out names; those of the demo and
-- of other data stay apart from those of the answer sheet.
local function place(folder, name)
  local path = files.join(settings.out ~= "" and settings.out or ROOT, folder)
  if settings.demo then
    path = files.join(path, "demo")
  elseif settings.data ~= "mnist" then
    path = files.join(path, settings.data)
  end
  path = files.join(path, name)
  local ok, message = files.mkdir_p(files.dirname(path))
  if not ok then fail(("--out: the folder %s cannot be made: %s"):format(files.dirname(path), message)) end
  return path
end

--- The path of a result in "runs" or "plots"; its name may have folders in it.
M.path = place

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

--- A training set in two: all but the last images, and those (at most a twelfth), for choosing settings with.
function M.split(set, count)
  local n = #set - math.max(1, math.min(count, #set // 12))
  return set:take(n), subset.new(set, lt.arange(n + 1, #set))
end

--- Calls f(x, y) for consecutive batches of a set; returns the means of its results (numbers or one-element
-- tensors), weighted by the batches' sizes. `count`: only that many images, from the first on.
function M.mean_over_first(set, count, f)
  local sums, n, last = {}, 0, math.min(count, #set)
  for first = 1, last, 250 do
    local x, y = set:batch(lt.arange(first, math.min(first + 249, last)))
    for i, value in ipairs{f(x, y)} do
      sums[i] = (sums[i] or 0) + (type(value) == "number" and value or value:item()) * #y
    end
    n = n + #y
  end
  for i, sum in ipairs(sums) do sums[i] = sum / n end
  return table.unpack(sums)
end

--- The same over the whole set, without recording.
function M.mean_over(set, f)
  return lt.no_grad(function() return M.mean_over_first(set, #set, f) end)
end

--- f(x) for all images of a set, batch by batch, as one tensor.
function M.map(set, f)
  return lt.no_grad(function()
    local parts = {}
    for b in data.loader(set, {batch = 250, shuffle = false}) do parts[#parts + 1] = f(b.x) end
    return lt.cat(parts, 1)
  end)
end

-- ---- weights, logs, answers ----

local TRAINED_BY = {autoencoder = 1, classifier = 4, vae2 = 7, vae16 = 8}

--- Whether there are weights of a name, of one's own or along with the exercises.
function M.has(name)
  return files.exists(place("runs", name .. ".safetensors"))
    or settings.data ~= "fashion" and files.exists(shipped(name .. ".safetensors"))
end

--- The file of a model's weights: that of runs/, else, for MNIST, the one that comes with the exercises.
function M.find(name)
  local own, along = place("runs", name .. ".safetensors"), shipped(name .. ".safetensors")
  if not settings.demo and files.exists(own) then return own end
  if settings.data ~= "fashion" and files.exists(along) then return along end
  fail(("%s is missing: run exercise %d first"):format(settings.demo and along or own,
    TRAINED_BY[name:match "^[^_]+"] or 9))
end

--- Writes a model's weights to runs/name.safetensors, and with them how they were trained.
function M.save(model, name, epochs)
  local path = place("runs", name .. ".safetensors")
  local ok, message = pcall(safetensors.save, path, model:state(), {metadata = {recipe = settings.recipe,
    seed = tostring(settings.seed), epochs = tostring(epochs), data = settings.data}})
  if not ok then fail(message) end
  record.weights{name = name, trained = true, recipe = settings.recipe, seed = tostring(settings.seed),
    epochs = tostring(epochs), data = settings.data}
  print("weights written to " .. path)
end

--- Gives a model its weights; says which, and how they were trained if that is known.
function M.load(model, name)
  local path = M.find(name)
  local state, made = safetensors.load(path)
  if not state then fail(made) end
  record.weights{name = name, trained = false, recipe = made.recipe, seed = made.seed, epochs = made.epochs,
    data = made.data}
  print(("%s: weights from %s"):format(name, path) .. (made.recipe and
    (" (%s recipe, seed %s, epochs %s, data %s)"):format(made.recipe, made.seed, made.epochs, made.data) or ""))
  return model:load_state(state):eval()
end

--- A training run whose log and checkpoint lie in runs/ under a name; with --resume it goes on where it was.
-- @tparam string name
-- @tparam table opts as latent.train has them
function M.run(name, opts)
  opts.log, opts.checkpoint = place("runs", name .. ".jsonl"), place("runs", name .. ".ckpt")
  opts.resume, opts.progress = settings.resume, name
  opts.settings = {recipe = settings.recipe, data = settings.data}
  local run, message = training.new(opts)
  if not run then fail(message) end
  run.name = name
  if run.resumed then print(("%s: goes on after step %d"):format(name, run.steps)) end
  return run
end

--- Seconds that a training step takes here and now, 0 where the set has too few batches to tell.
-- @tparam Module model it is trained for the while
-- @tparam table set
-- @tparam int batch
-- @tparam function loss of (model, x)
-- @treturn number
function M.seconds_a_step(model, set, batch, loss)
  local opt, clock, steps = optim.Adam(model:parameters()), nil, 0
  for b in data.loader(set, {batch = batch}) do
    if steps == 5 then clock = lt.clock() end -- the first ones get their memory
    opt:zero_grad()
    loss(model, b.x):backward()
    opt:step()
    steps = steps + 1
    if steps == 35 then break end
  end
  return clock and (lt.clock() - clock) / (steps - 5) or 0
end

local STATUS = {INT = 130, TERM = 143} -- what a shell has for a program that a signal ended

--- Writes the weights of a run that has ended. One that was stopped ends the script, and so does one that has lost
-- its way.
function M.finish(run)
  if run.stopped == "diverged" then fail(("%s: %s: try a lower --lr"):format(run.name, run.message)) end
  if STATUS[run.stopped] then
    print(("%s: %s; the same command with --resume goes on from there"):format(run.name, run.message))
    os.exit(STATUS[run.stopped])
  end
  M.save(run.model, run.name, run.epochs)
end

--- The entries of a log: runs/name.jsonl, in the demo the one that comes with the exercises.
function M.read_log(name)
  local path = settings.demo and shipped(name .. ".jsonl") or place("runs", name .. ".jsonl")
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

--- What a field of a log does from the first epoch to the last, in words.
function M.course(log, field)
  local first, last = log[1][field], log[#log][field]
  if #log == 1 then return ("is %.3f after the only epoch"):format(last) end
  local verb = last < first and "falls" or last > first and "rises" or "stays"
  return ("%s from %.3f to %.3f over %d epochs"):format(verb, first, last, #log)
end

--- The answers so far, by key.
function M.answers()
  local text = files.read_all(place("runs", "answers.json"))
  return text and json.decode(text) or {}
end

local function write_answers(all)
  local ok, message = files.write_atomic(place("runs", "answers.json"), json.encode(all, {indent = 2}))
  if not ok then fail(message) end
end

--- Adds answers to runs/answers.json: a table from keys such as "ex1.test_mse" to numbers or lists, or to false where
-- there is none (any more).
function M.answer(values)
  local all = M.answers()
  for key, value in pairs(values) do all[key] = value or nil end
  write_answers(all)
end

--- Forgets the answers and records of earlier runs, but for those of other exercises than those from first to last.
function M.forget_answers(first, last)
  for exercise = first, last do os.remove(place("runs", record.name(exercise))) end
  local kept = {}
  for key, value in pairs(M.answers()) do
    local exercise = tonumber(key:match "^ex(%d+)%.")
    if exercise and (exercise < first or exercise > last) then kept[key] = value end
  end
  if next(kept) then write_answers(kept) else os.remove(place("runs", "answers.json")) end
end

local function note(item)
  local ok, message = record.add(item)
  if not ok then fail(message) end
end

--- Saves a figure in plots/ and says so.
function M.figure(figure, name)
  local ok, path = pcall(figure.save, figure, place("plots", name))
  if not ok then fail(path) end
  print("figure " .. path)
  note{kind = "figure", file = name, shows = figure.kind, title = figure.title}
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

--- The class that a class is most often taken for, and for what share of its images, %. Classes are 0..9.
function M.mistaken(answers, labels, class)
  local own, most, share = labels:eq(class), nil, -1
  for other = 0, 9 do
    local count = other ~= class and (own * answers:eq(other)):sum():item() or -1
    if count > share then most, share = other, count end
  end
  return most, 100 * share / own:sum():item()
end

--- Values with their names, the largest first: {{name =, value =, index =}, ...}.
function M.ranked(values, names)
  local list = {}
  for i, value in ipairs(values) do list[i] = {name = names[i], value = value, index = i} end
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

--- How often the nearest training code has the right label: percentages a class, and their mean.
function M.nearest_accuracy(encode, train, test)
  return M.accuracy(M.nearest_labels(M.map(train, encode), train.labels, M.map(test, encode)), test.labels)
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

--- How many images a classifier is more than 90 % sure of (`sure`), how many `classes` occur among them, and
-- what share of them the `commonest` class has, %.
function M.readable(classifier, images)
  local seen, certainty = M.classify(classifier, images)
  local sure, classes, most = certainty:gt(0.9), 0, 0
  for class = 0, 9 do
    local count = (sure * seen:eq(class)):sum():item()
    classes, most = classes + (count > 0 and 1 or 0), math.max(most, count)
  end
  local n = math.tointeger(sure:sum():item())
  return {sure = n, classes = classes, commonest = n > 0 and 100 * most / n or 0}
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

--- Measures a VAE over a set: MSE of the pictures of the means, KL in nats an image, standard deviation of the
-- means (`spread`) and of the codes with their own spread about them (`total`).
function M.evaluate_vae(model, set)
  local mse, kl, variance = M.mean_over(set, function(x)
    local mu, log_var = model:encode(x)
    return lt.mse_loss(model:decode(mu), x), lt.gaussian_kl(mu, log_var), log_var:exp():mean()
  end)
  local std = M.map(set, function(x) return (model:encode(x)) end):std(1)
  return {mse = mse, kl = kl, spread = std:mean():item(), total = (std:square():mean():item() + variance) ^ 0.5}
end

--- What share of a square grid's cells [#axis * #axis] no further than 2 from the origin, where a standard
-- normal code mostly lies, has a code of the set within a cell's width, %.
function M.occupied(codes, axis)
  local grid = M.grid(axis, axis)
  local near = grid:norm(2):le(2)
  local _, distance = lt.knn(codes, grid, 1)
  local filled = distance:reshape(-1):le(axis[2] - axis[1]) * near
  return near:sum():item() > 0 and 100 * filled:sum():item() / near:sum():item() or 0
end

--- Prints rows of a table with a title; numbers with one decimal.
function M.print_table(title, head, rows)
  print("\n" .. title)
  local first = 26
  for _, row in ipairs(rows) do first = math.max(first, #row[1] + 1) end
  local shown = {}
  local function line(cells)
    local parts, texts = {}, {}
    for i, cell in ipairs(cells) do
      local text = type(cell) == "number" and ("%.1f"):format(cell) or tostring(cell)
      texts[i] = text
      local width = i == 1 and first or math.max(8, #head[i] + 1)
      parts[i] = i == 1 and text .. (" "):rep(width - #text) or (" "):rep(width - #text) .. text
    end
    print("  " .. table.concat(parts))
    shown[#shown + 1] = texts
  end
  line(head)
  for _, row in ipairs(rows) do line(row) end
  note{kind = "table", title = title, rows = shown} -- the head first
end

--- Whether what the answer sheet says can be compared with: it is about MNIST's digits.
function M.has_sheet() return settings.data ~= "fashion" end

--- Prints percentages a class beside those of the answer sheet (ten, and their `mean`), which are about digits.
function M.compare(title, names, accuracy, mean, label, theirs)
  M.print_table(title, {"", "mean", table.unpack(names)}, {{"ours", mean, table.unpack(accuracy)},
    M.has_sheet() and {label, theirs.mean, table.unpack(theirs)} or nil})
end

--- Prints a paragraph, broken into lines of at most 100 characters.
function M.say(format, ...)
  local line, text = "", format:format(...)
  note{kind = "text", text = (text:gsub("%s+", " "))}
  for word in text:gmatch "%S+" do
    if #line + #word + 1 > 100 then
      print(line)
      line = ""
    end
    line = line == "" and word or line .. " " .. word
  end
  print(line .. "\n")
end

return M
