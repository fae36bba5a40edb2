// The detail panel of one to-do: a column on wide windows, a sheet on phones. Each field saves itself.
// data-testid: todo-detail, detail-close, detail-title, detail-notes, detail-due-date, detail-due-time, detail-remind,
// detail-priority, detail-list, detail-labels, detail-history, detail-delete, detail-check

import { END_OF_DAY, instantOf, momentText, wallClock } from "../lib/format.js";
import { debounce, h, refill, s, setText } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { allLabels, sortedLists } from "../data/selectors.js";
import { createHistory } from "./history.js";
import { PRIORITIES } from "./todo-row.js";

const NOTES_MS = 800;
const MOST_LABELS = 20;

export function createTodoDetail(app) {
  let id = null;
  let todo = null;
  const save = (changes) => id && app.actions.patchTodo(id, changes);

  const check = h("input.check-input", { type: "checkbox", testid: "detail-check", "aria-label": "Completed", onchange: () => save({ completed: check.checked }) });
  const title = h("textarea.detail-title", {
    rows: "1", maxlength: "500", "aria-label": "Title", testid: "detail-title",
    oninput: () => grow(title),
    onchange: () => (title.value.trim() ? save({ title: title.value.trim().replace(/\s*\n\s*/g, " ") }) : (title.value = todo.title)),
    onkeydown: (event) => {
      if (event.key === "Enter" && !event.isComposing) {
        event.preventDefault();
        title.blur();
      }
    },
  });
  const saveNotes = debounce((forId, text) => app.actions.patchTodo(forId, { notes: text || null }), NOTES_MS);
  const notes = h("textarea.input.detail-notes", {
    rows: "4", maxlength: "10000", placeholder: "Add notes", testid: "detail-notes",
    oninput: () => {
      grow(notes);
      saveNotes(id, notes.value);
    },
    onblur: () => saveNotes.flush(),
  });
  const dueDate = h("input.input", { type: "date", testid: "detail-due-date", "aria-label": "Due date", onchange: saveDue });
  const dueTime = h("input.input", { type: "time", testid: "detail-due-time", "aria-label": "Due time", onchange: saveDue });
  const dueClear = h("button.icon-button", { type: "button", "aria-label": "Remove due date", testid: "detail-due-clear", onclick: () => save({ due_at: null }) }, icon("close"));
  const remind = h("input.input", { type: "datetime-local", testid: "detail-remind", onchange: saveReminder });
  const remindClear = h("button.icon-button", { type: "button", "aria-label": "Remove reminder", onclick: () => save({ remind_at: null }) }, icon("close"));
  const priority = h("select.input", { testid: "detail-priority", onchange: () => save({ priority: Number(priority.value) }) }, PRIORITIES.map((name, value) => h("option", { value }, name)));
  const list = h("select.input", { testid: "detail-list", onchange: () => save({ list_id: list.value || null }) });
  const labels = createLabels((names) => save({ labels: names }));
  const history = createHistory(app);
  const facts = h("p.detail-facts");

  const node = h("aside.detail", { testid: "todo-detail", "aria-label": "Details", hidden: true },
    h("div.detail-head", null,
      h("span.panel-title", null, "Details"),
      h("button.icon-button.danger", { type: "button", "aria-label": "Delete", title: "Delete", testid: "detail-delete", onclick: () => app.removeTodos([id]) }, icon("trash")),
      h("button.icon-button", { type: "button", "aria-label": "Close details", title: "Close (Esc)", testid: "detail-close", onclick: () => app.closeTodo() }, icon("close"))),
    h("div.detail-scroll", null,
      h("div.detail-top", null, h("label.check", null, check, s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, s("circle", { class: "check-ring", cx: 12, cy: 12, r: 9.25 }), s("path", { class: "check-tick", d: "M7.6 12.4l3 3 5.8-6.4" }))), title),
      row("due_at", "calendar", "Due", h("div.detail-pair", null, dueDate, dueTime, dueClear)),
      row("remind_at", "bell", "Remind me", h("div.detail-pair", null, remind, remindClear), remind),
      row("priority", "flag", "Priority", priority, priority),
      row("list_id", "list", "List", list, list),
      row("labels", "tag", "Labels", labels.node, labels.input),
      row("notes", "note", "Notes", notes, notes),
      history.node, facts));

  node.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    event.stopPropagation();
    app.closeTodo();
  });

  // While a field has the focus it keeps what is typed; then it shows what is so, a refused value's predecessor too.
  node.addEventListener("focusout", () => setTimeout(() => id && update(app.store.get())));

  function saveDue() {
    if (!dueDate.value) return save({ due_at: null });
    save({ due_at: instantOf(dueDate.value, dueTime.value || END_OF_DAY) });
  }

  function saveReminder() {
    const [date, time] = remind.value.split("T");
    save({ remind_at: date && time ? instantOf(date, time.slice(0, 5)) : null });
  }

  // A field that is being edited keeps what is typed; the rest follows the state.
  function put(control, value) {
    if (control !== document.activeElement && control.value !== value) control.value = value;
  }

  function update(state) {
    const wanted = state.route.path === "/" ? state.route.params.todo : null;
    const next = wanted ? state.todos.get(wanted) : null;
    if (wanted !== id) {
      saveNotes.flush();
      if (node.contains(document.activeElement)) document.activeElement.blur();
    }
    const opened = next && id !== next.id;
    id = next?.id ?? null;
    todo = next ?? null;
    node.hidden = !next;
    document.documentElement.classList.toggle("has-detail", Boolean(next));
    if (!next) return history.show(null);
    check.checked = next.completed;
    put(title, next.title);
    put(notes, next.notes ?? "");
    const due = next.due_at ? wallClock(next.due_at) : null;
    put(dueDate, due?.date ?? "");
    put(dueTime, due && due.time !== END_OF_DAY ? due.time : "");
    dueTime.disabled = !due;
    dueClear.hidden = !due;
    const at = next.remind_at ? wallClock(next.remind_at) : null;
    put(remind, at ? `${at.date}T${at.time}` : "");
    remindClear.hidden = !at;
    put(priority, String(next.priority));
    drawLists(state, next);
    labels.update(next.labels, allLabels(state));
    drawErrors(state.fieldErrors.get(next.id) ?? {});
    setText(facts, `Created ${momentText(next.created_at)}${next.completed_at ? ` · Completed ${momentText(next.completed_at)}` : ""}`);
    history.show(next);
    if (opened) requestAnimationFrame(() => [title, notes].forEach(grow));
    else grow(title);
  }

  let drawnLists = "";
  function drawLists(state, { list_id }) {
    const rows = sortedLists(state);
    const signature = JSON.stringify(rows.map((each) => [each.id, each.name]));
    if (signature !== drawnLists) refill(list, h("option", { value: "" }, "No list"), rows.map((each) => h("option", { value: each.id }, each.name)));
    drawnLists = signature;
    put(list, list_id ?? "");
  }

  function drawErrors(errors) {
    for (const each of node.querySelectorAll("[data-field]")) {
      const text = errors[each.dataset.field] ?? "";
      each.classList.toggle("invalid", Boolean(text));
      setText(each.querySelector(".field-note"), text);
    }
  }

  return { node, update, focus: () => title.focus(), flush: () => saveNotes.flush() };
}

function row(name, iconName, text, content, control) {
  if (control) control.id = `detail-${name}`;
  return h("div.detail-row", { dataset: { field: name } },
    control ? h("label.detail-label", { for: control.id }, icon(iconName), text) : h("span.detail-label", null, icon(iconName), text),
    h("div.detail-value", null, content, h("p.field-note")));
}

function grow(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
}

/** "home, Errands ,home" → ["home", "Errands"]. */
export function parseLabels(text) {
  const names = text.split(",").map((name) => name.trim().slice(0, 50)).filter(Boolean);
  return [...new Set(names)].slice(0, MOST_LABELS);
}

// Labels as removable chips with a field to add more: Enter or a comma ends one, Backspace takes the last.
function createLabels(onChange) {
  let names = [];
  let drawn = "";
  const options = h("datalist", { id: "label-names" });
  const input = h("input.labels-input", {
    testid: "detail-labels", list: "label-names", placeholder: "Add a label", autocomplete: "off", maxlength: "50",
    onkeydown: (event) => {
      if ((event.key === "Enter" || event.key === ",") && !event.isComposing) {
        event.preventDefault();
        take();
      } else if (event.key === "Backspace" && !input.value && names.length) onChange(names.slice(0, -1));
    },
    onchange: () => take(),
  });
  const chips = h("span.labels-chips");
  const node = h("div.input.labels", { onclick: (event) => event.target === node && input.focus() }, chips, input, options);

  function take() {
    const added = parseLabels(input.value);
    input.value = "";
    if (added.length) onChange([...new Set([...names, ...added])].slice(0, MOST_LABELS));
  }

  return {
    node,
    input,
    update(next, known) {
      names = next;
      const signature = JSON.stringify([next, known]);
      if (signature === drawn) return;
      drawn = signature;
      refill(chips, next.map((name) => h("span.chip.label", null, name,
        h("button.chip-remove", { type: "button", "aria-label": `Remove label ${name}`, onclick: () => onChange(names.filter((each) => each !== name)) }, icon("close")))));
      refill(options, known.filter((name) => !next.includes(name)).map((name) => h("option", { value: name })));
    },
  };
}
