// What a user can do with to-dos, lists and notifications. Each is one queued change (see sync-queue.js):
// it shows at once and reaches the server when it can.

import { newId } from "../lib/uuid.js";
import { byOrder } from "./selectors.js";

export const UNDO_MS = 5_000;
// A deletion is sent a little after its undo button has gone, so that a last-moment click still counts.
const HOLD_MS = UNDO_MS + 600;
const BATCH = 500;
const GAP = 1024;

const BLANK = { completed: false, order: null, notes: null, due_at: null, remind_at: null, priority: 0, labels: [], list_id: null };

export function createActions({ store, queue }) {
  const todo = (id) => store.get().todos.get(id);
  const heldUntil = () => Date.now() + HOLD_MS;

  const before = (row, changes) => Object.fromEntries(Object.keys(changes).map((field) => [field, row[field]]));

  /** Without what stays the same; null when nothing is left. */
  function differing(row, changes) {
    const entries = Object.entries(changes).filter(([field, value]) => JSON.stringify(row[field]) !== JSON.stringify(value));
    return entries.length ? Object.fromEntries(entries) : null;
  }

  const actions = {
    /** Create a to-do from its fields; its id, known at once. */
    addTodo(fields) {
      const id = newId();
      const now = new Date().toISOString();
      const shown = { ...BLANK, ...fields, id, created_at: now, updated_at: now, completed_at: null, version: 0 };
      queue.add({ kind: "todo.create", id, title: fields.title, body: { id, ...fields }, todo: shown });
      return id;
    },

    patchTodo(id, wanted) {
      const row = todo(id);
      const changes = row && differing(row, wanted);
      if (!changes) return;
      const errors = new Map(store.get().fieldErrors);
      if (errors.delete(id)) store.set({ fieldErrors: errors });
      queue.add({ kind: "todo.patch", id, title: row.title, changes, before: before(row, changes), version: row.version });
    },

    toggleTodo: (id) => actions.patchTodo(id, { completed: !todo(id).completed }),

    /** Delete to-dos, held for as long as undo is offered. Resolves with an undo function: false when too late. */
    async removeTodos(ids) {
      const keys = [];
      if (ids.length === 1) keys.push(await queue.add({ kind: "todo.delete", id: ids[0], title: todo(ids[0])?.title ?? "", notBefore: heldUntil() }));
      else {
        for (let start = 0; start < ids.length; start += BATCH) {
          const some = ids.slice(start, start + BATCH);
          keys.push(await queue.add({ kind: "todo.deleteMany", ids: some, title: `${some.length} to-dos`, notBefore: heldUntil() }));
        }
      }
      return async () => (await Promise.all(keys.map((key) => queue.cancel(key)))).every(Boolean);
    },

    /**
     * Put an open to-do before another (null: to the end of `shown`, the ids in view).
     * `order` values leave gaps; usually one to-do changes. To-dos without an order stand before all others,
     * so those below the new place are given one.
     */
    moveTodo(id, beforeId, shown) {
      const all = [...store.get().todos.values()].filter((each) => !each.completed && each.id !== id).sort(byOrder);
      let at = beforeId ? all.findIndex((each) => each.id === beforeId) : -1;
      if (at < 0) {
        const last = shown.filter((each) => each !== id).at(-1);
        at = last ? all.findIndex((each) => each.id === last) + 1 : all.length;
      }
      const moves = ordersFor(todo(id), all, at);
      if (moves.length === 1) actions.patchTodo(id, { order: moves[0].order });
      else {
        for (let start = 0; start < moves.length; start += BATCH) {
          queue.add({ kind: "todo.reorder", moves: moves.slice(start, start + BATCH), title: todo(id).title });
        }
      }
    },

    addList(name, color) {
      const id = newId();
      const now = new Date().toISOString();
      queue.add({ kind: "list.create", id, title: name, body: { id, name, color }, list: { id, name, color, created_at: now, updated_at: now, version: 0 } });
      return id;
    },

    patchList(id, wanted) {
      const row = store.get().lists.get(id);
      const changes = row && differing(row, wanted);
      if (changes) queue.add({ kind: "list.patch", id, title: row.name, changes, before: before(row, changes), version: row.version });
    },

    removeList: (id) => queue.add({ kind: "list.delete", id, title: store.get().lists.get(id)?.name ?? "" }),

    markNotification(id, read) {
      if (store.get().notifications.get(id)?.read !== read) queue.add({ kind: "notification.patch", id, read, title: "Notification" });
    },
    readAllNotifications: () => queue.add({ kind: "notification.readAll", title: "Notifications" }),
    removeNotification: (id) => queue.add({ kind: "notification.delete", id, title: "Notification" }),
    clearReadNotifications: () => queue.add({ kind: "notification.clearRead", title: "Notifications" }),
  };
  return actions;
}

/** The changes of `order` that put `moved` at index `at` of `others` (sorted): [{id, order}]. */
export function ordersFor(moved, others, at) {
  const previous = others[at - 1];
  const below = others.slice(at);
  const unordered = below.filter((each) => each.order === null);
  if (!unordered.length) {
    const next = below[0];
    if (!previous || previous.order === null) return [{ id: moved.id, order: next ? next.order - GAP : 0 }];
    if (!next) return [{ id: moved.id, order: previous.order + GAP }];
    const middle = Math.floor((previous.order + next.order) / 2);
    if (middle > previous.order) return [{ id: moved.id, order: middle }];
    return [moved, ...below].map((each, index) => ({ id: each.id, order: previous.order + (index + 1) * GAP }));
  }
  // Everything above the first ordered one, from the moved to-do down, gets a place.
  const first = below.find((each) => each.order !== null)?.order ?? 0;
  const placed = [moved, ...unordered];
  return placed.map((each, index) => ({ id: each.id, order: first - (placed.length - index) * GAP }));
}
