// The list of processes: search, sort, page through, choose one, or several to see together.

import { rewrite } from "./address.js";
import { getJson, Problem } from "./api.js";
import { debounced, element, focusBySlash, isolated } from "./dom.js";
import { MOST_PROCESSES, ownProperties, processAddress, withDescendants } from "./process.js";
import { duration, localTime, parseTime, toSeconds } from "./times.js";

const PAGE_SIZE = 50;
const TYPING_MS = 150;
const YEAR_NS = 366 * 86_400e9;

const COLUMNS = [
  { sort: "exe", title: "Program", cell: programCell },
  { sort: "start_time", title: "Started (UTC)", cell: (process) => timeOf(process.start_time), class: "time" },
  { sort: "last_update_time", title: "Last data", cell: lastDataCell, class: "time" },
  { sort: "computer", title: "Host", cell: (process) => clipped("span", process.computer ?? "") },
  { sort: "username", title: "User", cell: (process) => clipped("span", process.username ?? "") },
  { sort: "process_id", title: "Process id", cell: (process) => clipped("span", process.process_id), class: "id" },
];

export function showProcessList(view, parameters, setCrumb, signal) {
  setCrumb(null);
  const state = {
    search: parameters.get("search") ?? "",
    sort: parameters.get("sort") ?? "start_time",
    order: parameters.get("order") ?? "desc",
    offset: Number.parseInt(parameters.get("offset"), 10) || 0,
    chosen: parameters.get("chosen") ?? "",
  };
  const chosen = new Set(state.chosen.split(",").filter(Boolean));
  const search = element("input", {
    type: "search",
    id: "search",
    value: state.search,
    placeholder: "Program, host, user, id, property …",
    autocomplete: "off",
    spellcheck: false,
    "aria-label": "Search processes",
    "aria-keyshortcuts": "/",
    oninput: debounced(() => change({ search: search.value, offset: 0 }), TYPING_MS),
  });
  const status = element("p", { class: "status", role: "status" });
  const titles = COLUMNS.map(buildTitle);
  const head = element("tr", {}, element("th", { class: "choice" }, element("span", { class: "spoken" }, "Choose")), titles);
  const body = element("tbody", { onpointerdown: () => (pressed = untilReleased()) });
  const turn = {
    back: buildTurn("‹", "Previous page", () => Math.max(0, Math.min(state.offset, total) - PAGE_SIZE)),
    on: buildTurn("›", "Next page", () => state.offset + PAGE_SIZE),
  };
  const pager = element("div", { class: "pager" }, turn.back, turn.on);
  let pressed = null;
  const chosenBar = buildChosenBar();
  const table = element("table", { class: "processes", onkeydown: moveBetweenRows }, element("thead", {}, head), body);
  const empty = element("p", { class: "empty", hidden: true });
  view.replaceChildren(
    element("div", { class: "toolbar" }, element("h1", {}, "Processes"), search, status, pager),
    element("div", { class: "scroll" }, table),
    empty,
    chosenBar.element,
  );
  addEventListener("keydown", focusSearch, { signal });
  let asked = new AbortController();
  let total = 0;
  showChosen();
  status.textContent = "Loading …";
  load();
  // Where there is no keyboard, one would slide over the list.
  if (matchMedia("(hover: hover)").matches) search.focus({ preventScroll: true });

  function change(changes) {
    if (keep(changes)) load();
  }

  /** Keeps it in the address, and tells whether it could. */
  function keep(changes) {
    if (signal.aborted) return false;
    Object.assign(state, changes);
    const query = new URLSearchParams(Object.entries(state).filter(([, value]) => value !== "" && value !== 0));
    return rewrite(`#/?${query}`);
  }

  function buildChosenBar() {
    const act = (title, kind, work) => element("button", { type: "button", class: kind, onclick: work }, title);
    const words = element("span", { role: "status" });
    const show = act("Show together", "primary", () => (location.hash = processAddress(...chosen)));
    const clear = act("Choose none", "", () => choose([...chosen], false));
    return { words, show, element: element("div", { class: "chosen", hidden: true }, words, show, clear) };
  }

  function showChosen() {
    const isTooMany = chosen.size > MOST_PROCESSES;
    chosenBar.element.hidden = chosen.size === 0;
    chosenBar.show.disabled = isTooMany;
    const most = isTooMany ? `, and at most ${MOST_PROCESSES} are shown together` : "";
    chosenBar.words.textContent = `${chosen.size.toLocaleString("en")} chosen${most}`;
    for (const box of body.querySelectorAll(".choice input")) box.checked = chosen.has(box.value);
  }

  /** Processes join those that are chosen, or leave them. */
  function choose(processIds, isChosen) {
    for (const processId of processIds) isChosen ? chosen.add(processId) : chosen.delete(processId);
    showChosen();
    keep({ chosen: [...chosen].join(",") });
  }

  async function chooseWithChildren(processId) {
    try {
      choose(await withDescendants(processId, signal), true);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      status.replaceChildren(element("span", { class: "error", role: "alert" }, error.message));
    }
  }

  async function load() {
    asked.abort();
    const asking = (asked = new AbortController());
    showHead();
    table.setAttribute("aria-busy", "true");
    try {
      const { search: words, sort, order, offset } = state;
      const wanted = { search: words, sort, order, offset, limit: PAGE_SIZE };
      const found = await getJson("api/processes", wanted, AbortSignal.any([signal, asking.signal]));
      // A row must not go away between the two halves of a click.
      await pressed;
      if (signal.aborted || asking.signal.aborted) return;
      showRows(found.processes);
      showStatus(found);
      table.removeAttribute("aria-busy");
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      body.replaceChildren();
      pager.hidden = true;
      empty.hidden = true;
      table.hidden = false;
      status.replaceChildren(
        element("span", { class: "error", role: "alert" }, error.message),
        " ",
        element("button", { type: "button", onclick: load }, "Try again"),
      );
    }
  }

  function buildTitle({ sort, title, class: kind = "" }) {
    const next = () => (state.sort === sort && state.order === "asc" ? "desc" : "asc");
    return element(
      "th",
      { class: kind, scope: "col" },
      element("button", { type: "button", onclick: () => change({ sort, order: next(), offset: 0 }) }, title),
    );
  }

  function showHead() {
    const order = { asc: "ascending", desc: "descending" }[state.order];
    COLUMNS.forEach(({ sort }, i) => titles[i].setAttribute("aria-sort", state.sort === sort ? order : "none"));
  }

  function buildTurn(title, label, offset) {
    const act = () => change({ offset: offset() });
    return element("button", { type: "button", disabled: true, "aria-label": label, onclick: act }, title);
  }

  /** The same process keeps the focus. */
  function showRows(processes) {
    const focused = body.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    body.replaceChildren(...processes.map((process) => row(process, { choose, chooseWithChildren })));
    showChosen();
    if (focused !== null) body.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  }

  function showStatus({ processes, total: all }) {
    total = all;
    const last = state.offset + processes.length;
    const [from, to, ofAll] = [state.offset + 1, last, total].map((number) => number.toLocaleString("en"));
    const shown = last > state.offset ? `${from}–${to} of ${ofAll}` : `None left of ${ofAll}`;
    status.textContent = total === 0 ? nothing() : shown;
    empty.hidden = total > 0 || state.search !== "";
    table.hidden = !empty.hidden;
    empty.textContent = "A program that calls flightsrv.tracing.start(…) with the address of this page appears here.";
    turn.back.disabled = state.offset === 0;
    turn.on.disabled = last >= total;
    pager.hidden = state.offset === 0 && total <= PAGE_SIZE;
  }

  function nothing() {
    return state.search ? `No process matches “${state.search}”.` : "The server has no processes yet.";
  }

  function focusSearch(event) {
    focusBySlash(event, search);
    if (event.key === "ArrowDown" && event.target === search) {
      event.preventDefault();
      body.querySelector("a")?.focus();
    }
  }
}

/** Resolves when what was pressed has been released, and the click that this makes is over. */
function untilReleased() {
  return new Promise((resolve) => {
    for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, () => setTimeout(resolve), { once: true });
  });
}

function row(process, { choose, chooseWithChildren }) {
  const { process_id: processId, nb_children: nbChildren } = process;
  const address = processAddress(processId);
  const open = (event) => {
    // Text of a row can still be selected, and its links and fields do what they do.
    if (!event.target.closest("a, .choice, button") && getSelection().isCollapsed) location.hash = address;
  };
  const box = element("input", {
    type: "checkbox",
    value: processId,
    "aria-label": `Choose ${process.program}`,
    onchange: () => choose([processId], box.checked),
  });
  const children = nbChildren > 0 && element(
    "button",
    { type: "button", class: "children", title: "Choose it and all below it", onclick: () => chooseWithChildren(processId) },
    `+ ${nbChildren === 1 ? "1 child" : `${nbChildren.toLocaleString("en")} children`}`,
  );
  const cells = COLUMNS.map(({ cell, class: kind = "" }) => element("td", { class: kind }, cell(process, address)));
  if (children) cells[0].prepend(children);
  return element("tr", { onclick: open }, element("td", { class: "choice" }, element("label", {}, box)), ...cells);
}

function programCell(process, address) {
  const command = process.properties["command-line"] ?? process.exe ?? "";
  return element(
    "a",
    { class: "program", href: address },
    clipped("strong", process.program),
    clipped("small", [...ownProperties(process), command].join("  "), [
      ...ownProperties(process).map((text) => element("span", { class: "property" }, isolated(text))),
      isolated(command),
    ]),
  );
}

/** Text of any length in a cell that has little room; the pointer shows all of it. */
function clipped(tag, text, content = isolated(text)) {
  return element(tag, { class: "clipped", title: text }, content);
}

function lastDataCell(process) {
  const ns = Number(parseTime(process.last_update_time) - parseTime(process.start_time));
  // What came years later was imported, and says nothing of how long the process ran.
  const after = ns > 0 && ns < YEAR_NS ? `after ${duration(ns)}` : "";
  return [timeOf(process.last_update_time), element("small", {}, after)];
}

function timeOf(text) {
  const ns = parseTime(text);
  return element("time", { dateTime: text, title: `Here: ${localTime(ns)}` }, toSeconds(ns));
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
