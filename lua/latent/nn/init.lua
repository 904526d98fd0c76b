--- Neural networks: layers, containers and models of one's own.
-- @module latent.nn
require "latent" -- tensors get their methods, and errors the user's line
local core = require "latent.core"
local options = require "latent.base.options"
local initial = require "latent.nn.initial"
local fuse = require "latent.nn.fuse"
local module = require "latent.nn.module"
local whole = require "latent.nn.whole"

local M = {is_module = module.is_module,
  Module = core.at_most(module.new, 1, "nn.Module", "parts, forward and all else stand in the one table")}
module.library = M -- layers ask it for `fuse`

--- `nn.fuse = false` makes every layer compute by itself, in its place: no blocks of a Sequential's layers, no ReLU
-- that waits for the max pool behind it (see latent.nn.fuse), and no batch norm in one pass with the sum and the
-- rectifier behind it, which are found wherever they are called: in training, and in evaluation where no gradient is
-- recorded.
M.fuse = true

for _, part in ipairs{"layers", "convolution", "pooling", "pixels", "normalization", "activations", "recurrent",
  "attention", "losses", "reparameterize"} do
  for name, class in pairs(require("latent.nn." .. part)) do M[name] = class end
end

--- First values of weights: nn.init.xavier_uniform_(layer.weight) and its like.
M.init = initial

-- A plain function as a layer.
local Function = module.class("Function", {})
function Function:init(f) self.f = f end
function Function:forward(x) return self.f(x) end
function Function.text() return "a function" end

--- Layers one after the other; `model[2]` is the second. A plain function of a tensor is a layer too, without
-- parameters: `nn.Sequential{nn.Linear(2, 2), lt.tanh}`.
-- @function Sequential
-- @tparam {Module|function,...} layers
-- @treturn Module
M.Sequential = module.class("Sequential", {})

function M.Sequential:init(layers)
  if type(layers) ~= "table" or module.is_module(layers) then
    core.raise("nn.Sequential: expected a list of layers in braces, got "
      .. options.describe(layers))
  end
  for i, layer in ipairs(layers) do
    if type(layer) == "function" then
      layer = Function(layer)
    elseif not module.is_module(layer) then
      core.raise(("nn.Sequential: layer %d: expected a module or a function, got %s"):format(i,
        options.describe(layer)))
    end
    self[i] = layer
  end
  for key in pairs(layers) do
    if type(key) ~= "number" or not rawget(self, key) then
      core.raise(("nn.Sequential: expected a list without gaps or names, got %q"):format(tostring(key)))
    end
  end
end

function M.Sequential:torch_layout(value, flow)
  for i = 1, #self do value = flow:through(self[i], value) end
  return value
end

function M.Sequential:forward(x)
  if M.fuse and not module.is_tracing() then return fuse.run(self, x) end
  for i = 1, #self do x = self[i](x) end
  return x
end

--- Saves a whole model of the library's layers, atomically: which they are, with which options, and their weights. A
-- safetensors file, of which other programs see the weights. A model with a function of its own (nn.Module) has code,
-- which no file holds: save its `state()`, and make it anew before `load_state`.
-- @tparam string path
-- @tparam Module model
-- @treturn boolean true
-- @raise where the file cannot be written, or part of the model is no layer of the library
function M.save(path, model) return whole.save(M, path, model) end

--- Loads a whole model. Nothing in the file is executed.
-- @usage local model = assert(nn.load "digits.model")
-- @tparam string path of a file by `nn.save`
-- @treturn ?Module nil where the file is missing, damaged, or holds no whole model
-- @treturn ?string the message then
function M.load(path) return whole.load(M, path) end

return setmetatable(M, require("latent.base.foreign").asked("nn", "nn"))
