--- What became of the samples of a set: each is passed, rounding, failed, refused, inexpressible or too large.
local shapes = require "latent.base.shapes"
local accepted, cases, compare = require "tools.opinfo.accepted", require "tools.opinfo.cases",
  require "tools.opinfo.compare"

local M = {}

local function names(list, op)
  for name in list:gmatch "%S+" do
    if cases.is_named(op, name) then return true end
  end
  return false
end

-- The differences that may occur in one array of a sample.
local function differences_of(set, sample, name)
  local list = {}
  for _, d in ipairs(accepted.differences) do
    local here = (not d.set or d.set == set) and (not d.desc or sample.desc:find(d.desc))
    if here and name:find(d.arrays) and names(d.ops, sample.op) then list[#list + 1] = d end
  end
  return list
end

-- The inputs of the shape that the array has, as flat lists.
local function inputs_like(want, sample, name, arrays)
  local target, list = want[sample.case .. "_" .. name], {}
  local shape = target and shapes.text(target)
  for _, more in ipairs{"", "2"} do
    for letter in ("abcdefghijklmnopqrstuvw"):gmatch "." do
      local input = arrays[sample.case .. "_" .. letter .. more]
      if input and shapes.text(input) == shape then list[#list + 1] = input:float():reshape(-1):table() end
    end
  end
  return list
end

-- array -> the function that excuses its elements, or nil. `used` counts by difference.
local function excuses(set, sample, want, arrays, used)
  return function(name)
    local differences = differences_of(set, sample, name)
    if #differences == 0 then return nil end
    local inputs
    return function(a, b, n)
      inputs = inputs or inputs_like(want, sample, name, arrays)
      local at = {}
      for i, list in ipairs(inputs) do at[i] = list[n] end
      for _, d in ipairs(differences) do
        if d.excused(a, b, at) then
          used[d] = (used[d] or 0) + 1
          return true
        end
      end
    end
  end
end

-- The accepted refusal that a message is, or nil.
local function refusal_of(message)
  for _, refusal in ipairs(accepted.refusals) do
    if message:find(refusal[1]) then return refusal end
  end
end

-- A sample that raised: refused where that is accepted, else failed.
local function raised_result(message, used)
  local refusal = refusal_of(message)
  if not refusal then return {verdict = "failed", error = math.huge, text = "raised: " .. message} end
  used[refusal] = (used[refusal] or 0) + 1
  return {verdict = "refused", text = refusal[2], message = message}
end

local function judge(set, sample, message, results, used, double)
  if sample.large then return {verdict = "large"} end
  if sample.no or sample.gen_error then
    return {verdict = "inexpressible", text = sample.no or "PyTorch raised: " .. sample.gen_error}
  end
  if message then return raised_result(message, used) end
  local want, got, inputs = results()
  return compare.case(sample, want, got, inputs, excuses(set, sample, want, inputs, used), double)
end

--- Runs a set and judges it.
-- @tparam string folder
-- @tparam string set
-- @tparam ?function wants op -> whether it is to be run (default: all)
-- @tparam table used counts what of accepted.lua occurred, by its entries
-- @tparam ?boolean double in float64
-- @treturn ?{table,...} results: op, set, sample, verdict, error, text, message
-- @treturn ?string the message where the set cannot be read
function M.of(folder, set, wants, used, double)
  local ops, message = cases.read(folder, set)
  if not ops then return nil, message end
  local list, errors = {}, {}
  for _, entry in ipairs(ops) do
    if not wants or wants(entry.op) then
      local raised = cases.run(folder, set, entry.op, double)
      local loaded
      local function results()
        loaded = loaded or {cases.results(folder, set, entry.op)}
        return table.unpack(loaded)
      end
      for _, sample in ipairs(entry.samples) do
        local error_text = raised[sample.case] or raised.all
        if error_text and sample.code then
          errors[#errors + 1] = table.concat({set .. "_" .. entry.op, sample.case, error_text}, "\t")
        end
        local result = judge(set, sample, error_text, results, used, double)
        result.op, result.set, result.sample = entry.op, set, sample
        list[#list + 1] = result
      end
    end
  end
  cases.write_errors(folder, set, errors)
  return list
end

return M
