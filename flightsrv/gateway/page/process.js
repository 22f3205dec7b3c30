// How a process is shown, and where its page is.

const OF_EVERY_PROCESS = ["command-line", "pid", "python-version"];

/** What the program says of itself, as texts such as service=checkout. */
export function ownProperties({ properties }) {
  return Object.entries(properties)
    .filter(([name]) => !OF_EVERY_PROCESS.includes(name))
    .map(([name, value]) => `${name}=${value}`);
}

export function processAddress(processId) {
  return `#/process/${encodeURIComponent(processId)}`;
}
