// All that belongs to one signed-in user: the offline copy, the queue, the loader and the live stream.

import { createActions } from "./data/actions.js";
import { createBase } from "./data/base.js";
import { createCommands } from "./data/commands.js";
import { openDb } from "./data/db.js";
import { createLoader } from "./data/loader.js";
import { blankState } from "./data/store.js";
import { createQueue } from "./data/sync-queue.js";
import { useLocale } from "./lib/format.js";
import { createLive } from "./net/live.js";

const STREAM_PATIENCE_MS = 2_000;
const RELOAD_MS = 4_000;

/**
 * Open the user's workspace: the offline copy shows at once, the network follows.
 * hooks: onAccepted(op, result), onRefused(op, error), onThrottled(error), onArrival(notification), onSessionEvent(event), onChannelEvent(event).
 */
export async function openWorkspace({ api, session, store, userId, hooks }) {
  const db = await openDb(userId);
  store.set({ base: blankState().base });
  const base = createBase({ store, db });
  const queue = createQueue({
    db, userId, store, base,
    execute: createCommands(api),
    onAccepted(op, result) {
      if (result.recount) loader.refreshUnread();
      hooks.onAccepted(op, result);
    },
    onRefused: hooks.onRefused,
    onThrottled: hooks.onThrottled,
  });
  const loader = createLoader({ api, store, db, base, onSessionEvent: hooks.onSessionEvent, onChannelEvent: hooks.onChannelEvent, onArrival: hooks.onArrival });
  const live = createLive({
    session,
    onEvent: loader.onEvent,
    onReset: load,
    // A revoked session finds out by renewing; a draining server simply renews.
    onBye: () => session.renew().catch(() => {}),
    onUp(up) {
      // Better evidence than navigator.onLine, which knows nothing of a server on this very machine.
      store.set(up ? { live: true, reachable: true, online: true } : { live: false });
      if (up) queue.kick();
    },
  });

  // The stream comes first, so that nothing falls between loading and listening. Where it does not
  // open (a proxy that buffers streams), loading must not wait for it.
  let patience = 0;
  let closed = false;
  async function load() {
    clearTimeout(patience);
    try {
      await loader.reload();
    } catch (error) {
      if (error.isTransient && !closed) patience = setTimeout(load, RELOAD_MS * (1 + Math.random()));
    }
  }

  await base.restore();
  const [profile, stats, ops] = await Promise.all([db.meta("profile"), db.meta("stats"), queue.restore()]);
  if (profile) useLocale(profile);
  const copied = store.get().base.todos.size > 0 || profile !== null;
  store.set({ user: profile, stats, loading: !copied });
  base.show(ops);

  const onOnline = () => {
    queue.kick();
    live.hurry();
  };

  return {
    actions: createActions({ store, queue }),
    queue,
    loader,

    /** Go live: connect, load, send what waits. */
    start() {
      addEventListener("online", onOnline);
      addEventListener("offline", live.check);
      live.start();
      queue.kick();
      patience = setTimeout(load, STREAM_PATIENCE_MS);
    },

    /** Close. The offline copy stays; with `wipe` it is removed, unsent changes excepted. */
    async close({ wipe = false } = {}) {
      removeEventListener("online", onOnline);
      removeEventListener("offline", live.check);
      closed = true;
      clearTimeout(patience);
      live.stop();
      queue.close();
      if (wipe) await db.wipeCopy().catch(() => {});
      db.close();
    },
  };
}
