// The core in JavaScript: values both ways, errors, output, files, interruption. Run by `make wasm`; LATENT_WASM names
// the compiled core.
"use strict";
const {test, before} = require("node:test");
const assert = require("node:assert/strict");
const fs = require("fs");
const path = require("path");
const zlib = require("zlib");
const {LatentFiles, LatentExit} = require("../../web/files.js");
const {Latent, LatentError, LatentTensor, LatentValue} = require("../../web/host.js");

function gather(folder, files = {}) {
  for (const entry of fs.readdirSync(folder, {withFileTypes: true})) {
    const name = path.posix.join(folder, entry.name);
    if (entry.isDirectory()) gather(name, files);
    else files[name] = new Uint8Array(fs.readFileSync(name));
  }
  return files;
}

let wasm, sources;
before(async () => {
  wasm = await WebAssembly.compile(fs.readFileSync(process.env.LATENT_WASM || "build/wasm/latent.wasm"));
  sources = gather("lua", gather("exercises"));
});
const load = options => Latent.load(wasm, {files: {...sources}, ...options});

// The values that a chunk returns.
function values(latent, code, ...args) {
  const result = latent.run(code, {args});
  assert.equal(result.error, undefined);
  return result.values;
}

test("values go both ways", async () => {
  const latent = await load();
  const same = [true, false, 1, -7, 0.5, Infinity, "", "text", "ä 数", 9007199254740993n, [1, 2, 3], [], {a: 1, b: [{c: "d"}]}];
  assert.deepEqual(values(latent, "return ...", ...same), same);
  assert.deepEqual(values(latent, "return ...", undefined, null, 1), [undefined, undefined, 1]);
  assert.deepEqual(values(latent, "return math.type(3), math.type(...), math.type(select(2, ...))", 3, 2.5), ["integer", "integer", "float"]);
  assert.deepEqual(values(latent, "return 1 / ...", -0), [-Infinity]);
  assert.deepEqual(values(latent, "return math.mininteger, 2^53, 0/0"), [-9223372036854775808n, 9007199254740992, NaN]);
  assert.deepEqual(values(latent, "return {1, 2, nil, 4}, {[2] = 'x', [3.5] = 'y'}, #..., (...)[2]", ["a", "b"]),
    [{1: 1, 2: 2, 4: 4}, {2: "x", 3.5: "y"}, 2, "b"]);
  assert.deepEqual(values(latent, "local s = 'a\\0b' return #s, s, #..., ...", "x\0y"), [3, "a\0b", 3, "x\0y"]);
});

test("what has no like in the other language is refused or held", async () => {
  const latent = await load();
  const [print, module] = values(latent, "return print, setmetatable({a = 1}, {__index = math})");
  assert(print instanceof LatentValue && !(print instanceof LatentTensor));
  assert.deepEqual(module, {a: 1});
  assert.deepEqual(values(latent, "return ... == print", print), [true]);
  assert.match(latent.run("return 1", {args: [() => 1]}).error, /no functions of JavaScript/);
  assert.match(latent.run("return 1", {args: [new Uint16Array(2)]}).error, /Uint16Array/);
  const circle = [];
  circle.push(circle);
  assert.match(latent.run("return 1", {args: [circle]}).error, /without end/);
  assert.match(latent.run("local t = {} t.t = t return t").error, /without end/);
  print.release();
  print.release();
  assert.throws(() => latent.call(print), /released/);
  assert.deepEqual(values(latent, "return 1"), [1]); // the stack is as it was
});

test("tensors are read and written in place", async () => {
  const latent = await load();
  const [square, hold] = values(latent, `local lt = require "latent"
    return function(x) return (x * x):sum(1), x * 2 end, function(x) held = x return x end`);
  const [sum, twice] = latent.call(square, new Float32Array([1, 2, 3]));
  assert.deepEqual([sum.dtype, sum.shape, [...sum.data]], ["float32", [], [14]]);
  assert.deepEqual([twice.shape, [...twice.data]], [[3], [2, 4, 6]]);
  const [x] = latent.call(hold, new Float32Array(6));
  x.data.set([1, 2, 3, 4, 5, 6]);
  assert.deepEqual(values(latent, "return held:get(5), held:reshape(2, 3)[2]:sum():item()"), [5, 15]);
  const kinds = [new Float64Array([0.1, 1e300]), new Uint8Array([0, 255]), new BigInt64Array([-(2n ** 63n), 7n])];
  for (const data of kinds) {
    const [t, name] = values(latent, "return ..., (...).dtype", data);
    assert.equal(t.dtype, name);
    assert.deepEqual([...t.data], [...data]);
    assert.equal(t.data.constructor, data.constructor);
  }
  const [empty] = values(latent, 'return require("latent").zeros(2, 0)');
  assert.deepEqual([empty.shape, empty.data.length], [[2, 0], 0]);
  assert.deepEqual([...values(latent, "return ... + 1", x)[0].data], [2, 3, 4, 5, 6, 7]);
});

test("a tensor that JavaScript holds survives Lua's collector and a memory that grows", async () => {
  const latent = await load();
  const [kept] = values(latent, 'return require("latent").full({1000}, 3)');
  const before = latent.exports.memory.buffer.byteLength;
  values(latent, `local lt = require "latent" local all = {} for i = 1, 20 do all[i] = lt.ones(1 << 20) end
    collectgarbage() collectgarbage() return #all`);
  assert(latent.exports.memory.buffer.byteLength > before);
  assert(kept.data.every(x => x === 3));
  const live = () => values(latent, 'collectgarbage() collectgarbage() return require("latent").info().live_bytes')[0];
  const held = live();
  kept.release();
  assert(live() <= held - 4000);
  assert.throws(() => kept.data, /released/);
});

test("errors carry message, place and traceback, and leave all as it was", async () => {
  const latent = await load();
  const {error, traceback, values: none, output} = latent.run("print 'before'\nlocal x\nreturn x.y", {name: "=chunk"});
  assert.equal(error, "chunk:3: attempt to index a nil value (local 'x')");
  assert.match(traceback, /chunk:3: in main chunk/);
  assert.deepEqual([none, output], [[], "before\n"]);
  assert.match(latent.run("return +").error, /^page:1: unexpected symbol/);
  assert.match(latent.run("error({})").error, /^table: /);
  assert.match(latent.run("error(setmetatable({}, {__tostring = function() return 'mine' end}))").error, /^mine$/);
  assert.match(latent.run('local lt = require "latent"\nlt.zeros(2):reshape(3)').error, /^page:2: reshape: /);
  const [fail] = values(latent, "return function(x) error('no: ' .. x, 0) end");
  assert.throws(() => latent.call(fail, "this"), e => e instanceof LatentError && e.message === "no: this");
  assert.match(latent.run("local function f() return f() + 1 end f()").error, /stack overflow/);
  assert.match(latent.run("local function f() return pcall(f) end return select(-1, f())").values[0], /C stack overflow/);
  assert.deepEqual(values(latent, "return pcall(error, 'x')"), [false, "x"]);
  const wrapped = "local w = coroutine.wrap(function() coroutine.yield(1) error('in') end) return w(), pcall(w)";
  assert.deepEqual(values(latent, wrapped), [1, false, "page:1: in"]);
});

test("memory that is short is an error, and all goes on", async () => {
  const latent = await load();
  assert.match(latent.run('local lt = require "latent" local t = {} while true do t[#t + 1] = lt.ones(1 << 26) end').error, /out of memory/);
  assert.match(latent.run('local s = ("x"):rep(1 << 20) while true do s = s .. s end').error, /not enough memory|too large/);
  assert.deepEqual(values(latent, 'collectgarbage() collectgarbage() return require("latent").ones(1 << 20):sum():item()'), [1 << 20]);
});

test("shapes that 32 bits cannot hold are refused", async () => {
  const latent = await load();
  for (const code of ["lt.zeros(1 << 20, 1 << 12)", "lt.zeros(1 << 29)", "lt.ones(1 << 16, 1):broadcast_to(1 << 16, 1 << 16)"])
    assert.match(latent.run(`local lt = require "latent" return ${code}`).error, /too large|out of memory/, code);
  // Working memory of a thread: 2^32 bytes.
  assert.match(latent.run('local lt = require "latent" local x = lt.zeros(1, 1 << 25) return (lt.knn(x, x, 1))').error, /out of memory/);
});

test("the module may come packed", async () => {
  const bytes = fs.readFileSync(process.env.LATENT_WASM || "build/wasm/latent.wasm");
  const latent = await Latent.load(zlib.gzipSync(bytes), {files: {"x.lua": "return 7"}});
  assert.deepEqual(values(latent, "return (require 'x')"), [7]);
  const exact = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  assert.deepEqual(values(await Latent.load(exact), "return 8"), [8]);
});

test("output comes as it is written, also in pieces of a character", async () => {
  const heard = [];
  const latent = await load({onOutput: (text, stream) => heard.push([text, stream])});
  const {output} = latent.run("print('one') io.write('two ', 'ä'):flush() io.stderr:write('bad\\n') io.write '\\xe6\\x95' io.stdout:flush() io.write '\\xb0'");
  assert.equal(output, "one\ntwo äbad\n数");
  assert.equal(heard.filter(([, stream]) => stream === 1).map(([text]) => text).join(""), "one\ntwo ä数");
  assert.equal(heard.filter(([, stream]) => stream === 2).map(([text]) => text).join(""), "bad\n");
});

test("files are read and written in memory", async () => {
  const latent = await load();
  latent.files.write("given.txt", "line 1\nline 2\n");
  assert.deepEqual(values(latent, "local l = {} for s in io.lines 'given.txt' do l[#l + 1] = s end return l, (select(2, io.open 'none.txt'))"),
    [["line 1", "line 2"], "none.txt: No such file or directory"]);
  values(latent, "local f = assert(io.open('given.txt', 'a')) f:write 'line 3' f:close()");
  assert.equal(new TextDecoder().decode(latent.files.read("given.txt")), "line 1\nline 2\nline 3");
  values(latent, "local f = assert(io.open('new.bin', 'w+b')) f:seek('set', 5) f:write '\\1' f:seek('set', 1) f:write 'ab' f:close()");
  assert.deepEqual([...latent.files.read("/new.bin")], [0, 97, 98, 0, 0, 1]);
  assert.deepEqual(values(latent, "return os.rename('new.bin', 'other.bin'), os.remove 'given.txt', (os.remove 'given.txt')"), [true, true, undefined]);
  assert.deepEqual(values(latent, `local files, st, lt = require "latent.base.files", require "latent.safetensors", require "latent"
    assert(files.mkdir_p "deep/er") assert(st.save("deep/er/x.safetensors", {x = lt.arange(1, 4)}))
    local names = assert(require("latent.core").list("deep", ""))
    return st.load("deep/er/x.safetensors").x:table(), files.exists "deep/er", files.is_dir "deep", #names`), [[1, 2, 3, 4], true, true, 3]);
  assert.deepEqual(latent.files.names().filter(name => !/^(lua|exercises)\//.test(name)), ["deep/er/x.safetensors", "other.bin"]);
  const [image] = values(latent, `local image, lt = require "latent.image", require "latent"
    image.write("p.png", lt.arange(0, 15):reshape(4, 4, 1) / 15) return image.read("p.png")`);
  assert.deepEqual(image.shape, [4, 4]);
});

test("LatentFiles alone", () => {
  const files = new LatentFiles({"a/b.txt": "x", "/a/c/../d": new Uint8Array([1])});
  assert.deepEqual(files.names(), ["a/b.txt", "a/d"]);
  assert.deepEqual(files.list("a").sort(), [["b.txt", false], ["d", false]]);
  assert.equal(files.read("nothing"), undefined);
  assert.equal(files.remove("a/d"), true);
  assert.deepEqual([files.isFolder("a"), files.isFolder("a/b.txt"), files.isFolder("z")], [true, false, false]);
});

test("a call can be interrupted wherever it is", async () => {
  let asked = 0;
  const latent = await load({interrupted: () => ++asked > 20});
  const endless = ["while true do end", "while true do pcall(function() while true do end end) end",
    "coroutine.wrap(function() while true do end end)()",
    'local lt = require "latent" local x = lt.randn(256, 256) while true do x = x:matmul(x):tanh() end'];
  for (const code of endless) {
    asked = 0;
    assert.match(latent.run(code, {interruptible: true}).error, /interrupted/, code);
    assert.deepEqual(values(latent, "local n = 0 for i = 1, 1e5 do n = n + 1 end return n"), [1e5]);
  }
});

test("signals may be trapped, as a training does; only an interruption comes", async () => {
  let wanted = false;
  const latent = await load({interrupted: () => wanted});
  const code = `local core = require "latent.core" core.trap("INT", "TERM", "HUP")
    local before = core.pending() return before, pcall(core.trap, "KILL")`;
  assert.match(values(latent, code)[2], /expected INT, TERM/);
  wanted = true;
  const {values: [pending]} = latent.run('return require("latent.core").pending()', {interruptible: true});
  assert.equal(pending, "INT");
});

test("os.exit ends it, with its status", async () => {
  const latent = await load();
  assert.throws(() => latent.run("os.exit(3)"), e => e instanceof LatentExit && e.status === 3);
});

test("what is not there says so", async () => {
  const latent = await load({environment: {HOME: "/somewhere"}});
  assert.deepEqual(values(latent, "return os.getenv 'HOME', os.getenv 'PATH', os.execute(), io.tmpfile()").slice(0, 5),
    ["/somewhere", undefined, false, undefined, "Not supported"]);
  assert.match(latent.run('local lt = require "latent" local y = require("latent.linalg").inv(lt.eye(3))').error, /^page:1: .*no LAPACK in WebAssembly/);
  assert.match(latent.run("io.popen 'ls'").error, /not supported/);
  assert.deepEqual(values(latent, 'local i = require("latent").info() return i.threads, i.isa'), [1, "baseline"]);
});
