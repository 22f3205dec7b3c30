// One process: what it is, its threads over time, and the trace of a range of it.

import { getJson, Problem, rangeParameters } from "./api.js";
import { debounced, element, isTyping } from "./dom.js";
import { programName } from "./process_list.js";
import { Timeline } from "./timeline.js";
import { clock, count, duration, parseTime, readable, rfc3339, size, toSeconds } from "./times.js";
import { TracePanel } from "./trace_panel.js";

const SETTLED_MS = 200;

export async function showProcess(view, processId, parameters, setCrumb, signal) {
  const path = `api/processes/${encodeURIComponent(processId)}`;
  view.replaceChildren(element("p", { class: "status", role: "status" }, "Loading …"));
  try {
    const [process, threads, settings] = await Promise.all([
      getJson(path, {}, signal),
      getJson(`${path}/threads`, {}, signal),
      getJson("api/settings", {}, signal),
    ]);
    setCrumb(programName(process));
    new ProcessView(view, process, threads, settings, signal).start(parameters);
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
    this.threads = threads.toSorted(byKindAndName);
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
    this.settle = debounced(() => this.loadInfo(), SETTLED_MS);
    this.zoomed = debounced(() => this.loadThreads(), SETTLED_MS);
  }

  start(parameters) {
    if (this.life === null) {
      this.view.replaceChildren(this.buildHeading(), element("p", { class: "status" }, "This process has sent no events yet."));
      return;
    }
    this.timeline = new Timeline(this.life, {
      onselect: (range) => this.setRange(range),
      onzoom: () => this.showZoom(),
    });
    this.view.replaceChildren(
      this.buildHeading(),
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
    this.timeline.show(this.threads);
    this.showZoom();
    addEventListener("keydown", (event) => this.pressKey(event), { signal: this.signal });
    const [begin, end] = ["begin", "end"].map((name) => parseTime(parameters.get(name) ?? ""));
    this.setRange(begin !== null && end !== null && begin <= end ? { begin, end } : null);
  }

  buildHeading() {
    const { process } = this;
    const facts = {
      "Process id": element("code", {}, process.process_id),
      Started: `${toSeconds(parseTime(process.start_time))} UTC`,
      Host: process.computer,
      User: process.username,
      System: process.distro,
      CPU: process.cpu_brand,
      Program: process.exe,
      Parent: process.parent_process_id &&
        element("a", { href: `#/process/${process.parent_process_id}` }, process.parent_process_id),
      ...process.properties,
    };
    const shown = Object.entries(facts).filter(([, value]) => value);
    const [first, rest] = [shown.slice(0, 4), shown.slice(4)];
    const list = (entries) =>
      element("dl", {}, entries.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
    return element(
      "div",
      { class: "heading" },
      element("h1", {}, programName(process)),
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
      element("span", { class: "fields" }, this.fields.begin, element("span", { "aria-hidden": "true" }, "–"), this.fields.end),
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
    const query = range === null ? "" : `?begin=${rfc3339(begin)}&end=${rfc3339(end)}`;
    history.replaceState(null, "", `#/process/${encodeURIComponent(this.process.process_id)}${query}`);
    this.change();
  }

  readFields() {
    const [begin, end] = [this.fields.begin, this.fields.end].map((field) => parseTime(field.value));
    this.fields.begin.setAttribute("aria-invalid", begin === null);
    this.fields.end.setAttribute("aria-invalid", end === null || (begin !== null && end < begin));
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
    this.panel.enabled = false;
    this.info = null;
    if (this.spanTypes === null) this.showProblem("Choose thread spans, async spans, or both.");
    else this.settle();
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
      this.showEstimate(info);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      this.showProblem(error.message);
    }
  }

  showEstimate(info) {
    const chosen = { thread: info.thread_events, async: info.async_events };
    const events = Object.keys(chosen).reduce((sum, kind) => sum + (this.includes(kind) ? chosen[kind] : 0), 0);
    this.panel.enabled = true;
    this.estimate.classList.remove("error");
    if (events === 0) {
      this.estimate.textContent = "There is nothing in this range.";
      return;
    }
    const time = duration(Math.max(1e8, Math.round(info.estimate.seconds * 10) * 1e8));
    this.estimate.replaceChildren(
      element("strong", {}, `About ${size(roundedTo2(info.estimate.size_bytes))}, ${time}`),
      element("span", {}, `${count(roundedTo2(events), "event")} in ${count(info.threads, "thread")}`),
      info.materialized < 0.5 && element("span", {}, "not materialized yet"),
    );
  }

  showProblem(words) {
    this.estimate.classList.add("error");
    this.estimate.textContent = words;
  }

  async loadThreads() {
    const { window } = this.timeline;
    try {
      const path = `api/processes/${encodeURIComponent(this.process.process_id)}/threads`;
      const { threads } = await getJson(path, rangeParameters(this.timeline.isWhole ? null : window), this.signal);
      if (window !== this.timeline.window) return;
      const ranges = new Map(threads.map((thread) => [thread.stream_id, thread.ranges]));
      this.timeline.show(this.threads.map((thread) => ({ ...thread, ranges: ranges.get(thread.stream_id) ?? [] })));
    } catch (error) {
      if (error.name !== "AbortError") this.showProblem(error.message);
    }
  }

  /** What to make. */
  choice() {
    const { begin, end } = this.range ?? this.life;
    return {
      processId: this.process.process_id,
      wanted: {
        time_range: this.range === null ? null : { begin: rfc3339(begin), end: rfc3339(end) },
        include_thread_spans: this.includes("thread"),
        include_async_spans: this.includes("async"),
      },
      title: `${programName(this.process)} ${toSeconds(begin)} to ${clock(end, 0)}`,
      range: this.range && this.visibleRange(),
      estimateBytes: this.info?.estimate.size_bytes ?? 0,
    };
  }

  /** The part of the range that has data: the Perfetto UI ignores a range that its trace does not reach. */
  visibleRange() {
    if (this.info === null || this.info.begin === null) return null;
    return { begin: parseTime(this.info.begin), end: parseTime(this.info.end) };
  }
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
