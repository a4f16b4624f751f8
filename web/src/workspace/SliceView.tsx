// One slice: picture, crosshair and letters; wheel, mouse, touch and keys move through it.
import { useEffect, useMemo, useRef } from "preact/hooks";
import { SlicePainter, toCanvas, toPatient, type Frame } from "./paint";
import type { Store } from "./store";
import { AXES, LETTERS, clampIndex, size, toIndex, toPlace, type Plane } from "./volumes";

const TITLES: Record<Plane, string> = { axial: "Axial", coronal: "Coronal", sagittal: "Sagittal" };
const AXIS = ["x", "y", "z"];

export function SliceView({ store, plane }: { store: Store; plane: Plane }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const lines = useRef<SVGPathElement>(null);
  const reading = useRef<HTMLSpanElement>(null);
  const frame = useRef<Frame | null>(null);
  const painter = useMemo(() => new SlicePainter(plane), [plane]);
  const grab = useRef<{ kind: "cross" | "window"; x: number; y: number; window: number; level: number } | null>(null);
  const axes = AXES[plane];
  const grid = store.case?.grid;

  useEffect(() => {
    const paint = () => {
      const target = canvas.current;
      if (!target || !box.current) return;
      const ratio = Math.min(devicePixelRatio || 1, 2);
      const width = Math.max(Math.round(box.current.clientWidth * ratio), 1);
      const height = Math.max(Math.round(box.current.clientHeight * ratio), 1);
      if (target.width !== width || target.height !== height) {
        target.width = width;
        target.height = height;
      }
      frame.current = painter.draw(store, target);
      if (reading.current) reading.current.textContent = readingOf(store, plane);
      if (frame.current && lines.current) {
        const [x, y] = toCanvas(frame.current, store.cross[axes.across]!, store.cross[axes.down]!);
        const gap = 9 * ratio;
        lines.current.ownerSVGElement?.setAttribute("viewBox", `0 0 ${width} ${height}`);
        lines.current.setAttribute(
          "d",
          `M0 ${y}H${x - gap}M${x + gap} ${y}H${width}M${x} 0V${y - gap}M${x} ${y + gap}V${height}`,
        );
      }
    };
    const stop = store.onPaint(paint);
    const observer = new ResizeObserver(() => store.paint());
    if (box.current) observer.observe(box.current);
    store.paint();
    return () => {
      stop();
      observer.disconnect();
    };
  }, [store, plane]);

  useEffect(() => {
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      if (event.ctrlKey || event.metaKey) {
        zoom(store, plane, event.deltaY < 0 ? 1.15 : 1 / 1.15);
      } else store.scroll(plane, -Math.sign(event.deltaY) * (event.shiftKey ? 5 : 1));
    };
    const target = box.current;
    target?.addEventListener("wheel", wheel, { passive: false });
    return () => target?.removeEventListener("wheel", wheel);
  }, [store, plane]);

  const moveCross = (event: PointerEvent) => {
    const rect = box.current!.getBoundingClientRect();
    const target = canvas.current!;
    if (!frame.current || !grid) return;
    const [a, d] = toPatient(
      frame.current,
      ((event.clientX - rect.left) / rect.width) * target.width,
      ((event.clientY - rect.top) / rect.height) * target.height,
    );
    const cross = [...store.cross] as [number, number, number];
    for (const [axis, place] of [[axes.across, a], [axes.down, d]] as const)
      cross[axis] = toPlace(grid, axis, clampIndex(grid, axis, toIndex(grid, axis, place)));
    store.setCross(cross);
  };
  const index = grid ? clampIndex(grid, axes.normal, toIndex(grid, axes.normal, store.cross[axes.normal]!)) : 0;
  const n = grid ? size(grid, axes.normal) : 1;
  const [left, right, top, bottom] = LETTERS[plane];
  return (
    <div
      ref={box}
      class={`ws-slice ${plane}`}
      role="slider"
      tabIndex={0}
      aria-label={`${TITLES[plane]} slice`}
      aria-valuemin={1}
      aria-valuemax={n}
      aria-valuenow={index + 1}
      aria-valuetext={`slice ${index + 1} of ${n}, ${readingOf(store, plane)}`}
      aria-roledescription="slice viewer"
      onKeyDown={(event) => keys(store, plane, event)}
      onContextMenu={(event) => event.preventDefault()}
      onDblClick={() => {
        store.zoom[plane] = 1;
        store.paint();
      }}
      onPointerDown={(event) => {
        box.current?.setPointerCapture(event.pointerId);
        box.current?.focus();
        const kind = event.button === 2 || event.shiftKey ? "window" : "cross";
        const { window, level } = store.look;
        grab.current = { kind, x: event.clientX, y: event.clientY, window, level };
        if (kind === "cross") moveCross(event);
      }}
      onPointerMove={(event) => {
        const held = grab.current;
        if (!held) return;
        if (held.kind === "cross") moveCross(event);
        else
          store.setLook({
            window: Math.max(Math.round(held.window * Math.exp((event.clientX - held.x) / 200)), 10),
            level: Math.round(held.level - (event.clientY - held.y) * (held.window / 400)),
          });
      }}
      onPointerUp={() => (grab.current = null)}
      onPointerCancel={() => (grab.current = null)}
    >
      <canvas ref={canvas} aria-hidden="true" />
      <svg aria-hidden="true" preserveAspectRatio="none">
        <path ref={lines} class="ws-cross" />
      </svg>
      <span class="ws-letter left" aria-hidden="true">{left}</span>
      <span class="ws-letter right" aria-hidden="true">{right}</span>
      <span class="ws-letter top" aria-hidden="true">{top}</span>
      <span class="ws-letter bottom" aria-hidden="true">{bottom}</span>
      <span class="ws-tag" aria-hidden="true">
        {TITLES[plane]} <b>{index + 1}</b>/{n}
      </span>
      <span class="ws-reading number" aria-hidden="true" ref={reading} />
    </div>
  );
}

function zoom(store: Store, plane: Plane, factor: number): void {
  store.revision++;
  store.zoom[plane] = Math.min(Math.max(store.zoom[plane] * factor, 0.5), 12);
  store.paint();
}

function keys(store: Store, plane: Plane, event: KeyboardEvent): void {
  const by = event.shiftKey ? 5 : 1;
  const acts: Record<string, () => void> = {
    ArrowUp: () => (event.altKey ? store.shift(plane, 0, -by) : store.scroll(plane, by)),
    ArrowDown: () => (event.altKey ? store.shift(plane, 0, by) : store.scroll(plane, -by)),
    ArrowLeft: () => store.shift(plane, -by, 0),
    ArrowRight: () => store.shift(plane, by, 0),
    PageUp: () => store.scroll(plane, 10),
    PageDown: () => store.scroll(plane, -10),
    Home: () => store.scroll(plane, -1e6),
    End: () => store.scroll(plane, 1e6),
    "+": () => zoom(store, plane, 1.2),
    "-": () => zoom(store, plane, 1 / 1.2),
    "0": () => zoom(store, plane, 1 / store.zoom[plane]),
  };
  const act = acts[event.key];
  if (!act || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  act();
}

/** Place, CT number and dose at the crosshair. */
export function readingOf(store: Store, plane: Plane): string {
  const { normal } = AXES[plane];
  const { ct, dose } = store.volumes;
  const words = [`${AXIS[normal]} ${store.cross[normal]!.toFixed(1)} mm`];
  const hu = ct ? valueAt(ct.grid, ct.values, store.cross) : null;
  if (hu !== null) words.push(`${hu} HU`);
  const here = dose ? valueAt(dose.grid, dose.values, store.cross) : null;
  if (here !== null && Number.isFinite(here)) words.push(`${here.toFixed(2)} ${store.state.plan?.unit ?? "Gy"}`);
  const { gamma } = store.volumes;
  const failing = gamma && store.look.shown === "gamma" ? valueAt(gamma.grid, gamma.values, store.cross) : null;
  if (failing !== null && Number.isFinite(failing)) words.push(`γ ${failing.toFixed(2)}`);
  return words.join(" · ");
}

function valueAt(
  grid: { shape: [number, number, number]; spacing: [number, number, number]; origin: [number, number, number] },
  values: Int16Array | Float32Array,
  point: [number, number, number],
): number | null {
  const k = [0, 1, 2].map((axis) => Math.round(toIndex(grid, axis as 0 | 1 | 2, point[axis]!)));
  if (k.some((index, axis) => index < 0 || index >= size(grid, axis as 0 | 1 | 2))) return null;
  return values[(k[2]! * grid.shape[1] + k[1]!) * grid.shape[2] + k[0]!] ?? null;
}
