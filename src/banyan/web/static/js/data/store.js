// The state of the application. Data flows one way: actions change the state, views are told and draw it.

/** A blank state: nobody is signed in. */
export const blankState = () => ({
  status: "starting", // starting | anonymous | signed-in
  route: { path: "/", params: {} },
  user: null, // the profile
  online: navigator.onLine,
  reachable: true, // did the server answer last time?
  live: false, // is the event stream open?
  loading: true, // nothing to show yet: neither a copy nor an answer
  base: { todos: new Map(), lists: new Map(), notifications: new Map(), unread: 0 }, // as the server said
  queue: [], // changes on their way
  todos: new Map(), // base with the queue laid over it: what is shown
  lists: new Map(),
  notifications: new Map(),
  unread: 0,
  stats: null,
  searchHits: { q: "", ids: new Set() },
  pages: {}, // next page per query; null = no more
  fieldErrors: new Map(), // to-do id → {field: message}, from a refused change
  notificationsNext: null,
});

/**
 * get() reads, set(changes) changes, subscribe(listener) hears about changes: listeners are called
 * once per batch of changes, before the next paint, with the set of changed names.
 */
export function createStore() {
  let state = blankState();
  let changed = null;
  const listeners = new Set();

  function flush() {
    const names = changed;
    changed = null;
    for (const listener of listeners) listener(state, names);
  }

  return {
    get: () => state,
    set(changes) {
      state = { ...state, ...changes };
      if (!changed) {
        changed = new Set();
        queueMicrotask(flush);
      }
      for (const name of Object.keys(changes)) changed.add(name);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
