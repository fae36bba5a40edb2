// Modal dialogs, on the platform's own <dialog>: it traps the focus, closes on Escape and gives the focus back.

import { h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";

let count = 0;

/** Open a dialog. build(close) returns its content; resolves with what close() was given, null when dismissed. */
export function openDialog({ title, className = "", build, testid = "dialog" }) {
  return new Promise((resolve) => {
    count += 1;
    const headingId = `dialog-title-${count}`;
    let result = null;
    const close = (value) => {
      result = value ?? null;
      dialog.close();
    };
    const dialog = h("dialog.dialog", { testid, "aria-labelledby": headingId },
      h("div.dialog-head", null,
        h("h2.dialog-title", { id: headingId }, title),
        h("button.icon-button", { type: "button", "aria-label": "Close", onclick: () => close() }, icon("close"))),
      build(close));
    if (className) dialog.classList.add(className);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    // A click on the backdrop lands on the dialog element itself.
    dialog.addEventListener("pointerdown", (event) => {
      if (event.target === dialog) close();
    });
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("[autofocus]")?.focus();
  });
}

/** Ask a yes-or-no question. */
export function confirmDialog({ title, text, yes, danger = false }) {
  return openDialog({
    title,
    testid: "confirm-dialog",
    build: (close) => h("div.dialog-body", null,
      h("p", null, text),
      h("div.dialog-actions", null,
        h("button.button", { type: "button", onclick: () => close(false) }, "Cancel"),
        h(`button.button.${danger ? "danger" : "primary"}`, { type: "button", autofocus: true, testid: "confirm-yes", onclick: () => close(true) }, yes))),
  });
}
