-- The same bits for any number of threads.
local lt = require "latent"
local op_cases = require "spec.support.op_cases"
local values = require "spec.support.values"
local core = require "latent.core"
local files = require "latent.base.files"
local optim = require "latent.optim"
local scratch = require "spec.support.scratch"

-- Large enough that the work is cut into several chunks.
local LARGE = {
  conv2d = {{{9, 17, 15, 16}, {3, 3, 16, 17}, {17}}, function(x, w, b) return lt.conv2d(x, w, b, {padding = 1}) end},
  conv_of_one = {{{33, 28, 28, 1}, {5, 5, 1, 6}, {6}}, function(x, w, b) return lt.conv2d(x, w, b, {padding = 2}) end},
  conv_of_few = {{{33, 14, 14, 6}, {5, 5, 6, 16}, {16}}, function(x, w, b) return lt.conv2d(x, w, b) end},
  conv_in_bands = {{{2, 130, 110, 1}, {3, 3, 1, 3}, {3}}, function(x, w, b) return lt.conv2d(x, w, b) end},
  conv_to_five = {{{35, 14, 14, 5}, {3, 3, 5, 5}, {5}}, function(x, w, b) return lt.conv2d(x, w, b, {padding = 1}) end},
  conv_transpose2d = {{{9, 8, 9, 16}, {3, 3, 16, 16}, {16}},
    function(x, w, b) return lt.conv_transpose2d(x, w, b, {stride = 2, padding = 1}) end},
  conv_of_many = {{{37, 4, 4, 128}, {3, 3, 128, 96}, {96}}, function(x, w, b)
    return lt.conv2d(x, w, b, {stride = 2, padding = 1})
  end},
  conv_of_uneven_groups = {{{32, 8, 8, 64}, {3, 3, 64, 80}, {80}}, function(x, w, b)
    return lt.conv2d(x, w, b, {stride = 2, padding = 1})
  end},
  conv_by_channels = {{{9, 17, 15, 40}, {3, 3, 1, 40}, {40}}, function(x, w, b)
    return lt.conv2d(x, w, b, {padding = 1, groups = 40})
  end},
  conv_up_by_channels = {{{5, 16, 17, 33}, {4, 4, 33, 1}, {33}}, function(x, w, b)
    return lt.conv_transpose2d(x, w, b, {stride = 2, padding = 1, groups = 33})
  end},
  conv_in_groups = {{{9, 17, 15, 24}, {3, 3, 8, 36}, {36}}, function(x, w, b)
    return lt.conv2d(x, w, b, {padding = 1, groups = 3})
  end},
  conv_of_one_tap = {{{16, 28, 28, 3}, {1, 1, 3, 3}, {3}}, function(x, w, b) return lt.conv2d(x, w, b) end},
  conv_transpose_of_many = {{{17, 4, 4, 96}, {3, 3, 96, 80}, {80}}, function(x, w, b)
    return lt.conv_transpose2d(x, w, b, {stride = 2, padding = 1, output_padding = 1})
  end},
  linear = {{{130, 300}, {300, 200}, {200}}, function(x, w, b) return lt.linear(x, w, b) end},
  matmul = {{{210, 130}, {130, 220}}, function(a, b) return lt.matmul(a, b) end},
  sum = {{{300, 401}}, function(x) return x:sum() end},
  sum_axis = {{{300, 401}}, function(x) return x:sum(1) end},
  mean = {{{50, 60, 70}}, function(x) return x:mean {1, 3} end},
  broadcast = {{{50, 60, 70}, {60, 1}}, function(a, b) return a * b end},
  softmax = {{{300, 401}}, function(x) return x:softmax(2) end},
  relu = {{{300, 401}}, function(x) return x:relu() end},
  exp = {{{300, 401}}, function(x) return x:exp() end},
  max_pool2d = {{{9, 33, 31, 16}}, function(x) return lt.max_pool2d(x, 2) end},
  max_pool2d_of_few = {{{35, 28, 29, 6}}, function(x) return lt.max_pool2d(x, 2) end},
  avg_pool2d = {{{9, 33, 31, 16}}, function(x) return lt.avg_pool2d(x, 3, {stride = 2}) end},
  upsample_nearest = {{{9, 16, 15, 16}}, function(x) return lt.upsample_nearest(x, 2) end},
  batch_norm_train = {{{9, 33, 31, 16}, {16}, {16}}, function(x, w, b) return (lt.batch_norm_train(x, w, b)) end},
  batch_norm_relu = {{{9, 33, 31, 16}, {16}, {16}},
    function(x, w, b) return (lt.batch_norm_train(x, w, b)):relu() end},
  batch_norm_residual = {{{9, 33, 31, 16}, {9, 33, 31, 16}, {16}},
    function(x, r, b) return ((lt.batch_norm_train(x, nil, b)) + r):leaky_relu(0.1) end},
  layer_norm = {{{900, 70}, {70}, {70}}, function(x, w, b) return lt.layer_norm(x, w, b) end},
  cdist = {{{3, 90, 20}, {3, 300, 20}}, function(a, b) return lt.cdist(a, b) end},
  lstm = {{{7, 300, 160}, {2, 300, 40}, {40, 160}}, function(a, s, w) return core.ops.lstm(a, s, w) end},
  group_norm = {{{9, 33, 31, 40}, {40}, {40}}, function(x, w, b) return lt.group_norm(x, w, b, 8) end},
  group_norm_of_one = {{{1, 53, 61, 24}, {24}, {24}}, function(x, w, b) return lt.group_norm(x, w, b, 24) end},
  sum_of_few_rows = {{{3, 40001}}, function(x) return x:sum(1) end},
  mse_loss = {{{300, 401}, {300, 401}}, function(x, t) return lt.mse_loss(x, t) end},
  gaussian_nll = {{{300, 401}, {300, 401}, {300, 401}}, function(m, v, t) return lt.gaussian_nll(m, v, t) end},
  cross_entropy = {{{900, 70}}, function(x) return lt.cross_entropy(x, lt.arange(900) % 70) end},
  block = {{{9, 33, 31, 3}, {3, 3, 3, 16}, {16}},
    function(x, w, b) return lt.max_pool2d(lt.conv2d(x, w, b, {padding = 1}):relu(), 2) end},
  -- fewer chunks than threads: slices of a chunk's gradients, by winners, by few channels, of a doubling block
  block_in_slices = {{{16, 8, 8, 16}, {3, 3, 16, 32}, {32}},
    function(x, w, b) return core.ops.conv_block(x, w, b, {padding = 1, activation = "relu", pool = 2}) end},
  block_of_few_in_slices = {{{16, 16, 16, 3}, {3, 3, 3, 32}, {32}},
    function(x, w, b) return core.ops.conv_block(x, w, b, {padding = 1, activation = "relu", pool = 2}) end},
  doubling_block_in_slices = {{{16, 4, 4, 32}, {3, 3, 32, 16}, {16}},
    function(x, w, b) return core.ops.conv_block(x, w, b, {padding = 1, upsample = 2, transposed = true}) end},
  block_without_pool_in_slices = {{{16, 6, 6, 33}, {5, 5, 33, 9}, {9}},
    function(x, w, b) return core.ops.conv_block(x, w, b, {padding = 2, activation = "relu"}) end},
  gaussian_kl = {{{900, 16}, {900, 16}}, function(m, v) return lt.gaussian_kl(m, v) end},
  linear_of_many_rows = {{{3000, 9}, {9, 200}, {200}}, function(x, w, b) return lt.linear(x, w, b) end},
  sum_of_a_middle_axis = {{{50, 60, 70}}, function(x) return x:sum(2) end},
  sum_of_outer_axes = {{{50, 60, 70}}, function(x) return x:sum {1, 3} end},
  transpose = {{{300, 401}}, function(x) return x:transpose() end},
  permute = {{{9, 33, 31, 16}}, function(x) return x:permute {1, 4, 2, 3} end},
  permute_of_runs = {{{9, 33, 31, 16}}, function(x) return x:permute {2, 1, 3, 4} end},
  cat = {{{40, 90, 30}, {40, 7, 30}}, function(a, b) return lt.cat({a, b}, 2) end},
  slice = {{{40, 90, 30}}, function(x) return x:slice(2, 3, 80) end},
  flip = {{{300, 401}}, function(x) return x:flip {1, 2} end},
  cumsum = {{{300, 401}}, function(x) return x:cumsum(1) end},
  cumprod = {{{30, 4001}}, function(x) return x:cumprod(1) end},
  prod = {{{300, 401}}, function(x) return x:prod(2) end},
  rows = {{{50, 1000}}, function(x) return x:index_select(1, (lt.arange(200) * 7 % 50 + 1):long()) end},
  elements = {{{900, 70}}, function(x) return x:gather(2, (lt.arange(900 * 40):reshape(900, 40) % 9 + 1):long()) end},
  scattered = {{{900, 70}, {900, 40}}, function(x, src)
    return x:scatter_add(2, (lt.arange(900 * 40):reshape(900, 40) % 9 + 1):long(), src)
  end},
  converted = {{{300, 401}}, function(x) return (x:double() * 2):float() end},
}

-- The most chunks of a parallel region in what f does, and what it returns.
local function most_chunks(f)
  core.regions_start()
  local result = f()
  local most = 0
  for _, region in ipairs((core.regions_stop())) do most = math.max(most, region.chunks) end
  return most, result
end

-- Output and gradients as bytes.
local function run(case)
  local inputs, list = {}, {}
  for i, shape in ipairs(case[1]) do inputs[i] = lt.param(values.tensor(lt, shape, i)) end
  local y = case[2](table.unpack(inputs))
  list[1] = y:bytes()
  y:backward(values.tensor(lt, y.shape, 11))
  for _, x in ipairs(inputs) do list[#list + 1] = x.grad:bytes() end
  return list
end

describe("any number of threads", function()
  local before = lt.threads()
  after_each(function() lt.set_threads(before) end)

  for name, case in pairs(LARGE) do
    it("gives the same bits in " .. name, function()
      lt.set_threads(1)
      local chunks, want = most_chunks(function() return run(case) end)
      assert(chunks > 1, "is not shared out")
      for _, threads in ipairs {2, 3, 8, 64} do
        lt.set_threads(threads)
        for i, bytes in ipairs(run(case)) do
          assert(bytes == want[i], ("%d threads: %s"):format(threads, i == 1 and "output" or "gradient " .. i - 1))
        end
      end
    end)
  end

  it("has equally many jobs of a convolution", function()
    local x, w = lt.randn(32, 16, 16, 64), lt.randn(3, 3, 64, 128)
    for _, threads in ipairs {2, 8, 16} do
      lt.set_threads(threads)
      local chunks = most_chunks(function() return lt.conv2d(x, w, {stride = 2, padding = 1}) end)
      assert.equal(0, chunks % threads)
    end
  end)

  it("gives the same bits in every small case of every op", function()
    for _, cases in pairs(op_cases.cases) do
      for _, case in ipairs(cases) do
        local results = {}
        for _, threads in ipairs {1, 2} do
          lt.set_threads(threads)
          local inputs = op_cases.inputs(lt, case)
          local y = case.f(lt, table.unpack(inputs))
          y:backward(values.tensor(lt, y.shape, 11))
          local bytes = {y:bytes()}
          for _, x in ipairs(inputs) do bytes[#bytes + 1] = x.grad and x.grad:bytes() or "" end
          results[threads] = table.concat(bytes)
        end
        assert(results[1] == results[2], op_cases.label(case))
      end
    end
  end)

  -- Two steps of one optimiser over parameters of several sizes, or of one over each.
  local function steps(name, options, together)
    local list, optimizers = {}, {}
    for i, n in ipairs {1, 17, 20001, 64, 100, 120300, 7} do
      local w = values.tensor(lt, {n}, i)
      list[i] = lt.param(i == 4 and w:double() or w)
      if not together then optimizers[i] = optim[name]({list[i]}, options) end
    end
    if together then optimizers[1] = optim[name](list, options) end
    for _ = 1, 2 do
      for _, w in ipairs(list) do
        w:zero_grad()
        w:square():sum():backward()
      end
      optim.clip_grad_norm(list, 1)
      for _, opt in ipairs(optimizers) do opt:step() end
    end
    for i, w in ipairs(list) do list[i] = w:bytes() end
    return table.concat(list)
  end

  for _, case in ipairs {{"SGD", {lr = 0.1}}, {"SGD", {lr = 0.1, momentum = 0.9}}, {"Adam", {lr = 0.1}},
    {"AdamW", {lr = 0.1, amsgrad = true}}, {"RMSprop", {lr = 0.1}}, {"RMSprop", {centered = true, momentum = 0.5}},
    {"Adagrad", {lr = 0.1}}} do
    it("gives the same bits in steps of " .. case[1] .. ", and for parameters together and alone", function()
      lt.set_threads(1)
      local want = steps(case[1], case[2], false)
      for _, threads in ipairs {1, 2, 7} do
        lt.set_threads(threads)
        assert(steps(case[1], case[2], true) == want, threads .. " threads")
      end
    end)
  end

  it("is a whole number within reason", function()
    for _, n in ipairs {0, -1, 65, 1e9} do
      assert.has_error(function() lt.set_threads(n) end)
    end
    assert.has_error(function() lt.set_threads(1.5) end)
    lt.set_threads(3)
    assert.equal(3, lt.threads())
    assert.equal(3, lt.info().threads)
  end)
end)

-- What a program prints in a process of its own, its standard error included, started by a line of shell that ends
-- with the interpreter's name.
local function output(shell, program)
  local out, _, rest = files.capture(("LUA_PATH=%s LUA_CPATH=%s && export LUA_PATH LUA_CPATH && %s -e %s 2>&1"):format(
    files.quote(package.path), files.quote(package.cpath), shell, files.quote(program)))
  return out or rest
end

describe("the number of threads at the start", function()
  local UNSET <const> = "env -u OMP_NUM_THREADS -u LATENT_NUM_THREADS "
  local function chosen(variables)
    return output(UNSET .. variables .. " lua5.4", [[
      local lt = require "latent"
      local info = lt.info()
      io.write(lt.threads(), " ", info.threads, " ", info.threads_from)]])
  end

  it("is what the environment says, the library's own variable first", function()
    assert.equal("3 3 OMP_NUM_THREADS", chosen "OMP_NUM_THREADS=3")
    assert.equal("3 3 OMP_NUM_THREADS", chosen "OMP_NUM_THREADS=3,2,1") -- of nested levels, the first
    assert.equal("64 64 OMP_NUM_THREADS", chosen "OMP_NUM_THREADS=1000")
    assert.equal("5 5 LATENT_NUM_THREADS", chosen "OMP_NUM_THREADS=3 LATENT_NUM_THREADS=5")
    assert.equal(chosen "", chosen "OMP_NUM_THREADS= LATENT_NUM_THREADS=")
  end)

  it("is one where the process may use one processor", function()
    local allowed = assert(files.read_all "/proc/self/status"):match "Cpus_allowed_list:%s*(%d+)"
    local why = tonumber(files.capture "getconf _NPROCESSORS_ONLN") == 1 and "the processors of this machine"
      or "the processors that this process may use"
    if (core.cpu_quota "/proc/self" or 1) < 1 then why = "the CPU quota of this process's cgroup" end
    assert.equal("1 1 " .. why, chosen("taskset -c " .. allowed))
  end)

  it("is refused in words where it is none", function()
    for _, text in ipairs{"0", "-1", "65", "two", "1.5", "3,2", "99999999999999999999"} do
      local out = chosen("LATENT_NUM_THREADS=" .. text)
      local said = "latent: LATENT_NUM_THREADS=" .. text .. ": expected a whole number from 1 to 64"
      assert(out:find(said, 1, true), out)
    end
    -- that of other programs is left out, and told
    for _, text in ipairs{"0", "many", "-3", "2.5"} do
      assert.matches(" %(OMP_NUM_THREADS=" .. text:gsub("%p", "%%%0") .. " is no number of threads%)$",
        chosen("OMP_NUM_THREADS=" .. text))
    end
  end)

  it("is told by the doctor with where it came from", function()
    local doctor = [[for _, line in ipairs(require("latent.tools.doctor").check()) do
      if line.name == "threads" then print(line.text) end
    end]]
    assert.matches("^3, from OMP_NUM_THREADS;", output(UNSET .. "OMP_NUM_THREADS=3 lua5.4", doctor))
  end)
end)

describe("the quota of a container", function()
  local folder, remove
  before_each(function() folder, remove = scratch.folder() end)
  after_each(function() remove() end)

  -- What the system would tell: the process's cgroups, what is mounted where, and the cgroups' own files.
  local function quota(cgroup, mounts, limits)
    for path, text in pairs(limits) do
      files.mkdir_p((folder .. "/" .. path):match "^(.*)/")
      scratch.write(folder, path, text)
    end
    scratch.write(folder, "cgroup", cgroup)
    scratch.write(folder, "mountinfo", "22 1 0:5 / / rw - ext4 /dev/sda rw\n" .. mounts:gsub("@", folder))
    return core.cpu_quota(folder)
  end
  local UNIFIED = "33 22 0:29 / @/fs rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"

  it("is that of the process's cgroup, or of one above it where that is less", function()
    local mine, parent = "fs/a/b c/cpu.max", "fs/a/cpu.max"
    assert.equal(2, quota("0::/a/b c\n", UNIFIED, {[mine] = "200000 100000\n"}))
    assert.equal(1.5, quota("0::/a/b c\n", UNIFIED, {[mine] = "200000 100000\n", [parent] = "75000 50000\n"}))
    assert.equal(1.5, quota("0::/a/b c\n", UNIFIED, {[mine] = "max 100000\n", [parent] = "75000 50000\n"}))
    assert.equal(0.5, quota("0::/a/b c\n", UNIFIED, {["fs/cpu.max"] = "50000 100000\n"}))
    assert.is_nil(quota("0::/a/b c\n", UNIFIED, {[mine] = "max 100000\n", [parent] = "max 100000\n",
      ["fs/cpu.max"] = "max 100000\n", ["cpu.max"] = "1 100000\n"})) -- nothing above what is mounted
  end)

  it("is found in a container that sees its own cgroup as the root", function()
    local limits = {["fs/cpu.max"] = "300000 100000\n"}
    assert.equal(3, quota("0::/\n", UNIFIED, limits))
    assert.equal(3, quota("0::/../other\n", UNIFIED, limits))
    assert.equal(3, quota("0::/docker/12ab\n", UNIFIED:gsub(" / @", " /docker/12ab @"), limits))
    assert.equal(3, quota("0::/docker/12\n", UNIFIED:gsub(" / @", " /docker/12ab @"), limits))
  end)

  it("is read in version 1, and where both are mounted", function()
    local cgroup = "5:cpu,cpuacct:/job\n4:cpuset:/else\n0::/init\n"
    local mounts = "31 22 0:27 / @/v1\\040cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
      .. "32 22 0:28 / @/sets rw - cgroup cgroup rw,cpuset\n" .. UNIFIED
    local quota_us, period_us = "v1 cpu/job/cpu.cfs_quota_us", "v1 cpu/job/cpu.cfs_period_us"
    assert.equal(2.5, quota(cgroup, mounts, {[quota_us] = "250000\n", [period_us] = "100000\n"}))
    assert.is_nil(quota(cgroup, mounts, {[quota_us] = "-1\n"}))
    assert.equal(0.25, quota(cgroup, mounts, {["v1 cpu/cpu.cfs_quota_us"] = "25000\n",
      ["v1 cpu/cpu.cfs_period_us"] = "100000\n"}))
    assert.equal(0.2, quota(cgroup, mounts, {["fs/init/cpu.max"] = "20000 100000\n"}))
  end)

  it("is none where the files are missing or say something else", function()
    assert.is_nil(core.cpu_quota(folder .. "/none"))
    assert.is_nil(quota("", UNIFIED, {["fs/cpu.max"] = "1 1\n"}))
    for _, text in ipairs{"", "\n", "100000", "-5 100000", "5 0", "nan nan", "many 100000", ("9"):rep(400) .. " 1"} do
      assert.is_nil(quota("0::/\n", UNIFIED, {["fs/cpu.max"] = text}))
    end
    for _, mounts in ipairs{"", "\n", " - \n", "1 2 3 - cgroup2", "1 2 3 4 - cgroup2 x y\n", ("x"):rep(1e4)} do
      assert.is_nil(quota("0::/\n", mounts, {["fs/cpu.max"] = "1 1\n"}))
    end
  end)
end)

describe("OpenBLAS", function()
  it("is told its number of threads without the user's own being forgotten", function()
    local program = [[assert(require("latent.core").blas())
      io.write(tostring(os.getenv "OPENBLAS_NUM_THREADS"))]]
    assert.equal("7", output("OPENBLAS_NUM_THREADS=7 lua5.4", program))
    assert.equal("nil", output("env -u OPENBLAS_NUM_THREADS lua5.4", program))
  end)

  it("is told the processor's kernels, unless the user has said which", function()
    local program = [[local core = require "latent.core"
      assert(core.info().blas == nil)
      local text = assert(core.blas())
      assert(core.info().blas == text)
      io.write(core.info().isa, " ", text:match "kernel (%S+)", " ", tostring(os.getenv "OPENBLAS_CORETYPE"))]]
    local isa, kernel, set = output("env -u OPENBLAS_CORETYPE -u LATENT_ISA lua5.4", program):match "(%S+) (%S+) (%S+)"
    assert.equal("nil", set)
    local _, asked, stays = output("env -u LATENT_ISA OPENBLAS_CORETYPE=Prescott lua5.4", program):match
      "(%S+) (%S+) (%S+)"
    assert.equal("Prescott", stays)
    local wanted = {avx512 = "SkylakeX", avx2 = "Haswell"}
    if asked == "Prescott" and wanted[isa] then assert.equal(wanted[isa], kernel) end -- it has kernels to choose from
  end)
end)

describe("a bounded address space", function()
  local program = [[
    local lt, nn, optim = require "latent", require "latent.nn", require "latent.optim"
    lt.set_threads(tonumber(os.getenv "N"))
    local model = nn.Sequential{nn.Conv2d(1, 4, 3, {padding = 1}), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 28 * 28, 64)}
    local opt = optim.Adam(model:parameters())
    for _ = 1, 2 do
      opt:zero_grad()
      model(lt.ones(64, 28, 28, 1)):square():mean():backward()
      opt:step()
    end
    print "done"]]

  it("ends a training or lets it pass, with any number of threads #slow", function()
    if os.getenv "LATENT_SANITIZE" then pending "a sanitizer takes terabytes of addresses" end
    local passed = 0
    for _, threads in ipairs{1, 2, 8} do
      for _, kilobytes in ipairs{20000, 60000, 200000, 300000} do
        local out = output(("ulimit -v %d && N=%d timeout -s KILL 300 lua5.4"):format(kilobytes, threads), program)
        local done = out == "done"
        assert(done or out:find "memory" or out:find "cannot be loaded" or out:find "failed to map",
          ("%d threads, %d kB: %s"):format(threads, kilobytes, out))
        passed = passed + (done and 1 or 0)
      end
    end
    assert(passed >= 3, "300 MB are enough")
  end)
end)
