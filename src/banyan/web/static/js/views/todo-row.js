// One row of the list. data-testid: todo-item, todo-check, todo-title, todo-edit, todo-delete, todo-title-input

import { dueText, fullText } from "../lib/format.js";
import { h, prefersLessMotion, refill, s } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { isOverdue } from "../data/selectors.js";

export const PRIORITIES = ["No priority", "Low", "Medium", "High", "Urgent"];
const DONE_PAUSE_MS = 420;

/** app: what rows do. The row keeps what it shows in node.todo and draws only what changed. */
export function createRow(app, todo) {
  const id = todo.id;
  const check = h("input.check-input", {
    type: "checkbox", testid: "todo-check",
    onchange: () => toggle(node, app),
  });
  const title = h("button.todo-title", { type: "button", testid: "todo-title", onclick: () => app.openTodo(id), ondblclick: () => editTitle(node, app) });
  const node = h("li.todo", { testid: "todo-item", tabindex: "-1", dataset: { id } },
    h("span.drag-handle", { "aria-hidden": "true", title: "Drag to reorder" }, icon("grip")),
    h("label.check", { "data-no-drag": true }, check, s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" },
      s("circle", { class: "check-ring", cx: 12, cy: 12, r: 9.25 }), s("path", { class: "check-tick", d: "M7.6 12.4l3 3 5.8-6.4" }))),
    h("div.todo-body", { onclick: (event) => event.target.closest("button, input") || app.openTodo(id) }, title, h("div.todo-meta")),
    h("div.todo-tools", null,
      h("button.icon-button", { type: "button", testid: "todo-edit", "aria-label": "Edit title", title: "Edit title (e)", onclick: () => editTitle(node, app) }, icon("pencil")),
      h("button.icon-button", { type: "button", testid: "todo-delete", "aria-label": "Delete", title: "Delete (Del)", onclick: () => app.removeTodos([id]) }, icon("trash"))));
  return node;
}

export function updateRow(node, todo, { lists, waitingIds, selectedId, hideList }) {
  const list = todo.list_id ? lists.get(todo.list_id) : null;
  const overdue = isOverdue(todo);
  const pending = waitingIds.has(todo.id);
  const signature = JSON.stringify([todo.title, todo.completed, todo.due_at, todo.due_at && dueText(todo.due_at), todo.remind_at && dueText(todo.remind_at), todo.priority, todo.labels, Boolean(todo.notes), hideList ? null : list?.name, list?.color, overdue, pending]);
  node.classList.toggle("selected", selectedId === todo.id);
  node.todo = todo;
  if (node.signature === signature) return;
  node.signature = signature;
  const [check, title, meta] = [node.querySelector(".check-input"), node.querySelector(".todo-title"), node.querySelector(".todo-meta")];
  check.checked = todo.completed;
  check.setAttribute("aria-label", `Complete “${todo.title}”`);
  title.textContent = todo.title;
  node.classList.toggle("completed", todo.completed);
  node.dataset.priority = todo.priority;
  node.setAttribute("aria-label", [todo.title, todo.completed ? "completed" : null, todo.priority ? `priority ${PRIORITIES[todo.priority].toLowerCase()}` : null, todo.due_at ? `due ${dueText(todo.due_at)}` : null, overdue ? "overdue" : null].filter(Boolean).join(", "));
  refill(meta, ...metaParts(todo, hideList ? null : list, overdue, pending));
}

function metaParts(todo, list, overdue, pending) {
  return [
    todo.due_at && h(`span.chip.due${overdue ? ".overdue" : ""}`, { title: fullText(todo.due_at) }, icon("calendar"), dueText(todo.due_at)),
    todo.remind_at && !todo.completed && h("span.chip", { title: `Reminder: ${fullText(todo.remind_at)}` }, icon("bell"), todo.due_at ? h("span.visually-hidden", null, "Has a reminder") : dueText(todo.remind_at)),
    todo.priority > 0 && h(`span.chip.priority-${todo.priority}`, null, icon("flag"), PRIORITIES[todo.priority]),
    list && h("span.chip", null, h("span.swatch", { vars: { "--swatch": list.color ?? "" } }), list.name),
    todo.labels.map((label) => h("span.chip.label", null, label)),
    todo.notes && h("span.chip", { title: "Has notes" }, icon("note"), h("span.visually-hidden", null, "Has notes")),
    pending && h("span.chip.pending", { title: "Waiting for the server", testid: "todo-pending" }, icon("clock"), "Not synced"),
  ];
}

// The tick is drawn first, then the row goes to its new place.
function toggle(node, app) {
  const check = node.querySelector(".check-input");
  const done = check.checked;
  node.classList.toggle("ticking", done);
  node.classList.toggle("completed", done);
  const id = node.dataset.id;
  // Saved at once; only the move within the list waits, so that nothing is lost by leaving now.
  app.holdPlaces(done && !prefersLessMotion() ? DONE_PAUSE_MS : 0);
  app.actions.patchTodo(id, { completed: done });
  setTimeout(() => node.classList.remove("ticking"), DONE_PAUSE_MS);
}

/** Edit the title in place: Enter and leaving keep it, Escape does not. */
export function editTitle(node, app) {
  if (node.querySelector(".todo-title-input")) return;
  const title = node.querySelector(".todo-title");
  let over = false;
  const finish = (keep) => {
    if (over) return;
    over = true;
    const text = input.value.trim();
    input.replaceWith(title);
    node.classList.remove("editing");
    if (keep && text && text !== node.todo.title) app.actions.patchTodo(node.dataset.id, { title: text });
  };
  const input = h("input.todo-title-input", {
    value: node.todo.title, maxlength: "500", "aria-label": "Title", testid: "todo-title-input",
    onblur: () => finish(true),
    onkeydown: (event) => {
      if (event.key === "Enter" && !event.isComposing) finish(true);
      else if (event.key === "Escape") finish(false);
      else return;
      event.preventDefault();
      event.stopPropagation();
      node.focus();
    },
  });
  title.replaceWith(input);
  node.classList.add("editing");
  input.focus();
  input.select();
}
