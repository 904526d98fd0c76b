--- Calls that are right, of functions that take lists: spec/stray_names_spec.lua puts a name into each of the lists.
-- Ops that have gradients, and layers, have calls of their own in op_cases.lua and layer_cases.lua.
local data, distributions, fft = require "latent.data", require "latent.distributions", require "latent.fft"
local linalg, lt, map, nn = require "latent.linalg", require "latent", require "latent.map", require "latent.nn"
local optim, plot, schedule = require "latent.optim", require "latent.plot", require "latent.schedule"

local M = {}

local x = lt.arange(1, 6):reshape(2, 3)
local signal = lt.ones(4, 4, 2)
local weights = {lt.param(lt.ones(2)), lt.param(lt.ones(3))}
local generator = lt.generator(1)
local set = data.tensors{x = lt.ones(6, 2), y = lt.zeros(6)}
local image = lt.ones(4, 4)

local function total(a) return (a * a):sum() end

-- A posterior of two images behind a decoder of two numbers.
local decoder = nn.Linear(2, 4)
local problem = map.problem{decode = function(z) return decoder(z) end, measured = lt.ones(2, 4), latent = 2, noise = 1}
local codes = lt.ones(2, 2)

--- name, function, arguments ...
M.list = {
  {"lt.any", lt.any, x, {1, 2}}, {"lt.all", lt.all, x, {1}}, {"lt.squeeze", lt.squeeze, x, {1}},
  {"lt.broadcast_to", lt.broadcast_to, x, {4, 2, 3}}, {"lt.einsum", lt.einsum, "ij,kj->ik", {x, x}},
  {"lt.einsum", lt.einsum, {x, x}, "ij,kj->ik"}, {"lt.tensor", lt.tensor, {{1, 2}, {3, 4}}},
  {"lt.param", lt.param, {1, 2}}, {"lt.add", lt.add, x, {1, 2, 3}},
  {"lt.index_put", lt.index_put, x, {lt.tensor{1}, {2}}, 5}, {"lt.index_select", lt.index_select, x, 1, {2, 1}},
  {"lt.repeat_interleave", lt.repeat_interleave, x, {1, 2}, 1}, {"lt.meshgrid", lt.meshgrid, {lt.ones(2), lt.ones(3)}},
  {"lt.pad", lt.pad, x, {1, 1}, "constant", 2}, {"lt.roll", lt.roll, x, {1, 1}, {1, 2}},
  {"lt.reshape", lt.reshape, x, {3, 2}}, {"lt.permute", lt.permute, x, {2, 1}}, {"lt.flip", lt.flip, x, {1}},
  {"lt.quantile", lt.quantile, x, {0.5, 0.25}}, {"lt.split", lt.split, x, {1, 2}, 2}, {"lt.tile", lt.tile, x, {2, 1}},
  {"x[...]", function(key) return x[key] end, {1, {2, 3}}},
  {"x[...] =", function(key) x:clone()[key] = 1 end, {1, {2, 3}}},
  {"lt.clip_grad_norm", lt.clip_grad_norm, weights, 1}, {"lt.from_bytes", lt.from_bytes, ("\0"):rep(8), {2}},
  {"lt.full", lt.full, {2, 3}, 1}, {"lt.gather_scaled", lt.gather_scaled, lt.ones(3, 2):byte(), {1, 2}, 0, 1},
  {"lt.grad", lt.grad, weights[1] * 2, {weights[1]}, {grad_outputs = {lt.ones(2)}}},
  {"lt.grad", lt.grad, {weights[1]:sum(), weights[2]:sum()}, {weights[1], weights[2]}},
  {"lt.hessian", lt.hessian, total, {lt.ones(2)}}, {"lt.hvp", lt.hvp, total, {lt.ones(2)}, {lt.ones(2)}},
  {"lt.jacobian", lt.jacobian, total, {lt.ones(2)}}, {"lt.jvp", lt.jvp, total, {lt.ones(2)}, {lt.ones(2)}},
  {"lt.vjp", lt.vjp, total, {lt.ones(2)}},
  {"lt.ones", lt.ones, {2}}, {"lt.zeros", lt.zeros, {2}}, {"lt.rand", lt.rand, {2}}, {"lt.randn", lt.randn, {2}},
  {"lt.randint", lt.randint, 1, 6, {2}}, {"lt.set_rng_state", lt.set_rng_state, lt.rng_state()},
  {"lt.Generator:set_state", generator.set_state, generator, generator:state()},
  {"nn.AvgPool2d", nn.AvgPool2d, {2, 2}}, {"nn.Conv2d", nn.Conv2d, 1, 1, {2, 2}, {stride = {1, 2}}},
  {"nn.ConvTranspose2d", nn.ConvTranspose2d, 1, 1, {2, 2}}, {"nn.LayerNorm", nn.LayerNorm, {2, 3}},
  {"nn.AvgPool3d", nn.AvgPool3d, {2, 1, 2}}, {"nn.Conv3d", nn.Conv3d, 1, 1, {2, 2, 1}, {stride = {1, 2, 1}}},
  {"nn.ConvTranspose3d", nn.ConvTranspose3d, 1, 1, {2, 2, 1}}, {"nn.MaxPool3d", nn.MaxPool3d, {1, 2, 2}},
  {"nn.AdaptiveAvgPool2d", nn.AdaptiveAvgPool2d, {2, 1}}, {"nn.AdaptiveAvgPool3d", nn.AdaptiveAvgPool3d, {2, 1, 1}},
  {"nn.AdaptiveMaxPool2d", nn.AdaptiveMaxPool2d, {2, 1}}, {"nn.AdaptiveMaxPool3d", nn.AdaptiveMaxPool3d, {2, 1, 1}},
  {"nn.ZeroPad2d", nn.ZeroPad2d, {1, 0, 2, 1}}, {"nn.ReflectionPad2d", nn.ReflectionPad2d, {1, 0, 2, 1}},
  {"nn.ReplicationPad2d", nn.ReplicationPad2d, {1, 0, 2, 1}},
  {"nn.MaxPool2d", nn.MaxPool2d, {2, 2}}, {"nn.Sequential", nn.Sequential, {nn.ReLU(), lt.tanh}},
  {"nn.Upsample", nn.Upsample, {2, 2}}, {"nn.Reshape", nn.Reshape, {2, 3}},
  {"nn.Module:summary", decoder.summary, decoder, {1, 2}},
  {"optim.Adagrad", optim.Adagrad, weights}, {"optim.Adam", optim.Adam, weights, {betas = {0.8, 0.9}}},
  {"optim.AdamW", optim.AdamW, weights}, {"optim.RMSprop", optim.RMSprop, weights},
  {"optim.SGD", optim.SGD, weights, {lr = 1}}, {"optim.SGD", optim.SGD, {{params = weights, lr = 2}}, {lr = 1}},
  {"optim.average", optim.average, weights}, {"optim.clip_grad_norm", optim.clip_grad_norm, weights, 1},
  {"schedule.product", schedule.product, {0.5, 2}},
  {"schedule.sequence", schedule.sequence, {{0.5, steps = 3}, 2}},
  {"data.concat", data.concat, {set, set}}, {"data.subset", data.subset, set, {1, 2}},
  {"data.tensors", data.tensors, {x = lt.ones(2, 1), classes = {"a", "b"}}},
  {"data.Set:batch", set.batch, set, {1, 2}},
  {"data.Subset:batch", function(index) return data.subset(set, {1, 2, 3}):batch(index) end, {1, 2}},
  {"fft.fft2", fft.fft2, signal, {4, 4}, {1, 2}}, {"fft.ifft2", fft.ifft2, signal, {4, 4}, {1, 2}},
  {"fft.irfft2", fft.irfft2, signal, {4, 4}, {1, 2}}, {"fft.rfft2", fft.rfft2, signal, {4, 4}, {1, 2}},
  {"linalg.vector_norm", linalg.vector_norm, x, {axis = {1, 2}}},
  {"distributions.Distribution:sample", function(shape) return distributions.Normal(0, 1):sample(shape) end, {2}},
  {"distributions.Distribution:rsample", function(shape) return distributions.Normal(0, 1):rsample(shape) end, {2}},
  {"map.Problem:residual", problem.residual, problem, codes, {1, 2}},
  {"map.Problem:energy", problem.energy, problem, codes, {1, 2}},
  {"map.Problem:loss", problem.loss, problem, lt.ones(2), {1, 2}},
  {"plot.panels", plot.panels, {plot.lines{{y = {1, 2}}}}},
  {"plot.lines", plot.lines, {{y = {1, 2}, x = {0, 1}}, xrange = {0, 1}}},
  {"plot.lines", plot.lines, {{y = {1, 2}, error = {1, 2}, texts = {"a", "b"}}}},
  {"plot.scatter", plot.scatter, {points = {{1, 2}, {3, 4}}, labels = {0, 1}}},
  {"plot.histogram", plot.histogram, {{values = {1, 2, 3}}}}, {"plot.histogram", plot.histogram, {{1, 2, 3}}},
  {"plot.bars", plot.bars, {{values = {1, 2}}, names = {"a", "b"}}}, {"plot.bars", plot.bars, {{1, 2}}},
  {"plot.image", plot.image, {{{0, 1}, {1, 0}}, range = {0, 1}}}, {"plot.image", plot.image, {image}},
  {"plot.heatmap", plot.heatmap, {{{0, 1}, {1, 0}}, range = {0, 1}, xnames = {"a", "b"}}},
  {"plot.contour", plot.contour, {{{0, 1}, {1, 0}}, series = {{x = {1, 2}, y = {1, 2}}}, image = {{0, 1}, {1, 0}}}},
  {"plot.heatmap", plot.heatmap, {{{0, 1}, {1, 0}}, levels = {0.5}, series = {{y = {1, 2}}}}},
  {"plot.contour", plot.contour, {{{0, 1}, {1, 0}}, levels = {0.5}, x = {1, 2}, y = {1, 2}}},
}

--- Functions that need files or a run: the spec calls them itself.
M.apart = {}
for _, name in ipairs{"data.shards", "experiment.sweep", "experiment.Experiment:number", "experiment.Experiment:table",
  "map.Posterior:diagnose", "data.Table:tensor"} do
  M.apart[name] = true
end

return M
