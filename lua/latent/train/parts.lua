--- A step in parts: the batch is cut into a fixed number of them, the body of the loop runs once for each, and the
-- gradient is their sum, weighted by their sizes, in the order of a binary tree over all parts. Ranks share the parts;
-- the additions are the same however many there are, one included. Each part has a stream of random numbers of its
-- own, and begins with the buffers that the step began with; what they become is averaged as the gradients are.
-- @module latent.train.parts
local core = require "latent.core"
local gradients = require "latent.optim.gradients"
local lt = require "latent"
local mpi_job = require "latent.mpi.job"
local pack = require "latent.mpi.pack"
local sorted_keys = require "latent.base.sorted_keys"
local statistics = require "latent.nn.statistics"

local raise = core.raise

local M = {}

local NAME = "train"

local Parts = {}
Parts.__index = Parts

-- ---- vectors: gradients, buffers, and for each parameter whether a gradient is there ----

local function new_vector(self)
  local vector = table.remove(self.free)
  if vector then return vector end
  vector = {x = core.zeros({self.length}, {dtype = self.dtype}), views = {}}
  local at = 0
  for i, shape in ipairs(self.shapes) do
    vector.views[i] = vector.x:slice(1, at + 1, at + shape.count):reshape(shape.sizes)
    at = at + shape.count
  end
  vector.present = vector.x:slice(1, self.length - #self.parameters + 1, self.length)
  return vector
end

local function release(self, vector)
  if vector then self.free[#self.free + 1] = vector end
end

-- What a part has left, times its share of the batch.
local function captured(self, share)
  local vector, present = new_vector(self), {}
  for i, p in ipairs(self.parameters) do
    local gradient = p.grad
    present[i] = gradient and 1 or 0
    if gradient then vector.views[i]:copy_(gradient) else vector.views[i]:zero_() end
  end
  for i, buffer in ipairs(self.buffers) do vector.views[#self.parameters + i]:copy_(buffer) end
  vector.present:copy_(core.tensor(present, {dtype = self.dtype}))
  vector.x:mul_(share)
  return vector
end

-- ---- the tree over the parts ----

local function half(first, last) return (first + last) // 2 end

local function key_of(self, first, last) return first * (self.count + 1) + last end

local function add(self, left, right)
  if not left or not right then return left or right end
  left.x:add_(right.x)
  release(self, right)
  return left
end

-- Adds up what is there: the sum over some parts, false where all of them are empty, nil where one is missing.
local function settle(self, first, last)
  local key = key_of(self, first, last)
  if self.nodes[key] ~= nil or first == last then return self.nodes[key] end
  local middle = half(first, last)
  local left, right = settle(self, first, middle), settle(self, middle + 1, last)
  if left == nil or right == nil then return nil end
  self.nodes[key] = add(self, left, right) or false
  self.nodes[key_of(self, first, middle)], self.nodes[key_of(self, middle + 1, last)] = nil, nil
  return self.nodes[key]
end

-- For a sum over empty parts: -0 changes no bit of what it is added to.
local function nothing(self)
  local vector = new_vector(self)
  core.no_grad(function() vector.x:fill_(-0.0) end)
  return vector
end

local function rank_of(self, part) return (part - 1) * self.job.size // self.count end

-- The sum over some parts on the rank of the first of them; for any number of ranks.
local function sum_of(self, first, last)
  local job = self.job
  local lowest, highest = rank_of(self, first), rank_of(self, last)
  if lowest == highest then return lowest == job.rank and (settle(self, first, last) or nothing(self)) or nil end
  local middle = half(first, last)
  local left, right = sum_of(self, first, middle), sum_of(self, middle + 1, last)
  local theirs = rank_of(self, middle + 1)
  if theirs ~= lowest and theirs == job.rank then
    job.check(NAME, job.link.send(right.x, lowest))
    release(self, right)
  elseif theirs ~= lowest and lowest == job.rank then
    right = new_vector(self)
    job.check(NAME, job.link.receive(right.x, theirs))
  end
  return lowest == job.rank and add(self, left, right) or nil
end

-- The sum over all parts, on every rank.
local function total(self)
  local job = self.job
  if job.size == 1 then return settle(self, 1, self.count) end
  if self.is_node then
    local vector = settle(self, self.first, self.last) or nothing(self)
    if self.order == "any" then job.check(NAME, job.link.all_reduce(vector.x, "sum"))
    else job.sum_in_order(NAME, vector.x) end
    return vector
  end
  local vector = sum_of(self, 1, self.count) or new_vector(self)
  job.check(NAME, job.link.broadcast(vector.x, 0))
  return vector
end

-- ---- statistics over all ranks ----

-- Sums a tensor over the ranks, each of which has one part. The gradient that comes back is of this rank's loss, and
-- is weighted only later by the part's share of the batch; what the sum's gradient is of is the loss of all.
local over_ranks = lt.op{name = "sum_over_ranks",
  forward = function(ctx, x, share)
    ctx:save(share)
    local sum = core.no_grad(function() return x * (share > 0 and 1 or 0) end)
    mpi_job.sum_in_order(NAME, sum)
    return sum
  end,
  backward = function(ctx, dy)
    local share = ctx:saved()
    local sum = core.no_grad(function() return dy * share end)
    mpi_job.sum_in_order(NAME, sum)
    return core.no_grad(function() return sum / (share > 0 and share or 1) end)
  end}

-- From here on, until it is taken back, batch norm takes the statistics of all ranks.
local function join_statistics(self, share)
  if not self.joint then return end
  statistics.sum_over_ranks = function(x) return over_ranks(x, share) end
end

local function part_statistics() statistics.sum_over_ranks = nil end

-- ---- a step ----

-- Streams of a generator for parts: far from each other, and from those of other steps.
local function stream_of(state, part)
  local seed = (state[1] * 0x9E3779B97F4A7C15) ~ ((state[2] + 1) * 0x632BE59BD9B4E019)
  seed = (seed ~ (seed >> 29)) * 0x5851F42D4C957F2D + part * 0x2545F4914F6CDD1D
  return {(seed ~ (seed >> 32)) & 0x7FFFFFFFFFFFFFFF, 0}
end

local function is_generator(object)
  local meta = debug.getmetatable(object)
  return type(object) == "userdata" and type(meta) == "table" and rawget(meta, "__name") == "generator"
end

-- The generators that a step may draw from: what reads and sets each.
local function generators_of(states)
  local list = {{get = core.rng_state, set = core.set_rng_state}}
  for _, object in pairs(states) do
    if is_generator(object) then
      list[#list + 1] = {get = function() return object:state() end, set = function(s) object:set_state(s) end}
    end
  end
  return list
end

local function restore_gradients(self)
  for i, p in ipairs(self.parameters) do
    local kept = self.kept[i]
    p.grad = kept and kept:clone() or nil
  end
  core.no_grad(function()
    for i, buffer in ipairs(self.buffers) do buffer:copy_(self.kept_buffers[i]) end
  end)
end

-- The rows of a part in a batch of so many: the first parts have one more where they are not equal.
local function rows_of(self, part)
  local each, more = self.rows // self.count, self.rows % self.count
  local first = (part - 1) * each + math.min(part - 1, more) + 1
  return first, first + each - 1 + (part <= more and 1 or 0)
end

local function piece_of(batch, first, last, rows)
  if core.is_tensor(batch) then return batch:slice(1, first, last) end
  local piece = {}
  for name, value in pairs(batch) do
    local cut = core.is_tensor(value) and value:dim() > 0 and value:size(1) == rows
    piece[name] = cut and value:slice(1, first, last) or value
  end
  return piece
end

--- Begins a step.
-- @tparam Loader loader
-- @treturn int images in the whole batch
function Parts:begin(loader)
  if loader.draw then
    self.rows = loader:draw() or loader:draw()
    self.fetch = function(first, last) return loader:fetch(first, last) end
  else
    local batch = loader:next() or loader:next()
    if batch == nil then raise "train: loader: it has no batch" end
    local x = type(batch) == "table" and batch.x or batch
    if not core.is_tensor(x) or x:dim() == 0 then
      raise "train: parts: expected batches that are a tensor, or have one as x, to cut its rows into parts"
    end
    self.rows = x:size(1)
    self.fetch = function(first, last) return piece_of(batch, first, last, self.rows) end
  end
  self.nodes, self.mine, self.notes = {}, {}, {}
  for part = self.first, self.last do
    if part <= self.rows then self.mine[#self.mine + 1] = part else self.nodes[key_of(self, part, part)] = false end
  end
  -- A rank without a part makes the first one as well, and forgets it: the body has to run everywhere.
  self.idle = #self.mine == 0
  if self.idle then self.mine[1] = 1 end
  self.at = 0
  self.kept, self.kept_buffers = {}, {}
  for i, p in ipairs(self.parameters) do self.kept[i] = p.grad and p.grad:clone() end
  for i, buffer in ipairs(self.buffers) do self.kept_buffers[i] = buffer:clone() end
  for i, generator in ipairs(self.generators) do self.states[i] = generator.get() end
  return self.rows
end

--- Begins the next part of a step.
-- @return its piece of the batch, nil where there is none left on this rank
-- @treturn ?int images in it
function Parts:next()
  self.at = self.at + 1
  local part = self.mine[self.at]
  if not part then return nil end
  if self.at > 1 then restore_gradients(self) end
  for i, generator in ipairs(self.generators) do generator.set(stream_of(self.states[i], part)) end
  local first, last = rows_of(self, part)
  self.part, self.ready, self.active, self.part_notes = part, false, true, {}
  self.part_rows = last - first + 1
  join_statistics(self, self.idle and 0 or self.part_rows / self.rows)
  return self.fetch(first, last), self.part_rows
end

local function is_last(self) return self.at == #self.mine end

local function combine(self)
  local vector = total(self)
  local present = vector.present:table()
  for i, p in ipairs(self.parameters) do p.grad = present[i] > 0 and vector.views[i] or nil end
  core.no_grad(function()
    for i, buffer in ipairs(self.buffers) do buffer:copy_(vector.views[#self.parameters + i]) end
  end)
  self.nodes = {}
  release(self, self.held)
  self.held = vector -- the gradients live in it
end

--- Gradients are about to be read: takes this part's, and after the last one puts the sum over all in their place.
function Parts:complete()
  if not self.active or self.ready then return end
  self.ready = true
  core.no_grad(function()
    if not self.idle then
      self.nodes[key_of(self, self.part, self.part)] = captured(self, self.part_rows / self.rows)
      if self.is_node then settle(self, self.first, self.last) end
    end
    if is_last(self) then combine(self) end
  end)
end

--- Takes note of a number of this part.
-- @tparam string name
-- @tparam number value
-- @tparam number weight
function Parts:note(name, value, weight)
  local list = self.part_notes[name] or {}
  list[#list + 1] = {value, weight}
  self.part_notes[name] = list
end

--- Ends a part whose body has run.
-- @treturn boolean whether it was the last of this rank
function Parts:finish_part()
  self:complete()
  part_statistics()
  self.active = false
  if not self.idle then self.notes[self.part] = self.part_notes end
  if not is_last(self) then return false end
  for i, generator in ipairs(self.generators) do
    local state = self.states[i]
    generator.set{state[1], state[2] + 1}
  end
  return true
end

-- The numbers of all parts: a list of {name, mean, weight}, in the order of the names.
local function means_of(self, notes)
  local names, list = {}, {}
  for part = 1, self.count do
    for name, values in pairs(notes[part] or {}) do names[name] = math.max(names[name] or 0, #values) end
  end
  for _, name in ipairs(sorted_keys(names)) do
    for k = 1, names[name] do
      local sum, weight = 0, 0
      for part = 1, self.count do
        local value = notes[part] and notes[part][name] and notes[part][name][k]
        if value then sum, weight = sum + value[1] * value[2], weight + value[2] end
      end
      list[#list + 1] = {name, sum / weight, weight}
    end
  end
  return list
end

--- Ends a step on all ranks.
-- @tparam table own what this rank has to say to the others
-- @treturn {table,...} the numbers of the step, {name, mean, weight}
-- @treturn {table,...} what each rank says
function Parts:finish(own)
  local job = self.job
  if job.size == 1 then return means_of(self, self.notes), {own} end
  local notes, said = {}, {}
  for rank, bytes in ipairs(job.check(NAME, job.link.all_gather(pack.pack({self.notes, own}, NAME)))) do
    local other = pack.unpack(bytes)
    for part, values in pairs(other[1]) do notes[part] = values end
    said[rank] = other[2]
  end
  return means_of(self, notes), said
end

-- The results of all ranks, each of which has some of them.
local function merge(self, results, n)
  local job = self.job
  if job.size == 1 then return results end
  local all = {}
  for _, bytes in ipairs(job.check(NAME, job.link.all_gather(pack.pack(results, NAME)))) do
    for i, result in pairs(pack.unpack(bytes)) do all[i] = result end
  end
  if #all ~= n then raise(("%s: validate: %d of %d results; do all ranks validate the same?"):format(NAME, #all, n)) end
  return all
end

--- How the ranks share the work of a validation: see latent.data.share.
-- @treturn table
function Parts:sharing()
  return {rank = self.job.rank, size = self.job.size, merge = function(results, n) return merge(self, results, n) end,
    stream = function(piece, work)
      local states = {}
      for i, generator in ipairs(self.generators) do
        states[i] = generator.get()
        generator.set(stream_of(states[i], piece))
      end
      local result = work(piece)
      for i, generator in ipairs(self.generators) do generator.set(states[i]) end
      return result
    end}
end

--- Ends the hold on the optimiser and the gradients.
function Parts:close()
  part_statistics()
  if self.step then rawset(self.optimizer, "step", self.own_step) end
  self.step = nil
  gradients.watch(self.parameters, nil)
end

--- Takes over the optimiser's step: after each part but the last it only means that the part's gradient is there.
function Parts:take_over()
  local optimizer = self.optimizer
  local step = optimizer.step
  self.own_step = rawget(optimizer, "step")
  self.step = step
  rawset(optimizer, "step", function(...)
    if not self.active then return step(...) end
    self:complete()
    if is_last(self) then return step(...) end
  end)
  gradients.watch(self.parameters, function() self:complete() end)
end

--- Makes the parts of a run.
-- @tparam Run run with model, optimizer, parameters and states
-- @tparam int count of parts
-- @tparam table job latent.mpi.job, whose ranks share them, or {rank = 0, size = 1}
-- @tparam string order of the sum over ranks, "tree" or "any"
-- @tparam boolean joint batch norm takes the statistics of all ranks, each of which has one part
-- @treturn table
function M.new(run, count, job, order, joint)
  local rank, size = job.rank, job.size
  local self = setmetatable({count = count, job = job, order = order, joint = joint, optimizer = run.optimizer,
    parameters = run.parameters, buffers = {}, shapes = {}, free = {}, states = {},
    first = rank * count // size + 1, last = (rank + 1) * count // size,
    generators = generators_of(run.states)}, Parts)
  -- Whether the parts of each rank are a node of the tree: its additions are the rank's own business then.
  self.is_node = order == "any" or size & (size - 1) == 0
  self.dtype = self.parameters[1].dtype
  for _, p in ipairs(self.parameters) do
    if p.dtype ~= self.dtype then
      raise(("%s: parts: expected parameters of one dtype, got %s and %s"):format(NAME, self.dtype, p.dtype))
    end
  end
  local is_parameter = {}
  for _, p in ipairs(run.model:parameters()) do is_parameter[p] = true end
  local state = run.model:state()
  for _, name in ipairs(sorted_keys(state)) do
    local x = state[name]
    if not is_parameter[x] and x.dtype == self.dtype then self.buffers[#self.buffers + 1] = x end
  end
  self.length = #self.parameters
  for _, list in ipairs{self.parameters, self.buffers} do
    for _, x in ipairs(list) do
      self.shapes[#self.shapes + 1] = {count = x:numel(), sizes = {table.unpack(x.shape)}}
      self.length = self.length + x:numel()
    end
  end
  return self
end

return M
