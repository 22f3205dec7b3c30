// The address of the view that is shown, which a view may rewrite to keep what was chosen in it.

let shown = location.hash;

/** A view is shown that belongs to the address as it is now. */
export function follow() {
  shown = location.hash;
}

/**
 * Puts another address in place of the view's own, and tells whether it could: a link that was followed changes the
 * address at once, and the view only a little later.
 */
export function rewrite(address) {
  if (location.hash !== shown) return false;
  history.replaceState(null, "", address);
  shown = location.hash;
  return true;
}
