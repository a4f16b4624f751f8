// The work: buttons, true progress, the log, and what can be done with a plan.
import { useEffect, useRef, useState } from "preact/hooks";
import { FileList } from "./OpenPanel";
import type { Store } from "./store";

const NAMES: Record<string, string> = {
  open: "Opening", steer: "Steering beams", influence: "Computing influence", optimise: "Optimising", front: "Exploring trade-offs",
  compare: "Comparing engines", other: "Comparing plans", save: "Saving", report: "Writing the report", dicom: "Writing DICOM",
};

export function RunPanel({ store }: { store: Store }) {
  const { job, state } = store;
  const busy = job !== null || store.status !== "open";
  const plan = state.plan;
  const changes = state.stale?.plan ?? [];
  const protons = store.settings?.machine === "generic-protons";
  return (
    <section class="panel ws-run" aria-labelledby="run-title">
      <header>
        <h2 id="run-title">Plan</h2>
        {plan && changes.length > 0 && (
          <span class="ws-badge" title="The tables show what is wanted, not what this plan was made for.">plan is of other {changes.join(", ")}</span>
        )}
      </header>
      <div class="ws-buttons">
        <button disabled={busy} onClick={() => store.start("steer")}>Steer</button>
        <button disabled={busy} onClick={() => store.start("influence")}>Influence</button>
        <button class="primary" disabled={busy} onClick={() => store.start("optimise")}>Optimise</button>
      </div>
      <Progress store={store} />
      {plan && !job && (
        <dl class="ws-facts small number">
          <div><dt>{plan.modality === "photons" ? "Bixels" : "Spots"}</dt><dd title="Those without weight are left out.">{plan.spots}{plan.columns > plan.spots ? ` of ${plan.columns}` : ""}</dd></div>
          <div><dt>Maximum</dt><dd>{plan.max.toFixed(1)} {plan.unit}</dd></div>
          <div><dt>Fractions</dt><dd>{plan.fractions}</dd></div>
          {plan.objective !== null && <div><dt>Objective</dt><dd>{plan.objective.toPrecision(4)}</dd></div>}
          {plan.scenarios > 0 && <div><dt>Scenarios</dt><dd>{plan.scenarios}</dd></div>}
        </dl>
      )}
      {plan && (
        <div class="ws-buttons">
          <button disabled={busy} onClick={() => store.start("front")}>Explore trade-offs</button>
          <button disabled={busy || !protons} title={protons ? "" : "for protons"} onClick={() => store.start("compare")}>Compare engines</button>
        </div>
      )}
      {plan && <Keep key={JSON.stringify(store.case?.source)} store={store} busy={busy} />}
      <Log store={store} />
    </section>
  );
}

function Progress({ store }: { store: Store }) {
  const { job } = store;
  const percent = Math.round(100 * (job?.fraction ?? 0));
  return (
    <div class="ws-progress" aria-live="polite">
      {job ? (
        <>
          <div class="row small">
            <span class="grow"><strong>{NAMES[job.name] ?? job.name}</strong>{job.stage && job.stage !== "optimisation" ? `: ${job.stage}` : ""}</span>
            <button onClick={() => store.cancel()} disabled={job.state === "cancelling"}>{job.state === "cancelling" ? "Cancelling …" : "Cancel"}</button>
          </div>
          <div class="ws-bar" role="progressbar" aria-label={NAMES[job.name] ?? job.name} aria-valuemin={0} aria-valuemax={100} aria-valuenow={percent}>
            <span style={{ width: `${percent}%` }} />
          </div>
          <p class="small muted number">{job.remark || "…"}</p>
        </>
      ) : null}
    </div>
  );
}

function Keep({ store, busy }: { store: Store; busy: boolean }) {
  const [name, setName] = useState(store.case?.saveAs ?? "plan");
  const [comparing, setComparing] = useState(false);
  return (
    <>
      <label class="field-line small">
        <span class="field-label">Save as</span>
        <input type="text" class="grow" aria-label="Name to save under" value={name} maxLength={60} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <div class="ws-buttons">
        <button disabled={busy || !name.trim()} onClick={() => store.start("save", `${name.trim()}.npz`)}>Save</button>
        <button disabled={busy || !name.trim()} onClick={() => store.start("report", `${name.trim()}.html`)}>Report</button>
        <button disabled={busy || !name.trim()} onClick={() => store.start("dicom", `${name.trim()}-dicom`)}>DICOM</button>
      </div>
      <button class="quiet small" aria-expanded={comparing} onClick={() => setComparing(!comparing)}>Compare with a plan …</button>
      {comparing && <FileList store={store} wanted={["plan", "results"]} onChoose={(path) => { setComparing(false); store.start("other", path); }} />}
      {store.written.length > 0 && (
        <ul class="ws-written small">
          {store.written.map((path) => (
            <li key={path}>
              {/\.(html|npz)$/.test(path) ? (
                <a href={`/api/workspace/written?path=${encodeURIComponent(path)}`} target={path.endsWith(".html") ? "_blank" : undefined} rel="noreferrer">{path}</a>
              ) : (
                path
              )}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function Log({ store }: { store: Store }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [store.lines]);
  return (
    <details class="ws-log small" open>
      <summary>Log</summary>
      <div ref={box} tabIndex={0} role="log" aria-label="Log of the work">
        {store.lines.map((line, k) => <p key={k}>{line}</p>)}
      </div>
    </details>
  );
}
