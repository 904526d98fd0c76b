--- Runs exercises one after another, each in a process of its own, and sums up the numbers that they found.
--   lua5.4 tools/exercises.lua sheet --recipe sheet --seed 3        the eight of the answer sheet
--   lua5.4 tools/exercises.lua beyond                               those that go beyond it
-- Options that all of them know are handed on; with --resume, a training that is done is not done again.
local lt, files, json = require "latent", require "latent.base.files", require "latent.json"
local folder, say = require "latent.experiment.folder", require "latent.experiment.say"
local machine, records = require "latent.experiment.machine", require "latent.experiment.record"

-- Exercise 4 comes first: its classifier reads the pictures of the others.
local PARTS = {
  sheet = {"04_classifier", "01_autoencoder", "02_latent_scatter", "03_nearest_neighbour", "05_generator",
    "06_denoise_bottleneck", "07_vae", "08_map_denoise"},
  beyond = {"09_beta_tuning", "10_map_beyond"},
}

local scripts = PARTS[arg[1]]
if not scripts then
  io.stderr:write("usage: tools/exercises.lua sheet|beyond [options of the exercises]\n")
  os.exit(1)
end

local words, clock = {}, lt.clock()
for i = 2, #arg do words[i - 1] = files.quote(arg[i]) end
words = table.concat(words, " ")
local function command_of(script)
  return ("%s %s %s"):format(files.quote(machine.interpreter()), files.quote("exercises/" .. script .. ".lua"), words)
end

-- What not every exercise knows is refused before the first of them trains for minutes.
local out = {}
for _, script in ipairs(scripts) do
  local text = files.capture(("{ %s --settings 2>&1; true; }"):format(command_of(script)))
  local settings = text and json.decode(text)
  if type(settings) ~= "table" then
    io.stdout:write(text or "", "\n") -- the help, where that was asked for
    os.exit(text and text:find "^Usage" and 0 or 1)
  end
  out[script] = settings.out
end

for _, script in ipairs(scripts) do
  print(("\n==== exercise %d: %s ===="):format(tonumber(script:sub(1, 2)), script:sub(4):gsub("_", " ")))
  io.stdout:flush()
  -- Without a shell in between, which a Ctrl-C would end before the script has written its checkpoint.
  local ok, how, code = os.execute("exec " .. command_of(script))
  if not ok then os.exit(how == "signal" and 128 + code or code) end
end

table.sort(scripts)
local rows, claims, hold = {{"exercise", "quantity", "here", "for comparison"}}, 0, 0
local failing, list = {}, {}
for _, script in ipairs(scripts) do
  local record = folder.newest(out[script], script, function() return true end)
  list[#list + 1] = record
  for _, item in ipairs(record.items) do
    if item.kind == "number" and type(item.value) == "number" then
      local unit, reference = item.unit and " " .. item.unit or "", item.reference
      rows[#rows + 1] = {script:sub(1, 2), item.label or item.name, say.number(item.value) .. unit, not reference and ""
        or ("%s (%s)"):format(type(reference) == "number" and say.number(reference) .. unit or reference, item.source)}
    elseif item.kind == "claim" then
      claims, hold = claims + 1, hold + (item.holds and 1 or 0)
      if not item.holds then failing[#failing + 1] = ("  %s: %s"):format(script:sub(1, 2), item.statement) end
    end
  end
end
local images = records.common_images(list)
say.table("What the exercises found" .. (images and " on " .. images or ""), rows)
print(("%d of %d claims hold; all in %.1f minutes"):format(hold, claims, (lt.clock() - clock) / 60))
if #failing > 0 then print("These do not hold:\n" .. table.concat(failing, "\n")) end
