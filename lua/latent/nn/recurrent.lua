--- Recurrent layers over sequences [batch, time, features], RNN, LSTM, GRU, and their single steps, RNNCell and so on.
-- Their arrays have PyTorch's names (`weight_ih_l0` is the first layer's, `_reverse` those that go backwards in
-- time) and order of gates, but are [inputs, gates * hidden] as those of linear layers are.
-- @module latent.nn.recurrent
local core = require "latent.core"
local input = require "latent.nn.input"
local module = require "latent.nn.module"
local options = require "latent.base.options"
local parts = require "latent.nn.parts"
local shapes = require "latent.base.shapes"

local ops, raise = core.ops, core.raise

local M = {}

local OPTIONS = {{"layers", "count", 1, "one above the other"}, parts.BIAS,
  {"dropout", parts.DROPOUT, 0, "of what goes from one layer to the next, in training"},
  {"bidirectional", "boolean", false, "a second set of weights reads each sequence from its end"},
  parts.DTYPE}

-- ---- one step: (gates of the input, gates of the state, state) -> new state; a state is a list of tensors ----

local function chunk(x, i, size) return ops.slice(x, 2, (i - 1) * size + 1, i * size) end

local function rnn_step(nonlinearity)
  return function(from_input, from_state) return {ops[nonlinearity](ops.add(from_input, from_state))} end
end

-- Gates: input, forget, cell, output.
local function lstm_step(from_input, from_state, state, size)
  local gates = ops.add(from_input, from_state)
  local i, f = ops.sigmoid(chunk(gates, 1, size)), ops.sigmoid(chunk(gates, 2, size))
  local g, o = ops.tanh(chunk(gates, 3, size)), ops.sigmoid(chunk(gates, 4, size))
  local cell = ops.add(ops.mul(f, state[2]), ops.mul(i, g))
  return {ops.mul(o, ops.tanh(cell)), cell}
end

-- Gates: reset, update, new.
local function gru_step(from_input, from_state, state, size)
  local r = ops.sigmoid(ops.add(chunk(from_input, 1, size), chunk(from_state, 1, size)))
  local z = ops.sigmoid(ops.add(chunk(from_input, 2, size), chunk(from_state, 2, size)))
  local n = ops.tanh(ops.add(chunk(from_input, 3, size), ops.mul(r, chunk(from_state, 3, size))))
  return {ops.add(n, ops.mul(z, ops.sub(state[1], n)))}
end

local function stack(list, axis)
  local raised = {}
  for i, x in ipairs(list) do
    local shape = x.shape
    table.insert(shape, axis, 1)
    raised[i] = ops.reshape(x, shape)
  end
  return ops.cat(raised, axis)
end

-- ---- lengths ----

-- For each step a mask [batch, 1] of the sequences that have it; none where all have.
local function masks_of(self, lengths, batch, time)
  if lengths == nil then return {} end
  if core.is_tensor(lengths) then lengths = lengths:table() end
  if type(lengths) ~= "table" or #lengths ~= batch then
    raise(("%s: lengths: expected %d numbers, one a sequence, got %s"):format(self:text(), batch,
      type(lengths) == "table" and #lengths or options.describe(lengths)))
  end
  local list, least = {}, time
  for i, length in ipairs(lengths) do
    length = options.expect(self:text(), ("lengths[%d]"):format(i), length, "count")
    if length > time then
      raise(("%s: lengths[%d]: expected at most %d steps, got %d"):format(self:text(), i, time, length))
    end
    list[i], least = length, math.min(least, length)
  end
  local masks, all = {}, ops.reshape(core.tensor(list, {dtype = "i64"}), {batch, 1})
  for t = least + 1, time do masks[t] = ops.ge(all, t) end
  return masks
end

-- ---- a layer in one direction ----

-- Goes through a list of inputs [batch, features], one a step; returns a list of outputs and the last state. A sequence
-- that has ended, or not begun, keeps its state and gives zeros.
local function go(self, suffix, xs, state, masks, backwards)
  local weight, recurrent = self["weight_ih" .. suffix], self["weight_hh" .. suffix]
  local bias, recurrent_bias = self["bias_ih" .. suffix], self["bias_hh" .. suffix]
  local outputs, first, last, by = {}, 1, #xs, 1
  if backwards then first, last, by = #xs, 1, -1 end
  for t = first, last, by do
    local new = self._step(ops.linear(xs[t], weight, bias), ops.linear(state[1], recurrent, recurrent_bias), state,
      self.hidden)
    outputs[t] = new[1]
    if masks[t] then
      outputs[t] = ops.where(masks[t], new[1], 0)
      for k = 1, #new do new[k] = ops.where(masks[t], new[k], state[k]) end
    end
    state = new
  end
  return outputs, state
end

local function suffix_of(layer, direction) return ("_l%d%s"):format(layer - 1, direction == 2 and "_reverse" or "") end

-- The outputs of both directions, and their last states.
local function layer_outputs(self, layer, xs, states, masks)
  local lasts, outputs = {}, nil
  for direction = 1, self.directions do
    local index = (layer - 1) * self.directions + direction
    local ys, ends = go(self, suffix_of(layer, direction), xs, states[index], masks, direction == 2)
    lasts[direction] = ends
    if outputs then
      for t = 1, #ys do outputs[t] = ops.cat({outputs[t], ys[t]}, 2) end
    else
      outputs = ys
    end
  end
  return outputs, lasts
end

-- ---- a layer of long short-term memory, all steps at once: one op, where no sequence ends before the others ----

-- From [time, batch, features]: the outputs [time, batch, directions * hidden], and the last states.
local function whole_layer(self, layer, x, states)
  local outputs, lasts = {}, {}
  for direction = 1, self.directions do
    local suffix, reverse = suffix_of(layer, direction), direction == 2
    local state, time = states[(layer - 1) * self.directions + direction], x:size(1)
    local bias = self["bias_ih" .. suffix]
    bias = bias and ops.add(bias, self["bias_hh" .. suffix])
    local gates = ops.linear(x, self["weight_ih" .. suffix], bias)
    local y = ops.lstm(gates, stack(state, 1), self["weight_hh" .. suffix], reverse)
    outputs[direction] = ops.slice(y, 1, 1, time)
    lasts[direction] = {ops.select(y, reverse and 1 or time), ops.select(y, time + 1)}
  end
  return #outputs == 1 and outputs[1] or ops.cat(outputs, 3), lasts
end

local function whole(self, x, states)
  local lasts = {}
  x = ops.permute(x, {2, 1, 3})
  for layer = 1, self.layers do
    if layer > 1 and self.dropout > 0 then x = ops.dropout(x, self.dropout, self.training) end
    local ends
    x, ends = whole_layer(self, layer, x, states)
    table.move(ends, 1, #ends, #lasts + 1, lasts)
  end
  return ops.permute(x, {2, 1, 3}), lasts
end

-- ---- states, as they are given and returned ----

-- The state of each layer and direction, as a list of tensors [batch, hidden].
local function states_of(self, given, batch)
  local count, states = self.layers * self.directions, {}
  if given == nil then
    local zero = core.zeros({batch, self.hidden}, {dtype = self.weight_ih_l0.dtype})
    for i = 1, count do states[i] = {zero, zero} end
    return states
  end
  if self._arrays == 1 and core.is_tensor(given) then given = {given} end
  local wanted = shapes.text{count, batch, self.hidden}
  for k = 1, self._arrays do
    local part = type(given) == "table" and given[k] or nil
    if not core.is_tensor(part) or shapes.text(part) ~= wanted then
      raise(("%s: state: expected %s%s, got %s"):format(self:text(),
        self._arrays == 2 and "{h, c}, each " or "", wanted, options.describe(part == nil and given or part)))
    end
    for i = 1, count do
      states[i] = states[i] or {}
      states[i][k] = ops.select(part, i)
    end
  end
  return states
end

local function joined(self, lasts)
  local arrays = {}
  for k = 1, self._arrays do
    local list = {}
    for i, state in ipairs(lasts) do list[i] = state[k] end
    arrays[k] = stack(list, 1)
  end
  return self._arrays == 2 and arrays or arrays[1]
end

local function forward(self, x, state, lengths)
  local shape = input.check(self, x, input.STEPS, self.inputs).shape
  local batch, time = shape[1], shape[2]
  if time < 1 then raise(("%s: expected at least one step, got %s"):format(self:text(), shapes.text(shape))) end
  local masks, states = masks_of(self, lengths, batch, time), states_of(self, state, batch)
  if self._step == lstm_step and next(masks) == nil then
    local y, ends = whole(self, x, states)
    return y, joined(self, ends)
  end
  local xs, lasts = {}, {}
  for t = 1, time do xs[t] = ops.reshape(ops.slice(x, 2, t, t), {batch, self.inputs}) end
  for layer = 1, self.layers do
    if layer > 1 and self.dropout > 0 then
      for t = 1, time do xs[t] = ops.dropout(xs[t], self.dropout, self.training) end
    end
    local ends
    xs, ends = layer_outputs(self, layer, xs, states, masks)
    table.move(ends, 1, #ends, #lasts + 1, lasts)
  end
  return stack(xs, 2), joined(self, lasts)
end

-- ---- the classes ----

local function text(self)
  return core.plainly(function()
    return ("%s(%d -> %d%s%s%s)"):format(self.kind, self.inputs, self.hidden,
      self.layers > 1 and (", layers %d"):format(self.layers) or "", self.directions == 2 and ", bidirectional" or "",
      self.dropout > 0 and (", dropout %g"):format(self.dropout) or "")
  end)
end

-- It reads rows, of flattened maps perhaps; what it writes has the same order here and there.
local function torch_layout(self, value, flow)
  if value.is ~= "map" then flow:read(self, value, self.inputs) end
  return {is = "rows", writers = {}}
end

-- Weights within 1 / sqrt(hidden), as in PyTorch, and how they stand there.
local function init(self, name, gates, inputs, hidden, opts)
  self.inputs = options.expect(name, "inputs", inputs, "count")
  self.hidden = options.expect(name, "hidden", hidden, "count")
  self.layers, self.dropout, self.directions = opts.layers, opts.dropout, opts.bidirectional and 2 or 1
  self.order, self.torch_arrays = {}, {}
  local bound = 1 / math.sqrt(self.hidden)
  for layer = 0, self.layers - 1 do
    for direction = 1, self.directions do
      local suffix = suffix_of(layer + 1, direction)
      local function add(field, ...)
        field = field .. suffix
        self[field] = parts.uniform(bound, ...)
        table.insert(self.order, field)
        if select("#", ...) == 2 then
          local reads_input = field:find "^weight_ih_l0" and 1 or nil
          self.torch_arrays[field] = {axes = {2, 1}, reads = reads_input}
        end
      end
      add("weight_ih", layer == 0 and self.inputs or self.hidden * self.directions, gates * self.hidden)
      add("weight_hh", self.hidden, gates * self.hidden)
      if opts.bias then
        add("bias_ih", gates * self.hidden)
        add("bias_hh", gates * self.hidden)
      end
    end
  end
end

local function recurrent(kind)
  return module.class(kind, {torch_layout = torch_layout, forward = forward, text = text})
end

local rnn_options = options.declare("nn.RNN", {OPTIONS[1], OPTIONS[2], OPTIONS[3], OPTIONS[4], OPTIONS[5],
  {"nonlinearity", options.one_of{"tanh", "relu"}, "tanh"}})

--- A recurrent network (Elman, 1990): h = tanh(x weight_ih + bias_ih + h weight_hh + bias_hh) at each step. Called with
-- x [batch, time, inputs], and perhaps a first state [layers * directions, batch, hidden] and lengths (a number for
-- each sequence: what lies behind is no part of it), it returns the last layer's states of all steps [batch, time,
-- directions * hidden], zeros behind a sequence's end, and the last states in the shape of the first.
-- @usage local y, state = rnn(x, nil, {7, 4, 7})
-- @function RNN
-- @tparam int inputs features
-- @tparam int hidden features of the state
-- @tparam ?table opts
-- @treturn Module
M.RNN = recurrent "RNN"
function M.RNN:init(inputs, hidden, opts)
  opts = rnn_options(opts)
  self._step, self._arrays, self.nonlinearity = rnn_step(opts.nonlinearity), 1, opts.nonlinearity
  init(self, "nn.RNN", 1, inputs, hidden, opts)
end

local lstm_options = options.declare("nn.LSTM", OPTIONS)

--- A network of long short-term memory (Hochreiter and Schmidhuber, 1997). It is called as an RNN is, and its state is
-- {h, c}, each [layers * directions, batch, hidden].
-- @usage local y, state = lstm(x, {h, c})
-- @function LSTM
-- @tparam int inputs features
-- @tparam int hidden features of the state
-- @tparam ?table opts
-- @treturn Module
M.LSTM = recurrent "LSTM"
function M.LSTM:init(inputs, hidden, opts)
  self._step, self._arrays = lstm_step, 2
  init(self, "nn.LSTM", 4, inputs, hidden, lstm_options(opts))
end

local gru_options = options.declare("nn.GRU", OPTIONS)

--- A network of gated recurrent units (Cho et al., 2014), the reset gate behind the product as in PyTorch. It is called
-- as an RNN is.
-- @function GRU
-- @tparam int inputs features
-- @tparam int hidden features of the state
-- @tparam ?table opts
-- @treturn Module
M.GRU = recurrent "GRU"
function M.GRU:init(inputs, hidden, opts)
  self._step, self._arrays = gru_step, 1
  init(self, "nn.GRU", 3, inputs, hidden, gru_options(opts))
end

-- ---- single steps ----

local function init_cell(self, name, gates, inputs, hidden, opts)
  self.inputs = options.expect(name, "inputs", inputs, "count")
  self.hidden = options.expect(name, "hidden", hidden, "count")
  local bound, size = 1 / math.sqrt(self.hidden), gates * self.hidden
  self.weight_ih, self.weight_hh = parts.uniform(bound, self.inputs, size), parts.uniform(bound, self.hidden, size)
  if opts.bias then self.bias_ih, self.bias_hh = parts.uniform(bound, size), parts.uniform(bound, size) end
end

-- The tensors of the state that is given, zeros where there is none.
local function cell_state(self, given, batch)
  if given == nil then
    local zero = core.zeros({batch, self.hidden}, {dtype = self.weight_ih.dtype})
    return {zero, zero}
  end
  if self._arrays == 1 and core.is_tensor(given) then given = {given} end
  local wanted, list = shapes.text{batch, self.hidden}, {}
  for k = 1, self._arrays do
    list[k] = type(given) == "table" and given[k] or nil
    if not core.is_tensor(list[k]) or shapes.text(list[k]) ~= wanted then
      raise(("%s: state: expected %s%s, got %s"):format(self:text(), self._arrays == 2 and "{h, c}, each " or "",
        wanted, options.describe(list[k] == nil and given or list[k])))
    end
  end
  return list
end

local function cell_forward(self, x, given)
  local state = cell_state(self, given, input.check(self, x, input.ITEMS, self.inputs):size(1))
  local new = self._step(ops.linear(x, self.weight_ih, self.bias_ih),
    ops.linear(state[1], self.weight_hh, self.bias_hh), state, self.hidden)
  return self._arrays == 2 and new or new[1]
end

local function cell_text(self) return ("%s(%d -> %d)"):format(self.kind, self.inputs, self.hidden) end

local function cell(kind)
  return module.class(kind, {order = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}, torch_layout = torch_layout,
    torch_arrays = {weight_ih = {axes = {2, 1}, reads = 1}, weight_hh = {axes = {2, 1}}}, forward = cell_forward,
    text = cell_text})
end

local rnn_cell_options = options.declare("nn.RNNCell", {parts.BIAS,
  {"nonlinearity", options.one_of{"tanh", "relu"}, "tanh"}, parts.DTYPE})

--- One step of an RNN: called with x [batch, inputs] and a state [batch, hidden] (zeros unless given), it returns the
-- next state.
-- @usage for t = 1, x:size(2) do h = cell(x[{{}, t}], h) end
-- @function RNNCell
-- @tparam int inputs features
-- @tparam int hidden features of the state
-- @tparam ?table opts
-- @treturn Module
M.RNNCell = cell "RNNCell"
function M.RNNCell:init(inputs, hidden, opts)
  opts = rnn_cell_options(opts)
  self._step, self._arrays, self.nonlinearity = rnn_step(opts.nonlinearity), 1, opts.nonlinearity
  init_cell(self, "nn.RNNCell", 1, inputs, hidden, opts)
end

local lstm_cell_options = options.declare("nn.LSTMCell", {parts.BIAS, parts.DTYPE})

--- One step of an LSTM: its state, given and returned, is {h, c}, each [batch, hidden].
-- @usage state = cell(x[{{}, t}], state)
-- @function LSTMCell
-- @tparam int inputs features
-- @tparam int hidden features of the state
-- @tparam ?table opts
-- @treturn Module
M.LSTMCell = cell "LSTMCell"
function M.LSTMCell:init(inputs, hidden, opts)
  self._step, self._arrays = lstm_step, 2
  init_cell(self, "nn.LSTMCell", 4, inputs, hidden, lstm_cell_options(opts))
end

local gru_cell_options = options.declare("nn.GRUCell", {parts.BIAS, parts.DTYPE})

--- One step of a GRU, called as an RNNCell is.
-- @function GRUCell
-- @tparam int inputs features
-- @tparam int hidden features of the state
-- @tparam ?table opts
-- @treturn Module
M.GRUCell = cell "GRUCell"
function M.GRUCell:init(inputs, hidden, opts)
  self._step, self._arrays = gru_step, 1
  init_cell(self, "nn.GRUCell", 3, inputs, hidden, gru_cell_options(opts))
end

return M
