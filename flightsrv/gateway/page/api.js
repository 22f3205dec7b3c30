// What the page asks the gateway. Paths are relative, so that the gateway may be below any path of a proxy.

import { AnswerReader } from "./answers.js";
import { parseTime, rfc3339 } from "./times.js";

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
 * The range that two texts mean, which people write in many ways; null where a text is empty. Throws Problem, which says
 * which text is wrong.
 */
export async function readRange(begin, end, signal) {
  const given = Object.entries({ begin, end }).filter(([, text]) => text.trim());
  const range = await getJson("api/range", Object.fromEntries(given), signal);
  return { begin: range.begin && parseTime(range.begin), end: range.end && parseTime(range.end) };
}

/**
 * Makes a trace of some processes. `onProgress` gets what the server says, and `sizeBytes` as they come.
 * Returns { trace, failedThreads, lostEvents, droppedSpans } once it is whole. Throws Problem, or an AbortError.
 */
export async function generate(processIds, wanted, signal, onProgress) {
  const response = await ask(`${tracePath(processIds)}/generate`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...wanted, framed: true }),
    signal,
  });
  const answer = new AnswerReader(response.body);
  const pieces = [];
  let sizeBytes = 0;
  const count = (number) => onProgress({ sizeBytes: (sizeBytes += number) });
  try {
    for (let line = await answer.line(); line !== null; line = await answer.line()) {
      if (line.type === "progress") onProgress(line);
      else if (line.type === "piece") pieces.push(await answer.bytes(line.size_bytes, count));
      else if (line.type === "error") throw new Problem(`The trace could not be finished. ${sentence(line.message)}`);
      else if (line.type === "complete") return made(pieces, line);
    }
  } catch (error) {
    if (error instanceof Problem || signal.aborted) throw error;
  }
  throw new Problem("The connection broke before the trace was whole. The gateway may have stopped.");
}

/** Where traces of some processes are. */
export function tracePath(processIds) {
  return `api/perfetto/${processIds.map(encodeURIComponent).join(",")}`;
}

function made(pieces, line) {
  const { failed_threads: failedThreads, lost_events: lostEvents, dropped_spans: droppedSpans } = line;
  return { trace: new Blob(pieces, { type: "application/octet-stream" }), failedThreads, lostEvents, droppedSpans };
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The gateway does not answer. It may have stopped, or the network is down.");
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
