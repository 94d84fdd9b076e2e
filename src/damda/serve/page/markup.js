// A document's text as elements. Knows: Markdown's look, and ranges to mark. Does not know: where text comes from.
//
// Every character of the text stands in a text node, in order (signs of Markdown in hidden spans), so that what is
// marked is exactly what a range covers. Nothing is ever parsed as HTML. Offsets are UTF-16 here; the server counts
// code points: see `utf16`.

import { h } from "./dom.js";

/** Turns code point offsets into UTF-16 ones. */
export function utf16(text, points) {
  if (!/[\ud800-\udbff]/.test(text)) return [...points];
  const order = points.map((point, at) => [point, at]).sort((a, b) => a[0] - b[0]);
  const found = new Array(points.length);
  let unit = 0;
  let point = 0;
  for (const [wanted, at] of order) {
    while (point < wanted && unit < text.length) {
      unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
      point += 1;
    }
    found[at] = unit;
  }
  return found;
}

/** Length in code points. */
export const points = (text) => {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
};

const INLINE = /\*\*(?=\S)(.+?)\*\*|`([^`\n]+)`/g;

/** Pieces of a line: [start, end, kind]; kinds are "", "sign" (hidden), "strong", "code". */
export function inline(text, start, end) {
  const pieces = [];
  let at = start;
  for (const match of text.slice(start, end).matchAll(INLINE)) {
    const from = start + match.index;
    const to = from + match[0].length;
    const sign = match[1] === undefined ? 1 : 2;
    pieces.push([at, from, ""], [from, from + sign, "sign"]);
    pieces.push([from + sign, to - sign, sign === 2 ? "strong" : "code"], [to - sign, to, "sign"]);
    at = to;
  }
  pieces.push([at, end, ""]);
  return pieces.filter(([from, to]) => to > from);
}

/** Appends pieces of the text to an element, cut where ranges begin and end. Ranges: {start, end, kind}. */
export function fill(element, text, pieces, ranges = []) {
  for (const [start, end, kind] of pieces) {
    const inside = ranges.filter((range) => range.start < end && range.end > start);
    const cuts = [start, end, ...inside.flatMap((range) => [range.start, range.end])];
    const places = [...new Set(cuts)].filter((place) => place >= start && place <= end).sort((a, b) => a - b);
    const holder = kind === "sign" ? h("span", { class: "sign" }) : kind ? h(kind) : element;
    for (let i = 1; i < places.length; i += 1) {
      const words = document.createTextNode(text.slice(places[i - 1], places[i]));
      const over = inside.filter((range) => range.start <= places[i - 1] && range.end >= places[i]);
      holder.append(over.length ? h("mark", { class: over.map((range) => range.kind).join(" ") }, words) : words);
    }
    if (holder !== element) element.append(holder);
  }
  return element;
}

/** Where the cells of a table's row are: [start, end] of each, without the bars and the spaces around them. */
export function cells(text, start, end) {
  const found = [];
  const row = text.slice(start, end);
  const bars = [...row.matchAll(/(?<!\\)\|/g)].map((match) => start + match.index);
  for (let i = 1; i < bars.length; i += 1) {
    const cell = text.slice(bars[i - 1] + 1, bars[i]);
    const from = bars[i - 1] + 1 + (cell.length - cell.trimStart().length);
    found.push([from, Math.max(from, bars[i] - (cell.length - cell.trimEnd().length))]);
  }
  return found;
}

export const isRow = (line) => /^\s*\|.*\|\s*$/.test(line);
const isRule = (line) => /^\s*\|?[\s:|-]*-[\s:|-]*\|?\s*$/.test(line) && line.includes("|");

/** Lines of the text as [start, end]; end is before the newline. */
export function lines(text) {
  const found = [];
  for (let at = 0; at <= text.length; ) {
    const next = text.indexOf("\n", at);
    found.push([at, next < 0 ? text.length : next]);
    if (next < 0) break;
    at = next + 1;
  }
  return found;
}

/** The elements for some lines. `pages`: offset -> number of the page that begins there. */
export function blocks(text, some, ranges, pages = new Map()) {
  const out = document.createDocumentFragment();
  let code = false;
  for (let i = 0; i < some.length; i += 1) {
    const [start, end] = some[i];
    for (const [offset, page] of pages) {
      if (offset >= start && offset <= end && page > 1) out.append(h("div", { class: "page-break", "data-page": page }));
    }
    const line = text.slice(start, end);
    if (isRow(line) && !code) {
      let last = i;
      while (last + 1 < some.length && isRow(text.slice(...some[last + 1]))) last += 1;
      out.append(table(text, some.slice(i, last + 1), ranges));
      i = last;
      continue;
    }
    const fence = /^\s*(```|~~~)/.test(line);
    out.append(fence ? fill(h("p", { class: "fence" }), text, whole(text, start, end, "sign"), ranges) : block(text, start, end, ranges, code));
    if (fence) code = !code;
  }
  return out;
}

function whole(text, start, end, kind = "") {
  return [[start, end, kind], ...newline(text, end)].filter(([from, to]) => to > from);
}

const newline = (text, end) => (end < text.length ? [[end, end + 1, "sign"]] : []);

function block(text, start, end, ranges, code) {
  const line = text.slice(start, end);
  if (code) return fill(h("p", { class: "code" }), text, whole(text, start, end), ranges);
  if (!line.trim()) return fill(h("p", { class: "blank" }), text, whole(text, start, end, "sign"), ranges);
  const [, indent, sign] = /^(\s*)(#{1,6}\s+|[-*+•]\s+|\d+[.)]\s+|>\s?|)/.exec(line);
  const element = shape(indent, sign);
  const hidden = /^[-*+•#>]/.test(sign) ? start + indent.length + sign.length : start;
  const pieces = [[start, hidden, "sign"], ...inline(text, hidden, end), ...newline(text, end)];
  return fill(element, text, pieces.filter(([from, to]) => to > from), ranges);
}

function shape(indent, sign) {
  if (sign.startsWith("#")) return h(`h${Math.min(6, sign.trim().length + 2)}`);
  const depth = Math.min(4, Math.floor(indent.replaceAll("\t", "    ").length / 2));
  if (/^[-*+•]/.test(sign)) return h("p", { class: `item depth-${depth}` });
  if (/^\d/.test(sign)) return h("p", { class: `numbered depth-${depth}` });
  return h("p", { class: sign ? "said" : null });
}

function table(text, rows, ranges) {
  const body = h("tbody");
  const headed = rows.length > 1 && isRule(text.slice(...rows[1]));
  rows.forEach(([start, end], index) => {
    if (headed && index === 1) {
      // The line under the header is a sign; it goes where it can't be seen.
      fill(body.lastChild.lastChild, text, whole(text, start, end, "sign"), ranges);
      return;
    }
    const row = h("tr");
    let at = start;
    for (const [from, to] of cells(text, start, end)) {
      const pieces = [[at, from, "sign"], ...inline(text, from, to)].filter(([a, b]) => b > a);
      row.append(fill(h(headed && index === 0 ? "th" : "td"), text, pieces, ranges));
      at = to;
    }
    if (!row.lastChild) row.append(h("td"));
    fill(row.lastChild, text, [[at, end, "sign"], ...newline(text, end)].filter(([a, b]) => b > a), ranges);
    body.append(row);
  });
  return h("div", { class: "table" }, h("table", {}, body));
}
