// The right side: beams and goals.
import { useEffect, useState } from "preact/hooks";
import { Field } from "../shared/Field";
import { withBeam } from "./BeamMarks";
import { readable } from "./LeftPanels";
import { ENERGIES, isSentence, LIMITS, MAX_BEAMS, newBeam, turned, WEDGES, type Beam, type Energy } from "./plan";
import type { Store } from "./store";

export function BeamPanel({ store }: { store: Store }) {
  const { plan, selectedBeam } = store;
  const beam = plan.beams[selectedBeam];
  const add = () => {
    const gantry = freeAngle(plan.beams);
    const beams = [...plan.beams, newBeam(gantry, beam)];
    store.change({ ...plan, beams }, { keep: true });
    store.select({ beam: beams.length - 1 });
  };
  const change = (part: Partial<Beam>, done = true) =>
    store.change(withBeam(plan, selectedBeam, part), { keep: done });
  return (
    <section class="panel" aria-labelledby="beams-title">
      <header>
        <h2 id="beams-title">Beams</h2>
        <button class="quiet small" onClick={add} disabled={plan.beams.length >= MAX_BEAMS}>
          + Beam
        </button>
      </header>
      <ul class="picks beams" aria-label="Beams">
        {plan.beams.map((b, k) => (
          <li key={k}>
            <button
              class="pick"
              aria-pressed={k === selectedBeam}
              onClick={() => store.select({ beam: k })}
            >
              <span class="badge">{k + 1}</span>
              <span class="grow number">{+turned(b.gantry).toFixed(1)}°</span>
              <span class="muted">{b.energy}</span>
              <span class="number">{b.mu.toFixed(0)} MU</span>
            </button>
          </li>
        ))}
      </ul>
      {beam ? (
        <div class="editor" role="group" aria-label={`Beam ${selectedBeam + 1}`}>
          <div class="segments" role="group" aria-label="Energy">
            {ENERGIES.map((energy) => (
              <button
                key={energy}
                aria-pressed={beam.energy === energy}
                onClick={() => change(energyChange(energy))}
              >
                {energy === "protons" ? "Protons" : energy}
              </button>
            ))}
          </div>
          <Field label="Gantry" unit="°" value={turned(beam.gantry)} limits={[0, 359]} turn={360} digits={1} onChange={(v, done) => change({ gantry: v }, done)} />
          <Field label="Weight" unit="MU" value={beam.mu} limits={LIMITS.mu} slider={false} digits={1} onChange={(v, done) => change({ mu: v }, done)} />
          <input
            type="range"
            aria-label="Weight, MU (slider)"
            min={0}
            max={300}
            value={Math.min(beam.mu, 300)}
            onInput={(event) => change({ mu: Number(event.currentTarget.value) }, false)}
            onChange={(event) => change({ mu: Number(event.currentTarget.value) }, true)}
          />
          <Field label="Field width" unit="mm" value={beam.width} limits={LIMITS.side} onChange={(v, done) => change({ width: v }, done)} />
          <Field label="Field length" unit="mm" value={beam.length} limits={LIMITS.side} slider={false} onChange={(v, done) => change({ length: v }, done)} />
          {beam.energy === "protons" ? (
            <>
              <Field label="Range" unit="mm" value={beam.range} limits={LIMITS.range} onChange={(v, done) => change({ range: v }, done)} />
              <Field label="Modulation" unit="mm" value={beam.modulation} limits={LIMITS.modulation} onChange={(v, done) => change({ modulation: v }, done)} />
            </>
          ) : (
            <label class="field-line">
              <span class="field-label">Wedge</span>
              <select
                value={beam.wedge}
                onChange={(event) => change({ wedge: Number(event.currentTarget.value) })}
              >
                {WEDGES.map((w) => (
                  <option key={w} value={w}>
                    {w === 0 ? "none" : `${Math.abs(w)}°, thick ${thickEnd(beam.gantry, w)}`}
                  </option>
                ))}
              </select>
            </label>
          )}
          <div class="row wrap">
            <button
              onClick={() => {
                const copy = { ...beam, gantry: turned(beam.gantry + 180), wedge: -beam.wedge };
                store.change({ ...plan, beams: [...plan.beams, copy] }, { keep: true });
                store.select({ beam: plan.beams.length });
              }}
              disabled={plan.beams.length >= MAX_BEAMS}
            >
              Oppose
            </button>
            <button
              class="quiet"
              aria-label={`Remove beam ${selectedBeam + 1}`}
              onClick={() =>
                store.change(
                  { ...plan, beams: plan.beams.filter((_, k) => k !== selectedBeam) },
                  { keep: true },
                )
              }
            >
              Remove
            </button>
          </div>
        </div>
      ) : (
        <p class="muted small">There is no beam yet. Add one.</p>
      )}
    </section>
  );
}

export function GoalPanel({ store }: { store: Store }) {
  const { plan } = store;
  const header = store.picture?.header;
  const [draft, setDraft] = useState("");
  const change = (goals: string[]) => store.change({ ...plan, goals }, { keep: true });
  const names = [...plan.structures.map((s) => s.name), "Body"];
  return (
    <section class="panel" aria-labelledby="goals-title">
      <header>
        <h2 id="goals-title">Goals</h2>
      </header>
      <Field
        label="Prescription"
        unit="Gy"
        value={plan.prescription}
        limits={LIMITS.prescription}
        digits={1}
        step={0.1}
        slider={false}
        onChange={(v, done) => store.change({ ...plan, prescription: v }, { keep: done })}
      />
      <ul class="goals" aria-label="Goals, what the plan reaches, and whether it meets them">
        {plan.goals.map((goal, k) => {
          const verdict = header?.goals.find((v) => v.text === goal);
          const digits = verdict?.unit === "%" ? 1 : 2;
          const name = goal.slice(0, goal.lastIndexOf(":")).trim();
          const about = header?.structures.find((s) => s.name === name);
          const nothing = !header ? "–" : about ? "outside the patient" : `there is no ${name}`;
          return (
            <li key={`${k}${goal}`} class={verdict ? (verdict.met ? "met" : "missed") : ""}>
              <GoalText
                text={goal}
                onChange={(text) => change(plan.goals.map((g, i) => (i === k ? text : g)))}
                onRemove={() => change(plan.goals.filter((_, i) => i !== k))}
              />
              <span class="verdict">
                <span class="number">
                  {verdict?.value == null ? nothing : `now ${told(verdict.value, verdict.met, goal, digits)} ${verdict.unit}`}
                </span>
                <span class="mark">{verdict ? (verdict.met ? "✓ met" : "✗ missed") : ""}</span>
              </span>
            </li>
          );
        })}
      </ul>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          const text = draft.replace("≥", ">=").replace("≤", "<=").trim();
          if (!isSentence(text)) {
            store.say("Write a goal like: Target: D95% >= 1.9 Gy, with D95%, Dmax, Dmin, Dmean, V20Gy or HI.");
            return;
          }
          change([...plan.goals, text]);
          setDraft("");
        }}
      >
        <input
          type="text"
          class="grow"
          aria-label="New goal"
          placeholder="Organ: Dmax <= 1 Gy"
          maxLength={80}
          value={draft}
          list="goal-starts"
          onInput={(event) => setDraft(event.currentTarget.value)}
        />
        <datalist id="goal-starts">
          {names.map((n) => <option key={n} value={`${n}: Dmean <= 1 Gy`} />)}
        </datalist>
        <button type="submit" disabled={plan.goals.length >= 12}>Add</button>
      </form>
    </section>
  );
}

function GoalText(props: { text: string; onChange: (text: string) => void; onRemove: () => void }) {
  const [draft, setDraft] = useState(props.text);
  useEffect(() => setDraft(props.text), [props.text]);
  const good = isSentence(draft);
  return (
    <span class="row">
      <input
        type="text"
        class="goal"
        aria-label={`Goal ${readable(props.text)}`}
        aria-invalid={!good}
        value={readable(draft)}
        maxLength={80}
        onInput={(event) => setDraft(event.currentTarget.value.replace("≥", ">=").replace("≤", "<="))}
        onChange={() => good && props.onChange(draft.trim())}
      />
      <button class="quiet tiny" aria-label={`Remove goal ${readable(props.text)}`} onClick={props.onRemove}>×</button>
    </span>
  );
}

/** Where in the picture the thick end of a wedge lies, as an arrow. */
const thickEnd = (gantry: number, wedge: number): string =>
  [..."→↘↓↙←↖↑↗"][(Math.round(turned(gantry) / 45) + (wedge > 0 ? 0 : 4)) % 8]!;

function energyChange(energy: Energy): Partial<Beam> {
  return energy === "protons" ? { energy, wedge: 0 } : { energy };
}

/** The middle of the widest gap between beams, in steps of 5 degrees. */
function freeAngle(beams: Beam[]): number {
  if (beams.length === 0) return 0;
  const angles = beams.map((b) => turned(b.gantry)).sort((a, b) => a - b);
  let [best, gap] = [0, -1];
  angles.forEach((angle, k) => {
    const next = k + 1 < angles.length ? angles[k + 1]! : angles[0]! + 360;
    if (next - angle > gap) [best, gap] = [angle, next - angle];
  });
  return turned(Math.round((best + gap / 2) / 5) * 5);
}

/** A figure with so many digits that one which misses its goal does not look like the limit. */
function told(value: number, met: boolean, goal: string, digits: number): string {
  const limit = Number(/[<>]=?\s*([\d.]+)/.exec(goal)?.[1]);
  let shown = digits;
  while (!met && shown < digits + 4 && Number(value.toFixed(shown)) === limit) shown++;
  return value.toFixed(shown);
}
