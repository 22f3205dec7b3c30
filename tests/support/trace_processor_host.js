// Runs the WebAssembly build of Perfetto's trace processor outside of a browser.
//
// Usage: node trace_processor_host.js FOLDER, where FOLDER holds engine_bundle.js and its .wasm files.
// A request on stdin is a length (uint32, little endian) and that many bytes of a TraceProcessorRpcStream. The answer
// on stdout has the same form, with all that the engine replied to that request.

"use strict";

const fs = require("fs");
const path = require("path");
const vm = require("vm");

const folder = process.argv[2];

// The engine loads its .wasm file by a blocking request, as a web worker may.
class XMLHttpRequest {
  open(method, url) {
    this.url = url;
  }
  send() {
    this.response = new Uint8Array(fs.readFileSync(path.join(folder, this.url))).buffer;
  }
}

// A worker's scope as far as the engine looks at it. It must not see `process`, or it would refuse to run in Node.
const log = (...words) => console.error(...words);
const worker = {
  XMLHttpRequest,
  WorkerGlobalScope: class {},
  console: { log, warn: log, error: log },
  location: { href: "/" },
  performance,
  crypto,
  TextDecoder,
  TextEncoder,
  setTimeout,
};
worker.self = worker;
vm.createContext(worker);
vm.runInContext(fs.readFileSync(path.join(folder, "engine_bundle.js"), "utf8"), worker);

let replies = [];
const port = { postMessage: (reply) => replies.push(reply) };
worker.onmessage({ data: port });

// The engine checks the class of what it is sent, and every scope has its own.
const WorkerBytes = vm.runInContext("Uint8Array", worker);

function read(size) {
  const bytes = new WorkerBytes(size);
  for (let filled = 0; filled < size; ) {
    const count = fs.readSync(0, bytes, filled, size - filled, null);
    if (count === 0) process.exit(0);
    filled += count;
  }
  return bytes;
}

function write(bytes) {
  for (let written = 0; written < bytes.length; ) {
    written += fs.writeSync(1, bytes, written, bytes.length - written);
  }
}

function serve() {
  for (;;) {
    const size = new DataView(read(4).buffer).getUint32(0, true);
    replies = [];
    port.onmessage({ data: read(size) });
    const length = Buffer.alloc(4);
    length.writeUInt32LE(replies.reduce((total, reply) => total + reply.length, 0));
    write(length);
    replies.forEach(write);
  }
}

// The engine is ready once the promises that it made while loading have settled.
setImmediate(serve);
