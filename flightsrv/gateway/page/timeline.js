// Threads of processes drawn over time: a row for each, with the times that have data; a range of time to drag, or to move by keys.

import { element, isolated } from "./dom.js";
import { processAddress } from "./process.js";
import { clock, count, date, duration, parseTime, readable } from "./times.js";

const ROW_HEIGHT = 20;
const BAR_HEIGHT = 12;
const MIN_BAR_WIDTH = 2;
const LEAST_DRAG = 4;
const TICK_EVERY = 110;
const FINE_TICK_EVERY = 160;
const FINE_NS = 1e7;
const TICK_LABEL = 80;
const MIN_WINDOW_NS = 1000n;
const ZOOM_STEP = 2;
const DAY_NS = 86_400_000_000_000n;
const LABEL_MARGIN = 6;
const OPEN_LINE = 2;
const OPEN_HEAD = 8;

/** Threads as the gateway lists them, with ranges as a timeline takes them: { begin, end, rate }. */
export function withRanges(threads) {
  const parsed = ({ begin: from, end: until, nb_events: events }) => {
    const [begin, end] = [parseTime(from), parseTime(until)];
    return { begin, end, rate: events / Math.max(1, Number(end - begin)) };
  };
  return threads.map((thread) => ({ ...thread, ranges: thread.ranges.map(parsed) }));
}

/**
 * `life` is the range of all that is known, and `groups` are { process, threads, isTitled } with threads of `withRanges`; ranges
 * are { begin, end } in nanoseconds. `onselect` gets the range that was chosen, null for all of it; `onzoom` is called when another range is on
 * the screen; `onlook` gets the thread and the time at which a row was clicked.
 */
export class Timeline {
  constructor(life, groups, { onselect, onzoom, onlook }, signal) {
    this.setLife(life);
    this.window = this.whole;
    this.selection = null;
    this.open = new Map();
    this.rowOf = new Map();
    this.onselect = onselect;
    this.onzoom = onzoom;
    this.onlook = onlook;
    this.build();
    const threads = groups.flatMap((group) => group.threads);
    this.show(threads);
    // Of a thousand rows, those are drawn that can be seen.
    this.seen = new Set();
    this.watch = new IntersectionObserver((changes) => this.see(changes), { root: this.rows, rootMargin: "200px 0px" });
    this.arrange(groups, threads.length);
    new ResizeObserver(() => this.draw()).observe(this.plot);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(), { signal });
  }

  setLife(life) {
    this.life = life;
    this.whole = atLeast(life, MIN_WINDOW_NS);
    this.isOfDays = date(life.begin) !== date(life.end);
  }

  build() {
    this.gutter = element("span", { class: "gutter", role: "status" });
    this.ticks = element("div", { class: "ticks", "aria-hidden": "true" });
    this.rows = element("ul", { class: "rows", tabIndex: 0, "aria-label": "Threads" });
    this.pointer = element("div", { class: "pointer", hidden: true }, element("span"));
    this.before = element("div", { class: "shade" });
    this.after = element("div", { class: "shade" });
    this.handles = {
      begin: this.buildHandle("begin", "Begin of the range"),
      end: this.buildHandle("end", "End of the range"),
    };
    this.plot = element(
      "div",
      { class: "plot" },
      this.before,
      this.after,
      this.pointer,
      this.handles.begin,
      this.handles.end,
    );
    this.element = element(
      "section",
      {
        class: "timeline",
        "aria-label": "Threads over time. Drag to choose a range, or move its ends with the arrow keys. Click on a thread to see its spans then.",
        onpointerdown: (event) => this.drag(event),
        onpointermove: (event) => this.point(event),
        onpointerleave: () => (this.pointer.hidden = true),
        onwheel: (event) => this.wheel(event),
      },
      element("div", { class: "axis" }, this.gutter, this.ticks),
      this.rows,
      this.plot,
    );
  }

  buildHandle(side, label) {
    return element("div", {
      class: `handle ${side}`,
      role: "slider",
      tabIndex: 0,
      "aria-label": label,
      "aria-orientation": "horizontal",
      onkeydown: (event) => this.moveHandle(event, side),
    });
  }

  /** Shows the threads of these groups, of so many, in this order; the process of a group that is titled has a row. */
  arrange(groups, total) {
    const threads = groups.flatMap((group) => group.threads);
    for (const thread of threads) {
      if (this.rowOf.has(thread.stream_id)) continue;
      const row = buildRow(thread);
      this.rowOf.set(thread.stream_id, row);
      this.watch.observe(row);
    }
    const rows = groups.flatMap(({ process, threads: ofProcess, isTitled }) => [
      ...(isTitled ? [buildTitle(process, ofProcess)] : []),
      ...ofProcess.map((thread) => this.describe(thread)),
    ]);
    this.rows.replaceChildren(...rows);
    const number = (kind) => threads.filter((thread) => thread.kind === kind).length;
    const [ofThreads, ofAsync] = [number("thread"), number("async")];
    const isPart = threads.length < total;
    this.gutter.replaceChildren(
      ...[
        isPart && `${threads.length.toLocaleString("en")} of ${total.toLocaleString("en")}`,
        !isPart && ofThreads > 0 && count(ofThreads, "thread"),
        !isPart && ofAsync > 0 && element("em", {}, `${ofAsync.toLocaleString("en")} async`),
      ].filter(Boolean),
    );
    this.draw();
  }

  /** What is known of a thread by now, in its row. */
  describe(thread) {
    const row = this.rowOf.get(thread.stream_id);
    const facts = factsOf(thread, this.open.get(thread.stream_id));
    row.querySelector(".name").title = `${thread.name || "unnamed"}, ${facts}`;
    row.querySelector(".spoken").textContent = facts;
    return row;
  }

  /** More is known. A view of its end moves along. */
  extend(life) {
    const { whole, window } = this;
    this.setLife(life);
    if (window === whole) this.window = this.whole;
    else if (window.end === whole.end) this.window = endingAt(window, this.whole.end);
  }

  /**
   * Spans that have not ended, by stream: { begin, end, name, nb_spans }, where the end is that of what is known of the
   * process; `threads` are all there are.
   */
  showOpen(open, threads) {
    this.open = open;
    for (const thread of threads) if (this.rowOf.has(thread.stream_id)) this.describe(thread);
    this.draw();
  }

  /** Shows when threads have data; those that are not among them have none. */
  show(threads) {
    this.ranges = new Map(threads.map((thread) => [thread.stream_id, thread.ranges]));
    this.most = 0;
    for (const { ranges } of threads) for (const { rate } of ranges) this.most = Math.max(this.most, rate);
  }

  see(changes) {
    for (const { target: row, isIntersecting } of changes) {
      if (isIntersecting) this.seen.add(row);
      else {
        this.seen.delete(row);
        row.lastChild.width = 0;
      }
    }
    this.draw();
  }

  /** Chooses a range, null for all, without calling `onselect`. */
  select(range) {
    this.selection = range;
    this.place();
  }

  /** What is on the screen; never wider than all that is known. */
  zoom(range) {
    const { begin, end } = atLeast(range, MIN_WINDOW_NS);
    const limited = { begin: larger(begin, this.whole.begin), end: smaller(end, this.whole.end) };
    this.window = limited.begin < limited.end ? limited : this.whole;
    this.draw();
    this.onzoom();
  }

  /** Twice or half of what is on the screen, around a time. */
  zoomBy(factor, around = this.timeAt(this.plot.getBoundingClientRect().left + this.plot.clientWidth / 2)) {
    const scaled = (ns) => BigInt(Math.round(Number(ns) * factor));
    this.zoom({
      begin: around - scaled(around - this.window.begin),
      end: around + scaled(this.window.end - around),
    });
  }

  get isWhole() {
    return this.window.begin === this.whole.begin && this.window.end === this.whole.end;
  }

  draw() {
    this.element.style.setProperty("--scrollbar", `${this.rows.offsetWidth - this.rows.clientWidth}px`);
    const width = this.plot.clientWidth;
    if (width === 0) return;
    for (const { lastChild: canvas, dataset } of this.seen) {
      this.drawRow(canvas, this.ranges.get(dataset.stream) ?? [], this.open.get(dataset.stream), width);
    }
    this.drawTicks(width);
    this.place();
  }

  /** Busier times are darker. A line leads from the begin of an open span to the end of what is known. */
  drawRow(canvas, ranges, open, width) {
    const ratio = devicePixelRatio;
    canvas.width = width * ratio;
    canvas.height = ROW_HEIGHT * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.fillStyle = getComputedStyle(canvas).color;
    for (const { begin, end, rate } of ranges) {
      if (end < this.window.begin || begin > this.window.end) continue;
      const left = Math.max(0, this.position(begin) * width);
      const right = Math.min(width, this.position(end) * width);
      context.globalAlpha = 0.6 + 0.4 * (rate / this.most) ** 0.3;
      const barWidth = Math.max(MIN_BAR_WIDTH, right - left);
      context.fillRect(Math.min(left, width - barWidth), (ROW_HEIGHT - BAR_HEIGHT) / 2, barWidth, BAR_HEIGHT);
    }
    if (open) this.drawOpen(context, open, width);
  }

  drawOpen(context, { begin, end }, width) {
    const [left, right] = [begin, end].map((time) => Math.min(width, Math.max(0, this.position(time) * width)));
    context.globalAlpha = 1;
    context.fillRect(left, (ROW_HEIGHT - OPEN_LINE) / 2, right - left, OPEN_LINE);
    if (this.position(end) < 0 || this.position(end) > 1) return;
    // An arrow rather than an edge: it goes on.
    const [tail, middle, half] = [Math.max(0, right - OPEN_HEAD), ROW_HEIGHT / 2, BAR_HEIGHT / 2];
    context.beginPath();
    context.moveTo(tail, middle - half);
    context.lineTo(right, middle);
    context.lineTo(tail, middle + half);
    context.fill();
  }

  drawTicks(width) {
    const isFine = this.length < FINE_NS;
    const stepNs = tickStep(this.length / Math.max(1, width / (isFine ? FINE_TICK_EVERY : TICK_EVERY)));
    const digits = Math.max(0, Math.min(9, 9 - Math.floor(Math.log10(stepNs))));
    const step = BigInt(stepNs);
    const marks = [];
    for (let time = (this.window.begin / step + 1n) * step; time < this.window.end; time += step) {
      const isMidnight = time % DAY_NS === 0n;
      const text = isMidnight ? date(time) : clock(time, stepNs >= 1e9 ? 0 : digits);
      const hasRoom = (1 - this.position(time)) * width > (isFine ? FINE_TICK_EVERY : TICK_LABEL);
      const mark = element("span", { class: isMidnight ? "day" : "" }, hasRoom && text);
      mark.style.left = `${this.position(time) * 100}%`;
      marks.push(mark);
    }
    this.ticks.replaceChildren(...marks);
  }

  /** The handles, and the shade over what is not chosen. */
  place() {
    const { begin, end } = this.selection ?? this.life;
    const shaded = this.selection ?? this.whole;
    const [left, right] = [shaded.begin, shaded.end].map((time) => Math.min(1, Math.max(0, this.position(time))));
    this.before.style.width = `${left * 100}%`;
    this.after.style.left = `${right * 100}%`;
    for (const [side, time] of Object.entries({ begin, end })) {
      const handle = this.handles[side];
      handle.style.left = `${this.position(time) * 100}%`;
      handle.hidden = this.position(time) < 0 || this.position(time) > 1;
      handle.setAttribute("aria-valuemin", 0);
      handle.setAttribute("aria-valuemax", Number(this.life.end - this.life.begin) / 1e9);
      handle.setAttribute("aria-valuenow", Number(time - this.life.begin) / 1e9);
      handle.setAttribute("aria-valuetext", `${readable(time)} UTC`);
    }
  }

  drag(event) {
    if (event.button !== 0 || event.clientX < this.plot.getBoundingClientRect().left - LEAST_DRAG) return;
    event.preventDefault();
    const handle = event.target.closest(".handle");
    handle?.focus();
    const chosen = this.selection ?? this.life;
    const moving = Object.keys(this.handles).find((side) => this.handles[side] === handle);
    const fixed = moving === undefined ? this.roundTimeAt(event.clientX) : chosen[moving === "begin" ? "end" : "begin"];
    const beginX = event.clientX;
    let isDragged = false;
    const finished = new AbortController();
    const move = ({ clientX }) => {
      isDragged ||= Math.abs(clientX - beginX) >= LEAST_DRAG;
      if (isDragged) this.choose(ordered(fixed, this.roundTimeAt(clientX)));
    };
    const finish = (last) => {
      finished.abort();
      if (last.type !== "pointerup" || isDragged || moving !== undefined) return;
      const row = event.target.closest("[data-stream]");
      if (row === null) this.choose(null);
      else this.onlook(row.dataset.stream, this.timeAt(beginX));
    };
    addEventListener("pointermove", move, { signal: finished.signal });
    addEventListener("pointerup", finish, { signal: finished.signal });
    addEventListener("pointercancel", finish, { signal: finished.signal });
  }

  moveHandle(event, side) {
    const chosen = this.selection ?? this.life;
    const step = BigInt(Math.max(1, Math.round(this.length * (event.shiftKey ? 0.1 : 0.01))));
    const to = {
      ArrowLeft: chosen[side] - step,
      ArrowDown: chosen[side] - step,
      ArrowRight: chosen[side] + step,
      ArrowUp: chosen[side] + step,
      PageDown: chosen[side] - 10n * step,
      PageUp: chosen[side] + 10n * step,
      Home: side === "begin" ? this.life.begin : chosen.begin,
      End: side === "end" ? this.life.end : chosen.end,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const limited = smaller(larger(to, this.life.begin), this.life.end);
    this.choose(side === "begin" ? { begin: smaller(limited, chosen.end), end: chosen.end } :
      { begin: chosen.begin, end: larger(limited, chosen.begin) });
  }

  choose(range) {
    const isAll = range !== null && range.begin === this.life.begin && range.end === this.life.end;
    this.select(isAll ? null : range);
    this.onselect(this.selection);
  }

  point(event) {
    const width = this.plot.clientWidth;
    const left = event.clientX - this.plot.getBoundingClientRect().left;
    this.pointer.hidden = left < 0 || left > width || event.pointerType === "touch";
    const time = this.timeAt(event.clientX);
    const day = this.isOfDays ? `${date(time)} ` : "";
    const label = this.pointer.firstChild;
    const after = duration(Number(time - this.life.begin));
    label.textContent = `${day}${clock(time, this.length < FINE_NS ? 9 : 3)}  +${after}`;
    this.pointer.style.left = `${left}px`;
    const labelLeft = Math.min(left + LABEL_MARGIN, width - label.offsetWidth - LABEL_MARGIN);
    label.style.left = `${Math.max(0, labelLeft) - left}px`;
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.zoomBy(event.deltaY > 0 ? ZOOM_STEP : 1 / ZOOM_STEP, this.timeAt(event.clientX));
  }

  get length() {
    return Math.max(1, Number(this.window.end - this.window.begin));
  }

  /** From 0 to 1 on the screen. */
  position(time) {
    return Number(time - this.window.begin) / this.length;
  }

  /** With no more digits than a pixel is worth. */
  roundTimeAt(clientX) {
    const unit = BigInt(10 ** Math.max(0, Math.floor(Math.log10(this.length / this.plot.clientWidth))));
    const time = this.timeAt(clientX);
    if (time === this.life.begin || time === this.life.end) return time;
    return smaller(larger(((time + unit / 2n) / unit) * unit, this.life.begin), this.life.end);
  }

  timeAt(clientX) {
    const box = this.plot.getBoundingClientRect();
    const at = Math.min(1, Math.max(0, (clientX - box.left) / box.width));
    return this.window.begin + BigInt(Math.round(at * this.length));
  }
}

/** The next of 1, 2, 5, 10 ... nanoseconds; above a second of 1, 2, 5, 10, 15, 30 seconds, minutes, hours. */
function tickStep(leastNs) {
  const clockSteps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];
  if (leastNs > 5e8) {
    const days = Math.ceil(leastNs / 86_400e9);
    return (clockSteps.find((seconds) => seconds * 1e9 >= leastNs) ?? days * 86_400) * 1e9;
  }
  const power = 10 ** Math.floor(Math.log10(Math.max(1, leastNs)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= leastNs);
}

function factsOf({ thread_id: id, nb_events: events, dropped_spans: dropped, begin, end }, open) {
  return [
    id && `id ${id}`,
    count(events, "event"),
    begin !== null && `from ${readable(parseTime(begin))} to ${readable(parseTime(end))}`,
    dropped > 0 && `${count(dropped, "span")} dropped while recording`,
    open && `in ${open.name} at the end, ${count(open.nb_spans, "span")} open since ${readable(open.begin)}`,
  ]
    .filter(Boolean)
    .join(", ");
}

function buildTitle({ process_id: id, program, computer, properties }, threads) {
  const facts = [properties.pid && `pid ${properties.pid}`, computer, threads.length === 0 && "no threads"];
  return element(
    "li",
    { class: "process" },
    element("a", { class: "name", href: processAddress(id), title: program }, isolated(program)),
    element("small", {}, isolated(facts.filter(Boolean).join(" · "))),
  );
}

function buildRow({ stream_id: stream, kind, name }) {
  return element(
    "li",
    { class: kind, "data-stream": stream },
    element(
      "span",
      { class: "name" },
      element("span", {}, isolated(name || "unnamed")),
      kind === "async" && element("em", {}, "async"),
    ),
    element("span", { class: "spoken" }),
    element("canvas", { height: ROW_HEIGHT, "aria-hidden": "true" }),
  );
}

/** The range, moved so that it ends then. */
export function endingAt({ begin, end }, newEnd) {
  return { begin: newEnd - (end - begin), end: newEnd };
}

/** The range, or one around it that is so long. */
function atLeast({ begin, end }, length) {
  const missing = larger(0n, length - (end - begin));
  return { begin: begin - missing / 2n, end: end + missing - missing / 2n };
}

function ordered(one, other) {
  return one <= other ? { begin: one, end: other } : { begin: other, end: one };
}

function smaller(one, other) {
  return one < other ? one : other;
}

function larger(one, other) {
  return one > other ? one : other;
}
