--- The other side of a comparison: a Python that lives through the run, waits for a line and answers
-- with one. Python and PyTorch (or JAX) are looked for; without them every question is answered by nil, reason.
local core, files, json = require "latent.core", require "latent.base.files", require "latent.json"

local M = {}

local HERE = debug.getinfo(1, "S").source:match "^@(.*)peer%.lua$"
-- What each kind of peer runs, and the module that its Python must have.
local KINDS = {torch = {"peer.py", "torch"}, compile = {"peer.py --compile", "torch"}, jax = {"peer_jax.py", "jax"},
  -- which have programs of their own, tools/opinfo/generate.py and spec/support/onnx_run.py
  opinfo = {"", "torch, numpy"}, onnx = {"", "numpy, onnxruntime"}}

--- A Python that can be a peer: $PYTHON alone if set, else python3 of the path, else Debian's.
-- @tparam string kind torch, compile, jax, opinfo or onnx
-- @treturn ?string its name
function M.find(kind)
  local named = os.getenv "PYTHON"
  local list = named and named ~= "" and {named} or {"python3", "/usr/bin/python3"}
  for _, python in ipairs(list) do
    local test = ("%s -c 'import %s' >/dev/null 2>&1"):format(files.quote(python), KINDS[kind][2])
    if os.execute(test) then return python end
  end
end

local Peer = {}
Peer.__index = Peer

-- "A=1 B=2 " of a table, in order
local function assignments(environment)
  local words = {}
  for name, value in pairs(environment) do words[#words + 1] = name .. "=" .. files.quote(tostring(value)) end
  table.sort(words)
  return table.concat(words, " ")
end

local function environment_of(options)
  local n = options.threads
  local e = {OMP_NUM_THREADS = n, OPENBLAS_NUM_THREADS = n, MKL_NUM_THREADS = n}
  if options.isa == "avx2" then e.ONEDNN_MAX_CPU_ISA, e.ATEN_CPU_CAPABILITY = "AVX2", "avx2" end
  return e
end

--- Starts a peer.
-- @tparam table options `python`; `kind` (torch, compile or jax); `threads`; `isa` ("avx2": held to it)
-- @treturn Peer with field `version`; or nil and a message
function M.start(options)
  local fifo = os.tmpname()
  os.remove(fifo)
  if not os.execute("mkfifo -m 600 " .. files.quote(fifo)) then return nil, "mkfifo failed" end
  local self = setmetatable({log = fifo .. ".log"}, Peer)
  local command = ("env %s %s %s%s --threads %d > %s 2> %s"):format(assignments(environment_of(options)),
    files.quote(options.python), files.quote(HERE), KINDS[options.kind][1], options.threads, files.quote(fifo),
    files.quote(self.log))
  self.to = assert(io.popen(command, "w"))
  self.from = io.open(fifo, "r")
  os.remove(fifo)
  local answer, message = self:ask{ask = "version"}
  if not answer then
    self:close()
    return nil, message
  end
  self.version = answer.version
  return self
end

local function last_line(path)
  local text = files.read_all(path) or ""
  return text:match "([^\n]+)\n*$" or "it said nothing"
end

--- Sends a question and waits for the answer.
-- @tparam table question
-- @treturn table the answer; or nil and the reason
function Peer:ask(question)
  if self.dead then return nil, self.dead end
  core.ignore_sigpipe(function()
    self.to:write(json.encode(question), "\n")
    self.to:flush()
  end)
  local line = self.from:read "l"
  if not line then
    self.dead = "the peer died: " .. last_line(self.log)
    return nil, self.dead
  end
  local answer, message = json.decode(line)
  if not answer then return nil, message end
  if answer.error then return nil, answer.error end
  return answer
end

--- Prepares a case.
-- @tparam table spec `kind` and what that kind needs
-- @treturn {string,...} the variants in which the peer can run it; or nil and the reason
function Peer:prepare(spec)
  local answer, message = self:ask{ask = "prepare", spec = spec}
  if not answer then return nil, message end
  return answer.variants
end

--- A timer (n -> seconds) of one variant of the prepared case.
function Peer:timer(variant)
  return function(n)
    local answer, message = self:ask{ask = "run", variant = variant, n = n}
    if not answer then error(message, 0) end
    return answer.seconds
  end
end

--- Ends the process.
function Peer:close()
  core.ignore_sigpipe(function() self.to:close() end)
  self.from:close()
  os.remove(self.log)
end

Peer.__close = Peer.close

return M
