// Questions about the state, answered without changing it.

import { collator, dueDay, today } from "../lib/format.js";

export const FILTERS = ["all", "open", "completed", "today", "overdue"];

/** The server's order: without `order` first, newest first; then by `order`, ties newest first. */
export function byOrder(a, b) {
  if ((a.order === null) !== (b.order === null)) return a.order === null ? -1 : 1;
  if (a.order !== null && a.order !== b.order) return a.order - b.order;
  return newestFirst(a, b);
}

function newestFirst(a, b) {
  const [left, right] = [Date.parse(a.created_at), Date.parse(b.created_at)];
  if (left !== right) return right - left;
  // Date keeps milliseconds, the server microseconds.
  if (a.created_at !== b.created_at) return a.created_at < b.created_at ? 1 : -1;
  return a.id < b.id ? 1 : -1;
}

const lastDoneFirst = (a, b) => Date.parse(b.completed_at ?? b.updated_at) - Date.parse(a.completed_at ?? a.updated_at);

export const isOverdue = (todo, now = Date.now()) => !todo.completed && todo.due_at !== null && Date.parse(todo.due_at) < now;
export const isDueToday = (todo, day = today()) => todo.due_at !== null && dueDay(todo.due_at) === day;

/** {open, completed}: the to-dos that the address asks for, each group in its order. */
export function visibleTodos(state) {
  const { filter = "all", list, label, q } = state.route.params;
  const day = today();
  const now = Date.now();
  const words = (q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const hits = state.searchHits.q === q ? state.searchHits.ids : new Set();
  const wanted = (todo) =>
    (!list || todo.list_id === list) &&
    (!label || todo.labels.includes(label)) &&
    (!words.length || hits.has(todo.id) || mentions(todo, words)) &&
    (filter === "all" ||
      (filter === "open" && !todo.completed) ||
      (filter === "completed" && todo.completed) ||
      (filter === "today" && isDueToday(todo, day)) ||
      (filter === "overdue" && isOverdue(todo, now)));
  const open = [];
  const completed = [];
  for (const todo of state.todos.values()) if (wanted(todo)) (todo.completed ? completed : open).push(todo);
  return { open: open.sort(byOrder), completed: completed.sort(lastDoneFirst) };
}

function mentions(todo, words) {
  const text = `${todo.title} ${todo.notes ?? ""} ${todo.labels.join(" ")}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** The numbers in the sidebar: open to-dos in all, due today, overdue, per list, per label. */
export function counts(state) {
  const day = today();
  const now = Date.now();
  const result = { all: 0, today: 0, overdue: 0, lists: new Map(), labels: new Map() };
  for (const todo of state.todos.values()) {
    if (todo.completed) continue;
    result.all += 1;
    if (isDueToday(todo, day)) result.today += 1;
    if (isOverdue(todo, now)) result.overdue += 1;
    if (todo.list_id) result.lists.set(todo.list_id, (result.lists.get(todo.list_id) ?? 0) + 1);
    for (const label of todo.labels) result.labels.set(label, (result.labels.get(label) ?? 0) + 1);
  }
  return result;
}

export const sortedLists = (state) => [...state.lists.values()].sort((a, b) => collator().compare(a.name, b.name));

/** Every label in use, those of completed to-dos included. */
export function allLabels(state) {
  const names = new Set();
  for (const todo of state.todos.values()) for (const label of todo.labels) names.add(label);
  return [...names].sort(collator().compare);
}

export const sortedNotifications = (state) => [...state.notifications.values()].sort(newestFirst);

/** Changes that wait for the server. A deletion that can still be undone is not one yet. */
export const waiting = (state, now = Date.now()) => state.queue.filter((op) => !(op.notBefore > now)).length;

export const isOffline = (state) => !state.online || !state.reachable;
