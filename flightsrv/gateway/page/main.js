// Which view is shown: the list of processes at #/, one process at #/process/ID.

import { follow } from "./address.js";
import { element, isolated } from "./dom.js";
import { showProcess } from "./process_view.js";
import { showProcessList } from "./process_list.js";

const view = document.getElementById("view");
const crumbs = document.getElementById("crumbs");
let leave = () => {};

/** Each view gets an AbortSignal that tells when it is left. */
function route() {
  follow();
  leave();
  const controller = new AbortController();
  leave = () => controller.abort();
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const parameters = new URLSearchParams(query);
  const processId = processOf(path);
  if (processId) showProcess(view, processId, parameters, setCrumb, controller.signal);
  else showProcessList(view, parameters, setCrumb, controller.signal);
}

/** The id in an address; null where it is that of something else, or broken. */
function processOf(path) {
  try {
    return decodeURIComponent(/^\/process\/([^/]+)$/.exec(path)?.[1] ?? "");
  } catch {
    return null;
  }
}

function setCrumb(title) {
  document.title = title ? `${title} · flightsrv` : "flightsrv";
  const here = () => element("span", { "aria-current": "page" }, isolated(title));
  crumbs.replaceChildren(...(title ? [element("a", { href: "#/" }, "Processes"), here()] : []));
}

addEventListener("hashchange", route);
route();
