// What a thread was doing at a time: its spans, outermost first, and the attributes of those that are looked at.

import { getJson, Problem } from "./api.js";
import { element, isolated } from "./dom.js";
import { duration, parseTime, readable, rfc3339 } from "./times.js";

export class Moment {
  /** `signal` tells when the view is left. */
  constructor(signal) {
    this.signal = signal;
    this.title = element("p", { role: "status" });
    this.list = element("ol");
    const close = element("button", { type: "button", onclick: () => this.close() }, "Close");
    this.element = element(
      "section",
      { class: "moment", "aria-label": "Spans of a thread at a time", hidden: true },
      element("div", { class: "toolbar" }, this.title, close),
      this.list,
    );
    this.asked = new AbortController();
  }

  close() {
    this.asked.abort();
    this.element.hidden = true;
  }

  /** Shows the spans of a thread at a time; `path` is that of its process, `label` the name of the thread. */
  async show(path, { stream_id: stream }, label, time) {
    this.asked.abort();
    const asked = (this.asked = new AbortController());
    const parameters = { stream_id: stream, at: rfc3339(time) };
    this.element.hidden = false;
    this.list.replaceChildren();
    const say = (...words) => this.title.replaceChildren(element("strong", {}, isolated(label)), ` at ${readable(time)} UTC`, ...words);
    say(" …");
    const signal = AbortSignal.any([this.signal, asked.signal]);
    try {
      const { spans } = await getJson(`${path}/spans`, parameters, signal);
      say(spans.length === 0 ? ": no spans" : "");
      this.list.replaceChildren(...spans.map((span) => buildSpan(span, `${path}/attributes`, parameters, signal)));
      this.element.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      say(": ", element("span", { class: "error", role: "alert" }, error.message));
    }
  }
}

function buildSpan(span, path, parameters, signal) {
  const [begin, end] = [span.begin, span.end].map((time) => time && parseTime(time));
  const length = end === null ? "not ended" : duration(Number(end - begin));
  const source = [span.target, span.filename && `${span.filename}:${span.line}`].filter(Boolean).join(" ");
  const attributes = element("dl", { class: "attributes" });
  let isKnown = false;
  const details = element(
    "details",
    { ontoggle: () => details.open && !isKnown && load() },
    element("summary", {}, element("strong", {}, isolated(span.name)), ` ${length} `, element("small", {}, isolated(source))),
    element("p", { class: "when" }, `${readable(begin)} to ${end === null ? "…" : readable(end)} UTC`),
    attributes,
  );

  /** Read when they are looked at, and not before. */
  async function load() {
    try {
      const { attributes: found } = await getJson(path, { ...parameters, span_id: span.id }, signal);
      const rows = found.map(({ key, type, value }) =>
        element("div", {}, element("dt", {}, isolated(key)), element("dd", { class: type, title: type }, isolated(value))));
      attributes.replaceChildren(...(rows.length > 0 ? rows : [element("div", {}, "No attributes")]));
      isKnown = true;
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      attributes.replaceChildren(element("div", { class: "error", role: "alert" }, error.message));
    }
  }

  return element("li", {}, details);
}
