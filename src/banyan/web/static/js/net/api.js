// HTTP to the Banyan API: JSON in, JSON out, problems (RFC 9457) as ApiError.

import { newTrace } from "./trace.js";

const TIME_OUT_MS = 20_000;

/** The server answered, and refused. `errors` is [{pointer, detail}], the fields that it names. */
export class ApiError extends Error {
  constructor(status, problem, retryAfter) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.status = status;
    this.code = problem.code ?? "";
    this.errors = problem.errors ?? [];
    this.retryAfterSeconds = retryAfter;
  }

  /** Worth sending again later, unchanged. */
  get isTransient() {
    return this.status >= 500 || this.status === 408 || this.status === 425 || this.status === 429;
  }
}

/** No answer: offline, time-out, connection cut. What was asked may or may not have happened. */
export class NetworkError extends Error {
  get isTransient() {
    return true;
  }
}

/**
 * credentials: {token(), renew()} of the session, set after both exist.
 * onReachable(yes) hears whether the server answers.
 */
export function createApi({ onReachable }) {
  let credentials = null;

  async function send(method, path, { body, headers = {}, signal } = {}, token) {
    const sent = { Accept: "application/json", ...headers };
    if (body !== undefined) sent["Content-Type"] = "application/json";
    if (token) sent.Authorization = `Bearer ${token}`;
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), TIME_OUT_MS);
    const cancel = () => patience.abort();
    signal?.addEventListener("abort", cancel);
    try {
      const response = await fetch(path, {
        method,
        headers: sent,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: "same-origin",
        cache: "no-store",
        signal: patience.signal,
      });
      const text = await response.text();
      // A gateway that answers for a dead server counts as no server.
      onReachable(![502, 503, 504].includes(response.status));
      return { status: response.status, headers: response.headers, data: parse(text) };
    } catch (error) {
      if (signal?.aborted) throw error;
      onReachable(false);
      throw new NetworkError("The server cannot be reached.", { cause: error });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** One request. With `anonymous` no token is sent. A 401 is answered by one renewal and one repeat. */
  async function request(method, path, options = {}) {
    const trace = newTrace();
    const traced = () => ({ ...options, headers: { ...options.headers, ...trace() } });
    let answer = await send(method, path, traced(), options.anonymous ? null : await credentials.token());
    if (answer.status === 401 && !options.anonymous) {
      await credentials.renew();
      answer = await send(method, path, traced(), await credentials.token());
    }
    if (answer.status >= 400) throw problem(answer);
    return answer;
  }

  return {
    request,
    get: (path, options) => request("GET", path, options),
    post: (path, body, options) => request("POST", path, { ...options, body }),
    patch: (path, body, options) => request("PATCH", path, { ...options, body }),
    delete: (path, options) => request("DELETE", path, options),
    useCredentials(given) {
      credentials = given;
    },
  };
}

function parse(text) {
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    return { detail: text.slice(0, 200) };
  }
}

function problem({ status, data, headers }) {
  return new ApiError(status, data ?? {}, retryAfter(headers));
}

/** Seconds from a Retry-After header, which is a number or a date; null without one. */
export function retryAfter(headers) {
  const value = headers.get("Retry-After");
  if (!value) return null;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, Math.ceil((date - Date.now()) / 1000));
}

/** The address of the next page (RFC 8288), as a path of this site; null on the last page. */
export function nextPage(headers) {
  for (const part of (headers.get("Link") ?? "").split(/,\s*(?=<)/)) {
    const match = /^<([^>]*)>\s*;(.*)$/.exec(part);
    if (match && /\brel="?next"?/.test(match[2])) {
      const url = new URL(match[1], location.origin);
      return url.pathname + url.search;
    }
  }
  return null;
}

/** What to tell a person about an error, rate limits explained. */
export function explain(error) {
  if (error instanceof NetworkError) return "The server cannot be reached. Please check your connection and try again.";
  if (error.status === 429) {
    return error.retryAfterSeconds
      ? `Too many tries. Please wait ${waitText(error.retryAfterSeconds)}, then try again.`
      : "Too many tries. Please wait a moment, then try again.";
  }
  if (error.status >= 500) return "The server has a problem just now. Please try again in a moment.";
  return error.message;
}

function waitText(seconds) {
  if (seconds < 60) return `${Math.ceil(seconds)} seconds`;
  const minutes = Math.ceil(seconds / 60);
  return minutes === 1 ? "a minute" : `${minutes} minutes`;
}
