import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { PageLink } from "./router";
import type { Status } from "./socket";
import { chooseTheme, currentTheme } from "./theme";

const WORDS: Record<Status, string> = {
  open: "Connected",
  connecting: "Connecting …",
  away: "No connection; trying again",
};

/** The bar that all pages share: name, pages, what a page adds, connection, theme. */
export function TopBar(props: { page: string; status?: Status; children?: ComponentChildren }) {
  const [theme, setTheme] = useState(currentTheme());
  const other = theme === "dark" ? "light" : "dark";
  return (
    <header class="topbar">
      <a class="skip-link" href="#main">Skip to the plan</a>
      <a class="brand" href="/" aria-label="dosegrad, first page">
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <rect width="32" height="32" rx="7" fill="#12395b" />
          <g fill="none" stroke-width="2.4">
            <circle cx="16" cy="16" r="10.5" stroke="#7cc4ff" />
            <circle cx="16" cy="16" r="6.2" stroke="#ffd166" />
            <circle cx="16" cy="16" r="2" fill="#ff7b54" stroke="#ff7b54" />
          </g>
        </svg>
        dosegrad
      </a>
      <nav aria-label="Pages">
        <PageLink to="/" current={props.page === "/"}>Planner 2D</PageLink>
        <PageLink to="/workspace" current={props.page === "/workspace"}>Workspace</PageLink>
      </nav>
      <div class="space" />
      {props.children}
      {props.status && (
        <span class={`status ${props.status === "away" ? "away" : ""}`} role="status">
          {WORDS[props.status]}
        </span>
      )}
      <button
        class="quiet"
        aria-label={`Use ${other} colours`}
        title={`Use ${other} colours`}
        onClick={() => {
          chooseTheme(other);
          setTheme(other);
        }}
      >
        {theme === "dark" ? "☀" : "☾"}
      </button>
    </header>
  );
}
