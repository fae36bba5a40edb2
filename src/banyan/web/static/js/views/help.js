// The keyboard shortcuts, all in one place. data-testid: help-dialog

import { h } from "../lib/dom.js";
import { openDialog } from "../ui/dialog.js";

const GROUPS = [
  ["Anywhere", [["n", "New to-do"], ["/", "Search"], ["g i", "All to-dos"], ["g t", "Today"], ["g o", "Overdue"], ["g n", "Notifications"], ["g s", "Settings"], ["?", "This help"]]],
  ["In the list", [["j ↓", "Next"], ["k ↑", "Previous"], ["x Space", "Complete or reopen"], ["e", "Edit the title"], ["Enter", "Open the details"], ["Delete", "Delete, with undo"], ["Alt ↑ ↓", "Move up or down"], ["Esc", "Close what is open"]]],
];

export const openHelp = () => openDialog({
  title: "Keyboard shortcuts", className: "wide", testid: "help-dialog",
  build: () => h("div.help", null, GROUPS.map(([name, rows]) => h("section", null, h("h3", null, name),
    h("dl", null, rows.map(([keys, text]) => h("div", null, h("dt", null, text), h("dd", null, keys.split(" ").map((key) => h("kbd", null, key))))))))),
});
