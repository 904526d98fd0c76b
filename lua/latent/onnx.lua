--- Models as ONNX files, which onnxruntime and most other programs run.
--
-- What is written takes and gives what the model does here: images are [batch, height, width, channels]. Inside, what
-- ONNX wants with its channels first stays so from layer to layer, so that a network has one transposition at its
-- beginning and one where it flattens. The model is written as it is in evaluation: dropout is not there, batch norm
-- has its running statistics.
--
-- Models of float32 run everywhere; of float64 (`model:float()` makes them float32) onnxruntime lacks some operators.
--
-- All layers of the library but losses can be written; not Upsample by "area", nor adaptive pools whose windows have
-- different sizes, nor weights that are computed at each call (`nn.spectral_norm`, `nn.weight_norm`), nor recurrent
-- layers with a first state or lengths. The forward function of a module of one's own is called once: it may call
-- layers and a small set of ops, which a message tells where another one is met; what it decides by sizes is decided
-- for good.
-- @module latent.onnx
local core = require "latent.core"
local files = require "latent.base.files"
local graphs = require "latent.onnx.graph"
local lt = require "latent"
local model_bytes = require "latent.onnx.model"
local module = require "latent.nn.module"
local options = require "latent.base.options"
local trace = require "latent.onnx.trace"

local raise = core.raise

local M = {}

local NAME = "onnx.save"
local MOST_BYTES = (1 << 31) - 1 -- of a message of protocol buffers

local OPSET = options.kind("integer", "a whole number from 17 to 21", function(value)
  return math.type(value) == "integer" and value >= 17 and value <= 21 and value or nil
end)
local INPUT = options.kind("any", "a shape, a tensor, or a list of those", function(value) return value end)
local read_options = options.declare(NAME, {
  {"input", INPUT, nil, "the input's shape, {1, 28, 28, 1}, or an example of it: a tensor, which says the type too. "
    .. "Several inputs: a list of those", required = true},
  {"opset", OPSET, 17, "the version of ONNX's operators"},
  {"dynamic_batch", "boolean", false, "the first size of inputs and outputs may be any"},
  {"input_names", "list", nil, '(default: "input", or "input1", "input2", ...)'},
  {"output_names", "list", nil, '(default: "output", or "output1", "output2", ...)'},
})

-- A shape as a tensor of ones, a tensor as it is.
local function example_of(value, dtype, where)
  if core.is_tensor(value) then return value:detach() end
  options.expect(NAME, where, value, "table")
  for d, size in ipairs(value) do options.expect(NAME, ("%s: size %d"):format(where, d), size, "count") end
  if #value == 0 then raise(("%s: %s: expected a shape or a tensor, got an empty table"):format(NAME, where)) end
  return lt.ones(value, {dtype = dtype})
end

local function examples_of(input, model)
  local first = model:parameters()[1]
  local dtype = first and first.dtype or "float32"
  local several = type(input) == "table" and not core.is_tensor(input)
    and (type(input[1]) == "table" or core.is_tensor(input[1]))
  if not several then return {example_of(input, dtype, "input")} end
  local list = {}
  for i, value in ipairs(input) do list[i] = example_of(value, dtype, ("input: item %d"):format(i)) end
  return list
end

-- Names for n values, different from all others in `seen`.
local function names_of(given, stem, n, seen)
  local names = {}
  for i = 1, n do
    local name = n > 1 and stem .. i or stem
    if given then name = options.expect(NAME, ("%s_names: name %d"):format(stem, i), given[i], "string") end
    if seen[name] or name == "" then raise(("%s: %s_names: %q comes again"):format(NAME, stem, name)) end
    names[i], seen[name] = name, true
  end
  if given and #given ~= n then
    raise(("%s: %s_names: expected %d names, got %d"):format(NAME, stem, n, #given))
  end
  return names
end

-- The graph of a model in evaluation mode, which is put back.
local function graph_of(model, opts)
  local examples, g, inputs, modes = examples_of(opts.input, model), graphs.new(opts.opset), {}, {}
  local seen = {}
  local names = names_of(opts.input_names, "input", #examples, seen)
  for i, x in ipairs(examples) do
    if not model_bytes.types[x.dtype] then raise(("%s: input: %s is no type here"):format(NAME, x.dtype)) end
    inputs[i] = g:input(names[i], x)
  end
  for _, name in ipairs(opts.output_names or {}) do g:reserve(name) end
  for _, entry in ipairs(model:modules()) do modes[entry[2]] = entry[2].training end
  local _ <close> = setmetatable({}, {__close = function()
    for part, training in pairs(modes) do part.training = training end
  end})
  model:eval()
  local results = table.pack(trace.run(model, inputs))
  for i = 1, results.n do
    if not graphs.is_symbol(results[i]) then
      -- A state of an LSTM, {h, c}: what comes first is what a caller wants.
      if i > 1 then
        results.n = i - 1
        break
      end
      raise(("%s: expected a model that computes a tensor from its input, got %s"):format(NAME,
        options.describe(results[i])))
    end
  end
  names = names_of(opts.output_names, "output", results.n, seen)
  for i = 1, results.n do g:output(names[i], results[i]) end
  g:prune()
  return g
end

--- Writes a model as an ONNX file, atomically. Its weights have the names that they have in `model:state()`, and stand
-- as ONNX wants them.
-- @usage onnx.save("digits.onnx", model, {input = {1, 28, 28, 1}, dynamic_batch = true})
-- @tparam string path
-- @tparam Module model
-- @tparam table opts
-- @treturn boolean true
-- @raise where the file cannot be written, or a layer cannot be exported: the message has its path and its name
function M.save(path, model, opts)
  options.expect(NAME, "path", path, "string")
  if not module.is_module(model) then
    raise(("%s: model: expected a module, got %s"):format(NAME, options.describe(model)))
  end
  opts = read_options(opts)
  local bytes = model_bytes.bytes(graph_of(model, opts), opts)
  if #bytes > MOST_BYTES then
    raise(("%s: the file would have %d bytes, an ONNX file holds at most %d"):format(NAME, #bytes, MOST_BYTES))
  end
  local ok, message = files.write_atomic(path, bytes)
  if not ok then raise(message) end
  return true
end

return M
