--- Beyond the sheet: the exercises from 9 on, each in a process of its own, and a table of their numbers.
-- Exercise 9 says what it trains and how long that takes before it starts; what has been trained is kept.
--   lua5.4 exercises/beyond.lua --seed 3
local runner, support = require "exercises.runner", require "exercises.support"

local SCRIPTS = {"09_beta_tuning", "10_map_beyond"}

-- exercise, quantity, key of answers.json, what it is compared with; `none`: what is shown where there is no answer
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
  {"10", "bottleneck, MSE", "ex10.bottleneck", "0.144 (the course's weights)"},
  {"10", "MAP, the sheet's training, MSE", "ex10.map_sheet", "0.093 (the course's weights)"},
  {"10", "MAP, exercise 8's schedule, MSE", "ex10.map_schedule", ""},
  {"10", "MAP, tuned beta, MSE", "ex10.map", ""},
  {"10", "tuned beta, 16-D", "ex10.beta", "0.01 (the sheet's)"},
  {"10", "posterior mean, MSE", "ex10.posterior", ""},
  {"10", "floor (the clean image itself), MSE", "ex10.floor", "0.077 (the course's weights)"},
  {"10", "class kept, bottleneck, %", "ex10.kept_bottleneck", ""},
  {"10", "class kept, MAP, %", "ex10.kept", ""},
  {"10", "evaluations for 1000 of Adam's", "ex10.lbfgs_evaluations", "", none = "not reached"},
}

if ... == "exercises.beyond" then return {scripts = SCRIPTS, table = TABLE} end -- the report asks for the lists alone

support.options{demo = false} -- refuses what not every exercise knows
support.forget_answers(9, 10)
runner.run(SCRIPTS)
runner.table(TABLE, support.has_sheet() and "for comparison")
