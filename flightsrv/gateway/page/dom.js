// Elements, made in one expression.

/**
 * An element. Of `properties`, functions named `on...` become listeners, `class` and whatever has a dash become
 * attributes, the rest properties. Children are nodes or text; null, undefined and false are left out.
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (name === "class" || name === "role" || name.includes("-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Calls `work` when nothing has called it for a while; `delayMs` in milliseconds. */
export function debounced(work, delayMs) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), delayMs);
  };
}

/** Text of telemetry, whose direction of writing does not change that of the text around it. */
export function isolated(text) {
  return element("bdi", {}, text);
}

/** Whether a key belongs to a field that takes text. */
export function isTyping(event) {
  return event.target.matches("input:not([type=checkbox]), select, textarea");
}

/** The key / leads to a field, also where that is so already and nothing has been typed since. */
export function focusBySlash(event, field) {
  const isUntouched = event.target === field && field.selectionStart === 0 && field.selectionEnd === field.value.length;
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || (isTyping(event) && !isUntouched)) return;
  event.preventDefault();
  field.select();
}
