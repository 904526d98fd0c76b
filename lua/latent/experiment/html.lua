--- Pages of HTML: elements that escape their text, and the template of a page that needs no other file.
-- @module latent.experiment.html
local valid = require "latent.base.valid"

local M = {}

local ESCAPES = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;"}

--- A text as it stands in HTML: nothing in it is markup. What is not UTF-8, and control characters, become U+FFFD.
-- @tparam string|number text
-- @treturn string
function M.escape(text)
  return (valid(tostring(text)):gsub("[%c\127]", function(c) return (c == "\n" or c == "\t") and c or "\u{FFFD}" end)
    :gsub("[&<>\"']", ESCAPES))
end

local VOID = {img = true, br = true, meta = true}
local Node = {__name = "latent.experiment.html.node"}
Node.__tostring = function(node) return node.html end

local function attributes(t)
  local list = {}
  for name, value in pairs(t) do
    if type(name) == "string" and value then list[#list + 1] = (' %s="%s"'):format(name, M.escape(value)) end
  end
  table.sort(list)
  return table.concat(list)
end

--- Elements: `html.tag.p{class = "note", "text & more", html.tag.b{"bold"}}`. Strings and numbers among the children
-- are escaped, `false` is left out, and so is an attribute that is false.
M.tag = setmetatable({}, {__index = function(tags, name)
  tags[name] = function(t)
    local parts = {("<%s%s>"):format(name, attributes(t))}
    for _, child in ipairs(t) do
      if child then parts[#parts + 1] = getmetatable(child) == Node and child.html or M.escape(child) end
    end
    if not VOID[name] then parts[#parts + 1] = ("</%s>"):format(name) end
    return setmetatable({html = table.concat(parts)}, Node)
  end
  return tags[name]
end})

-- Long tables and wide pictures scroll by themselves, so that the page never does sideways.
local STYLE = [[
:root{color-scheme:light dark;--ink:#1c2024;--soft:#5b636b;--paper:#fff;--line:#d9dee3;--tint:#f3f5f7;--link:#0b5cad}
@media (prefers-color-scheme:dark){
:root{--ink:#e4e7ea;--soft:#a3abb3;--paper:#14171a;--line:#343a40;--tint:#1e2327;--link:#7ab8f5}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:46rem;padding:1.25rem 1rem 3rem;background:var(--paper);color:var(--ink);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;overflow-wrap:break-word}
h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0}
h2{font-size:1.3rem;line-height:1.25;margin:0 0 .5rem}
section{border-top:1px solid var(--line);margin-top:2rem;padding-top:1.5rem}
a{color:var(--link)}
p{margin:.75rem 0}
code{font:.9em ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;background:var(--tint);border-radius:.2rem;
padding:.1em .3em}
.question{font-size:1.1rem;color:var(--soft);margin-top:0}
.lead,figcaption,.caption,summary,.foot{color:var(--soft);font-size:.9rem}
.note{background:var(--tint);border-left:.25rem solid var(--link);padding:.6rem .8rem}
ul.claims{list-style:none;margin:.75rem 0;padding:0}
.claims li{border-left:.25rem solid;margin:.4rem 0;padding:.1rem .8rem}
.claims .holds{border-color:#1a7f4b}
.claims .fails{border-color:#c2410c}
.claims .why{color:var(--soft);display:block;font-size:.9rem}
nav ol{list-style:none;margin:0;padding:0}
nav li{border-bottom:1px solid var(--line);padding:.45rem 0}
nav li:last-child{border:0}
nav li>span{color:var(--soft);display:block;font-size:.9rem}
.scroll{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;min-width:100%}
.caption{margin:1.25rem 0 0}
.caption+.scroll{margin-top:.3rem}
th,td{border-bottom:1px solid var(--line);padding:.3rem .55rem;text-align:right;white-space:nowrap}
th:first-child{text-align:left;padding-left:0}
tbody th{font-weight:400}
tbody th{white-space:normal;min-width:8rem}
.words{white-space:normal}
figure{margin:1.5rem 0}
figure .scroll{margin:0 0 .4rem}
img{background:#fff;border-radius:.25rem;display:block;height:auto;margin:0 auto;max-width:100%}
@media (max-width:40rem){img.wide{max-width:none;width:36rem}img.panels{max-width:none;width:54rem}}
details{margin:1rem 0}
summary{cursor:pointer}
dl{display:grid;font-size:.9rem;gap:.2rem 1rem;grid-template-columns:max-content 1fr;margin:.6rem 0}
dt{color:var(--soft)}
dd{margin:0;min-width:0}
]]

--- A whole page.
-- @tparam string title
-- @tparam table body elements and texts
-- @treturn string
function M.page(title, body)
  local h = M.tag
  local head = h.head{
    h.meta{charset = "utf-8"},
    h.meta{name = "viewport", content = "width=device-width, initial-scale=1"},
    h.title{title},
    setmetatable({html = "<style>\n" .. STYLE .. "</style>"}, Node),
  }
  return "<!DOCTYPE html>\n" .. h.html{lang = "en", head, h.body(body)}.html .. "\n"
end

return M
