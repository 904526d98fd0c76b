--- The way back over the tape, from outputs to the tensors whose gradients are asked for.
-- @module latent.base.grad.walk
local options = require "latent.base.options"

-- A loaded table of rules for each core: the files beside this one, a family each. A rule takes a node, as
-- `core.node_read` describes it (with `wants`: for which inputs a gradient is wanted), and the gradient of its output;
-- it returns one for each input, or nil. Where an input is broadcast, the gradient may have the output's shape.
local FAMILIES = {"elementwise", "arithmetic", "reduce", "shape", "products", "images", "losses"}

return function(core)
  local ops, raise = core.ops, core.raise
  local M = {}

  --- A function, or what can be called as one: a layer.
  M.callable = options.kind("function", "a function", function(value)
    local meta = type(value) == "table" and getmetatable(value)
    return (type(value) == "function" or type(meta) == "table" and meta.__call) and value or nil
  end)

  --- A tensor of one value, of the type of another.
  function M.filled(like, shape, value)
    local t = core.zeros({table.unpack(shape)}, {dtype = like.dtype})
    return value == 0 and t or t:fill_(value)
  end

  -- Down to a shape that was broadcast.
  local function fit(dx, shape)
    local have, axes = dx.shape, {}
    local lead = #have - #shape
    for d, size in ipairs(have) do
      if d <= lead or (shape[d - lead] == 1 and size ~= 1) then axes[#axes + 1] = d end
    end
    if #axes > 0 then dx = ops.sum(dx, axes, true) end
    return lead > 0 and ops.reshape(dx, shape) or dx
  end

  local rules

  --- The rule of an op that is a chain of others: f(params, inputs...) computes it again, and its gradient is the
  -- chain's. An input that the op does not save is zero there: it may only be added.
  local function again(f)
    return function(n, dy)
      local inputs, targets, places = {}, {}, {}
      for i, shape in ipairs(n.shapes) do
        inputs[i] = n[i] or nil
        if n.wants[i] then
          local x = n[i] or core.param(M.filled(dy, shape, 0))
          inputs[i] = ops.reshape(x, shape) -- a node of its own, where the way back ends
          places[#places + 1], targets[#targets + 1] = i, inputs[i]
        end
      end
      local y = f(n.params, table.unpack(inputs, 1, #n.shapes))
      local found, dx = M.run({y}, {dy}, targets, true, true), {}
      for k, i in ipairs(places) do dx[i] = found[k] end
      return table.unpack(dx, 1, #n.shapes)
    end
  end

  local function load_rules()
    rules = {}
    for _, family in ipairs(FAMILIES) do
      for name, rule in pairs(require("latent.base.grad." .. family)(core, again, M.filled)) do rules[name] = rule end
    end
  end

  --- The ops for which there is a rule; false for one whose gradient has none.
  function M.rules()
    if not rules then load_rules() end
    return rules
  end

  -- The gradients of a node's inputs, recorded.
  local function recorded(node, dy, wants)
    local n = core.node_read(node)
    n.wants, n.node = wants, node
    local rule = M.rules()[n.name]
    local dx
    if n.custom then
      dx = table.pack(core.custom_backward(node, dy))
    elseif rule then
      dx = table.pack(rule(n, dy))
    else
      raise(("grad: %s has no gradient of its gradient"):format(n.name))
    end
    for i, shape in ipairs(n.shapes) do
      if wants[i] and dx[i] then dx[i] = fit(dx[i], shape) end
    end
    return dx
  end

  -- One walk: what is known of the nodes, by their numbers.
  local Walk = {}
  Walk.__index = Walk

  -- Learns all nodes that lead to this one, and which of them lead to a target; returns those that do, the newest
  -- first.
  function Walk:discover(node, number)
    local fresh, stack = {}, {{node, number}}
    while #stack > 0 do
      local entry = table.remove(stack)
      local at = entry[2]
      if not self.nodes[at] then
        local edges, numbers = core.node_edges(entry[1])
        self.nodes[at] = {node = entry[1], edges = edges, numbers = numbers, wants = {}}
        fresh[#fresh + 1] = at
        for i, source in ipairs(numbers) do
          if source and not self.nodes[source] then stack[#stack + 1] = {edges[i], source} end
        end
      end
    end
    table.sort(fresh)
    local list = {}
    for i = 1, #fresh do -- sources have smaller numbers
      local info = self.nodes[fresh[i]]
      for k, edge in ipairs(info.edges) do
        local source = info.numbers[k]
        local wanted = source and self.nodes[source].needed or not source and edge and self.leaves[edge] ~= nil
        info.wants[k] = wanted or false
        info.leads = info.leads or wanted
      end
      info.needed = info.leads or self.targets[fresh[i]] ~= nil
    end
    for i = #fresh, 1, -1 do
      if self.nodes[fresh[i]].needed then list[#list + 1] = fresh[i] end
    end
    return list
  end

  local function add(t, key, dx) t[key] = t[key] and ops.add(t[key], dx) or dx end

  function Walk:deliver(info, dx)
    for i, wanted in ipairs(info.wants) do
      if wanted and dx[i] then
        local source = info.numbers[i]
        if source then add(self.pending, source, dx[i]) else add(self.found, info.edges[i], dx[i]) end
      end
    end
  end

  -- The nodes that compute a checkpoint's output once more take its place: they are newer than all that waits.
  function Walk:replay(number, dy)
    local y = M.replay(core.kept[number])
    local node, again_number = core.node(y)
    add(self.pending, again_number, dy)
    self:process(self:discover(node, again_number))
  end

  function Walk:step(number, dy)
    local info = self.nodes[number]
    local kept = core.kept[number]
    if kept and kept.hooks then dy = kept.hooks:run(dy, raise) end
    if self.targets[number] then self.found[number] = dy end
    if not info.leads then return end
    if kept and kept.replay then
      core.node_read(info.node) -- raises where it is spent
      self:replay(number, dy)
    elseif self.create then
      self:deliver(info, recorded(info.node, dy, info.wants))
    else
      self:deliver(info, core.node_gradients(info.node, dy, info.wants))
    end
    if not self.retain then core.node_spend(info.node) end
  end

  function Walk:process(numbers)
    for _, number in ipairs(numbers) do
      local dy = self.pending[number]
      self.pending[number] = nil
      if dy then self:step(number, dy) end
    end
  end

  local function go(self, roots, seeds)
    for i, root in ipairs(roots) do
      local node, key = core.node(root)
      if node then
        add(self.pending, key, seeds[i])
        self:discover(node, key)
      elseif self.leaves[key] then
        add(self.found, key, seeds[i])
      end
    end
    local all = {}
    for number, info in pairs(self.nodes) do
      if info.needed then all[#all + 1] = number end
    end
    table.sort(all, function(a, b) return a > b end)
    self:process(all)
  end

  --- Walks from the roots, whose gradients are the seeds.
  -- @tparam {Tensor,...} roots
  -- @tparam {Tensor,...} seeds
  -- @tparam {Tensor,...} xs
  -- @tparam boolean create the gradients are recorded
  -- @tparam boolean retain the nodes keep what they saved
  -- @treturn {Tensor,...} the gradients of xs; nil for one that was not met
  function M.run(roots, seeds, xs, create, retain)
    local self = setmetatable({create = create, retain = retain, nodes = {}, pending = {}, found = {}, targets = {},
      leaves = {}}, Walk)
    local keys = {}
    for i, x in ipairs(xs) do
      local node, key = core.node(x)
      keys[i] = key
      if node then self.targets[key] = true else self.leaves[key] = true end
    end
    core.with_recording(create, go, self, roots, seeds)
    local list = {}
    for i, x in ipairs(xs) do
      list[i] = self.found[keys[i]]
      local hooks = list[i] and self.leaves[keys[i]] and M.leaf_hooks[x]
      if hooks then
        list[i] = core.with_recording(create, hooks.run, hooks, list[i], raise)
        self.found[keys[i]], self.leaves[keys[i]] = list[i], nil -- once, where x is asked for twice
      end
    end
    return list
  end

  --- The hooks of leaves, by the leaf.
  M.leaf_hooks = setmetatable({}, {__mode = "k"})

  return M
end
