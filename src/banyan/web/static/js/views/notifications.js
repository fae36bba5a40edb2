// The notifications panel. data-testid: notifications-panel, notification-item, notification-read, notification-delete,
// notifications-read-all, notifications-clear

import { agoText, momentText } from "../lib/format.js";
import { h, reconcile, refill, setText } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { sortedNotifications } from "../data/selectors.js";
import { quiet } from "../ui/illustrations.js";

const KIND_ICONS = { message: "mail", reminder: "bell", due: "calendar", welcome: "spark", security: "shield" };
const KIND_TITLES = { message: "Message", reminder: "Reminder", due: "Due now", welcome: "Welcome", security: "Security" };

export function createNotifications(app) {
  const readAll = h("button.button.quiet", { type: "button", testid: "notifications-read-all", onclick: () => app.actions.readAllNotifications() }, "Mark all read");
  const clear = h("button.button.quiet", { type: "button", testid: "notifications-clear", onclick: () => app.actions.clearReadNotifications() }, "Clear read");
  const list = h("ul.notifications", { role: "list" });
  const empty = h("div.empty", null, quiet(), h("p.empty-title", null, "All quiet"), h("p.empty-text", null, "Reminders and messages arrive here."));
  const sentinel = h("div.sentinel", { "aria-hidden": "true" });
  const scroll = h("div.panel-scroll", null, list, empty, sentinel);
  const node = h("section.panel", { testid: "notifications-panel", role: "dialog", "aria-label": "Notifications", hidden: true },
    h("div.panel-head", null, h("h2.panel-title", { tabindex: "-1" }, "Notifications"), readAll, clear,
      h("button.icon-button", { type: "button", "aria-label": "Close notifications", testid: "notifications-close", onclick: () => close() }, icon("close"))),
    scroll);
  let opener = null;

  new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && !node.hidden) app.loader?.moreNotifications().catch(() => {});
  }, { root: scroll, rootMargin: "200px" }).observe(sentinel);

  function open(button) {
    opener = button;
    node.hidden = false;
    button.setAttribute("aria-expanded", "true");
    update(app.store.get());
    node.querySelector(".panel-title").focus();
    addEventListener("pointerdown", outside, true);
  }

  function close({ refocus = true } = {}) {
    if (node.hidden) return;
    node.hidden = true;
    opener?.setAttribute("aria-expanded", "false");
    removeEventListener("pointerdown", outside, true);
    if (refocus) opener?.focus();
  }

  const outside = (event) => {
    if (!node.contains(event.target) && !opener?.contains(event.target) && !event.target.closest(".toasts")) close({ refocus: false });
  };
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  });

  function make({ id }) {
    const toggle = h("button.icon-button", { type: "button", testid: "notification-read", onclick: () => app.actions.markNotification(id, !app.store.get().notifications.get(id)?.read) });
    return h("li.notification", { testid: "notification-item" },
      h("span.notification-icon"),
      h("div.notification-body", { onclick: () => visit(id) }, h("p.notification-title"), h("p.notification-text"), h("time.notification-time")),
      h("div.notification-tools", null, toggle,
        h("button.icon-button", { type: "button", testid: "notification-delete", "aria-label": "Delete notification", onclick: () => app.actions.removeNotification(id) }, icon("close"))));
  }

  // A reminder leads to its to-do.
  function visit(id) {
    const note = app.store.get().notifications.get(id);
    if (!note) return;
    app.actions.markNotification(id, true);
    const todoId = note.data?.todo_id;
    if (!todoId || !app.store.get().todos.has(todoId)) return;
    close({ refocus: false });
    app.router.go("/", { todo: todoId });
  }

  function draw(item, note) {
    item.classList.toggle("unread", !note.read);
    const todoId = note.data?.todo_id;
    item.classList.toggle("leads", Boolean(todoId) && app.store.get().todos.has(todoId));
    if (item.dataset.kind !== note.kind) {
      item.dataset.kind = note.kind;
      refill(item.querySelector(".notification-icon"), icon(KIND_ICONS[note.kind] ?? "bell"));
    }
    setText(item.querySelector(".notification-title"), note.title || KIND_TITLES[note.kind] || "Notification");
    setText(item.querySelector(".notification-text"), note.message);
    const time = item.querySelector("time");
    setText(time, agoText(note.created_at));
    time.title = momentText(note.created_at);
    time.dateTime = note.created_at;
    const toggle = item.querySelector('[data-testid="notification-read"]');
    const name = note.read ? "Mark as unread" : "Mark as read";
    if (toggle.getAttribute("aria-label") !== name) {
      toggle.setAttribute("aria-label", name);
      toggle.title = name;
      refill(toggle, icon(note.read ? "mail" : "check"));
    }
  }

  function update(state) {
    if (node.hidden && state.status === "signed-in") return;
    const rows = sortedNotifications(state);
    reconcile(list, rows, (note) => note.id, make, draw);
    empty.hidden = rows.length > 0;
    readAll.disabled = state.unread === 0;
    clear.disabled = !rows.some((note) => note.read);
  }

  return { node, update, open, close, toggle: (button) => (node.hidden ? open(button) : close()) };
}
