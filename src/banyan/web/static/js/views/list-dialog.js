// Making and changing lists. data-testid: list-dialog, list-form, list-rename, list-delete

import { h } from "../lib/dom.js";
import { confirmDialog, openDialog } from "../ui/dialog.js";
import { field, form } from "../ui/forms.js";
import { openMenu } from "../ui/menu.js";

export const COLORS = [["#2f7d57", "Green"], ["#3b7ea1", "Blue"], ["#6c6fc4", "Violet"], ["#a8578f", "Plum"], ["#c4554d", "Red"], ["#cf7a3a", "Orange"], ["#b8962e", "Gold"], ["#75706a", "Grey"]];

/** Ask for a list's name and colour; list null makes a new one and opens it. */
export function editList(app, list) {
  const color = list?.color ?? COLORS[app.store.get().lists.size % COLORS.length][0];
  return openDialog({
    title: list ? "Edit list" : "New list", testid: "list-dialog",
    build: (close) => h("div.dialog-body", null, form({
      testid: "list-form", button: list ? "Save" : "Create list",
      fields: [
        field({ label: "Name", name: "name", required: true, maxlength: "100", autofocus: true, autocomplete: "off", value: list?.name ?? "" }),
        h("fieldset.colors", null, h("legend.field-label", null, "Colour"), COLORS.map(([value, name]) => h("label.color", { title: name, vars: { "--swatch": value } },
          h("input", { type: "radio", name: "color", value, checked: value === color, "aria-label": name })))),
      ],
      async submit({ name, color: chosen }) {
        if (list) app.actions.patchList(list.id, { name: name.trim(), color: chosen ?? list.color });
        else app.router.go("/", { list: app.actions.addList(name.trim(), chosen ?? color) });
        close();
      },
    })),
  });
}

export function openListMenu(app, anchor, id) {
  const list = app.store.get().lists.get(id);
  if (!list) return;
  openMenu(anchor, [
    { label: "Rename or recolour", icon: "pencil", testid: "list-rename", run: () => editList(app, list) },
    { label: "Delete list", icon: "trash", danger: true, testid: "list-delete", run: () => remove(app, list) },
  ], `List ${list.name}`);
}

async function remove(app, list) {
  const yes = await confirmDialog({ title: `Delete “${list.name}”?`, text: "Its to-dos stay; they just no longer belong to a list.", yes: "Delete list", danger: true });
  if (!yes) return;
  app.actions.removeList(list.id);
  if (app.store.get().route.params.list === list.id) app.router.go("/");
}
