// The REST API, as every client sees it: JSON, the session's cookie, the CSRF token, RFC 9457 problems.

const body = document.body.dataset;

/** Where and as whom the page is. */
export const context = {
  base: body.base,
  org: body.org,
  role: body.role,
  user: { id: body.user, email: body.email },
};

let csrf = body.csrf;
let signingIn = null;

/** Why a request came to nothing; `errors` are those of single fields. */
export class ApiError extends Error {
  constructor(problem) {
    super(problem.detail || problem.title || "Something went wrong.");
    this.name = "ApiError";
    this.status = problem.status ?? 0;
    this.code = problem.code ?? "unknown";
    this.errors = problem.errors ?? [];
    this.requestId = problem.request_id;
    this.problem = problem;
  }
}

const UNREACHABLE = { status: 0, code: "unreachable", detail: "The server can't be reached. What you have entered is still here: try again." };
const SILENT = {
  status: 0, code: "timeout", detail: "The server hasn't answered for a minute. What you asked for may have happened all the same: look before you try again.",
};
/** How long an answer may take, in milliseconds. */
const PATIENCE = 60_000;

/** The path of something of the organization at hand. */
export function ofOrg(path) {
  return `/v1/orgs/${encodeURIComponent(context.org)}${path}`;
}

/** An address of one of our pages, with the organization where that has to be said: to people who belong to several. */
export function pageUrl(path, parameters = {}) {
  const query = new URLSearchParams();
  if (body.named) query.set("org", context.org);
  for (const [name, value] of Object.entries(parameters)) if (value) query.set(name, value);
  const text = query.toString();
  return `${context.base}${path}${text ? `?${text}` : ""}`;
}

/** Asks, and gives the answer's JSON (`null` when there is none). An ended session asks to sign in, and then goes on. */
export async function call(method, path, { query, json, headers = {}, signal } = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") parameters.set(name, value);
  }
  const text = parameters.toString();
  const address = `${context.base}${path}${text ? `?${text}` : ""}`;
  for (let attempt = 0; ; attempt += 1) {
    const sent = { ...headers };
    if (method !== "GET") sent["x-csrf-token"] = csrf;
    if (json !== undefined) sent["content-type"] = "application/json";
    let response;
    let answer;
    try {
      response = await fetch(address, {
        method, headers: sent, signal: AbortSignal.any([AbortSignal.timeout(PATIENCE), signal].filter(Boolean)), credentials: "same-origin", body: json === undefined ? undefined : JSON.stringify(json),
      });
      const content = await response.text();
      answer = content && response.headers.get("content-type")?.includes("json") ? JSON.parse(content) : null;
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (error.name === "TimeoutError") throw new ApiError(SILENT);
      throw new ApiError(UNREACHABLE);
    }
    if (response.ok) return answer;
    const error = new ApiError({ ...answer, status: response.status });
    if (attempt < 2 && response.status === 401) {
      await signInAgain();
    } else if (attempt < 2 && error.code === "csrf_token_invalid") {
      // Somebody has signed in again in another tab.
      await take(await call("GET", "/v1/session"));
    } else {
      throw error;
    }
  }
}

export const get = (path, query, options) => call("GET", path, { query, ...options });
export const post = (path, json, options) => call("POST", path, { json, ...options });
export const patch = (path, json, options) => call("PATCH", path, { json, ...options });
export const put = (path, json, options) => call("PUT", path, { json, ...options });
export const remove = (path, options) => call("DELETE", path, options);

/** The items of all pages of a list, up to a bound; `more` says that there are others. */
export async function all(path, query = {}, most = 1000) {
  const items = [];
  let cursor;
  do {
    const page = await get(path, { limit: 200, ...query, cursor });
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor && items.length < most);
  items.more = Boolean(cursor);
  return items;
}

/** Several requests find at once that the session has ended: one dialog asks. */
function signInAgain() {
  signingIn ??= import("./dialog.js")
    .then(({ askToSignIn }) => askToSignIn(context.user.email, async (email, password) => {
      const response = await fetch(`${context.base}/v1/session`, {
        method: "POST", credentials: "same-origin", headers: { "content-type": "application/json" },
        body: JSON.stringify({ email, password }),
      }).catch(() => { throw new ApiError(UNREACHABLE); });
      // What stands in between may answer with a page of its own.
      const answer = await response.json().catch(() => { throw new ApiError(UNREACHABLE); });
      if (!response.ok) throw new ApiError({ ...answer, status: response.status });
      await take(answer);
    }))
    .finally(() => { signingIn = null; });
  return signingIn;
}

/** Goes on with a session. When it is another person's, what is on the page isn't theirs: nothing goes on, the page is loaded anew. */
function take(session) {
  if (session.user.id !== context.user.id) {
    location.reload();
    return new Promise(() => {});
  }
  csrf = session.csrf_token;
  // "Sign out" is a form of the page.
  for (const input of document.querySelectorAll("input[name=csrf_token]")) input.value = csrf;
  return undefined;
}
