--- Beyond the sheet: the exercises from 9 on, each in a process of its own, and a table of their numbers.
-- Exercise 9 says what it trains and how long that takes before it starts; what has been trained is kept.
--   lua5.4 exercises/beyond.lua --seed 3
local runner, support = require "exercises.runner", require "exercises.support"

local SCRIPTS = {"09_beta_tuning"}

-- exercise, quantity, key of answers.json, what it is compared with
local TABLE = {
  {"9", "tuned beta, 2-D", "ex9.beta", "0.01 (the sheet's)"},
  {"9", "k-NN accuracy, 2-D, warm-up, %", "ex9.knn_mean", ""},
  {"9", "1-NN accuracy, 2-D, warm-up, %", "ex9.knn1_mean", "58.4 (the course's weights)"},
  {"9", "k-NN accuracy, 2-D, constant beta, %", "ex9.knn_constant", ""},
  {"9", "beta of the learned sigma, 2-D", "ex9.sigma_beta_2d", ""},
  {"9", "beta of the learned sigma, 16-D", "ex9.sigma_beta_16d", ""},
  {"9", "MSE with beta 0.01, 2-D", "ex9.mse_sheet", ""},
  {"9", "MSE with beta 1, 2-D", "ex9.mse_beta1", ""},
  {"9", "spread of the means with beta 0.01, 2-D", "ex9.spread_sheet", ""},
  {"9", "spread of the means with beta 1, 2-D", "ex9.spread_beta1", ""},
}

support.options{demo = false} -- refuses what not every exercise knows
support.forget_answers(9, 10)
runner.run(SCRIPTS)
runner.table(TABLE, support.has_sheet() and "for comparison")
