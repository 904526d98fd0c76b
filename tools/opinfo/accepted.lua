--- What is known to differ from PyTorch on purpose. Whatever is not here and differs is a failure.
local function is_nan(x) return x ~= x end

local M = {}

--- Errors that we raise where PyTorch computes: patterns of the message.
M.refusals = {
  {'^pad: pad: "replicate" reaches at most 0', "nothing is left to repeat"},
  {": a scalar has none, got ", "a scalar has no axis"},
  {"^linear: weight: expected %[in, out%]", "a weight has two axes"},
  {"^cat: axis: expected 1%.%.1 or", "an empty list is no image"},
  {"^[%w_.]+: eps: expected a[%w >=]*, got %-", "a negative eps is a mistake"},
  {"^BatchNorm%dd%(%d+%): training needs more than one value per channel, got %[0,", "no pictures have no mean"},
  {"^fft%.%w+_window: n: expected a whole number of at least 1", "a window of no samples"},
  {"^clamp: expected min, max or both, min not above max", "bounds that cross, or none, are a mistake"},
  {"^nn.Hardtanh: greatest: expected above", "bounds that cross, or none, are a mistake"},
}

--- Elements that may differ: `ops` (PyTorch's names, without variants), `arrays` (a pattern: y, or g of an input) and
-- `excused(a, b, inputs)`: of ours, the expected one, and the elements at that place of the inputs of that shape.
-- `set` and `desc` (a pattern) name samples where that cannot be told from the elements.
M.differences = {
  {ops = "acosh", arrays = "^g", excused = function(a, _, inputs) return is_nan(a) and inputs[1] < 1 end,
    why = "where acosh is NaN its gradient is too; PyTorch's is a number"},
  {ops = "digamma", arrays = "^g", excused = function(a, _, inputs)
      return math.abs(a) == math.huge and inputs[1] <= 0 and inputs[1] % 1 == 0
    end,
    why = "the gradient at a pole is infinite; PyTorch's is a rounded pi, squared"},
  {ops = "polygamma special.polygamma", arrays = "^[yg]",
    excused = function(a, b, inputs)
      return inputs[1] == math.huge and is_nan(b) and a == 0 or inputs[1] == -math.huge and is_nan(a)
    end,
    why = "derivatives of digamma vanish at infinity, and have no limit at -infinity; PyTorch's series is NaN or -inf"},
  {ops = "nn.functional.margin_ranking_loss", arrays = "^g", excused = function(_, b, inputs)
      for _, x in ipairs(inputs) do
        if is_nan(x) and b == 0 then return true end
      end
      return false
    end,
    why = "the gradient at a term that is NaN passes, as relu's does; PyTorch's clamp stops it"},
  {ops = "nn.functional.hinge_embedding_loss", arrays = "^[yg]",
    excused = function(_, _, inputs) return inputs[2] and math.abs(inputs[2]) ~= 1 end,
    why = "a target is 1 or -1, and by its sign if it is another; PyTorch then adds both terms"},
  {ops = "nn.GRU", arrays = "^gd$", set = "modules",
    desc = "^%(%(%('T', 3, 2%), %('T', 2, 3%)%), %(GRU%(2, 3, num_layers=2, batch_first=True%)",
    excused = function(a, b) return math.abs(a - b) < 3e-6 end,
    why = "saturated gates leave few digits of 1 - tanh^2, and tanh is right to 1.4 last places here (PyTorch: 0.5)"},
  {ops = "sign sgn", arrays = "^y$", excused = function(a, b) return is_nan(a) and b == 0 end,
    why = "the sign of NaN is NaN, as in NumPy; PyTorch says 0"},
  {ops = "pow", arrays = "^[yg]", excused = function(a, b, inputs)
      return inputs[1] == -math.huge and is_nan(b) or inputs[1] == 0 and a == -b and math.abs(a) == math.huge
    end,
    why = "(-inf)^0.5 is inf and (-0)^-0.5 too, as C has it; PyTorch takes roots"},
  {ops = "nn.functional.silu nn.functional.gelu", arrays = "^[yg]",
    excused = function(a, b, inputs) return math.abs(inputs[1]) == math.huge and is_nan(b) and not is_nan(a) end,
    why = "at infinity these have their limits, and so their gradients; PyTorch's product is NaN"},
  {ops = "nn.functional.binary_cross_entropy_with_logits", arrays = "^[yg]",
    excused = function(a, b, inputs) return inputs[1] and math.abs(inputs[1]) == math.huge and is_nan(b) and a >= 0 end,
    why = "the loss of an infinite logit is 0 or inf, the limit; PyTorch's is NaN"},
  {ops = "logsumexp", arrays = "^g",
    excused = function(a, b, inputs) return math.abs(inputs[1]) > 1e38 and a == b / 2 end,
    why = "two equal elements share the gradient however large; PyTorch gives all of it to both"},
  {ops = "var std", arrays = "^g", excused = function(a, b) return is_nan(a) and math.abs(b) == math.huge end,
    why = "the gradient beside an infinite element is NaN; PyTorch's is infinite"},
  {ops = "nn.functional.elu nn.functional.selu", arrays = "^g",
    excused = function(a, _, inputs) return is_nan(inputs[1]) and is_nan(a) end,
    why = "the gradient of elu at NaN is NaN; PyTorch's depends on the element's place"},
  {ops = "nn.functional.hardtanh", arrays = "^g",
    excused = function(_, b, inputs) return b == 0 and math.abs(inputs[1]) == 1 or is_nan(inputs[1]) end,
    why = "the same at the bounds of hardtanh; at NaN PyTorch's float32 and float64 differ"},
  {ops = "clamp", arrays = "^g", set = "extra",
    excused = function(_, b, inputs) return b == 0 and (math.abs(inputs[1]) == 0.5 or inputs[1] == 0) end,
    why = "the gradient passes at a bound of clamp; newer PyTorch stops it there"},
  {ops = "max min", arrays = "^g", desc = "^%(%('T', 3, 3%), %(%), {}%)$", set = "extra",
    excused = function(a, b) return a == 0 or math.abs(a) > math.abs(b) end,
    why = "the gradient of equal extrema goes to the first; PyTorch shares it out"},
}

return M
