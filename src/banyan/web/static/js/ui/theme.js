// Light, dark, or as the system has it. Loaded before the first paint, so that the page never flashes.

const KEY = "banyan:theme";
export const THEMES = ["system", "light", "dark"];

export const chosenTheme = () => (THEMES.includes(localStorage.getItem(KEY)) ? localStorage.getItem(KEY) : "system");

export function chooseTheme(theme) {
  localStorage.setItem(KEY, theme);
  applyTheme();
}

export function applyTheme() {
  const theme = chosenTheme();
  const dark = theme === "dark" || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  document.querySelector('meta[name="theme-color"]')?.setAttribute("content", dark ? "#141916" : "#f7f4ed");
}

/** Keep to the choice: when the system changes, and when another tab chooses. */
export function followTheme() {
  applyTheme();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
  addEventListener("storage", (event) => {
    if (event.key === KEY) applyTheme();
  });
}
