// How a process is shown, and where its page is.

import { getJson, Problem } from "./api.js";

/** As many as the gateway takes at once. */
export const MOST_PROCESSES = 100;

const OF_EVERY_PROCESS = ["command-line", "pid", "python-version"];

/** What the program says of itself, as texts such as service=checkout. */
export function ownProperties({ properties }) {
  return Object.entries(properties)
    .filter(([name]) => !OF_EVERY_PROCESS.includes(name))
    .map(([name, value]) => `${name}=${value}`);
}

/** Where one process is shown, or several together. */
export function processAddress(...processIds) {
  return `#/process/${processIds.map(encodeURIComponent).join(",")}`;
}

/** The ids in such an address; none in one of something else, or a broken one. */
export function processesOf(path) {
  const ids = /^\/process\/([^/]+)$/.exec(path)?.[1].split(",") ?? [];
  try {
    return [...new Set(ids.filter(Boolean).map(decodeURIComponent))];
  } catch {
    return [];
  }
}

/** The id of a process, and those of all that it started, and that these did. Throws Problem. */
export async function withDescendants(processId, signal) {
  const path = `api/processes/${encodeURIComponent(processId)}/descendants`;
  const { processes, total } = await getJson(path, { limit: MOST_PROCESSES - 1 }, signal);
  if (processes.length < total) {
    const number = total.toLocaleString("en");
    throw new Problem(`There are ${number} processes below this one, and at most ${MOST_PROCESSES} are shown together.`);
  }
  return [processId, ...processes.map((process) => process.process_id)];
}
