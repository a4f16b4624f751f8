// The picture that is worked in: dose on a canvas, and above it shapes that can be dragged.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { JSX } from "preact";
import { BeamMarks, Isocentre } from "./BeamMarks";
import { StructureMarks } from "./StructureMarks";
import { DosePainter, VIEW, type Look } from "./paint";
import { clamp } from "./plan";
import { useMoves, type Store } from "./store";

export type Tool = "move" | "draw" | "probe";
/** Takes what is dragged from a point to another, in mm; ``done`` at the end. */
export type Drag = (to: [number, number], event: PointerEvent) => void;

export interface StageProps {
  store: Store;
  look: Look;
  tool: Tool;
  section: Uint8Array | null;
  onDrawn: (points: [number, number][]) => void;
}

export function Stage(props: StageProps) {
  const { store, look, tool, section } = props;
  useMoves(store);
  const canvas = useRef<HTMLCanvasElement>(null);
  const svg = useRef<SVGSVGElement>(null);
  const drag = useRef<Drag | null>(null);
  const last = useRef(""); // place of the pointer that was followed last
  const raw = useRef<(event: PointerEvent) => void>(() => undefined);
  const [sketch, setSketch] = useState<[number, number][]>([]);
  const [shown, setShown] = useState(640); // side of the picture, CSS pixels
  const latest = useRef({ look, section });
  latest.current = { look, section };

  const painter = useMemo(() => new DosePainter(), []);

  const redraw = (quick = false) => {
    const { look: l, section: s } = latest.current;
    if (canvas.current && store.picture && (store.plan.section.kind === "water" || s))
      painter.paint(canvas.current, store.plan, store.picture, s, l, quick);
  };
  useEffect(() => {
    store.painter = (picture) => redraw(!picture.final);
    const fit = () => {
      const box = canvas.current;
      if (!box) return;
      setShown(box.clientWidth || 640);
      const pixels = Math.round(Math.min(box.clientWidth * devicePixelRatio, 1800));
      if (pixels > 0 && box.width !== pixels) {
        box.width = box.height = pixels;
        redraw();
      }
    };
    const observer = new ResizeObserver(fit);
    if (canvas.current) observer.observe(canvas.current);
    return () => {
      store.painter = null;
      observer.disconnect();
    };
  }, [store]);
  useEffect(() => {
    // where browsers tell of moves as they come, do not wait for the next frame
    const listener = (event: Event) => raw.current(event as PointerEvent);
    const target = svg.current;
    target?.addEventListener("pointerrawupdate", listener);
    return () => target?.removeEventListener("pointerrawupdate", listener);
  }, []);
  useEffect(() => redraw(), [look, section, store.picture === null]);

  const width = store.picture?.header.width ?? widthOf(store);
  const view = width * VIEW;
  const place = (event: PointerEvent): [number, number] => {
    const box = svg.current?.getBoundingClientRect();
    if (!box) return [0, 0];
    const unit = view / box.width;
    return [
      (event.clientX - box.left - box.width / 2) * unit,
      (event.clientY - box.top - box.height / 2) * unit,
    ];
  };
  const begin = (event: PointerEvent, take: Drag) => {
    if (event.button !== 0) return;
    event.stopPropagation();
    drag.current = take;
    last.current = "";
    svg.current?.setPointerCapture(event.pointerId);
  };
  const down = (event: JSX.TargetedPointerEvent<SVGSVGElement>) => {
    if (tool === "probe") store.setProbe(place(event));
    if (tool !== "draw" || event.button !== 0) return;
    setSketch([place(event)]);
    svg.current?.setPointerCapture(event.pointerId);
  };
  const follow = (event: PointerEvent) => {
    const now = `${event.clientX}|${event.clientY}`;
    if (!drag.current || now === last.current) return;
    last.current = now;
    drag.current(place(event), event);
  };
  raw.current = follow;
  const move = (event: JSX.TargetedPointerEvent<SVGSVGElement>) => {
    if (drag.current) follow(event);
    else if (sketch.length > 0) {
      const next = place(event);
      const last = sketch[sketch.length - 1];
      if (!last || Math.hypot(next[0] - last[0], next[1] - last[1]) > width / 150)
        setSketch([...sketch, next]);
    } else if (tool === "probe") store.setProbe(place(event));
  };
  const up = () => {
    if (drag.current) {
      drag.current = null;
      store.settle();
    }
    if (sketch.length > 0) {
      props.onDrawn(sketch);
      setSketch([]);
    }
  };
  const tip = (view / shown) * clamp(shown / 640, [0.85, 1.3]); // a pixel; larger on large screens
  const probe = store.probePoint;
  const moveProbe = (event: KeyboardEvent) => {
    const step = arrow(event);
    const now = store.probePoint;
    if (!step || !now) return;
    event.preventDefault();
    const far = event.shiftKey ? 10 : 2;
    const limit = [-width / 2, width / 2] as const;
    store.setProbe([
      clamp(now[0] + far * step[0], limit),
      clamp(now[1] + far * step[1], limit),
    ]);
  };

  return (
    <div class={`stage ${tool}`}>
      <canvas
        ref={canvas}
        width={640}
        height={640}
        role="img"
        aria-label="Section of the patient with the dose as colours and lines"
      />
      <svg
        ref={svg}
        viewBox={`${-view / 2} ${-view / 2} ${view} ${view}`}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerCancel={up}
        role="group"
        aria-label="Beams and structures; tab to one and use the arrow keys"
      >
        <BeamMarks store={store} width={width} tip={tip} begin={begin} />
        <StructureMarks store={store} tip={tip} begin={begin} inert={tool !== "move"} />
        <g pointer-events={tool === "move" ? undefined : "none"}>
          <Isocentre store={store} tip={tip} begin={begin} />
        </g>
        {sketch.length > 1 && (
          <polyline
            class="sketch"
            points={sketch.map((p) => p.join(",")).join(" ")}
            stroke-width={2 * tip}
          />
        )}
        {probe && (
          <g
            class="probe"
            transform={`translate(${probe[0]} ${probe[1]})`}
            tabindex={0}
            role="button"
            aria-label={`Probe at ${probe[0].toFixed(0)}, ${probe[1].toFixed(0)} mm; arrow keys move it`}
            onKeyDown={moveProbe}
            stroke-width={1.6 * tip}
          >
            <circle r={7 * tip} />
            <path d={`M${-13 * tip} 0H${-4 * tip}M${4 * tip} 0H${13 * tip}M0 ${-13 * tip}V${-4 * tip}M0 ${4 * tip}V${13 * tip}`} />
          </g>
        )}
      </svg>
    </div>
  );
}

/** Direction of an arrow key; null for other keys. */
export function arrow(event: KeyboardEvent): [number, number] | null {
  const steps: Record<string, [number, number]> = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
  };
  return steps[event.key] ?? null;
}

function widthOf(store: Store): number {
  const { kind, semi_x, semi_y } = store.plan.section;
  return kind === "water" ? 2 * Math.max(semi_x, semi_y) : 390;
}
