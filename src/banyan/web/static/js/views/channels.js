// Where notifications go besides the inbox: webhooks and e-mail. data-testid: channels, channel-item, channel-test, channel-switch, channel-delete,
// channel-add-webhook, channel-add-email, webhook-dialog, webhook-form, secret-dialog, webhook-secret

import { h, refill } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { explain } from "../net/api.js";
import { confirmDialog, openDialog } from "../ui/dialog.js";
import { field, form } from "../ui/forms.js";

const PATH = "/notifications/channels";

/** attempt(work) runs it and shows what went wrong. */
export function createChannels(app, attempt) {
  const list = h("ul.devices", { role: "list", testid: "channels" });
  const none = h("p.muted", { hidden: true }, "Nowhere else yet.");
  const mail = h("button.button", { type: "button", testid: "channel-add-email", hidden: true, onclick: addEmail }, icon("mail"), "Add e-mail");
  const node = h("div.channels", null, list, none,
    h("div.channel-actions", null, h("button.button", { type: "button", testid: "channel-add-webhook", onclick: addWebhook }, icon("plus"), "Add a webhook"), mail));

  async function load() {
    try {
      const { data } = await app.api.get(PATH);
      refill(list, data.map(row));
      list.hidden = data.length === 0;
      none.hidden = data.length > 0;
      mail.hidden = data.some((each) => each.kind === "email");
    } catch (error) {
      refill(list, h("li.muted", null, explain(error)));
    }
  }

  function row(each) {
    const name = each.name || (each.kind === "email" ? "E-mail" : each.host);
    return h("li.device", { testid: "channel-item" },
      h("span.device-icon", null, icon(each.kind === "email" ? "mail" : "spark")),
      h("div.device-body", null, h("p.device-name", null, name, each.enabled ? null : h("span.tag.quiet", null, "Off")), h("p.muted", null, about(each))),
      h("div.channel-buttons", null,
        each.enabled ? h("button.button", { type: "button", testid: "channel-test", "aria-label": `Send a test to ${name}`, onclick: () => test(each) }, "Test") : null,
        h("button.button", { type: "button", testid: "channel-switch", "aria-label": `${each.enabled ? "Turn off" : "Turn on"} ${name}`, onclick: () => turn(each) }, each.enabled ? "Turn off" : "Turn on"),
        h("button.icon-button", { type: "button", testid: "channel-delete", "aria-label": `Delete ${name}`, onclick: () => remove(each, name) }, icon("trash"))));
  }

  function about(each) {
    if (each.disabled_reason === "gone") return "Turned off: its receiver answered that it wants nothing any more.";
    return each.kind === "email" ? "To the address of your account" : each.name ? `Webhook at ${each.host}` : "Webhook";
  }

  const test = (each) => attempt(async () => {
    await app.api.post(`${PATH}/${each.id}/test`, undefined);
    app.toasts.success("A test message is on its way.");
  });

  const turn = (each) => attempt(async () => {
    await app.api.patch(`${PATH}/${each.id}`, { enabled: !each.enabled });
    await load();
  });

  async function remove(each, name) {
    const yes = await confirmDialog({ title: `Delete “${name}”?`, text: "Notifications no longer go there. What still waits is not sent.", yes: "Delete", danger: true });
    if (yes) await attempt(() => app.api.delete(`${PATH}/${each.id}`));
    await load();
  }

  function addEmail() {
    return attempt(async () => {
      await app.api.post(PATH, { kind: "email" });
      app.toasts.success("Notifications go to your e-mail as well.");
      await load();
    });
  }

  async function addWebhook() {
    const made = await openDialog({
      title: "Add a webhook", testid: "webhook-dialog",
      build: (close) => h("div.dialog-body", null, form({
        testid: "webhook-form", button: "Add webhook",
        fields: [
          field({ label: "Address", name: "url", type: "url", required: true, autofocus: true, autocomplete: "off", placeholder: "https://…", hint: "Each notification is posted there, signed." }),
          field({ label: "Name", name: "name", optional: true, maxlength: "100", autocomplete: "off" }),
        ],
        async submit({ url, name }) {
          close((await app.api.post(PATH, { kind: "webhook", url: url.trim(), name: name.trim() || null })).data);
        },
      })),
    });
    if (!made) return;
    load();
    await openDialog({
      title: "Keep the secret", testid: "secret-dialog",
      build: (close) => h("div.dialog-body", null,
        h("p", null, "Your receiver needs it to see that a message comes from here. It is shown this once."),
        h("code.secret", { testid: "webhook-secret", tabindex: "0" }, made.secret),
        h("div.dialog-actions", null, h("button.button.primary", { type: "button", onclick: () => close() }, "I have kept it"))),
    });
  }

  return { node, load };
}
