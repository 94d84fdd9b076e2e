// The words of the page, in Korean and English. Knows: languages and elements that say something. Does not know: views.

/** key: [Korean, English]. `{n}` is filled in; `{n|one|many}` chooses by number. */
export const MESSAGES = {
  "brand": ["담다", "damda"],
  "views": ["보기", "Views"],
  "skip": ["본문으로 건너뛰기", "Skip to content"],
  "view.ask": ["질문", "Ask"],
  "view.documents": ["문서", "Documents"],
  "view.search": ["검색", "Search"],
  "view.traces": ["기록", "Traces"],
  "theme": ["밝게 또는 어둡게", "Light or dark"],
  "language.other": ["English", "한국어"],
  "language.label": ["Switch to English", "한국어로 바꾸기"],
  "close": ["닫기", "Close"],
  "cancel": ["취소", "Cancel"],
  "again": ["다시 시도", "Try again"],
  "panel.body": ["내용", "Content"],

  "welcome.title": ["무엇이 궁금하세요?", "What would you like to know?"],
  "welcome.lead": ["문서에 적힌 말 그대로, 적힌 자리와 함께 답합니다.", "Answers in the words of your documents, with the place where they stand."],
  "welcome.stored": ["{name} · 문서 {documents}개", "{name} · {documents} {documents|document|documents}"],
  "welcome.pending": ["아직 읽지 않은 파일 {pending}개", "{pending} {pending|file|files} not read yet"],
  "welcome.empty": ["아직 문서가 없습니다.", "There are no documents yet."],
  "welcome.add": ["문서 올리기", "Add documents"],

  "ask.placeholder": ["문서에 물어보세요", "Ask your documents"],
  "ask.label": ["질문", "Question"],
  "ask.send": ["보내기", "Send"],
  "ask.stop": ["멈추기", "Stop"],
  "ask.keys": ["Enter 보내기 · Shift+Enter 줄 바꿈 · / 질문 칸으로", "Enter sends · Shift+Enter new line · / back to the question"],
  "ask.fresh": ["새 대화", "New conversation"],
  "ask.asked": ["이렇게 찾았습니다", "Searched for"],
  "ask.searching": ["문서에서 찾는 중", "Looking through the documents"],
  "ask.stopped": ["여기서 멈췄습니다.", "Stopped here."],
  "ask.ready": ["답이 나왔습니다. 인용 {n}개.", "The answer is here, with {n} {n|quote|quotes}."],
  "ask.notFound": ["문서에서 답을 찾지 못했습니다", "The documents do not answer this"],
  "ask.nearest": ["가장 가까운 대목입니다. 답이 아닐 수 있습니다.", "The nearest passages. They may not answer it."],
  "ask.sources": ["출처", "Sources"],
  "ask.unsupported": ["근거 없음", "unsupported"],
  "ask.unsupportedHint": ["이 문장을 뒷받침하는 대목이 문서에 없습니다.", "No passage of the documents supports this sentence."],
  "ask.unsupportedCount": ["문서에 근거가 없는 문장이 {n}개 있습니다.", "{n} {n|sentence has|sentences have} no support in the documents."],
  "ask.cached": ["기억해 둔 답입니다.", "This answer was remembered."],
  "ask.cachedFor": ["“{question}”에 했던 답입니다.", "This is the answer to “{question}”."],
  "ask.anew": ["새로 답하기", "Answer anew"],
  "ask.masked": ["규칙에 따라 가린 것이 있습니다: {what}", "Masked by a rule: {what}"],
  "ask.planted": ["답에 쓴 대목에 지시처럼 쓴 말이 있습니다. 자료로만 읽었습니다.", "A passage has words in it that look like instructions. They were read as data only."],
  "kind.rrn": ["주민등록번호", "resident registration number"],
  "kind.frn": ["외국인등록번호", "foreigner's registration number"],
  "kind.brn": ["사업자등록번호", "business registration number"],
  "kind.driver": ["운전면허번호", "driver's licence number"],
  "kind.passport": ["여권번호", "passport number"],
  "kind.card": ["카드번호", "card number"],
  "kind.account": ["계좌번호", "account number"],
  "kind.phone": ["전화번호", "telephone number"],
  "kind.email": ["전자우편 주소", "e-mail address"],
  "kind.address": ["주소", "postal address"],
  "kind.plate": ["차량번호", "number plate"],
  "kind.ip": ["IP 주소", "IP address"],
  "kind.name": ["이름", "name"],
  "ask.quote": ["인용 {n}: {source}", "Quote {n}: {source}"],
  "ask.copy": ["출처와 함께 복사", "Copy with sources"],
  "ask.copied": ["복사했습니다", "Copied"],
  "ask.notCopied": ["브라우저가 복사를 막았습니다", "The browser did not allow copying"],
  "ask.trace": ["어떻게 만들었나", "How was this made"],
  "ask.up": ["좋은 답", "Good answer"],
  "ask.down": ["아쉬운 답", "Bad answer"],
  "ask.comment": ["한마디 남기기 (선택)", "Add a comment (optional)"],
  "ask.commentSend": ["남기기", "Send"],
  "ask.thanks": ["고맙습니다. 기록과 함께 남겼습니다.", "Thank you. It is kept with the trace."],

  "place.page": ["{page}쪽", "p. {page}"],
  "document.quotes": ["인용 {n}/{total}", "Quote {n} of {total}"],
  "document.previous": ["앞 인용", "Previous quote"],
  "document.next": ["다음 인용", "Next quote"],
  "document.loading": ["문서를 여는 중", "Opening the document"],
  "document.moved": ["문서가 바뀌어 이 대목이 다른 자리로 옮겨졌습니다.", "The document has changed; this passage has moved."],
  "document.gone": ["문서가 바뀌어 이 대목이 더는 없습니다.", "The document has changed; this passage is no longer in it."],
  "document.before": ["앞부분 보기", "Show what comes before"],
  "document.after": ["뒷부분 보기", "Show what comes after"],
  "document.empty": ["글이 없는 문서입니다.", "This document has no text."],

  "documents.count": ["{n}개", "{n}"],
  "documents.filter": ["이름으로 찾기", "Filter by name"],
  "documents.upload": ["올리기", "Upload"],
  "documents.reindex": ["다시 읽기", "Re-index"],
  "documents.drop": ["여기에 놓으면 올립니다", "Drop files to upload them"],
  "documents.uploaded": ["올린 파일", "uploaded"],
  "documents.delete": ["지우기: {name}", "Delete {name}"],
  "documents.deleteSure": ["‘{name}’ 파일을 지울까요? 되돌릴 수 없습니다.", "Delete “{name}”? This cannot be undone."],
  "documents.deleteYes": ["지우기", "Delete"],
  "documents.none": ["문서가 없습니다.", "No documents."],
  "documents.noneFound": ["그런 이름의 문서가 없습니다.", "No document has such a name."],
  "documents.failed": ["읽지 못한 파일 {n}개", "{n} {n|file|files} could not be read"],
  "documents.range": ["{from}–{to} / {total}", "{from}–{to} of {total}"],
  "documents.previous": ["이전", "Previous"],
  "documents.next": ["다음", "Next"],

  "work.upload": ["파일 {n}개를 올리는 중", "Uploading {n} {n|file|files}"],
  "work.delete": ["지우는 중", "Deleting"],
  "work.index": ["바뀐 파일을 찾는 중", "Looking for changes"],
  "work.waiting": ["다른 작업이 끝나기를 기다리는 중", "Waiting for another run to end"],
  "work.reading and encoding": ["읽고 색인하는 중", "Reading and indexing"],
  "work.building indexes": ["색인을 마무리하는 중", "Finishing the index"],
  "work.making the encoder": ["언어 모델을 준비하는 중", "Preparing the encoder"],
  "work.checking weights": ["언어 모델을 확인하는 중", "Checking the encoder"],
  "work.saved": ["{n}개를 올렸습니다.", "{n} {n|file|files} uploaded."],
  "work.deleted": ["지웠습니다.", "Deleted."],
  "work.indexed": ["색인이 최신입니다.", "The index is up to date."],
  "work.changed": ["파일 {read}개를 읽고 {removed}개를 뺐습니다.", "{read} {read|file|files} read, {removed} removed."],
  "work.refused": ["{n}개는 받지 못했습니다.", "{n} could not be taken."],
  "work.unread": ["{n}개는 읽지 못했습니다.", "{n} could not be read."],
  "work.tooLarge": ["한 번에 {limit}까지 올릴 수 있습니다. 고른 파일은 {size}입니다.", "At most {limit} at once; these are {size}."],
  "work.hide": ["알림 닫기", "Dismiss"],

  "search.lead": ["한 물음을 여러 방법으로 찾아 나란히 봅니다", "One query, every way of searching, side by side"],
  "search.placeholder": ["찾을 말", "Words or a question"],
  "search.label": ["찾을 말", "Query"],
  "search.go": ["찾기", "Search"],
  "search.none": ["찾은 대목이 없습니다.", "Nothing found."],
  "search.searching": ["찾는 중", "Searching"],
  "search.found": ["찾았습니다.", "Results are here."],
  "search.hint": ["대목에 올리거나 초점을 두면 다른 방법에서의 순위가 함께 보입니다.", "Point at a passage, or focus it, to see where the other ways rank it."],
  "mode.bm25": ["BM25", "BM25"],
  "mode.dense": ["의미", "Dense"],
  "mode.hybrid": ["하이브리드", "Hybrid"],
  "mode.rerank": ["리랭크", "Rerank"],
  "mode.rrf": ["RRF", "RRF"],
  "mode.convex": ["볼록 결합", "Convex"],
  "mode.bm25.about": ["낱말이 얼마나 겹치는지", "words in common"],
  "mode.dense.about": ["뜻이 얼마나 가까운지", "closeness in meaning"],
  "mode.hybrid.about": ["두 가지를 합쳐서", "both together"],
  "mode.rerank.about": ["물음과 대목을 함께 읽어서", "question and passage read together"],
  "mode.rrf.about": ["순위를 합쳐서", "ranks added up"],
  "mode.convex.about": ["점수를 나누어 합쳐서", "scores weighted"],

  "traces.lead": ["답 하나하나가 어떻게 만들어졌는지", "How each answer was made"],
  "traces.none": ["아직 기록이 없습니다.", "There are no traces yet."],
  "traces.off": ["기록이 꺼져 있습니다 (trace.on).", "Traces are switched off (trace.on)."],
  "traces.noQuestion": ["질문은 남기지 않음", "question not kept"],
  "traces.found": ["답함", "answered"],
  "traces.notFound": ["못 찾음", "not found"],
  "traces.more": ["더 보기", "More"],
  "traces.again": ["새로 고침", "Refresh"],
  "traces.tokens": ["토큰 {input} → {output}", "{input} → {output} tokens"],
  "traces.quotes": ["인용 {n}", "{n} {n|quote|quotes}"],
  "trace.title": ["답이 만들어진 과정", "How it was made"],
  "trace.loading": ["기록을 여는 중", "Opening the trace"],
  "trace.passages": ["찾은 대목", "Passages retrieved"],
  "trace.failed": ["실패", "failed"],
  "trace.cancelled": ["멈춤", "cancelled"],
  "trace.unfinished": ["끝나지 않음", "unfinished"],
  "trace.span": ["{name}, {seconds}", "{name}, {seconds}"],
  "trace.hint": ["막대를 누르면 자세한 내용이 펼쳐집니다.", "Press a bar for its details."],
  "trace.empty": ["남은 단계가 없습니다.", "No steps were kept."],

  "key.title": ["API 키가 필요합니다", "An API key is needed"],
  "key.text": ["이 서버는 키를 가진 사람에게만 답합니다. 키는 이 탭을 닫을 때까지만 기억합니다.", "This server answers only with a key. It is remembered until this tab is closed."],
  "key.wrong": ["그 키로는 들어갈 수 없습니다. 다시 확인해 주세요.", "That key was not accepted. Please check it."],
  "key.label": ["API 키", "API key"],
  "key.use": ["사용", "Use it"],

  "error.gone": ["서버에 닿지 않습니다. damda serve가 켜져 있는지 확인해 주세요.", "The server cannot be reached. Is damda serve still running?"],
  "error.broken": ["답이 오다가 끊겼습니다.", "The answer was cut off on its way."],
  "error.busy": ["지금은 물음이 많이 밀려 있습니다. {seconds}초 뒤에 다시 해 보세요.", "Many questions are waiting. Try again in {seconds} {seconds|second|seconds}."],
  "error.busySoon": ["지금은 물음이 많이 밀려 있습니다. 잠시 뒤에 다시 해 보세요.", "Many questions are waiting. Try again in a moment."],
  "error.key": ["API 키가 없어 답을 받지 못했습니다.", "Without an API key there is no answer."],
  "error.forbidden": ["서버가 이 요청을 받아들이지 않습니다.", "The server does not allow this."],
  "error.missing": ["찾는 것이 더는 없습니다.", "What you are looking for is no longer there."],
  "error.large": ["서버가 받기에는 너무 큽니다.", "That is more than the server takes."],
  "error.server": ["서버에 문제가 생겼습니다.", "Something went wrong on the server."],
  "error.refused": ["서버가 이 요청을 처리하지 못했습니다.", "The server could not do this."],
};

const root = document.documentElement;
const params = new WeakMap();

export const language = () => (root.lang === "ko" ? "ko" : "en");

/** The message in the current language. Numbers are written as the language does. */
export function t(key, values = {}) {
  const pair = MESSAGES[key];
  if (!pair) return key;
  return pair[language() === "ko" ? 0 : 1].replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (_, name, one, many) => {
    const value = typeof values[name] === "function" ? values[name]() : values[name];
    if (one !== undefined) return value === 1 ? one : many;
    return typeof value === "number" ? number(value) : (value ?? "");
  });
}

export const known = (key) => key in MESSAGES;

export function number(value, digits = 0) {
  return new Intl.NumberFormat(language(), { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
}

/** 0.0123 -> "12 ms"; 3.2 -> "3.2 s". */
export function duration(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return "–";
  const ms = seconds * 1000;
  if (ms < 1000) return `${number(ms, ms < 10 ? 1 : 0)} ms`;
  return language() === "ko" ? `${number(seconds, 1)}초` : `${number(seconds, 1)} s`;
}

export function bytes(count) {
  return count < 1e6 ? `${number(Math.max(1, count / 1e3))} kB` : `${number(count / 1e6, count < 1e7 ? 1 : 0)} MB`;
}

export function moment(unix) {
  const date = new Date(unix * 1000);
  const today = date.toDateString() === new Date().toDateString();
  const day = today ? {} : { month: "short", day: "numeric" };
  return new Intl.DateTimeFormat(language(), { ...day, hour: "2-digit", minute: "2-digit", hour12: false }).format(date);
}

const KINDS = {
  t: (element, text) => { element.textContent = text; },
  tLabel: (element, text) => {
    element.setAttribute("aria-label", text);
    if (element.tagName === "BUTTON") element.title = text;
  },
  tPlaceholder: (element, text) => { element.placeholder = text; },
};

/** The element says this, now and after a change of language. Values may be functions, called each time. */
export function say(element, key, values = {}) {
  return put(element, "t", key, values);
}

/** The same for the name that a screen reader says, and a button's tooltip. */
export function name(element, key, values = {}) {
  return put(element, "tLabel", key, values);
}

function put(element, kind, key, values) {
  element.dataset[kind] = key;
  params.set(element, { ...params.get(element), [kind]: values });
  KINDS[kind](element, t(key, values));
  return element;
}

export function setLanguage(chosen) {
  root.lang = chosen;
  try {
    localStorage.setItem("damda.language", chosen);
  } catch {
    // Not remembered where storage is forbidden; it still holds for this visit.
  }
  translate();
}

export function translate() {
  document.title = t("brand");
  const attribute = { t: "data-t", tLabel: "data-t-label", tPlaceholder: "data-t-placeholder" };
  for (const [kind, set] of Object.entries(KINDS)) {
    for (const element of document.querySelectorAll(`[${attribute[kind]}]`)) {
      set(element, t(element.dataset[kind], params.get(element)?.[kind]));
    }
  }
}
