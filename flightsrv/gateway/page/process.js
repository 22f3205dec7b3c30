// How a process is called, and where its page is.

const INTERPRETER = /^(python|pypy)[\d.]*(\.exe)?$/i;
const OPTIONS_WITH_VALUES = ["-W", "-X"];

/** The last part of a program's path; of Python, the script or the module that it runs. */
export function programName(process) {
  const name = lastPart(process.exe ?? "") ?? "unnamed program";
  return (INTERPRETER.test(name) && scriptName(process.properties["command-line"] ?? "")) || name;
}

function scriptName(commandLine) {
  const words = commandLine.split(" ").slice(1);
  while (words.length > 0) {
    const word = words.shift();
    if (word === "-m") return words.shift();
    if (word === "-c") return undefined;
    if (OPTIONS_WITH_VALUES.includes(word)) words.shift();
    else if (!word.startsWith("-")) return lastPart(word);
  }
  return undefined;
}

function lastPart(path) {
  return path.split(/[/\\]/).filter(Boolean).pop();
}

export function processAddress(processId) {
  return `#/process/${encodeURIComponent(processId)}`;
}
