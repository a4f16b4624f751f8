// Light and dark: as the system says, until somebody chooses.
export type Theme = "light" | "dark";
const KEY = "dosegrad-theme";

export function currentTheme(): Theme {
  const stored = readStored();
  if (stored) return stored;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

export function applyTheme(theme: Theme): void {
  document.documentElement.dataset["theme"] = theme;
}

export function chooseTheme(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // storage may be forbidden; the choice then lasts as long as the page
  }
  applyTheme(theme);
  dispatchEvent(new CustomEvent("themechange", { detail: theme }));
}

export function cssColour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function readStored(): Theme | null {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : null;
  } catch {
    return null;
  }
}
