--- Who is to know that the gradients of some parameters are about to be read: latent.train completes them first, where
-- a step is made in parts.
-- @module latent.optim.gradients
local M = {}

local watchers = setmetatable({}, {__mode = "k"})

--- From now on a function is called before the gradients of these parameters are read.
-- @tparam {Tensor,...} parameters
-- @tparam ?function f nil: no more
function M.watch(parameters, f)
  for _, p in ipairs(parameters) do watchers[p] = f end
end

--- To be called before the gradients of some parameters are read.
-- @tparam {Tensor,...} parameters
function M.complete(parameters)
  local f = watchers[parameters[1]]
  if f then f() end
end

return M
