// The queue of changes: every change the user makes goes through it, online or not.
//
//   queued ──sent──▶ accepted   leaves the queue, its result goes into the base
//     ▲        │
//     │        ├───▶ refused    (4xx) leaves the queue, the user is told
//     └────────┘ unreachable    (no answer, 5xx, 429) stays, tried again with backoff
//
// A change is written to IndexedDB before it is sent and taken out after it was answered, so a reload
// or a crash repeats at most one request; ids made here, If-Match and Idempotency-Key make the
// repeat harmless. One tab sends at a time (a Web Lock), in the order of `seq`.

import { exclusively, tabChannel } from "../lib/locks.js";
import { newId } from "../lib/uuid.js";

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;

/**
 * execute(op) sends one change and resolves with {change, versions, conflict}; it throws when the server
 * refuses or cannot be reached. onAccepted(op, result) and onRefused(op, error) are for telling the user.
 */
export function createQueue({ db, userId, store, base, execute, onAccepted, onRefused, onThrottled }) {
  let draining = false;
  let again = false;
  let closed = false;
  let failures = 0;
  let timer = 0;
  // Version by subject, as our own last accepted change left it. A change that was made while that answer was still on
  // its way to the screen carries the version before; without this the server would take it for somebody else's.
  const own = new Map();

  const tabs = tabChannel(`banyan:queue:${userId}`, (message) => {
    if (message.type === "queued") put(message.op);
    else if (message.type === "settled") leave(message.op, message.result ?? {});
  });

  const ops = () => store.get().queue;

  function put(op) {
    if (!ops().some((each) => each.key === op.key)) base.show([...ops(), op]);
  }

  // Take a change out of the shown queue; its result and its leaving are drawn together.
  function leave(op, { change = {}, versions = {} }) {
    for (const [id, version] of Object.entries(versions)) own.set(id, version);
    base.apply(change, ops().filter((each) => each.key !== op.key));
  }

  const standing = (op) => (op.version < own.get(op.id) ? { ...op, version: own.get(op.id) } : op);

  async function settle(op, result) {
    await db.settle([op.seq], result.versions);
    leave(op, result);
    tabs.post({ type: "settled", op, result: { change: result.change, versions: result.versions } });
  }

  async function drain() {
    again = true;
    if (draining || closed) return;
    draining = true;
    clearTimeout(timer);
    try {
      while (again && !closed) {
        again = false;
        await exclusively(`banyan-queue-${userId}`, sendAll);
      }
    } finally {
      draining = false;
    }
  }

  async function sendAll() {
    while (!closed) {
      const stored = await db.all("queue");
      const { op, wakeAt } = nextDue(stored, Date.now());
      if (!op) {
        if (wakeAt) retryAt(wakeAt);
        return;
      }
      try {
        const result = await execute(standing(op));
        failures = 0;
        await settle(op, result);
        onAccepted(op, result);
      } catch (error) {
        if (closed || error.status === 401) return; // the session is over; the next one goes on from here
        if (error.isTransient) return backOff(error);
        await refuse(op, stored, error);
      }
    }
  }

  // What was built on a refused creation would be refused too.
  async function refuse(op, stored, error) {
    const lost = op.kind.endsWith(".create") ? stored.filter((each) => each.id === op.id) : [op];
    for (const each of lost) await settle(each, {});
    onRefused(op, error);
  }

  function backOff(error) {
    const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures);
    failures += 1;
    if (error.status === 429) onThrottled(error);
    const asked = (error.retryAfterSeconds ?? 0) * 1000;
    retryAt(Date.now() + asked + Math.max(FIRST_WAIT_MS / 2, Math.random() * ceiling));
  }

  function retryAt(instant) {
    clearTimeout(timer);
    timer = setTimeout(drain, Math.max(0, instant - Date.now()) + 10);
  }

  return {
    /** Show a change at once and send it as soon as can be. Resolves with its key when it is safe on the disk. */
    async add(change) {
      const op = { ...change, key: newId(), at: new Date().toISOString() };
      put(op);
      let seq;
      try {
        seq = await db.enqueue(op);
      } catch {
        // A full disk: better to say so now than to show what a reload would lose.
        leave(op, {});
        onRefused(op, { message: "this browser has no room to keep it.", errors: [] });
        return op.key;
      }
      const stored = { ...op, seq };
      tabs.post({ type: "queued", op: stored });
      drain();
      return op.key;
    },

    /** Take back a change that is still held (notBefore). False when it is too late. */
    async cancel(key) {
      const op = (await db.all("queue")).find((each) => each.key === key);
      if (!op || !(op.notBefore > Date.now())) return false;
      await settle(op, {});
      return true;
    },

    /** Send what is held now, for example before a logout. */
    async release() {
      for (const op of await db.all("queue")) if (op.notBefore) await db.updateOp({ ...op, notBefore: undefined });
      await drain();
    },

    /** The queue as the last visit left it. */
    restore: async () => db.all("queue"),

    /** Try now: the network is back. */
    kick() {
      failures = 0;
      drain();
    },

    close() {
      closed = true;
      clearTimeout(timer);
      tabs.close();
    },
  };
}

/** The first change that may be sent. One that is held keeps back later changes of the same subject only. */
export function nextDue(stored, now) {
  const held = new Set();
  let wakeAt = null;
  for (const op of stored) {
    const subjects = op.ids ?? [op.id];
    if (op.notBefore > now) {
      wakeAt = Math.min(wakeAt ?? Infinity, op.notBefore);
      subjects.forEach((id) => held.add(id));
    } else if (!subjects.some((id) => held.has(id))) return { op, wakeAt };
    else subjects.forEach((id) => held.add(id));
  }
  return { op: null, wakeAt };
}
