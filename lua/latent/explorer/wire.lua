--- Requests and answers between the page and its worker: a head in JSON, and behind it the elements of tensors.
-- @module latent.explorer.wire
local lt = require "latent"
local json = require "latent.json"

local M = {}

--- A request or an answer as bytes: the length of the head (4 bytes, little-endian), the head with the tensors' shapes
-- in `shapes`, the tensors' elements as float32.
-- @tparam table head
-- @tparam ?{Tensor,...} tensors
-- @treturn string
function M.pack(head, tensors)
  local shapes, parts = {}, {}
  for i, tensor in ipairs(tensors or {}) do
    shapes[i] = json.array(tensor.shape)
    parts[i + 1] = tensor:float():bytes()
  end
  head.shapes = json.array(shapes)
  parts[1] = ("<s4"):pack(json.encode(head, {nan = "null"}))
  return table.concat(parts)
end

--- The reverse. @tparam string bytes @treturn table head @treturn {Tensor,...}
function M.unpack(bytes)
  local text, at = ("<s4"):unpack(bytes)
  local head, tensors = assert(json.decode(text)), {}
  for i, shape in ipairs(head.shapes or {}) do
    local size = 4
    for _, n in ipairs(shape) do size = size * n end
    tensors[i] = lt.from_bytes(bytes:sub(at, at + size - 1), shape, "float32")
    at = at + size
  end
  return head, tensors
end

--- What answers requests: the method that a request names with `op`; errors are answers too, with `error`.
-- @tparam table object
-- @treturn function of a request's bytes; returns those of the answer
function M.server(object)
  return function(bytes)
    local ok, head, tensors = pcall(function()
      local request, given = M.unpack(bytes)
      local method = object[request.op]
      if type(method) ~= "function" then error(("no request %q"):format(tostring(request.op)), 0) end
      return method(object, request, table.unpack(given))
    end)
    if not ok then head, tensors = {error = tostring(head)}, nil end
    return M.pack(head, tensors)
  end
end

return M
