// A process, or several on one timeline: what they are, their threads over time, and the trace of a range of them.

import { rewrite } from "./address.js";
import { getJson, Problem, rangeParameters, readRange, tracePath } from "./api.js";
import { debounced, element, focusBySlash, isolated, isTyping } from "./dom.js";
import { lifeOfAll, threadsAndLife, withNews } from "./following.js";
import { Moment } from "./moment.js";
import { processAddress, withDescendants } from "./process.js";
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
const MOST_NAMES = 3;

export async function showProcesses(view, processIds, parameters, setCrumb, signal) {
  setCrumb(processIds.join(", "));
  view.replaceChildren(element("p", { class: "status", role: "status" }, "Loading …"));
  try {
    const [settings, ...known] = await Promise.all([
      getJson("api/settings", {}, signal),
      ...processIds.map((processId) => knownOf(processId, signal)),
    ]);
    const shown = new ProcessView(view, known, settings, signal);
    setCrumb(shown.name);
    await shown.start(parameters);
    view.querySelector("h1").focus({ preventScroll: true });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    const again = () => showProcesses(view, processIds, parameters, setCrumb, signal);
    view.replaceChildren(
      element("p", { class: "status" }, element("span", { class: "error", role: "alert" }, error.message), " ",
        element("button", { type: "button", onclick: again }, "Try again")),
    );
  }
}

async function knownOf(processId, signal) {
  const path = `api/processes/${encodeURIComponent(processId)}`;
  const [process, known] = await Promise.all([getJson(path, {}, signal), threadsAndLife(path, signal)]);
  return { process, path, ...known };
}

class ProcessView {
  /** `known` is of each process { process, path, threads, life }. */
  constructor(view, known, settings, signal) {
    this.view = view;
    this.setKnown(known);
    this.signal = signal;
    this.range = null;
    this.isUnreadable = false;
    this.info = null;
    this.spans = {
      thread: this.buildChoice("thread", "Thread spans"),
      async: this.buildChoice("async", "Async spans"),
    };
    this.panel = new TracePanel(() => this.choice(), settings, signal);
    this.filter = new ThreadFilter(() => this.arrange());
    this.moment = new Moment(signal);
    this.estimate = element("p", { class: "estimate", role: "status" });
    this.settled = debounced(() => this.settle(), SETTLED_MS);
    this.zoomed = debounced(() => this.loadThreads(), SETTLED_MS);
  }

  async start(parameters) {
    const heading = this.buildHeading();
    if (this.life === null) {
      const words = this.isOne ? "This process has sent no events yet." : "These processes have sent no events yet.";
      this.view.replaceChildren(heading, element("p", { class: "empty" }, words));
      return;
    }
    const handlers = { onselect: (range) => this.setRange(range), onzoom: () => this.showZoom(), onlook: (...at) => this.look(...at) };
    this.timeline = new Timeline(this.life, this.groups(), handlers, this.signal);
    this.view.replaceChildren(
      heading,
      this.buildRange(),
      element("div", { class: "toolbar" }, this.filter.element, element("span", { class: "zoom" }, this.buildZoom())),
      this.timeline.element,
      this.moment.element,
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

  setKnown(known) {
    this.known = known;
    this.threads = known.flatMap(({ threads }) => threads);
    this.life = lifeOfAll(known);
  }

  get processes() {
    return this.known.map(({ process }) => process);
  }

  get isOne() {
    return this.known.length === 1;
  }

  get processIds() {
    return this.processes.map((process) => process.process_id);
  }

  /** The names of the programs, or of some of them and the number of others. */
  get name() {
    const names = this.processes.map((process) => process.program);
    if (names.length === 1) return names[0];
    const others = names.length > MOST_NAMES ? names.splice(MOST_NAMES - 1).length : 0;
    return `${names.join(", ")}${others ? ` and ${count(others, "other")}` : ""}`;
  }

  /** The threads that are to be shown of each process; a process that has some, but none of these, is left out. */
  groups() {
    return this.known
      .map(({ process, threads: all }) => ({ process, all, threads: this.filter.of(all), isTitled: !this.isOne }))
      .filter(({ all, threads }) => all.length === 0 || threads.length > 0);
  }

  buildHeading() {
    const facts = (this.isOne ? factsOf(this.processes[0]) : factsOfAll(this.processes)).filter(([, value]) => value);
    const [first, rest] = [facts.slice(0, 4), facts.slice(4)];
    const text = (value) => (typeof value === "string" ? isolated(value) : value);
    const list = (entries) =>
      element("dl", {}, entries.map(([name, value]) =>
        element("div", {}, element("dt", {}, isolated(name)), element("dd", {}, text(value)))));
    const title = element("h1", { tabIndex: -1, title: this.name }, isolated(this.name));
    const hasChildren = this.isOne && this.processes[0].nb_children > 0;
    const children = button("Show with its children", "And with theirs, on one timeline", () => this.showWithChildren());
    return element(
      "div",
      { class: "heading" },
      title,
      list(first),
      rest.length > 0 && element("details", {}, element("summary", {}, "More"), list(rest)),
      hasChildren && children,
    );
  }

  async showWithChildren() {
    try {
      location.hash = processAddress(...(await withDescendants(this.processIds[0], this.signal)));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      this.showProblem(error.message);
    }
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
    const last = Object.entries(LAST).map(([title, length]) => button(title, "Before the end of what is known", () => this.chooseLast(length)));
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

  /** The end of what is known, which moves on while it is followed. */
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
      const before = { life: this.life, nbThreads: this.threads.length };
      const look = (one) => (isAll ? threadsAndLife(one.path, this.signal) : withNews(one.path, one, this.signal));
      const known = await Promise.all(this.known.map(async (one) => ({ ...one, ...(await look(one)) })));
      const life = lifeOfAll(known);
      const nbThreads = known.reduce((sum, { threads }) => sum + threads.length, 0);
      const hasNone = !isAll && known.every((one, i) => one.life?.end === this.known[i].life?.end) && nbThreads === before.nbThreads;
      if (this.panel.isBusy || life === null || hasNone) return;
      this.setKnown(known);
      this.timeline.extend(life);
      this.arrange();
      this.loadOpenSpans();
      if (this.range === null) this.setRange(null);
      else if (this.range.end === before.life.end) this.setRange(endingAt(this.range, life.end));
      this.showZoom();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      this.followButton.setAttribute("aria-pressed", "false");
      this.showProblem(error.message, () => this.follow());
    }
  }

  /** Shows what a thread was doing then. */
  look(streamId, time) {
    for (const { process, path, threads } of this.known) {
      const thread = threads.find(({ stream_id: id }) => id === streamId);
      if (thread) this.moment.show(path, thread, this.labelOf(process, thread), time);
    }
  }

  labelOf(process, { name }) {
    return this.isOne ? name || "unnamed" : `${process.program}, ${name || "unnamed"}`;
  }

  arrange() {
    this.timeline.arrange(this.groups(), this.threads.length);
  }

  /** Drawn once it is known; without it the page is of use as well. */
  async loadOpenSpans() {
    try {
      const { known } = this;
      const ask = ({ path }) => getJson(`${path}/open_spans`, {}, this.signal);
      const found = await Promise.all(known.filter(({ life }) => life !== null).map(async (one) =>
        (await ask(one)).open_spans.map((spans) => ({ ...spans, begin: parseTime(spans.begin), end: one.life.end }))));
      this.timeline.showOpen(new Map(found.flat().map((spans) => [spans.stream_id, spans])), this.threads);
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
    if (!rewrite(`${processAddress(...this.processIds)}${query}`)) return;
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
      const info = await getJson(`${tracePath(this.processIds)}/info`, parameters, this.signal);
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
      const ask = async ({ path }) =>
        withRanges((await getJson(`${path}/threads`, rangeParameters(window), this.signal)).threads);
      const threads = this.timeline.isWhole ? this.threads : (await Promise.all(this.known.map(ask))).flat();
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
      processIds: this.processIds,
      wanted: {
        time_range: this.range === null ? null : { begin: rfc3339(range.begin), end: rfc3339(range.end) },
        include_thread_spans: this.includes("thread"),
        include_async_spans: this.includes("async"),
      },
      title: `${this.name} ${rangeText(range)}`,
      programs: [...new Set(this.processes.map((process) => process.program))],
      range: this.range && this.visibleRange(),
      estimateBytes: () => this.info?.estimate.size_bytes ?? 0,
      threadNames: new Map(this.known.flatMap(({ process, threads }) =>
        threads.filter(({ name }) => name).map((thread) => [thread.stream_id, this.labelOf(process, thread)]))),
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

function factsOf(process) {
  return [
    ["Process id", element("code", {}, process.process_id)],
    ["Started", `${toSeconds(parseTime(process.start_time))} UTC`],
    ["Host", process.computer],
    ["User", process.username],
    ["System", process.distro],
    ["CPU", process.cpu_brand],
    ["Program", process.exe],
    ["Parent", process.parent_process_id && processLink(process.parent_process_id)],
    ...Object.entries(process.properties),
  ];
}

function factsOfAll(processes) {
  const started = processes.map((process) => parseTime(process.start_time));
  const first = started.reduce((least, time) => (time < least ? time : least));
  return [
    ["Processes", processes.length.toLocaleString("en")],
    ["First started", `${toSeconds(first)} UTC`],
    ["Hosts", [...new Set(processes.map((process) => process.computer).filter(Boolean))].join(", ")],
  ];
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
