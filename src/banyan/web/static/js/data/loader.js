// From the server into the base: first load, pages, search, and live events.

import { debounce } from "../lib/dom.js";
import { useLocale } from "../lib/format.js";
import { nextPage } from "../net/api.js";

const OPEN_PAGE = 200;
const MOST_OPEN_PAGES = 25; // 5,000 open to-dos are loaded at once; nobody reads more
const DONE_PAGE = 50;
const NOTIFICATIONS_PAGE = 30;
const SETTLE_MS = 300;

/** The completed to-dos of one view are paged on their own. */
export const pageKey = ({ list = "", label = "", q = "" } = {}) => JSON.stringify([list, label, q]);

export function createLoader({ api, store, db, base, onSessionEvent, onChannelEvent, onArrival }) {
  let reloading = null;
  const asked = new Set();

  const quietly = (work) => (...args) => work(...args).catch(() => {}); // the next event or reload repeats it

  async function page(url) {
    const { data, headers } = await api.get(url);
    return { rows: data, next: nextPage(headers) };
  }

  /** Load everything that a first screen needs and forget what is no longer there. One at a time. */
  function reload() {
    reloading ??= loadAll().finally(() => {
      reloading = null;
    });
    return reloading;
  }

  async function loadAll() {
    const mark = base.mark();
    const [profile, lists, notes, unread, done] = await Promise.all([
      loadProfile(), api.get("/lists"), page(`/notifications?limit=${NOTIFICATIONS_PAGE}`), api.get("/notifications/unread_count"),
      page(`/todos?completed=true&limit=${DONE_PAGE}`),
    ]);
    base.replaceAll("lists", lists.data, mark);
    base.replaceAll("notifications", notes.rows, mark);
    setUnread(unread.data.unread);
    const rows = [...done.rows];
    let next = `/todos?completed=false&limit=${OPEN_PAGE}`;
    for (let count = 0; next && count < MOST_OPEN_PAGES; count += 1) {
      const open = await page(next);
      rows.push(...open.rows);
      base.apply({ upserts: { todos: open.rows } });
      store.set({ loading: false });
      next = open.next;
    }
    base.replaceAll("todos", rows, mark);
    store.set({ loading: false, pages: { [pageKey()]: done.next }, notificationsNext: notes.next });
    refreshStats();
    return profile;
  }

  async function loadProfile() {
    const { data } = await api.get("/users/me");
    setProfile(data);
    return data;
  }

  function setProfile(user) {
    useLocale(user);
    store.set({ user });
    db.setMeta("profile", user).catch(() => {});
  }

  function setUnread(unread) {
    base.apply({ unread });
    db.setMeta("unread", unread).catch(() => {});
  }

  const refreshUnread = debounce(quietly(async () => setUnread((await api.get("/notifications/unread_count")).data.unread)), SETTLE_MS);
  const refreshLists = debounce(quietly(async () => base.replaceAll("lists", (await api.get("/lists")).data, base.mark())), SETTLE_MS);
  const refreshNotifications = debounce(quietly(async () => {
    const mark = base.mark();
    const { rows, next } = await page(`/notifications?limit=${NOTIFICATIONS_PAGE}`);
    base.replaceAll("notifications", rows, mark);
    store.set({ notificationsNext: next });
  }), SETTLE_MS);
  // The projection is a moment behind the to-dos that it counts.
  const refreshStats = debounce(quietly(async () => {
    const { data } = await api.get("/todos/stats");
    store.set({ stats: data });
    await db.setMeta("stats", data);
  }), 1_000);

  const fetchAsked = debounce(quietly(async () => {
    const ids = [...asked];
    asked.clear();
    for (const id of ids) {
      try {
        base.apply({ upserts: { todos: [(await api.get(`/todos/${id}`)).data] } });
      } catch (error) {
        if (error.status !== 404) throw error;
        base.apply({ removes: { todos: [id] } });
      }
    }
  }), 40);

  function fetchTodo(id) {
    asked.add(id);
    fetchAsked();
  }

  const EVENTS = {
    TodoCreated({ subject, data }) {
      base.unbury(subject);
      if (isWhole(data)) base.apply({ upserts: { todos: [{ ...data, id: subject }] } });
      else fetchTodo(subject);
    },
    TodoChanged({ subject, data }) {
      const held = base.row("todos", subject);
      if (held && data?.version <= held.version) return; // our own change, heard again
      // Fields may be merged only onto the version just before; otherwise something is missing in between.
      if (held && data?.version === held.version + 1) base.apply({ upserts: { todos: [{ ...held, ...data, id: subject }] } });
      else fetchTodo(subject);
    },
    TodoDeleted: ({ subject }) => base.apply({ removes: { todos: [subject] } }),
    TodoReminded: () => {},
    ListCreated: () => refreshLists(),
    ListChanged: () => refreshLists(),
    ListDeleted: ({ subject }) => base.apply({ removes: { lists: [subject] }, effects: [["listGone", subject]] }),
    NotificationCreated({ subject, data }) {
      if (!base.row("notifications", subject) && data?.message !== undefined && data.created_at) {
        const note = { read: false, read_at: null, title: null, data: {}, ...data, id: subject };
        base.apply({ upserts: { notifications: [note] }, unread: base.unread + (note.read ? 0 : 1) });
        onArrival(note);
      } else refreshNotifications();
      refreshUnread();
    },
    NotificationRead: (event) => readChanged(event, true),
    NotificationUnread: (event) => readChanged(event, false),
    NotificationDeleted({ subject }) {
      if (base.row("notifications", subject)) base.apply({ removes: { notifications: [subject] } });
      else refreshNotifications();
      refreshUnread();
    },
    ChannelCreated: () => onChannelEvent(),
    ChannelChanged: () => onChannelEvent(),
    ChannelDeleted: () => onChannelEvent(),
    UserChanged: () => quietly(loadProfile)(),
    SessionStarted: (event) => onSessionEvent(event),
    SessionRevoked: (event) => onSessionEvent(event),
    PasswordChanged: (event) => onSessionEvent(event),
  };

  function readChanged({ subject }, read) {
    const held = base.row("notifications", subject);
    if (held) base.apply({ upserts: { notifications: [{ ...held, read }] } });
    else refreshNotifications();
    refreshUnread();
  }

  return {
    reload,
    loadProfile,
    setProfile,
    refreshUnread,
    refreshStats,
    fetchTodo,

    onEvent(event) {
      EVENTS[event.type]?.(event);
      if (event.stream === "todos") refreshStats();
    },

    /** Load the next page of completed to-dos for what the address asks; false when there is none. */
    async moreCompleted(params) {
      const key = pageKey(params);
      const known = store.get().pages[key];
      if (known === null) return false;
      const query = new URLSearchParams({ completed: "true", limit: String(DONE_PAGE) });
      for (const name of ["list", "label", "q"]) if (params[name]) query.set(name, params[name]);
      const { rows, next } = await page(known ?? `/todos?${query}`);
      base.apply({ upserts: { todos: rows } });
      store.set({ pages: { ...store.get().pages, [key]: next } });
      return true;
    },

    async moreNotifications() {
      const url = store.get().notificationsNext;
      if (!url) return;
      const { rows, next } = await page(url);
      base.apply({ upserts: { notifications: rows } });
      store.set({ notificationsNext: next });
    },

    /** Ask the server for a search; what it finds joins what is found here. */
    async search(q) {
      const { rows } = await page(`/todos?${new URLSearchParams({ q, limit: "100" })}`);
      base.apply({ upserts: { todos: rows } });
      store.set({ searchHits: { q, ids: new Set(rows.map((row) => row.id)) } });
    },
  };
}

const isWhole = (data) => Boolean(data) && typeof data.title === "string" && Array.isArray(data.labels) && typeof data.version === "number";
