// Addresses: "#/settings", "#/?filter=open&list=…". The hash, so that any static server can serve the page.

/** onChange({path, params}) is called for each change of address, and at start(). */
export function createRouter(onChange) {
  const read = () => {
    const [path, query = ""] = (location.hash.replace(/^#/, "") || "/").split("?");
    return { path: path || "/", params: Object.fromEntries(new URLSearchParams(query)) };
  };
  const address = (path, params) => {
    const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value)).toString();
    return `#${path}${query ? `?${query}` : ""}`;
  };
  const announce = () => onChange(read());

  return {
    read,
    address,
    start() {
      addEventListener("hashchange", announce);
      announce();
    },
    go(path, params = {}) {
      const hash = address(path, params);
      if (location.hash === hash) announce();
      else location.hash = hash;
    },
    /** Change the address without a step in the browser's history. */
    replace(path, params = {}) {
      history.replaceState(null, "", address(path, params));
      announce();
    },
    /** Change some parameters of the present address; an empty value removes one. */
    with(changes, { replace = false } = {}) {
      const { path, params } = read();
      this[replace ? "replace" : "go"](path, { ...params, ...changes });
    },
  };
}
