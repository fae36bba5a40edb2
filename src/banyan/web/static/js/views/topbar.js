// The bar above the list: menu (phone), search, offline pill, notifications, account.
// data-testid: menu-button, search, search-clear, offline-pill, notifications-button, unread-badge, account-button,
// account-settings, account-theme-*, account-help, account-logout

import { countText, initials } from "../lib/format.js";
import { debounce, h, refill, setText } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { isOffline, waiting } from "../data/selectors.js";
import { chooseTheme, chosenTheme } from "../ui/theme.js";
import { openMenu } from "../ui/menu.js";

const SEARCH_MS = 250;
const SAVING_SHOWN_MS = 2_000;
const THEME_NAMES = { system: ["half", "Theme: as the system"], light: ["sun", "Light theme"], dark: ["moon", "Dark theme"] };

export function createTopbar(app, notifications) {
  const search = h("input.search-input", {
    type: "search", testid: "search", placeholder: "Search", "aria-label": "Search to-dos", autocomplete: "off", "aria-keyshortcuts": "/",
    oninput: () => find(search.value.trim()),
    onkeydown: (event) => {
      if (event.key === "Enter") find.flush();
      if (event.key === "Escape") {
        search.value = "";
        find("");
        find.flush();
        search.blur();
      }
    },
  });
  const find = debounce((q) => {
    const { path, params } = app.store.get().route;
    // A search looks everywhere; each letter is not a step in the browser's history.
    if (q) app.router.replace("/", { ...(path === "/" ? params : {}), q, todo: "" });
    else if (params.q) app.router.with({ q: "" }, { replace: true });
    if (q) app.loader?.search(q).catch(() => {});
  }, SEARCH_MS);
  const menu = h("button.icon-button.menu-button", { type: "button", testid: "menu-button", "aria-label": "Menu", "aria-controls": "sidebar", "aria-expanded": "false", onclick: () => app.toggleDrawer() }, icon("menu"));
  const pillText = h("span");
  const pill = h("div.pill", { testid: "offline-pill", role: "status", hidden: true }, icon("cloud"), pillText);
  const badge = h("span.badge", { testid: "unread-badge", hidden: true });
  const spoken = h("span.visually-hidden", { "aria-live": "polite" });
  const bell = h("button.icon-button.bell", { type: "button", testid: "notifications-button", "aria-label": "Notifications", "aria-haspopup": "dialog", "aria-expanded": "false", onclick: () => notifications.toggle(bell) }, icon("bell"), badge);
  const avatar = h("span.avatar", { "aria-hidden": "true" });
  const account = h("button.account", { type: "button", testid: "account-button", title: "Account", "aria-haspopup": "menu", "aria-expanded": "false", onclick: openAccount }, avatar, h("span.visually-hidden", null, "Account"));
  const node = h("header.topbar", null, menu, h("div.search", { role: "search" }, icon("search"), search, h("kbd.search-key", { "aria-hidden": "true" }, "/")), h("div.topbar-end", null, pill, bell, account), spoken);

  function openAccount() {
    const { user } = app.store.get();
    openMenu(account, [
      { label: "Settings", icon: "gear", testid: "account-settings", run: () => app.router.go("/settings") },
      { label: "Keyboard shortcuts", icon: "keyboard", testid: "account-help", run: () => app.openHelp() },
      "-",
      ...Object.entries(THEME_NAMES).map(([theme, [iconName, label]]) => ({ label, icon: iconName, checked: chosenTheme() === theme, testid: `account-theme-${theme}`, run: () => chooseTheme(theme) })),
      "-",
      { label: "Log out", icon: "logout", testid: "account-logout", run: () => app.logout() },
    ], user?.name ?? "Account");
  }

  let drawnAvatar = "";
  let recheck = 0;

  function update(state) {
    const q = state.route.params.q ?? "";
    if (document.activeElement !== search && search.value !== q) search.value = q;
    badge.hidden = state.unread === 0;
    setText(badge, state.unread > 99 ? "99+" : String(state.unread));
    const name = state.unread ? `Notifications, ${state.unread} unread` : "Notifications";
    if (bell.getAttribute("aria-label") !== name) {
      bell.setAttribute("aria-label", name);
      if (!state.loading) setText(spoken, state.unread ? countText(state.unread, "unread notification") : "");
    }
    drawPill(state);
    drawAvatar(state.user);
  }

  // Offline always shows; while online, changes show only when they take suspiciously long.
  function drawPill(state) {
    const count = waiting(state);
    const offline = isOffline(state);
    const slow = !offline && state.queue.some((op) => !(op.notBefore > Date.now()) && Date.now() - Math.max(Date.parse(op.at), op.notBefore ?? 0) > SAVING_SHOWN_MS);
    pill.hidden = !offline && !slow;
    pill.classList.toggle("saving", !offline);
    const changes = countText(count, "change");
    setText(pillText, offline ? (count ? `Offline – ${changes} waiting` : "Offline") : `Saving ${changes}…`);
    clearTimeout(recheck);
    if (count && !offline && !slow) recheck = setTimeout(() => drawPill(app.store.get()), SAVING_SHOWN_MS + 50);
  }

  function drawAvatar(user) {
    const signature = JSON.stringify([user?.name, user?.avatar_url]);
    if (signature === drawnAvatar) return;
    drawnAvatar = signature;
    fillAvatar(avatar, user);
  }

  return { node, update, focusSearch: () => search.focus(), bell };
}

/** The user's picture, or the initials where there is none or it does not load. */
export function fillAvatar(node, user) {
  refill(node, initials(user?.name));
  if (!/^https:\/\//.test(user?.avatar_url ?? "")) return;
  const image = h("img", { src: user.avatar_url, alt: "", referrerpolicy: "no-referrer", onload: () => refill(node, image) });
}
