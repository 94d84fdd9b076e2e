// Talks to the server. Knows: requests, the key, errors, event streams. Does not know: what is shown.

/**
 * `kind` names a message of i18n (`error.KIND`); `detail` is what the server said; `after` is in seconds; `body` is the
 * response's JSON, if it had any.
 */
export class ApiError extends Error {
  constructor(kind, { detail = "", after = 0, status = 0, body = null } = {}) {
    super(detail || kind);
    Object.assign(this, { kind, detail, after, status, body });
  }
}

const KEY = "damda.key";
let key = "";
try {
  key = sessionStorage.getItem(KEY) ?? "";
} catch {
  // Storage is forbidden: the key is asked for again after a reload.
}

let asking = null;
let askForKey = async () => "";

/** `ask(wrong)` gets a key from the person, or "". */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

function newKey() {
  asking ??= askForKey(Boolean(key)).then((given) => {
    asking = null;
    if (given) {
      key = given;
      try {
        sessionStorage.setItem(KEY, given);
      } catch {
        // Kept in memory only.
      }
    }
    return given;
  });
  return asking;
}

/** The response, if it is a good one. Asks for a key and repeats the request where one is needed. */
export async function request(path, { method = "GET", json, body, signal, accept, anew } = {}) {
  for (;;) {
    const headers = {};
    const used = key;
    if (used) headers.Authorization = `Bearer ${used}`;
    if (json !== undefined) headers["Content-Type"] = "application/json";
    if (accept) headers.Accept = accept;
    // With "no-store" browsers send Cache-Control: no-cache, and the service would make every answer anew.
    const cache = method === "POST" && !anew ? "default" : "no-store";
    let response;
    try {
      response = await fetch(path, { method, headers, signal, cache, credentials: "omit", body: json === undefined ? body : JSON.stringify(json) });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError("gone");
    }
    if (response.ok) return response;
    if (response.status === 401 && (used !== key || (await newKey()))) continue;
    throw await failure(response);
  }
}

export const get = async (path, options) => (await request(path, options)).json();
export const post = async (path, json, options) => (await request(path, { method: "POST", json, ...options })).json();

/**
 * Tries again while what is asked for is missing: a trace is written a moment after its answer, perhaps by another
 * process than the one that is asked.
 */
export async function patiently(ask, waits = [250, 500, 1000, 2000]) {
  for (const wait of waits) {
    try {
      return await ask();
    } catch (error) {
      if (error.kind !== "missing") throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
  return ask();
}

async function failure(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    // Not JSON: a proxy's page, perhaps. The status says enough.
  }
  const { status } = response;
  const kinds = { 401: "key", 403: "forbidden", 404: "missing", 413: "large", 429: "busy" };
  const kind = kinds[status] ?? (status >= 500 ? "server" : "refused");
  const detail = kind === "busy" || kind === "key" ? "" : (body?.error?.message ?? "");
  const after = Number.parseInt(response.headers.get("Retry-After") ?? "", 10) || 0;
  return new ApiError(kind, { detail, after, status, body });
}

/** What a person is told: [key of i18n, values]. */
export function explain(error) {
  if (!(error instanceof ApiError)) return ["error.refused", {}];
  if (error.kind === "busy") return error.after ? ["error.busy", { seconds: error.after }] : ["error.busySoon", {}];
  return [`error.${error.kind}`, {}];
}

/** The JSON of each `data:` line of an event stream. ApiError "broken" when it is cut off. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      const lines = (rest + (value ?? "")).split(/\r?\n/);
      rest = done ? "" : lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.slice(5).trim();
        if (data === "[DONE]") return;
        if (data) yield JSON.parse(data);
      }
      if (done) return;
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("broken");
  } finally {
    reader.cancel().catch(() => {}); // what is left is not wanted, and may be broken already
  }
}

export const query = (path, values) => {
  const pairs = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return pairs.length ? `${path}?${new URLSearchParams(pairs)}` : path;
};
