// Getting in: log in, register, forgotten password, and the pages that mails link to.
// data-testid: login-form, register-form, forgot-form, reset-form (each with …-submit), verify-page

import { h, refill } from "../lib/dom.js";
import { icon, mark } from "../lib/icons.js";
import { explain } from "../net/api.js";
import { field, form } from "../ui/forms.js";

const PASSWORD_HINT = "At least 12 characters. A few unrelated words work well.";

export const AUTH_PATHS = ["/login", "/register", "/forgot", "/reset", "/verify"];

export function createAuth(app) {
  const card = h("div.auth-card");
  const node = h("main.auth", { tabindex: "-1", hidden: true },
    h("section.auth-brand", { "aria-hidden": "true" },
      h("div.auth-logo", null, mark(), "Banyan"),
      h("img.auth-tree", { src: "/static/img/banyan.svg", alt: "" }),
      h("p.auth-quote", null, "One tree, many trunks."),
      h("p.auth-line", null, "Your to-dos, in step on every screen, and with you when there is no network.")),
    h("section.auth-side", null, card));
  let drawn = "";

  const PAGES = { "/login": login, "/register": register, "/forgot": forgot, "/reset": reset, "/verify": verify };

  function page(title, lead, ...content) {
    document.title = `${title} · Banyan`;
    refill(card, h("a.auth-small-logo", { href: "#/login" }, mark(), "Banyan"), h("h1.auth-title", { tabindex: "-1" }, title), lead && h("p.auth-lead", null, lead), content);
    card.querySelector("input")?.focus({ preventScroll: true });
  }

  const email = (props) => field({ label: "E-mail", name: "email", type: "email", autocomplete: "username", required: true, inputmode: "email", spellcheck: "false", ...props });
  const foot = (...parts) => h("p.auth-foot", null, parts);
  const to = (href, text) => h("a", { href }, text);

  function login() {
    page("Welcome back", null, form({
      testid: "login-form", button: "Log in",
      fields: [email(), field({ label: "Password", name: "password", type: "password", autocomplete: "current-password", required: true })],
      extra: to("#/forgot", "Forgot your password?"),
      submit: ({ email: address, password }) => app.login(address.trim(), password),
    }), foot("New here? ", to("#/register", "Create an account")));
  }

  function register() {
    page("Create your account", "It takes a minute.", form({
      testid: "register-form", button: "Create account",
      fields: [
        field({ label: "Name", name: "name", autocomplete: "name", required: true, maxlength: "200" }),
        email(),
        field({ label: "Password", name: "password", type: "password", autocomplete: "new-password", required: true, hint: PASSWORD_HINT }),
      ],
      async submit({ name, email: address, password }) {
        await app.api.post("/users/", { name: name.trim(), email: address.trim(), password }, { anonymous: true });
        await app.login(address.trim(), password, { fresh: true });
      },
    }), foot("Already have an account? ", to("#/login", "Log in")));
  }

  function forgot() {
    page("Forgot your password?", "Tell us your e-mail and we send you a link to choose a new one.", form({
      testid: "forgot-form", button: "Send the link", fields: [email()],
      async submit({ email: address }) {
        await app.api.post("/auth/forgot", { email: address.trim() }, { anonymous: true });
        // The same words whether or not there is such an account.
        done("mail", "Look into your mailbox", `If ${address.trim()} has an account, a link is on its way.`);
      },
    }), foot(to("#/login", "Back to log in")));
  }

  function reset({ token }) {
    page("Choose a new password", null, form({
      testid: "reset-form", button: "Save the password",
      fields: [field({ label: "New password", name: "new_password", type: "password", autocomplete: "new-password", required: true, hint: PASSWORD_HINT })],
      async submit({ new_password }) {
        await app.api.post("/auth/reset", { token: token ?? "", new_password }, { anonymous: true });
        // The token has been used: it must not stay in the address.
        history.replaceState(null, "", "#/reset");
        done("check", "Your password is changed", "Log in with it now. All other devices have been logged out.");
      },
    }), foot(to("#/forgot", "Send another link")));
  }

  async function verify({ token }) {
    page("Checking your e-mail…", null, h("div", { testid: "verify-page" }));
    history.replaceState(null, "", "#/verify");
    const onward = app.store.get().status === "signed-in" ? ["#/", "Go to your to-dos"] : ["#/login", "Log in"];
    try {
      await app.api.post("/auth/verify", { token: token ?? "" }, { anonymous: true });
      app.loader?.loadProfile().catch(() => {});
      done("check", "Your e-mail is verified", "Thank you.", onward, "verify-page");
    } catch (error) {
      done("alert", "This link did not work", explain(error), onward, "verify-page");
    }
  }

  function done(iconName, title, text, [href, label] = ["#/login", "To log in"], testid = "auth-done") {
    page(title, text, h("p", { testid, role: "status" }, h("a.button.primary", { href }, label)));
    card.querySelector(".auth-title").before(h("span.auth-mark", null, icon(iconName)));
    card.querySelector(".auth-title").focus();
  }

  return {
    node,
    /** Draw the page for the address; the same address again leaves what has been typed alone. */
    show({ path, params }) {
      const signature = path + (params.token ?? "");
      node.hidden = false;
      if (drawn === signature) return;
      drawn = signature;
      PAGES[path](params);
    },
    hide() {
      node.hidden = true;
      drawn = "";
      refill(card);
    },
  };
}
