// Which threads are shown, and in which order.

import { element } from "./dom.js";

const KINDS = ["thread", "async"];
const ORDERS = {
  name: ["Name", () => 0],
  first: ["First event", (one, other) => compare(one.begin ?? "~", other.begin ?? "~")],
  last: ["Last event", (one, other) => compare(other.end ?? "", one.end ?? "")],
  events: ["Most events", (one, other) => other.nb_events - one.nb_events],
};

/** A field to filter threads by, and their order; `onchange` is called when either changes. */
export class ThreadFilter {
  constructor(onchange) {
    this.field = element("input", {
      type: "search",
      placeholder: "Filter threads",
      autocomplete: "off",
      spellcheck: false,
      "aria-label": "Filter threads",
      "aria-keyshortcuts": "/",
      oninput: onchange,
    });
    const options = Object.entries(ORDERS).map(([value, [title]]) => element("option", { value }, title));
    this.order = element("select", { "aria-label": "Sort threads by", onchange }, options);
    this.element = element("span", { class: "filter" }, this.field, element("label", {}, "Sort by ", this.order));
  }

  /** Those of the threads that are to be shown: each word that was typed is in their name, or is their id. */
  of(threads) {
    const words = this.field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const isWanted = ({ name, thread_id: id }) => words.every((word) => word === id || name.toLowerCase().includes(word));
    const [, order] = ORDERS[this.order.value];
    return threads.filter(isWanted).toSorted((one, other) => order(one, other) || byKindAndName(one, other));
  }
}

/** Threads first; worker-2 before worker-10. */
function byKindAndName(one, other) {
  return (
    KINDS.indexOf(one.kind) - KINDS.indexOf(other.kind) ||
    one.name.localeCompare(other.name, "en", { numeric: true }) ||
    Number(one.thread_id) - Number(other.thread_id)
  );
}

function compare(one, other) {
  return one < other ? -1 : Number(one > other);
}
