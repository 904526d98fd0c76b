// A script of Lua in the compiled core, under node:
//   node web/node.js latent.wasm folder[=name]... -- script.lua arguments...
// The folders are copied into its memory, under their own names or others; nothing is written to disk.
"use strict";
const fs = require("fs"), path = require("path");
const {LatentExit} = require("./files.js");
const {Latent} = require("./host.js");

// All files below a folder, under the names that they get.
function gather(folder, name, files) {
  for (const entry of fs.readdirSync(folder)) {
    const from = path.join(folder, entry), to = path.posix.join(name, entry);
    if (fs.statSync(from).isDirectory()) gather(from, to, files);
    else files[to] = new Uint8Array(fs.readFileSync(from));
  }
  return files;
}

async function main([wasm, ...words]) {
  const files = {}, end = words.indexOf("--");
  if (end < 0 || end === words.length - 1) throw new Error("usage: node.js latent.wasm folder[=name]... -- script.lua arguments...");
  for (const word of words.slice(0, end)) {
    const [folder, name = folder] = word.split("=");
    gather(folder, name, files);
  }
  const latent = await Latent.load(fs.readFileSync(wasm), {
    files,
    onOutput: (text, stream) => fs.writeSync(stream, text),
    environment: process.env,
  });
  const code = "arg = {[0] = ..., select(2, ...)} return assert(loadfile(arg[0]))(select(2, ...))";
  const {error, traceback} = latent.run(code, {name: "=node.js", args: words.slice(end + 1)});
  if (error) throw new Error(`${error}\n${traceback}`);
}

main(process.argv.slice(2)).catch(e => {
  if (!(e instanceof LatentExit)) console.error(e.message);
  process.exitCode = e instanceof LatentExit ? e.status : 1;
});
