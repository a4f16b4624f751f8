// Histograms against goals: of the plan, of the plan that grows, with bands and a comparison.
import { useMemo } from "preact/hooks";
import { Chart, type Mark } from "../shared/Chart";
import { onPaper, useTheme } from "./colours";
import type { Store } from "./store";

export function DvhPanel({ store, height }: { store: Store; height: number }) {
  const { live, state } = store;
  const dvh = live?.dvh ?? state.dvh ?? null;
  const goals = live?.goals ?? state.goals ?? [];
  const other = live ? null : (state.comparison?.dvh ?? null);
  const bands = live ? null : (state.bands ?? null);
  const shown = useMemo(
    () => (dvh?.curves ?? []).filter((c) => c.points.length && !store.hidden.has(c.name)),
    [dvh, store.hidden.size],
  );
  const theme = useTheme();
  const colourOf = (name: string) => onPaper(store.case?.structures.find((s) => s.name === name)?.colour ?? "#888888", theme);
  const roleOf = (name: string) => store.case?.structures.find((s) => s.name === name)?.role ?? "organ";
  const { data, series } = useMemo(() => {
    const n = shown[0]?.points.length ?? 2;
    const places = Array.from({ length: n }, (_, k) => ((dvh?.top ?? 1) * k) / (n - 1));
    const rows: number[][] = [places];
    const kinds: { label: string; colour: string; dash?: number[]; width?: number; fillTo?: number }[] = [];
    for (const curve of shown) {
      rows.push(curve.points);
      kinds.push({ label: curve.name, colour: colourOf(curve.name), dash: roleOf(curve.name) === "organ" ? [9, 3] : roleOf(curve.name) === "external" ? [2, 4] : undefined, width: roleOf(curve.name) === "target" ? 2.6 : 2 });
    }
    for (const band of bands ?? []) {
      if (store.hidden.has(band.name)) continue;
      rows.push(band.high, band.low);
      kinds.push({ label: `${band.name}, highest`, colour: colourOf(band.name), width: 0.6, fillTo: rows.length - 1 });
      kinds.push({ label: `${band.name}, lowest`, colour: colourOf(band.name), width: 0.6 });
    }
    for (const curve of other?.curves ?? []) {
      if (!curve.points.length || store.hidden.has(curve.name) || curve.points.length !== n) continue;
      rows.push(curve.points);
      kinds.push({ label: `${curve.name}, other`, colour: colourOf(curve.name), dash: [2, 3], width: 1.2 });
    }
    return { data: rows, series: kinds };
  }, [shown, bands, other, theme]);
  const marks: Mark[] = useMemo(
    () => goals.filter((g) => g.mark).map((g) => ({ x: g.mark![0], y: g.mark![1], colour: colourOf(g.structure), met: g.met, up: g.least })),
    [goals, theme],
  );
  const words = shown.map((c) => `${c.name} mean ${c.mean?.toFixed(1)}, from ${c.min?.toFixed(1)} to ${c.max?.toFixed(1)} Gy`).join("; ");
  return (
    <div class="ws-dvh">
      <div class="row small">
        <h2 class="grow">Dose-volume histogram</h2>
        {live && <span class="ws-badge live">live</span>}
        {bands && <span class="muted">bands: {state.plan?.scenarios} scenarios</span>}
        {other && <span class="muted">dotted: {state.comparison?.title}</span>}
      </div>
      {shown.length ? (
        <Chart
          description={`Dose-volume histogram. ${words}`}
          xLabel={`Dose (${state.plan?.unit ?? "Gy"})`} yLabel="Volume (%)"
          data={data} series={series} marks={marks} height={height} yRange={[0, 102]} xRange={[0, dvh?.top ?? 1]}
        />
      ) : (
        <p class="muted ws-empty">Choose <strong>Optimise</strong>: histograms grow here while the plan is made.</p>
      )}
      <ul class="legend" aria-hidden="true">
        {shown.map((c) => (
          <li key={c.name}><span class={`ws-swatch ${roleOf(c.name)}`} style={{ borderColor: colourOf(c.name) }} />{c.name}</li>
        ))}
        {marks.length > 0 && <li class="muted">▲ at least, ▼ at most: goals (hollow: missed)</li>}
      </ul>
    </div>
  );
}
