// The list of processes: search, sort, page through, choose.

import { getJson, Problem } from "./api.js";
import { debounced, element, isTyping } from "./dom.js";
import { duration, parseTime, toSeconds } from "./times.js";

const PAGE_SIZE = 50;
const TYPING_MS = 150;

const COLUMNS = [
  { sort: "exe", title: "Program", cell: programCell },
  { sort: "start_time", title: "Started (UTC)", cell: (process) => timeOf(process.start_time), class: "time" },
  { sort: "last_update_time", title: "Last data", cell: lastDataCell, class: "time" },
  { sort: "computer", title: "Host", cell: (process) => process.computer ?? "" },
  { sort: "username", title: "User", cell: (process) => process.username ?? "" },
  { sort: "process_id", title: "Process id", cell: (process) => process.process_id, class: "id" },
];

/** The last part of a program's path. */
export function programName(process) {
  return process.exe?.split(/[/\\]/).filter(Boolean).pop() ?? "unnamed program";
}

export function showProcessList(view, parameters, setCrumb, signal) {
  setCrumb(null);
  const state = {
    search: parameters.get("search") ?? "",
    sort: parameters.get("sort") ?? "start_time",
    order: parameters.get("order") ?? "desc",
    offset: Number(parameters.get("offset") ?? 0),
  };
  const search = element("input", {
    type: "search",
    id: "search",
    value: state.search,
    placeholder: "Program, host, user, id, command line …",
    autocomplete: "off",
    spellcheck: false,
    "aria-label": "Search processes",
    "aria-keyshortcuts": "/",
    oninput: debounced(() => change({ search: search.value, offset: 0 }), TYPING_MS),
  });
  const status = element("p", { class: "status", role: "status" });
  const head = element("tr");
  const body = element("tbody");
  const pager = element("div", { class: "pager" });
  view.replaceChildren(
    element("div", { class: "toolbar" }, element("h1", {}, "Processes"), search, status, pager),
    element(
      "div",
      { class: "scroll" },
      element("table", { class: "processes", onkeydown: moveBetweenRows }, element("thead", {}, head), body),
    ),
  );
  addEventListener("keydown", focusSearch, { signal });
  let asked = new AbortController();
  load();
  search.focus({ preventScroll: true });

  function change(changes) {
    Object.assign(state, changes);
    const query = new URLSearchParams(Object.entries(state).filter(([, value]) => value !== "" && value !== 0));
    history.replaceState(null, "", `#/?${query}`);
    load();
  }

  async function load() {
    asked.abort();
    asked = new AbortController();
    showHead();
    try {
      const wanted = { ...state, limit: PAGE_SIZE };
      const found = await getJson("api/processes", wanted, AbortSignal.any([signal, asked.signal]));
      body.replaceChildren(...found.processes.map(row));
      showStatus(found);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      body.replaceChildren();
      pager.replaceChildren();
      status.replaceChildren(
        element("span", { class: "error", role: "alert" }, error.message),
        " ",
        element("button", { type: "button", onclick: load }, "Try again"),
      );
    }
  }

  function showHead() {
    head.replaceChildren(
      ...COLUMNS.map(({ sort, title, class: kind = "" }) => {
        const isSorted = state.sort === sort;
        const next = isSorted && state.order === "asc" ? "desc" : "asc";
        const order = { asc: "ascending", desc: "descending" }[state.order];
        return element(
          "th",
          { class: kind, scope: "col", "aria-sort": isSorted ? order : "none" },
          element("button", { type: "button", onclick: () => change({ sort, order: next, offset: 0 }) }, title),
        );
      }),
    );
  }

  function showStatus({ processes, total }) {
    const last = state.offset + processes.length;
    const words = state.search ? `No process matches “${state.search}”.` : "The server has no processes yet.";
    status.textContent = total === 0 ? words : `${state.offset + 1}–${last} of ${total.toLocaleString("en")}`;
    const page = (title, label, offset, isPossible) =>
      element(
        "button",
        { type: "button", disabled: !isPossible, "aria-label": label, onclick: () => change({ offset }) },
        title,
      );
    pager.replaceChildren(
      page("‹", "Previous page", Math.max(0, state.offset - PAGE_SIZE), state.offset > 0),
      page("›", "Next page", state.offset + PAGE_SIZE, last < total),
    );
    pager.hidden = total <= PAGE_SIZE;
  }

  function focusSearch(event) {
    if (event.key === "/" && !isTyping(event)) {
      event.preventDefault();
      search.select();
    } else if (event.key === "ArrowDown" && event.target === search) {
      event.preventDefault();
      body.querySelector("a")?.focus();
    }
  }
}

function row(process) {
  const address = `#/process/${encodeURIComponent(process.process_id)}`;
  const open = (event) => {
    // Text of a row can still be selected, and its links do what links do.
    if (!event.target.closest("a") && getSelection().isCollapsed) location.hash = address;
  };
  return element(
    "tr",
    { onclick: open },
    ...COLUMNS.map(({ cell, class: kind = "" }) => element("td", { class: kind }, cell(process, address))),
  );
}

function programCell(process, address) {
  const command = process.properties["command-line"] ?? process.exe ?? "";
  return element(
    "a",
    { class: "program", href: address },
    element("strong", {}, programName(process)),
    element("small", { title: command }, command),
  );
}

function lastDataCell(process) {
  const ns = Number(parseTime(process.last_update_time) - parseTime(process.start_time));
  const after = ns > 0 ? `after ${duration(ns)}` : "";
  return [timeOf(process.last_update_time), element("small", {}, after)];
}

function timeOf(text) {
  return element("time", { dateTime: text, title: text }, toSeconds(parseTime(text)));
}

function moveBetweenRows(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const links = [...event.currentTarget.querySelectorAll("tbody a")];
  const next = links[links.indexOf(document.activeElement) + step];
  if (step && next) {
    event.preventDefault();
    next.focus();
  }
}
