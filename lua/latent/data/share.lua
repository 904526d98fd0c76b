--- Work on a whole set that several processes share, batch by batch: while one of latent.train's runs validates on
-- several ranks, each of them does some of the batches, and all get all results. Knows nothing of ranks.
-- @module latent.data.share
local M = {}

local current -- {rank, size, stream, merge} while work is shared

--- Runs f while work is shared.
-- @tparam table share `rank` from 0 and `size`; `stream(i, f)`: runs f with the random numbers of batch i;
--   `merge(results, n)`: the results of all, from those that this one has
-- @tparam function f
-- @return what f returns
function M.with(share, f)
  local before = current
  current = share
  local result = table.pack(pcall(f))
  current = before
  if not result[1] then error(result[2], 0) end
  return table.unpack(result, 2, result.n)
end

--- The results of n pieces of work, in their order.
-- @tparam int n
-- @tparam function work of the number of a piece; returns a plain value or a tensor
-- @tparam ?function skip of the number of a piece that another one does
-- @treturn table
function M.results(n, work, skip)
  local results, share = {}, current
  if not share then
    for i = 1, n do results[i] = work(i) end
    return results
  end
  return M.with(nil, function() -- what work itself does is its own
    for i = 1, n do
      if (i - 1) % share.size == share.rank then
        results[i] = share.stream(i, work)
      elseif skip then
        skip(i)
      end
    end
    return share.merge(results, n)
  end)
end

return M
