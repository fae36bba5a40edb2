// Building and updating DOM nodes. User data only ever becomes text or a property, never markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element: h("button.primary", { type: "button", onclick }, "Save").
 * Classes follow the tag after dots. `on…` props are listeners, `dataset` and `vars`
 * (CSS custom properties) are objects; a prop that is null, undefined or false is left out.
 */
export function h(selector, props, ...children) {
  const [tag, ...classes] = selector.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  return fill(node, props, children);
}

/** The same for SVG elements, which need their namespace. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name === "vars") for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
    else if (name === "testid") node.dataset.testid = value;
    else if (name === "value") node.value = value;
    else if (name === "checked" || name === "disabled" || name === "hidden") node[name] = Boolean(value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

/** Replace what a node holds. */
export function refill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

/** Set a text only when it differs, so that live regions do not speak again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Make the children of `parent` match `items`, by key, moving as little as possible.
 * make(item) builds a child; update(child, item) refreshes one that stays. Children that are
 * not ours (no key) are left where they are. Focus survives, because kept nodes are not re-inserted.
 */
export function reconcile(parent, items, key, make, update) {
  const old = new Map();
  for (const child of parent.children) if (child.dataset.key) old.set(child.dataset.key, child);
  const wanted = items.map((item) => {
    const id = String(key(item));
    let child = old.get(id);
    if (child) old.delete(id);
    else {
      child = make(item);
      child.dataset.key = id;
    }
    update?.(child, item);
    return child;
  });
  for (const child of old.values()) child.remove();
  let cursor = parent.firstElementChild;
  for (const child of wanted) {
    while (cursor && !cursor.dataset.key) cursor = cursor.nextElementSibling;
    if (child === cursor) cursor = cursor.nextElementSibling;
    else parent.insertBefore(child, cursor);
  }
}

/** Whether keys typed now are text for a field, so that shortcuts must keep quiet. */
export function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) &&
    !(target instanceof HTMLInputElement && /^(checkbox|radio|button|submit|color)$/.test(target.type));
}

/** Call `work` once things have been quiet for `ms`. The result has cancel() and flush(). */
export function debounce(work, ms) {
  let timer = 0;
  let pending = null;
  const later = (...args) => {
    pending = args;
    clearTimeout(timer);
    timer = setTimeout(later.flush, ms);
  };
  later.cancel = () => {
    clearTimeout(timer);
    pending = null;
  };
  later.flush = () => {
    clearTimeout(timer);
    const args = pending;
    pending = null;
    if (args) work(...args);
  };
  return later;
}

export const prefersLessMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
