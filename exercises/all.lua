--- All eight exercises, each in a process of its own, and a table of our numbers beside the sheet's.
-- Exercise 4 comes first: its classifier reads the pictures of the others. Options that all of them know are
-- handed on:
--   lua5.4 exercises/all.lua --recipe sheet --seed 3
-- and with --resume, a training that is done is not done again, and one that was stopped goes on.
local runner, support = require "exercises.runner", require "exercises.support"

local SCRIPTS = {"04_classifier", "01_autoencoder", "02_latent_scatter", "03_nearest_neighbour", "05_generator",
  "06_denoise_bottleneck", "07_vae", "08_map_denoise"}

-- exercise, quantity, key of answers.json, the sheet's value (the course's measured one where marked)
local TABLE = {
  {"1", "training loss", "ex1.train_loss", "0.17"},
  {"1", "test MSE", "ex1.test_mse", "0.17 *"},
  {"3", "latent 1-NN accuracy, %", "ex3.mean", "35.4"},
  {"4", "accuracy, %", "ex4.mean", "97.1"},
  {"4", "training cross-entropy", "ex4.train_ce", ""},
  {"4", "test cross-entropy", "ex4.test_ce", ""},
  {"7", "test MSE (means)", "ex7.test_mse", "0.19 (loss)"},
  {"7", "KL, nats an image", "ex7.kl", ""},
  {"7", "latent 1-NN accuracy, %", "ex7.knn_mean", "58.4 *"},
  {"8", "noisy image, MSE", "ex8.noisy_mse", "0.250 *"},
  {"8", "bottleneck (sample), MSE", "ex8.bottleneck_mse", "0.156 *"},
  {"8", "bottleneck (mean), MSE", "ex8.bottleneck_mean_mse", "0.144 *"},
  {"8", "MAP, MSE", "ex8.map_mse", "0.093 *"},
  {"8", "MAP loss, first", "ex8.map_loss_first", "0.6"},
  {"8", "MAP loss, last", "ex8.map_loss_last", "0.35"},
  {"8", "latent 1-NN accuracy, %", "ex8.knn_mean", "81.9 *"},
}

if ... == "exercises.all" then return {scripts = SCRIPTS, table = TABLE} end -- the report asks for the lists alone

local o = support.options() -- refuses what not every exercise knows
if not (o.demo or o.resume) then support.forget_answers(1, 8) end
runner.run(SCRIPTS)
runner.table(TABLE, support.has_sheet() and "the sheet's (* the course's own weights)")
