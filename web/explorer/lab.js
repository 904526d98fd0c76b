// The page's side of a worker that has the library: requests and their answers, as promises. A message is what
// lua/latent/explorer/wire.lua packs: the length of a head in JSON, the head, the elements of tensors.

function packMessage(head, tensors = []) {
  head.shapes = tensors.map(t => t.shape);
  const text = new TextEncoder().encode(JSON.stringify(head));
  const size = tensors.reduce((sum, t) => sum + 4 * t.data.length, 4 + text.length);
  const bytes = new Uint8Array(size);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, 4);
  let at = 4 + text.length;
  for (const t of tensors) {
    bytes.set(new Uint8Array(t.data.buffer, t.data.byteOffset, 4 * t.data.length), at);
    at += 4 * t.data.length;
  }
  return bytes;
}

function unpackMessage(bytes) {
  const n = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + n)));
  let at = 4 + n;
  head.tensors = head.shapes.map(shape => {
    const size = 4 * shape.reduce((a, b) => a * b, 1);
    const data = new Float32Array(bytes.slice(at, at + size).buffer);
    at += size;
    return {shape, data};
  });
  return head;
}

const tensor = (shape, data) => ({shape, data: data instanceof Float32Array ? data : Float32Array.from(data)});

class Lab {
  // `kind`: "lab" or "prompt"; `heard(text)`: what the Lua in it prints.
  constructor(kind, heard = () => {}) {
    this.kind = kind;
    this.heard = heard;
    this.start();
  }

  start() {
    const source = new Blob([byId("worker").textContent], {type: "text/javascript"});
    const address = URL.createObjectURL(source);
    this.worker = new Worker(address);
    this.waiting = new Map();
    this.count = 0;
    this.ready = new Promise((resolve, reject) => {
      this.worker.onmessage = ({data}) => this.answer(data, resolve, reject);
      this.worker.onerror = event => reject(new Error(event.message || "the worker did not start"));
    });
    this.ready.finally(() => URL.revokeObjectURL(address)).catch(() => {});
    this.worker.postMessage({kind: this.kind, wasm: byId("wasm").textContent, files: byId("files").textContent});
  }

  answer(message, resolve, reject) {
    if (message.ready) resolve();
    else if (message.failed) reject(new Error(message.failed));
    else if (message.printed !== undefined) this.heard(message.printed);
    else {
      const {done, fail} = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      if (message.wrong) return fail(new Error(message.wrong));
      const head = unpackMessage(message.bytes);
      if (head.error) fail(new Error(head.error));
      else done(head);
    }
  }

  // An answer's fields, with `tensors`.
  async ask(op, fields = {}, tensors = []) {
    await this.ready;
    const id = ++this.count, bytes = packMessage({op, ...fields}, tensors);
    return new Promise((done, fail) => {
      this.waiting.set(id, {done, fail});
      this.worker.postMessage({id, bytes}, [bytes.buffer]);
    });
  }

  // Ends whatever runs, and begins anew.
  restart() {
    this.worker.terminate();
    for (const {fail} of this.waiting.values()) fail(new Error("stopped"));
    this.start();
  }
}
