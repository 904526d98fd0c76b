--- The page of a notebook, for what draws: figures and progress bars appear there instead of in a terminal.
-- @module latent.base.page
local M = {}

--- Shows a value on the page; nil where there is none. `latent.repl.kernel` sets it.
-- @function display
-- @param value a figure, or {[MIME type] = text or bytes}
-- @tparam ?string id names it: a later display of that name in the same cell takes its place
M.display = nil

local count = 0

--- A name that nothing else on the page has.
-- @treturn string
function M.new_id()
  count = count + 1
  return ("latent-%d"):format(count)
end

return M
