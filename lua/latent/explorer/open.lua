--- Opens the laboratory and the prompt of a page: its files are those that latent.explorer.page packs.
-- @module latent.explorer.open
local lt = require "latent"
local data = require "latent.data"
local files = require "latent.base.files"
local json = require "latent.json"
local lab = require "latent.explorer.lab"
local wire = require "latent.explorer.wire"

local M = {}

--- Where the page says what it holds.
M.LIST = "explorer.json"

-- Requests and answers travel as u8 tensors.
local function served(object)
  local answer = wire.server(object)
  return function(request)
    local bytes = answer(request:bytes())
    return lt.from_bytes(bytes, {#bytes}, "u8")
  end
end

local function open_lab(models)
  local list = assert(json.decode(assert(files.read_all(M.LIST))))
  local function read_set(size) return data.mnist{split = "test", mini = true, size = size} end
  return lab.new(list.models, lab.maker(models), read_set), list
end

--- What answers the requests of the chapters.
-- @tparam table models exercises/models.lua
-- @treturn function of a u8 tensor; returns another
function M.lab(models) return served((open_lab(models))) end

--- What answers those of the prompt.
-- @tparam table models
-- @tparam function new_prompt that of latent.explorer.prompt
-- @treturn function
function M.prompt(models, new_prompt)
  local opened, list = open_lab(models)
  return served(new_prompt(opened, list.sources))
end

return M
