// What is wanted: beams, objectives, goals, and how it is computed.
import { useState } from "preact/hooks";
import { Field } from "../shared/Field";
import type { Store } from "./store";
import type { Objective, RobustMode, Settings } from "./types";

const TABS = ["Beams", "Objectives", "Goals"] as const;
type Tab = (typeof TABS)[number];

export function PlanPanel({ store }: { store: Store }) {
  const [tab, setTab] = useState<Tab>("Beams");
  const { settings } = store;
  if (!settings) return null;
  const move = (event: KeyboardEvent) => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!by) return;
    const next = TABS[(TABS.indexOf(tab) + by + TABS.length) % TABS.length]!;
    setTab(next);
    document.getElementById(`tab-${next}`)?.focus();
  };
  const goals = store.live?.goals ?? store.state.goals;
  const met = goals?.filter((g) => g.met).length;
  return (
    <section class="panel ws-plan" aria-label="Plan">
      <div class="ws-tabs" role="tablist" aria-label="What is planned" onKeyDown={move}>
        {TABS.map((t) => (
          <button
            key={t} id={`tab-${t}`} role="tab" aria-selected={t === tab} aria-controls="plan-tab"
            tabIndex={t === tab ? 0 : -1} onClick={() => setTab(t)}
          >
            {t}
            {t === "Goals" && goals && goals.length > 0 && (
              <span class={`ws-badge ${met === goals.length ? "good" : "bad"}`}>{met}/{goals.length}</span>
            )}
          </button>
        ))}
      </div>
      <div id="plan-tab" role="tabpanel" aria-labelledby={`tab-${tab}`} class="ws-tab">
        {tab === "Beams" && <BeamTab store={store} settings={settings} />}
        {tab === "Objectives" && <ObjectiveTab store={store} settings={settings} />}
        {tab === "Goals" && <GoalTab store={store} settings={settings} />}
      </div>
    </section>
  );
}

const NINE = Array.from({ length: 9 }, (_, k) => 40 * k);

function BeamTab({ store, settings }: { store: Store; settings: Settings }) {
  const structures = store.case?.structures ?? [];
  const photons = settings.machine !== "generic-protons";
  const beams = store.state.beams;
  const couch = settings.couch.length ? settings.couch : settings.gantry.map(() => 0);
  const offered = [2, 2.5, 3, 4, 5, 6];
  const own = settings.dose_spacing;
  const spacings = own === null || offered.includes(own) ? offered : [...offered, own].sort((a, b) => a - b);
  const setBeams = (gantry: number[], turns: number[]) =>
    store.change({ gantry, couch: turns.some((c) => c !== 0) ? turns : [] });
  return (
    <>
      <label class="field-line">
        <span class="field-label">Machine</span>
        <select value={settings.machine} onChange={(event) => store.change({ machine: event.currentTarget.value })}>
          {store.choices?.machines.map((m) => <option key={m}>{m}</option>)}
        </select>
      </label>
      {photons && settings.gantry.length < 5 && (
        <p class="row wrap small">
          <span class="grow">Photons need more directions than protons to meet such goals.</span>
          <button class="small" onClick={() => setBeams(NINE, [])}>Nine beams</button>
        </p>
      )}
      <label class="field-line">
        <span class="field-label">Target</span>
        <select value={settings.target ?? ""} onChange={(event) => store.change({ target: event.currentTarget.value || null })}>
          {!settings.target && <option value="">choose …</option>}
          {structures.map((s) => <option key={s.name}>{s.name}</option>)}
        </select>
      </label>
      <table class="ws-beams">
        <caption class="visually-hidden">Beams</caption>
        <thead>
          <tr><th scope="col">Beam</th><th scope="col">Gantry °</th><th scope="col">Couch °</th><th scope="col" class="number">{photons ? "Bixels" : "Spots"}</th><th scope="col"><span class="visually-hidden">Remove</span></th></tr>
        </thead>
        <tbody>
          {settings.gantry.map((angle, k) => (
            <tr key={k} class={k === store.selectedBeam ? "chosen" : ""}>
              <td>
                <button
                  class="tiny" aria-pressed={k === store.selectedBeam} aria-label={`Select beam ${k + 1}`}
                  onClick={() => { store.selectedBeam = k; store.tell(); }}
                >
                  {k + 1}
                </button>
              </td>
              <td><NumberCell label={`Beam ${k + 1}: gantry angle`} value={angle} min={-360} max={360} onChange={(v) => setBeams(settings.gantry.map((g, i) => (i === k ? v : g)), couch)} /></td>
              <td><NumberCell label={`Beam ${k + 1}: couch angle`} value={couch[k] ?? 0} min={-360} max={360} onChange={(v) => setBeams(settings.gantry, couch.map((c, i) => (i === k ? v : c)))} /></td>
              <td class="number">{store.state.stale?.beams ? "–" : (beams?.[k]?.columns ?? "–")}</td>
              <td>
                <button class="tiny quiet" aria-label={`Remove beam ${k + 1}`} disabled={settings.gantry.length < 2} onClick={() => setBeams(settings.gantry.filter((_, i) => i !== k), couch.filter((_, i) => i !== k))}>✕</button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <button disabled={settings.gantry.length >= 24} onClick={() => setBeams([...settings.gantry, ((settings.gantry.at(-1) ?? 0) + 90) % 360], [...couch, 0])}>+ Beam</button>
      {photons ? (
        <Field label="Bixel" unit="mm" value={settings.bixel} limits={[2, 20]} step={1} slider={false} digits={1} onChange={(v) => store.change({ bixel: v })} />
      ) : (
        <>
          <Field label="Spot spacing" unit="mm" value={settings.spot_spacing} limits={[2, 20]} step={0.5} slider={false} digits={1} onChange={(v) => store.change({ spot_spacing: v })} />
          <Field label="Layer spacing" unit="mm" value={settings.layer_spacing} limits={[1, 20]} step={0.5} slider={false} digits={1} onChange={(v) => store.change({ layer_spacing: v })} />
        </>
      )}
      <label class="field-line">
        <span class="field-label">Dose grid</span>
        <select
          value={settings.dose_spacing ?? ""}
          onChange={(event) => store.change({ dose_spacing: event.currentTarget.value ? Number(event.currentTarget.value) : null })}
        >
          <option value="">from the CT</option>
          {spacings.map((mm) => <option key={mm} value={mm}>{mm} mm</option>)}
        </select>
      </label>
      <Field label="Fractions" value={settings.fractions} limits={[1, 60]} slider={false} onChange={(v) => store.change({ fractions: Math.round(v) })} />
      <Field label="Iterations at most" value={settings.max_iterations} limits={[1, 5000]} slider={false} onChange={(v) => store.change({ max_iterations: Math.round(v) })} />
      {!photons && (
        <label class="row small">
          <input type="checkbox" checked={settings.spots === "moving"} onChange={() => store.change({ spots: settings.spots === "moving" ? "fixed" : "moving" })} />
          Spots find their places (joint optimisation)
        </label>
      )}
      <label class="row small">
        <input type="checkbox" checked={settings.robust !== null} onChange={() => store.change({ robust: settings.robust ? null : { mode: "minimax", setup: 3, range_percent: photons ? 0 : 3.5 } })} />
        Robust against set-up{photons ? "" : " and range"}
      </label>
      {settings.robust && (
        <div class="ws-sub">
          <label class="field-line">
            <span class="field-label">Aims at</span>
            <select value={settings.robust.mode} onChange={(event) => store.change({ robust: { ...settings.robust!, mode: event.currentTarget.value as RobustMode } })}>
              <option value="minimax">worst case (minimax)</option>
              <option value="expected">expected value</option>
              <option value="voxel-wise">voxel-wise worst case</option>
              <option value="objective-wise">objective-wise worst case</option>
              <option value="cvar">mean of the worst (CVaR)</option>
            </select>
          </label>
          <Field label="Set-up error" unit="mm" value={settings.robust.setup} limits={[0, 20]} step={0.5} slider={false} digits={1} onChange={(v) => store.change({ robust: { ...settings.robust!, setup: v } })} />
          {!photons && <Field label="Range error" unit="%" value={settings.robust.range_percent} limits={[0, 20]} step={0.5} slider={false} digits={1} onChange={(v) => store.change({ robust: { ...settings.robust!, range_percent: v } })} />}
        </div>
      )}
    </>
  );
}

function NumberCell(props: { label: string; value: number; min: number; max: number; onChange: (value: number) => void }) {
  const take = (input: HTMLInputElement) => {
    const value = Number(input.value.replace(",", "."));
    if (input.value.trim() !== "" && Number.isFinite(value) && value >= props.min && value <= props.max) props.onChange(value);
    else input.value = String(props.value);
  };
  return (
    <input
      type="text" inputMode="decimal" class="ws-cell" aria-label={props.label} value={String(props.value)}
      onChange={(event) => take(event.currentTarget)}
    />
  );
}

const UNITS: Record<string, string> = { dose: "Gy", volume: "part", d50: "Gy", td50: "Gy", start: "Gy", end: "Gy", distance: "mm", softness: "Gy" };

function ObjectiveTab({ store, settings }: { store: Store; settings: Settings }) {
  const kinds = store.choices?.kinds ?? [];
  const structures = store.case?.structures ?? [];
  const set = (k: number, part: Partial<Objective>) =>
    store.change({ objectives: settings.objectives.map((o, i) => (i === k ? { ...o, ...part } : o)) });
  const defaults = (kind: string): Record<string, number | string> => {
    const known: Record<string, number | string> = { dose: 50, volume: 0.3, a: 8, d50: 40, m: 0.15, n: 0.2, td50: 40, target: settings.target ?? "", start: 50, end: 10, distance: 20 };
    return Object.fromEntries(
      (kinds.find((k) => k.name === kind)?.settings ?? []).map((s) => [s.name, s.default ?? known[s.name] ?? 1]),
    );
  };
  return (
    <>
      <p class="muted small">Doses are of the whole course. A higher weight counts more.</p>
      <ul class="ws-wishes">
        {settings.objectives.map((o, k) => {
          const info = structures.find((s) => s.name === o.structure);
          const kind = kinds.find((x) => x.name === o.kind);
          return (
            <li key={k} style={{ borderLeftColor: info?.colour ?? "var(--line-strong)" }}>
              <div class="row">
                <select aria-label={`Objective ${k + 1}: structure`} value={o.structure} onChange={(event) => set(k, { structure: event.currentTarget.value })}>
                  {structures.map((s) => <option key={s.name}>{s.name}</option>)}
                </select>
                <select
                  aria-label={`Objective ${k + 1}: kind`} title={kind?.about} value={o.kind}
                  onChange={(event) => {
                    const next = event.currentTarget.value;
                    const fresh = defaults(next);
                    for (const name of Object.keys(fresh)) if (name in o.settings) fresh[name] = o.settings[name]!;
                    set(k, { kind: next, settings: fresh });
                  }}
                >
                  {kinds.map((x) => <option key={x.name}>{x.name}</option>)}
                </select>
                <button class="tiny quiet" aria-label={`Remove objective ${k + 1}`} onClick={() => store.change({ objectives: settings.objectives.filter((_, i) => i !== k) })}>✕</button>
              </div>
              <div class="row wrap small">
                {(kind?.settings ?? []).map((s) => (
                  <label key={s.name} class="row ws-setting">
                    <span>{s.name}</span>
                    {typeof (o.settings[s.name] ?? s.default) === "string" ? (
                      <input type="text" class="ws-cell" value={String(o.settings[s.name] ?? s.default)} onChange={(event) => set(k, { settings: { ...o.settings, [s.name]: event.currentTarget.value } })} />
                    ) : (
                      <NumberCell label={`Objective ${k + 1}: ${s.name}`} value={Number(o.settings[s.name] ?? s.default ?? 0)} min={-1e12} max={1e12} onChange={(v) => set(k, { settings: { ...o.settings, [s.name]: v } })} />
                    )}
                    <span class="muted">{UNITS[s.name] ?? ""}</span>
                  </label>
                ))}
                <label class="row ws-setting">
                  <span>weight</span>
                  <NumberCell label={`Objective ${k + 1}: weight`} value={o.weight} min={0} max={1e9} onChange={(v) => set(k, { weight: v })} />
                </label>
              </div>
            </li>
          );
        })}
      </ul>
      <button
        onClick={() =>
          store.change({
            objectives: [...settings.objectives, { structure: structures.find((s) => s.role === "organ")?.name ?? structures[0]?.name ?? "", kind: "squared-overdose", weight: 10, settings: { dose: 20 } }],
          })
        }
      >
        + Objective
      </button>
    </>
  );
}

function GoalTab({ store, settings }: { store: Store; settings: Settings }) {
  const rows = store.live?.goals ?? store.state.goals ?? [];
  const [draft, setDraft] = useState("");
  const add = () => {
    if (!draft.trim()) return;
    store.change({ goals: [...settings.goals, draft.trim()] });
    setDraft("");
  };
  return (
    <>
      <ul class="ws-goals">
        {settings.goals.map((text, k) => {
          const row = rows[k];
          return (
            <li key={`${k}${text}`} class={row ? (row.met ? "met" : "missed") : ""}>
              <div class="row">
                <input
                  type="text" class="grow" aria-label={`Goal ${k + 1}`} value={text}
                  onChange={(event) => store.change({ goals: settings.goals.map((g, i) => (i === k ? event.currentTarget.value.trim() : g)).filter(Boolean) })}
                />
                <button class="tiny quiet" aria-label={`Remove goal ${k + 1}`} onClick={() => store.change({ goals: settings.goals.filter((_, i) => i !== k) })}>✕</button>
              </div>
              <div class="row small number">
                <span class="grow">{row?.value != null ? `${row.value.toFixed(row.unit === "" ? 3 : 2)} ${row.unit}` : "no plan yet"}</span>
                <span class="mark">{row ? (row.met ? "✓ met" : "✗ missed") : ""}</span>
              </div>
            </li>
          );
        })}
      </ul>
      <form class="row" onSubmit={(event) => { event.preventDefault(); add(); }}>
        <input type="text" aria-label="New goal" placeholder={`${settings.target ?? "PTV"}: D95% >= 57 Gy`} value={draft} onInput={(event) => setDraft(event.currentTarget.value)} />
        <button type="submit">Add</button>
      </form>
      <p class="muted small">Such as <code>Cord: Dmax &lt;= 45 Gy</code>, <code>Rectum: V60Gy &lt;= 25 %</code>, <code>PTV: CI60Gy &gt;= 0.8</code>.</p>
    </>
  );
}
