--- The command line of the exercises: `--name value`, `--name=value` and flags. Whatever makes no sense is
-- refused in one line, with exit code 1.
os.setlocale "C" -- tables, pages and file names are the same for everybody

local M = {}

local CHOICES = {data = {"mnist", "fashion", "mini"}, recipe = {"default", "sheet"}, betas = {"9", "5", "3"}}
-- Numbers: whole where their default is, and not below 0 unless said here.
local LEAST = {epochs = 1, sweep_epochs = 1, batch = 1, images = 1, map_steps = 1, latent = 1, side = 2,
  seeds = 1, valid = 1, candidates = 1, restarts = 1, chains = 1, draws = 4}
local MOST = {threads = 64, jobs = 64}
local POSITIVE = {lr = true, map_lr = true}

--- Ends the program with a message.
function M.fail(message)
  io.stderr:write(message, "\n")
  os.exit(1)
end

local function refuse(name, expected, text)
  M.fail(("--%s: expected %s, got %q"):format(name, expected, text))
end

local function number(name, text, default)
  local whole = math.type(default) == "integer"
  local value, least, most = tonumber(text), LEAST[name] or 0, MOST[name] or math.huge
  local expected = (whole and "a whole number" or "a number") .. (POSITIVE[name] and " above 0"
    or MOST[name] and (" from %d to %d"):format(least, most) or (" of at least %d"):format(least))
  if whole then value = value and math.tointeger(value) end
  local fits = value and value >= least and value <= most and value < math.huge
  if not fits or (POSITIVE[name] and value == 0) then refuse(name, expected, text) end
  return value
end

local function choice(name, text)
  for _, value in ipairs(CHOICES[name]) do
    if value == text then return text end
  end
  refuse(name, "one of " .. table.concat(CHOICES[name], ", "), text)
end

local function convert(name, text, default)
  if math.type(default) then return number(name, text, default) end
  return CHOICES[name] and choice(name, text) or text
end

local function usage(known)
  local names = {}
  for name in pairs(known) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do names[i] = ("--%s %s"):format(name, tostring(known[name])) end
  return "options, with their defaults:\n  " .. table.concat(names, "\n  ")
end

--- Reads the words of a command line.
-- @tparam {string,...} words
-- @tparam table known name -> default
-- @treturn table name -> value, of those that are given
function M.parse(words, known)
  local given, i = {}, 1
  while words[i] do
    local name, value = words[i]:match "^%-%-([%w_]+)=(.*)$"
    name = name or words[i]:match "^%-%-([%w_]+)$"
    if name == "help" then
      print(usage(known))
      os.exit(0)
    elseif not name or known[name] == nil then
      M.fail(("unknown option %q; %s"):format(words[i], usage(known)))
    elseif type(known[name]) == "boolean" then
      if value then refuse(name, "no value", value) end
      given[name] = true
    else
      if not value then
        i = i + 1
        value = words[i]
      end
      if not value or value == "" or value:find "^%-%-" then M.fail(("--%s: a value is missing"):format(name)) end
      given[name] = convert(name, value, known[name])
    end
    i = i + 1
  end
  if given.demo and given.data and given.data ~= "mini" then refuse("data", "mini with --demo", given.data) end
  return given
end

return M
