// Shows a document in the panel, at a quote. Knows: quotes and texts. Does not know: who asked.

import { explain, get, query } from "./api.js";
import { h, icon } from "./dom.js";
import { name, say } from "./i18n.js";
import { blocks, fill, inline, lines, points, utf16 } from "./markup.js";
import { openPanel } from "./panel.js";

const AT_ONCE = 120_000; // characters that are shown before a person asks for more
const KEPT = 8;
const texts = new Map();

/** The last part of a path, for people. */
export const fileName = (source) => source.split("/").at(-1);

/** What a quote's document is called: its file, or where a file holds many documents, its title. */
export function called(quote) {
  if (quote.source && quote.source !== quote.doc_id) return quote.title || quote.doc_id;
  return fileName(quote.source || quote.doc_id);
}

/**
 * Opens the document of one of some quotes. A quote: {doc_id, source, title, version?, text?, start?, end?, answer?,
 * heading?, page?}, offsets in code points. Without `text` the offsets are taken as they are, without offsets the text is
 * looked for, and without either the document is just opened.
 */
export async function showQuote(quotes, at, { inside = false, kind = "quote" } = {}) {
  const quote = quotes[at];
  const view = openPanel({ kind: "document", inside });
  view.title.textContent = quote.title || called(quote);
  dispatchEvent(new CustomEvent("quoteshown", { detail: quote }));
  under(view.under, quote);
  if (quotes.length > 1) view.tools.append(...steps(quotes, at));
  const waiting = say(h("p", { class: "waiting" }), "document.loading");
  view.body.append(waiting);
  let document_;
  try {
    document_ = await fetched(quote);
  } catch (error) {
    if (view.current()) say(waiting, ...explain(error)).classList.add("problem");
    return;
  }
  if (!view.current()) return;
  view.body.replaceChildren();
  view.title.textContent = document_.title || called(quote);
  const same = quotes.filter((other) => other.doc_id === quote.doc_id && (other.text || other.end > other.start));
  render(view.body, document_, same, quote, kind);
}

/** The path of headings above a quote, for people. */
export function headings({ heading }, { columns = true } = {}) {
  const parts = (heading ?? "").split(" > ").map((part) => (part.includes("|") ? (columns ? columnsIn(part).filter(Boolean).join(" | ") : "") : part));
  return parts.filter(Boolean).join(" › ");
}

/** The names of a table's columns, which the service puts at the end of a row's headings. */
export const columnsIn = (part) => part.split("|").map((name_) => name_.trim());

function under(element, quote) {
  const heading = headings(quote);
  element.replaceChildren(h("span", { class: "path" }, quote.source || quote.doc_id), heading ? h("span", {}, heading) : "");
  if (quote.page) element.append(say(h("span"), "place.page", { page: quote.page }));
}

function steps(quotes, at) {
  const go = (step) => showQuote(quotes, (at + step + quotes.length) % quotes.length, { inside: true });
  const button = (picture, key, step) =>
    name(h("button", { type: "button", class: "quiet icon", onclick: () => again(go(step), key) }, icon(picture)), key);
  // The buttons are made anew with the document; whoever pressed one wants to press it again.
  const again = (shown, key) => {
    document.querySelector(`#panel-tools [data-t-label="${key}"]`)?.focus();
    return shown;
  };
  const where = say(h("span", { class: "count" }), "document.quotes", { n: at + 1, total: quotes.length });
  return [button("previous", "document.previous", -1), where, button("next", "document.next", 1)];
}

async function fetched({ doc_id: id, version }) {
  const key = `${id}\0${version ?? ""}`;
  if (!version || !texts.has(key)) {
    let got;
    try {
      got = await get(query("api/document", { id, version }));
    } catch (error) {
      if (!version || error.kind !== "missing") throw error;
      got = await get(query("api/document", { id })); // that version is gone; where the words are now is looked up
    }
    texts.delete(key);
    texts.set(key, got);
    if (texts.size > KEPT) texts.delete(texts.keys().next().value);
  }
  return texts.get(key);
}

/** Ranges in UTF-16 for quotes that (still) stand in the text; `moved` and `gone` tell what became of the current one. */
export function ranges(text, quotes, current, kind = "quote") {
  const marked = quotes.flatMap(({ start = 0, end = 0, answer }) => [start, end, ...(answer ?? [start, start])]);
  const units = utf16(text, marked);
  const found = [];
  let state = "";
  quotes.forEach((quote, i) => {
    let [start, end, from, to] = units.slice(4 * i, 4 * i + 4);
    if (quote.text && text.slice(start, end) !== quote.text) {
      const now = text.indexOf(quote.text);
      if (quote === current && quote.end) state = now < 0 ? "gone" : "moved";
      if (now < 0) return;
      [from, to] = [from - start + now, to - start + now];
      [start, end] = [now, now + quote.text.length];
    }
    found.push({ start, end, kind: quote === current ? `${kind} current` : kind });
    if (quote.answer && quote === current) found.push({ start: from, end: to, kind: "short" });
  });
  return { found, state };
}

function render(body, { text, pages = [] }, quotes, current, kind) {
  const { found, state } = ranges(text, quotes, current, kind);
  if (state) body.append(say(h("p", { class: "notice" }), `document.${state}`));
  if (!text.trim()) body.append(say(h("p", { class: "waiting" }), "document.empty"));
  const begins = new Map(utf16(text, pages).map((offset, i) => [offset, i + 1]));
  const all = lines(text);
  const target = found.find((range) => range.kind.includes("current"))?.start ?? 0;
  let first = Math.max(0, all.findIndex(([, end]) => end >= target));
  let last = first + 1;
  const size = (a, b) => (b > a ? all[b - 1][1] - all[a][0] : 0);
  const grow = (back, forth) => {
    const [a, b] = [first, last];
    while (back && first > 0 && size(first, a) < AT_ONCE / 2) first -= 1;
    while (forth && last < all.length && size(b, last) < AT_ONCE / 2) last += 1;
    return [all.slice(first, a), all.slice(b, last)];
  };
  grow(true, true);
  const some = (which) => blocks(text, which, found, begins);
  const content = h("div", { class: "doc" }, some(all.slice(first, last)));
  const before = more("document.before", () => content.prepend(some(grow(true, false)[0])), () => first === 0);
  const after = more("document.after", () => content.append(some(grow(false, true)[1])), () => last === all.length);
  body.append(before, content, after);
  // Signs of Markdown are marked too, but hidden: they have no place to go to.
  goTo(body, [...content.querySelectorAll("mark.current")].find((mark) => mark.getClientRects().length));
}

function more(key, show, none) {
  const button = say(h("button", { type: "button", class: "plain more" }), key);
  button.hidden = none();
  button.addEventListener("click", () => {
    show();
    button.hidden = none();
  });
  return button;
}

function goTo(body, mark) {
  if (!mark) return;
  const offset = mark.getBoundingClientRect().top - body.getBoundingClientRect().top;
  body.scrollTop += offset - body.clientHeight * 0.3;
  mark.closest(".table")?.scrollTo?.({ left: 0 });
}

/** The beginning of a passage, for lists: without Markdown's signs and empty lines. */
export function excerpt(text) {
  const words = text.slice(0, 600).replace(/\n\s*\n/g, "\n").replace(/^#+ /gm, "");
  return fill(h("span", { class: "words clamp" }), words, inline(words, 0, words.length));
}

/** A hit of a search as something to show. */
export function hitAsQuote({ chunk }) {
  return { ...chunk, page: null, answer: null, end: chunk.end ?? chunk.start + points(chunk.text) };
}

