// One trace as a waterfall in the panel. Knows: spans. Does not know: which answer it belongs to.

import { explain, get, patiently } from "./api.js";
import { excerpt, showQuote } from "./document.js";
import { arrows, h, icon } from "./dom.js";
import { duration, moment, name, number, say } from "./i18n.js";
import { openPanel } from "./panel.js";

const PASSAGES = "gen_ai.retrieval.documents";

export async function showTrace(id) {
  const view = openPanel({ kind: "trace" });
  say(view.title, "trace.title");
  const waiting = say(h("p", { class: "waiting" }), "trace.loading");
  view.body.append(waiting);
  let trace;
  try {
    trace = await patiently(() => get(`api/traces/${encodeURIComponent(id)}`));
  } catch (error) {
    if (view.current()) say(waiting, ...explain(error)).classList.add("problem");
    return;
  }
  if (!view.current()) return;
  const spans = ordered(trace.spans ?? []);
  const total = trace.seconds || Math.max(...spans.map((span) => (span.start ?? 0) + (span.seconds ?? 0)), 0);
  if (trace.started) view.under.append(h("span", {}, moment(trace.started)));
  view.under.append(h("span", {}, duration(total)), h("span", { class: "path" }, id));
  view.body.replaceChildren(...head(trace), h("ol", { class: "waterfall" }, spans.map((span) => bar(span, total))));
  if (!spans.length) view.body.append(say(h("p", { class: "waiting" }), "trace.empty"));
  arrows(view.body, ".span");
}

function head(trace) {
  const parts = [say(h("p", { class: "hint" }), "trace.hint")];
  if (trace.feedback || trace.comment) {
    parts.push(h("p", { class: "given" }, trace.feedback ? icon(trace.feedback > 0 ? "up" : "down") : null, trace.comment ? h("q", {}, trace.comment) : null));
  }
  return parts;
}

/** Spans as a tree reads: children under their parent, by time. Each gets a `depth`. */
export function ordered(spans) {
  const ids = new Set(spans.map((span) => span.span_id));
  const children = new Map();
  for (const span of spans) {
    const parent = ids.has(span.parent_id) ? span.parent_id : null; // one that is not there: another program's
    if (children.has(parent)) children.get(parent).push(span);
    else children.set(parent, [span]);
  }
  const out = [];
  const visit = (parent, depth) => {
    for (const span of (children.get(parent) ?? []).sort((a, b) => (a.start ?? 0) - (b.start ?? 0))) {
      out.push({ ...span, depth });
      if (depth < 32) visit(span.span_id, depth + 1);
    }
  };
  visit(null, 0);
  return out;
}

function bar(span, total) {
  const attributes = span.attributes ?? {};
  const drawn = h("span", { class: `drawn${span.status === "error" ? " bad" : ""}` });
  const share = (seconds) => (total > 0 ? Math.min(1, Math.max(0, (seconds ?? 0) / total)) : 0);
  drawn.style.setProperty("--from", share(span.start));
  drawn.style.setProperty("--part", share(span.seconds));
  const label = h("span", { class: "label" }, span.name ?? "");
  label.style.setProperty("--depth", Math.min(span.depth, 6));
  const details = h("div", { class: "details", hidden: true });
  const tokens = tokensOf(attributes);
  const button = h("button", { type: "button", class: "span", "aria-expanded": "false" },
    label,
    h("span", { class: "facts" }, state(span), tokens ? say(h("span"), "traces.tokens", tokens) : null),
    h("span", { class: "ms" }, duration(span.seconds)),
    h("span", { class: "track" }, drawn));
  name(button, "trace.span", { name: span.name ?? "", seconds: () => duration(span.seconds) });
  button.removeAttribute("title");
  button.addEventListener("click", () => {
    if (!details.childNodes.length) details.append(...inside(attributes, span.said));
    details.hidden = !details.hidden;
    button.setAttribute("aria-expanded", String(!details.hidden));
  });
  return h("li", {}, button, details);
}

function state({ status }) {
  const said = { error: "trace.failed", cancelled: "trace.cancelled", unfinished: "trace.unfinished" }[status];
  return said ? say(h("span", { class: status === "error" ? "bad" : "" }), said) : null;
}

function tokensOf(attributes) {
  const input = attributes["gen_ai.usage.input_tokens"];
  const output = attributes["gen_ai.usage.output_tokens"];
  return input || output ? { input: input ?? 0, output: output ?? 0 } : null;
}

function inside(attributes, said) {
  const out = said ? [h("p", { class: "bad" }, said)] : [];
  const found = passages(attributes[PASSAGES]);
  if (found.length) out.push(say(h("p", { class: "column" }), "trace.passages"), h("ol", { class: "passages" }, found.map(passage)));
  if (attributes["damda.document"] && attributes["damda.end"]) out.push(h("ol", { class: "passages" }, place(attributes)));
  const rows = Object.entries(attributes).filter(([key]) => key !== PASSAGES || !found.length);
  if (rows.length) out.push(h("dl", {}, rows.flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, shown(value))])));
  return out;
}

function place({ "damda.document": id, "damda.start": start, "damda.end": end }) {
  const open = () => showQuote([{ doc_id: id, source: id, start, end }], 0, { inside: true });
  return h("li", {}, h("button", { type: "button", class: "source", onclick: open },
    h("span", { class: "what" }, h("span", { class: "file" }, id), h("span", { class: "heading" }, `${start}–${end}`))));
}

const shown = (value) => (typeof value === "string" ? value : typeof value === "number" ? number(value, Number.isInteger(value) ? 0 : 4) : JSON.stringify(value));

function passages(value) {
  let list = value;
  if (typeof value === "string") {
    try {
      list = JSON.parse(value);
    } catch {
      return []; // shown as it is, among the other attributes
    }
  }
  return Array.isArray(list) ? list.filter((one) => one && typeof one === "object") : [];
}

function passage(one) {
  const id = String(one.id ?? "");
  const docId = one.doc_id ?? id.replace(/#\d+$/, "");
  const parts = ["bm25", "cosine"].filter((part) => typeof one[part] === "number").map((part) => `${part} ${number(one[part], 3)}`);
  const quote = { doc_id: docId, source: one.source ?? docId, text: one.content };
  return h("li", {}, h("button", { type: "button", class: "source", onclick: () => showQuote([quote], 0, { inside: true, kind: "passage" }) },
    h("span", { class: "what" }, h("span", { class: "file" }, id), h("span", { class: "heading" }, parts.join(" · ")), one.content ? excerpt(one.content) : null),
    typeof one.score === "number" ? h("span", { class: "score" }, number(one.score, 3)) : null));
}
