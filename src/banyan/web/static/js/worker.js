// The service worker's life: registered once, replaced when the user agrees.

/** Register /sw.js. When a new version waits, offer to reload into it. */
export async function registerWorker(toasts) {
  if (!("serviceWorker" in navigator)) return;
  try {
    const registration = await navigator.serviceWorker.register("/sw.js", { scope: "/" });
    const offer = (worker) => toasts.show("A new version of Banyan is ready.", {
      ms: 60_000,
      action: {
        label: "Reload",
        run: () => {
          navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
          worker.postMessage("take-over");
        },
      },
    });
    if (registration.waiting && navigator.serviceWorker.controller) offer(registration.waiting);
    registration.addEventListener("updatefound", () => {
      const worker = registration.installing;
      worker.addEventListener("statechange", () => {
        if (worker.state === "installed" && navigator.serviceWorker.controller) offer(worker);
      });
    });
  } catch {
    // Some private windows refuse workers: the application then needs the network, and works.
  }
}
