// The latest traces. Knows: their list. Does not know: how one is drawn (waterfall.js).

import { explain, get, query } from "./api.js";
import { arrows, byId, h, icon } from "./dom.js";
import { duration, moment, name, say } from "./i18n.js";
import { showTrace } from "./waterfall.js";

const PAGE = 50;
let on = true;
let asked = 0;

export function start() {
  byId("traces-again").append(icon("again"), say(h("span"), "traces.again"));
  byId("traces-again").addEventListener("click", show);
  arrows(byId("trace-list"), "button.trace");
}

export function configure(status) {
  on = status.trace !== false;
}

export async function show() {
  const list = h("ol", { class: "traces" });
  byId("trace-list").replaceChildren(list);
  if (on) await more(list, undefined, (asked += 1));
  else list.append(say(h("li", { class: "empty" }), "traces.off"));
}

async function more(list, before, turn) {
  let found;
  try {
    found = await get(query("api/traces", { limit: PAGE, before }));
  } catch (error) {
    if (turn === asked) list.append(h("li", { class: "problem" }, say(h("p"), ...explain(error))));
    return;
  }
  if (turn !== asked) return;
  const { traces = [], next = null } = found;
  list.append(...traces.map(row));
  if (!list.children.length) list.append(say(h("li", { class: "empty" }), "traces.none"));
  if (next === null || next === undefined || !traces.length) return;
  const button = say(h("button", { type: "button", class: "plain more" }), "traces.more");
  const item = h("li", {}, button);
  button.addEventListener("click", async () => {
    const last = list.children.length - 1;
    item.remove();
    await more(list, next, turn);
    list.children[last]?.querySelector("button")?.focus();
  });
  list.append(item);
}

function row(trace) {
  const facts = h("span", { class: "facts" });
  if (trace.found === true) facts.append(say(h("span", { class: "yes" }), "traces.found"));
  if (trace.found === false) facts.append(say(h("span", { class: "no" }), "traces.notFound"));
  if (trace.quotes) facts.append(say(h("span"), "traces.quotes", { n: trace.quotes }));
  if (trace.input_tokens || trace.output_tokens) {
    facts.append(say(h("span"), "traces.tokens", { input: trace.input_tokens ?? 0, output: trace.output_tokens ?? 0 }));
  }
  if (trace.feedback) {
    const key = trace.feedback > 0 ? "up" : "down";
    facts.append(name(h("span", { class: `given ${key}`, role: "img" }, icon(key)), `ask.${key}`));
  }
  const asked_ = trace.question ? h("span", { class: "asked" }, trace.question) : say(h("span", { class: "asked unknown" }), "traces.noQuestion");
  return h("li", {}, h("button", { type: "button", class: "trace", "data-trace": trace.trace_id, onclick: () => showTrace(trace.trace_id) },
    h("span", { class: "time" }, trace.started ? moment(trace.started) : ""),
    h("span", { class: "what" }, asked_, h("span", { class: "name" }, trace.name ?? ""), facts),
    h("span", { class: "ms" }, duration(trace.seconds))));
}
