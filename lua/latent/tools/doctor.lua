--- `latent doctor`: looks whether everything is there that the library needs, and says what to do where it is not.
-- @module latent.tools.doctor
local M = {}

local GIGABYTE = 1 << 30

-- A check returns "ok", "missing" (something needed) or "note" (something useful), and a text.
local function package_hint(debian, others) return ("install %s (Debian, Ubuntu)%s"):format(debian, others or "") end

local function lua_check()
  local major, minor = _VERSION:match "(%d+)%.(%d+)"
  if major == "5" and tonumber(minor) >= 4 then return "ok", _VERSION end
  return "missing", _VERSION .. ": expected Lua 5.4"
end

-- OpenBLAS's kernels for processors that have no AVX2.
local OLD = {}
for _, name in ipairs{"Katmai", "Coppermine", "Northwood", "Banias", "Atom", "Core2", "Penryn", "Dunnington", "Nehalem",
  "Sandybridge", "Athlon", "Opteron", "Opteron_SSE3", "Barcelona", "Nano", "Bobcat", "Bulldozer", "Piledriver",
  "Steamroller", "Prescott"} do
  OLD[name:lower()] = true
end
local BETTER = {avx2 = "Haswell", avx512 = "SkylakeX"}

local function blas_check(core)
  local text, message = core.blas()
  if not text then return "missing", message end
  local kernel, better = (text:match "kernel (%S+)$" or ""):lower(), BETTER[core.info().isa]
  if better and OLD[kernel] then
    local said = os.getenv "OPENBLAS_CORETYPE"
    return "note", ("%s%s: older than this processor, so linear algebra takes twice the time; %s"):format(text,
      said and " (by OPENBLAS_CORETYPE)" or "", said and "without that variable it has the right one"
        or "OPENBLAS_CORETYPE=" .. better .. " asks for another")
  end
  if text:find "^OpenBLAS" then return "ok", text end
  return "note", text .. ": keep it to one thread by its own means, for the same bits with any number of threads"
end

local function isa_check(core)
  local info = core.info()
  local forced = os.getenv "LATENT_ISA"
  return "ok", ("%s, %d-bit vectors%s"):format(info.isa, 8 * info.vector_bytes,
    forced and forced ~= "" and " (by LATENT_ISA)" or "")
end

local function threads_check(core)
  local from = core.info().threads_from
  local text = ("%d, from %s; LATENT_NUM_THREADS or lt.set_threads(n) changes that"):format(core.threads(), from)
  return from:find "is no number" and "note" or "ok", text
end

local function memory_check()
  local file = io.open "/proc/meminfo"
  local text = file and file:read "a" or ""
  if file then file:close() end
  local total, free = text:match "MemTotal:%s+(%d+)", text:match "MemAvailable:%s+(%d+)"
  if not (total and free) then return "ok", "not known on this system" end
  local shown = ("%.1f GB, %.1f GB of it free"):format(total * 1024 / GIGABYTE, free * 1024 / GIGABYTE)
  if free * 1024 < GIGABYTE / 2 then return "note", shown .. ": the exercises take up to 0.4 GB" end
  return "ok", shown
end

local function gnuplot_check()
  local gnuplot, files = require "latent.plot.gnuplot", require "latent.base.files"
  local program = gnuplot.executable()
  if not files.has_program(program) then
    return "note", program .. " is not found, so there are no figures: "
      .. package_hint("gnuplot-nox", ", or set LATENT_GNUPLOT")
  end
  local version = files.capture(files.quote(program) .. " --version 2>/dev/null") or "gnuplot of unknown version"
  local found, lacking = {}, {}
  for _, name in ipairs{"pngcairo", "svg", "pdfcairo", "sixelgd", "dumb", "qt", "wxt", "x11"} do
    if gnuplot.has_terminal(name) then found[#found + 1] = name end
  end
  local has = " " .. table.concat(found, " ") .. " "
  for _, name in ipairs{"pngcairo", "svg", "pdfcairo"} do
    if not has:find(" " .. name .. " ", 1, true) then lacking[#lacking + 1] = name end
  end
  local text = ("%s; terminals%s"):format(version, has:gsub(" $", ""))
  if #lacking == 0 then return "ok", text end
  return "note", ("%s; without %s: install a gnuplot built with cairo"):format(text, table.concat(lacking, ", "))
end

local function shown_check()
  local kind = require("latent.plot.terminal").detect()
  local texts = {kitty = "by kitty's protocol", sixel = "by sixel graphics", window = "in a window",
    text = "as text; LATENT_TERMINAL=sixel or kitty where the terminal can do more"}
  return "ok", "plot.show draws " .. texts[kind]
end

local function readline_check()
  local found, readline = pcall(require, "latent.readline")
  if found then return "ok", readline.version end
  return "note", "not built: the prompt has no line editing; " .. package_hint "libreadline-dev" .. " and build again"
end

local function jupyter_check()
  local kernel = require "latent.tools.kernel"
  local python, version = kernel.python()
  if not python then return "note", "no Python with ipykernel, so there are no notebooks: " .. kernel.hint() end
  local text = ("ipykernel %s of %s"):format(version, python)
  local place = kernel.installed(python)
  return "ok", text .. (place and ", kernel in " .. place or "; `latent kernel install` makes it find this library")
end

local function mpi_check()
  local files = require "latent.base.files"
  if not package.searchpath("latent.mpicore", package.cpath) then
    return "note", "not built: no training on several machines; " .. package_hint("libopenmpi-dev openmpi-bin",
      " and build again")
  elseif not files.has_program "mpirun" then
    return "note", "there is no mpirun: " .. package_hint "openmpi-bin"
  end
  return "ok", (files.capture "mpirun --version 2>/dev/null" or "mpirun of unknown version"):match "^[^\n]*"
end

local function zlib_check(core)
  -- The ten bytes and two lengths of an empty gzip member.
  local empty = "\31\139\8\0\0\0\0\0\0\3\3\0\0\0\0\0\0\0\0\0"
  if core.inflate(empty) == "" then return "ok", "reads gzip" end
  return "missing", "cannot read gzip: build again with zlib1g-dev"
end

local function data_check()
  local data, sources = require "latent.data", require "latent.data.sources"
  local dir, message = sources.locate_mnist()
  local mini = data.mnist{split = "test", mini = true}
  if not mini then return "missing", "the mini MNIST that belongs to the library cannot be read: install again" end
  if not dir then
    return "note", ("mini MNIST only; %s"):format(tostring(message):match "[^\n]*")
  end
  return "ok", "MNIST in " .. dir
end

-- Whether a file can be made in a folder, or in the first one above it that exists.
local function can_write(folder)
  local files = require "latent.base.files"
  local at = folder
  while not files.is_dir(at) and at ~= "/" and at ~= "." do at = files.dirname(at) end
  local path = files.temporary(files.join(at, ".latent-doctor"))
  local file, message = io.open(path, "wb")
  if not file then return false, message end
  file:close()
  os.remove(path)
  return true
end

local function writing_check()
  local sources = require "latent.data.sources"
  local history = require("latent.repl.history").path()
  local folders = {"runs", "plots", sources.cache "mnist",
    history and require("latent.base.files").dirname(history)}
  local good, bad = {}, {}
  for i = 1, 4 do
    local folder = folders[i]
    local ok, message = false, nil
    if folder then ok, message = can_write(folder) end
    if ok then good[#good + 1] = folder
    elseif folder then bad[#bad + 1] = ("%s (%s)"):format(folder, message) end
  end
  if #bad == 0 then return "ok", table.concat(good, ", ") end
  return "missing", "cannot write " .. table.concat(bad, ", ") .. ": change the rights, or work in another folder"
end

-- The library computes what it should, on all threads.
local function arithmetic_check()
  local lt = require "latent"
  local w = lt.param(lt.ones(300, 300))
  local loss = lt.ones(20, 300):matmul(w):sum()
  loss:backward()
  if loss:item() == 20 * 300 * 300 and w.grad:sum():item() == 300 * 300 * 20 then
    return "ok", "a product and its gradient are right"
  end
  return "missing", "a product of ones is wrong: please report it, with what this page says"
end

local CHECKS = {
  {"Lua", lua_check}, {"BLAS", blas_check}, {"kernels", isa_check}, {"arithmetic", arithmetic_check},
  {"threads", threads_check}, {"memory", memory_check}, {"gnuplot", gnuplot_check}, {"figures", shown_check},
  {"readline", readline_check}, {"jupyter", jupyter_check}, {"mpi", mpi_check}, {"zlib", zlib_check},
  {"data", data_check}, {"writing", writing_check},
}

--- Runs the checks.
-- @treturn {table,...} each {name, state = "ok", "note" (something useful lacks) or "missing" (something needed
-- lacks), text}
function M.check()
  local loaded, core = pcall(require, "latent.core")
  if not loaded then
    return {{name = "core", state = "missing", text = "cannot be loaded: " .. tostring(core):match "[^\n]*"}}
  end
  local list = {}
  for i, check in ipairs(CHECKS) do
    local ran, state, text = pcall(check[2], core)
    if not ran then state, text = "missing", "the check failed: " .. tostring(state) end
    list[i] = {name = check[1], state = state, text = text}
  end
  return list
end

--- The command: prints the checks.
-- @tparam {string,...} words behind it: none
-- @treturn int the exit status: 1 where something needed is missing
function M.main(words)
  if words[1] then
    io.stderr:write(("latent: doctor: expected nothing behind it, got %s\n"):format(words[1]))
    return 1
  end
  local status = 0
  for _, line in ipairs(M.check()) do
    if line.state == "missing" then status = 1 end
    print(("%-10s %-8s %s"):format(line.name, line.state, line.text))
  end
  print(status == 0 and "all that is needed is there" or "something needed is missing")
  return status
end

return M
