--- What the tape keeps for a node beside its numbers: hooks on its gradient, and what is to be computed once more.
-- @module latent.base.grad.keep
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"

return function(core, lt, walk)
  local raise = core.raise

  -- ---- hooks ----

  -- The hooks of a gradient, in the order in which they came.
  local Hooks = {}
  Hooks.__index = Hooks

  -- The gradient behind them. `fail` raises a message.
  function Hooks:run(grad, fail)
    for _, entry in ipairs{table.unpack(self)} do
      local fresh = entry.f(grad)
      if fresh ~= nil then
        if not core.is_tensor(fresh) or shapes.typed(fresh) ~= shapes.typed(grad) then
          fail(("register_hook: the hook: expected nil or %s, got %s"):format(shapes.typed(grad),
            core.is_tensor(fresh) and shapes.typed(fresh) or options.describe(fresh)))
        end
        grad = fresh
      end
    end
    return grad
  end

  local leaves = setmetatable({}, {__mode = "v"}) -- by their keys

  -- The core says where backward was called.
  local function fail_in_backward(message) error(message, 0) end

  function core.runners.hooks(key, grad)
    local leaf, kept = leaves[key], core.kept[key]
    local hooks = leaf and walk.leaf_hooks[leaf] or kept and kept.hooks
    return hooks and hooks:run(grad, fail_in_backward) or grad
  end

  --- Calls a function with the gradient of a tensor when a backward has it whole: for a parameter before it is added
  -- to `grad`, for a result before it is handed on. What the function returns, unless nil, takes its place.
  -- The function of a result should not hold the result itself: both would live until a backward has passed.
  -- @function Tensor:register_hook
  -- @tparam function f takes the gradient, a tensor; not to be changed in place
  -- @treturn table `handle:remove()` takes the hook away
  -- @usage h:register_hook(function(g) print(g:norm():item()) end)
  function core.methods.register_hook(x, f)
    if not core.check_tensor(x, "register_hook").requires_grad then
      raise "register_hook: expected a tensor that wants a gradient"
    end
    options.expect("register_hook", "f", f, "function")
    local key, is_leaf = core.graph_key(x)
    local hooks
    if is_leaf then
      leaves[key] = x
      hooks = walk.leaf_hooks[x] or setmetatable({}, Hooks)
      walk.leaf_hooks[x] = hooks
    else
      local kept = core.kept[key] or {}
      core.kept[key] = kept
      hooks = kept.hooks or setmetatable({}, Hooks)
      kept.hooks = hooks
    end
    local entry = {f = f}
    hooks[#hooks + 1] = entry
    function entry.remove()
      for i, other in ipairs(hooks) do
        if other == entry then return table.remove(hooks, i) end
      end
    end
    return {remove = entry.remove}
  end

  -- ---- checkpoints ----

  local function replay(again, fail)
    for i, version in pairs(again.versions) do
      if core.version(again.arguments[i]) ~= version then
        fail(("checkpoint: argument %d was changed in place after the forward pass"):format(i))
      end
    end
    local before = core.rng_state()
    core.set_rng_state(again.rng)
    local outer = core.replaying
    core.replaying = true
    local ok, y = pcall(core.with_recording, true, again.f, table.unpack(again.arguments, 1, again.arguments.n))
    core.replaying = outer
    core.set_rng_state(before)
    if not ok then error(y, 0) end
    if not core.is_tensor(y) or not y.requires_grad or shapes.typed(y) ~= again.typed then
      fail "checkpoint: f gave another result when it was called again"
    end
    return y
  end

  function core.runners.replay(key) return replay(core.kept[key].replay, fail_in_backward) end
  function walk.replay(kept) return replay(kept.replay, raise) end

  --- f(...), without keeping what its gradient needs: backward calls f once more for that. The gradients have the same
  -- bits as without, and random ops draw the same numbers from the global generator (others go on).
  -- @function lt.checkpoint
  -- @tparam function f returns one tensor; must do the same when it is called again
  -- @param ... its arguments; tensors among them are not to be changed in place before backward
  -- @treturn Tensor f's result
  function lt.checkpoint(f, ...)
    options.expect("checkpoint", "f", f, walk.callable)
    local arguments, versions = table.pack(...), {}
    for i = 1, arguments.n do
      if core.is_tensor(arguments[i]) then versions[i] = core.version(core.check_tensor(arguments[i], "checkpoint")) end
    end
    local rng, since = core.rng_state(), core.graph_count()
    local results = table.pack(f(...))
    local y = results[1]
    if results.n ~= 1 or not core.is_tensor(y) then
      raise(("checkpoint: f: expected one tensor back, got %s"):format(
        results.n == 1 and options.describe(y) or results.n .. " values"))
    end
    local one = core.checkpointed(y, since)
    local _, key = core.node(one)
    if math.type(key) ~= "integer" or key <= since then return y end -- nothing of it is on the tape
    core.kept[core.graph_key(one)] = {replay = {f = f, arguments = arguments, versions = versions, rng = rng,
      typed = shapes.typed(y)}}
    return one
  end
end
