--- For specs: what the documents say that can be checked.
local files = require "latent.base.files"

local M = {}

--- README and the chapters in docs.
function M.documents()
  local list = {"README.md"}
  for path in assert(files.capture "find docs c -name '*.md' | sort"):gmatch "[^\n]+" do list[#list + 1] = path end
  return list
end

--- The fenced blocks of a document.
-- @return a list of {info = what stands behind the fence, line, code}
function M.blocks(path)
  local list, block, number = {}, nil, 0
  for line in io.lines(path) do
    number = number + 1
    local info = line:match "^```(.*)$"
    if info and block then
      block.code = table.concat(block, "\n") .. "\n"
      list[#list + 1], block = block, nil
    elseif info then
      block = {info = info, line = number}
    elseif block then
      block[#block + 1] = line
    end
  end
  assert(not block, path .. ": a block without an end")
  return list
end

--- The text of a document without its blocks.
function M.prose(path)
  return (("\n" .. assert(files.read_all(path))):gsub("\n```.-\n```", ""))
end

return M
