// Hands a trace to the Perfetto UI in another window, by its own protocol:
// https://perfetto.dev/docs/visualization/deep-linking-to-perfetto-ui

import { Problem } from "./api.js";

const PING_EVERY_MS = 100;
const ANSWER_WITHIN_MS = 60_000;

/** The browser did not let a window open; a click on a button may. */
export class PopupBlocked extends Problem {}

/**
 * Opens the Perfetto UI at `address` and gives it the trace once it answers. The range in nanoseconds is what it shows at
 * first, null is all. Throws PopupBlocked, or Problem where the window is closed, or does not answer.
 */
export async function openInPerfetto(address, trace, title, range, signal) {
  const url = new URL(address, location.href);
  const opened = open(withRange(url, range), "_blank");
  if (opened === null) throw new PopupBlocked("The browser did not let the Perfetto UI open a window.");
  await answer(opened, url, signal);
  const buffer = await bytesOf(trace);
  const message = { perfetto: { buffer, title, fileName: `${title}.pftrace` } };
  opened.postMessage(message, { targetOrigin: url.origin, transfer: [buffer] });
}

async function bytesOf(trace) {
  try {
    return await trace.arrayBuffer();
  } catch {
    throw new Problem("The browser cannot hand over so large a trace. Download it, or choose less time.");
  }
}

/** The UI reads what to show from the arguments of its page, which stand in the fragment. */
function withRange(url, range) {
  if (range === null) return url.href;
  const page = url.hash || "#!/viewer";
  return `${url.href.split("#")[0]}${page}${page.includes("?") ? "&" : "?"}visStart=${range.begin}&visEnd=${range.end}`;
}

/** Until the page is loaded nobody hears, so it is asked again and again; nothing secret is in the question. */
function answer(opened, url, signal) {
  return new Promise((resolve, reject) => {
    const finished = new AbortController();
    const settle = (how, value) => {
      clearInterval(pings);
      finished.abort();
      how(value);
    };
    const begin = performance.now();
    const pings = setInterval(() => {
      if (opened.closed) {
        settle(reject, new Problem("The window of the Perfetto UI was closed before it took the trace."));
      } else if (performance.now() - begin > ANSWER_WITHIN_MS) {
        settle(reject, new Problem(`The Perfetto UI at ${url.origin} did not answer within a minute. Is it reachable?`));
      } else {
        opened.postMessage("PING", "*");
      }
    }, PING_EVERY_MS);
    const hear = (event) => {
      if (event.source === opened && event.origin === url.origin && event.data === "PONG") settle(resolve);
    };
    addEventListener("message", hear, { signal: finished.signal });
    signal.addEventListener("abort", () => settle(reject, signal.reason), { signal: finished.signal });
  });
}
