// The composition root: everything is built and connected here, and nowhere else.

import { deleteDb } from "./data/db.js";
import { UNDO_MS } from "./data/actions.js";
import { createStore, blankState } from "./data/store.js";
import { waiting } from "./data/selectors.js";
import { h, prefersLessMotion } from "./lib/dom.js";
import { countText } from "./lib/format.js";
import { createApi, explain } from "./net/api.js";
import { createSession } from "./net/session.js";
import { createRouter } from "./router.js";
import { confirmDialog } from "./ui/dialog.js";
import { pointerName, sentence } from "./ui/forms.js";
import { listenForShortcuts } from "./ui/shortcuts.js";
import { followTheme } from "./ui/theme.js";
import { createToasts } from "./ui/toast.js";
import { AUTH_PATHS, createAuth } from "./views/auth.js";
import { openHelp } from "./views/help.js";
import { editList, openListMenu } from "./views/list-dialog.js";
import { createNotifications } from "./views/notifications.js";
import { createSettings } from "./views/settings.js";
import { createSidebar } from "./views/sidebar.js";
import { createTodoDetail } from "./views/todo-detail.js";
import { createTodoList } from "./views/todo-list.js";
import { createTopbar } from "./views/topbar.js";
import { registerWorker } from "./worker.js";
import { openWorkspace } from "./workspace.js";

const LINK_PATHS = ["/reset", "/verify"]; // open to everybody, signed in or not
const PATHS = ["/", "/settings"];
const MINUTE_MS = 60_000;
const RESUME_MS = 5_000;

followTheme();
const store = createStore();
const toasts = createToasts();
const api = createApi({ onReachable: (yes) => store.get().reachable !== yes && store.set({ reachable: yes }) });
const session = createSession({ api, onEnded: (reason, userId) => sessionEnded(userId) });
api.useCredentials(session);
const router = createRouter((route) => {
  store.set({ route });
  guard();
});
let workspace = null;
let retryTimer = 0;

// What views may use. The workspace's parts exist while somebody is signed in.
const app = {
  api, store, session, router, toasts,
  get actions() {
    return workspace?.actions;
  },
  get loader() {
    return workspace?.loader;
  },
  login, logout, leave, removeTodos, openHelp,
  openTodo(id) {
    router.with({ todo: id }, { replace: Boolean(store.get().route.params.todo) });
  },
  closeTodo() {
    const { todo } = store.get().route.params;
    if (!todo) return;
    detail.flush();
    router.with({ todo: "" }, { replace: true });
    list.focusRow(todo);
  },
  editList: (each) => editList(app, each),
  openListMenu: (anchor, id) => openListMenu(app, anchor, id),
  holdPlaces: (ms) => list.holdPlaces(ms),
  announce(text) {
    announcer.textContent = text;
  },
  toggleDrawer: () => setDrawer(!document.documentElement.classList.contains("drawer-open")),
  closeDrawer: () => setDrawer(false),
};

const notifications = createNotifications(app);
const topbar = createTopbar(app, notifications);
const sidebar = createSidebar(app);
const list = createTodoList(app);
const detail = createTodoDetail(app);
const settings = createSettings(app);
const auth = createAuth(app);
const announcer = h("div.visually-hidden", { role: "status", "aria-live": "polite" });
const scrim = h("div.scrim", { onclick: () => app.closeDrawer(), "aria-hidden": "true" });
const shell = h("div.shell", { hidden: true }, sidebar.node, scrim, h("div.stage", null, topbar.node, h("div.columns", null, list.node, detail.node, settings.node), notifications.node));
document.getElementById("app").replaceChildren(shell, auth.node, announcer);

function draw(state) {
  const signedIn = state.status === "signed-in";
  const authPath = AUTH_PATHS.includes(state.route.path) ? state.route.path : null;
  const onAuth = state.status !== "starting" && authPath && (!signedIn || LINK_PATHS.includes(authPath));
  shell.hidden = !signedIn || Boolean(onAuth);
  if (onAuth) auth.show(state.route);
  else if (!auth.node.hidden) auth.hide();
  // Behind the login page everything is drawn once more, empty: nothing of the last person stays in the document.
  const blank = state.status === "anonymous";
  if (shell.hidden && !blank) return;
  list.node.hidden = state.route.path !== "/";
  topbar.update(state);
  sidebar.update(state);
  if (!list.node.hidden || blank) list.update(state);
  detail.update(state);
  settings.update(state);
  notifications.update(state);
}
store.subscribe(draw);

// An address that the present person cannot see leads to one that they can.
function guard() {
  const { status, route } = store.get();
  if (status === "anonymous" && !AUTH_PATHS.includes(route.path)) router.replace("/login");
  if (status === "signed-in" && !PATHS.includes(route.path) && !LINK_PATHS.includes(route.path)) router.replace("/");
}

async function enter() {
  workspace = await openWorkspace({
    api, session, store, userId: session.userId,
    hooks: { onAccepted, onRefused, onThrottled, onArrival, onSessionEvent, onChannelEvent },
  });
  store.set({ status: "signed-in" });
  guard();
}

/** Log in; the first time, the browser's language and time zone become the profile's. */
async function login(email, password, { fresh = false } = {}) {
  await session.login(email, password);
  if (fresh) {
    const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
    await api.patch("/users/me", { locale: navigator.language, time_zone: timeZone }).catch(() => {}); // the defaults do as well
  }
  await enter();
  workspace.start();
}

async function logout() {
  const count = waiting(store.get());
  await workspace.queue.release();
  if (waiting(store.get())) {
    const yes = await confirmDialog({ title: "Log out anyway?", text: `${countText(count, "change")} could not be sent yet and would be lost.`, yes: "Log out", danger: true });
    if (!yes) return;
  }
  await leave("You are logged out.");
}

/** Go: the session ends and nothing of the user stays in this browser. */
async function leave(message) {
  const { userId } = session;
  await workspace?.close();
  workspace = null;
  await session.logout();
  await deleteDb(userId);
  reset();
  toasts.show(message);
}

// The session was ended elsewhere, or ran out: the copy goes, unsent changes wait for the same user's return.
async function sessionEnded(userId) {
  const closing = workspace;
  workspace = null;
  const kept = store.get().queue.length > 0;
  await closing?.close({ wipe: true });
  if (!kept && closing) await deleteDb(userId);
  reset();
  toasts.show("You have been logged out. Please log in again.", { ms: 10_000 });
}

function reset() {
  notifications.close({ refocus: false });
  document.querySelector("dialog[open]")?.close();
  const { route, online, reachable } = store.get();
  store.set({ ...blankState(), route, online, reachable, status: "anonymous" });
  router.replace("/login");
}

/** Delete with undo, for as long as the toast shows. */
async function removeTodos(ids) {
  if (!ids.length) return;
  const { params } = store.get().route;
  const title = store.get().todos.get(ids[0])?.title ?? "";
  if (ids.includes(params.todo)) app.closeTodo();
  const undo = await app.actions.removeTodos(ids);
  toasts.show(ids.length === 1 ? `“${short(title)}” deleted.` : `${countText(ids.length, "to-do")} deleted.`, {
    ms: UNDO_MS,
    action: {
      label: "Undo", strict: true,
      run: async () => {
        if (!(await undo())) toasts.error("Too late, it is already deleted.");
      },
    },
  });
}

function onAccepted(op, { conflict }) {
  if (!conflict) return;
  if (conflict.gone) return void toasts.error(`“${short(op.title)}” was deleted elsewhere, so your change could not be kept.`);
  const fields = Object.keys(conflict.changes).map((name) => FIELD_NAMES[name] ?? name).join(", ");
  toasts.show(`“${short(conflict.row.title ?? conflict.row.name)}” was changed elsewhere too. The other ${fields} is shown now.`, {
    kind: "error", ms: 12_000,
    action: { label: "Use mine", run: () => (op.kind === "todo.patch" ? app.actions.patchTodo : app.actions.patchList)(op.id, conflict.changes) },
  });
}

const FIELD_NAMES = { due_at: "due date", remind_at: "reminder", list_id: "list", completed: "state", color: "colour", order: "place" };

function onRefused(op, error) {
  const errors = Object.fromEntries(error.errors.map(({ pointer, detail: text }) => [pointerName(pointer), sentence(text)]));
  if (op.kind === "todo.patch" && error.errors.length) store.set({ fieldErrors: new Map(store.get().fieldErrors).set(op.id, errors) });
  toasts.error(`“${short(op.title)}” could not be saved: ${Object.values(errors)[0] ?? sentence(error.message)}`, { ms: 10_000 });
}

const onThrottled = (error) => toasts.show(`${explain(error)} Your changes are kept and sent then.`);

function onArrival(note) {
  toasts.show(note.title ? `${note.title}: ${short(note.message)}` : short(note.message), { action: { label: "Show", run: () => notifications.open(topbar.bell) } });
}

const onChannelEvent = () => settings.loadChannels();

function onSessionEvent(event) {
  if (event.type === "SessionRevoked" && event.subject === session.sessionId) session.renew().catch(() => {});
  else settings.loadDevices();
}

const short = (text = "") => (text.length > 60 ? `${text.slice(0, 57)}…` : text);

function setDrawer(open) {
  document.documentElement.classList.toggle("drawer-open", open);
  topbar.node.querySelector(".menu-button").setAttribute("aria-expanded", String(open));
  if (open) sidebar.node.querySelector("a[aria-current], .nav-link")?.focus();
}

listenForShortcuts({
  n: () => (toList(), list.focusNew()),
  "/": () => topbar.focusSearch(),
  j: () => list.step(1),
  k: () => list.step(-1),
  x: () => list.toggleFocused(),
  e: () => list.editFocused(),
  Delete: () => list.removeFocused(),
  Backspace: () => list.removeFocused(),
  "?": openHelp,
  "g i": () => router.go("/"),
  "g t": () => router.go("/", { filter: "today" }),
  "g o": () => router.go("/", { filter: "overdue" }),
  "g s": () => router.go("/settings"),
  "g n": () => notifications.toggle(topbar.bell),
  Escape: () => (document.documentElement.classList.contains("drawer-open") ? setDrawer(false) : app.closeTodo()),
}, () => !shell.hidden);

// The address after # is the route, so the skip link cannot be an ordinary fragment link.
document.querySelector(".skip-link").addEventListener("click", (event) => {
  event.preventDefault();
  [...document.querySelectorAll("main")].find((each) => each.checkVisibility())?.focus();
});

function toList() {
  if (store.get().route.path !== "/") router.go("/");
}

addEventListener("online", () => {
  store.set({ online: true });
  session.settle().catch(() => {});
});
addEventListener("offline", () => store.set({ online: false }));
// "Today" and "overdue" depend on the clock.
setInterval(() => store.set({}), MINUTE_MS);
addEventListener("pagehide", () => detail.flush());
if (!prefersLessMotion()) document.documentElement.classList.add("animated");

/** Resume: the copy shows at once, the session is renewed behind it. */
async function start() {
  router.start();
  const known = session.userId;
  try {
    await session.settle();
  } catch {
    // Still offline: the next start, or coming online, settles it.
  }
  if (!known) {
    store.set({ status: "anonymous" });
    return guard();
  }
  await enter();
  await resume();
}

async function resume() {
  clearTimeout(retryTimer);
  try {
    if (!session.hasToken) await session.renew();
    workspace?.start();
  } catch (error) {
    // Offline, or the server is away: the copy is there to read, changes queue up.
    if (error.status !== 401) retryTimer = setTimeout(resume, RESUME_MS * (1 + Math.random()));
  }
}
addEventListener("online", () => store.get().status === "signed-in" && !session.hasToken && resume());

registerWorker(toasts);
await start();
