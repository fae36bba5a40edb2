// Short messages at the bottom of the window, spoken by screen readers.

import { h, prefersLessMotion } from "../lib/dom.js";
import { icon } from "../lib/icons.js";

const SHOWN_MS = 5_000;
const MOST = 3;

/** data-testid: toast, toast-action, toast-close */
export function createToasts() {
  const polite = h("div.toasts", { role: "region", "aria-label": "Messages" });
  const politely = h("div.visually-hidden", { role: "status", "aria-live": "polite" });
  const urgently = h("div.visually-hidden", { role: "alert" });
  document.body.append(polite, politely, urgently);

  /**
   * Show a message. kind: "info" | "success" | "error". action: {label, run}. Returns a function that removes it.
   * The clock stands still while the pointer or the focus is on the toast.
   */
  function show(text, { kind = "info", action = null, ms = kind === "error" ? 8_000 : SHOWN_MS } = {}) {
    let timer = 0;
    const close = () => {
      clearTimeout(timer);
      if (!node.isConnected || node.classList.contains("leaving")) return;
      node.classList.add("leaving");
      setTimeout(() => node.remove(), prefersLessMotion() ? 0 : 180);
    };
    const node = h(`div.toast.toast-${kind}`, { testid: "toast" },
      kind === "error" ? icon("alert") : kind === "success" ? icon("check") : null,
      h("p.toast-text", null, text),
      action && h("button.toast-action", {
        type: "button", testid: "toast-action",
        onclick: () => {
          close();
          action.run();
        },
      }, action.label),
      h("button.toast-close", { type: "button", testid: "toast-close", "aria-label": "Dismiss", onclick: close }, icon("close")));
    const start = () => (timer = setTimeout(close, ms));
    // A deletion's undo ends with its hold: that toast must not outstay it.
    if (!action?.strict) {
      node.addEventListener("pointerenter", () => clearTimeout(timer));
      node.addEventListener("pointerleave", start);
      node.addEventListener("focusin", () => clearTimeout(timer));
      node.addEventListener("focusout", start);
    }
    polite.append(node);
    while (polite.children.length > MOST) polite.firstElementChild.remove();
    const speaker = kind === "error" ? urgently : politely;
    speaker.textContent = action ? `${text} ${action.label} is available.` : text;
    start();
    return close;
  }

  return { show, error: (text, options) => show(text, { ...options, kind: "error" }), success: (text, options) => show(text, { ...options, kind: "success" }) };
}
