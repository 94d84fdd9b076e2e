// The panel beside (on small screens: over) the views. Knows: opening, closing, focus. Does not know: what is in it.

import { byId } from "./dom.js";

const narrow = matchMedia("(max-width: 63.99rem)");
const panel = byId("panel");
let opener = null;
let shown = 0;

export const isOpen = () => !panel.hidden;

/**
 * Opens the panel empty. What arrives later asks `current()` first: another opening may have come in between.
 * `inside`: the panel changes what it shows, so focus stays and closing leads to where the first one was opened.
 */
export function openPanel({ kind, inside = false }) {
  if (!inside && !panel.contains(document.activeElement)) opener = document.activeElement;
  const number = (shown += 1);
  dispatchEvent(new Event("panelchanged"));
  const [title, under, tools, body] = ["title", "under", "tools", "body"].map((part) => byId(`panel-${part}`));
  for (const part of [title, under, tools, body]) part.replaceChildren();
  for (const part of [title, under]) delete part.dataset.t;
  panel.dataset.kind = kind;
  body.scrollTop = 0;
  if (panel.hidden) {
    panel.hidden = false;
    document.body.classList.add("with-panel");
    if (narrow.matches) history.pushState({ panel: true }, "");
  }
  cover();
  if (!inside) body.focus({ preventScroll: true });
  return { title, under, tools, body, current: () => number === shown };
}

export function closePanel() {
  if (panel.hidden) return;
  if (history.state?.panel) history.back(); // popstate closes it
  else hide();
}

function hide() {
  if (panel.hidden) return;
  shown += 1;
  panel.hidden = true;
  document.body.classList.remove("with-panel");
  cover();
  dispatchEvent(new Event("panelchanged"));
  if (opener?.isConnected) opener.focus({ preventScroll: true });
}

/** What lies under the panel can't be reached while it covers everything. */
function cover() {
  const covered = narrow.matches && !panel.hidden;
  byId("main").inert = covered;
  document.querySelector(".top").inert = covered;
}

export function start() {
  byId("panel-close").addEventListener("click", closePanel);
  narrow.addEventListener("change", cover);
  addEventListener("popstate", () => !history.state?.panel && hide());
}
