// What the user sees = what the server said, with the unsent changes laid over it. Pure functions.
// When a change is accepted it moves from the queue into the base; when it is refused it leaves
// the queue, and the old value shows again without anybody having to undo anything.

/** The maps shown, from `base` and the queued operations in their order. */
export function overlay(base, queue) {
  const todos = new Map(base.todos);
  const lists = new Map(base.lists);
  const notifications = new Map(base.notifications);
  const shown = { todos, lists, notifications, unread: base.unread };
  for (const op of queue) APPLY[op.kind]?.(shown, op);
  return shown;
}

const APPLY = {
  "todo.create": ({ todos }, op) => {
    if (!todos.has(op.id)) todos.set(op.id, op.todo);
  },
  "todo.patch": ({ todos }, op) => merge(todos, op.id, todoChanges(op)),
  "todo.reorder": ({ todos }, op) => op.moves.forEach((move) => merge(todos, move.id, { order: move.order })),
  "todo.delete": ({ todos }, op) => todos.delete(op.id),
  "todo.deleteMany": ({ todos }, op) => op.ids.forEach((id) => todos.delete(id)),
  "list.create": ({ lists }, op) => {
    if (!lists.has(op.id)) lists.set(op.id, op.list);
  },
  "list.patch": ({ lists }, op) => merge(lists, op.id, op.changes),
  "list.delete": ({ lists, todos }, op) => {
    lists.delete(op.id);
    for (const todo of todos.values()) if (todo.list_id === op.id) todos.set(todo.id, { ...todo, list_id: null });
  },
  "notification.patch": (shown, op) => {
    const held = shown.notifications.get(op.id);
    if (held && held.read !== op.read) shown.unread = Math.max(0, shown.unread + (op.read ? -1 : 1));
    merge(shown.notifications, op.id, { read: op.read });
  },
  "notification.readAll": (shown) => {
    for (const each of shown.notifications.values()) if (!each.read) shown.notifications.set(each.id, { ...each, read: true });
    shown.unread = 0;
  },
  "notification.delete": (shown, op) => {
    const held = shown.notifications.get(op.id);
    if (held && !held.read) shown.unread = Math.max(0, shown.unread - 1);
    shown.notifications.delete(op.id);
  },
  "notification.clearRead": ({ notifications }) => {
    for (const each of notifications.values()) if (each.read) notifications.delete(each.id);
  },
};

function merge(map, id, changes) {
  const held = map.get(id);
  if (held) map.set(id, { ...held, ...changes });
}

function todoChanges(op) {
  return "completed" in op.changes ? { ...op.changes, completed_at: op.changes.completed ? op.at : null } : op.changes;
}
