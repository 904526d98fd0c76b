--- What disk.lua and kills.lua share: runs of tools/faults/training.lua in folders of their own, and what must hold of
-- such a folder whatever has happened in it.
local arguments = require "tools.arguments"
local checkpoint, files = require "latent.train.checkpoint", require "latent.base.files"
local core, safetensors, train = require "latent.core", require "latent.safetensors", require "latent.train"

local M = {}

local LUA = arg[-1] or "lua5.4"

--- The options of a command line: `--all`, `--seed n`, `--case text`.
function M.options()
  local parser = arguments.parser(arg[0])
  parser:flag("--all", "the whole, which takes long")
  parser:option("--seed", "of what is drawn"):convert(arguments.whole()):default "1"
  parser:option("--case", "this one alone")
  local o = parser:parse()
  math.randomseed(o.seed)
  return o
end

--- A folder for all of them; a `<close>` variable removes it.
function M.scratch()
  local path = os.tmpname()
  os.remove(path)
  assert(files.mkdir_p(path))
  return setmetatable({path = path}, {__close = function() files.capture("rm -rf -- " .. files.quote(path)) end})
end

--- Trains in a folder. @return the last line's word and sum (nil where there is none), all that was printed, and the
-- exit status (137 after SIGKILL, 124 where it hung)
function M.train(folder, environment, before)
  local output, status, said = files.capture(("%s env %s %s tools/faults/training.lua %s 2>&1"):format(
    before or "timeout -k 1 60", environment or "", LUA, files.quote(folder)))
  local text = output or said or ""
  local word, sum = text:match "(%l+)\t(%x+)$"
  return word, sum, text, output and 0 or math.tointeger(tonumber(status:match "%d+$"))
end

local function whole_picture(path)
  local bytes = files.read_all(path)
  return bytes == nil or bytes:sub(1, 4) == "\137PNG" and bytes:find("IEND", -12, true) ~= nil
end

--- What is wrong with a folder, in words, or nil. `blind`: writes got lost that were reported as made, of which only a
-- checkpoint can know; `killed`: its program had no time to clear up.
function M.fault_in(folder, blind, killed)
  local path = folder .. "/run.ckpt"
  if checkpoint.exists(path) then
    local tensors, message = checkpoint.load(path)
    if not tensors then return message end
  end
  if not killed then
    for name in (files.capture("find " .. files.quote(folder)) or ""):gmatch "[^\n]+" do
      if name:find "%.tmp%-" or name:find "%.lock$" then return name .. ": left behind" end
    end
  end
  if blind then return nil end
  local log, message = train.read_log(folder .. "/log.jsonl", {steps = true})
  if not log and files.exists(folder .. "/log.jsonl") then return message end
  for i = 2, #(log and log.step or {}) do
    if log.step[i] ~= log.step[i - 1] + 2 then return "the log's steps are not one after the other" end
  end
  if not whole_picture(folder .. "/figs/loss.png") then return "half a picture" end
  if files.exists(folder .. "/best.safetensors") then
    local tensors, why = safetensors.load(folder .. "/best.safetensors")
    if not tensors then return why end
  end
end

--- Goes on with a folder without any fault: nil where it ends as the uninterrupted run, else what is wrong.
function M.difference(folder, wanted)
  local word, sum, text = M.train(folder)
  if word ~= "done" or sum ~= wanted.sum then return "resumed, it ends otherwise: " .. text end
  if files.read_all(folder .. "/log.jsonl") ~= wanted.log then return "resumed, its log is another" end
  if text ~= wanted.text then return "resumed, it says: " .. text end
  return M.fault_in(folder)
end

--- The uninterrupted run: its sum, log and text, and how long it took.
function M.reference(folder)
  local start = core.clock()
  local word, sum, text = M.train(folder)
  assert(word == "done", text)
  return {sum = sum, text = text, log = assert(files.read_all(folder .. "/log.jsonl")), seconds = core.clock() - start}
end

return M
