// What the page asks the gateway. Paths are relative, so that the gateway may be below any path of a proxy.

import { rfc3339 } from "./times.js";

/** Something went wrong, in words for people. */
export class Problem extends Error {}

/** The JSON of an answer. Throws Problem; an AbortError where the signal aborts it. */
export async function getJson(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(parameters).toString();
  const response = await ask(query ? `${path}?${query}` : path, { signal });
  return response.json();
}

/** Parameters `begin` and `end` of a range in nanoseconds, none for null. */
export function rangeParameters(range) {
  return range === null ? {} : { begin: rfc3339(range.begin), end: rfc3339(range.end) };
}

/**
 * Makes a trace. `onProgress` gets what the server says until the first byte, then `sizeBytes` as they come.
 * Returns the pieces of the trace once it is whole. Throws Problem, or an AbortError.
 */
export async function generate(processId, wanted, signal, onProgress) {
  const response = await ask(`api/perfetto/${encodeURIComponent(processId)}/generate`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wanted),
    signal,
  });
  const reader = response.body.getReader();
  const pieces = [];
  let sizeBytes = 0;
  let head = new Uint8Array();
  let isBinary = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      let piece = value;
      if (!isBinary) {
        head = joined(head, value);
        [isBinary, head] = readLines(head, onProgress);
        piece = isBinary ? head : new Uint8Array();
      }
      if (isBinary) {
        pieces.push(piece);
        sizeBytes += piece.length;
        onProgress({ sizeBytes });
      }
    }
  } catch (error) {
    if (error instanceof Problem || signal.aborted) throw error;
    throw new Problem("The connection broke before the trace was whole: the server, or the gateway, may have stopped. " +
      "What had come was thrown away.");
  }
  if (!isBinary) throw new Problem("The gateway ended its answer without a trace.");
  return pieces;
}

/** Tells whole lines from the begin of an answer; returns whether the trace begins now, and what is left. */
function readLines(head, onProgress) {
  for (;;) {
    const end = head.indexOf(10);
    if (end < 0) return [false, head];
    const line = JSON.parse(new TextDecoder().decode(head.subarray(0, end)));
    head = head.subarray(end + 1);
    if (line.type === "binary_start") return [true, head];
    if (line.type === "error") throw new Problem(sentence(line.message));
    onProgress(line);
  }
}

function joined(first, second) {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The gateway does not answer. It may have been stopped, or the network is away.");
  }
  if (response.ok) return response;
  let message = `The gateway answered with status ${response.status}.`;
  try {
    message = sentence((await response.json()).message);
  } catch {
    // not from the gateway itself; the status has to do
  }
  throw new Problem(message);
}

function sentence(message) {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
