// A small menu under a button (WAI-ARIA menu button pattern).

import { h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";

/** Open a menu at `anchor`. items: [{label, icon, run, danger, testid, checked}] or "-" for a line. */
export function openMenu(anchor, items, label) {
  document.querySelector(".menu")?.dispatchEvent(new Event("dismiss"));
  const menu = h("div.menu", { role: "menu", "aria-label": label },
    items.map((item) => item === "-" ? h("hr") : h(`button.menu-item${item.danger ? ".danger" : ""}`, {
      type: "button",
      role: item.checked === undefined ? "menuitem" : "menuitemradio",
      "aria-checked": item.checked === undefined ? null : String(item.checked),
      tabindex: "-1",
      testid: item.testid,
      onclick: () => {
        close();
        item.run();
      },
    }, item.swatch ? h("span.swatch", { vars: { "--swatch": item.swatch } }) : item.icon ? icon(item.icon) : null, h("span", null, item.label),
    item.checked ? icon("check", "icon menu-check") : null)));
  const entries = [...menu.querySelectorAll(".menu-item")];

  function close(refocus = true) {
    if (!menu.isConnected) return;
    menu.remove();
    anchor.setAttribute("aria-expanded", "false");
    removeEventListener("pointerdown", outside, true);
    removeEventListener("resize", dismiss);
    if (refocus) anchor.focus();
  }
  const dismiss = () => close(false);
  const outside = (event) => {
    if (!menu.contains(event.target)) close(false);
  };

  menu.addEventListener("keydown", (event) => {
    const at = entries.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") close();
    else if (to !== undefined) entries.at(to % entries.length).focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  menu.addEventListener("dismiss", dismiss);

  document.body.append(menu);
  place(menu, anchor);
  anchor.setAttribute("aria-expanded", "true");
  addEventListener("pointerdown", outside, true);
  addEventListener("resize", dismiss);
  entries[0]?.focus();
}

// Below the anchor, its right edge aligned; above or further in when the window ends.
function place(menu, anchor) {
  const at = anchor.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const left = Math.min(Math.max(8, at.right - width), innerWidth - width - 8);
  const below = at.bottom + 6;
  const top = below + height > innerHeight - 8 ? Math.max(8, at.top - height - 6) : below;
  menu.style.left = `${left}px`;
  menu.style.top = `${top}px`;
}
