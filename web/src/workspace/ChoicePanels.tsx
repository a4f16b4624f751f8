// Sliders over a front of plans, and the figures of a comparison.
import { useEffect, useState } from "preact/hooks";
import type { Store } from "./store";

export function FrontPanel({ store }: { store: Store }) {
  const { front, choice } = store.state;
  const [limits, setLimits] = useState<Record<string, number>>({});
  const [prefer, setPrefer] = useState<string | null>(null);
  useEffect(() => {
    setLimits({});
    const target = store.settings?.target ?? "";
    setPrefer(front?.names.includes(target) ? target : null); // the server shows that one first
  }, [front]);
  if (!front) return null;
  const go = (next: Record<string, number>, first: string | null) => {
    setLimits(next);
    setPrefer(first);
    store.navigate(next, first);
  };
  return (
    <section class="panel" aria-labelledby="front-title">
      <header>
        <h2 id="front-title">Trade-offs</h2>
        <button class="quiet small" onClick={() => go({}, null)}>Balance all</button>
      </header>
      <p class="muted small">{front.plans.length} plans; nothing better is hidden between them by more than {(100 * front.gap).toFixed(0)} %. Lower is better. Limit one, or make it best.</p>
      {front.names.map((name, k) => {
        const low = front.low[k]!;
        const high = Math.max(front.high[k]!, low + 1e-12);
        const percent = (value: number) => Math.min(Math.max((100 * (value - low)) / (high - low), 0), 100);
        const now = choice?.[name] ?? low;
        const top = limits[name] ?? high;
        return (
          <div class="ws-front" key={name}>
            <div class="row small">
              <span class="grow"><span class="ws-swatch target" style={{ borderColor: store.case?.structures.find((s) => s.name === name)?.colour ?? "#888" }} />{name}</span>
              <span class="number">{percent(now).toFixed(0)} % of its range</span>
              <button class="tiny" aria-pressed={prefer === name} onClick={() => go(limits, prefer === name ? null : name)}>best</button>
            </div>
            <div class="ws-now" aria-hidden="true"><span style={{ left: `${percent(now)}%` }} /></div>
            <input
              type="range" min={0} max={100} step={1} value={percent(top)} aria-label={`Limit of ${name}, percent of its range`}
              onInput={(event) => go({ ...limits, [name]: low + ((high - low) * Number(event.currentTarget.value)) / 100 + 1e-9 * high }, prefer)}
            />
          </div>
        );
      })}
    </section>
  );
}

export function ComparisonPanel({ store }: { store: Store }) {
  const found = store.state.comparison;
  if (!found) return null;
  return (
    <section class="panel" aria-labelledby="comparison-title">
      <header><h2 id="comparison-title">Comparison</h2></header>
      <p class="small">With the {found.title}</p>
      <dl class="ws-facts single small number">
        <div><dt>Gamma {found.percent} %/{found.distance} mm</dt><dd>{(100 * found.passRate).toFixed(1)} % pass</dd></div>
        <div><dt>Voxels</dt><dd>{found.evaluated}</dd></div>
        <div><dt>Mean difference</dt><dd>{found.mean.toFixed(2)} Gy</dd></div>
        <div><dt>Largest</dt><dd>{found.max.toFixed(1)} Gy</dd></div>
      </dl>
    </section>
  );
}
