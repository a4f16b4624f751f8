import { render } from "preact";
import { usePath } from "./shared/router";
import { applyTheme, currentTheme } from "./shared/theme";
import { PlannerPage } from "./planner2d/Page";
import { WorkspacePage } from "./workspace/Page";

function App() {
  const path = usePath();
  const page = path === "/workspace" ? "Workspace" : "Planner 2D";
  document.title = `${page} · dosegrad`;
  return path === "/workspace" ? <WorkspacePage /> : <PlannerPage />;
}

applyTheme(currentTheme());
const root = document.getElementById("page");
if (root) render(<App />, root);
