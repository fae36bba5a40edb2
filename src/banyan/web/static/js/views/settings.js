// Profile, appearance, password, devices, the end. data-testid: settings, profile-form, email-button, verify-again, theme-light/-dark/-system,
// password-form, session-item, session-revoke, sessions-revoke-others, notify-test, delete-account, delete-form

import { agoText, momentText } from "../lib/format.js";
import { h, refill } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { explain } from "../net/api.js";
import { confirmDialog, openDialog } from "../ui/dialog.js";
import { field, form } from "../ui/forms.js";
import { chooseTheme, chosenTheme, THEMES } from "../ui/theme.js";
import { createChannels } from "./channels.js";
import { fillAvatar } from "./topbar.js";

const LOCALES = ["en-GB", "en-US", "de-DE", "de-CH", "fr-FR", "fr-CH", "it-IT", "es-ES", "pt-BR", "nl-NL", "sv-SE", "da-DK", "nb-NO", "fi-FI", "pl-PL", "cs-CZ", "hu-HU", "tr-TR", "uk-UA", "el-GR", "he-IL", "ar-EG", "hi-IN", "id-ID", "vi-VN", "th-TH", "ja-JP", "ko-KR", "zh-CN", "zh-TW"];

export function createSettings(app) {
  const content = h("div.settings-inner");
  const node = h("main.settings", { tabindex: "-1", testid: "settings", "aria-label": "Settings", hidden: true }, content);
  const devices = h("ul.devices", { role: "list" });
  const channels = createChannels(app, attempt);
  let drawnUser = "";
  let shown = false;

  function draw(user) {
    const avatar = h("span.avatar.large");
    fillAvatar(avatar, user);
    refill(content,
      h("div.settings-head", null, h("a.icon-button", { href: "#/", "aria-label": "Back to your to-dos" }, icon("back")), h("h1.view-title", { tabindex: "-1" }, "Settings")),
      section("Profile", null, h("div.profile-head", null, avatar, h("div", null, h("p.profile-name", null, user.name), h("p.muted", null, user.email), verification(user))), profileForm(user)),
      section("Appearance", "Kept on this device.", themePicker()),
      section("Notifications", "Reminders arrive in the panel under the bell, on every device at once.",
        h("button.button", { type: "button", testid: "notify-test", onclick: testNotification }, icon("bell"), "Send me a test notification")),
      section("Channels", "Where else your notifications go, besides the panel.", channels.node),
      section("Password", null, passwordForm()),
      section("Devices", "Where you are logged in. Log out the ones that you do not know.", devices,
        h("button.button", { type: "button", testid: "sessions-revoke-others", onclick: revokeOthers }, "Log out all other devices")),
      section("Delete account", "Your to-dos, lists and notifications are deleted with it. This cannot be undone.",
        h("button.button.danger-outline", { type: "button", testid: "delete-account", onclick: deleteAccount }, "Delete my account")));
  }

  function verification(user) {
    if (user.email_verified) return h("p.state.good", null, icon("check"), "E-mail verified");
    return h("p.state.warn", null, icon("alert"), "E-mail not verified. ", h("button.link", {
      type: "button", testid: "verify-again",
      onclick: () => attempt(async () => {
        await app.api.post("/users/me/verification", undefined);
        app.toasts.success("The verification mail is on its way.");
      }),
    }, "Send the mail again"));
  }

  function profileForm(user) {
    const names = new Intl.DisplayNames([navigator.language], { type: "language" });
    const locales = [...new Set([user.locale, ...LOCALES].filter(Boolean))].map((code) => [code, nameOf(names, code)]);
    const zones = [...new Set([user.time_zone, "UTC", ...(Intl.supportedValuesOf?.("timeZone") ?? [])].filter(Boolean))].map((zone) => [zone, zone.replaceAll("_", " ")]);
    return form({
      testid: "profile-form", button: "Save",
      fields: [
        field({ label: "Name", name: "name", required: true, autocomplete: "name", value: user.name }),
        h("div.field-pair", null,
          field({ label: "Language and formats", name: "locale", tag: "select", options: locales, value: user.locale }),
          field({ label: "Time zone", name: "time_zone", tag: "select", options: zones, value: user.time_zone })),
        field({ label: "Picture", name: "avatar_url", type: "url", optional: true, placeholder: "https://…", value: user.avatar_url ?? "", hint: "The https address of an image." }),
      ],
      extra: h("button.button", { type: "button", testid: "email-button", onclick: () => changeEmail(user) }, "Change e-mail"),
      async submit({ name, locale, time_zone, avatar_url }) {
        // Pictures come over https only: the page's content security policy allows nothing else.
        if (avatar_url.trim() && !/^https:\/\//.test(avatar_url.trim())) throw { errors: [{ pointer: "/avatar_url", detail: "The address must begin with https://" }] };
        const wanted = { name: name.trim(), locale, time_zone, avatar_url: avatar_url.trim() || null };
        const changes = Object.fromEntries(Object.entries(wanted).filter(([key, value]) => value !== (user[key] ?? null)));
        if (Object.keys(changes).length) app.loader.setProfile((await app.api.patch("/users/me", changes)).data);
        app.toasts.success("Your profile is saved.");
      },
    });
  }

  function changeEmail(user) {
    return openDialog({
      title: "Change e-mail", testid: "email-dialog",
      build: (close) => h("div.dialog-body", null, form({
        testid: "email-form", button: "Change e-mail",
        fields: [
          field({ label: "New e-mail", name: "email", type: "email", required: true, autocomplete: "email", value: user.email }),
          field({ label: "Your password", name: "current_password", type: "password", required: true, autocomplete: "current-password" }),
        ],
        async submit({ email, current_password }) {
          app.loader.setProfile((await app.api.patch("/users/me", { email: email.trim(), current_password })).data);
          app.toasts.success("Your e-mail is changed. Please verify the new one by the mail we sent.");
          close();
        },
      })),
    });
  }

  function themePicker() {
    const icons = { system: "half", light: "sun", dark: "moon" };
    const names = { system: "As the system", light: "Light", dark: "Dark" };
    return h("div.segments.theme-picker", { role: "group", "aria-label": "Theme" }, THEMES.map((theme) => h("button.segment", {
      type: "button", testid: `theme-${theme}`, "aria-pressed": String(chosenTheme() === theme),
      onclick: (event) => {
        chooseTheme(theme);
        for (const each of event.currentTarget.parentElement.children) each.setAttribute("aria-pressed", String(each === event.currentTarget));
      },
    }, icon(icons[theme]), names[theme])));
  }

  function testNotification() {
    return attempt(() => app.api.post(`/notify/${app.session.userId}`, { title: "It works", message: "This is how a notification looks. You sent it yourself, from the settings." }));
  }

  function passwordForm() {
    return form({
      testid: "password-form", button: "Change password",
      fields: [
        field({ label: "Current password", name: "current_password", type: "password", required: true, autocomplete: "current-password" }),
        field({ label: "New password", name: "new_password", type: "password", required: true, autocomplete: "new-password", hint: "At least 12 characters." }),
      ],
      async submit(values, sent) {
        await app.api.post("/users/me/password", values);
        sent.reset();
        app.toasts.success("Your password is changed.");
        loadDevices();
      },
    });
  }

  async function loadDevices() {
    if (!shown) return;
    try {
      const { data } = await app.api.get("/auth/sessions");
      refill(devices, data.toSorted((a, b) => b.current - a.current || Date.parse(b.last_used_at) - Date.parse(a.last_used_at)).map(device));
    } catch (error) {
      refill(devices, h("li.muted", null, explain(error)));
    }
  }

  function device(each) {
    const name = each.device || "Unknown device";
    return h("li.device", { testid: "session-item" },
      h("span.device-icon", null, icon(/android|iphone|ipad/i.test(name) ? "phone" : "device")),
      h("div.device-body", null, h("p.device-name", null, name, each.current ? h("span.tag", null, "This device") : null),
        h("p.muted", { title: `Logged in ${momentText(each.created_at)}` }, [each.address, `active ${agoText(each.last_used_at)}`].filter(Boolean).join(" · "))),
      each.current ? null : h("button.button", {
        type: "button", testid: "session-revoke", "aria-label": `Log out ${name}`,
        onclick: () => attempt(async () => {
          await app.api.delete(`/auth/sessions/${each.id}`);
          app.toasts.success(`${name} is logged out.`);
          await loadDevices();
        }),
      }, "Log out"));
  }

  async function revokeOthers() {
    const yes = await confirmDialog({ title: "Log out all other devices?", text: "They will have to log in again. This one stays.", yes: "Log out the others" });
    if (yes) {
      await attempt(() => app.api.delete("/auth/sessions"));
      loadDevices();
    }
  }

  function deleteAccount() {
    return openDialog({
      title: "Delete your account?", testid: "delete-dialog",
      build: () => h("div.dialog-body", null, h("p", null, "Everything that belongs to you is deleted for good. Your password, to be sure that it is you:"), form({
        testid: "delete-form", button: "Delete my account", danger: true,
        fields: [field({ label: "Password", name: "password", type: "password", required: true, autocomplete: "current-password" })],
        async submit({ password }) {
          await app.api.delete("/users/me", { body: { password } });
          document.querySelector("dialog")?.close();
          await app.leave("Your account is deleted. Farewell.");
        },
      })),
    });
  }

  async function attempt(work) {
    try {
      await work();
    } catch (error) {
      app.toasts.error(explain(error));
    }
  }

  return {
    node,
    loadDevices,
    loadChannels: () => shown && channels.load(),
    update(state) {
      const show = state.route.path === "/settings" && state.status === "signed-in";
      node.hidden = !show;
      if (!show) {
        if (drawnUser) refill(content);
        shown = false;
        drawnUser = "";
        refill(devices);
        return;
      }
      if (!state.user) return;
      const signature = JSON.stringify(state.user);
      if (signature !== drawnUser) {
        drawnUser = signature;
        draw(state.user);
      }
      if (!shown) {
        shown = true;
        document.title = "Settings · Banyan";
        node.scrollTop = 0;
        loadDevices();
        channels.load();
      }
    },
  };
}

function section(title, text, ...content) {
  return h("section.card", { "aria-label": title }, h("div.card-head", null, h("h2", null, title), text && h("p.muted", null, text)), h("div.card-body", null, content));
}

function nameOf(names, code) {
  try {
    return names.of(code);
  } catch {
    return code;
  }
}
