// Colours of structures are made for dark pictures; on a light page they are darkened to be seen.
import { useEffect, useState } from "preact/hooks";
import { currentTheme, type Theme } from "../shared/theme";

export function useTheme(): Theme {
  const [theme, setTheme] = useState(currentTheme());
  useEffect(() => {
    const follow = () => setTheme(currentTheme());
    addEventListener("themechange", follow);
    return () => removeEventListener("themechange", follow);
  }, []);
  return theme;
}

/** The colour, dark enough for a light page. */
export function onPaper(colour: string, theme: Theme): string {
  if (theme === "dark") return colour;
  const parts = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
  const light = 0.2126 * parts[0]! + 0.7152 * parts[1]! + 0.0722 * parts[2]!;
  const factor = Math.min(1, 105 / Math.max(light, 1));
  return `#${parts.map((v) => Math.round(v * factor).toString(16).padStart(2, "0")).join("")}`;
}
