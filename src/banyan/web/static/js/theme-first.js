// Runs before the first paint (a classic, blocking script), so that a dark window never flashes white.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("banyan:theme");
  } catch {
    // Storage is refused: the system's theme it is.
  }
  const dark = theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
