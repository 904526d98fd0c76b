--- Trying what may fail, without swallowing what is no failure of it.
-- @module latent.base.attempt

local PASSING = {
  "interrupted!?$", -- Ctrl-C: the core's, and with "!" that of the interpreter
  "not enough memory",
  "out of memory",
}

--- As pcall, but an interruption or a lack of memory goes its way as if there were none: nobody may take it for a
-- damaged file or a wrong argument.
-- @tparam function f
-- @param ... its arguments
-- @return true and f's results, or false and the error
return function(f, ...)
  local results = table.pack(pcall(f, ...))
  local message = results[2]
  if not results[1] and type(message) == "string" then
    for _, pattern in ipairs(PASSING) do
      if message:find(pattern) then error(message, 0) end
    end
  end
  return table.unpack(results, 1, results.n)
end
