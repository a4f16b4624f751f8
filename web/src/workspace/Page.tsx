import { TopBar } from "../shared/TopBar";

/** The planning workspace. */
export function WorkspacePage() {
  return (
    <>
      <TopBar page="/workspace" />
      <main id="main" tabIndex={-1} style={{ padding: "1.2rem" }}>
        <section class="panel" aria-labelledby="workspace-title">
          <h1 id="workspace-title">Workspace</h1>
          <p class="muted">Plans of whole patients will be looked at and changed here.</p>
        </section>
      </main>
    </>
  );
}
