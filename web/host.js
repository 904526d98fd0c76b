// latent in JavaScript: loads the compiled core (latent.wasm) with Lua 5.4, and calls it. The same in a page,
// in a worker and in node. Classic script; a page includes files.js before it.
//
//   const latent = await Latent.load(wasmBytes, {
//     files: {"lua/latent/init.lua": bytes, "vae2.safetensors": bytes, ...},   // an object, a Map or LatentFiles
//     onOutput: (text, stream) => ...,   // what print and io.write write (stream 1) and io.stderr (2), as it comes
//     interrupted: () => boolean,        // asked during interruptible calls; each true is one Ctrl-C
//     environment: {},                   // what os.getenv knows
//   });
//
// Lua finds modules below lua/ and at the root of the files: "lua/latent/nn/init.lua" is `latent.nn`,
// "exercises/models.lua" is `exercises.models`. latent.files is the file system (see files.js): what Lua wrote is
// read by latent.files.read(name).
//
//   const {values, output, error, traceback} = latent.run(code, {name: "=page", args: [], interruptible: false});
//
// runs a chunk of Lua, which has the arguments as `...`. It never throws: `values` are what the chunk returned, `output`
// what it wrote, `error` is undefined or the message, with the place in it, and `traceback` where that was. The name is
// what messages call the chunk ("=prompt": prompt:1: ...).
//
//   const decode = latent.run("return function(x, y) ... return pixels end").values[0];
//   const [pixels] = latent.call(decode, 0.5, -1);        // throws a LatentError; for what is called often
//
// Values, both ways. nil: undefined (as an argument null too). Booleans and strings (UTF-8) as they are. A number that is
// whole becomes an integer, others floats, a BigInt an integer; back, integers beyond 2^53 come as BigInt. Arrays and plain
// objects become tables; tables with the keys 1..n come back as arrays (so do empty ones), others as objects. Typed arrays
// (Float32Array, Float64Array, Uint8Array, BigInt64Array) become a tensor of one axis, copied. Tensors come back as
// LatentTensor, all else (functions, userdata) as LatentValue; both may be arguments again.
//
//   tensor.shape, tensor.dtype, tensor.data               // data: a typed array over the core's own memory
//   tensor.release()                                      // or let JavaScript's garbage collector do it
//
// Reading and writing `data` copies nothing. It is good until the next call, in which the memory may grow and so move:
// ask for it again afterwards. A tensor stays until it is released (or collected); writing into one of which Lua has made
// a graph falsifies its gradients.
//
// os.exit throws a LatentExit through run and call; the instance is of no use afterwards.
"use strict";

if (typeof require === "function" && typeof LatentFiles === "undefined") Object.assign(globalThis, require("./files.js"));

// An error that Lua raised.
class LatentError extends Error {
  constructor(message, traceback) {
    super(message);
    this.name = "LatentError";
    this.traceback = traceback;
  }
}

// Something of Lua's that JavaScript holds: a function, a module.
class LatentValue {
  constructor(latent, reference) {
    this.latent = latent;
    this.reference = reference;
    latent.registry.register(this, reference, this);
  }

  // Lets go of it; harmless when repeated.
  release() {
    if (!this.reference) return;
    this.latent.registry.unregister(this);
    this.latent.exports.host_release(this.reference);
    this.reference = 0;
  }
}

class LatentTensor extends LatentValue {
  constructor(latent, reference, about) {
    super(latent, reference);
    this.dtype = LatentTensor.kinds[about.dtype].name;
    this.shape = about.shape;
    this.size = about.shape.reduce((product, n) => product * n, 1);
    this.address = about.address;
  }

  get data() {
    if (!this.reference) throw new LatentError("the tensor was released");
    const {array} = LatentTensor.kinds.find(kind => kind.name === this.dtype);
    return new array(this.latent.exports.memory.buffer, this.address, this.size);
  }
}
// In the order of the core's Dtype.
LatentTensor.kinds = [{name: "float32", array: Float32Array}, {name: "float64", array: Float64Array},
  {name: "u8", array: Uint8Array}, {name: "i64", array: BigInt64Array}];

class Latent {
  // wasm: the bytes of latent.wasm or latent.wasm.gz (ArrayBuffer or Uint8Array), or a WebAssembly.Module.
  static async load(wasm, options = {}) {
    const latent = new Latent(options);
    const module = wasm instanceof WebAssembly.Module ? wasm : await WebAssembly.compile(await Latent.unpack(wasm));
    const instance = await WebAssembly.instantiate(module, latent.imports());
    latent.exports = instance.exports;
    latent.begin();
    return latent;
  }

  // The content of bytes that gzip may have packed.
  static async unpack(bytes) {
    const [first, second] = new Uint8Array(bytes.buffer || bytes, bytes.byteOffset || 0, 2);
    if (first !== 0x1f || second !== 0x8b) return bytes;
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  }

  constructor({files = {}, onOutput = () => {}, interrupted = () => false, environment = {}}) {
    this.files = files instanceof LatentFiles ? files : new LatentFiles(files);
    this.onOutput = onOutput;
    this.interrupted = interrupted;
    this.environment = environment;
    this.output = [];
    this.coder = new TextEncoder();
    this.registry = new FinalizationRegistry(reference => this.exports.host_release(reference));
  }

  imports() {
    const write = (text, stream) => {
      this.output.push(text);
      this.onOutput(text, stream);
    };
    const system = latentSystem(this.files, () => this.exports.memory, write, this.environment);
    const thrown = new Error("an error of Lua's on its way");
    return {
      wasi_snapshot_preview1: system.calls,
      latent: {
        // Lua's protected calls: the stack of C goes back to where it was.
        try: (f, state, argument) => {
          const stack = this.exports.__stack_pointer.value;
          try {
            this.exports.host_protected(f, state, argument);
          } catch (e) {
            if (e !== thrown) throw e;
            this.exports.__stack_pointer.value = stack;
          }
        },
        throw: () => { throw thrown; },
        interrupted: () => this.interrupted() ? 1 : 0,
        dup: system.dup,
      },
    };
  }

  begin() {
    this.exports._initialize();
    if (!this.exports.host_start()) throw new LatentError("out of memory");
    const {error} = this.run('package.path, package.cpath = "lua/?.lua;lua/?/init.lua;?.lua;?/init.lua", ""');
    if (error) throw new LatentError(error);
  }

  // ---- calls ----

  run(code, {name = "=page", args = [], interruptible = false} = {}) {
    const before = this.exports.host_top();
    this.output = [];
    try {
      this.push(code);
      this.push(name);
      if (!this.exports.host_load()) return {values: [], output: "", error: this.pop(), traceback: ""};
      const values = this.finish(args, interruptible);
      return {values, output: this.output.join("")};
    } catch (e) {
      if (!(e instanceof LatentError)) throw e;
      return {values: [], output: this.output.join(""), error: e.message, traceback: e.traceback};
    } finally {
      this.exports.host_pop(this.exports.host_top() - before);
    }
  }

  call(f, ...args) {
    const before = this.exports.host_top();
    this.output = [];
    try {
      this.push(f);
      return this.finish(args, false);
    } finally {
      this.exports.host_pop(this.exports.host_top() - before);
    }
  }

  // Calls the function on the stack's top.
  finish(args, interruptible) {
    const base = this.exports.host_top() - 1;
    for (const value of args) this.push(value);
    if (!this.exports.host_call(args.length, interruptible)) {
      this.check(this.exports.host_push_traceback());
      const traceback = this.pop();
      throw new LatentError(this.pop(), traceback || "");
    }
    const values = [];
    for (let i = base + 1; i <= this.exports.host_top(); i++) values.push(this.value(i));
    return values;
  }

  check(passed) {
    if (!passed) throw new LatentError("out of memory");
  }

  // ---- to Lua ----

  // Calls f with the address of a copy of these bytes.
  lend(bytes, f) {
    const p = this.exports.host_alloc(bytes.length || 1);
    this.check(p);
    new Uint8Array(this.exports.memory.buffer, p, bytes.length).set(bytes);
    try {
      this.check(f(p));
    } finally {
      this.exports.host_free(p);
    }
  }

  push(value, depth = 0) {
    const e = this.exports;
    if (value === undefined || value === null) return this.check(e.host_push_nil());
    switch (typeof value) {
    case "boolean": return this.check(e.host_push_boolean(value));
    case "bigint": return this.check(e.host_push_integer(value));
    case "number":
      return this.check(Number.isSafeInteger(value) && !Object.is(value, -0) ? e.host_push_integer(BigInt(value)) :
        e.host_push_number(value));
    case "string": {
      const bytes = this.coder.encode(value);
      return this.lend(bytes, p => e.host_push_string(p, bytes.length));
    }
    case "object": return this.pushObject(value, depth);
    default: throw new LatentError(`Lua has no ${typeof value}s of JavaScript`);
    }
  }

  pushObject(value, depth) {
    const e = this.exports;
    if (value instanceof LatentValue) {
      if (!value.reference) throw new LatentError("the value was released");
      return this.check(e.host_push_kept(value.reference));
    }
    if (ArrayBuffer.isView(value)) {
      const dtype = LatentTensor.kinds.findIndex(kind => value instanceof kind.array);
      if (dtype < 0) throw new LatentError(`no tensor has the type of a ${value.constructor.name}`);
      const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
      return this.lend(bytes, p => e.host_push_tensor(dtype, p, value.length));
    }
    if (depth === Latent.MOST_LEVELS) throw new LatentError("tables too deep, or without end");
    this.check(e.host_push_table());
    const entries = Array.isArray(value) ? value.map((item, i) => [i + 1, item]) : Object.entries(value);
    for (const [key, item] of entries) {
      this.push(key);
      this.push(item, depth + 1);
      this.check(e.host_set());
    }
  }

  // ---- from Lua ----

  pop() {
    const value = this.value(this.exports.host_top());
    this.exports.host_pop(1);
    return value;
  }

  text(index) {
    const p = this.exports.host_string(index), n = this.exports.host_size(index);
    return new TextDecoder().decode(new Uint8Array(this.exports.memory.buffer, p, n).slice());
  }

  // What is at an index of the stack, as JavaScript has it.
  value(index, depth = 0) {
    const e = this.exports;
    switch (e.host_kind(index)) {
    case 0: return undefined;
    case 1: return e.host_boolean(index) !== 0;
    case 2: return e.host_number(index);
    case 3: {
      const whole = e.host_integer(index), number = Number(whole);
      return Number.isSafeInteger(number) ? number : whole;
    }
    case 4: return this.text(index);
    case 5: return this.table(index, depth);
    case 6: {
      const p = e.host_tensor(index);
      if (!p) return this.keep(index, reference => new LatentValue(this, reference)); // a closed one
      const about = new BigInt64Array(e.memory.buffer, p, 11);
      const [dtype, dims, address] = [...about.subarray(0, 3)].map(Number);
      const shape = [...about.subarray(3, 3 + dims)].map(Number);
      return this.keep(index, reference => new LatentTensor(this, reference, {dtype, shape, address}));
    }
    default: return this.keep(index, reference => new LatentValue(this, reference));
    }
  }

  keep(index, make) {
    const reference = this.exports.host_keep(index);
    this.check(reference);
    return make(reference);
  }

  table(index, depth) {
    if (depth === Latent.MOST_LEVELS) throw new LatentError("tables too deep, or without end");
    const entries = [];
    this.check(this.exports.host_push_nil());
    while (this.exports.host_next(index)) {
      const top = this.exports.host_top();
      entries.push([this.value(top - 1, depth + 1), this.value(top, depth + 1)]);
      this.exports.host_pop(1);
    }
    const list = entries.every(([key], i) => key === i + 1);
    return list ? entries.map(([, value]) => value) : Object.fromEntries(entries);
  }
}
Latent.MOST_LEVELS = 32;

if (typeof module !== "undefined") module.exports = {Latent, LatentError, LatentTensor, LatentValue};
