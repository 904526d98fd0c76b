// Runs in a worker, behind web/host.js: unpacks the library, and answers requests (see lab.js).

const DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?_~|()[]{}@%$#";

// The reverse of lua/latent/explorer/base85.lua: five characters to four bytes, behind their number.
function fromBase85(text) {
  const begin = text.indexOf(" ") + 1, count = Number(text.slice(0, begin)), value = new Uint8Array(128);
  for (let i = 0; i < DIGITS.length; i++) value[DIGITS.charCodeAt(i)] = i;
  const words = Math.ceil(count / 4), out = new DataView(new ArrayBuffer(4 * words));
  for (let i = 0, at = begin; i < words; i++) {
    let word = 0;
    for (let k = 0; k < 5; k++) word = word * 85 + value[text.charCodeAt(at++)];
    out.setUint32(4 * i, word);
  }
  return new Uint8Array(out.buffer, 0, count);
}

async function unpacked(text) {
  const packed = fromBase85(text);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The files of the page: a list of names and sizes in JSON behind its length, then their contents.
function filesOf(bytes) {
  const n = new DataView(bytes.buffer).getUint32(0, true), files = {};
  let at = 4 + n;
  for (const [name, size] of JSON.parse(new TextDecoder().decode(bytes.subarray(4, at)))) {
    files[name] = bytes.subarray(at, at + size);
    at += size;
  }
  return files;
}

let serve;

async function begin({kind, wasm, files}) {
  const [module, content] = await Promise.all([unpacked(wasm).then(b => WebAssembly.compile(b)), unpacked(files)]);
  serve = await openLibrary(module, filesOf(content), kind, printed => postMessage({printed}));
  postMessage({ready: true});
}

onmessage = ({data}) => {
  if (data.kind) begin(data).catch(error => postMessage({failed: String(error && error.stack || error)}));
  else {
    try {
      const bytes = serve(data.bytes);
      postMessage({id: data.id, bytes}, [bytes.buffer]);
    } catch (error) {
      postMessage({id: data.id, wrong: String(error.message || error)});
    }
  }
};
