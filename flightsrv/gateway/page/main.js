// Which view is shown: the list of processes at #/, one process at #/process/ID, several at #/process/ID,ID.

import { follow } from "./address.js";
import { element, isolated } from "./dom.js";
import { processesOf } from "./process.js";
import { showProcesses } from "./process_view.js";
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
  const processIds = processesOf(path);
  if (processIds.length > 0) showProcesses(view, processIds, parameters, setCrumb, controller.signal);
  else showProcessList(view, parameters, setCrumb, controller.signal);
}

function setCrumb(title) {
  document.title = title ? `${title} · flightsrv` : "flightsrv";
  const here = () => element("span", { "aria-current": "page" }, isolated(title));
  crumbs.replaceChildren(...(title ? [element("a", { href: "#/" }, "Processes"), here()] : []));
}

addEventListener("hashchange", route);
route();
