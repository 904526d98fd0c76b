--- What experiments measure: classification, nearest neighbours, pictures, calibration.
--
-- Labels and answers are tensors [n] of whole numbers from 0, as data sets have them. Shares are from 0 to 1; the
-- option `scale = 100` gives per cent.
-- @module latent.metrics
local lt = require "latent"
local core = require "latent.core"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

local raise = core.raise

local M = {}

local function check_tensor(fname, name, x, dims)
  if not core.is_tensor(x) then
    raise(("%s: %s: expected a tensor, got %s"):format(fname, name, options.describe(x)))
  end
  if dims and x:dim() ~= dims then
    raise(("%s: %s: expected %d ax%ss, got %s"):format(fname, name, dims, dims == 1 and "i" or "e", shapes.text(x)))
  end
  return x
end

-- Answers and labels as lists of integers from 0, checked.
local function classes_of(fname, name, x)
  check_tensor(fname, name, x, 1)
  local list = x:float():table()
  for i, value in ipairs(list) do
    local class = math.tointeger(value)
    if not class or class < 0 then
      raise(("%s: %s: expected whole numbers from 0, got %s in place %d"):format(fname, name, tostring(value), i))
    end
    list[i] = class
  end
  return list
end

local function pair_of(fname, answers, labels)
  local given, truth = classes_of(fname, "answers", answers), classes_of(fname, "labels", labels)
  if #given ~= #truth then
    raise(("%s: expected as many labels as answers, got %d answers and %d labels"):format(fname, #given, #truth))
  end
  return given, truth
end

-- ---- classification ----

local SCALE = {"scale", "positive", 1, "what all answers right come to; 100 gives per cent"}
local CLASSES = {"classes", "count", nil, "how many there are (default: as many as occur)"}

local accuracy_options = options.declare("metrics.accuracy", {SCALE})

--- The share of right answers.
-- @tparam Tensor answers [n]
-- @tparam Tensor labels [n]
-- @tparam ?table opts
-- @treturn number NaN where there are none
function M.accuracy(answers, labels, opts)
  local fname = "metrics.accuracy"
  local scale = accuracy_options(opts).scale
  local given, truth = pair_of(fname, answers, labels)
  local right = 0
  for i, class in ipairs(truth) do right = right + (given[i] == class and 1 or 0) end
  return scale * right / #truth
end

local function count_of(fname, opts, ...)
  local most = -1
  for _, list in ipairs{...} do
    for _, class in ipairs(list) do most = math.max(most, class) end
  end
  local classes = opts.classes or most + 1
  if most >= classes then raise(("%s: classes: expected more than %d, got %d"):format(fname, most, classes)) end
  return classes
end

local class_options = options.declare("metrics.per_class", {SCALE, CLASSES})

--- The share of right answers for each class (its recall), and the mean over the classes.
-- @tparam Tensor answers [n]
-- @tparam Tensor labels [n]
-- @tparam ?table opts
-- @treturn {number,...} one a class; NaN for a class that has no label
-- @treturn number their mean, over the classes that occur (balanced accuracy)
function M.per_class(answers, labels, opts)
  local fname = "metrics.per_class"
  opts = class_options(opts)
  local given, truth = pair_of(fname, answers, labels)
  local right, count = {}, {}
  local classes = count_of(fname, opts, truth)
  for i, class in ipairs(truth) do
    count[class] = (count[class] or 0) + 1
    right[class] = (right[class] or 0) + (given[i] == class and 1 or 0)
  end
  local shares, occur, mean = {}, 0, 0
  for class = 0, classes - 1 do
    if count[class] then occur = occur + 1 end
    shares[class + 1] = opts.scale * (right[class] or 0) / (count[class] or 0)
  end
  for class = 0, classes - 1 do
    if count[class] then mean = mean + shares[class + 1] / occur end
  end
  return shares, occur > 0 and mean or 0 / 0
end

local confusion_options = options.declare("metrics.confusion", {CLASSES})

--- How often each class was answered for each class.
-- @tparam Tensor answers [n]
-- @tparam Tensor labels [n]
-- @tparam ?table opts
-- @treturn Tensor [classes, classes]: a row for each label, a column for each answer
function M.confusion(answers, labels, opts)
  local fname = "metrics.confusion"
  opts = confusion_options(opts)
  local given, truth = pair_of(fname, answers, labels)
  local classes = count_of(fname, opts, given, truth)
  local rows = {}
  for row = 1, classes do
    rows[row] = {}
    for column = 1, classes do rows[row][column] = 0 end
  end
  for i, class in ipairs(truth) do
    local row = rows[class + 1]
    row[given[i] + 1] = row[given[i] + 1] + 1
  end
  return classes > 0 and lt.tensor(rows) or lt.zeros(0, 0)
end

-- ---- nearest neighbours ----

local nearest_options = options.declare("metrics.nearest", {{"k", "count", 1, "neighbours that vote"}})

--- Classifies codes by the labels of their nearest neighbours (Euclidean) among known codes; where several classes have
-- as many votes, the one whose neighbour is nearest wins (Cover and Hart, 1967, for k = 1).
-- @tparam Tensor known [m, d]
-- @tparam Tensor labels [m] of the known codes
-- @tparam Tensor codes [n, d]
-- @tparam ?table opts
-- @treturn Tensor answers [n], float32
function M.nearest(known, labels, codes, opts)
  local fname = "metrics.nearest"
  local k = nearest_options(opts).k
  check_tensor(fname, "known", known, 2)
  check_tensor(fname, "labels", labels, 1)
  check_tensor(fname, "codes", codes, 2)
  if known:size(1) ~= labels:size(1) then
    raise(("%s: expected a label for each known code, got %d codes and %d labels"):format(fname, known:size(1),
      labels:size(1)))
  end
  if k > known:size(1) then
    raise(("%s: k: expected at most the %d known codes, got %d"):format(fname, known:size(1), k))
  end
  local index = lt.knn(known, codes, k)
  local near = labels:float():gather_rows(index:reshape(-1))
  if k == 1 then return near end
  local votes, answers = near:reshape(-1, k):table(), {}
  for i, row in ipairs(votes) do
    local count, best = {}, row[1]
    for _, class in ipairs(row) do count[class] = (count[class] or 0) + 1 end
    for _, class in ipairs(row) do
      if count[class] > count[best] then best = class end
    end
    answers[i] = best
  end
  return lt.tensor(answers)
end

-- ---- pictures ----

local function same_shape(fname, x, y)
  check_tensor(fname, "x", x)
  check_tensor(fname, "y", y)
  if shapes.text(x) ~= shapes.text(y) then
    raise(("%s: expected two tensors of one shape, got %s and %s"):format(fname, shapes.text(x), shapes.text(y)))
  end
end

--- The mean squared error.
-- @tparam Tensor x
-- @tparam Tensor y of the same shape
-- @treturn number
function M.mse(x, y)
  same_shape("metrics.mse", x, y)
  return lt.no_grad(function() return lt.mse_loss(x, y):item() end)
end

local PIXELS = {"range", "positive", 2,
  "the distance from the least to the greatest possible value (pixels in [-1, 1])"}

local psnr_options = options.declare("metrics.psnr", {PIXELS})

--- The peak signal-to-noise ratio, 10 log10(range^2 / MSE), in dB: over all elements together.
-- @tparam Tensor x
-- @tparam Tensor y of the same shape
-- @tparam ?table opts
-- @treturn number infinity where x and y are equal
function M.psnr(x, y, opts)
  local fname = "metrics.psnr"
  local range = psnr_options(opts).range
  same_shape(fname, x, y)
  return 10 * math.log(range ^ 2 / M.mse(x, y), 10)
end

-- A Gaussian window, normalised, as one filter [size, size, 1, 1].
local function window(size, sigma)
  local row, sum = {}, 0
  for i = 1, size do
    row[i] = math.exp(-(i - (size + 1) / 2) ^ 2 / (2 * sigma ^ 2))
    sum = sum + row[i]
  end
  for i = 1, size do row[i] = row[i] / sum end
  local w = lt.tensor(row)
  return lt.matmul(w:reshape(size, 1), w:reshape(1, size)):reshape(size, size, 1, 1)
end

local ssim_options = options.declare("metrics.ssim", {PIXELS,
  {"window", "count", 11, "the side, odd, at most height and width"}})

--- The structural similarity index (Wang, Bovik, Sheikh and Simoncelli, 2004): an 11 x 11 Gaussian window of standard
-- deviation 1.5, K1 = 0.01, K2 = 0.03, only windows that lie in the picture; the mean over windows and channels.
-- @tparam Tensor x [n, height, width, channels]
-- @tparam Tensor y of the same shape
-- @tparam ?table opts
-- @treturn Tensor [n], at most 1
function M.ssim(x, y, opts)
  local fname = "metrics.ssim"
  opts = ssim_options(opts)
  local range, size = opts.range, opts.window
  same_shape(fname, x, y)
  check_tensor(fname, "x", x, 4)
  local n, height, width, channels = table.unpack(x.shape)
  if size % 2 == 0 or size > height or size > width then
    raise(("%s: window: expected an odd number of at most %d, got %d"):format(fname, math.min(height, width), size))
  end
  return lt.no_grad(function()
    -- Each channel as a picture of its own: [n, h, w, c] -> [n * c, h, w, 1].
    local function apart(t) return t:permute{1, 4, 2, 3}:reshape(n * channels, height, width, 1) end
    local a, b = apart(x), apart(y)
    local filter = window(size, 1.5)
    local function mean(t) return lt.conv2d(t, filter) end
    local mu_a, mu_b = mean(a), mean(b)
    local var_a, var_b = mean(a * a) - mu_a * mu_a, mean(b * b) - mu_b * mu_b
    local covariance = mean(a * b) - mu_a * mu_b
    local c1, c2 = (0.01 * range) ^ 2, (0.03 * range) ^ 2
    local map = (mu_a * mu_b * 2 + c1) * (covariance * 2 + c2)
      / ((mu_a * mu_a + mu_b * mu_b + c1) * (var_a + var_b + c2))
    return map:reshape(n, -1):mean(2)
  end)
end

-- ---- calibration ----

local calibration_options = options.declare("metrics.calibration", {{"bins", "count", 15, "of equal width"}})

--- How well a classifier's probabilities mean what they say (Guo et al., 2017): answers are sorted into bins of
-- equal width by the probability of the answered class; in each bin the mean probability should be the share of right
-- answers.
-- @tparam Tensor probabilities [n, classes], rows that sum to 1
-- @tparam Tensor labels [n]
-- @tparam ?table opts
-- @treturn table `ece`, the expected calibration error (mean gap, weighted by the bins' counts); `mce`, the largest
--   gap; `brier`, the mean squared distance of the probabilities from the one-hot labels; `nll`, the mean negative
--   log-probability of the right class, in nats; `accuracy`; `confidence`, `right` and `count`: lists, one entry a bin
--   (NaN in the first two where it is empty)
function M.calibration(probabilities, labels, opts)
  local fname = "metrics.calibration"
  local bins = calibration_options(opts).bins
  check_tensor(fname, "probabilities", probabilities, 2)
  local truth = classes_of(fname, "labels", labels)
  local rows = probabilities:detach():table()
  if #rows ~= #truth then
    raise(("%s: expected a row of probabilities for each label, got %d rows and %d labels"):format(fname, #rows,
      #truth))
  end
  local sums, hits, count = {}, {}, {}
  for b = 1, bins do sums[b], hits[b], count[b] = 0, 0, 0 end
  local brier, nll, right = 0, 0, 0
  for i, row in ipairs(rows) do
    local class, answer, total = truth[i] + 1, 1, 0
    if class > #row then
      raise(("%s: labels: expected less than %d, got %d in place %d"):format(fname, #row, truth[i], i))
    end
    for k, p in ipairs(row) do
      if not (p >= 0 and p <= 1 + 1e-6) then
        raise(("%s: probabilities: expected numbers from 0 to 1, got %s in row %d"):format(fname, tostring(p), i))
      end
      if p > row[answer] then answer = k end
      total = total + p
      brier = brier + (p - (k == class and 1 or 0)) ^ 2
    end
    if math.abs(total - 1) > 1e-3 then
      raise(("%s: probabilities: expected rows that sum to 1, got %s in row %d"):format(fname, tostring(total), i))
    end
    nll = nll - math.log(row[class])
    local b = math.max(1, math.min(bins, math.ceil(row[answer] * bins)))
    local hit = answer == class and 1 or 0
    sums[b], hits[b], count[b], right = sums[b] + row[answer], hits[b] + hit, count[b] + 1, right + hit
  end
  local ece, mce, n = 0, 0, #rows
  for b = 1, bins do
    local gap = count[b] > 0 and math.abs(sums[b] - hits[b]) / count[b] or 0
    ece, mce = ece + gap * count[b] / n, math.max(mce, gap)
    sums[b], hits[b] = sums[b] / count[b], hits[b] / count[b]
  end
  return {ece = ece, mce = mce, brier = brier / n, nll = nll / n, accuracy = right / n, confidence = sums,
    right = hits, count = count}
end

return M
