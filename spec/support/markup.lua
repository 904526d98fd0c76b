--- For specs: a strict reader of the HTML that the report writes.

local M = {}

local VOID = {img = true, br = true, meta = true}

--- Reads a page; raises where a tag is not closed, closed twice, an attribute is not quoted or a text holds a bare
-- "<", ">" or "&".
-- @treturn {table,...} the elements in their order: name, attributes, text (all within, entities as they stand)
function M.read(page)
  local body = assert(page:match "^<!DOCTYPE html>\n(.*)$", "no document type")
  local elements, open, at = {}, {}, 1
  local function text(upto)
    local part = body:sub(at, upto)
    local style = open[#open] and open[#open].name == "style"
    assert(style or not part:gsub("&#?%w+;", ""):find "[&>]", "bare text: " .. part:sub(1, 80))
    for _, element in ipairs(open) do element.text = element.text .. part end
  end
  while true do
    local first, last, slash, name, rest = body:find("<(/?)(%a%w*)([^<>]*)>", at)
    text((first or #body + 1) - 1)
    if not first then break end
    assert(not body:sub(at, first - 1):find "<", "bare < before " .. name)
    if slash == "/" then
      local top = table.remove(open)
      assert(top and top.name == name, ("</%s> closes <%s>"):format(name, top and top.name or "nothing"))
    else
      local element = {name = name, attributes = {}, text = ""}
      local left = rest:gsub(' ([%w%-]+)="([^"]*)"', function(key, value)
        assert(element.attributes[key] == nil, key .. " is given twice")
        element.attributes[key] = value
        return ""
      end)
      assert(left == "", ("<%s>: attributes: %s"):format(name, left))
      elements[#elements + 1] = element
      if not VOID[name] then open[#open + 1] = element end
    end
    at = last + 1
  end
  assert(#open == 0, "not closed: " .. (open[#open] and open[#open].name or ""))
  return elements
end

--- The elements of a name.
function M.all(elements, name)
  local list = {}
  for _, element in ipairs(elements) do
    if element.name == name then list[#list + 1] = element end
  end
  return list
end

return M
