// The service worker: keeps the application's own files, so that it opens without a network.
// It never touches the API: data offline is IndexedDB's matter (static/js/data/db.js).

// Made of all the files by the server: when one changes, the old ones go away as a whole.
const VERSION = "{{version}}";
const CACHE = `banyan-shell-${VERSION}`;
const INDEX_PATIENCE_MS = 3_000;

const SCRIPTS = [
  "main", "router", "worker", "workspace", "theme-first",
  "lib/dom", "lib/format", "lib/icons", "lib/locks", "lib/sse", "lib/uuid",
  "net/api", "net/live", "net/session", "net/trace",
  "data/actions", "data/base", "data/commands", "data/db", "data/loader", "data/overlay", "data/selectors", "data/store", "data/sync-queue",
  "ui/dialog", "ui/drag", "ui/forms", "ui/illustrations", "ui/menu", "ui/shortcuts", "ui/theme", "ui/toast",
  "views/auth", "views/channels", "views/help", "views/history", "views/list-dialog", "views/notifications", "views/quick-add", "views/settings",
  "views/sidebar", "views/todo-detail", "views/todo-list", "views/todo-row", "views/topbar",
];
const STYLES = ["tokens", "base", "controls", "layout", "todos", "panels", "settings", "auth", "overlays"];
const SHELL = [
  "/", "/favicon.svg", "/manifest.webmanifest",
  ...["banyan", "clear", "icon", "select"].map((name) => `/static/img/${name}.svg`),
  ...["figtree-latin", "figtree-latin-ext", "newsreader-latin"].map((name) => `/static/fonts/${name}.woff2`),
  ...STYLES.map((name) => `/static/css/${name}.css`),
  ...SCRIPTS.map((name) => `/static/js/${name}.js`),
];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SHELL.map((path) => new Request(path, { cache: "reload" })))));
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name.startsWith("banyan-shell-") && name !== CACHE) await caches.delete(name);
    await self.clients.claim();
  })());
});

self.addEventListener("message", (event) => {
  if (event.data === "take-over") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (request.mode === "navigate" && url.pathname === "/") event.respondWith(networkFirst(request));
  else if (url.pathname.startsWith("/static/") || url.pathname === "/favicon.svg" || url.pathname === "/manifest.webmanifest") event.respondWith(cacheFirst(event));
});

// The page itself: fresh when the network answers in time, so that a release is seen at once.
async function networkFirst(request) {
  const cache = await caches.open(CACHE);
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), INDEX_PATIENCE_MS);
  try {
    const response = await fetch(request.url, { signal: patience.signal, cache: "no-cache" });
    if (!response.ok) throw new Error(`The server answered ${response.status}.`);
    await cache.put("/", response.clone());
    return response;
  } catch {
    return (await cache.match("/")) ?? Response.error();
  } finally {
    clearTimeout(timer);
  }
}

// Files: at once from the cache, renewed behind it for the next time.
async function cacheFirst(event) {
  const cache = await caches.open(CACHE);
  const held = await cache.match(event.request, { ignoreSearch: true });
  const fresh = fetch(event.request.url, { cache: "no-cache" }).then(async (response) => {
    if (response.ok) await cache.put(event.request, response.clone());
    return response;
  });
  if (!held) return fresh;
  event.waitUntil(fresh.catch(() => {}));
  return held;
}
