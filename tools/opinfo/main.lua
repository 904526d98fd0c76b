--- PyTorch's operator database through the public API; `make opinfo` runs it. See --help.
local arguments = require "tools.arguments"
local files = require "latent.base.files"
local peers = require "bench.peer"
local accepted, cases, report, verdicts = require "tools.opinfo.accepted", require "tools.opinfo.cases",
  require "tools.opinfo.report", require "tools.opinfo.verdicts"

local SETS = {"sample", "reference", "extra", "fuzz", "modules", "optimizers"}
local GENERATE = debug.getinfo(1, "S").source:match "^@(.*)main%.lua$" .. "generate.py"
local NO_MODULE = 3 -- generate.py's status where PyTorch's own tests want a module that is not there

local function fail(message)
  io.stderr:write("opinfo: ", message, "\n")
  os.exit(2)
end

local function options(list)
  local parser = arguments.parser("opinfo", "PyTorch's operator database through the API.",
    "PYTHON=... names the Python to use; else python3, else Debian's.")
  parser:option("--set", "separated by commas"):convert(arguments.words(SETS)):default(table.concat(SETS, ","))
  parser:option("--op", 'names as in the table, without a variant and "nn.functional." too, separated by commas')
    :convert(arguments.words())
  parser:option("--dtype", "of the inputs; float64 passes at 1e-10"):choices{"float32", "float64"}:default "float32"
  parser:option("--out", "where the cases are written, and kept until PyTorch or the generator changes")
    :default "build/opinfo"
  parser:option("--cases", "run the cases that lie in this folder; no Python is asked")
  return parser:parse(list)
end

local function skip(reason)
  print("skipped: " .. reason)
  os.exit(0)
end

-- Writes the cases where they are not there, or old.
local function generate(o)
  local python = peers.find "opinfo"
  if not python then skip "no Python with PyTorch and NumPy (PYTHON=... names one)" end
  local command = ("%s -W ignore -B %s --out %s %s"):format(files.quote(python), files.quote(GENERATE),
    files.quote(o.out), table.concat(o.set, " "))
  local ok, _, status = os.execute(command)
  if status == NO_MODULE then skip(python .. " lacks a module that PyTorch's operator database wants") end
  if not ok then fail(("%s failed"):format(GENERATE)) end
end

-- op -> whether --op names it
local function chooser(list)
  if not list or list[1] == "all" then return nil end
  return function(op)
    for _, name in ipairs(list) do
      if cases.is_named(op, name) or cases.is_named(op, "nn.functional." .. name) then return true end
    end
    return false
  end
end

-- What accepted.lua holds and nothing needed.
local function write_unused(used)
  for _, refusal in ipairs(accepted.refusals) do
    if not used[refusal] then print("accepted, but did not occur: " .. refusal[1]) end
  end
  for _, difference in ipairs(accepted.differences) do
    if not used[difference] then print("accepted, but did not occur: " .. difference.why) end
  end
end

local function main(list)
  local o = options(list)
  io.stdout:setvbuf "line"
  if not o.cases then generate(o) end
  local results, used = {}, {}
  for _, set in ipairs(o.set) do
    local part, message = verdicts.of(o.cases or o.out, set, chooser(o.op), used, o.dtype == "float64")
    if not part then fail(message) end
    table.move(part, 1, #part, #results + 1, results)
  end
  local total = report.write(results, print)
  if #o.set == #SETS and not o.op then write_unused(used) end
  -- Where nothing ran nothing was shown.
  if total.run == 0 then fail "no case was run" end
  os.exit(total.failed == 0 and 0 or 1, true)
end

main(arg)
