// One process: what it is, its threads over time, and the trace of a range of it.

import { rewrite } from "./address.js";
import { getJson, Problem, rangeParameters } from "./api.js";
import { debounced, element, isolated, isTyping } from "./dom.js";
import { processAddress, programName } from "./process.js";
import { Timeline, withRanges } from "./timeline.js";
import { count, duration, parseTime, rangeText, readable, rfc3339, size, toSeconds } from "./times.js";
import { TracePanel } from "./trace_panel.js";

const SETTLED_MS = 200;
const NARROW_SHARE = 1 / 20;

export async function showProcess(view, processId, parameters, setCrumb, signal) {
  const path = `api/processes/${encodeURIComponent(processId)}`;
  setCrumb(processId);
  view.replaceChildren(element("p", { class: "status", role: "status" }, "Loading …"));
  try {
    const [process, threads, settings] = await Promise.all([
      getJson(path, {}, signal),
      getJson(`${path}/threads`, {}, signal),
      getJson("api/settings", {}, signal),
    ]);
    setCrumb(programName(process));
    new ProcessView(view, process, threads, settings, signal).start(parameters);
    view.querySelector("h1").focus({ preventScroll: true });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    const again = () => showProcess(view, processId, parameters, setCrumb, signal);
    view.replaceChildren(
      element("p", { class: "status" }, element("span", { class: "error", role: "alert" }, error.message), " ",
        element("button", { type: "button", onclick: again }, "Try again")),
    );
  }
}

class ProcessView {
  constructor(view, process, { threads, begin, end }, settings, signal) {
    this.view = view;
    this.process = process;
    this.threads = withRanges(threads.toSorted(byKindAndName));
    this.signal = signal;
    this.life = begin === null ? null : { begin: parseTime(begin), end: parseTime(end) };
    this.range = null;
    this.info = null;
    this.spans = {
      thread: this.buildChoice("thread", "Thread spans"),
      async: this.buildChoice("async", "Async spans"),
    };
    this.panel = new TracePanel(() => this.choice(), settings.perfetto_ui, signal);
    this.estimate = element("p", { class: "estimate", role: "status" });
    this.settled = debounced(() => this.settle(), SETTLED_MS);
    this.zoomed = debounced(() => this.loadThreads(), SETTLED_MS);
  }

  start(parameters) {
    const heading = this.buildHeading();
    if (this.life === null) {
      this.view.replaceChildren(heading, element("p", { class: "empty" }, "This process has sent no events yet."));
      return;
    }
    const handlers = { onselect: (range) => this.setRange(range), onzoom: () => this.showZoom() };
    this.timeline = new Timeline(this.life, this.threads, handlers, this.signal);
    this.view.replaceChildren(
      heading,
      this.buildRange(),
      this.timeline.element,
      element(
        "div",
        { class: "dock" },
        element("fieldset", { class: "choices" }, element("legend", {}, "Show"), this.spans.thread, this.spans.async),
        this.estimate,
        this.panel.element,
        this.panel.state,
      ),
    );
    addEventListener("keydown", (event) => this.pressKey(event), { signal: this.signal });
    const [begin, end] = ["begin", "end"].map((name) => parseTime(parameters.get(name) ?? ""));
    this.setRange(begin !== null && end !== null && begin <= end ? { begin, end } : null);
    this.showZoom();
    this.showNarrowRange();
  }

  buildHeading() {
    const { process } = this;
    const facts = [
      ["Process id", element("code", {}, process.process_id)],
      ["Started", `${toSeconds(parseTime(process.start_time))} UTC`],
      ["Host", process.computer],
      ["User", process.username],
      ["System", process.distro],
      ["CPU", process.cpu_brand],
      ["Program", process.exe],
      ["Parent", process.parent_process_id && processLink(process.parent_process_id)],
      ...Object.entries(process.properties),
    ].filter(([, value]) => value);
    const [first, rest] = [facts.slice(0, 4), facts.slice(4)];
    const text = (value) => (typeof value === "string" ? isolated(value) : value);
    const list = (entries) =>
      element("dl", {}, entries.map(([name, value]) =>
        element("div", {}, element("dt", {}, isolated(name)), element("dd", {}, text(value)))));
    const title = element("h1", { tabIndex: -1, title: programName(process) }, isolated(programName(process)));
    return element(
      "div",
      { class: "heading" },
      title,
      list(first),
      rest.length > 0 && element("details", {}, element("summary", {}, "More"), list(rest)),
    );
  }

  buildRange() {
    const field = (name, label) =>
      element("input", {
        type: "text",
        name,
        class: "time",
        spellcheck: false,
        autocomplete: "off",
        "aria-label": label,
        onchange: () => this.readFields(),
      });
    this.fields = { begin: field("begin", "Begin, UTC"), end: field("end", "End, UTC") };
    this.length = element("output", { class: "length" });
    const mark = (kind, text) => element("span", { class: kind, "aria-hidden": "true" }, text);
    const button = (title, help, act) => element("button", { type: "button", title: help, onclick: act }, title);
    this.zoomButtons = {
      in: button("Zoom in", "Key +", () => this.timeline.zoomBy(1 / 2)),
      out: button("Zoom out", "Key -", () => this.timeline.zoomBy(2)),
      range: button("Zoom to range", "Key z", () => this.timeline.zoom(this.range)),
      all: button("Whole life", "Key 0", () => this.showAll()),
    };
    return element(
      "div",
      { class: "toolbar range" },
      element("span", { class: "fields" }, this.fields.begin, mark("dash", "–"), this.fields.end, mark("unit", "UTC")),
      this.length,
      element("span", { class: "zoom" }, Object.values(this.zoomButtons)),
    );
  }

  buildChoice(kind, label) {
    const number = this.threads.filter((thread) => thread.kind === kind).length;
    const box = element("input", {
      type: "checkbox",
      name: kind,
      checked: number > 0,
      disabled: number === 0,
      onchange: () => this.change(),
    });
    return element("label", { class: kind }, box, label);
  }

  includes(kind) {
    return this.spans[kind].querySelector("input").checked;
  }

  setRange(range) {
    this.range = range;
    this.timeline.select(range);
    const { begin, end } = range ?? this.life;
    this.fields.begin.value = readable(begin);
    this.fields.end.value = readable(end);
    for (const field of Object.values(this.fields)) field.removeAttribute("aria-invalid");
    this.length.textContent = duration(Number(end - begin));
    this.zoomButtons.range.disabled = range === null;
    this.change();
  }

  /** A range that could hardly be seen in the whole life is shown from near. */
  showNarrowRange() {
    if (this.range === null) return;
    const { begin, end } = this.range;
    const share = Number(end - begin) / Number(this.life.end - this.life.begin);
    if (share < NARROW_SHARE) this.timeline.zoom({ begin: begin - (end - begin), end: end + (end - begin) });
  }

  readFields() {
    const [begin, end] = [this.fields.begin, this.fields.end].map((field) => parseTime(field.value));
    this.fields.begin.setAttribute("aria-invalid", begin === null);
    this.fields.end.setAttribute("aria-invalid", end === null || (begin !== null && end < begin));
    this.panel.enabled = false;
    if (begin !== null && end !== null && begin <= end) this.timeline.choose({ begin, end });
    else this.showProblem("Times are written as 2026-01-01 10:00:00.5, UTC, and the end must not lie before the begin.");
  }

  showAll() {
    this.timeline.zoom(this.life);
    this.timeline.choose(null);
  }

  showZoom() {
    const { timeline } = this;
    this.zoomButtons.out.disabled = timeline.isWhole;
    this.zoomed();
  }

  pressKey(event) {
    if (isTyping(event) || event.ctrlKey || event.metaKey || event.altKey) return;
    const button = { "+": "in", "=": "in", "-": "out", z: "range", 0: "all" }[event.key];
    if (button !== undefined) this.zoomButtons[button].click();
  }

  /** Something else is chosen now. */
  change() {
    this.panel.reset();
    this.panel.enabled = this.spanTypes !== null;
    this.info = null;
    if (this.spanTypes === null) this.showProblem("Choose thread spans, async spans, or both.");
    else this.showEstimate();
    this.settled();
  }

  /** It stays so for a moment: browsers limit how often an address changes, and the server has better to do. */
  settle() {
    if (this.signal.aborted) return;
    const query = this.range === null ? "" : `?begin=${rfc3339(this.range.begin)}&end=${rfc3339(this.range.end)}`;
    if (!rewrite(`${processAddress(this.process.process_id)}${query}`)) return;
    if (this.spanTypes !== null) this.loadInfo();
  }

  get spanTypes() {
    if (this.includes("thread")) return this.includes("async") ? "both" : "thread";
    return this.includes("async") ? "async" : null;
  }

  async loadInfo() {
    const asked = this.range;
    try {
      const parameters = { ...rangeParameters(asked), span_types: this.spanTypes };
      const path = `api/perfetto/${encodeURIComponent(this.process.process_id)}/info`;
      const info = await getJson(path, parameters, this.signal);
      if (asked !== this.range || parameters.span_types !== this.spanTypes) return;
      this.info = info;
      this.showEstimate();
    } catch (error) {
      if (error.name === "AbortError" || asked !== this.range) return;
      if (!(error instanceof Problem)) throw error;
      this.showProblem(error.message, () => this.change());
    }
  }

  showEstimate() {
    const { info } = this;
    this.estimate.classList.remove("error");
    if (info === null) {
      this.estimate.textContent = "Estimating …";
      return;
    }
    const chosen = { thread: info.thread_events, async: info.async_events };
    const events = Object.keys(chosen).reduce((sum, kind) => sum + (this.includes(kind) ? chosen[kind] : 0), 0);
    if (events === 0) {
      this.estimate.textContent = "There is nothing in this range.";
      return;
    }
    const time = duration(Math.max(1e8, Math.round(info.estimate.seconds * 10) * 1e8));
    this.estimate.replaceChildren(
      element("strong", {}, `About ${size(roundedTo2(info.estimate.size_bytes))}, ${time}`),
      element("span", {}, `${count(roundedTo2(events), "event")} in ${this.sources(info)}`),
      ...(info.materialized < 0.5 ? [element("span", {}, "not materialized yet")] : []),
    );
  }

  /** Who has events in the range. */
  sources({ threads, async_streams: streams }) {
    return [
      this.includes("thread") && threads > 0 && count(threads, "thread"),
      this.includes("async") && streams > 0 && count(streams, "event loop"),
    ]
      .filter(Boolean)
      .join(" and ");
  }

  /** Says it in place of the estimate; `again` is what may help. */
  showProblem(words, again = null) {
    const button = again && element("button", { type: "button", onclick: again }, "Try again");
    this.estimate.classList.add("error");
    this.estimate.replaceChildren(words, ...(button ? [button] : []));
  }

  async loadThreads() {
    const { window } = this.timeline;
    try {
      const path = `api/processes/${encodeURIComponent(this.process.process_id)}/threads`;
      const ask = async () => withRanges((await getJson(path, rangeParameters(window), this.signal)).threads);
      const threads = this.timeline.isWhole ? this.threads : await ask();
      if (window !== this.timeline.window) return;
      this.timeline.show(threads);
      this.timeline.draw();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      this.showProblem(error.message, () => {
        this.loadThreads();
        this.change();
      });
    }
  }

  /** What to make. */
  choice() {
    const range = this.range ?? this.life;
    return {
      processId: this.process.process_id,
      wanted: {
        time_range: this.range === null ? null : { begin: rfc3339(range.begin), end: rfc3339(range.end) },
        include_thread_spans: this.includes("thread"),
        include_async_spans: this.includes("async"),
      },
      title: `${programName(this.process)} ${rangeText(range)}`,
      range: this.range && this.visibleRange(),
      estimateBytes: () => this.info?.estimate.size_bytes ?? 0,
      threadNames: new Map(this.threads.map((thread) => [thread.stream_id, thread.name])),
    };
  }

  /** The part of the range that has data: the Perfetto UI ignores a range that its trace does not reach. */
  visibleRange() {
    const { begin, end } = this.range;
    const covered = this.threads
      .filter((thread) => this.includes(thread.kind))
      .flatMap((thread) => thread.ranges.filter((range) => range.begin <= end && range.end >= begin))
      .map((range) => ({ begin: range.begin > begin ? range.begin : begin, end: range.end < end ? range.end : end }));
    if (covered.length === 0) return null;
    return covered.reduce((all, part) => ({
      begin: part.begin < all.begin ? part.begin : all.begin,
      end: part.end > all.end ? part.end : all.end,
    }));
  }
}

function processLink(processId) {
  return element("a", { href: processAddress(processId) }, element("code", {}, processId));
}

/** Threads first; worker-2 before worker-10. */
function byKindAndName(one, other) {
  const kinds = ["thread", "async"];
  return (
    kinds.indexOf(one.kind) - kinds.indexOf(other.kind) ||
    one.name.localeCompare(other.name, "en", { numeric: true }) ||
    Number(one.thread_id) - Number(other.thread_id)
  );
}

function roundedTo2(number) {
  return Number(number.toPrecision(2));
}
