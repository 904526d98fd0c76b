-- Training on two hosts: two network namespaces with an address each, and a cable between them that can be cut.
local core = require "latent.core"
local files = require "latent.base.files"
local ranks = require "spec.support.ranks"
local scratch = require "spec.support.scratch"

local A, B = "latent-a-" .. core.pid(), "latent-b-" .. core.pid()
-- MPI's daemons give a dead host up soon.
local SETUP = ([[
  ip netns add A && ip netns add B && ip link add va netns A type veth peer name vb netns B &&
  ip -n A addr add 10.77.0.1/24 dev va && ip -n B addr add 10.77.0.2/24 dev vb &&
  for n in A B; do ip -n $n link set lo up; ip netns exec $n sysctl -qw net.ipv4.tcp_retries2=3; done &&
  ip -n A link set va up && ip -n B link set vb up && unshare --uts true]])
  :gsub("%f[%w]A%f[%W]", A):gsub("%f[%w]B%f[%W]", B)
local REMOVE = ("ip netns del %s; ip netns del %s"):format(A, B)

local function why_not()
  local missing = ranks.missing()
  if missing then return missing end
  if not (files.has_program "ip" and files.has_program "unshare") then return "there are no network namespaces here" end
  if not files.capture("{ " .. SETUP .. "; } 2>/dev/null") then
    files.capture("{ " .. REMOVE .. "; } 2>/dev/null")
    return "no network namespaces can be made here"
  end
end

describe("two hosts", function()
  local missing, folder, remove
  setup(function()
    missing = why_not()
    folder, remove = scratch.folder()
  end)
  teardown(function()
    remove()
    if not missing then files.capture("{ " .. REMOVE .. "; } 2>/dev/null") end
  end)

  -- With `patience`, seconds after which a rank gives another up.
  local function command(at, words, patience)
    local here = assert(files.capture "pwd")
    return ([[LATENT_SPEC_NAMESPACE=%s LATENT_MPI_TIMEOUT=%d timeout 300 ip netns exec %s mpirun --allow-run-as-root \
      --mca plm_rsh_agent %s/spec/support/launch_in.sh --mca orte_abort_timeout 5 --mca btl tcp,self \
      --mca oob_tcp_if_include 10.77.0.0/24 --mca btl_tcp_if_include 10.77.0.0/24 -x LATENT_MPI_TIMEOUT -x LUA_PATH \
      -x LUA_CPATH --host 10.77.0.1:1,10.77.0.2:1 -n 2 --wdir %s lua5.4 spec/support/ranks_run.lua %s parts=4 %s 2>&1]])
      :format(B, patience or 100, A, files.quote(here), files.quote(here), at, words)
  end

  it("train to the bits of one; where the cable is cut the job ends, and goes on later #slow", function()
    if missing then pending(missing) end
    local function alone(name, words)
      assert(files.mkdir_p(folder .. "/" .. name))
      assert(files.capture(("lua5.4 spec/support/ranks_run.lua %s/%s parts=4 %s 2>&1"):format(folder, name, words)))
      return assert(files.read_all(("%s/%s/bits"):format(folder, name)))
    end
    local one, long = alone("one", ""), alone("long", "slow=1")
    assert(files.mkdir_p(folder .. "/two"))
    local said = files.capture(command(folder .. "/two", ""))
    assert.matches("12\tdone", said or "it failed")
    assert.equal(one, files.read_all(folder .. "/two/bits"))

    local at = folder .. "/cut"
    assert(files.mkdir_p(at))
    said = files.capture(("%s >%s/said & job=$!; until [ -s %s/run.ckpt.prev ]; do sleep 0.05; done; sleep 0.2\n"
      .. "ip -n %s link set va down; wait $job; echo \"status $?\"; cat %s/said"):format(
      command(at, "slow=1", 3), at, at, A, at))
    assert.not_matches("^status 0\n", said)
    assert.not_matches("^status 124\n", said)
    assert.matches("has waited for 3 seconds", said)
    assert.is_false(files.exists(at .. "/bits"))
    -- The kernel tells of the cable a while later, and may know still that nobody answered.
    files.capture((([[ip -n A link set va up; ip -n A addr replace 10.77.0.1/24 dev va
      for i in $(seq 100); do ip -n B link show vb | grep -q "state UP" && break; sleep 0.05; done
      for n in A B; do ip -n $n neigh flush all; done]]):gsub("%f[%w]A%f[%W]", A):gsub("%f[%w]B%f[%W]", B)))
    -- The ranks of the other side have noticed too.
    files.capture(("for i in $(seq 100); do pgrep -f 'ranks_run[.]lua %s' >/dev/null || break; sleep 0.1; done"):format(
      at))
    local _, _, whole = files.capture(command(at, "slow=1 resume=yes") .. "; false")
    assert.matches("40\tdone", whole)
    assert.equal(long, files.read_all(at .. "/bits"))
  end)
end)
