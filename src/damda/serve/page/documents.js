// The documents: list, upload, delete, re-index. Knows: their addresses and event streams. Does not know: how one is shown.

import { events, explain, get, query, request } from "./api.js";
import { fileName, showQuote } from "./document.js";
import { arrows, byId, h, icon } from "./dom.js";
import { bytes, known, name, say } from "./i18n.js";

const PAGE = 50;
let offset = 0;
let service = {};
let busy = false;
let asked = 0;

/** `changed()` is told when the index was changed; `confirm(key, values, yes)` asks the person. */
export function start({ changed, confirm }) {
  const filter = byId("filter");
  let timer = 0;
  filter.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => { offset = 0; show(); }, 150);
  });
  byId("reindex").append(icon("again"), say(h("span"), "documents.reindex"));
  byId("reindex").addEventListener("click", () => work("index", ["api/index", { method: "POST" }], changed));
  byId("upload").append(icon("upload"), say(h("span"), "documents.upload"));
  byId("upload").addEventListener("click", () => byId("files").click());
  byId("files").addEventListener("change", (event) => {
    upload([...event.target.files], changed);
    event.target.value = "";
  });
  arrows(byId("document-list"), "button.open");
  byId("documents").addEventListener("click", (event) => {
    const button = event.target.closest("button.remove");
    if (button) remove(button.dataset.source, confirm, changed);
  });
  drops(changed);
}

export function configure(status) {
  service = status;
  byId("upload").hidden = status.uploads !== true;
  byId("files").accept = (status.formats ?? []).join(",");
}

export async function show() {
  const number = (asked += 1);
  let found;
  try {
    found = await get(query("api/documents", { q: byId("filter").value.trim(), offset, limit: PAGE }));
  } catch (error) {
    if (number === asked) byId("document-list").replaceChildren(h("li", { class: "problem" }, say(h("p"), ...explain(error))));
    return;
  }
  if (number !== asked) return; // a later filter has been asked for
  const { documents = [], total = documents.length, failed = [] } = found;
  if (!documents.length && offset) {
    offset = 0;
    await show();
    return;
  }
  say(byId("documents-count"), "documents.count", { n: total });
  byId("document-list").replaceChildren(...documents.map(row));
  if (!documents.length) {
    byId("document-list").append(say(h("li", { class: "empty" }), byId("filter").value ? "documents.noneFound" : "documents.none"));
  }
  pages(total, documents.length);
  failures(failed);
}

function row(document_) {
  const { id, source, uploaded } = document_;
  const shown = id || source;
  const cut = shown.lastIndexOf("/") + 1;
  const open = h("button", { type: "button", class: "open", onclick: () => showQuote([{ doc_id: id, source, version: document_.version }], 0) },
    icon("file"),
    h("span", { class: "file" }, h("span", { class: "base" }, shown.slice(cut)), h("span", { class: "folder" }, shown.slice(0, Math.max(0, cut - 1)))));
  return h("li", {}, open, uploaded ? say(h("span", { class: "tag" }), "documents.uploaded") : null, uploaded ? removal(source) : null);
}

function removal(source) {
  if (!service.uploads) return null;
  const button = h("button", { type: "button", class: "quiet icon remove", "data-source": source }, icon("remove"));
  return name(button, "documents.delete", { name: fileName(source) });
}

function pages(total, count) {
  const bar = byId("document-pages");
  bar.hidden = total <= PAGE;
  const turn = (key, step, possible) => {
    const button = say(h("button", { type: "button", class: "plain", onclick: () => { offset += step; show(); } }), key);
    button.disabled = !possible;
    return button;
  };
  bar.replaceChildren(
    turn("documents.previous", -PAGE, offset > 0),
    say(h("span", { class: "count" }), "documents.range", { from: offset + 1, to: offset + count, total }),
    turn("documents.next", PAGE, offset + count < total));
}

function failures(failed) {
  const place = byId("document-failures");
  const open = place.querySelector("details")?.open ?? false;
  place.replaceChildren();
  if (!failed.length) return;
  place.append(h("details", { class: "failures", open },
    h("summary", {}, icon("warn"), say(h("span"), "documents.failed", { n: failed.length }), icon("next")),
    reasons(failed.map(({ source, error, uploaded }) => [source, error, uploaded ? removal(source) : null]))));
}

const reasons = (pairs) => h("ul", { class: "reasons" }, pairs.map(([file, reason, button = null]) =>
  h("li", {}, h("p", {}, h("b", {}, file), h("span", {}, reason ?? "")), button)));

function upload(files, changed) {
  if (!files.length || busy) return;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  if (service.max_upload && size > service.max_upload) {
    const [limit, all] = [service.max_upload, size].map((count) => () => bytes(count));
    result(say(h("p", { class: "bad" }), "work.tooLarge", { limit, size: all }));
    return;
  }
  const body = new FormData();
  for (const file of files) body.append("files", file, file.name);
  work("upload", ["api/documents", { method: "POST", body }], changed, { n: files.length });
}

async function remove(source, confirm, changed) {
  if (!(await confirm("documents.deleteSure", { name: fileName(source) }, "documents.deleteYes"))) return;
  await work("delete", [query("api/documents", { source }), { method: "DELETE" }], changed);
  byId("filter").focus();
}

/** One request that changes the index: shows how far it is, then what came of it. */
async function work(kind, [path, options], changed, values = {}) {
  if (busy) return;
  busy = true;
  for (const id of ["upload", "reindex"]) byId(id).disabled = true;
  const words = say(h("p", { role: "status" }), `work.${kind}`, values);
  const bar = h("progress", { max: 1 });
  byId("work").replaceChildren(words, bar);
  byId("work").hidden = false;
  try {
    const response = await request(path, { ...options, accept: "text/event-stream" });
    let last = null;
    for await (const event of events(response)) {
      last = event;
      if (event.type === "waiting") say(words, "work.waiting");
      else if (event.type === "progress") advance(words, bar, event);
    }
    if (last?.type === "error") result(say(h("p", { class: "bad" }), "error.server"), h("p", { class: "detail" }, last.error?.message ?? ""));
    else if (last?.type === "done") done(kind, last);
    else result(say(h("p", { class: "bad" }), "error.broken"));
  } catch (error) {
    // Where nothing at all was taken, the reasons come with the error.
    if (error.body?.refused) done(kind, error.body);
    else result(say(h("p", { class: "bad" }), ...explain(error)), error.detail ? h("p", { class: "detail" }, error.detail) : null);
  } finally {
    busy = false;
    for (const id of ["upload", "reindex"]) byId(id).disabled = false;
  }
  await Promise.all([show(), changed()]);
}

function advance(words, bar, { what = "", done: count, total }) {
  if (known(`work.${what}`)) say(words, `work.${what}`);
  else words.textContent = what;
  if (total > 0) {
    bar.max = total;
    bar.value = count;
  } else bar.removeAttribute("value");
}

function done(kind, { saved = [], refused = [], report }) {
  const why = new Map(refused.map((one) => [one.name, one.reason]));
  const taken = saved.filter((source) => !why.has(source)).length; // what was saved but can't be read is refused too
  const unread = (report?.failed ?? []).map((one) => (Array.isArray(one) ? one : [one.source ?? "", one.error ?? ""])).filter(([source]) => !why.has(source));
  const good = { upload: "work.saved", delete: "work.deleted", index: "work.indexed" }[kind];
  const changes = kind === "index" && (report?.read || report?.removed);
  result(
    kind === "upload" && !taken ? null : say(h("p", { class: "good" }), changes ? "work.changed" : good, { n: taken, read: report?.read ?? 0, removed: report?.removed ?? 0 }),
    why.size ? [say(h("p", { class: "bad" }), "work.refused", { n: why.size }), reasons([...why])] : null,
    unread.length ? [say(h("p", { class: "bad" }), "work.unread", { n: unread.length }), reasons(unread)] : null);
}

function result(...content) {
  const hide = name(h("button", { type: "button", class: "quiet icon", onclick: () => { byId("work").hidden = true; byId("filter").focus(); } }, icon("close")), "work.hide");
  byId("work").replaceChildren(h("div", { class: "result", role: "status" }, content.flat().filter(Boolean)), hide);
  byId("work").hidden = false;
}

function drops(changed) {
  const cover = byId("drop");
  const files = (event) => service.uploads && event.dataTransfer?.types.includes("Files");
  let depth = 0;
  addEventListener("dragenter", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth += 1;
    cover.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!files(event)) return;
    depth = Math.max(0, depth - 1);
    cover.hidden = depth === 0;
  });
  addEventListener("dragover", (event) => files(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault(); // else the browser would leave the page for the file
    depth = 0;
    cover.hidden = true;
    if (!service.uploads) return;
    location.hash = "#documents";
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file" && !item.webkitGetAsEntry?.()?.isDirectory);
    upload(items.map((item) => item.getAsFile()).filter(Boolean), changed);
  });
}
