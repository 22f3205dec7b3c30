// Makes the trace that was chosen, shows how far it is, and gives it to the Perfetto UI or to the disk.

import { generate, Problem } from "./api.js";
import { element } from "./dom.js";
import { openInPerfetto, PopupBlocked } from "./perfetto.js";
import { count, duration, size } from "./times.js";

/**
 * `choice()` tells what to make: { processId, wanted, title, range, estimateBytes }; `perfettoUi` is the address of the UI.
 * A trace that was made is kept until `reset`, so that both buttons can have it.
 */
export class TracePanel {
  constructor(choice, perfettoUi, signal) {
    this.choice = choice;
    this.perfettoUi = perfettoUi;
    this.trace = null;
    this.work = null;
    const button = (title, kind, use) =>
      element("button", { type: "button", class: kind, onclick: () => this.run(use) }, title);
    this.buttons = [
      button("Open in Perfetto", "primary", (chosen, work) => this.open(chosen, work)),
      button("Download", "", (chosen) => this.download(chosen)),
    ];
    this.bar = element("progress", { max: 1, "aria-label": "Progress" });
    this.message = element("p", { class: "message" });
    this.numbers = element("p", { class: "numbers" });
    this.cancel = element("button", { type: "button", onclick: () => this.work?.abort() }, "Cancel");
    this.state = element("div", { class: "state", hidden: true });
    this.element = element("div", { class: "buttons" }, this.buttons);
    signal.addEventListener("abort", () => this.work?.abort());
  }

  /** Whether there is something to make. */
  set enabled(isEnabled) {
    this.isEnabled = isEnabled;
    this.update();
  }

  /** What is chosen has changed: stop, and forget the trace. */
  reset() {
    this.work?.abort();
    this.trace = null;
    this.state.hidden = true;
  }

  async run(use) {
    const work = new AbortController();
    this.work = work;
    const chosen = this.choice();
    this.update();
    try {
      this.trace ??= await this.make(chosen, work.signal);
      await use(chosen, work);
    } catch (error) {
      this.fail(error, work, use);
    } finally {
      if (this.work === work) this.work = null;
      this.update();
    }
  }

  async make(chosen, signal) {
    const begin = performance.now();
    let told = { message: "Waiting for the server", threads_total: 0 };
    const show = (news) => {
      told = { ...told, ...news };
      this.showProgress(told, chosen.estimateBytes, performance.now() - begin);
    };
    show({});
    const clock = setInterval(() => show({}), 200);
    try {
      const pieces = await generate(chosen.processId, chosen.wanted, signal, show);
      return new Blob(pieces, { type: "application/octet-stream" });
    } finally {
      clearInterval(clock);
    }
  }

  showProgress(told, estimateBytes, elapsedMs) {
    const { sizeBytes = 0, threads_done: done = 0, threads_total: total = 0, nb_spans: spans = 0 } = told;
    // Bytes come when the first thread is done; how many there will be is an estimate, so the bar never says all.
    const share = sizeBytes > 0 ? sizeBytes / Math.max(1, estimateBytes) : total > 0 ? done / total : 0;
    if (share > 0) this.bar.value = Math.min(0.99, share);
    else this.bar.removeAttribute("value");
    this.message.textContent = sizeBytes > 0 ? "Receiving the trace" : told.message;
    this.numbers.textContent = [
      total > 0 && sizeBytes === 0 && `${done} of ${count(total, "thread")}`,
      spans > 0 && sizeBytes === 0 && count(spans, "span"),
      sizeBytes > 0 && `${size(sizeBytes)} of about ${size(Math.max(sizeBytes, estimateBytes))}`,
      duration(Math.round(elapsedMs / 100) * 1e8),
    ]
      .filter(Boolean)
      .join(" · ");
    this.tell("making", this.bar, this.message, this.numbers, this.cancel);
  }

  async open(chosen, work) {
    this.message.textContent = "Opening the Perfetto UI";
    this.numbers.textContent = size(this.trace.size);
    this.bar.removeAttribute("value");
    this.tell("making", this.bar, this.message, this.numbers, this.cancel);
    await openInPerfetto(this.perfettoUi, this.trace, chosen.title, chosen.range, work.signal);
    this.tell("done", element("p", { role: "status" }, `The Perfetto UI has the trace, ${size(this.trace.size)}.`));
  }

  download(chosen) {
    const address = URL.createObjectURL(this.trace);
    const name = `${chosen.title.replace(/[^\w.-]+/g, "_")}.pftrace`;
    element("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    this.tell("done", element("p", { role: "status" }, `${name}, ${size(this.trace.size)}, is in your downloads.`));
  }

  fail(error, work, use) {
    if (work.signal.aborted) {
      if (this.work === work) this.tell("done", element("p", { role: "status" }, "Cancelled. Nothing was kept."));
      return;
    }
    if (!(error instanceof Problem)) throw error;
    const isReady = error instanceof PopupBlocked;
    const again = element(
      "button",
      { type: "button", class: isReady ? "primary" : "", onclick: () => this.run(use) },
      isReady ? "Open the trace now" : "Try again",
    );
    const words = isReady ? `The trace is ready, ${size(this.trace.size)}. ${error.message}` : error.message;
    this.tell(isReady ? "ready" : "failed", element("p", { role: "alert" }, words), again);
  }

  tell(kind, ...content) {
    this.state.className = `state ${kind}`;
    this.state.hidden = false;
    if (![...this.state.children].every((child, number) => child === content[number]) || !this.state.children.length) {
      this.state.replaceChildren(...content);
    }
  }

  update() {
    for (const button of this.buttons) button.disabled = !this.isEnabled || this.work !== null;
  }
}
