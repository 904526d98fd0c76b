-- The process's locale reaches no file: decimal points, the order of names, what is a letter.
local core, files = require "latent.core", require "latent.base.files"
local locales, scratch = require "spec.support.locales", require "spec.support.scratch"

describe("under any locale", function()
  local place = locales.path()
  local folder, remove, wanted
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  -- In the same folder each time, whose name stands in some of the files.
  local function write_all(locale)
    local into = folder .. "/it"
    files.capture("rm -rf " .. files.quote(into))
    assert(files.mkdir_p(into))
    local command = "LOCPATH=%s LC_ALL=%s LUA_PATH=%s LUA_CPATH=%s lua5.4 spec/support/locales.lua %s %s 2>&1"
    local output, status, said = files.capture(command:format(files.quote(place), locale, files.quote(package.path),
      files.quote(package.cpath), locale, files.quote(into)))
    assert(output, said or status)
    local list = {}
    for _, name in ipairs(scratch.list(into)) do list[name] = files.read_all(into .. "/" .. name) end
    return list
  end

  for _, locale in ipairs(locales.names) do
    it(locale .. ", every file has the same bytes, and can be read", function()
      if not place then pending "localedef and its sources are needed" end
      wanted = wanted or write_all "C"
      local count = 0
      local found = write_all(locale)
      for name, bytes in pairs(wanted) do
        assert.is_true(bytes == found[name], name)
        count = count + 1
      end
      for name in pairs(found) do assert.is_string(wanted[name], name) end
      assert.is_true(count >= 12)
    end)
  end

  it("an error is the same as elsewhere, and the locale stays", function()
    local ok, message = pcall(core.plainly, error, {1})
    assert.same({false, {1}}, {ok, message})
    assert.same({n = 3, 1, nil, nil}, table.pack(core.plainly(function(...) return ... end, 1, nil, nil)))
    local _, trace = xpcall(core.plainly, debug.traceback, function() return #nil + 1 end)
    assert.matches("locale_spec.lua:%d+: in function", trace) -- from the place of the error
  end)
end)
