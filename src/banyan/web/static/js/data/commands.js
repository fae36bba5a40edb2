// How each queued change is said to the server. A command resolves with
// {change, versions, conflict}: what to put into the base, the new version per id, and what clashed.

const KEY = (op) => ({ headers: { "Idempotency-Key": op.key } });
const ifMatch = (version) => (version ? { headers: { "If-Match": `"${version}"` } } : {});
const GONE = 404;
const CHANGED = 412;
const MERGES = 3;

export function createCommands(api) {
  const commands = {
    async "todo.create"(op) {
      const { data } = await api.post("/todos", op.body, KEY(op));
      return { change: { upserts: { todos: [data] } }, versions: { [op.id]: data.version } };
    },
    "todo.patch": (op) => patch("todos", `/todos/${op.id}`, op),
    async "todo.reorder"(op) {
      const operations = op.moves.map((move) => ({ op: "update", id: move.id, changes: { order: move.order } }));
      const todos = await batchOrOneByOne(op, operations, (move) => api.patch(`/todos/${move.id}`, move.changes));
      return { change: { upserts: { todos } }, versions: versionsOf(todos) };
    },
    async "todo.delete"(op) {
      await gone(() => api.delete(`/todos/${op.id}`));
      return { change: { removes: { todos: [op.id] } } };
    },
    async "todo.deleteMany"(op) {
      await batchOrOneByOne(op, op.ids.map((id) => ({ op: "delete", id })), ({ id }) => api.delete(`/todos/${id}`));
      return { change: { removes: { todos: op.ids } } };
    },
    async "list.create"(op) {
      const data = await created(() => api.post("/lists", op.body, KEY(op)), `/lists/${op.id}`);
      return { change: { upserts: { lists: [data] } }, versions: { [op.id]: data.version } };
    },
    "list.patch": (op) => patch("lists", `/lists/${op.id}`, op),
    async "list.delete"(op) {
      await gone(() => api.delete(`/lists/${op.id}`));
      return { change: { removes: { lists: [op.id] }, effects: [["listGone", op.id]] } };
    },
    async "notification.patch"(op) {
      const answer = await gone(() => api.patch(`/notifications/${op.id}`, { read: op.read }));
      return { change: answer ? { upserts: { notifications: [answer.data] } } : { removes: { notifications: [op.id] } }, recount: true };
    },
    async "notification.readAll"() {
      await api.post("/notifications/read-all", undefined);
      return { change: { effects: [["readAll"]] }, recount: true };
    },
    async "notification.delete"(op) {
      await gone(() => api.delete(`/notifications/${op.id}`));
      return { change: { removes: { notifications: [op.id] } }, recount: true };
    },
    async "notification.clearRead"() {
      await api.delete("/notifications?read=true");
      return { change: { effects: [["clearRead"]] }, recount: true };
    },
  };

  /**
   * Send a patch with If-Match. When somebody was faster, merge by field: what only we changed is
   * sent again on the new version, what both changed stays as it is there and comes back as `conflict`.
   */
  async function patch(kind, path, op) {
    let { changes, version } = op;
    for (let round = 0; ; round += 1) {
      try {
        const { data } = await api.patch(path, changes, ifMatch(version));
        return accepted(kind, op, data, clashing(op, data));
      } catch (error) {
        if (error.status === GONE) return { change: { removes: { [kind]: [op.id] } }, conflict: { gone: true } };
        if (error.status !== CHANGED || round === MERGES) throw error;
      }
      const answer = await gone(() => api.get(path));
      if (!answer) return { change: { removes: { [kind]: [op.id] } }, conflict: { gone: true } };
      const fresh = answer.data;
      const fields = Object.keys(op.changes).filter((field) => same(field, fresh[field], op.before[field]) && !same(field, fresh[field], op.changes[field]));
      if (!fields.length) return accepted(kind, op, fresh, clashing(op, fresh));
      changes = Object.fromEntries(fields.map((field) => [field, op.changes[field]]));
      version = fresh.version;
    }
  }

  const accepted = (kind, op, row, clashes) => ({
    change: { upserts: { [kind]: [row] } },
    versions: { [op.id]: row.version },
    conflict: clashes.length ? { row, changes: Object.fromEntries(clashes.map((field) => [field, op.changes[field]])) } : null,
  });

  const clashing = (op, row) => Object.keys(op.changes).filter((field) => !same(field, row[field], op.changes[field]));

  // A batch is all or nothing: one to-do that is gone would refuse the rest, which then go alone.
  async function batchOrOneByOne(op, operations, alone) {
    try {
      const { data } = await api.post("/todos/batch", { operations }, KEY(op));
      return data.results.map((result) => result.todo).filter(Boolean);
    } catch (error) {
      if (error.isTransient || error.status === 401) throw error;
    }
    const todos = [];
    for (const operation of operations) {
      const answer = await gone(() => alone(operation));
      if (answer?.data) todos.push(answer.data);
    }
    return todos;
  }

  // A repeat of a creation whose answer was lost.
  async function created(post, path) {
    try {
      return (await post()).data;
    } catch (error) {
      if (error.status !== 409) throw error;
      const answer = await gone(() => api.get(path));
      if (!answer) throw error;
      return answer.data;
    }
  }

  return (op) => commands[op.kind](op);
}

/** Run a request; null when its object no longer exists. */
async function gone(work) {
  try {
    return await work();
  } catch (error) {
    if (error.status === GONE) return null;
    throw error;
  }
}

const versionsOf = (rows) => Object.fromEntries(rows.map((row) => [row.id, row.version]));

const INSTANTS = new Set(["due_at", "remind_at"]);

function same(field, a, b) {
  if (INSTANTS.has(field) && a && b) return Date.parse(a) === Date.parse(b);
  return JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
}
