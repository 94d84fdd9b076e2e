// Thumbs and a comment, kept with an answer's trace. Knows: one address of the server. Does not know: answers.

import { explain, patiently, request } from "./api.js";
import { h, icon } from "./dom.js";
import { name, say } from "./i18n.js";

/** Elements for an answer: two thumbs, and the comment that opens under them. `changed(score)` after it is stored. */
export function feedback(traceId, score, changed) {
  const note = h("form", { class: "comment", hidden: true });
  const said = h("span", { class: "said-thanks", role: "status" });
  const input = name(h("input", { type: "text", maxlength: 2000, autocomplete: "off" }), "ask.comment");
  input.dataset.tPlaceholder = "ask.comment";
  input.placeholder = input.getAttribute("aria-label");
  note.append(input, say(h("button", { type: "submit", class: "plain" }), "ask.commentSend"));
  const buttons = [["up", 1], ["down", -1]].map(([picture, value]) => {
    const button = name(h("button", { type: "button", class: "quiet icon thumb" }, icon(picture)), `ask.${picture}`);
    button.addEventListener("click", () => send(score === value ? 0 : value, ""));
    return { button, value };
  });
  const show = () => buttons.forEach(({ button, value }) => button.setAttribute("aria-pressed", String(score === value)));

  async function send(value, comment) {
    try {
      await patiently(() => request(`api/traces/${encodeURIComponent(traceId)}/feedback`, { method: "POST", json: { score: value, comment } }));
    } catch (error) {
      say(said, ...explain(error));
      return;
    }
    score = value;
    changed(score);
    show();
    note.hidden = !score || Boolean(comment);
    if (score) say(said, "ask.thanks");
    else said.replaceChildren();
    if (score && !comment) input.focus();
  }

  note.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) send(score, input.value.trim());
    else note.hidden = true;
  });
  note.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    note.hidden = true;
    buttons.find(({ value }) => value === score)?.button.focus();
  });
  show();
  return [...buttons.map(({ button }) => button), said, note];
}
