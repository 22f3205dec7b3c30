// Hands a trace to the Perfetto UI in another window, by its own protocol:
// https://perfetto.dev/docs/visualization/deep-linking-to-perfetto-ui

import { Problem } from "./api.js";

const PING_EVERY_MS = 100;
const SLOW_AFTER_MS = 5_000;
const ANSWER_WITHIN_MS = 60_000;

/** The browser did not let a window open; a click on a button may. */
export class PopupBlocked extends Problem {}

/** The Perfetto UI does not answer. */
export class NoAnswer extends Problem {}

/**
 * Opens the Perfetto UI at `address` and gives it the trace once it answers; `shown` is { title, range, programs }. The
 * range in nanoseconds is what it shows at first, null is all. `onSlow` is called where it does not answer for seconds.
 * Throws PopupBlocked, NoAnswer, or Problem where the window is closed.
 */
export async function openInPerfetto(address, trace, shown, signal, onSlow) {
  const url = new URL(address, location.href);
  const opened = open(withView(url, shown), "_blank");
  if (opened === null) throw new PopupBlocked("The browser did not let the Perfetto UI open a window.");
  await answer(opened, url, signal, onSlow);
  const buffer = await bytesOf(trace);
  const message = { perfetto: { buffer, title: shown.title, fileName: `${shown.title}.pftrace` } };
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
function withView(url, { range, programs }) {
  const expand = { id: "dev.perfetto.ExpandTracksByRegex", args: [`^(${programs.map(escaped).join("|")})`] };
  const view = new URLSearchParams({ startupCommands: JSON.stringify([expand]) });
  if (range !== null) {
    view.set("visStart", range.begin);
    view.set("visEnd", range.end);
  }
  const page = url.hash || "#!/viewer";
  // The UI does not read + as a space.
  return `${url.href.split("#")[0]}${page}${page.includes("?") ? "&" : "?"}${view.toString().replaceAll("+", "%20")}`;
}

function escaped(text) {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

/** A page that is still loading does not answer, so it is asked again and again; nothing secret is in the question. */
function answer(opened, url, signal, onSlow) {
  return new Promise((resolve, reject) => {
    const finished = new AbortController();
    const settle = (how, value) => {
      clearInterval(pings);
      finished.abort();
      how(value);
    };
    const begin = performance.now();
    let isSlow = false;
    const pings = setInterval(() => {
      const elapsedMs = performance.now() - begin;
      if (opened.closed) {
        settle(reject, new Problem("The window of the Perfetto UI was closed before it took the trace."));
      } else if (elapsedMs > ANSWER_WITHIN_MS) {
        settle(reject, new NoAnswer(`${url.host} did not answer within a minute.`));
      } else {
        if (!isSlow && elapsedMs > SLOW_AFTER_MS) {
          isSlow = true;
          onSlow();
        }
        opened.postMessage("PING", "*");
      }
    }, PING_EVERY_MS);
    const hear = (event) => {
      if (event.source === opened && event.origin === url.origin && event.data === "PONG") settle(resolve);
    };
    const leave = () => {
      opened.close();
      settle(reject, signal.reason);
    };
    addEventListener("message", hear, { signal: finished.signal });
    signal.addEventListener("abort", leave, { signal: finished.signal });
  });
}
