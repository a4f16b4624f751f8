// The left side: lessons, the patient, its structures, and how the dose is shown.
import { useState } from "preact/hooks";
import { Field } from "../shared/Field";
import { MAPS, type MapName } from "../shared/colours";
import type { Choices } from "./choices";
import { LEVELS, type Look } from "./paint";
import { boxOf, LIMITS, placed, type SectionKind, type Structure } from "./plan";
import type { Tool } from "./Stage";
import type { Store } from "./store";

export function LessonPanel({ store, choices }: { store: Store; choices: Choices | null }) {
  const lesson = choices?.lessons.find((l) => l.name === store.plan.lesson);
  const [hint, setHint] = useState("");
  const header = store.picture?.header;
  const begin = (name: string) => {
    setHint("");
    const found = choices?.lessons.find((l) => l.name === name);
    if (found) store.change({ ...found.start, lesson: name }, { keep: true });
    else store.change({ ...store.plan, lesson: null }, { keep: true });
  };
  return (
    <section class="panel" aria-labelledby="lesson-title">
      <header>
        <h2 id="lesson-title">Lesson</h2>
      </header>
      <select
        aria-label="Lesson"
        value={store.plan.lesson ?? ""}
        onChange={(event) => begin(event.currentTarget.value)}
      >
        <option value="">Free planning</option>
        {choices?.lessons.map((l, k) => (
          <option key={l.name} value={l.name}>
            {`${k + 1}. ${l.title}`}
          </option>
        ))}
      </select>
      {lesson && (
        <div class="lesson">
          <p class="small">{lesson.idea}</p>
          <p class="task">{lesson.task}</p>
          <ul class="checks" aria-label="What the lesson asks for">
            {header?.rules.map((rule) => (
              <Check key={rule.text} met={rule.met} text={rule.text} />
            ))}
            {header?.goals
              .filter((g) => lesson.start.goals.includes(g.text))
              .map((goal) => <Check key={goal.text} met={goal.met} text={readable(goal.text)} />)}
          </ul>
          <div class="row wrap">
            <button class="quiet" onClick={() => setHint(hint ? "" : lesson.hint)} aria-expanded={hint !== ""}>
              {hint ? "Hide hint" : "Hint"}
            </button>
            <button class="quiet" onClick={() => begin(lesson.name)}>
              Start again
            </button>
          </div>
          {hint && <p class="small hint">{hint}</p>}
          <p class={`done ${header?.done ? "reached" : ""}`} role="status">
            {header?.done ? "✓ Lesson done" : ""}
          </p>
        </div>
      )}
    </section>
  );
}

export function Check({ met, text }: { met: boolean; text: string }) {
  return (
    <li class={met ? "met" : "missed"}>
      <span aria-hidden="true">{met ? "✓" : "○"}</span>
      <span>
        {text}
        <span class="visually-hidden">{met ? ": met" : ": not met"}</span>
      </span>
    </li>
  );
}

export const readable = (sentence: string): string =>
  sentence.replace(">=", "≥").replace("<=", "≤");

export function PatientPanel({ store, choices }: { store: Store; choices: Choices | null }) {
  const { section, structures } = store.plan;
  const change = (kind: SectionKind) => {
    const found = choices?.sections.find((s) => s.name === kind);
    store.change(
      {
        ...store.plan,
        section: { ...section, kind },
        structures: found ? found.structures : structures,
        isocentre: found ? middleOf(found.structures[0]) : store.plan.isocentre,
        lesson: null,
      },
      { keep: true },
    );
  };
  const size = (part: Partial<typeof section>, done: boolean) =>
    store.change({ ...store.plan, section: { ...section, ...part } }, { keep: done });
  const round = section.semi_x === section.semi_y;
  return (
    <section class="panel" aria-labelledby="patient-title">
      <header>
        <h2 id="patient-title">Patient</h2>
      </header>
      <select
        aria-label="Patient"
        value={section.kind}
        onChange={(event) => change(event.currentTarget.value as SectionKind)}
      >
        <option value="water">Water: circle or ellipse</option>
        {choices?.sections.map((s) => (
          <option key={s.name} value={s.name}>
            {s.title}
          </option>
        ))}
      </select>
      {section.kind === "water" && (
        <>
          <Field
            label={round ? "Radius" : "Half width"}
            unit="mm"
            value={section.semi_x}
            limits={LIMITS.semi}
            onChange={(v, done) => size(round ? { semi_x: v, semi_y: v } : { semi_x: v }, done)}
          />
          {!round && (
            <Field
              label="Half height"
              unit="mm"
              value={section.semi_y}
              limits={LIMITS.semi}
              onChange={(v, done) => size({ semi_y: v }, done)}
            />
          )}
          <label class="row small">
            <input
              type="checkbox"
              checked={round}
              onChange={(event) =>
                size(
                  event.currentTarget.checked
                    ? { semi_y: section.semi_x }
                    : { semi_y: Math.max(50, Math.round(section.semi_x * 0.75)) },
                  true,
                )
              }
            />
            Round
          </label>
        </>
      )}
    </section>
  );
}

export function StructurePanel(props: { store: Store; tool: Tool; onTool: (tool: Tool) => void }) {
  const { store, tool, onTool } = props;
  const { plan, selectedStructure } = store;
  const selected = plan.structures[selectedStructure];
  const header = store.picture?.header;
  const replace = (part: Partial<Structure>, done = true) =>
    store.change(
      {
        ...plan,
        structures: plan.structures.map((s, k) => (k === selectedStructure ? { ...s, ...part } : s)),
      },
      { keep: done },
    );
  const add = () => {
    let n = 1;
    while (plan.structures.some((s) => s.name === `Organ ${n}`)) n++;
    const shape = { kind: "ellipse", x: -50, y: 30, rx: 15, ry: 15 } as const;
    const structures = [...plan.structures, { name: `Organ ${n}`, role: "organ" as const, shape }];
    store.change({ ...plan, structures }, { keep: true });
    store.select({ structure: structures.length - 1 });
  };
  const box = selected && boxOf(selected.shape);
  return (
    <section class="panel" aria-labelledby="structures-title">
      <header>
        <h2 id="structures-title">Structures</h2>
        <button class="quiet small" onClick={add} disabled={plan.structures.length >= 6}>
          + Organ
        </button>
      </header>
      <ul class="picks" aria-label="Structures">
        {plan.structures.map((s, k) => {
          const dose = header?.structures.find((d) => d.name === s.name);
          return (
            <li key={k}>
              <button
                class={`pick ${s.role}`}
                aria-pressed={k === selectedStructure}
                onClick={() => store.select({ structure: k })}
              >
                <span class="swatch" aria-hidden="true" />
                <span class="grow">{s.name}</span>
                {dose && dose.mean === null ? (
                  <span class="outside">outside the patient</span>
                ) : (
                  <span class="muted number">{dose?.mean == null ? "–" : `${dose.mean.toFixed(2)} Gy`}</span>
                )}
              </button>
            </li>
          );
        })}
      </ul>
      {selected && box && (
        <>
          <div class="row wrap">
            <button aria-pressed={tool === "draw"} onClick={() => onTool(tool === "draw" ? "move" : "draw")}>
              Draw
            </button>
            <button
              onClick={() =>
                replace({
                  shape: { kind: "ellipse", x: box.x, y: box.y, rx: box.rx, ry: box.ry },
                })
              }
            >
              Ellipse
            </button>
            <button
              class="quiet"
              aria-label={`Remove ${selected.name}`}
              disabled={selected.role === "target"}
              onClick={() =>
                store.change(
                  { ...plan, structures: plan.structures.filter((_, k) => k !== selectedStructure) },
                  { keep: true },
                )
              }
            >
              Remove
            </button>
          </div>
          <div class="pair">
            <Field
              label="Width"
              unit="mm"
              slider={false}
              value={2 * box.rx}
              limits={[6, 500]}
              onChange={(v, done) => replace({ shape: placed(selected.shape, { ...box, rx: v / 2 }) }, done)}
            />
            <Field
              label="Height"
              unit="mm"
              slider={false}
              value={2 * box.ry}
              limits={[6, 500]}
              onChange={(v, done) => replace({ shape: placed(selected.shape, { ...box, ry: v / 2 }) }, done)}
            />
          </div>
          <button
            class="quiet small"
            onClick={() =>
              store.change({ ...plan, isocentre: middleOf(selected) }, { keep: true })
            }
          >
            Isocentre to {selected.name}
          </button>
        </>
      )}
    </section>
  );
}

const middleOf = (structure: Structure | undefined): [number, number] => {
  if (!structure) return [0, 0];
  const { x, y } = boxOf(structure.shape);
  return [Math.round(x), Math.round(y)];
};

export function LookPanel(props: { store: Store; look: Look; onLook: (look: Look) => void }) {
  const { store, look, onLook } = props;
  return (
    <section class="panel" aria-labelledby="look-title">
      <header>
        <h2 id="look-title">Picture</h2>
      </header>
      <div class="row wrap">
        <label class="row small">
          <input
            type="checkbox"
            checked={look.wash}
            onChange={(event) => onLook({ ...look, wash: event.currentTarget.checked })}
          />
          Dose wash
        </label>
        <label class="row small">
          <input
            type="checkbox"
            checked={look.lines}
            onChange={(event) => onLook({ ...look, lines: event.currentTarget.checked })}
          />
          Isodose lines
        </label>
      </div>
      <select
        aria-label="Colour map"
        value={look.map}
        onChange={(event) => onLook({ ...look, map: event.currentTarget.value as MapName })}
      >
        {MAPS.map((m) => (
          <option key={m.name} value={m.name}>
            {m.title}
          </option>
        ))}
      </select>
      <label class="small">
        Opacity of the wash
        <input
          type="range"
          min={0}
          max={1}
          step={0.05}
          value={look.opacity}
          onInput={(event) => onLook({ ...look, opacity: Number(event.currentTarget.value) })}
        />
      </label>
      <label class="small">
        Depth of a point
        <select
          value={store.plan.depth}
          onChange={(event) =>
            store.change(
              { ...store.plan, depth: event.currentTarget.value as "ray" | "axis" },
              { keep: true },
            )
          }
        >
          <option value="ray">along the ray (correct)</option>
          <option value="axis">along the axis (as published)</option>
        </select>
      </label>
    </section>
  );
}

export function Legend({ store }: { store: Store }) {
  return (
    <ul class="legend" aria-label="Isodose lines, percent of the prescription">
      {LEVELS.map(({ percent, colour }) => (
        <li key={percent}>
          <span class="stroke" style={{ background: colour }} aria-hidden="true" />
          {percent} %
          <span class="muted"> {((percent / 100) * store.plan.prescription).toFixed(2)} Gy</span>
        </li>
      ))}
    </ul>
  );
}
