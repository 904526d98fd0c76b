--- Runs exercises one after another, each in a process of its own, and sums up their answers.
local lt, files = require "latent", require "latent.files"
local support = require "exercises.support"

local M = {}

local HERE = debug.getinfo(1, "S").source:match "^@(.*)runner%.lua$"
local start = lt.clock()

--- Runs scripts of this folder with the options of this process; the first that fails ends it.
-- @tparam {string,...} scripts such as "01_autoencoder"
function M.run(scripts)
  local lowest, words = -1, {}
  while arg[lowest - 1] do lowest = lowest - 1 end -- the interpreter: options of its own may stand before the script
  for i, word in ipairs(arg) do words[i] = files.quote(word) end
  for _, name in ipairs(scripts) do
    print(("\n==== exercise %d: %s ===="):format(tonumber(name:sub(1, 2)), name:sub(4):gsub("_", " ")))
    io.stdout:flush()
    local script = files.quote(HERE .. name .. ".lua")
    -- Without a shell in between, which a Ctrl-C would end before the script has written its checkpoint.
    local command = ("exec %s %s %s"):format(files.quote(arg[lowest]), script, table.concat(words, " "))
    local ok, how, code = os.execute(command)
    if not ok then os.exit(how == "signal" and 128 + code or code) end
  end
end

--- A number of answers.json as the tables show it.
-- @tparam string quantity what it is
-- @tparam number value
function M.shown(quantity, value) return (quantity:find "%%$" and "%.1f" or "%.4g"):format(value) end

--- Prints the answers as a table, and ends with an error where one is missing.
-- @tparam {table,...} rows {exercise, quantity, key of answers.json, what it is compared with, none = text}:
-- `none` is shown where there may be no answer, and there is none
-- @tparam ?string against what the last column holds; without it there is none
function M.table(rows, against)
  local answers, missing = support.answers(), 0
  print(("\n%-9s %-38s %10s   %s"):format("exercise", "quantity", "ours", against or ""))
  for _, row in ipairs(rows) do
    local value = answers[row[3]]
    if not value and not row.none then missing = missing + 1 end
    print(("%-9s %-38s %10s   %s"):format(row[1], row[2],
      value and M.shown(row[2], value) or row.none or "missing", against and row[4] or ""))
  end
  print(("\nall in %.1f minutes"):format((lt.clock() - start) / 60))
  if missing > 0 then
    io.stderr:write(("%d answers are missing\n"):format(missing))
    os.exit(1)
  end
end

return M
