// Beams in the picture: their fields, and handles that turn and size them.
import type { Drag } from "./Stage";
import { arrow } from "./Stage";
import { axesOf, clamp, handleDistance, LIMITS, sadOf, turned, type Beam, type Plan } from "./plan";
import type { Store } from "./store";

const RING = 0.625; // of the picture's width: where handles stand

export interface MarksProps {
  store: Store;
  /** Size of a pixel, mm. */
  tip: number;
  begin: (event: PointerEvent, take: Drag) => void;
}

export function BeamMarks(props: MarksProps & { width: number }) {
  const { store, width, tip, begin } = props;
  const { plan, selectedBeam } = store;
  const marks = plan.beams.map((beam, index) => (
    <BeamMark
      key={index}
      {...{ store, tip, begin, beam, index, radius: RING * width }}
      selected={index === selectedBeam}
    />
  ));
  return <g>{marks}</g>;
}

function BeamMark(
  props: MarksProps & { beam: Beam; index: number; radius: number; selected: boolean },
) {
  const { store, tip, begin, beam, index, radius, selected } = props;
  const { plan } = store;
  const { along, across } = axesOf(beam.gantry);
  const [x, y] = plan.isocentre;
  const back = handleDistance(plan, beam.gantry, radius);
  const sad = sadOf(beam);
  const at = (behind: number, side: number): [number, number] => {
    const grown = (sad + behind) / sad;
    return [
      x + along[0] * behind + across[0] * side * grown,
      y + along[1] * behind + across[1] * side * grown,
    ];
  };
  const half = beam.width / 2;
  const near = -back + 16 * tip;
  const far = handleDistance(plan, beam.gantry + 180, radius * 0.93);
  const corners = [at(near, -half), at(near, half), at(far, half), at(far, -half)];
  const head = at(-back, 0);
  // keys may come faster than pictures: what they change is the plan of this moment
  const change = (part: (now: Beam) => Partial<Beam>) => {
    const now = store.plan.beams[index];
    if (now) store.change(withBeam(store.plan, index, part(now)), { keep: true });
  };
  const turn: Drag = (to, event) => {
    const angle = (Math.atan2(to[0] - x, -(to[1] - y)) * 180) / Math.PI;
    const step = event.shiftKey ? 5 : 1;
    const gantry = turned(Math.round(angle / step) * step);
    store.change(withBeam(store.plan, index, { gantry }), { keep: false, at: event.timeStamp });
  };
  const size: Drag = (to, event) => {
    const now = store.plan.beams[index] ?? beam;
    const axes = axesOf(now.gantry);
    const depth = (to[0] - x) * axes.along[0] + (to[1] - y) * axes.along[1];
    const side = Math.abs((to[0] - x) * axes.across[0] + (to[1] - y) * axes.across[1]);
    const wide = (2 * side * sad) / Math.max(sad + depth, 100);
    const part = { width: clamp(Math.round(wide), LIMITS.side) };
    store.change(withBeam(store.plan, index, part), { keep: false, at: event.timeStamp });
  };
  const turnByKey = (event: KeyboardEvent) => {
    const step = arrow(event);
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      store.change(
        { ...store.plan, beams: store.plan.beams.filter((_, k) => k !== index) },
        { keep: true },
      );
      return;
    }
    if (!step) return;
    event.preventDefault();
    const amount = (event.shiftKey ? 10 : 1) * (step[0] - step[1]);
    change((now) => ({ gantry: turned(now.gantry + amount) }));
  };
  const sizeByKey = (event: KeyboardEvent) => {
    const step = arrow(event);
    if (!step) return;
    event.preventDefault();
    const amount = (event.shiftKey ? 10 : 2) * (step[0] - step[1]);
    change((now) => ({ width: clamp(now.width + amount, LIMITS.side) }));
  };
  const name = `Beam ${index + 1}`;
  return (
    <g class={`beam ${selected ? "selected" : ""} ${beam.energy === "protons" ? "protons" : ""}`}>
      {selected && <polygon class="field" points={corners.map((p) => p.join(",")).join(" ")} />}
      {[-1, 1].map((side) => (
        <line
          key={side}
          class="edge"
          {...ends(at(near, side * half), at(far, side * half))}
          stroke-width={(selected ? 1.8 : 1) * tip}
        />
      ))}
      <line class="axis" {...ends(head, at(far, 0))} stroke-width={tip} stroke-dasharray={selected ? `${5 * tip} ${4 * tip}` : undefined} />
      {beam.wedge !== 0 && (
        <polygon class="wedge" points={wedge(beam, at, near, tip)} stroke-width={tip} />
      )}
      <g
        class="handle head"
        data-beam={index}
        transform={`translate(${head[0]} ${head[1]})`}
        tabindex={0}
        role="slider"
        aria-label={`${name}: gantry angle`}
        aria-valuemin={0}
        aria-valuemax={360}
        aria-valuenow={Math.round(turned(beam.gantry))}
        aria-valuetext={`${turned(beam.gantry).toFixed(0)} degrees, ${beam.energy}, ${beam.mu.toFixed(0)} MU`}
        onPointerDown={(event) => {
          store.select({ beam: index });
          begin(event, turn);
        }}
        onFocus={() => store.select({ beam: index })}
        onKeyDown={turnByKey}
        stroke-width={1.8 * tip}
      >
        <circle r={20 * tip} class="reach" />
        <circle r={14 * tip} />
        <text font-size={14 * tip} dy={5 * tip} text-anchor="middle">
          {index + 1}
        </text>
      </g>
      {selected &&
        [-1, 1].map((side) => {
          const [hx, hy] = at(near + 14 * tip, side * half);
          return (
            <g
              key={side}
              class="handle side"
              transform={`translate(${hx} ${hy}) rotate(${beam.gantry})`}
              tabindex={side === 1 ? 0 : -1}
              role="slider"
              aria-label={`${name}: field width`}
              aria-valuemin={LIMITS.side[0]}
              aria-valuemax={LIMITS.side[1]}
              aria-valuenow={Math.round(beam.width)}
              aria-valuetext={`${beam.width.toFixed(0)} mm`}
              onPointerDown={(event) => begin(event, size)}
              onKeyDown={sizeByKey}
              stroke-width={1.5 * tip}
            >
              <rect x={-14 * tip} y={-14 * tip} width={28 * tip} height={28 * tip} class="reach" />
              <rect x={-4.5 * tip} y={-9 * tip} width={9 * tip} height={18 * tip} rx={3 * tip} />
            </g>
          );
        })}
    </g>
  );
}

/** Above structures, within which it mostly lies. */
export function Isocentre(props: MarksProps) {
  const { store, tip, begin } = props;
  const { plan } = store;
  const [x, y] = plan.isocentre;
  const to = (place: [number, number], keep: boolean, time?: number) => {
    const isocentre = place.map((v) => clamp(Math.round(v), [-200, 200])) as [number, number];
    store.change({ ...store.plan, isocentre }, { keep, at: time });
  };
  return (
    <g
      class="isocentre"
      transform={`translate(${x} ${y})`}
      tabindex={0}
      role="button"
      aria-label={`Isocentre at ${x.toFixed(0)}, ${y.toFixed(0)} mm; arrow keys move it`}
      onPointerDown={(event) => begin(event, (p, e) => to(p, false, e.timeStamp))}
      onKeyDown={(event) => {
        const step = arrow(event);
        if (!step) return;
        event.preventDefault();
        const far = event.shiftKey ? 10 : 2;
        const [nowX, nowY] = store.plan.isocentre;
        to([nowX + far * step[0], nowY + far * step[1]], true);
      }}
      stroke-width={1.6 * tip}
    >
      <circle r={11 * tip} class="reach" />
      <circle r={4 * tip} />
      <path d={`M${-9 * tip} 0H${9 * tip}M0 ${-9 * tip}V${9 * tip}`} />
    </g>
  );
}

export function withBeam(plan: Plan, index: number, part: Partial<Beam>): Plan {
  return { ...plan, beams: plan.beams.map((b, k) => (k === index ? { ...b, ...part } : b)) };
}

function ends(p: [number, number], q: [number, number]) {
  return { x1: p[0], y1: p[1], x2: q[0], y2: q[1] };
}

/** A triangle across the beam; a positive wedge is thick on the right at gantry 0. */
function wedge(
  beam: Beam,
  at: (behind: number, side: number) => [number, number],
  near: number,
  tip: number,
): string {
  const half = beam.width / 2;
  const thick = beam.wedge > 0 ? half : -half;
  const height = 9 * tip * (0.6 + Math.abs(beam.wedge) / 30);
  const points = [at(near, -thick), at(near, thick), at(near + height, thick)];
  return points.map((p) => p.join(",")).join(" ");
}
