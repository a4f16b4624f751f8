import { TopBar } from "../shared/TopBar";
export function PlannerPage() {
  return <><TopBar page="/" /><main id="main" tabIndex={-1} /></>;
}
