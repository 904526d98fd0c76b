--- Runs side by side: `latent runs`, `latent compare`, and what a sweep shows at its end.
-- @module latent.experiment.compare
local declared = require "latent.experiment.options"
local files = require "latent.base.files"
local folder = require "latent.experiment.folder"
local json = require "latent.json"
local plot = require "latent.plot"
local records = require "latent.experiment.record"
local say = require "latent.experiment.say"
local sorted_keys = require "latent.base.sorted_keys"
local train = require "latent.train"

local M = {}

local HIDDEN = declared.hidden

local function shown(value)
  if value == nil then return "" end
  if type(value) == "table" then return ("%d values"):format(#value) end
  return type(value) == "number" and say.number(value) or tostring(value)
end

-- The names of single numbers of some records, in the order in which the runs said them.
local function number_names(list)
  local names, seen = {}, {}
  for _, record in ipairs(list) do
    for _, item in ipairs(record.items) do
      if item.kind == "number" and type(item.value) == "number" and not seen[item.name] then
        seen[item.name] = true
        names[#names + 1] = item.name
      end
    end
  end
  return names
end

-- The options in which records differ.
local function differing(list)
  local names, all = {}, {}
  for _, record in ipairs(list) do
    for name in pairs(record.options) do all[name] = true end
  end
  for _, name in ipairs(sorted_keys(all)) do
    for _, record in ipairs(list) do
      if not HIDDEN[name] and record.options[name] ~= list[1].options[name] then
        names[#names + 1] = name
        break
      end
    end
  end
  return names
end

local function given_text(record)
  local parts = {}
  for _, name in ipairs(sorted_keys(record.given or {})) do
    if not HIDDEN[name] or name == "recipe" then
      parts[#parts + 1] = ("%s=%s"):format(name, shown(record.given[name]))
    end
  end
  return table.concat(parts, " ")
end

local function claims_text(record)
  local holds, all = 0, 0
  for _, item in ipairs(record.items) do
    if item.kind == "claim" then holds, all = holds + (item.holds and 1 or 0), all + 1 end
  end
  return all > 0 and ("%d/%d"):format(holds, all) or ""
end

--- The table of `latent runs`.
-- @tparam string out the folder of all runs
-- @tparam ?string name of one script
-- @treturn {{string,...},...} rows, the head first
function M.runs(out, name)
  local rows = {{"run", "when", "status", "claims", "options", "numbers"}}
  for _, path in ipairs(folder.list(out, name)) do
    local record, message = folder.read(path)
    local run = path:match "[^/]*/[^/]*$"
    rows[#rows + 1] = record and {run, os.date("%Y-%m-%d %H:%M", record.started), folder.status(record),
      claims_text(record), given_text(record), say.numbers(record.items)} or {run, "", "damaged", "", "", message}
  end
  return rows
end

--- Two or more runs side by side.
-- @tparam {table,...} list records
-- @treturn {{string,...},...} rows: the options that differ, then all numbers; the head first
function M.side_by_side(list)
  local rows = {{""}}
  for i, record in ipairs(list) do rows[1][i + 1] = record.folder:match "[^/]*/[^/]*$" end
  local function row(name, value_of)
    local cells = {name}
    for i, record in ipairs(list) do cells[i + 1] = shown(value_of(record)) end
    rows[#rows + 1] = cells
  end
  for _, name in ipairs(differing(list)) do row("--" .. name, function(record) return record.options[name] end) end
  for _, name in ipairs(number_names(list)) do
    row(name, function(record) return records.numbers(record)[name] end)
  end
  return rows
end

--- The training curves of some runs in one figure: the loss of each training, and of the validation where there is one.
-- @tparam {table,...} list records
-- @treturn ?table a figure; nil where none of them has trained
function M.curves(list)
  local lines = {}
  for _, record in ipairs(list) do
    local label = record.folder:match "[^/]*/[^/]*$"
    for _, weights in ipairs(record.weights or {}) do
      local log = weights.trained and train.read_log(files.join(record.folder,
        weights.name .. ".jsonl"))
      if log and log.train_loss then
        lines[#lines + 1] = {y = log.train_loss, label = ("%s %s"):format(label, weights.name)}
        if log.val_loss then
          lines[#lines + 1] = {y = log.val_loss, label = ("%s %s, validation"):format(label, weights.name),
            dashed = true}
        end
      end
    end
  end
  if #lines == 0 then return nil end
  lines.title, lines.xlabel, lines.ylabel = "Training curves", "epoch", "loss"
  return plot.lines(lines)
end

-- Runs grouped by all options that differ but the seed: {settings text, value of the first axis, records}.
local function groups_of(list, axes)
  local groups, by_key = {}, {}
  for _, record in ipairs(list) do
    local parts = {}
    for _, name in ipairs(axes) do parts[#parts + 1] = ("%s=%s"):format(name, shown(record.options[name])) end
    local key = table.concat(parts, " ")
    if not by_key[key] then
      by_key[key] = {key = key, records = {}, options = record.options}
      groups[#groups + 1] = by_key[key]
    end
    table.insert(by_key[key].records, record)
  end
  return groups
end

local function summary(values)
  local sum = 0
  for _, value in ipairs(values) do sum = sum + value end
  return sum / #values, math.min(table.unpack(values)), math.max(table.unpack(values))
end

local function values_of(group, name)
  local values = {}
  for _, record in ipairs(group.records) do
    local value = records.numbers(record)[name]
    if type(value) == "number" then values[#values + 1] = value end
  end
  return values
end

--- What a sweep found: a row for each setting, means over the seeds with the lowest and the highest.
-- @tparam {table,...} list records
-- @treturn {{string,...},...} rows, the head first
-- @treturn {string,...} the options that were swept, without the seed
-- @treturn {table,...} the groups
function M.sweep(list)
  local axes = {}
  for _, name in ipairs(differing(list)) do
    if name ~= "seed" then axes[#axes + 1] = name end
  end
  local names, groups = number_names(list), groups_of(list, axes)
  local rows = {{#axes > 0 and table.concat(axes, ", ") or "", "runs", table.unpack(names)}}
  for _, group in ipairs(groups) do
    local cells = {#axes > 0 and group.key or "all", ("%d"):format(#group.records)}
    for _, name in ipairs(names) do
      local values = values_of(group, name)
      if #values == 0 then
        cells[#cells + 1] = ""
      else
        local mean, low, high = summary(values)
        cells[#cells + 1] = #values == 1 and say.number(mean)
          or ("%s (%s to %s)"):format(say.number(mean), say.number(low), say.number(high))
      end
    end
    rows[#rows + 1] = cells
  end
  return rows, axes, groups
end

-- A value in a file of comma-separated values (RFC 4180), numbers with all their digits.
local function csv_cell(value)
  if value == nil then return "" end
  if type(value) == "table" then return ("%d values"):format(#value) end
  if math.type(value) == "float" then return value ~= value and "nan" or json.encode(value) end
  local text = tostring(value)
  return text:find '[",\r\n]' and '"' .. text:gsub('"', '""') .. '"' or text
end

--- What a sweep found, for other programs: a line for each run, with the options that differ and all numbers.
-- @tparam {table,...} list records
-- @treturn string
function M.csv(list)
  local axes, names = differing(list), number_names(list)
  local cells = {"run"}
  table.move(axes, 1, #axes, #cells + 1, cells)
  table.move(names, 1, #names, #cells + 1, cells)
  local lines = {table.concat(cells, ",")}
  for i, record in ipairs(list) do
    local numbers = records.numbers(record)
    cells = {csv_cell(record.folder:match "[^/]*/[^/]*$")}
    for _, name in ipairs(axes) do cells[#cells + 1] = csv_cell(record.options[name]) end
    for _, name in ipairs(names) do cells[#cells + 1] = csv_cell(numbers[name]) end
    lines[i + 1] = table.concat(cells, ",")
  end
  return table.concat(lines, "\n") .. "\n"
end

--- A figure for each number of a sweep over one numeric option: its mean against the option, the range as thin lines.
-- @tparam {string,...} axes as `sweep` returns them
-- @tparam {table,...} groups likewise
-- @tparam {string,...} names of numbers
-- @treturn {table,...} {name, figure}
function M.sweep_figures(axes, groups, names)
  local figures = {}
  local axis = axes[1]
  if #axes ~= 1 or #groups < 2 then return figures end
  table.sort(groups, function(a, b)
    local u, v = a.options[axis], b.options[axis]
    return type(u) == "number" and type(v) == "number" and u < v
  end)
  local x = {}
  for i, group in ipairs(groups) do
    if type(group.options[axis]) ~= "number" then return figures end
    x[i] = group.options[axis]
  end
  local log = x[1] > 0 and x[#x] / x[1] >= 50
  for _, name in ipairs(names) do
    local mean, low, high, whole = {}, {}, {}, true
    for i, group in ipairs(groups) do
      local values = values_of(group, name)
      if #values == 0 then whole = false break end
      mean[i], low[i], high[i] = summary(values)
    end
    if whole then
      local lines = {{x = x, y = mean, label = "mean"}, markers = true, title = ("%s against %s"):format(name, axis),
        xlabel = axis, ylabel = name, log = log and "x" or nil}
      if #groups[1].records > 1 then
        lines[2], lines[3] = {x = x, y = low, label = "lowest", dashed = true}, {x = x, y = high, label = "highest",
          dashed = true}
      end
      figures[#figures + 1] = {name, plot.lines(lines)}
    end
  end
  return figures
end

M.number_names = number_names

return M
