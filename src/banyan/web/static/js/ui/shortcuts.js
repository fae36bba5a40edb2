// Keyboard shortcuts for the whole window. Keys typed into fields and open dialogs are left alone.

import { isTyping } from "../lib/dom.js";

const CHORD_MS = 1_000;

/** keys: {"n": run, "g t": run, …}. active() says whether shortcuts apply now. */
export function listenForShortcuts(keys, active) {
  let first = "";
  let timer = 0;

  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (isTyping(event.target) || document.querySelector("dialog[open], .menu") || !active()) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const chord = first ? `${first} ${key}` : key;
    clearTimeout(timer);
    first = "";
    const run = keys[chord] ?? keys[key];
    if (run) {
      event.preventDefault();
      run();
    } else if (Object.keys(keys).some((each) => each.startsWith(`${key} `))) {
      first = key;
      timer = setTimeout(() => (first = ""), CHORD_MS);
    }
  });
}
