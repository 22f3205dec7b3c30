// One process: what it is, its threads over time, and the trace of a range of it.

import { rewrite } from "./address.js";
import { getJson, Problem, rangeParameters, readRange } from "./api.js";
import { debounced, element, focusBySlash, isolated, isTyping } from "./dom.js";
import { threadsAndLife, withNews } from "./following.js";
import { processAddress } from "./process.js";
import { ThreadFilter } from "./thread_filter.js";
import { endingAt, Timeline, withRanges } from "./timeline.js";
import { count, duration, parseTime, rangeText, readable, rfc3339, size, toSeconds } from "./times.js";
import { TracePanel } from "./trace_panel.js";

const SETTLED_MS = 200;
const FOLLOW_EVERY_MS = 2000;
// Now and then a look is at all there is: data may come late, before the end as it is known.
const ALL_EVERY_LOOKS = 15;
const LAST = { "Last 10 s": 10_000_000_000n, "Last minute": 60_000_000_000n };
const NARROW_SHARE = 1 / 20;

export async function showProcess(view, processId, parameters, setCrumb, signal) {
  const path = `api/processes/${encodeURIComponent(processId)}`;
  setCrumb(processId);
  view.replaceChildren(element("p", { class: "status", role: "status" }, "Loading …"));
  try {
    const [process, threads, settings] = await Promise.all([
      getJson(path, {}, signal),
      threadsAndLife(path, signal),
      getJson("api/settings", {}, signal),
    ]);
    setCrumb(process.program);
    await new ProcessView(view, process, threads, settings, signal).start(parameters);
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
  constructor(view, process, { threads, life }, settings, signal) {
    this.view = view;
    this.process = process;
    this.path = `api/processes/${encodeURIComponent(process.process_id)}`;
    this.threads = threads;
    this.signal = signal;
    this.life = life;
    this.range = null;
    this.isUnreadable = false;
    this.info = null;
    this.spans = {
      thread: this.buildChoice("thread", "Thread spans"),
      async: this.buildChoice("async", "Async spans"),
    };
    this.panel = new TracePanel(() => this.choice(), settings, signal);
    this.filter = new ThreadFilter(() => this.arrange());
    this.estimate = element("p", { class: "estimate", role: "status" });
    this.settled = debounced(() => this.settle(), SETTLED_MS);
    this.zoomed = debounced(() => this.loadThreads(), SETTLED_MS);
  }

  async start(parameters) {
    const heading = this.buildHeading();
    if (this.life === null) {
      this.view.replaceChildren(heading, element("p", { class: "empty" }, "This process has sent no events yet."));
      return;
    }
    const handlers = { onselect: (range) => this.setRange(range), onzoom: () => this.showZoom() };
    this.timeline = new Timeline(this.life, this.filter.of(this.threads), handlers, this.signal);
    this.view.replaceChildren(
      heading,
      this.buildRange(),
      element("div", { class: "toolbar" }, this.filter.element, element("span", { class: "zoom" }, this.buildZoom())),
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
    const [begin, end] = ["begin", "end"].map((name) => parameters.get(name) ?? "");
    const [from, until] = [parseTime(begin), parseTime(end)];
    this.setRange(from !== null && until !== null && from <= until ? { begin: from, end: until } : null);
    this.showZoom();
    this.showNarrowRange();
    this.loadOpenSpans();
    if (this.range === null && (begin || end)) await this.readTexts(begin, end);
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
    const title = element("h1", { tabIndex: -1, title: process.program }, isolated(process.program));
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
    const last = Object.entries(LAST).map(([title, length]) => button(title, "Of the process", () => this.chooseLast(length)));
    this.followButton = button("Follow", "Show new data as it comes: key f", () => this.follow());
    this.followButton.setAttribute("aria-pressed", "false");
    return element(
      "div",
      { class: "toolbar range" },
      element("span", { class: "fields" }, this.fields.begin, mark("dash", "–"), this.fields.end, mark("unit", "UTC")),
      this.length,
      element("span", { class: "recent" }, last, this.followButton),
    );
  }

  buildZoom() {
    this.zoomButtons = {
      in: button("Zoom in", "Key +", () => this.timeline.zoomBy(1 / 2)),
      out: button("Zoom out", "Key -", () => this.timeline.zoomBy(2)),
      range: button("Zoom to range", "Key z", () => this.timeline.zoom(this.range)),
      all: button("Show all", "Key 0", () => this.showAll()),
    };
    return Object.values(this.zoomButtons);
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
    return this.readTexts(this.fields.begin.value, this.fields.end.value);
  }

  /** Chooses the range that two texts mean. */
  async readTexts(beginText, endText) {
    this.panel.enabled = false;
    try {
      const { begin, end } = await readRange(beginText, endText, this.signal);
      const range = { begin: begin ?? this.life.begin, end: end ?? this.life.end };
      if (range.begin > range.end) throw new Problem("There is no data in this time.");
      this.timeline.choose(range);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      Object.assign(this.fields.begin, { value: beginText });
      Object.assign(this.fields.end, { value: endText });
      for (const [name, field] of Object.entries(this.fields)) {
        field.setAttribute("aria-invalid", error.message.toLowerCase().startsWith(name));
      }
      this.isUnreadable = true;
      this.showProblem(error.message);
    }
  }

  /** The end of what is known of the process, which moves on while it is followed. */
  chooseLast(length) {
    const { begin, end } = endingAt({ begin: 0n, end: length }, this.life.end);
    this.timeline.choose({ begin: begin < this.life.begin ? this.life.begin : begin, end });
    this.showNarrowRange();
  }

  get isFollowing() {
    return this.followButton.getAttribute("aria-pressed") === "true";
  }

  /** Begins to show new data as it comes, or stops that. */
  async follow() {
    this.followButton.setAttribute("aria-pressed", !this.isFollowing);
    for (let looks = 1; this.isFollowing && !this.signal.aborted; looks += 1) {
      if (!document.hidden && !this.panel.isBusy) await this.showNews(looks % ALL_EVERY_LOOKS === 0);
      await new Promise((resolve) => setTimeout(resolve, FOLLOW_EVERY_MS));
    }
  }

  async showNews(isAll) {
    try {
      const known = this.life;
      const { threads, life } = await (isAll ? threadsAndLife(this.path, this.signal) : withNews(this.path, this, this.signal));
      const hasNone = !isAll && life.end === known.end && threads.length === this.threads.length;
      if (this.panel.isBusy || life === null || hasNone) return;
      [this.threads, this.life] = [threads, life];
      this.timeline.extend(life);
      this.arrange();
      this.loadOpenSpans();
      if (this.range === null) this.setRange(null);
      else if (this.range.end === known.end) this.setRange(endingAt(this.range, life.end));
      this.showZoom();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      this.followButton.setAttribute("aria-pressed", "false");
      this.showProblem(error.message, () => this.follow());
    }
  }

  arrange() {
    this.timeline.arrange(this.filter.of(this.threads), this.threads.length);
  }

  /** Drawn once it is known; without it the page is of use as well. */
  async loadOpenSpans() {
    try {
      const { open_spans: found } = await getJson(`${this.path}/open_spans`, {}, this.signal);
      const open = found.map((spans) => [spans.stream_id, { ...spans, begin: parseTime(spans.begin) }]);
      this.timeline.showOpen(new Map(open), this.threads);
    } catch (error) {
      if (error.name !== "AbortError" && !(error instanceof Problem)) throw error;
    }
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
    focusBySlash(event, this.filter.field);
    if (isTyping(event) || event.ctrlKey || event.metaKey || event.altKey) return;
    const zoom = { "+": "in", "=": "in", "-": "out", z: "range", 0: "all" }[event.key];
    if (zoom !== undefined) this.zoomButtons[zoom].click();
    if (event.key === "f") this.followButton.click();
  }

  /** Something else is chosen now. */
  change() {
    this.isUnreadable = false;
    this.panel.reset();
    this.panel.enabled = this.spanTypes !== null;
    this.info = null;
    if (this.spanTypes === null) this.showProblem("Choose thread spans, async spans, or both.");
    else this.showEstimate();
    this.settled();
  }

  /** It has stayed so for a moment: browsers limit how often an address changes, and each estimate costs a query. */
  settle() {
    if (this.signal.aborted || this.isUnreadable) return;
    const query = this.range === null ? "" : `?begin=${rfc3339(this.range.begin)}&end=${rfc3339(this.range.end)}`;
    if (!rewrite(`${processAddress(this.process.process_id)}${query}`)) return;
    if (this.spanTypes !== null) this.loadInfo();
  }

  get spanTypes() {
    if (this.includes("thread")) return this.includes("async") ? "all" : "thread";
    return this.includes("async") ? "async" : null;
  }

  async loadInfo() {
    const asked = this.range;
    try {
      const parameters = { ...rangeParameters(asked), span_types: this.spanTypes };
      const path = `api/perfetto/${encodeURIComponent(this.process.process_id)}/info`;
      const info = await getJson(path, parameters, this.signal);
      if (asked !== this.range || parameters.span_types !== this.spanTypes || this.isUnreadable) return;
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
    const spans = Object.keys(chosen).reduce((sum, kind) => sum + (this.includes(kind) ? chosen[kind] : 0), 0);
    const events = spans + (this.spanTypes === "all" ? info.log_entries + info.measures + info.links : 0);
    if (events === 0) {
      this.estimate.textContent = "There is no data in this range.";
      return;
    }
    const time = duration(Math.max(1e8, Math.round(info.estimate.seconds * 10) * 1e8));
    this.estimate.replaceChildren(
      element("strong", {}, `About ${size(roundedTo2(info.estimate.size_bytes))}, ${time}`),
      element("span", {}, `${count(roundedTo2(events), "event")} in ${this.sources(info)}`),
      ...(info.materialized < 0.5 ? [element("span", {}, "slower the first time")] : []),
    );
  }

  /** What has events in the range. */
  sources({ threads, async_streams: streams, log_entries: lines, measures, links }) {
    return [
      this.includes("thread") && threads > 0 && count(threads, "thread"),
      this.includes("async") && streams > 0 && count(streams, "async stream"),
      this.spanTypes === "all" && lines > 0 && "logs",
      this.spanTypes === "all" && measures > 0 && "counters",
      this.spanTypes === "all" && links > 0 && "links",
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
      const path = `${this.path}/threads`;
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
      title: `${this.process.program} ${rangeText(range)}`,
      program: this.process.program,
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

function button(title, help, act) {
  return element("button", { type: "button", title: help, onclick: act }, title);
}

function roundedTo2(number) {
  return Number(number.toPrecision(2));
}
