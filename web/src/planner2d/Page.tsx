import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { TopBar } from "../shared/TopBar";
import { CurvePanel, DvhPanel, ProbePanel } from "./ChartPanels";
import { useChoices, useSection } from "./choices";
import { EXPORTS, exportAs, type ExportName } from "./exporting";
import { Legend, LessonPanel, LookPanel, PatientPanel, StructurePanel } from "./LeftPanels";
import type { Look } from "./paint";
import { firstPlan } from "./plan";
import "./planner2d.css";
import { BeamPanel, GoalPanel } from "./RightPanels";
import { readFile } from "./share";
import { Stage, type Tool } from "./Stage";
import { useStore, type Store } from "./store";

export function PlannerPage() {
  const store = useStore();
  const choices = useChoices();
  const section = useSection(store.plan.section.kind);
  const main = useSettled(store, choices !== null && (store.plan.section.kind === "water" || section !== null));
  const [tool, setTool] = useState<Tool>("move");
  const [look, setLook] = useState<Look>({ map: "viridis", opacity: 0.78, wash: true, lines: true });
  const chooseTool = (next: Tool) => {
    setTool(next);
    if (next === "probe") store.setProbe(store.probePoint ?? [0, 0]);
    else store.setProbe(null);
  };
  useShortcuts(store, () => chooseTool("move"));
  const drawn = (points: [number, number][]) => {
    chooseTool("move");
    const structure = store.plan.structures[store.selectedStructure];
    if (!structure || points.length < 8) {
      store.say("Draw a closed line around the structure, in one stroke.");
      return;
    }
    const step = Math.ceil(points.length / 90);
    const corners = points
      .filter((_, k) => k % step === 0)
      .map((p) => p.map((v) => Math.round(v * 10) / 10) as [number, number]);
    const structures = store.plan.structures.map((s) =>
      s === structure ? { ...s, shape: { kind: "polygon" as const, points: corners } } : s,
    );
    store.change({ ...store.plan, structures }, { keep: true });
  };
  return (
    <>
      <TopBar page="/" status={store.status}>
        <Actions store={store} />
      </TopBar>
      <main id="main" ref={main} class="planner" tabIndex={-1}>
        <h1 class="visually-hidden">Planner 2D</h1>
        <div class="left">
          <LessonPanel store={store} choices={choices} />
          <PatientPanel store={store} choices={choices} />
          <StructurePanel store={store} tool={tool} onTool={chooseTool} />
          <LookPanel store={store} look={look} onLook={setLook} />
        </div>
        <div class="middle">
          <section class="panel stage-panel" aria-label="Section with dose">
            <div class="row wrap toolbar" role="toolbar" aria-label="Tools">
              <button aria-pressed={tool === "move"} onClick={() => chooseTool("move")}>
                Move
              </button>
              <button aria-pressed={tool === "probe"} onClick={() => chooseTool(tool === "probe" ? "move" : "probe")}>
                Probe
              </button>
              <span class="grow" />
              <button
                class="primary"
                disabled={store.busy || store.plan.beams.length === 0}
                title="Change the monitor units so that goals are missed least"
                onClick={() => void store.optimise()}
              >
                {store.busy ? "Optimising …" : "Optimise weights"}
              </button>
              <Summary store={store} />
            </div>
            <Stage store={store} look={look} tool={tool} section={section} onDrawn={drawn} />
            <Legend store={store} />
          </section>
          <ProbePanel store={store} on={tool === "probe"} />
        </div>
        <div class="curves">
          <DvhPanel store={store} />
          <CurvePanel store={store} />
        </div>
        <div class="right">
          <BeamPanel store={store} />
          <GoalPanel store={store} />
        </div>
      </main>
      <div aria-live="assertive">{store.notice && <div class="toast">{store.notice}</div>}</div>
    </>
  );
}

/** Declares on the page's main element whether it shows its plan with all that belongs to it. */
function useSettled(store: Store, loaded: boolean) {
  const main = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    if (main.current) main.current.dataset["state"] = loaded && store.isSettled ? "settled" : "changing";
  });
  return main;
}

function Summary({ store }: { store: Store }) {
  const header = store.picture?.header;
  if (!header) return <span class="muted small">…</span>;
  const met = header.goals.filter((g) => g.met).length;
  return (
    <span class="small number summary">
      max {header.max.toFixed(2)} Gy
      <span class={`pill ${met === header.goals.length ? "good" : ""}`}>
        {met} of {header.goals.length} goals
      </span>
    </span>
  );
}

function Actions({ store }: { store: Store }) {
  const file = useRef<HTMLInputElement>(null);
  return (
    <div class="row actions">
      <button class="quiet" disabled={!store.canUndo} onClick={() => store.undo()} aria-label="Undo" title="Undo (Ctrl+Z)">
        ↶
      </button>
      <button class="quiet" disabled={!store.canRedo} onClick={() => store.redo()} aria-label="Redo" title="Redo (Ctrl+Shift+Z)">
        ↷
      </button>
      <button class="quiet" onClick={() => store.change(firstPlan(), { keep: true })}>
        New
      </button>
      <button class="quiet" onClick={() => file.current?.click()}>
        Open
      </button>
      <input
        ref={file}
        type="file"
        accept=".json,application/json"
        class="visually-hidden"
        tabIndex={-1}
        aria-label="Plan file to open"
        onChange={(event) => {
          const chosen = event.currentTarget.files?.[0];
          event.currentTarget.value = "";
          if (!chosen) return;
          void readFile(chosen).then((found) => store.adopt(found));
        }}
      />
      <select
        aria-label="Export or share"
        class="export"
        value=""
        onChange={(event) => {
          const name = event.currentTarget.value as ExportName;
          event.currentTarget.value = "";
          void exportAs(store, name);
        }}
      >
        <option value="" disabled>
          Export …
        </option>
        {EXPORTS.map((e) => (
          <option key={e.name} value={e.name}>
            {e.title}
          </option>
        ))}
      </select>
    </div>
  );
}

function useShortcuts(store: Store, escape: () => void): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.key === "Escape") escape();
      const inText = event.target instanceof HTMLInputElement && event.target.type === "text";
      if (!(event.ctrlKey || event.metaKey) || inText) return;
      const key = event.key.toLowerCase();
      if (key === "z" || key === "y") {
        event.preventDefault();
        if (key === "y" || event.shiftKey) store.redo();
        else store.undo();
      }
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });
}
