-- The notebooks of docs/notebooks run, at a small scale, and what is stored in them is what they draw.
local files = require "latent.base.files"
local image = require "latent.image"
local json = require "latent.json"
local kernel = require "latent.tools.kernel"
local scratch = require "spec.support.scratch"

local MOST = 300000 -- bytes, of a notebook in the repository

local function read(path) return assert(json.decode((assert(files.read_all(path))))) end

-- The bytes of base64.
local function bytes_of(text)
  local digits = {}
  for i, c in utf8.codes "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" do digits[c] = i - 1 end
  local parts, word, bits = {}, 0, 0
  for i = 1, #text do
    local digit = digits[text:byte(i)]
    if digit then
      word, bits = word << 6 | digit, bits + 6
      if bits >= 8 then
        bits = bits - 8
        parts[#parts + 1] = string.char(word >> bits & 255)
        word = word & (1 << bits) - 1
      end
    end
  end
  return table.concat(parts)
end

-- The pictures of a notebook: {cell, height, width, spread}.
local function pictures(notebook, folder)
  local list = {}
  for i, cell in ipairs(notebook.cells) do
    for _, output in ipairs(cell.outputs or {}) do
      local text = output.data and output.data["image/png"]
      if text then
        local path = scratch.write(folder, "picture.png", bytes_of(text))
        local x = assert(image.read(path))
        list[#list + 1] = {cell = i, height = x:size(1), width = x:size(2), spread = x:std():item()}
      end
    end
  end
  return list
end

local function texts(value) return type(value) == "table" and table.concat(value) or value end

-- What its outputs say, but for those of cells that are to fail.
local function check_outputs(notebook)
  local count = 0
  for i, cell in ipairs(notebook.cells) do
    if cell.cell_type == "code" then
      local tags = texts(cell.metadata.tags or "")
      local failed = false
      for _, output in ipairs(cell.outputs) do
        failed = failed or output.output_type == "error"
        assert(output.name ~= "stderr", ("cell %d: %s"):format(i, texts(output.text or "")))
      end
      assert.equal(tags:find "raises" ~= nil, failed, "cell " .. i)
      count = count + 1
    end
  end
  return count
end

local python, about = kernel.python()
local has_client = python and files.capture(files.quote(python) .. " -c 'import nbclient' 2>&1")

describe("the notebooks #slow", function()
  local folder, remove
  setup(function()
    folder, remove = scratch.folder()
  end)
  teardown(function() remove() end)

  for name, least in pairs{tour = 5, vae = 5, map = 6} do
    local path = ("docs/notebooks/%s.ipynb"):format(name)

    it(path .. " is small, for this kernel, and has its outputs", function()
      assert(#assert(files.read_all(path)) <= MOST)
      local notebook = read(path)
      assert.equal("latent", notebook.metadata.kernelspec.name)
      check_outputs(notebook)
      assert(#pictures(notebook, folder) >= least)
      for _, cell in ipairs(notebook.cells) do
        if cell.cell_type == "code" then assert(math.type(cell.execution_count) == "integer", texts(cell.source)) end
      end
    end)

    it(path .. " runs, and draws the same figures", function()
      if not has_client then
        pending("has a Python with ipykernel and nbclient (looked at " .. about
          .. "; `make notebook-test` installs them)")
        return
      end
      local quote = files.quote
      local install = "%s/bin/latent kernel install --prefix %s --python %s"
      assert(files.capture(install:format(quote(assert(files.capture "pwd")), quote(folder), quote(python))))
      local execute = "LATENT_FIGURES=png %s -B tools/jupyter/execute.py --small --kernels %s --out %s %s 2>&1; "
        .. "echo status $?"
      local said = files.capture(execute:format(quote(python), quote(folder), quote(folder), path))
      assert.matches("status 0$", said)
      local fresh, stored = read(folder .. "/" .. name .. ".ipynb"), read(path)
      assert(check_outputs(fresh) > 5)
      local now, before = pictures(fresh, folder), pictures(stored, folder)
      assert.equal(#before, #now)
      for i, picture in ipairs(now) do
        assert.equal(before[i].cell, picture.cell)
        assert(picture.spread > 0.02, "a blank picture in cell " .. picture.cell)
        -- Legends and ticks may take another place.
        assert(math.abs(picture.width - before[i].width) < 60, ("cell %d: %d pixels wide, stored are %d"):format(
          picture.cell, picture.width, before[i].width))
      end
    end)
  end
end)
