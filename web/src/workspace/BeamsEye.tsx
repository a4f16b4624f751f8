// What a beam sees: outlines of structures, and its spots or fluence by weight, layer by layer.
import { useEffect, useRef, useState } from "preact/hooks";
import { table } from "../shared/colours";
import { addLine } from "./lines";
import type { Store } from "./store";
import type { BeamInfo } from "./types";

export function BeamsEye({ store }: { store: Store }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const [layer, setLayer] = useState(-1);
  const beams = store.state.beams ?? [];
  const beam = beams[store.selectedBeam];
  const spots = store.volumes.spots;
  const energies = beam && spots ? layersOf(spots.table, spots.rows, store.selectedBeam) : [];
  const chosen = layer >= 0 && layer < energies.length ? energies[layer]! : null;
  useEffect(() => setLayer(-1), [store.selectedBeam, store.state.beams]);
  useEffect(() => {
    const paint = () => {
      if (canvas.current && box.current && beam) draw(store, canvas.current, box.current, beam, chosen);
    };
    paint();
    const observer = new ResizeObserver(paint);
    if (box.current) observer.observe(box.current);
    addEventListener("themechange", paint);
    return () => {
      observer.disconnect();
      removeEventListener("themechange", paint);
    };
  });
  if (!beam) return <p class="muted ws-empty">Choose <strong>Steer</strong>: the view from each beam appears here.</p>;
  const photons = store.settings?.machine !== "generic-protons";
  return (
    <div class="ws-eye">
      <div class="row small">
        <h2 class="grow">Beam’s-eye view</h2>
        <label class="row">
          <span class="visually-hidden">Beam</span>
          <select value={store.selectedBeam} onChange={(event) => { store.selectedBeam = Number(event.currentTarget.value); store.tell(); }}>
            {beams.map((b, k) => <option key={k} value={k}>Beam {k + 1}: {b.gantry.toFixed(0)}°{b.couch ? `, couch ${b.couch.toFixed(0)}°` : ""}</option>)}
          </select>
        </label>
      </div>
      <div ref={box} class="ws-eye-box" role="img" aria-label={`Beam ${store.selectedBeam + 1} at gantry ${beam.gantry}°: ${beam.columns} ${photons ? "bixels" : `spots in ${beam.layers} layers from ${beam.energies[0].toFixed(0)} to ${beam.energies[1].toFixed(0)} MeV`}${store.moving ? ", moving" : ""}`}>
        <canvas ref={canvas} aria-hidden="true" />
      </div>
      {energies.length > 1 ? (
        <label class="row small">
          <span class="number ws-layer">{chosen === null ? `All ${energies.length} layers` : `${chosen.toFixed(1)} MeV`}</span>
          <input type="range" min={-1} max={energies.length - 1} value={layer} aria-label="Energy layer" aria-valuetext={chosen === null ? "all layers" : `${chosen.toFixed(1)} MeV`} onInput={(event) => setLayer(Number(event.currentTarget.value))} />
        </label>
      ) : (
        <p class="small muted">{photons ? "Fluence of each bixel" : "One layer"}</p>
      )}
    </div>
  );
}

function layersOf(values: Float32Array, rows: number, beam: number): number[] {
  const found = new Set<number>();
  for (let k = 0; k < rows; k++) if (values[6 * k] === beam) found.add(values[6 * k + 3]!);
  return [...found].sort((a, b) => a - b);
}

function draw(store: Store, canvas: HTMLCanvasElement, box: HTMLElement, beam: BeamInfo, energy: number | null): void {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const width = Math.round(box.clientWidth * ratio);
  const height = Math.round(box.clientHeight * ratio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.fillStyle = "#0a1016";
  context.fillRect(0, 0, width, height);
  const scale = Math.min(width, height) / 2 / beam.reach;
  const toX = (x: number) => width / 2 + x * scale;
  const toY = (y: number) => height / 2 - y * scale;
  context.strokeStyle = "rgb(255 255 255 / 14%)";
  context.lineWidth = ratio;
  for (let mm = -200; mm <= 200; mm += 20) {
    if (Math.abs(mm) > beam.reach) continue;
    context.beginPath();
    context.moveTo(toX(mm), toY(-beam.reach));
    context.lineTo(toX(mm), toY(beam.reach));
    context.moveTo(toX(-beam.reach), toY(mm));
    context.lineTo(toX(beam.reach), toY(mm));
    context.stroke();
  }
  drawSpots(store, context, scale, toX, toY, energy, ratio);
  for (const outline of beam.outlines) {
    if (!outline.pixels || store.hidden.has(outline.name)) continue;
    const info = store.case?.structures.find((s) => s.name === outline.name);
    const shadow = bitsOf(outline.rows, outline.pixels);
    const size = (2 * beam.reach) / outline.pixels;
    const path = new Path2D();
    addLine(path, shadow, outline.pixels, outline.pixels, 0.5, (i) => toX(-beam.reach + (i + 0.5) * size), (j) => toY(-beam.reach + (j + 0.5) * size));
    context.setLineDash(info?.role === "target" ? [] : [6 * ratio, 3 * ratio]);
    context.strokeStyle = info?.colour ?? "#cccccc";
    context.lineWidth = (info?.role === "target" ? 2.2 : 1.4) * ratio;
    context.stroke(path);
  }
  context.setLineDash([]);
  context.strokeStyle = "rgb(255 255 255 / 75%)";
  context.beginPath();
  context.moveTo(toX(0) - 6 * ratio, toY(0));
  context.lineTo(toX(0) + 6 * ratio, toY(0));
  context.moveTo(toX(0), toY(0) - 6 * ratio);
  context.lineTo(toX(0), toY(0) + 6 * ratio);
  context.stroke();
  context.fillStyle = "#c9d6e2";
  context.font = `${11 * ratio}px system-ui, sans-serif`;
  context.fillText("lines every 20 mm", 8 * ratio, height - 8 * ratio);
}

function drawSpots(
  store: Store, context: CanvasRenderingContext2D, scale: number,
  toX: (x: number) => number, toY: (y: number) => number, energy: number | null, ratio: number,
): void {
  const { spots } = store.volumes;
  if (!spots) return;
  const { table: t, rows } = spots;
  const rgb = table("viridis");
  let top = 0;
  for (let k = 0; k < rows; k++) if (t[6 * k] === store.selectedBeam) top = Math.max(top, t[6 * k + 5]!);
  const moving = store.moving;
  for (let k = 0; k < rows; k++) {
    if (t[6 * k] !== store.selectedBeam || (energy !== null && t[6 * k + 3] !== energy)) continue;
    let x = t[6 * k + 1]!, y = t[6 * k + 2]!, share = top > 0 ? t[6 * k + 5]! / top : 0;
    if (moving) {
      if (k % moving.step) continue;
      const m = k / moving.step;
      [x, y, share] = [moving.x[m] ?? x, moving.y[m] ?? y, moving.share[m] ?? 0];
    }
    const size = t[6 * k + 4]!;
    const c = 3 * Math.round(255 * Math.min(Math.sqrt(share), 1));
    context.fillStyle = `rgb(${rgb[c]} ${rgb[c + 1]} ${rgb[c + 2]})`;
    if (size > 0) {
      if (top > 0 || moving) context.fillRect(toX(x - size / 2), toY(y + size / 2), size * scale - 0.5, size * scale - 0.5);
      else {
        context.strokeStyle = "rgb(124 196 255 / 60%)";
        context.strokeRect(toX(x - size / 2), toY(y + size / 2), size * scale, size * scale);
      }
      continue;
    }
    context.beginPath();
    if (top > 0 || moving) {
      if (share <= 1e-4) continue;
      context.arc(toX(x), toY(y), (1.2 + 4 * Math.sqrt(share)) * ratio, 0, 7);
      context.fill();
    } else {
      context.strokeStyle = "rgb(124 196 255 / 75%)";
      context.arc(toX(x), toY(y), 2 * ratio, 0, 7);
      context.stroke();
    }
  }
}

function bitsOf(hex: string, pixels: number): Uint8Array {
  const found = new Uint8Array(pixels * pixels);
  for (let k = 0; k < found.length; k++) {
    const byte = parseInt(hex.slice((k >> 3) * 2, (k >> 3) * 2 + 2), 16);
    found[k] = (byte >> (k & 7)) & 1;
  }
  return found;
}
