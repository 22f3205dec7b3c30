// Which view is shown: the list of processes at #/, one process at #/process/ID.

import { element } from "./dom.js";
import { showProcess } from "./process_view.js";
import { showProcessList } from "./process_list.js";

const view = document.getElementById("view");
const crumbs = document.getElementById("crumbs");
let leave = () => {};

/** Each view gets an AbortSignal that tells when it is left. */
function route() {
  leave();
  const controller = new AbortController();
  leave = () => controller.abort();
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const parameters = new URLSearchParams(query);
  const process = /^\/process\/([^/]+)$/.exec(path);
  if (process) showProcess(view, decodeURIComponent(process[1]), parameters, setCrumb, controller.signal);
  else showProcessList(view, parameters, setCrumb, controller.signal);
}

function setCrumb(title) {
  document.title = title ? `${title} · flightsrv` : "flightsrv";
  crumbs.replaceChildren(
    ...(title ? [element("a", { href: "#/" }, "Processes"), element("span", { "aria-current": "page" }, title)] : []),
  );
}

addEventListener("hashchange", route);
route();
