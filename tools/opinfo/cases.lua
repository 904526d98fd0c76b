--- A set of cases on disk, as generate.py writes it and describes it: reading, running, keeping the results.
local lt, nn = require "latent", require "latent.nn"
local fft, linalg, optim = require "latent.fft", require "latent.linalg", require "latent.optim"
local files, json, npz = require "latent.base.files", require "latent.json", require "latent.npz"

local M = {}

local function path_of(folder, set, op, extension) return ("%s/%s_%s%s"):format(folder, set, op, extension) end

--- Whether an operator of PyTorch goes by a name: its own, or its own without the variant ("max" of "max.binary").
function M.is_named(op, name) return op == name or op:match "^(.*)%.[^.]*$" == name end

--- Reads a set's samples.
-- @tparam string folder
-- @tparam string set its name
-- @treturn ?{table,...} lists of samples by operator, in the file's order: {op =, samples = {...}}
-- @treturn ?string the message where it cannot be read
function M.read(folder, set)
  local path = ("%s/%s.json"):format(folder, set)
  local text, message = files.read_all(path)
  if not text then return nil, message end
  local samples
  samples, message = json.decode(text)
  if not samples then return nil, path .. ": " .. message end
  local list, by_op = {}, {}
  for _, sample in ipairs(samples) do
    local op = by_op[sample.op]
    if not op then
      op = {op = sample.op, samples = {}}
      by_op[sample.op], list[#list + 1] = op, op
    end
    op.samples[#op.samples + 1] = sample
  end
  return list
end

-- [N, C] or [N, L, C] as the images that a layer wants.
local function four_axes(x)
  local shape = x.shape
  while #shape < 4 do table.insert(shape, 2, 1) end
  return lt.reshape(x, shape)
end

-- What a case's call gives: its value and the gradients of the inputs that want one, by the arrays' names.
local function run(case, arrays, double)
  local inputs = {}
  for i, name in ipairs(case.ins) do
    local t = arrays[case.id .. "_" .. name] or error("the array " .. name .. " is missing", 0)
    if double then t = t:double() end
    inputs[i] = case.grads[i] and lt.param(t) or t
  end
  local y = case.f(lt, nn, four_axes, table.unpack(inputs))
  local results = {[case.id .. "_y"] = y:detach()}
  if case.dy then
    if not y.requires_grad then error("no gradient was recorded", 0) end
    local dy = arrays[case.id .. "_dy"]:reshape(y.shape)
    y:backward(y.dtype == "float64" and dy:double() or dy)
    for i, name in ipairs(case.ins) do
      if case.grads[i] then results[("%s_g%s"):format(case.id, name)] = inputs[i].grad or lt.zeros(inputs[i]) end
    end
  end
  return results
end

--- Runs an operator's cases, and keeps what they gave in SET_OP.got.npz.
-- @tparam string folder
-- @tparam string set
-- @tparam string op
-- @tparam ?boolean double in float64
-- @treturn table the messages of those that raised, by case; [`all`] where nothing could be run
function M.run(folder, set, op, double)
  local known = {math = math, select = select, linalg = linalg, fft = fft, optim = optim}
  local chunk, message = loadfile(path_of(folder, set, op, ".lua"), "t", known)
  local list = chunk and chunk()
  if not list then return {all = message} end
  if #list == 0 then return {} end
  local arrays
  arrays, message = npz.load(path_of(folder, set, op, ".npz"))
  if not arrays then return {all = message} end
  local raised, results = {}, {}
  for _, case in ipairs(list) do
    lt.set_default_dtype(double and "float64" or "float32")
    local ok, given = pcall(run, case, arrays, double)
    lt.set_default_dtype "float32"
    if ok then
      for name, t in pairs(given) do results[name] = t end
    else
      -- Without the place in the file of cases.
      raised[case.id] = tostring(given):gsub("^[^\n]-%.lua:%d+: ", ""):gsub("[\n\t]", " ")
    end
  end
  assert(npz.save(path_of(folder, set, op, ".got.npz"), results))
  return raised
end

--- The arrays by name: what was expected, what was given, and the inputs; empty where no case ran.
-- @treturn {[string]=Tensor}
-- @treturn {[string]=Tensor}
-- @treturn {[string]=Tensor}
function M.results(folder, set, op)
  local function load(extension)
    local path = path_of(folder, set, op, extension)
    return files.exists(path) and assert(npz.load(path)) or {}
  end
  return load ".expect.npz", load ".got.npz", load ".npz"
end

--- Writes the messages of a set: SET.errors.tsv, lines of operator, case and message.
function M.write_errors(folder, set, lines)
  assert(files.write_atomic(("%s/%s.errors.tsv"):format(folder, set),
    #lines > 0 and table.concat(lines, "\n") .. "\n" or ""))
end

return M
