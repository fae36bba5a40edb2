// What happened to a to-do, from the event log. data-testid: history-toggle, history-list

import { agoText, dueText, momentText } from "../lib/format.js";
import { h, refill } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { explain } from "../net/api.js";
import { PRIORITIES } from "./todo-row.js";

export function createHistory(app) {
  let todo = null;
  let drawn = "";
  const list = h("ol.history-list", { testid: "history-list" });
  const node = h("details.history", { ontoggle: () => load() }, h("summary", { testid: "history-toggle" }, icon("history"), "History", icon("chevron", "icon turn")), list);

  async function load() {
    if (!node.open || !todo) return;
    const asked = todo.id;
    drawn = `${todo.id} ${todo.version}`;
    try {
      const { data } = await app.api.get(`/todos/${asked}/history`);
      if (todo?.id !== asked) return;
      refill(list, data.toReversed().map((entry) => h("li", null, h("span", null, sentence(entry, app.store.get().lists)), h("time", { datetime: entry.at, title: momentText(entry.at) }, agoText(entry.at)))));
    } catch (error) {
      refill(list, h("li", null, error.status === 404 ? "Not on the server yet." : explain(error)));
    }
  }

  return {
    node,
    show(next) {
      if (next?.id !== todo?.id) {
        node.open = false;
        refill(list);
      }
      todo = next;
      if (node.open && todo && drawn !== `${todo.id} ${todo.version}`) load();
    },
  };
}

const FIELDS = {
  title: (value) => `Renamed to “${value}”`,
  completed: (value) => (value ? "Completed" : "Reopened"),
  notes: (value) => (value ? "Changed the notes" : "Removed the notes"),
  due_at: (value) => (value ? `Due ${dueText(value)}` : "Removed the due date"),
  remind_at: (value) => (value ? `Reminder set for ${momentText(value)}` : "Removed the reminder"),
  priority: (value) => `Priority: ${PRIORITIES[value]?.toLowerCase() ?? value}`,
  labels: (value) => (value.length ? `Labels: ${value.join(", ")}` : "Removed the labels"),
  list_id: (value, lists) => (value ? `Moved to ${lists.get(value)?.name ?? "a list"}` : "Taken off its list"),
  order: () => "Moved in the list",
};

function sentence({ type, data }, lists) {
  if (type === "TodoCreated") return "Created";
  if (type === "TodoDeleted") return "Deleted";
  if (type === "TodoReminded") return "Reminder sent";
  const parts = Object.entries(data ?? {}).filter(([field]) => FIELDS[field]).map(([field, value]) => FIELDS[field](value, lists));
  return parts.join(" · ") || "Changed";
}
