-- Makes the lines that spec/guard_spec.lua types at the prompt: every field of every library overwritten, one after
-- the other, and then all; and a table `S` that does and undoes it, from what it took before.
local ipairs, next, pairs, rawset, select, sort, type = ipairs, next, pairs, rawset, select, table.sort, type
local collectgarbage, error = collectgarbage, error

local M = {}

-- The tables, each {name, table, whether it is one of Lua's own}.
local function places()
  local list, library = {{"_G", _G, true}}, {}
  for name, value in pairs(package.loaded) do
    if type(value) == "table" and name ~= "_G" then library[#library + 1] = {name, value, not name:find "^latent"} end
  end
  sort(library, function(a, b) return a[1] < b[1] end)
  for _, place in ipairs(library) do list[#list + 1] = place end
  list[#list + 1] = {"strings", debug.getmetatable "", true}
  list[#list + 1] = {"files", debug.getmetatable(io.stdout), true}
  list[#list + 1] = {"file methods", debug.getmetatable(io.stdout).__index, true}
  list[#list + 1] = {"package.loaded", package.loaded, true}
  list[#list + 1] = {"tensors", debug.getmetatable(require("latent").ones(1)), false}
  list[#list + 1] = {"tensor methods", require("latent.core").methods, false}
  return list
end

-- Every field, each {name, table, key, value, whether it is one of Lua's own}.
function M.fields()
  local list = {}
  for _, place in ipairs(places()) do
    local keys = {}
    for key in next, place[2] do
      if type(key) == "string" and key ~= "S" then keys[#keys + 1] = key end
    end
    sort(keys)
    for _, key in ipairs(keys) do
      list[#list + 1] = {place[1] .. "." .. key, place[2], key, place[2][key], place[3]}
    end
  end
  return list
end

local fields = M.fields()
local JUNK = {function() error("spoilt", 0) end, 5}

-- Overwrites fields first..last with a function that raises, with a number, or with nothing. Nothing is collected
-- until `mend`: a tensor whose __gc is one of these fields would not be freed, and its memory lost.
function M.spoil(first, last, kind)
  collectgarbage "stop"
  for i = first, last do rawset(fields[i][2], fields[i][3], JUNK[kind]) end
end

function M.mend(first, last)
  for i = first, last do rawset(fields[i][2], fields[i][3], fields[i][4]) end
  collectgarbage "restart"
end

-- The lines for the prompt, how many times 42 is due as the answer, and how many times all other answers. Of the
-- library's own tables a few is what the prompt needs: there, one kind will do.
function M.lines()
  local lines, answers, whole, all = {}, 0, 0, #fields
  local function add(...)
    for i = 1, select("#", ...) do lines[#lines + 1] = (select(i, ...)) end
  end
  for kind = 1, 3 do
    for i, field in ipairs(fields) do
      if field[5] or kind == 1 then
        add(("S.spoil(%d, %d, %d)"):format(i, i, kind), ("'%s %d', 2 * 21"):format(field[1], kind))
        answers = answers + 1
        if field[5] then
          add("S.x, S.odd", 'help "relu"')
          whole = whole + 1
        end
        add(("S.mend(%d, %d)"):format(i, i))
      end
    end
    add(("S.spoil(1, %d, %d)"):format(all, kind), ("'everything %d', 2 * 21"):format(kind))
    add(("S.mend(1, %d)"):format(all))
    answers = answers + 1
  end
  return lines, answers, whole
end

M.x = require("latent").ones(2)
M.odd = setmetatable({}, {__tostring = function() error("odd", 0) end})

return M
