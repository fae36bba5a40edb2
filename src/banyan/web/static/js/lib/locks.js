// One tab at a time. The Web Locks API exists only in secure contexts (https, localhost); over plain
// http on a network address each tab stands alone, which the server's idempotency makes harmless.

const chains = new Map();

/** Run `work` while holding the lock called `name`, across all tabs of this browser. */
export function exclusively(name, work) {
  if (navigator.locks) return navigator.locks.request(name, work);
  const run = (chains.get(name) ?? Promise.resolve()).then(work, work);
  chains.set(name, run.catch(() => {}));
  return run;
}

/** A channel to the other tabs: post(message), and onmessage for what they say. */
export function tabChannel(name, onmessage) {
  if (!("BroadcastChannel" in window)) return { post() {}, close() {} };
  const channel = new BroadcastChannel(name);
  channel.onmessage = (event) => onmessage(event.data);
  return { post: (message) => channel.postMessage(message), close: () => channel.close() };
}
