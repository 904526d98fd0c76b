--- The options of a script: declared once, with their defaults and limits, and read from the command line. `--help`,
-- messages and the record of a run come from the same declaration.
-- @module latent.experiment.options
local core = require "latent.core"
local options = require "latent.base.options"
local say = require "latent.experiment.say"

local raise = core.raise

local M = {}

local NAME = "experiment.begin"
local FIELDS = {"default", "help", "min", "max", "above", "choices"}

-- What every script has, unless it declares an option of the same name itself.
local COMMON = {
  seed = {1, "where all random numbers start", min = 0},
  threads = {0, "threads of the core, 0 for one a processor", min = 0, max = 64},
  data = {"mnist", "the set that e:data() reads", choices = {"mnist", "fashion", "mini"}},
  out = {"", "the folder of all runs (default: runs; runs/NAME where e:data() reads another set than mnist)"},
  resume = {false, "go on where a run with the same options stopped"},
  reuse = {false, "take weights that are there instead of training"},
  parts = {0, "parts that each batch is cut into, for the same bits on any number of ranks; 0 for none, under mpirun "
    .. "8 or the next number that the ranks divide", min = 0, max = 65536},
  format = {"png", "of the figures", choices = {"png", "svg", "pdf"}},
}

--- These say where and how a run goes, and change no number in it; a recipe is told by what it sets.
M.hidden = {out = true, threads = true, resume = true, format = true, recipe = true}

-- What the command line knows besides.
local RESERVED = {help = true, settings = true, recipe = true}

local function name_of(value) return type(value) == "number" and say.digits(value, 14) or tostring(value) end

-- "a whole number from 1 to 64", for messages and the help.
local function expectation(o)
  if o.choices then
    local names = {}
    for i, choice in ipairs(o.choices) do names[i] = name_of(choice) end
    return "one of " .. table.concat(names, ", ")
  elseif o.kind == "string" then
    return "a text in UTF-8"
  end
  local kind = o.kind == "integer" and "a whole number" or "a number"
  if o.above and o.max then return ("%s above %s and at most %s"):format(kind, name_of(o.above), name_of(o.max)) end
  if o.above then return ("%s above %s"):format(kind, name_of(o.above)) end
  if o.min and o.max then return ("%s from %s to %s"):format(kind, name_of(o.min), name_of(o.max)) end
  if o.min then return ("%s of at least %s"):format(kind, name_of(o.min)) end
  if o.max then return ("%s of at most %s"):format(kind, name_of(o.max)) end
  return kind
end

-- Whether a value is what an option takes; as an integer where that is its kind.
local function fit(o, value)
  if o.choices then
    for _, choice in ipairs(o.choices) do
      if choice == value then return value end
    end
    return nil
  elseif o.kind == "boolean" or o.kind == "string" then
    return type(value) == o.kind and (o.kind == "boolean" or utf8.len(value)) and value or nil
  end
  if type(value) ~= "number" or value ~= value or math.abs(value) == math.huge then return nil end
  if o.kind == "integer" then value = math.tointeger(value) end
  if not value or o.min and value < o.min or o.max and value > o.max or o.above and value <= o.above then return nil end
  return value
end

local function kind_of(name, default)
  local kind = math.type(default) or type(default)
  if kind == "integer" or kind == "float" or kind == "string" or kind == "boolean" then return kind end
  raise(("%s: options: %s: expected a number, a text or a boolean as default, got %s"):format(NAME, name,
    options.describe(default)))
end

-- What a declaration says beside the default.
local function check_limits(o)
  local at = ("options: %s: "):format(o.name)
  for _, key in ipairs{"min", "max", "above"} do
    if o[key] ~= nil and (o.kind ~= "integer" and o.kind ~= "float") then
      raise(("%s: %s%s: a limit of numbers, and the default is none"):format(NAME, at, key))
    end
    if o[key] ~= nil then options.expect(NAME, at .. key, o[key], "finite") end
  end
  if o.choices ~= nil then options.expect(NAME, at .. "choices", o.choices, "list") end
  if o.help ~= nil then options.expect(NAME, at .. "help", o.help, "string") end
end

-- One declaration: `epochs = 50` or `epochs = {50, "what it is", min = 1}`.
local function declare(name, given)
  if type(name) ~= "string" or not name:find "^%a[%w_]*$" then
    raise(("%s: options: expected names of letters, digits and _, got %s"):format(NAME, options.describe(name)))
  end
  local o = {name = name}
  if type(given) == "table" and not core.is_tensor(given) then
    for key, value in pairs(given) do o[key == 1 and "default" or key == 2 and "help" or key] = value end
    o.name = nil
    options.check(("%s: options: %s"):format(NAME, name), o, FIELDS)
    o.name = name
  else
    o.default = given
  end
  o.kind = kind_of(name, o.default)
  check_limits(o)
  if o.kind == "boolean" and o.default then
    raise(("%s: options: %s: a flag is false unless it is given; turn its meaning round"):format(NAME, name))
  end
  if o.kind ~= "boolean" and fit(o, o.default) == nil then
    raise(("%s: options: %s: the default: expected %s, got %s"):format(NAME, name, expectation(o),
      options.describe(o.default)))
  end
  return o
end

--- Declares a script's options and recipes.
-- @tparam ?table own name -> default, or {default, help, min =, max =, above =, choices =}; false takes a common
--   option away
-- @tparam ?table recipes name -> {option = value}
-- @treturn table for `read`: options by name, `recipes`
function M.declare(own, recipes)
  local known, removed = {}, {}
  for name, given in pairs(options.expect(NAME, "options", own or {}, "table")) do
    if RESERVED[name] then
      raise(("%s: options: %s: every script has an option of this name, which means something else"):format(NAME, name))
    elseif given == false and COMMON[name] then
      removed[name] = true
    else
      known[name] = declare(name, given)
    end
  end
  for name, given in pairs(COMMON) do
    if not known[name] and not removed[name] then
      known[name] = declare(name, given)
      known[name].common = true
    end
  end
  local names = {"default"}
  for recipe, values in pairs(options.expect(NAME, "recipes", recipes or {}, "table")) do
    options.expect(NAME, "recipes: name", recipe, "string")
    options.expect(NAME, "recipes." .. recipe, values, "table")
    if recipe ~= "default" then names[#names + 1] = recipe end
    for name, value in pairs(values) do
      local o = known[name]
      if not o then
        raise(("%s: recipes.%s: no option is called %s"):format(NAME, recipe, options.describe(name)))
      elseif fit(o, value) == nil then
        raise(("%s: recipes.%s.%s: expected %s, got %s"):format(NAME, recipe, name, expectation(o),
          options.describe(value)))
      end
    end
  end
  table.sort(names)
  if #names > 1 then
    known.recipe = declare("recipe", {"default", "a set of options that go together", choices = names})
    known.recipe.common = true
  end
  return {known = known, recipes = recipes or {}}
end

-- Text from the command line as a value of an option; nil and a message.
local function convert(o, text)
  if o.name == "out" and text == "" then return nil, "--out: expected a folder" end
  local value = text
  if o.kind == "integer" or o.kind == "float" then value = core.plainly(tonumber, text) end
  value = value ~= nil and fit(o, value)
  if value == nil or value == false then
    return nil, ('--%s: expected %s, got "%s"'):format(o.name, expectation(o), text)
  end
  return value
end

local function describe(o)
  local parts = {o.help}
  if o.kind ~= "boolean" then
    if o.choices or o.min or o.max or o.above then parts[#parts + 1] = expectation(o) end
    if o.default ~= "" then parts[#parts + 1] = "default " .. name_of(o.default) end
  end
  return table.concat(parts, "; ")
end

-- Own options first, then the common ones, each by name.
local function in_order(known)
  local list = {}
  for _, o in pairs(known) do list[#list + 1] = o end
  table.sort(list, function(a, b)
    if (a.common or false) ~= (b.common or false) then return not a.common end
    return a.name < b.name
  end)
  return list
end

local function parser_of(declared, script, question)
  local argparse = require "argparse"
  local parser = argparse(script, question)
  for _, o in ipairs(in_order(declared.known)) do
    if o.kind == "boolean" then
      parser:flag("--" .. o.name, describe(o))
    else
      parser:option("--" .. o.name, describe(o)):convert(function(text) return convert(o, text) end)
        :argname("<" .. (o.kind == "string" and "text" or "number") .. ">")
    end
  end
  parser:flag("--settings", "print the options that this call would run with, as JSON, and end")
  return parser
end

-- A negative number is a value, not an option: "--shift -1" as "--shift=-1", which argparse takes.
local function joined(words)
  local list, i = {}, 1
  while words[i] do
    local word, next_word = words[i], words[i + 1]
    if word:find "^%-%-[%w_]+$" and next_word and next_word:find "^%-%.?%d" then
      word, i = word .. "=" .. next_word, i + 1
    end
    list[#list + 1], i = word, i + 1
  end
  return list
end

--- Reads the words of a command line. `--help` prints the help and ends the program.
-- @tparam table declared by `declare`
-- @tparam {string,...} words
-- @tparam string script its name, for the help
-- @tparam ?string question what the script asks, for the help
-- @treturn ?table all options, by name; nil where the words make no sense
-- @treturn table|string those that were given; or the message
-- @treturn ?boolean whether --settings was among them
function M.read(declared, words, script, question)
  local found, problem = pcall(require, "argparse")
  if not found and tostring(problem):find "^module 'argparse' not found" then
    return nil, "experiment: the rock argparse is missing (Debian: lua-argparse; or: luarocks install argparse)"
  elseif not found then
    return nil, "experiment: the rock argparse cannot be loaded: " .. tostring(problem):match "^[^\n]*"
  end
  local parser = parser_of(declared, script, question)
  local ok, given = parser:pparse(joined(words))
  if not ok then return nil, given .. "\n(--help lists the options)" end
  local show = given.settings
  given.settings = nil
  local values = {}
  -- Who takes these two away means that nobody shall choose them.
  values.out, values.format = COMMON.out[1], COMMON.format[1]
  for name, o in pairs(declared.known) do values[name] = o.default end
  for name, value in pairs(declared.recipes[given.recipe or "default"] or {}) do values[name] = value end
  for name, value in pairs(given) do values[name] = value end
  return values, given, show
end

--- What of the options decides the numbers of a run: all but places, threads and the like.
-- @tparam table values by name
-- @treturn table
function M.decisive(values)
  local kept = {}
  for name, value in pairs(values) do
    -- Without parts a run is what it was before there were any.
    if not M.hidden[name] and not (name == "parts" and value == 0) then kept[name] = value end
  end
  return kept
end

--- Whether two tables of plain values are the same.
function M.same(a, b)
  for name, value in pairs(a) do
    if b[name] ~= value then return false end
  end
  for name in pairs(b) do
    if a[name] == nil then return false end
  end
  return true
end

return M
