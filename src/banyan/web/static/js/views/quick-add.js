// Adding a to-do: type and press Enter; due date, priority, list and labels on request.
// data-testid: new-todo, new-todo-more, new-todo-due, new-todo-priority, new-todo-list, new-todo-labels, new-todo-add

import { addDays, END_OF_DAY, instantOf, today } from "../lib/format.js";
import { h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { sortedLists } from "../data/selectors.js";
import { parseLabels } from "./todo-detail.js";
import { PRIORITIES } from "./todo-row.js";

export function createQuickAdd(app) {
  const title = h("input.quick-title", {
    testid: "new-todo", name: "title", maxlength: "500", placeholder: "Add a to-do", "aria-label": "New to-do", autocomplete: "off", enterkeyhint: "done",
    oninput: () => node.classList.toggle("has-text", title.value.trim() !== ""),
  });
  const due = h("input.input", { type: "date", testid: "new-todo-due", name: "due" });
  const priority = h("select.input", { testid: "new-todo-priority", name: "priority" }, PRIORITIES.map((name, value) => h("option", { value }, name)));
  const list = h("select.input", { testid: "new-todo-list", name: "list" });
  const labels = h("input.input", { testid: "new-todo-labels", name: "labels", placeholder: "home, errands", autocomplete: "off" });
  const more = h("button.icon-button", {
    type: "button", testid: "new-todo-more", "aria-label": "More details", "aria-expanded": "false", title: "More details",
    onclick: () => expand(!node.classList.contains("expanded")),
  }, icon("sliders"));
  const details = h("div.quick-details", { hidden: true },
    labelled("Due", due), labelled("Priority", priority), labelled("List", list), labelled("Labels", labels));
  const node = h("form.quick-add", {
    onsubmit: (event) => {
      event.preventDefault();
      add();
    },
    onkeydown: (event) => {
      if (event.key === "Escape") {
        expand(false);
        title.blur();
      }
    },
  }, h("div.quick-line", null, h("span.quick-plus", null, icon("plus")), title, more,
    h("button.button.primary.quick-send", { type: "submit", testid: "new-todo-add" }, "Add")), details);

  function expand(open) {
    node.classList.toggle("expanded", open);
    details.hidden = !open;
    more.setAttribute("aria-expanded", String(open));
  }

  function add() {
    const text = title.value.trim();
    if (!text) return;
    const { filter, label, list: inList } = app.store.get().route.params;
    const names = new Set(parseLabels(labels.value));
    // What is added to a view should appear in it.
    if (label) names.add(label);
    const day = due.value || (filter === "today" ? today() : filter === "overdue" ? addDays(today(), -1) : "");
    const fields = { title: text };
    if (day) fields.due_at = instantOf(day, END_OF_DAY);
    if (Number(priority.value)) fields.priority = Number(priority.value);
    const listId = details.hidden ? inList : list.value;
    if (listId) fields.list_id = listId;
    if (names.size) fields.labels = [...names];
    app.actions.addTodo(fields);
    node.reset();
    node.classList.remove("has-text");
    list.value = inList ?? "";
    title.focus();
    if (filter === "completed") app.router.with({ filter: "all" });
  }

  let drawn = "";
  function update(state) {
    const rows = sortedLists(state);
    const signature = JSON.stringify([rows.map((each) => [each.id, each.name]), state.route.params.list]);
    if (signature === drawn) return;
    drawn = signature;
    list.replaceChildren(h("option", { value: "" }, "No list"), ...rows.map((each) => h("option", { value: each.id }, each.name)));
    list.value = state.route.params.list ?? "";
  }

  return { node, update, focus: () => title.focus() };
}

const labelled = (text, control) => h("label.quick-field", null, h("span", null, text), control);
