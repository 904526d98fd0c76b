--- Finds what is documented about a word: in names, in the comments' sentences, by what others call it.
-- @module latent.help.search
local foreign = require "latent.base.foreign"

local M = {}

-- What people ask for, and the words that the library has for it. Two words are joined by "_".
local SYNONYMS = {
  ["concat concatenate append join"] = "cat stack",
  ["csv spreadsheet"] = "read_log table npy npz",
  ["denoise denoising noise deblur inpaint inpainting inverse restore"] = "noisy map problem operator",
  ["initial initialise initialize init"] = "uniform bound start",
  ["confusion confusion_matrix accuracy precision recall"] = "argmax one_hot knn_accuracy eq",
  ["save store export"] = "save safetensors onnx checkpoint state",
  ["onnxruntime deploy tensorrt openvino"] = "onnx",
  ["load import pretrained restore"] = "load safetensors load_state resume",
  ["resume continue interrupt crash"] = "resume checkpoint",
  ["lr learning_rate decay warmup annealing"] = "schedule lr",
  ["early_stopping overfit overfitting"] = "patience",
  ["regularise regularize regularization l2"] = "weight_decay dropout beta",
  ["deconvolution unpool transposed"] = "conv_transpose2d upsample_nearest",
  ["gpu cuda parallel cores"] = "threads set_threads",
  ["reproduce reproducible deterministic rng seed"] = "manual_seed generator rng_state",
  ["memory leak oom free"] = "close trim info",
  ["slow speed fast bench timing time"] = "profile threads clock",
  ["nan inf debug explode diverge"] = "check_finite clip_grad_norm",
  ["mcmc hmc nuts uncertainty posterior"] = "sample posterior draws",
  ["optimizer optimiser optimizers"] = "optimiser adam sgd",
  ["transform augment augmentation data_augmentation crop"] = "flip slice resize_bilinear noisy",
  ["scale normalise normalize normalization standardise"] = "layer_norm group_norm batchnorm2d mean std",
  ["size dimensions dims"] = "shape size dim numel",
  ["mask index select filter"] = "where gather_rows slice",
  ["plot draw graph chart curve"] = "plot lines figure",
  ["heatmap matrix imshow"] = "image image_grid",
  ["hist distribution density"] = "histogram",
  ["pca tsne projection embedding"] = "svd scatter latent codes",
  ["kl divergence"] = "gaussian_kl elbo",
  ["likelihood loss criterion objective"] = "mse_loss cross_entropy bce_with_logits gaussian_nll loss",
  ["neighbour neighbor nearest distance"] = "knn",
  ["train fit loop epoch"] = "run new",
  ["dataset dataloader batches minibatch"] = "loader mnist batch",
  ["summary parameters count layers"] = "summary parameters",
  ["weight weights"] = "parameters state tensors",
  ["sort order"] = "table argmax",
  ["gradient grad backprop autograd derivative"] = "backward grad param op",
  ["jpeg png bmp picture photo"] = "image",
}

local WEIGHT = {last = 100, foreign = 90, part = 60, inside = 40, first = 20, first_start = 12, rest = 8,
  rest_start = 5, anywhere = 2}
local SYNONYM = 1 / 8 -- of these: what an entry says itself counts more
local PREFIX = 4 -- letters that are enough to find a longer word

local by_word -- what stands for a word: lists of words

local function synonyms_of(word)
  if not by_word then
    by_word = {}
    for asked, ours in pairs(SYNONYMS) do
      for name in asked:gmatch "%S+" do
        by_word[name] = by_word[name] or {}
        for other in ours:gmatch "%S+" do table.insert(by_word[name], other) end
      end
    end
  end
  return by_word[word] or {}
end

-- Without the endings of plurals and verbs; no matter if what is left is no word.
local function stem(word)
  local base = word:gsub("([^s])s$", "%1")
  base = base:gsub("ing$", ""):gsub("ed$", "")
  if #base <= #word - 2 then base = base:gsub("(%a)%1$", "%1") end -- clipping, clip
  base = base:gsub("e$", "")
  return #base >= 3 and base or word
end

-- Adds the words of a text, and those within names such as max_pool2d.
local function add_words(set, text)
  for word in text:lower():gmatch "[%w_]+" do
    set[stem(word)] = true
    for part in word:gmatch "%a+" do set[stem(part)] = true end
  end
end

-- "nn.LayerNorm" as {layernorm, layer, norm, nn}
local function name_words(name)
  local set = {}
  add_words(set, name)
  add_words(set, (name:gsub("(%l)(%u)", "%1 %2")))
  return set
end

local function texts_of(entry)
  if entry.op then
    local names = {}
    for i, param in ipairs(entry.op.params) do names[i] = param.name end
    return entry.op.doc, table.concat(names, " ")
  end
  local rest = {}
  for i, tag in ipairs(entry.tags) do
    local typed = tag[1] == "tparam" or tag[1] == "treturn" or tag[1] == "tfield"
    rest[i] = typed and tag[2]:gsub("^%S+%s*", "") or tag[2]
  end
  for _, row in ipairs(entry.options or {}) do rest[#rest + 1] = row.name .. " " .. row.text end
  return entry.tags[1][2], table.concat(rest, " ")
end

local function first_sentence(text)
  text = text:gsub("%s+", " ")
  return (text:match "^(.-[.:;])%s" or text):match "^(.-)[:;]?$" -- what comes behind a colon is not shown
end

-- crossentropy, cross_entropy and CrossEntropy are one.
local function joined(name) return (name:lower():gsub("_", "")) end

local function indexed(entry)
  local text, rest = texts_of(entry)
  local item = {name = entry.name, joined = joined(entry.name), summary = first_sentence(text),
    text = (text .. " " .. rest):lower(), names = name_words(entry.name), first = {}, rest = {}}
  item.last = item.joined:match "[^.:]+$"
  add_words(item.first, item.summary)
  add_words(item.rest, text .. " " .. rest)
  return item
end

local function starts_one(set, word)
  if #word < PREFIX then return false end
  for other in pairs(set) do
    if other:sub(1, #word) == word then return true end
  end
  return false
end

local function plain_score(item, word)
  local base, whole = stem(word), joined(word)
  if item.last == whole then return WEIGHT.last end
  if item.names[base] then return WEIGHT.part end
  if #word > 2 and item.joined:find(whole, 1, true) then return WEIGHT.inside end
  if item.first[base] then return WEIGHT.first end
  if starts_one(item.first, base) then return WEIGHT.first_start end
  if item.rest[base] then return WEIGHT.rest end
  if starts_one(item.rest, base) then return WEIGHT.rest_start end
  return #word > 2 and item.text:find(word, 1, true) and WEIGHT.anywhere or 0
end

-- The names in what is to be written for a name of another library.
local function foreign_names(word)
  local names = {}
  for _, which in ipairs{"tensor", "lt", "nn", "optim", "data", "plot", "schedule", "module", "optimiser"} do
    for name, text in pairs(foreign[which]) do
      if name:lower() == word then
        for module in text:gmatch '"latent%.([%w_]+)"' do names[module] = true end
        for found in text:gmatch "[%a_]+[.:][%w_]+" do
          names[found] = true
          names[found:gsub("^x:", "lt.")] = true
          names[found:gsub("^x:", "Tensor:")] = true
          names[found:gsub("^model:", "nn.Module:")] = true
          names[found:gsub("^opt:", "optim.Optimizer:")] = true
        end
      end
    end
  end
  return names
end

-- How well an entry answers one word of a question.
local function score(item, word, others, abroad)
  local best = plain_score(item, word)
  if abroad[item.name] then best = math.max(best, WEIGHT.foreign) end
  for _, other in ipairs(others) do
    local found = plain_score(item, other)
    if found >= WEIGHT.rest then best = math.max(best, found * SYNONYM) end
  end
  return best
end

local function questions(text)
  local list = {}
  text = text:lower():gsub("%s+", " ")
  synonyms_of "" -- has read them
  for phrase in pairs(by_word) do
    local spoken, times = phrase:gsub("_", " ")
    if times > 0 then text = text:gsub(spoken, phrase) end
  end
  for word in text:gmatch "[%w_]+" do
    list[#list + 1] = {word = word, others = synonyms_of(word), abroad = foreign_names(word)}
  end
  return list
end

local items, of -- the index, and of which entries it is

--- Searches.
-- @tparam {table,...} entries as latent.help.index makes them
-- @tparam string text one or more words
-- @tparam function rank of an entry's name: of equally good ones, the lower comes first
-- @treturn {table,...} each {name, summary}, the best first; those that answer all words, else some
function M.find(entries, text, rank)
  if of ~= entries then
    items, of = {}, entries
    for i, entry in ipairs(entries) do items[i] = indexed(entry) end
  end
  local asked, whole, part, seen = questions(text), {}, {}, {}
  for _, item in ipairs(items) do
    local sum, answered = 0, 0
    for _, question in ipairs(asked) do
      local points = score(item, question.word, question.others, question.abroad)
      sum, answered = sum + points, answered + (points > 0 and 1 or 0)
    end
    if sum > 0 and not seen[item.name] then
      seen[item.name] = true
      local list = answered == #asked and whole or part
      list[#list + 1] = {name = item.name, summary = item.summary, score = sum, rank = rank(item.name)}
    end
  end
  local found = #whole > 0 and whole or part
  table.sort(found, function(a, b)
    if a.score ~= b.score then return a.score > b.score end
    if a.rank ~= b.rank then return a.rank < b.rank end
    return a.name < b.name
  end)
  for i, item in ipairs(found) do found[i] = {name = item.name, summary = item.summary} end
  return found
end

return M
