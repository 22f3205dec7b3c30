// Makes the trace that was chosen, shows how far it is, and gives it to the Perfetto UI or to the disk.

import { generate, Problem } from "./api.js";
import { element, isolated } from "./dom.js";
import { NoAnswer, openInPerfetto, PopupBlocked } from "./perfetto.js";
import { count, duration, size } from "./times.js";

const MOST_FAILED_THREADS = 5;

/**
 * `choice()` is what to make: { processIds, wanted, title, programs, range, estimateBytes, threadNames }; `settings` are
 * those of the gateway. A trace that was made is kept until `reset`, so that both buttons can have it.
 */
export class TracePanel {
  constructor(choice, settings, signal) {
    this.choice = choice;
    this.settings = settings;
    this.made = null;
    this.work = null;
    const button = (title, kind, use) =>
      element("button", { type: "button", class: kind, onclick: () => this.run(use) }, title);
    this.buttons = [
      button("Open in Perfetto", "primary", (chosen, work) => this.open(chosen, work)),
      button("Download", "", (chosen) => this.download(chosen)),
    ];
    this.bar = element("progress", { max: 1, "aria-label": "Progress" });
    this.detail = element("p", { class: "detail" });
    this.numbers = element("p", { class: "numbers" });
    this.cancel = element("button", { type: "button", "aria-keyshortcuts": "Escape", title: "Key Esc" }, "Cancel");
    this.cancel.addEventListener("click", () => this.work?.abort());
    // It is there from the start, and says little: whatever is written to it is read aloud.
    this.words = element("p", { role: "status" });
    this.content = element("div", { class: "content" });
    this.state = element("div", { class: "state idle" }, this.words, this.content);
    this.element = element("div", { class: "buttons" }, this.buttons);
    addEventListener("keydown", (event) => event.key === "Escape" && this.work?.abort(), { signal });
    signal.addEventListener("abort", () => this.work?.abort());
  }

  get isBusy() {
    return this.work !== null;
  }

  /** Whether there is something to make. */
  set enabled(isEnabled) {
    this.isEnabled = isEnabled;
    this.update();
  }

  /** What is chosen has changed: stop, and forget the trace. */
  reset() {
    this.work?.abort();
    this.work = null;
    this.made = null;
    this.tell("idle", "");
    this.update();
  }

  async run(use) {
    if (!this.isEnabled || this.work !== null) return;
    const work = new AbortController();
    this.work = work;
    const chosen = this.choice();
    this.update();
    try {
      this.made ??= await this.make(chosen, work.signal);
      await use(chosen, work);
    } catch (error) {
      if (this.work === work) this.fail(error, work, use);
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
      if (!signal.aborted) this.showProgress(told, chosen.estimateBytes(), performance.now() - begin);
    };
    show({});
    const clock = setInterval(() => show({}), 200);
    try {
      return await generate(chosen.processIds, chosen.wanted, signal, show);
    } finally {
      clearInterval(clock);
    }
  }

  showProgress(told, estimateBytes, elapsedMs) {
    const { sizeBytes = 0, threads_done: done = 0, threads_total: total = 0, nb_spans: spans = 0 } = told;
    // Threads differ, and the size is an estimate: the bar goes by what is further, and never says all.
    const share = Math.max(total > 0 ? done / total : 0, estimateBytes > 0 ? sizeBytes / estimateBytes : 0);
    if (share > 0) this.bar.value = Math.min(0.99, share);
    else this.bar.removeAttribute("value");
    this.detail.replaceChildren(isolated(told.message));
    this.numbers.textContent = [
      total > 0 && `${done.toLocaleString("en")} of ${count(total, "thread")}`,
      spans > 0 && count(spans, "span"),
      sizeBytes > 0 && size(sizeBytes) + (estimateBytes > sizeBytes ? ` of about ${size(estimateBytes)}` : ""),
      elapsedMs < 60_000 ? `${(elapsedMs / 1000).toFixed(1)} s` : duration(Math.round(elapsedMs / 1000) * 1e9),
    ]
      .filter(Boolean)
      .join(" · ");
    this.tell("making", "Making the trace", this.bar, this.detail, this.numbers, this.cancel);
  }

  async open(chosen, work, address = this.settings.perfetto_ui) {
    this.bar.removeAttribute("value");
    this.tell("making", `Opening the Perfetto UI with ${size(this.made.trace.size)}`, this.bar, this.cancel);
    const { host } = new URL(address, location.href);
    const showSlow = () =>
      this.tell("making", `Waiting for ${host}, which has not answered yet.`, this.bar, ...this.otherUi(address), this.cancel);
    await openInPerfetto(address, this.made.trace, chosen, work.signal, showSlow);
    this.finish(chosen, `The Perfetto UI has the trace, ${size(this.made.trace.size)}.`);
  }

  /** What can be used in place of a Perfetto UI that does not answer. */
  otherUi(address) {
    const bundled = this.settings.bundled_ui;
    if (address === bundled) return [];
    if (bundled === null) {
      const how = "This server has no copy of it: install flightsrv[perfetto-ui], or download the trace.";
      return [element("p", { class: "detail" }, how)];
    }
    const use = () => {
      this.work?.abort();
      this.work = null;
      this.run((chosen, work) => this.open(chosen, work, bundled));
    };
    return [element("button", { type: "button", class: "primary", onclick: use }, "Open in the bundled Perfetto UI")];
  }

  download(chosen) {
    const address = URL.createObjectURL(this.made.trace);
    const name = `${chosen.title.replace(/[^\p{L}\p{M}\p{N}.-]+/gu, "_")}.pftrace`;
    element("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    this.finish(chosen, `${name}, ${size(this.made.trace.size)}, is in your downloads.`);
  }

  /** Shows the outcome, and what the trace is missing. */
  finish({ threadNames }, words) {
    const { failedThreads, lostEvents, droppedSpans } = this.made;
    const failed = failedThreads
      .slice(0, MOST_FAILED_THREADS)
      .map(({ stream_id: id, message }) => element("li", {}, isolated(threadNames.get(id) || id), `: ${message}`));
    const others = failedThreads.length - failed.length;
    const missing = `${count(failedThreads.length, "thread")} could not be read and ${failedThreads.length === 1 ? "is" : "are"} missing:`;
    const lost = `${count(lostEvents, "event")} ${lostEvents === 1 ? "was" : "were"} lost; the trace shows where.`;
    const dropped = `${count(droppedSpans, "span")} dropped while recording, for lack of memory; the trace shows where.`;
    const warnings = [
      failed.length > 0 && element("p", {}, missing),
      failed.length > 0 && element("ul", {}, failed, others > 0 && element("li", {}, count(others, "other"))),
      lostEvents > 0 && element("p", {}, lost),
      droppedSpans > 0 && element("p", {}, dropped),
    ].filter(Boolean);
    this.tell("done", words, warnings.length > 0 && element("div", { class: "warnings", role: "alert" }, warnings));
  }

  fail(error, work, use) {
    if (work.signal.aborted) {
      this.tell("done", this.made === null ? "Cancelled." : "Cancelled. The trace can still be opened or downloaded.");
      return;
    }
    const isReady = error instanceof PopupBlocked;
    const again = element(
      "button",
      { type: "button", class: isReady ? "primary" : "", onclick: () => this.run(use) },
      isReady ? "Open the trace now" : "Try again",
    );
    const isExpected = error instanceof Problem;
    const words = isExpected ? error.message : `Something went wrong in this page: ${error.message}`;
    const ready = isReady ? `The trace is ready, ${size(this.made.trace.size)}. ` : "";
    const others = error instanceof NoAnswer ? this.otherUi(this.settings.perfetto_ui) : [];
    this.tell(isReady ? "ready" : "failed", "", element("p", { role: "alert" }, ready + words), again, ...others);
    if (!isExpected) throw error;
  }

  /** Shows words and content. What is shown already stays as it is, with the focus that it may have. */
  tell(kind, words, ...content) {
    const shown = content.filter(Boolean);
    const hadFocus = this.content.contains(document.activeElement);
    const isNew = !this.state.classList.contains(kind);
    this.state.className = `state ${kind}`;
    if (this.words.textContent !== words) this.words.textContent = words;
    const { children } = this.content;
    const isSame = children.length === shown.length && shown.every((child, number) => child === children[number]);
    if (!isSame) this.content.replaceChildren(...shown);
    if (isNew) this.state.scrollIntoView({ block: "nearest" });
    if (hadFocus && !isSame) (this.content.querySelector("button") ?? this.buttons[0]).focus();
  }

  /** Buttons that can do nothing now keep the focus, which would get lost where they were disabled for good. */
  update() {
    for (const button of this.buttons) button.setAttribute("aria-disabled", !this.isEnabled || this.work !== null);
  }
}
