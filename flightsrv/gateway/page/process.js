// How a process is called, and where its page is.

/** The last part of a program's path. */
export function programName(process) {
  return process.exe?.split(/[/\\]/).filter(Boolean).pop() ?? "unnamed program";
}

export function processAddress(processId) {
  return `#/process/${encodeURIComponent(processId)}`;
}
