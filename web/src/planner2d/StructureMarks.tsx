// Target and organs in the picture: outlines to move, and a handle that sizes the selected one.
import type { MarksProps } from "./BeamMarks";
import { arrow } from "./Stage";
import { boxOf, outline, placed, type Plan, type Shape } from "./plan";

export function StructureMarks(props: MarksProps & { inert: boolean }) {
  const { store, tip, begin, inert } = props;
  const { plan, selectedStructure } = store;
  const change = (index: number, shape: Shape, keep: boolean, time?: number) =>
    store.change(withShape(store.plan, index, shape), { keep, at: time });
  return (
    <g>
      {plan.structures.map((structure, index) => {
        const box = boxOf(structure.shape);
        const selected = index === selectedStructure;
        const moveByKey = (event: KeyboardEvent) => {
          const step = arrow(event);
          const grow = { "+": 1, "=": 1, "-": -1 }[event.key] ?? 0;
          if (!step && !grow) return;
          event.preventDefault();
          const far = event.shiftKey && step ? 10 : 2;
          const [dx, dy] = step ?? [0, 0];
          const now = store.plan.structures[index]?.shape ?? structure.shape; // keys may be quick
          const at = boxOf(now);
          change(
            index,
            placed(now, {
              x: at.x + far * dx,
              y: at.y + far * dy,
              rx: at.rx + 2 * grow,
              ry: at.ry + 2 * grow,
            }),
            true,
          );
        };
        const sizeByKey = (event: KeyboardEvent) => {
          const step = arrow(event);
          if (!step) return;
          event.preventDefault();
          const now = store.plan.structures[index]?.shape ?? structure.shape;
          const at = boxOf(now);
          const rx = at.rx + 2 * step[0];
          const ry = at.ry + 2 * step[1];
          change(index, placed(now, { ...at, rx, ry }), true);
        };
        const label = `${structure.name}: middle ${box.x.toFixed(0)}, ${box.y.toFixed(0)} mm, ${(2 * box.rx).toFixed(0)} by ${(2 * box.ry).toFixed(0)} mm`;
        return (
          <g key={index} class={`structure ${structure.role} ${selected ? "selected" : ""}`}>
            <g
              class="body"
              data-structure={structure.name}
              tabindex={0}
              role="button"
              aria-label={`${label}; arrow keys move, plus and minus resize`}
              onFocus={() => store.select({ structure: index })}
              onPointerDown={(event) => {
                if (inert) return;
                store.select({ structure: index });
                const start: { at: [number, number] | null } = { at: null };
                const first = boxOf(structure.shape);
                begin(event, (to, e) => {
                  start.at ??= to;
                  change(
                    index,
                    placed(structure.shape, {
                      ...first,
                      x: first.x + to[0] - start.at[0],
                      y: first.y + to[1] - start.at[1],
                    }),
                    false,
                    e.timeStamp,
                  );
                });
              }}
              onKeyDown={moveByKey}
            >
              <polygon
                class="shade"
                points={outline(structure.shape).map((p) => p.join(",")).join(" ")}
                stroke-width={4.4 * tip}
              />
              <polygon
                class="line"
                points={outline(structure.shape).map((p) => p.join(",")).join(" ")}
                stroke-width={(selected ? 2.6 : 2) * tip}
                stroke-dasharray={structure.role === "organ" ? `${6 * tip} ${3.5 * tip}` : undefined}
              />
            </g>
            <text
              x={box.x}
              y={box.y - box.ry - 6 * tip}
              font-size={13 * tip}
              text-anchor="middle"
              stroke-width={3 * tip}
            >
              {structure.name}
            </text>
            {selected && !inert && (
              <g
                class="handle corner"
                data-resize={structure.name}
                transform={`translate(${box.x + box.rx * 0.7071} ${box.y + box.ry * 0.7071})`}
                tabindex={0}
                role="button"
                aria-label={`Resize ${structure.name}: arrow keys change width and height`}
                onPointerDown={(event) =>
                  begin(event, (to, e) =>
                    change(
                      index,
                      placed(structure.shape, {
                        ...box,
                        rx: Math.abs(to[0] - box.x) / 0.7071,
                        ry: Math.abs(to[1] - box.y) / 0.7071,
                      }),
                      false,
                      e.timeStamp,
                    ),
                  )
                }
                onKeyDown={sizeByKey}
                stroke-width={1.5 * tip}
              >
                <circle r={14 * tip} class="reach" />
                <rect x={-5 * tip} y={-5 * tip} width={10 * tip} height={10 * tip} rx={2 * tip} />
              </g>
            )}
          </g>
        );
      })}
    </g>
  );
}

/** The plan with a structure's shape; in water its middle stays in the patient. */
export function withShape(plan: Plan, index: number, shape: Shape): Plan {
  const kept = inWater(plan, shape);
  return {
    ...plan,
    structures: plan.structures.map((s, k) => (k === index ? { ...s, shape: kept } : s)),
  };
}

function inWater(plan: Plan, shape: Shape): Shape {
  const { kind, semi_x, semi_y } = plan.section;
  const box = boxOf(shape);
  const out = Math.hypot(box.x / semi_x, box.y / semi_y);
  return kind !== "water" || out <= 1 ? shape : placed(shape, { ...box, x: box.x / out, y: box.y / out });
}
