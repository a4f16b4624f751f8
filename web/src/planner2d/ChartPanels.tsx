// Curves below the picture, and the probe that shows every factor.
import { useMemo } from "preact/hooks";
import { Chart, useHeight } from "../shared/Chart";
import { DISTINCT } from "../shared/colours";
import type { Store } from "./store";

export function colourOf(store: Store, name: string): string {
  if (name === "Body") return "#8a97a8";
  const index = store.plan.structures.findIndex((s) => s.name === name);
  if (store.plan.structures[index]?.role === "target") return "#d8443c";
  return DISTINCT[[1, 2, 0, 6, 4][Math.max(index - 1, 0) % 5]!] ?? "#56b4e9";
}

export function DvhPanel({ store }: { store: Store }) {
  const header = store.picture?.header;
  const height = useHeight(210, 330);
  const shown = header?.structures.filter((s) => s.dvh.length > 0) ?? [];
  const names = shown.map((s) => s.name).join(";");
  const data = useMemo(() => {
    const n = shown[0]?.dvh.length ?? 2;
    const doses = Array.from({ length: n }, (_, k) => ((header?.dvhTop ?? 1) * k) / (n - 1));
    return [doses, ...shown.map((s) => s.dvh)];
  }, [header]);
  const series = useMemo(
    () =>
      shown.map((s) => ({
        label: s.name,
        colour: colourOf(store, s.name),
        dash: s.name === "Body" ? [3, 4] : store.plan.structures.find((t) => t.name === s.name)?.role === "target" ? undefined : [9, 3],
        width: s.name === "Body" ? 1.5 : 2.4,
      })),
    [names],
  );
  const words = shown
    .filter((s) => s.mean !== null)
    .map((s) => `${s.name} mean ${s.mean?.toFixed(2)} Gy, from ${s.min?.toFixed(2)} to ${s.max?.toFixed(2)}`)
    .join("; ");
  return (
    <section class="panel" aria-labelledby="dvh-title">
      <header>
        <h2 id="dvh-title">Dose-volume histogram</h2>
      </header>
      {header ? <Chart
        description={`Dose-volume histogram. ${words}`}
        xLabel="Dose (Gy)"
        yLabel="Volume (%)"
        data={data}
        series={series}
        height={height}
        yRange={[0, 102]}
      /> : <div style={{ height }} />}
      <ul class="legend" aria-hidden="true">
        {series.map((s) => (
          <li key={s.label}>
            <span class="stroke" style={{ background: s.colour }} />
            {s.label}
          </li>
        ))}
      </ul>
    </section>
  );
}

export function CurvePanel({ store }: { store: Store }) {
  const { curves, plan } = store;
  const height = useHeight(190, 270);
  const beam = plan.beams[curves?.beam ?? -1];
  const colour = ["#0b82d8"];
  const series = useMemo(() => [{ label: "Dose", colour: colour[0]! }], []);
  const depth = useMemo(() => curves?.depth ?? [[], []], [curves]);
  const profile = useMemo(() => curves?.profile ?? [[], []], [curves]);
  const title = beam ? `Beam ${(curves?.beam ?? 0) + 1}` : "Selected beam";
  return (
    <section class="panel" aria-labelledby="curves-title">
      <header>
        <h2 id="curves-title">{title}: depth dose and profile</h2>
      </header>
      <div class="charts">
        <Chart
          description={`Dose of ${title} on its axis; ${summary(depth)}`}
          xLabel="Depth on the axis (mm)"
          yLabel="Dose (Gy)"
          data={depth}
          series={series}
          height={height}
        />
        <Chart
          description={`Dose of ${title} across the isocentre; ${summary(profile)}`}
          xLabel="Across, at the isocentre (mm)"
          yLabel="Dose (Gy)"
          data={profile}
          series={series}
          height={height}
        />
      </div>
    </section>
  );
}

function summary(curve: number[][]): string {
  const [places, doses] = curve;
  if (!places?.length || !doses?.length) return "no dose";
  const top = Math.max(...doses);
  return `highest ${top.toFixed(2)} Gy at ${places[doses.indexOf(top)]?.toFixed(0)} mm`;
}

const FORMULA: Record<string, string> = {
  photons: "D = MU · D0′ · Sc(rc) · Sp(rd) · TPR(d, rd) · OAR(d, o) · P(o) · ISF",
  protons: "D = MU · D0 · SOBP(depth) · edge · width · ISF",
};

export function ProbePanel({ store, on }: { store: Store; on: boolean }) {
  const { probe, plan } = store;
  return (
    <section class="panel probe-panel" aria-labelledby="probe-title">
      <header>
        <h2 id="probe-title">Probe</h2>
        {probe && (
          <span class="number">
            ({probe.point[0].toFixed(0)}, {probe.point[1].toFixed(0)}) mm: <strong>{probe.dose.toFixed(3)} Gy</strong>
          </span>
        )}
      </header>
      {!probe && (
        <p class="muted small">
          {on ? "Point at the picture." : "Choose the probe above the picture, then point at any place: every factor of its dose appears here."}
        </p>
      )}
      {probe && !probe.inside && <p class="muted small">Outside the patient there is no dose.</p>}
      {probe?.inside &&
        probe.beams.map((beam, k) => {
          const kind = plan.beams[k]?.energy === "protons" ? "protons" : "photons";
          return (
            <details key={k} open={k === store.selectedBeam || probe.beams.length <= 2}>
              <summary>
                <span class="badge">{k + 1}</span> {plan.beams[k]?.energy},{" "}
                <span class="number">{beam.dose.toFixed(3)} Gy</span>
              </summary>
              <p class="formula">{FORMULA[kind]}{plan.beams[k]?.wedge ? " · WF · W" : ""}</p>
              <table>
                <caption class="visually-hidden">Factors of the dose of beam {k + 1}</caption>
                <thead class="visually-hidden">
                  <tr><th scope="col">Factor</th><th scope="col">Value</th><th scope="col">From</th></tr>
                </thead>
                <tbody>
                  <tr><th scope="row">MU</th><td class="number">{beam.mu.toFixed(1)}</td><td class="muted">monitor units</td></tr>
                  {beam.factors.map((f) => (
                    <tr key={f.symbol}>
                      <th scope="row">{f.symbol}</th>
                      <td class="number">{f.value.toFixed(4)}</td>
                      <td class="muted">{f.note}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </details>
          );
        })}
    </section>
  );
}
