// Shows one answer: sentences with numbered marks, and what is quoted. Knows: answers. Does not know: conversations.

import { called, columnsIn, headings } from "./document.js";
import { h } from "./dom.js";
import { name, say, t } from "./i18n.js";
import { cells, fill, inline, isRow, utf16 } from "./markup.js";

// The server writes [1] behind a sentence, and one of these behind a sentence without support.
const MARK = /\s*\[(\d{1,3}|근거 없음|unsupported)\]/g;

/** Sentences of an answer: {text, n (0: none), unsupported}, by lines. Text behind the last mark stands without one. */
export function parse(text) {
  return text.split("\n").map((line) => {
    const parts = [];
    let at = 0;
    for (const match of line.matchAll(MARK)) {
      const said = line.slice(at, match.index);
      const n = Number.parseInt(match[1], 10) || 0;
      at = match.index + match[0].length;
      if (said.trim() || n) parts.push({ text: said, n, unsupported: !n });
    }
    if (line.slice(at).trim()) parts.push({ text: line.slice(at), n: 0, unsupported: false });
    return parts;
  });
}

/** Fills an element with an answer. `meta`: the server's `damda` field, null while the answer is still coming. */
export function showAnswer(element, text, meta, open) {
  const quotes = meta?.quotes ?? [];
  const shown = parse(text).filter((parts) => parts.length).map((parts) => {
    const row = parts.length === 1 && isRow(parts[0].text);
    return h("div", { class: row ? "row" : "line" }, parts.map((part) => sentence(part, row, quotes, meta, open)));
  });
  element.replaceChildren(...shown);
}

function sentence(part, row, quotes, meta, open) {
  const quote = quotes.find((one) => one.n === part.n);
  // A number that is no quote's was part of the words; while quotes are unknown it is shown as one to come.
  const words = meta && part.n && !quote ? `${part.text} [${part.n}]` : part.text;
  const unsupported = part.unsupported || (meta?.unsupported ?? []).includes(words.trim());
  const ranges = shortAnswer(words, quote);
  const said = row ? cellsOf(words, ranges, quote) : fill(h("span", { class: "said" }), words, inline(words, 0, words.length), ranges);
  if (unsupported) said.classList.add("unsupported");
  const end = unsupported
    ? name(say(h("span", { class: "badge", role: "note" }), "ask.unsupported"), "ask.unsupportedHint")
    : part.n && (quote || !meta) ? markButton(part.n, quote, open) : "";
  return [said, end];
}

function markButton(n, quote, open) {
  if (!quote) return h("span", { class: "mark pending" }, String(n));
  const button = h("button", { type: "button", class: "mark", "data-n": n, onclick: () => open(quote) }, String(n));
  return name(button, "ask.quote", { n: String(n), source: called(quote) });
}

/** Where the date or quantity that was asked for stands in a sentence. */
function shortAnswer(words, quote) {
  if (!quote?.answer) return [];
  const [from, to] = utf16(quote.text, quote.answer.map((offset) => offset - quote.start));
  const short = quote.text.slice(from, to);
  const whole = words.indexOf(quote.text);
  const at = whole >= 0 ? whole + from : words.indexOf(short);
  return short && at >= 0 ? [{ start: at, end: at + short.length, kind: "short" }] : [];
}

/** A row of a table as cells, under its columns' names where they are known. */
function cellsOf(text, ranges, quote) {
  const found = cells(text, 0, text.length).filter(([from, to]) => to > from || columnsOf(quote));
  const columns = (columnsOf(quote) ?? []).slice(0, found.length);
  const shown = found.map(([from, to], i) =>
    h("span", { class: "cell" },
      columns[i] ? h("span", { class: "column" }, columns[i]) : null,
      fill(h("span", { class: "value" }), text, inline(text, from, to), ranges)));
  return h("span", { class: "cells" }, shown);
}

function columnsOf(quote) {
  const names = columnsIn(quote?.heading?.split(" > ").at(-1) ?? "");
  return names.filter(Boolean).length > 1 ? names : null; // a single one is a title over the table
}

/** A row of a table without its bars. */
const readable = (text) => (isRow(text) ? cells(text, 0, text.length).map(([from, to]) => text.slice(from, to)).filter(Boolean).join(" · ") : text);

const spaced = (text) => text.replace(/\s+/g, " ");

/** The list of what is quoted. Words are repeated only where the answer does not have them. */
export function showSources(list, text, quotes, open) {
  list.replaceChildren(...quotes.map((quote) => {
    const short = quote.answer ? quote.text.slice(...utf16(quote.text, quote.answer.map((at) => at - quote.start))) : "";
    const place = h("span", { class: "place" }, h("span", { class: "file" }, called(quote)));
    const heading = headings(quote, { columns: false });
    if (heading) place.append(h("span", { class: "heading" }, heading));
    if (quote.page) place.append(say(h("span", { class: "heading" }), "place.page", { page: quote.page }));
    const words = spaced(text).includes(spaced(quote.text)) ? null : h("span", { class: "words" }, readable(quote.text));
    return h("li", {}, h("button", { type: "button", class: "source", "data-n": quote.n, onclick: () => open(quote) },
      h("span", { class: "mark", "aria-hidden": "true" }, String(quote.n)),
      h("span", { class: "what" }, place, words),
      short ? h("span", { class: "short" }, short) : null));
  }));
}

/** The answer as text for other programs, with its sources. */
export function asText(text, quotes) {
  const sources = quotes.map((quote) => {
    const page = quote.page ? t("place.page", { page: quote.page }) : "";
    const place = [quote.source || quote.doc_id, quote.heading, page].filter(Boolean).join(" · ");
    return `[${quote.n}] ${place}\n    “${quote.text}”`;
  });
  return [text, sources.join("\n")].filter(Boolean).join("\n\n");
}

