// Forms whose errors stand beside the field they belong to.

import { h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { explain } from "../net/api.js";

let count = 0;

/** A labelled field around an <input>, <select> or <textarea>. `name` is the field's name in the API. */
export function field({ label, name, hint, optional = false, ...props }) {
  count += 1;
  const id = `field-${name}-${count}`;
  const { tag = "input", options, ...rest } = props;
  const control = h(tag === "input" ? "input.input" : tag === "select" ? "select.input" : "textarea.input", { id, name, ...rest, "aria-describedby": `${id}-note` });
  if (options) {
    control.append(...options.map(([value, text]) => h("option", { value }, text)));
    if (rest.value !== undefined) control.value = rest.value;
  }
  return h("div.field", { dataset: { field: name } },
    h("label.field-label", { for: id }, label, optional ? h("span.field-optional", null, "optional") : null),
    props.type === "password" ? h("div.with-reveal", null, control, revealButton(control)) : control,
    h("p.field-note", { id: `${id}-note`, dataset: { hint: hint ?? "" } }, hint ?? ""));
}

function revealButton(input) {
  return h("button.reveal", {
    type: "button", "aria-label": "Show password", "aria-pressed": "false",
    onclick: (event) => {
      const shown = input.type === "password";
      input.type = shown ? "text" : "password";
      event.currentTarget.setAttribute("aria-pressed", String(shown));
    },
  }, icon("eye"));
}

/**
 * A form that sends itself: submit(values) may throw an ApiError, whose errors[] are put next to the
 * fields by their JSON pointer; the rest is shown above the button. The button is busy meanwhile.
 */
export function form({ testid, fields, button, submit, danger = false, extra = null }) {
  const message = h("p.form-error", { role: "alert", testid: "form-error", hidden: true });
  const send = h(`button.button.${danger ? "danger" : "primary"}`, { type: "submit", testid: `${testid}-submit` }, h("span", null, button));
  const node = h("form.form", {
    testid, novalidate: true,
    onsubmit: async (event) => {
      event.preventDefault();
      if (send.disabled) return;
      clearErrors(node, message);
      const missing = [...node.elements].find((control) => control.required && !control.value.trim());
      if (missing) return fieldError(node, missing.name, "Please fill this in."), missing.focus();
      send.disabled = true;
      send.classList.add("busy");
      try {
        await submit(Object.fromEntries(new FormData(node)), node);
      } catch (error) {
        showErrors(node, message, error);
      } finally {
        send.disabled = false;
        send.classList.remove("busy");
      }
    },
  }, fields, message, h("div.form-actions", null, send, extra));
  return node;
}

function clearErrors(node, message) {
  message.hidden = true;
  for (const each of node.querySelectorAll(".field.invalid")) {
    each.classList.remove("invalid");
    each.querySelector("[aria-invalid]")?.removeAttribute("aria-invalid");
    const note = each.querySelector(".field-note");
    note.textContent = note.dataset.hint;
  }
}

// Problems that name no field, but are about one.
const FIELDS_OF = { wrong_password: ["current_password", "password"], email_taken: ["email"] };

function showErrors(node, message, error) {
  const named = error.errors?.length ? error.errors : (FIELDS_OF[error.code] ?? []).filter((name) => node.elements[name]).map((name) => ({ pointer: `/${name}`, detail: error.message }));
  const homeless = named.filter(({ pointer, detail }) => !fieldError(node, pointerName(pointer), detail));
  const placed = named.length - homeless.length;
  if (!placed || homeless.length) {
    message.textContent = homeless.length ? homeless.map((each) => sentence(each.detail)).join(" ") : explain(error);
    message.hidden = false;
  }
  node.querySelector("[aria-invalid]")?.focus();
}

/** "#/labels/0" → "labels": the field that a pointer is about. */
export const pointerName = (pointer = "") => pointer.replace(/^#/, "").split("/").filter((part) => part && part !== "body")[0] ?? "";

/** Show an error at a field; false when the form has no such field. */
function fieldError(node, name, text) {
  const target = name && node.querySelector(`[data-field="${CSS.escape(name)}"]`);
  if (!target) return false;
  target.classList.add("invalid");
  target.querySelector(".input")?.setAttribute("aria-invalid", "true");
  target.querySelector(".field-note").textContent = sentence(text);
  return true;
}

/** "must not be empty" → "Must not be empty." */
export function sentence(text = "") {
  const begun = text.charAt(0).toLocaleUpperCase() + text.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
