// Live changes: one stream of Server-Sent Events, resumed at the last cursor.

import { readEvents } from "../lib/sse.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const SILENCE_MS = 40_000; // the server's heartbeat comes every 15 s
const HIDDEN_MS = 60_000;

/**
 * onEvent(event) gets {type, stream, position, subject, data, at}; onReset() means "load everything again":
 * it is called for the first connection too. onBye() comes before a stream that the server ends.
 * onUp(yes) says whether the stream is open. The stream is closed while the page is hidden for a minute:
 * browsers allow six connections a host over HTTP/1.1, and forgotten tabs must not use them up.
 */
export function createLive({ session, onEvent, onReset, onBye, onUp }) {
  let running = false;
  let cursor = null;
  let failures = 0;
  let floorMs = FIRST_WAIT_MS;
  let current = null; // AbortController of the open stream
  let wake = () => {};
  let hiddenTimer = 0;
  let asleep = false;

  async function connect() {
    current = new AbortController();
    let silence = 0;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => current?.abort(), SILENCE_MS);
    };
    try {
      const response = await open(current.signal);
      heard();
      for await (const message of readEvents(response.body, heard)) take(message);
    } finally {
      clearTimeout(silence);
      current = null;
      onUp(false);
    }
  }

  async function open(signal) {
    const ask = async () =>
      fetch("/events", {
        headers: { Authorization: `Bearer ${await session.token()}`, Accept: "text/event-stream", ...(cursor ? { "Last-Event-ID": cursor } : {}) },
        cache: "no-store",
        signal,
      });
    let response = await ask();
    if (response.status === 401) {
      await session.renew();
      response = await ask();
    }
    if (!response.ok) throw Object.assign(new Error(`The event stream answered ${response.status}.`), { status: response.status });
    return response;
  }

  function take({ event, data, id, retry }) {
    if (retry) floorMs = retry;
    const first = cursor === null;
    if (id) cursor = id;
    if (event === "ready") {
      failures = 0;
      onUp(true);
      if (first) onReset();
    } else if (event === "reset") {
      failures = 0;
      onUp(true);
      onReset();
    } else if (event === "bye") {
      onBye();
    } else if (data) {
      onEvent(JSON.parse(data));
    }
  }

  async function loop() {
    while (running) {
      if (asleep) await new Promise((resolve) => (wake = resolve));
      else {
        try {
          await connect();
        } catch (error) {
          if (error.status === 401) return; // the session has ended; whoever starts the next one starts us
        }
        if (running && !asleep) await pause();
      }
    }
  }

  // Full jitter: after a server restart its clients do not come back all at once.
  function pause() {
    const ceiling = Math.min(LONGEST_WAIT_MS, floorMs * 2 ** failures);
    failures += 1;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.random() * ceiling);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  function hurry() {
    failures = 0;
    wake();
  }

  function onVisibility() {
    clearTimeout(hiddenTimer);
    if (document.hidden) {
      hiddenTimer = setTimeout(() => {
        asleep = true;
        current?.abort();
      }, HIDDEN_MS);
    } else {
      asleep = false;
      hurry();
    }
  }

  return {
    start() {
      if (running) return;
      running = true;
      cursor = null;
      document.addEventListener("visibilitychange", onVisibility);
      addEventListener("online", hurry);
      loop();
    },
    stop() {
      running = false;
      document.removeEventListener("visibilitychange", onVisibility);
      removeEventListener("online", hurry);
      current?.abort();
      wake();
    },
    hurry,
    /** Is the stream still good? Connect anew, from the same cursor. */
    check: () => current?.abort(),
  };
}
