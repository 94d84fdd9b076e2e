// Starts the page: views, theme, language, key, keys of the keyboard. Does not know: what a view does.

import * as ask from "./ask.js";
import { get, onKeyNeeded } from "./api.js";
import * as documents from "./documents.js";
import { byId, h, icon } from "./dom.js";
import { language, say, setLanguage, t, translate } from "./i18n.js";
import * as panel from "./panel.js";
import * as search from "./search.js";
import * as traces from "./traces.js";

const FIELDS = { ask: "question", documents: "filter", search: "query" };
const SHOWN = { documents: documents.show, traces: traces.show };
const dark = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;
let view = "";

function go() {
  const wanted = location.hash.slice(1).split("/")[0];
  const next = byId(wanted)?.classList.contains("view") ? wanted : "ask";
  if (next === view) return;
  const first = !view;
  view = next;
  for (const section of document.querySelectorAll(".view")) section.hidden = section.id !== view;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!first) panel.closePanel();
  SHOWN[view]?.();
  // On a touch screen a focused field opens the keyboard over half the page.
  if (matchMedia("(hover: hover)").matches && FIELDS[view] && (!first || view === "ask")) byId(FIELDS[view]).focus();
}

async function status() {
  let found;
  try {
    found = await get("api/status");
  } catch {
    byId("stored").replaceChildren(); // whatever is tried next says what is wrong
    return;
  }
  for (const one of [documents, search, traces]) one.configure(found);
  const stored = byId("stored");
  stored.replaceChildren();
  if (found.documents) stored.append(say(h("span"), "welcome.stored", { documents: found.documents, name: found.name ?? "" }));
  else {
    stored.append(say(h("span"), "welcome.empty"));
    if (found.uploads) stored.append(" ", say(h("a", { href: "#documents" }), "welcome.add"));
  }
  if (found.pending) stored.append(" · ", say(h("span"), "welcome.pending", { pending: found.pending }));
}

function theme() {
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const draw = () => byId("theme").replaceChildren(icon(isDark() ? "sun" : "moon"));
  byId("theme").addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark";
    const asSystem = (chosen === "dark") === dark.matches;
    if (asSystem) delete root.dataset.theme;
    else root.dataset.theme = chosen;
    try {
      if (asSystem) localStorage.removeItem("damda.theme");
      else localStorage.setItem("damda.theme", chosen);
    } catch {
      // Not remembered where storage is forbidden.
    }
    draw();
  });
  dark.addEventListener("change", draw);
  draw();
}

function languages() {
  const button = byId("language");
  const draw = () => {
    button.textContent = t("language.other");
    button.setAttribute("aria-label", t("language.label"));
    button.lang = language() === "ko" ? "en" : "ko";
  };
  button.addEventListener("click", () => {
    setLanguage(language() === "ko" ? "en" : "ko");
    draw();
  });
  translate();
  draw();
}

/** Resolves to what was typed, or "" when the dialog was left. */
function askKey(wrong) {
  const dialog = byId("key-dialog");
  const field = byId("key");
  say(byId("key-text"), wrong ? "key.wrong" : "key.text");
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "use" ? field.value.trim() : ""), { once: true });
  });
}

function confirm(key, values, yes) {
  const dialog = byId("confirm-dialog");
  say(byId("confirm-text"), key, values);
  say(byId("confirm-yes"), yes);
  dialog.returnValue = "";
  dialog.showModal();
  byId("confirm-no").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function dialogs() {
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    byId("key-dialog").close("use");
  });
  byId("key-cancel").addEventListener("click", () => byId("key-dialog").close(""));
  byId("confirm-no").addEventListener("click", () => byId("confirm-dialog").close(""));
  byId("confirm-yes").addEventListener("click", () => byId("confirm-dialog").close("yes"));
  onKeyNeeded(askKey);
}

function keys() {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") {
      if (panel.isOpen()) panel.closePanel();
      else if (ask.isRunning()) ask.stop();
    }
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (!FIELDS[view]) location.hash = "#ask";
    if (panel.isOpen() && byId("main").inert) panel.closePanel();
    setTimeout(() => {
      byId(FIELDS[view]).focus();
      byId(FIELDS[view]).select?.();
    });
  });
}

byId("panel-close").append(icon("close"));
theme();
languages();
dialogs();
keys();
panel.start();
ask.start();
documents.start({ changed: status, confirm });
search.start();
traces.start();
addEventListener("hashchange", go);
go();
status();
