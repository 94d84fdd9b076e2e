// The playground: one query, every way of searching, side by side. Knows: hits and ranks. Does not know: documents.

import { explain, post } from "./api.js";
import { called, excerpt, headings, hitAsQuote, showQuote } from "./document.js";
import { byId, h } from "./dom.js";
import { number, say, t } from "./i18n.js";

const COLUMNS = ["bm25", "dense", "hybrid", "rerank"];
const K = 10;
let modes = ["bm25", "dense", "hybrid"];
let asked = 0;

export function start() {
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    search(byId("query").value.trim());
  });
  const results = byId("results");
  results.append(say(h("p", { class: "hint" }), "search.hint"));
  for (const type of ["mouseover", "focusin"]) results.addEventListener(type, (event) => compare(event.target.closest?.(".hit")));
  for (const type of ["mouseleave", "focusout"]) results.addEventListener(type, () => compare(null));
  results.addEventListener("keydown", move);
}

export function configure(status) {
  const offered = status.modes ?? modes;
  modes = COLUMNS.filter((mode) => offered.includes(mode));
}

async function search(query) {
  if (!query) return;
  const turn = (asked += 1);
  const results = byId("results");
  results.setAttribute("aria-busy", "true");
  byId("status").textContent = t("search.searching");
  let found;
  try {
    found = (await post("api/search", { query, k: K, modes })).results;
  } catch (error) {
    if (turn === asked) results.replaceChildren(h("div", { class: "problem", role: "alert" }, say(h("p"), ...explain(error)), error.detail ? h("p", { class: "detail" }, error.detail) : null));
    return;
  } finally {
    if (turn === asked) results.removeAttribute("aria-busy");
  }
  if (turn !== asked) return;
  const columns = modes.map((mode) => [mode, (found[mode] ?? []).filter((hit) => hit.chunk)]);
  const ranks = new Map();
  for (const [mode, hits] of columns) {
    hits.forEach((hit, i) => ranks.set(hit.chunk.id, { ...ranks.get(hit.chunk.id), [mode]: i + 1 }));
  }
  results.replaceChildren(h("div", { class: "columns" }, columns.map(([mode, hits]) => column(mode, hits, ranks))));
  results.style.setProperty("--columns", columns.length);
  byId("status").textContent = t("search.found");
}

function column(mode, hits, ranks) {
  const top = Math.max(...hits.map((hit) => hit.score), 0);
  const title = say(h("h2"), `mode.${mode}`);
  const list = h("ol", {}, hits.map((hit, i) => h("li", {}, card(hit, i + 1, mode, top, ranks.get(hit.chunk.id)))));
  return h("section", { class: "column", "data-mode": mode },
    h("header", {}, title, say(h("p"), `mode.${mode}.about`)),
    hits.length ? list : say(h("p", { class: "empty" }), "search.none"));
}

function card(hit, rank, mode, top, ranks) {
  const { chunk, score } = hit;
  const bar = h("span", { class: "bar" });
  bar.style.setProperty("--part", top > 0 && score > 0 ? score / top : 0);
  const others = h("span", { class: "others" }, modes.filter((other) => other !== mode).map((other) =>
    h("span", { class: ranks[other] ? "" : "absent" }, say(h("span"), `mode.${other}`), ` ${ranks[other] ?? "–"}`)));
  return h("button", { type: "button", class: "hit", "data-id": chunk.id, "data-rank": rank, onclick: () => showQuote([hitAsQuote(hit)], 0, { kind: "passage" }) },
    h("span", { class: "line" }, h("span", { class: "rank" }, String(rank)), h("span", { class: "delta" }), h("span", { class: "score" }, number(score, mode === "dense" ? 3 : 2))),
    bar,
    h("span", { class: "file" }, called(chunk)),
    chunk.heading ? h("span", { class: "heading" }, headings(chunk)) : null,
    excerpt(chunk.text),
    others);
}

/** Lifts the passage in every column, and says how far away in rank it is there. */
function compare(hit) {
  const results = byId("results");
  const id = hit?.dataset.id;
  results.classList.toggle("comparing", Boolean(id));
  for (const card of results.querySelectorAll(".hit")) {
    const same = card.dataset.id === id;
    card.classList.toggle("same", same);
    const delta = same && card !== hit ? hit.dataset.rank - card.dataset.rank : null;
    card.querySelector(".delta").textContent = delta === null ? "" : delta > 0 ? `▲${delta}` : delta < 0 ? `▼${-delta}` : "=";
  }
}

/** Arrow keys: up and down a column; left and right to the same passage in another, else to the same rank. */
function move(event) {
  const at = document.activeElement?.closest?.(".hit");
  if (!at || !event.key.startsWith("Arrow") || event.altKey || event.ctrlKey || event.metaKey) return;
  const columns = [...document.querySelectorAll("#results .column")].map((one) => [...one.querySelectorAll(".hit")]);
  const x = columns.findIndex((hits) => hits.includes(at));
  const y = columns[x].indexOf(at);
  const aside = columns[x + { ArrowLeft: -1, ArrowRight: 1 }[event.key]] ?? [];
  const goal = {
    ArrowUp: columns[x][y - 1],
    ArrowDown: columns[x][y + 1],
  }[event.key] ?? aside.find((hit) => hit.dataset.id === at.dataset.id) ?? aside[Math.min(y, aside.length - 1)];
  event.preventDefault();
  goal?.focus();
}
