--- Tells how a long run is getting on. On a terminal, and in a notebook, a bar with the rate, the time left and the
-- current loss, redrawn at most ten times a second; anywhere else nothing but the lines that the
-- caller prints, one an epoch, so that a log stays readable.
--
--     local bar <close> = progress.new{label = "AE", epochs = 10, steps = #loader}
--     for epoch = 1, 10 do
--       for batch in loader do ... bar:step(loss:item()) end
--       bar:epoch("train %.4f  test %.4f", train, test)
--     end
-- @module latent.progress

local core = require "latent.core"
local options = require "latent.base.options"
local page = require "latent.base.page"
local plainly, raise = core.plainly, core.raise -- a log's decimal point is no locale's

local M = {}

--- Seconds between two drawings of the bar.
M.interval = 0.1

local BAR = 20 -- columns
local CLEAR = "\r\27[K"

--- A bar.
-- @type Bar
-- @tfield boolean on_terminal whether it is drawn
local Bar = {}
Bar.__index = Bar
Bar.__name = "progress bar" -- in messages

--- A time as a reader likes it: "8.3 s", "2:05", "1:02:05".
-- @tparam number seconds
-- @treturn string
function M.duration(seconds)
  options.expect("progress.duration", "seconds", seconds, "number")
  if seconds ~= seconds or math.abs(seconds) > 1e12 then return "?" end
  if seconds < 9.95 then return plainly(string.format, "%.1f s", seconds) end
  local whole = math.floor(seconds + 0.5)
  if whole < 60 then return ("%d s"):format(whole) end
  local minutes, rest = whole // 60, whole % 60
  if minutes < 60 then return ("%d:%02d"):format(minutes, rest) end
  return ("%d:%02d:%02d"):format(minutes // 60, minutes % 60, rest)
end

local function rate_text(rate)
  return (rate >= 100 and "%.0f/s" or rate >= 1 and "%.1f/s" or "%.2f/s"):format(rate)
end

-- Of constant width as long as the loss is of ordinary size, so that the bar does not jitter.
local function loss_text(loss)
  local size = math.abs(loss)
  return (size >= 0.001 and size < 1000 and "  loss %.4f" or "  loss %.3g"):format(loss)
end

local function head(self)
  local parts = {self.label}
  if self.epochs > 1 then
    parts[#parts + 1] = ("epoch %d/%d"):format(math.min(self.at_epoch, self.epochs), self.epochs)
  end
  return table.concat(parts, " ")
end

-- The line that is drawn: head, bar, count, rate, loss, time left of the whole run.
local function line(self, now)
  local done = (self.at_epoch - 1) * self.steps + self.at_step
  -- Only steps made since the start count for the rate: a resumed run did not make the others.
  local rate = (done - self.skipped) / math.max(now - self.started, 1e-9)
  local left = (self.epochs * self.steps - done) / math.max(rate, 1e-9)
  local tail = ("%d/%d  %s"):format(self.at_step, self.steps, rate_text(rate))
  if self.loss then tail = tail .. loss_text(self.loss) end
  tail = tail .. "  left " .. M.duration(math.max(left, 0))
  local start = head(self)
  if start ~= "" then start = start .. " " end
  if #start + #tail + BAR + 4 > self.width then return (start .. tail):sub(1, self.width - 1) end
  local filled = math.min(BAR, BAR * self.at_step // self.steps)
  return ("%s[%s%s] %s"):format(start, ("="):rep(filled), (" "):rep(BAR - filled), tail)
end

local function draw(self, now)
  self.drawn_at = now
  if self.page_id then
    page.display({["text/plain"] = plainly(line, self, now)}, self.page_id)
    return
  end
  self.drawn = true
  self.stream:write(CLEAR, plainly(line, self, now))
  self.stream:flush()
end

local function clear(self)
  if self.drawn then self.stream:write(CLEAR) end
  self.drawn = false
end

--- One step is done.
-- @tparam ?number loss shown beside the bar
-- @treturn Bar itself
function Bar:step(loss)
  if loss ~= nil and type(loss) ~= "number" then
    raise("progress: step: loss: expected a number, got " .. options.describe(loss))
  end
  self.at_step = self.at_step + 1
  self.loss = loss or self.loss
  if self.on_terminal then
    local now = self.clock()
    -- On a page the last drawing stays.
    local is_last = self.page_id and self.at_step == self.steps and self.at_epoch == self.epochs
    if is_last or now - self.drawn_at >= M.interval then draw(self, now) end
  end
  return self
end

--- One epoch is done: prints a line that stays, "label epoch 3/10  <text>  12 s", on a terminal and
-- in a log alike.
-- @tparam ?string text what to say of it, as for string.format
-- @param ... values for the format
-- @treturn Bar itself
function Bar:epoch(text, ...)
  if text ~= nil and type(text) ~= "string" then
    raise("progress: epoch: text: expected a string, got " .. options.describe(text))
  end
  local now = self.clock()
  local parts = {head(self), M.duration(now - self.epoch_started)}
  if parts[1] == "" then table.remove(parts, 1) end
  if text then table.insert(parts, #parts, select("#", ...) > 0 and plainly(string.format, text, ...) or text) end
  self:print(table.concat(parts, "  "))
  self.at_epoch, self.at_step, self.epoch_started = self.at_epoch + 1, 0, now
  return self
end

--- Prints a line without spoiling the bar.
-- @tparam string text
-- @treturn Bar itself
function Bar:print(text)
  clear(self)
  self.stream:write(tostring(text), "\n")
  self.stream:flush()
  self.drawn_at = -math.huge -- the next step draws the bar again
  return self
end

--- Wipes the bar; in a notebook it stays, as it was last. Called by itself where the bar is a `<close>` variable, after
-- an error too.
function Bar:close()
  clear(self)
  self.stream:flush()
end

Bar.__close = Bar.close

-- A bar needs a terminal that can wipe a line, or a page.
local function can_draw()
  if page.display then return true end
  local term = os.getenv "TERM"
  return core.isatty(1) and term ~= nil and term ~= "" and term ~= "dumb"
end

local FROM_ONE = options.kind("int", "a whole number from 1", function(value)
  return math.type(value) == "integer" and value >= 1 and value or nil
end)
local new_options = options.declare("progress.new", {
  {"steps", FROM_ONE, 1, "steps an epoch"}, {"epochs", FROM_ONE, 1}, {"label", "any", nil, "said first"},
  {"first", FROM_ONE, 1, "the epoch to begin with, for a resumed run"},
  {"done", "size", 0, "steps of it that are done"},
  {"stream", "any", nil, "where to write (default: standard output)"},
  {"terminal", "any", nil, "whether to draw (default: standard output is a terminal and `stream` is not given)"},
  {"width", "any", nil, "columns (default: COLUMNS, else 80)"}, {"clock", "any", nil, "function that tells seconds"},
})

--- Starts a bar.
-- @tparam ?table opts
-- @treturn Bar
function M.new(opts)
  opts = new_options(opts)
  local terminal = opts.terminal
  if terminal == nil then terminal = not opts.stream and can_draw() end
  local on_page = terminal and page.display and not opts.stream
  local clock = opts.clock or core.clock
  local now, steps, first, done = clock(), opts.steps, opts.first, opts.done
  return setmetatable({
    steps = steps, epochs = opts.epochs, label = opts.label,
    at_epoch = first, at_step = done, skipped = (first - 1) * steps + done,
    stream = opts.stream or io.stdout, on_terminal = terminal, page_id = on_page and page.new_id() or nil,
    width = opts.width or math.tointeger(tonumber(os.getenv "COLUMNS")) or 80,
    clock = clock, started = now, epoch_started = now, drawn_at = now, drawn = false,
  }, Bar)
end

core.methods_of(Bar, "bar")

return M
