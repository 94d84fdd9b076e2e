// The conversation. Knows: asking, streaming, stopping, remembering. Does not know: how an answer looks (answer.js).

import { ApiError, events, explain, post, request } from "./api.js";
import { asText, showAnswer, showSources } from "./answer.js";
import { called, excerpt, headings, hitAsQuote, showQuote } from "./document.js";
import { byId, h, icon } from "./dom.js";
import { known, name, say, t } from "./i18n.js";
import { feedback } from "./feedback.js";
import { showTrace } from "./waterfall.js";

const KEPT = "damda.conversation";
const HISTORY = 12; // turns that are sent along; the server takes of them what its settings allow
let turns = [];
let running = null; // the AbortController of the answer that is coming

const announce = (text) => { byId("status").textContent = text; };
const conversation = byId("conversation");
const question = byId("question");

export function start() {
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) stop();
    else ask(question.value.trim());
  });
  question.addEventListener("keydown", (event) => {
    // An Enter that ends a syllable (isComposing) belongs to the input method.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (!running) ask(question.value.trim());
  });
  question.addEventListener("input", fit);
  byId("fresh").append(icon("fresh"), say(h("span"), "ask.fresh"));
  byId("fresh").addEventListener("click", fresh);
  addEventListener("panelchanged", () => point(null));
  addEventListener("quoteshown", (event) => point(event.detail));
  button();
  restore();
}

/** The numbers of the quote whose document is open stand out. */
function point(quote) {
  for (const mark of document.querySelectorAll(".mark.now")) mark.classList.remove("now");
  const turn = quote && turns.find(({ meta }) => meta?.quotes.includes(quote));
  for (const mark of turn?.element.querySelectorAll(`[data-n="${quote.n}"]`) ?? []) {
    (mark.matches(".mark") ? mark : mark.querySelector(".mark")).classList.add("now");
  }
}

export function stop() {
  running?.abort();
}

export const isRunning = () => Boolean(running);

function fit() {
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight}px`;
}

function button() {
  const send = byId("send");
  send.replaceChildren(icon(running ? "stop" : "send"));
  send.classList.toggle("stop", Boolean(running));
  name(send, running ? "ask.stop" : "ask.send");
}

function began() {
  byId("welcome").hidden = turns.length > 0;
  byId("fresh").hidden = turns.length === 0;
  conversation.classList.toggle("begun", turns.length > 0);
}

function fresh() {
  stop();
  turns = [];
  byId("turns").replaceChildren();
  keep();
  began();
  question.focus();
}

function keep() {
  try {
    const rows = turns.filter((turn) => turn.meta).map(({ question, text, meta, score }) => ({ question, text, meta, score }));
    sessionStorage.setItem(KEPT, JSON.stringify(rows));
  } catch {
    // Full or forbidden: the conversation is then not there after a reload.
  }
}

function restore() {
  try {
    turns = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
  } catch {
    turns = [];
  }
  for (const turn of turns) {
    build(turn);
    finish(turn);
  }
  began();
  conversation.scrollTop = conversation.scrollHeight;
}

function build(turn) {
  turn.asked = say(h("span"), "ask.asked");
  turn.parts = {
    asked: h("p", { class: "asked", hidden: true }),
    answer: h("div", { class: "answer" }),
    notes: h("div", { class: "notes" }),
    sources: h("ol", { class: "sources" }),
    tools: h("div", { class: "tools" }),
  };
  turn.element = h("article", { class: "turn" }, h("h2", { class: "question" }, turn.question), Object.values(turn.parts));
  byId("turns").append(turn.element);
}

async function ask(text) {
  if (!text || running) return;
  const turn = { question: text, text: "", meta: null, score: 0 };
  turns.push(turn);
  build(turn);
  began();
  question.value = "";
  fit();
  turn.element.scrollIntoView({ block: "start" });
  await answer(turn, upTo(turn));
}

async function answer(turn, messages, anew = false) {
  const control = (running = new AbortController());
  button();
  const { parts } = turn;
  Object.values(parts).forEach((part) => part.replaceChildren());
  turn.text = "";
  parts.answer.setAttribute("aria-busy", "true");
  parts.answer.append(say(h("p", { class: "searching" }), "ask.searching"));
  announce(t("ask.searching"));
  try {
    await stream(turn, messages, control.signal, anew);
    finish(turn);
    announce(`${turn.meta.found ? t("ask.ready", { n: turn.meta.quotes.length }) : t("ask.notFound")} ${turn.text}`);
  } catch (error) {
    failed(turn, error, () => answer(turn, messages, anew));
  } finally {
    parts.answer.removeAttribute("aria-busy");
    if (running === control) {
      running = null;
      button();
    }
    keep();
  }
}

async function stream(turn, messages, signal, anew) {
  const json = { model: "damda", stream: true, messages, damda: { footnotes: false } };
  const response = await request("v1/chat/completions", { method: "POST", json, signal, anew });
  let due = 0;
  try {
    for await (const event of events(response)) {
      if (event.error) throw new ApiError("server", { detail: event.error.message });
      turn.text += event.choices?.[0]?.delta?.content ?? "";
      if (event.damda) turn.meta = event.damda;
      if (turn.text) due ||= requestAnimationFrame(() => { due = 0; showAnswer(turn.parts.answer, turn.text, null); });
    }
  } finally {
    cancelAnimationFrame(due);
  }
  if (!turn.meta) throw new ApiError("broken");
  turn.meta = { found: true, quotes: [], unsupported: [], asked: "", trace_id: "", cached: "", cached_for: "", verdicts: [], ...turn.meta };
}

function failed(turn, error, again) {
  const { parts } = turn;
  turn.meta = null;
  if (turn.text) showAnswer(parts.answer, turn.text, null);
  else parts.answer.replaceChildren();
  if (error.name === "AbortError") {
    parts.notes.replaceChildren(say(h("p", { class: "quiet-note" }), "ask.stopped"));
    announce(t("ask.stopped"));
    return;
  }
  const [key, values] = explain(error);
  const retry = say(h("button", { type: "button", class: "plain", onclick: () => !running && again() }), "again");
  parts.notes.replaceChildren(h("div", { class: "problem", role: "alert" },
    icon("warn"), h("div", {}, say(h("p"), key, values), error.detail ? h("p", { class: "detail" }, error.detail) : null, retry)));
}

function finish(turn) {
  const { parts, meta, text } = turn;
  const open = (quote) => showQuote(meta.quotes, meta.quotes.indexOf(quote));
  parts.asked.hidden = !meta.asked || meta.asked === turn.question;
  if (!parts.asked.hidden) parts.asked.replaceChildren(turn.asked, h("q", {}, meta.asked));
  turn.element.classList.toggle("not-found", !meta.found);
  if (meta.found) showAnswer(parts.answer, text, meta, open);
  else parts.answer.replaceChildren(h("p", { class: "none" }, text.trim() || t("ask.notFound")));
  if (meta.unsupported.length) {
    parts.notes.append(h("p", { class: "caution" }, icon("warn"), say(h("span"), "ask.unsupportedCount", { n: meta.unsupported.length })));
  }
  parts.notes.append(...remarks(turn));
  name(parts.sources, "ask.sources");
  showSources(parts.sources, text, meta.quotes, open);
  if (!meta.found && !withheld(meta)) nearest(turn);
  parts.tools.replaceChildren(...tools(turn));
}

const withheld = (meta) => (meta.verdicts ?? []).some((one) => one.action === "block" && one.place !== "passage");

/** What guards did to an answer, and that it was made before. */
function remarks(turn) {
  const { meta } = turn;
  const notes = [];
  const masked = new Set();
  for (const one of meta.verdicts ?? []) {
    if (one.action === "redact" && one.guard !== "unsupported") one.rule.split(", ").forEach((rule) => masked.add(rule));
  }
  const kinds = () => [...masked].map((kind) => (known(`kind.${kind}`) ? t(`kind.${kind}`) : kind)).join(", ");
  if (masked.size) notes.push(h("p", { class: "caution" }, icon("warn"), say(h("span"), "ask.masked", { what: kinds })));
  if ((meta.verdicts ?? []).some((one) => one.place === "passage" && one.guard === "injection")) {
    notes.push(h("p", { class: "caution" }, icon("warn"), say(h("span"), "ask.planted")));
  }
  if (meta.cached) {
    const said = meta.cached_for ? say(h("span"), "ask.cachedFor", { question: meta.cached_for }) : say(h("span"), "ask.cached");
    const anew = h("button", { type: "button", class: "quiet", onclick: () => !running && answer(turn, upTo(turn), true) });
    notes.push(h("p", { class: "quiet-note" }, said, " ", say(anew, "ask.anew")));
  }
  return notes;
}

/** The conversation up to a question, as it is sent. */
function upTo(turn) {
  const before = turns.slice(0, turns.indexOf(turn)).filter((one) => one.meta).slice(-HISTORY);
  const said = before.flatMap((one) => [{ role: "user", content: one.question }, { role: "assistant", content: one.text }]);
  return [...said, { role: "user", content: turn.question }];
}

/** Where the documents do not answer, what they have nearest to the question. */
async function nearest(turn) {
  let hits;
  try {
    const found = await post("api/search", { query: turn.meta.asked || turn.question, k: 3 });
    hits = Object.values(found.results)[0].filter((hit) => hit.chunk?.text);
  } catch {
    return; // an addition only: the answer itself has been shown
  }
  if (!hits.length) return;
  const quotes = hits.map(hitAsQuote);
  turn.parts.notes.append(say(h("p", { class: "quiet-note" }), "ask.nearest"), h("ul", { class: "nearest" }, hits.map((hit, i) =>
    h("li", {}, h("button", { type: "button", class: "source", onclick: () => showQuote(quotes, i, { kind: "passage" }) },
      h("span", { class: "what" },
        h("span", { class: "place" }, h("span", { class: "file" }, called(hit.chunk)), hit.chunk.heading ? h("span", { class: "heading" }, headings(hit.chunk)) : null),
        excerpt(hit.chunk.text)))))));
}

function tools(turn) {
  const { meta } = turn;
  const copy = name(h("button", { type: "button", class: "quiet icon" }, icon("copy")), "ask.copy");
  copy.addEventListener("click", () => copied(copy, asText(turn.text, meta.quotes)));
  if (!meta.trace_id) return [copy];
  const trace = h("button", { type: "button", class: "quiet", onclick: () => showTrace(meta.trace_id) }, icon("trace"), say(h("span"), "ask.trace"));
  return [...feedback(meta.trace_id, turn.score, (score) => { turn.score = score; keep(); }), copy, trace];
}

async function copied(button, text) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Not allowed, or not over https: the old way.
    const area = h("textarea", { class: "unseen" }, text);
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  announce(t(done ? "ask.copied" : "ask.notCopied"));
  button.replaceChildren(icon(done ? "done" : "warn"));
  setTimeout(() => button.replaceChildren(icon("copy")), 1600);
}
