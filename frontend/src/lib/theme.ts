/// Light or dark: the system's choice unless somebody has made one of their own in this browser.
export type Theme = "system" | "light" | "dark";

const KEY = "tinsmith.theme";
const dark = () => window.matchMedia("(prefers-color-scheme: dark)");

export function chosenTheme(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
}

export function chooseTheme(theme: Theme): void {
  if (theme === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, theme);
  apply();
}

/** Show the theme now, and follow the system from now on. */
export function startTheme(): void {
  apply();
  dark().addEventListener("change", apply);
}

function apply(): void {
  const chosen = chosenTheme();
  const theme = chosen === "system" ? (dark().matches ? "dark" : "light") : chosen;
  document.documentElement.dataset.theme = theme;
  window.dispatchEvent(new Event("tinsmith:theme"));
}
