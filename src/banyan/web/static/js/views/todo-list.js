// The list of to-dos: heading, filters, quick add, rows, the end of the list.
// data-testid: filter-all, filter-open, filter-completed, filter-today, filter-overdue, todo-list, completed-list,
// clear-completed, list-menu, empty-state (rows: see todo-row.js; adding: see quick-add.js)

import { countText, todayText } from "../lib/format.js";
import { h, reconcile, refill, setText } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { FILTERS, isOffline, visibleTodos } from "../data/selectors.js";
import { pageKey } from "../data/loader.js";
import { makeSortable } from "../ui/drag.js";
import { allDone, nothingFound, sapling } from "../ui/illustrations.js";
import { createQuickAdd } from "./quick-add.js";
import { createRow, editTitle, updateRow } from "./todo-row.js";

const FILTER_NAMES = { all: "All", open: "Open", completed: "Completed", today: "Today", overdue: "Overdue" };

export function createTodoList(app) {
  const heading = h("h1.view-title", { id: "view-title", tabindex: "-1" });
  const subtitle = h("p.view-subtitle");
  const swatch = h("span.swatch.title-swatch");
  const listMenu = h("button.icon-button", { type: "button", testid: "list-menu", "aria-label": "List options", "aria-haspopup": "menu", onclick: () => app.openListMenu(listMenu, app.store.get().route.params.list) }, icon("more"));
  const filters = h("div.segments", { role: "group", "aria-label": "Filter" }, FILTERS.map((name) =>
    h("button.segment", { type: "button", testid: `filter-${name}`, dataset: { filter: name }, onclick: () => app.router.with({ filter: name === "all" ? "" : name, todo: "" }) }, FILTER_NAMES[name])));
  const quick = createQuickAdd(app);
  const openRows = h("ul.todos", { testid: "todo-list", "aria-label": "Open to-dos", role: "list" });
  const doneRows = h("ul.todos.done", { testid: "completed-list", "aria-label": "Completed to-dos", role: "list" });
  const doneTitle = h("h2.group-title");
  const doneHead = h("div.group-head", null, doneTitle, h("button.button.quiet", { type: "button", testid: "clear-completed", onclick: clearCompleted }, "Clear completed"));
  const empty = h("div.empty", { testid: "empty-state" });
  const skeleton = h("div.skeletons", { "aria-hidden": "true" }, [72, 54, 80, 46, 63, 58].map((width) => h("div.skeleton-row", null, h("span.skeleton.round"), h("span.skeleton", { vars: { "--w": `${width}%` } }))));
  const sentinel = h("div.sentinel", { "aria-hidden": "true" });
  const node = h("main.list-view", { tabindex: "-1", "aria-labelledby": "view-title" }, h("div.list-inner", null,
    h("div.view-head", null, h("div.view-heading", null, h("div.view-title-line", null, swatch, heading, listMenu), subtitle), filters),
    quick.node, skeleton, openRows, empty, doneHead, doneRows, sentinel));

  let focusId = null; // the row that Tab reaches
  let shown = { open: [], completed: [] };
  let placesHeldUntil = 0;
  let loadingMore = false;
  let emptyKind = "";

  const rows = () => [...node.querySelectorAll(".todo")];
  const rowOf = (id) => node.querySelector(`.todo[data-id="${CSS.escape(id)}"]`);

  makeSortable(openRows, {
    selector: ".todo", scroller: () => node,
    onDrop: (id, beforeId) => app.actions.moveTodo(id, beforeId, shown.open.map((todo) => todo.id)),
  });

  new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) loadMore();
  }, { root: node, rootMargin: "400px" }).observe(sentinel);

  async function loadMore() {
    const state = app.store.get();
    const { filter = "all" } = state.route.params;
    if (loadingMore || state.loading || state.status !== "signed-in" || isOffline(state) || !["all", "completed"].includes(filter)) return;
    loadingMore = true;
    try {
      const { list, label, q } = state.route.params;
      if (await app.loader.moreCompleted({ list, label, q })) {
        // Still in view? Then one page was not enough to fill the window.
        const { top } = sentinel.getBoundingClientRect();
        if (top < innerHeight + 400) setTimeout(loadMore);
      }
    } catch {
      // Offline: what is in the copy is all there is.
    } finally {
      loadingMore = false;
    }
  }

  async function clearCompleted() {
    const ids = shown.completed.map((todo) => todo.id);
    if (ids.length) app.removeTodos(ids);
  }

  function setFocus(id, { move = true } = {}) {
    focusId = id;
    for (const row of rows()) roving(row);
    if (move && id) {
      rowOf(id)?.focus();
      rowOf(id)?.scrollIntoView({ block: "nearest" });
    }
  }

  // One row at a time is in the tab order, with its controls.
  function roving(row) {
    const on = row.dataset.id === focusId;
    row.tabIndex = on ? 0 : -1;
    for (const control of row.querySelectorAll("button, input")) control.tabIndex = on ? 0 : -1;
  }

  node.addEventListener("focusin", (event) => {
    const row = event.target.closest?.(".todo");
    if (row && row.dataset.id !== focusId) setFocus(row.dataset.id, { move: false });
  });

  function step(by) {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.dataset.id === focusId && node.contains(document.activeElement));
    const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by));
    setFocus(all[next].dataset.id);
  }

  function move(by) {
    const ids = shown.open.map((todo) => todo.id);
    const at = ids.indexOf(focusId);
    const to = at + by;
    if (at < 0 || to < 0 || to >= ids.length) return;
    const beforeId = by < 0 ? ids[to] : ids[to + 1] ?? null;
    app.actions.moveTodo(focusId, beforeId, ids);
    app.announce(`Moved to place ${to + 1} of ${ids.length}.`);
    queueMicrotask(() => queueMicrotask(() => setFocus(focusId)));
  }

  node.addEventListener("keydown", (event) => {
    const row = event.target.closest?.(".todo");
    if (!row || event.target !== row) return;
    const key = `${event.altKey ? "Alt+" : ""}${event.key}`;
    const run = {
      "Alt+ArrowUp": () => move(-1), "Alt+ArrowDown": () => move(1),
      ArrowUp: () => step(-1), ArrowDown: () => step(1),
      Home: () => setFocus(rows()[0].dataset.id), End: () => setFocus(rows().at(-1).dataset.id),
      Enter: () => app.openTodo(row.dataset.id), " ": () => row.querySelector(".check-input").click(),
    }[key];
    if (!run) return;
    event.preventDefault();
    event.stopPropagation();
    run();
  });

  function update(state) {
    const { params } = state.route;
    const { filter = "all" } = params;
    let next = visibleTodos(state);
    if (Date.now() < placesHeldUntil) next = keepPlaces(next);
    const before = [...shown.open, ...shown.completed].map((todo) => todo.id);
    shown = next;
    const list = params.list ? state.lists.get(params.list) : null;
    drawHead(state, params, list, filter);
    quick.update(state);

    const context = { lists: state.lists, selectedId: params.todo, hideList: Boolean(params.list), waitingIds: waitingIds(state) };
    const draw = (row, todo) => updateRow(row, todo, context);
    const make = (todo) => createRow(app, todo);
    const all = [...shown.open, ...shown.completed].map((todo) => todo.id);
    const hadFocus = document.activeElement?.closest?.(".todo")?.dataset.id;
    reconcile(openRows, shown.open, (todo) => todo.id, make, draw);
    reconcile(doneRows, shown.completed, (todo) => todo.id, make, draw);
    // A row that left takes the focus along; its neighbour gets it instead of the body.
    if (!all.includes(focusId)) focusId = all[Math.min(all.length - 1, Math.max(0, before.indexOf(focusId)))] ?? null;
    for (const row of rows()) roving(row);
    if (hadFocus && !node.contains(document.activeElement) && focusId) rowOf(focusId)?.focus();

    skeleton.hidden = !state.loading;
    doneHead.hidden = !shown.completed.length;
    setText(doneTitle, `Completed · ${shown.completed.length}${state.pages[pageKey(params)] ? "+" : ""}`);
    doneRows.hidden = !shown.completed.length;
    openRows.hidden = !shown.open.length;
    drawEmpty(state, filter, params);
    if (sentinel.getBoundingClientRect().top < innerHeight + 400) loadMore();
  }

  // While a tick is being drawn, a to-do just completed stays where it was.
  function keepPlaces(next) {
    const were = shown.open.map((todo) => todo.id);
    const done = new Map(next.completed.map((todo) => [todo.id, todo]));
    const stay = new Set(were.filter((id) => done.has(id)));
    if (!stay.size) return next;
    const byId = new Map([...next.open, ...next.completed].map((todo) => [todo.id, todo]));
    const kept = were.map((id) => byId.get(id)).filter(Boolean);
    const added = next.open.filter((todo) => !were.includes(todo.id));
    return { open: [...added, ...kept], completed: next.completed.filter((todo) => !stay.has(todo.id)) };
  }

  function drawHead(state, params, list, filter) {
    const name = params.q ? `Results for “${params.q}”` : list ? list.name : params.label ? `#${params.label}` : filter === "today" ? "Today" : filter === "overdue" ? "Overdue" : "All to-dos";
    setText(heading, name);
    if (state.status === "signed-in") document.title = `${state.unread ? `(${state.unread}) ` : ""}${name} · Banyan`;
    setText(subtitle, filter === "today" ? todayText() : state.loading ? "" : countText(shown.open.length, "open to-do"));
    swatch.hidden = !list;
    swatch.style.setProperty("--swatch", list?.color ?? "");
    listMenu.hidden = !list;
    for (const each of filters.children) each.setAttribute("aria-pressed", String(each.dataset.filter === filter));
  }

  function drawEmpty(state, filter, params) {
    const none = !state.loading && !shown.open.length && (!shown.completed.length || filter === "open");
    empty.hidden = !none;
    const kind = params.q ? "q" : params.list ? `list-${filter}` : filter;
    if (!none || kind === emptyKind) return;
    emptyKind = kind;
    const [picture, title, text] = params.q ? [nothingFound, "Nothing found", "Try another word, or fewer of them."]
      : filter === "completed" ? [sapling, "Nothing completed yet", "What you tick off is kept here."]
      : filter === "today" ? [allDone, "Nothing due today", "Enjoy the shade."]
      : filter === "overdue" ? [allDone, "Nothing overdue", "Everything is on time."]
      : filter === "open" ? [allDone, "All done", "Every to-do here is completed."]
      : params.list || params.label ? [sapling, "Nothing here yet", "Add the first to-do above."]
      : [sapling, "Room to grow", "Add your first to-do above."];
    refill(empty, picture(), h("p.empty-title", null, title), h("p.empty-text", null, text));
  }

  const focused = () => (focusId && node.contains(document.activeElement) ? rowOf(focusId) : null);

  return {
    node,
    update,
    focusHeading: () => heading.focus({ preventScroll: true }),
    focusNew: () => quick.focus(),
    step,
    holdPlaces(ms) {
      placesHeldUntil = Date.now() + ms;
      if (ms) setTimeout(() => update(app.store.get()), ms + 20);
    },
    toggleFocused: () => focused()?.querySelector(".check-input").click(),
    editFocused: () => focused() && editTitle(focused(), app),
    removeFocused: () => focused() && app.removeTodos([focusId]),
    focusRow: (id) => setFocus(id),
  };
}

const OLD_ENOUGH_MS = 1_500;

/** The to-dos with a change that has been waiting for a while: a quick answer needs no mark. */
function waitingIds(state) {
  const ids = new Set();
  const late = Date.now() - OLD_ENOUGH_MS;
  const stuck = !state.online || !state.reachable;
  for (const op of state.queue) if (op.kind.startsWith("todo.") && (stuck || Date.parse(op.at) < late)) ids.add(op.id);
  return ids;
}
