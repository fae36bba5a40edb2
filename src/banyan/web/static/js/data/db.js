// The offline copy: one IndexedDB database per user, so that people who share a browser never share data.
//
//   todos, lists, notifications   what the server said last, by id
//   queue                         changes not yet accepted by the server, by seq (their order)
//   meta                          profile, stats and such, by name

const STORES = { todos: "id", lists: "id", notifications: "id", meta: "name" };
const name = (userId) => `banyan-${userId}`;

/** Open the user's database. Where the browser refuses (some private windows), memory stands in for it. */
export async function openDb(userId) {
  try {
    const db = await open(userId);
    return onIndexedDb(db);
  } catch {
    return inMemory();
  }
}

/** Remove everything that this browser keeps of a user. */
export function deleteDb(userId) {
  return new Promise((resolve) => {
    const request = indexedDB.deleteDatabase(name(userId));
    // "blocked" means another tab still has it open; that tab closes it (onversionchange) and success follows.
    request.onsuccess = request.onerror = () => resolve();
  });
}

function open(userId) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name(userId), 1);
    request.onupgradeneeded = () => {
      for (const [store, keyPath] of Object.entries(STORES)) request.result.createObjectStore(store, { keyPath });
      request.result.createObjectStore("queue", { keyPath: "seq", autoIncrement: true });
    };
    request.onsuccess = () => {
      request.result.onversionchange = () => request.result.close();
      resolve(request.result);
    };
    request.onerror = () => reject(request.error);
  });
}

function onIndexedDb(db) {
  // One transaction over the named stores; resolves with work's value once it is committed.
  function transact(stores, mode, work) {
    return new Promise((resolve, reject) => {
      // The queue is a promise to the user: it is flushed to the disk before we go on.
      const tx = db.transaction(stores, mode, { durability: stores.includes("queue") ? "strict" : "relaxed" });
      const result = work(...stores.map((store) => tx.objectStore(store)));
      tx.oncomplete = () => resolve(result instanceof IDBRequest ? result.result : result);
      tx.onerror = tx.onabort = () => reject(tx.error);
    });
  }

  return {
    all: (store) => transact([store], "readonly", (target) => target.getAll()),
    meta: async (key) => (await transact(["meta"], "readonly", (meta) => meta.get(key)))?.value ?? null,
    setMeta: (key, value) => transact(["meta"], "readwrite", (meta) => void meta.put({ name: key, value })),

    /** Make a store hold exactly these rows. */
    replace: (store, rows) =>
      transact([store], "readwrite", (target) => {
        target.clear();
        for (const row of rows) target.put(row);
      }),

    /** Keep rows, unless a newer version is already there: a slow tab must not undo a quick one. */
    put: (store, rows) =>
      transact([store], "readwrite", (target) => {
        for (const row of rows) {
          const held = target.get(row.id);
          held.onsuccess = () => {
            if (!(held.result?.version > row.version)) target.put(row);
          };
        }
      }),

    remove: (store, ids) =>
      transact([store], "readwrite", (target) => {
        for (const id of ids) target.delete(id);
      }),

    /** Store a change; its place in the order. */
    enqueue: (op) => transact(["queue"], "readwrite", (queue) => queue.add(op)),

    /**
     * Take changes out of the queue and, in the same transaction, tell the later changes of the
     * same subject which version they now stand on ({id: version}).
     */
    settle: (seqs, versions = {}) =>
      transact(["queue"], "readwrite", (queue) => {
        for (const seq of seqs) queue.delete(seq);
        if (!Object.keys(versions).length) return;
        queue.openCursor().onsuccess = ({ target: { result: cursor } }) => {
          if (!cursor) return;
          const version = versions[cursor.value.id];
          if (version && cursor.value.version !== undefined) cursor.update({ ...cursor.value, version });
          cursor.continue();
        };
      }),

    updateOp: (op) => transact(["queue"], "readwrite", (queue) => void queue.put(op)),

    /** Forget the copy of the data but keep unsent changes. */
    wipeCopy: () =>
      transact([...Object.keys(STORES)], "readwrite", (...stores) => {
        for (const store of stores) store.clear();
      }),

    close: () => db.close(),
  };
}

function inMemory() {
  const stores = { todos: new Map(), lists: new Map(), notifications: new Map(), meta: new Map(), queue: new Map() };
  let seq = 0;
  const rows = (store) => [...stores[store].values()];
  return {
    all: async (store) => rows(store),
    meta: async (key) => stores.meta.get(key) ?? null,
    setMeta: async (key, value) => void stores.meta.set(key, value),
    replace: async (store, items) => void (stores[store] = new Map(items.map((row) => [row.id, row]))),
    put: async (store, items) => items.forEach((row) => stores[store].set(row.id, row)),
    remove: async (store, ids) => ids.forEach((id) => stores[store].delete(id)),
    enqueue: async (op) => {
      seq += 1;
      stores.queue.set(seq, { ...op, seq });
      return seq;
    },
    settle: async (seqs, versions = {}) => {
      seqs.forEach((each) => stores.queue.delete(each));
      for (const op of rows("queue")) if (versions[op.id] && op.version !== undefined) op.version = versions[op.id];
    },
    updateOp: async (op) => void stores.queue.set(op.seq, op),
    wipeCopy: async () => ["todos", "lists", "notifications", "meta"].forEach((store) => stores[store].clear()),
    close() {},
  };
}
