// The case, its structures, and how they are shown.
import { useState } from "preact/hooks";
import { MAPS, type MapName } from "../shared/colours";
import { LEVELS } from "./paint";
import { onPaper, useTheme } from "./colours";
import type { Store, Shown } from "./store";
import type { StructureInfo } from "./types";

const WINDOWS: { title: string; window: number; level: number }[] = [
  { title: "Soft tissue", window: 500, level: 20 },
  { title: "Brain", window: 100, level: 40 },
  { title: "Lung", window: 1500, level: -550 },
  { title: "Bone", window: 2000, level: 400 },
  { title: "All", window: 4000, level: 1000 },
];

export function CasePanel({ store, onOpen }: { store: Store; onOpen: () => void }) {
  const found = store.case;
  if (!found) return null;
  const where = found.source.kind === "file" ? found.source.path : found.source.name;
  return (
    <section class="panel" aria-labelledby="case-title">
      <header>
        <h2 id="case-title">{found.title}</h2>
        <button onClick={onOpen}>Open …</button>
      </header>
      {!found.isPhantom && (
        <>
          <label class="row small">
            <input type="checkbox" checked={store.nameShown} onChange={() => { store.nameShown = !store.nameShown; store.tell(); }} />
            Show file and pseudonym
          </label>
          {store.nameShown && <p class="small ws-wrap">{where}{found.pseudonym && ` · ${found.pseudonym}`}</p>}
        </>
      )}
      <p class="muted small number">
        {found.isPhantom && "Phantom · "}{found.grid.shape.slice().reverse().join(" × ")} voxels · {found.grid.spacing.slice().reverse().map((s) => +s.toFixed(2)).join(" × ")} mm · {found.position}
      </p>
      {store.watchers > 1 && <p class="small muted">{store.watchers} pages show this workspace.</p>}
    </section>
  );
}

export function StructurePanel({ store }: { store: Store }) {
  const structures = store.case?.structures ?? [];
  const theme = useTheme();
  const curves = store.live?.dvh.curves ?? store.state.dvh?.curves ?? [];
  const jump = (info: StructureInfo) => {
    const mask = store.volumes.masks.get(info.name);
    const grid = store.case?.grid;
    if (!mask || !grid) return;
    const cross = [0, 1, 2].map((axis) => {
      const k = 2 - axis;
      return grid.origin[axis]! + grid.spacing[k]! * Math.round(mask.first[k]! + (mask.shape[k]! * mask.step[k]!) / 2);
    }) as [number, number, number];
    store.setCross(cross);
  };
  return (
    <section class="panel" aria-labelledby="structures-title">
      <header>
        <h2 id="structures-title">Structures</h2>
        <button class="quiet small" onClick={() => { store.hidden = store.hidden.size ? new Set() : new Set(structures.map((s) => s.name)); store.tell(); }}>
          {store.hidden.size ? "Show all" : "Hide all"}
        </button>
      </header>
      <table class="ws-structures">
        <thead>
          <tr>
            <th scope="col"><span class="visually-hidden">Shown</span></th>
            <th scope="col">Name</th>
            <th scope="col" class="number">cm³</th>
            <th scope="col" class="number">Mean {store.state.plan?.unit ?? "Gy"}</th>
          </tr>
        </thead>
        <tbody>
          {structures.map((s) => (
            <tr key={s.name}>
              <td>
                <input type="checkbox" aria-label={`Show ${s.name}`} checked={!store.hidden.has(s.name)} onChange={() => store.toggleStructure(s.name)} />
              </td>
              <th scope="row">
                <button class="quiet ws-name" title={`Go to the middle of ${s.name}`} onClick={() => jump(s)}>
                  <span class={`ws-swatch ${s.role}`} style={{ borderColor: onPaper(s.colour, theme) }} />
                  {s.name}
                </button>
              </th>
              <td class="number">{s.volume < 10 ? s.volume.toFixed(2) : s.volume.toFixed(0)}</td>
              <td class="number">{curves.find((c) => c.name === s.name)?.mean?.toFixed(1) ?? "–"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

export function LookPanel({ store }: { store: Store }) {
  const { look } = store;
  const [open, setOpen] = useState(false);
  const known: { name: Shown; title: string; on: boolean }[] = [
    { name: "dose", title: "Dose", on: store.volumes.dose !== null },
    { name: "difference", title: "Difference", on: store.volumes.difference !== null },
    { name: "gamma", title: "Gamma", on: store.volumes.gamma !== null },
    { name: "none", title: "CT only", on: true },
  ];
  const asked = store.state.plan?.prescription ?? 0;
  const current = WINDOWS.find((w) => w.window === look.window && w.level === look.level);
  return (
    <section class="panel" aria-labelledby="look-title">
      <header><h2 id="look-title">View</h2></header>
      <div class="ws-segments" role="group" aria-label="What is laid over the CT">
        {known.filter((k) => k.on || k.name === "dose").map((k) => (
          <button key={k.name} aria-pressed={look.shown === k.name} disabled={!k.on} onClick={() => store.setLook({ shown: k.name })}>
            {k.title}
          </button>
        ))}
      </div>
      <label class="field-line">
        <span class="field-label">CT window</span>
        <select
          value={current?.title ?? ""}
          onChange={(event) => {
            const chosen = WINDOWS.find((w) => w.title === event.currentTarget.value);
            if (chosen) store.setLook({ window: chosen.window, level: chosen.level });
          }}
        >
          {!current && <option value="">{look.level - look.window / 2} to {look.level + look.window / 2} HU</option>}
          {WINDOWS.map((w) => <option key={w.title}>{w.title}</option>)}
        </select>
      </label>
      <div class="row wrap small">
        <label class="row"><input type="checkbox" checked={look.wash} onChange={() => store.setLook({ wash: !look.wash })} />Colour wash</label>
        <label class="row"><input type="checkbox" checked={look.lines} onChange={() => store.setLook({ lines: !look.lines })} />Isodoses</label>
        <label class="row"><input type="checkbox" checked={look.beams} onChange={() => store.setLook({ beams: !look.beams })} />Beams</label>
        <button class="quiet small" aria-expanded={open} onClick={() => setOpen(!open)}>{open ? "Less" : "More …"}</button>
      </div>
      {open && (
        <>
          <label class="field-line">
            <span class="field-label">Colours</span>
            <select value={look.map} onChange={(event) => store.setLook({ map: event.currentTarget.value as MapName })}>
              {MAPS.map((m) => <option key={m.name} value={m.name}>{m.title}</option>)}
            </select>
          </label>
          <label class="field-line">
            <span class="field-label">Opacity</span>
            <input type="range" min={0.1} max={1} step={0.05} value={look.opacity} onInput={(event) => store.setLook({ opacity: Number(event.currentTarget.value) })} />
          </label>
          <label class="field-line">
            <span class="field-label">Wash from {look.least} %</span>
            <input type="range" min={0} max={95} step={5} value={look.least} onInput={(event) => store.setLook({ least: Number(event.currentTarget.value) })} />
          </label>
        </>
      )}
      {look.shown === "dose" && look.lines && store.volumes.dose && (
        <ul class="ws-levels small number" aria-label="Isodoses, percent of the prescription">
          {LEVELS.map((l) => (
            <li key={l.percent}><span style={{ background: l.colour }} />{l.percent} %</li>
          ))}
          {asked > 0 && <li class="muted">of {+asked.toFixed(2)} {store.state.plan?.unit}</li>}
        </ul>
      )}
      {look.shown === "difference" && <p class="small muted">Blue: the plan has less than the other; orange: more. Full colour at 10 % of the prescription.</p>}
      {look.shown === "gamma" && <p class="small muted">Blue: passes (γ ≤ 1); orange to yellow: fails.</p>}
    </section>
  );
}
