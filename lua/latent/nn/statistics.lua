--- Whose statistics batch norm takes: those of the rows it is given, or, where ranks share a step, those of all ranks.
-- @module latent.nn.statistics
local M = {}

--- Sums a tensor over the ranks, with its gradient, in the same order on each. latent.train.parts sets it while the
-- body of the loop runs; nil otherwise.
M.sum_over_ranks = nil

return M
