// The sidebar: views, lists, labels and the summary; a drawer on phones.
// data-testid: nav-all, nav-today, nav-overdue, nav-completed, nav-list, nav-label, new-list, list-options, stats

import { dayText, numberText, today, addDays } from "../lib/format.js";
import { h, reconcile, refill, setText } from "../lib/dom.js";
import { icon, mark } from "../lib/icons.js";
import { allLabels, counts, sortedLists } from "../data/selectors.js";

const VIEWS = [["all", "inbox", "All to-dos"], ["today", "sun", "Today"], ["overdue", "alert", "Overdue"], ["completed", "check", "Completed"]];
const MOST_LABELS = 12;

export function createSidebar(app) {
  const views = h("ul.nav", { role: "list" }, VIEWS.map(([name, iconName, text]) => h("li", null, link({ testid: `nav-${name}`, iconName, text }))));
  const lists = h("ul.nav", { role: "list" });
  const labels = h("ul.nav", { role: "list" });
  const labelsHead = h("div.nav-head", null, h("h2", null, "Labels"));
  const stats = h("section.stats", { testid: "stats", "aria-label": "Summary" });
  const node = h("nav.sidebar", { id: "sidebar", "aria-label": "To-dos and lists" },
    h("a.brand", { href: "#/", "aria-label": "Banyan, home" }, mark(), h("span", null, "Banyan")),
    h("div.sidebar-scroll", null, views,
      h("div.nav-head", null, h("h2", null, "Lists"), h("button.icon-button", { type: "button", testid: "new-list", "aria-label": "New list", title: "New list", onclick: () => app.editList(null) }, icon("plus"))),
      lists, labelsHead, labels),
    stats);
  node.addEventListener("click", (event) => event.target.closest("a") && app.closeDrawer());

  let drawnStats = "";

  function update(state) {
    const { path, params } = state.route;
    const count = counts(state);
    const here = path !== "/" ? "" : params.list ? `list:${params.list}` : params.label ? `label:${params.label}` : ["today", "overdue", "completed"].includes(params.filter) ? params.filter : "all";
    VIEWS.forEach(([name], index) => {
      fillLink(views.children[index].firstElementChild, { href: app.router.address("/", name === "all" ? {} : { filter: name }), current: here === name, count: count[name] || "", urgent: name === "overdue" && count.overdue > 0 });
    });
    reconcile(lists, sortedLists(state), (list) => list.id, makeList, (item, list) => {
      const anchor = item.firstElementChild;
      fillLink(anchor, { href: app.router.address("/", { list: list.id }), current: here === `list:${list.id}`, count: count.lists.get(list.id) || "", text: list.name });
      anchor.querySelector(".swatch").style.setProperty("--swatch", list.color ?? "");
      item.querySelector(".nav-more").setAttribute("aria-label", `Options of ${list.name}`);
    });
    const names = allLabels(state).sort((a, b) => (count.labels.get(b) ?? 0) - (count.labels.get(a) ?? 0)).slice(0, MOST_LABELS);
    labelsHead.hidden = !names.length;
    reconcile(labels, names, (name) => name, () => h("li", null, link({ testid: "nav-label", iconName: "tag", text: "" })), (item, name) =>
      fillLink(item.firstElementChild, { href: app.router.address("/", { label: name }), current: here === `label:${name}`, count: count.labels.get(name) || "", text: name }));
    drawStats(state, count);
  }

  function makeList(list) {
    const more = h("button.icon-button.nav-more", { type: "button", testid: "list-options", "aria-haspopup": "menu", onclick: () => app.openListMenu(more, list.id) }, icon("more"));
    const anchor = link({ testid: "nav-list", text: "" });
    anchor.prepend(h("span.swatch"));
    return h("li.nav-list", null, anchor, more);
  }

  function drawStats(state, count) {
    const per = new Map((state.stats?.completed_per_day ?? []).map((day) => [day.date, day.count]));
    const days = Array.from({ length: 7 }, (_, index) => addDays(today(), index - 6)).map((date) => ({ date, count: per.get(date) ?? 0 }));
    const week = days.reduce((sum, day) => sum + day.count, 0);
    const signature = JSON.stringify([days, state.stats?.completed, count.all, count.overdue]);
    if (signature === drawnStats) return;
    drawnStats = signature;
    const most = Math.max(1, ...days.map((day) => day.count));
    refill(stats,
      h("p.stats-title", null, h("strong", null, numberText(week)), " completed in 7 days"),
      h("div.bars", { role: "img", "aria-label": days.map((day) => `${dayText(day.date)}: ${day.count}`).join("; ") },
        days.map((day) => h("span.bar", { title: `${dayText(day.date)}: ${day.count}`, vars: { "--h": String(day.count / most) } }))),
      h("dl.stats-numbers", null, number("Open", count.all), number("Overdue", count.overdue), number("Done", state.stats?.completed ?? 0)));
  }

  return { node, update };
}

const number = (name, value) => h("div", null, h("dt", null, name), h("dd", null, numberText(value)));

const link = ({ testid, iconName, text }) => h("a.nav-link", { testid }, iconName ? icon(iconName) : null, h("span.nav-text", null, text), h("span.nav-count"));

function fillLink(anchor, { href, current, count, text, urgent = false }) {
  if (anchor.getAttribute("href") !== href) anchor.setAttribute("href", href);
  if (current) anchor.setAttribute("aria-current", "page");
  else anchor.removeAttribute("aria-current");
  if (text !== undefined) setText(anchor.querySelector(".nav-text"), text);
  const counter = anchor.querySelector(".nav-count");
  setText(counter, count === "" ? "" : numberText(count));
  counter.classList.toggle("urgent", urgent);
}
