--- The numbers that the exercises find: what each is, and what the answer sheet has for it; and what
-- `--recipe demo` means. "The course's weights" were measured with the weights that the course trained.
local M = {}

local SHEET, COURSE = "the sheet", "the course's weights"

-- label, unit, which way is better, what the sheet has (a number, or one a digit), whose that is
local NUMBERS = {
  ex1 = {train_loss = {"training loss", nil, "lower", 0.17, SHEET},
    test_mse = {"test MSE", nil, "lower", 0.17, SHEET}},
  ex3 = {mean = {"latent 1-NN accuracy", "%", "higher", 35.4, SHEET},
    accuracy = {"(a) Nearest-neighbour accuracy in the latent space", "%", "higher",
      {70.2, 93.4, 27.4, 22.1, 22.9, 14.9, 28.4, 28.2, 22.4, 24.1}, SHEET}},
  ex4 = {mean = {"accuracy", "%", "higher", 97.1, SHEET},
    accuracy = {"(a) Accuracy of the classifier", "%", "higher",
      {98.7, 99.1, 96.5, 97.4, 96.3, 97.4, 97.1, 96.6, 96.6, 95.5}, SHEET},
    train_ce = {"training cross-entropy", "nats", "lower"},
    test_ce = {"test cross-entropy", "nats", "lower"}},
  ex7 = {test_mse = {"test MSE (means)", nil, "lower"},
    kl = {"KL", "nats an image"}, knn_mean = {"latent 1-NN accuracy", "%", "higher", 58.4, COURSE},
    knn_accuracy = {"(b) Nearest-neighbour accuracy of the means", "%", "higher",
      {85.8, 95.8, 62.2, 45.5, 44.5, 20.7, 80.2, 73.6, 35.5, 40.4}, COURSE}},
  ex8 = {knn_mean = {"latent 1-NN accuracy", "%", "higher", 81.9, COURSE},
    map_loss_first = {"MAP loss, first", nil, nil, 0.6, SHEET},
    map_loss_last = {"MAP loss, last", nil, "lower", 0.35, SHEET},
    noisy_mse = {"noisy image, MSE", nil, nil, 0.250, COURSE},
    bottleneck_mse = {"bottleneck (sample), MSE", nil, "lower", 0.156, COURSE},
    bottleneck_mean_mse = {"bottleneck (mean), MSE", nil, "lower", 0.144, COURSE},
    map_mse = {"MAP, MSE", nil, "lower", 0.093, COURSE}},
}

--- An exercise's numbers, as Experiment:number takes them: options by name. The sheet is about digits; for
-- other pictures there is nothing to compare with.
-- @tparam string exercise "ex1"
-- @tparam Experiment e
-- @tparam {string,...} names of the classes
function M.numbers(exercise, e, names)
  local all, digits = {}, e.options.data ~= "fashion"
  for name, entry in pairs(NUMBERS[exercise]) do
    local label, unit, better, reference, source = table.unpack(entry, 1, 5)
    all[name] = {label = label, unit = unit, better = better, reference = digits and reference or nil,
      source = digits and source or nil, names = name:find "accuracy" and names or nil}
  end
  return all
end

--- The weights that come along, on the 500 images that come along: every picture within a minute.
-- @tparam ?table more further options
function M.demo(more)
  local demo = {data = "mini", reuse = true, out = "runs/demo"}
  for name, value in pairs(more or {}) do demo[name] = value end
  return demo
end

return M
