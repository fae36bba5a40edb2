// What the server said last, in memory and in the offline copy. Everything that comes from the
// server goes through here: answers, live events, and what another tab has been told.

import { overlay } from "./overlay.js";

/**
 * Every change is applied to the base and shown in one step, together with `queue` when the
 * caller changes that too, so that an accepted change never flickers.
 */
export function createBase({ store, db }) {
  const base = store.get().base;
  // Removed to-dos stay removed, although an answer that was already on its way may still hold them.
  const buried = new Set();
  const touchedAt = new Map();
  let clock = 0;

  function show(queue = store.get().queue) {
    store.set({ base, queue, ...overlay(base, queue) });
  }

  // The copy is a convenience: when the disk is full the application goes on without it.
  const keep = (promise) => promise.catch(() => {});

  function upsert(kind, rows) {
    const taken = [];
    for (const row of rows) {
      if (kind === "todos" && buried.has(row.id)) continue;
      const held = base[kind].get(row.id);
      if (held?.version > row.version) continue;
      const merged = { ...held, ...row };
      base[kind].set(row.id, merged);
      touchedAt.set(row.id, (clock += 1));
      taken.push(merged);
    }
    keep(db.put(kind, taken));
  }

  function remove(kind, ids) {
    for (const id of ids) {
      base[kind].delete(id);
      if (kind === "todos") buried.add(id);
    }
    keep(db.remove(kind, ids));
  }

  const EFFECTS = {
    readAll() {
      upsert("notifications", [...base.notifications.values()].filter((each) => !each.read).map((each) => ({ ...each, read: true })));
      base.unread = 0;
    },
    clearRead() {
      remove("notifications", [...base.notifications.values()].filter((each) => each.read).map((each) => each.id));
    },
    listGone(id) {
      upsert("todos", [...base.todos.values()].filter((todo) => todo.list_id === id).map((todo) => ({ ...todo, list_id: null })));
    },
  };

  /** change = {upserts: {todos: […]}, removes: {todos: [ids]}, unread, effects: [[name, argument]]}, all optional. */
  function apply(change, queue) {
    for (const [kind, rows] of Object.entries(change.upserts ?? {})) upsert(kind, rows);
    for (const [kind, ids] of Object.entries(change.removes ?? {})) remove(kind, ids);
    if (change.unread !== undefined) base.unread = Math.max(0, change.unread);
    for (const [name, argument] of change.effects ?? []) EFFECTS[name](argument);
    show(queue);
  }

  return {
    apply,
    show,
    row: (kind, id) => base[kind].get(id),
    get unread() {
      return base.unread;
    },
    /** Forget that a to-do was removed: the server says that it has been created. */
    unbury: (id) => buried.delete(id),

    /** A mark for replaceAll: what is touched after it is newer than an answer asked for now. */
    mark: () => clock,

    /** Make a kind hold exactly `rows`, except for what has been touched since the mark. */
    replaceAll(kind, rows, mark) {
      const ids = new Set(rows.map((row) => row.id));
      for (const id of [...base[kind].keys()]) if (!ids.has(id) && !(touchedAt.get(id) > mark)) base[kind].delete(id);
      upsert(kind, rows);
      keep(db.replace(kind, [...base[kind].values()]));
      show();
    },

    /** Fill the base from the offline copy. */
    async restore() {
      for (const kind of ["todos", "lists", "notifications"]) for (const row of await db.all(kind)) base[kind].set(row.id, row);
      base.unread = (await db.meta("unread")) ?? 0;
    },
  };
}
