// Pictures of slices: CT in a window, dose in colours, lines of structures and of equal dose, beams.
import { table } from "../shared/colours";
import { addLine } from "./lines";
import type { Store } from "./store";
import {
  AXES, clampIndex, cut, cutBetween, size, sliceShape, step, toIndex,
  type Grid, type Mask, type Plane, type Volume,
} from "./volumes";

/** Percent of the prescription, and colours, told apart by brightness as well as hue. */
export const LEVELS = [
  { percent: 107, colour: "#ff4fa3" },
  { percent: 95, colour: "#ffffff" },
  { percent: 80, colour: "#ff9f45" },
  { percent: 50, colour: "#5fd0ff" },
  { percent: 20, colour: "#8d9bff" },
];

/** From mm to pixels of a canvas: place = from + mm * scale. */
export interface Frame {
  scale: number;
  fromX: number;
  fromY: number;
  flip: boolean;
}

export function frameOf(store: Store, grid: Grid, plane: Plane, width: number, height: number): Frame {
  const axes = AXES[plane];
  const wide = size(grid, axes.across) * step(grid, axes.across);
  const high = size(grid, axes.down) * step(grid, axes.down);
  const zoom = store.zoom[plane];
  const scale = Math.min(width / wide, height / high) * zoom;
  const middle = (axis: 0 | 1 | 2, n: number) => grid.origin[axis]! + ((n - 1) / 2) * step(grid, axis);
  const share = zoom > 1 ? Math.min(zoom - 1, 1) : 0; // zoomed in, the crosshair stays in the middle
  const mix = (axis: 0 | 1 | 2) => (1 - share) * middle(axis, size(grid, axis)) + share * store.cross[axis]!;
  const x = mix(axes.across);
  const y = mix(axes.down);
  return {
    scale,
    flip: axes.flip,
    fromX: width / 2 - x * scale,
    fromY: axes.flip ? height / 2 + y * scale : height / 2 - y * scale,
  };
}
export function toCanvas(frame: Frame, across: number, down: number): [number, number] {
  return [frame.fromX + across * frame.scale, frame.fromY + (frame.flip ? -down : down) * frame.scale];
}
export function toPatient(frame: Frame, x: number, y: number): [number, number] {
  const down = (y - frame.fromY) / frame.scale;
  return [(x - frame.fromX) / frame.scale, frame.flip ? -down : down];
}

interface Buffer {
  key: string;
  canvas: HTMLCanvasElement;
  image: ImageData;
  pixels: Uint32Array;
}

export class SlicePainter {
  private ctSlice = new Int16Array(0);
  private ctPicture: Buffer | null = null;
  private ctKey = "";
  private dosePicture: Buffer | null = null;
  private doseKey = "";
  private values = new Float32Array(0);
  private spare = new Float32Array(0);
  private greys = new Uint32Array(65536);
  private greyKey = "";
  private colours = new Uint32Array(256);
  private colourKey = "";
  private volumeIds = new WeakMap<object, number>();
  private nextId = 1;
  private outlines = new Map<string, Path2D>();
  private outlinesOf: object | null = null;
  private levels: { key: string; paths: { path: Path2D; colour: string }[] } = { key: "", paths: [] };

  private drawn: { key: string; frame: Frame | null } = { key: "", frame: null };

  constructor(readonly plane: Plane) {}

  /** Draws what has changed; the crosshair is not part of the picture. */
  draw(store: Store, canvas: HTMLCanvasElement): Frame | null {
    const zoomed = store.zoom[this.plane];
    const place = zoomed > 1 ? store.cross.join() : store.cross[AXES[this.plane].normal];
    const key = `${store.revision}|${place}|${zoomed}|${canvas.width}|${canvas.height}`;
    if (key === this.drawn.key) return this.drawn.frame;
    this.drawn = { key, frame: this.drawAll(store, canvas) };
    return this.drawn.frame;
  }

  private drawAll(store: Store, canvas: HTMLCanvasElement): Frame | null {
    const context = canvas.getContext("2d", { alpha: false });
    const { ct } = store.volumes;
    const grid = store.case?.grid;
    if (!context) return null;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#05080c";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!grid || !ct) return null;
    const frame = frameOf(store, grid, this.plane, canvas.width, canvas.height);
    this.drawCt(store, context, ct, frame);
    this.drawDose(store, context, frame);
    this.drawOutlines(store, context, grid, frame);
    if (store.look.beams) this.drawBeams(store, context, frame);
    return frame;
  }

  private id(thing: object): number {
    let id = this.volumeIds.get(thing);
    if (!id) this.volumeIds.set(thing, (id = this.nextId++));
    return id;
  }

  private drawCt(store: Store, context: CanvasRenderingContext2D, ct: Volume<Int16Array>, frame: Frame): void {
    const axes = AXES[this.plane];
    const index = clampIndex(ct.grid, axes.normal, toIndex(ct.grid, axes.normal, store.cross[axes.normal]!));
    const [rows, columns] = sliceShape(ct.grid.shape, this.plane);
    const { window, level } = store.look;
    const key = `${this.id(ct)}|${index}|${window}|${level}`;
    if (key !== this.ctKey) {
      this.ctKey = key;
      const greyKey = `${window}|${level}`;
      if (greyKey !== this.greyKey) {
        this.greyKey = greyKey;
        const low = level - window / 2;
        for (let hu = -32768; hu < 32768; hu++) {
          const grey = Math.min(Math.max(Math.round((255 * (hu - low)) / window), 0), 255);
          this.greys[hu + 32768] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
        }
      }
      if (this.ctSlice.length !== rows * columns) this.ctSlice = new Int16Array(rows * columns);
      cut(ct.values, ct.grid.shape, this.plane, index, this.ctSlice);
      this.ctPicture = buffer(this.ctPicture, columns, rows);
      const { pixels } = this.ctPicture;
      const slice = this.ctSlice;
      const greys = this.greys;
      if (axes.flip) {
        for (let j = 0; j < rows; j++) {
          const from = j * columns;
          const to = (rows - 1 - j) * columns;
          for (let i = 0; i < columns; i++) pixels[to + i] = greys[slice[from + i]! + 32768]!;
        }
      } else for (let k = 0; k < slice.length; k++) pixels[k] = greys[slice[k]! + 32768]!;
      this.ctPicture.canvas.getContext("2d")!.putImageData(this.ctPicture.image, 0, 0);
    }
    this.place(context, this.ctPicture!, ct.grid, frame);
  }

  /** Put a picture where its grid lies. */
  private place(context: CanvasRenderingContext2D, picture: Buffer, grid: Grid, frame: Frame): void {
    const axes = AXES[this.plane];
    const half = [step(grid, axes.across) / 2, step(grid, axes.down) / 2] as const;
    const left = grid.origin[axes.across]! - half[0];
    const low = grid.origin[axes.down]! - half[1];
    const high = low + size(grid, axes.down) * step(grid, axes.down);
    const [x, y] = toCanvas(frame, left, frame.flip ? high : low);
    context.imageSmoothingEnabled = true;
    context.drawImage(
      picture.canvas, x, y,
      size(grid, axes.across) * step(grid, axes.across) * frame.scale,
      size(grid, axes.down) * step(grid, axes.down) * frame.scale,
    );
  }

  private drawDose(store: Store, context: CanvasRenderingContext2D, frame: Frame): void {
    const { look } = store;
    const volume = look.shown === "none" ? null : store.volumes[look.shown];
    if (!volume) return;
    const axes = AXES[this.plane];
    const place = toIndex(volume.grid, axes.normal, store.cross[axes.normal]!);
    const [rows, columns] = sliceShape(volume.grid.shape, this.plane);
    const top = topOf(store, volume);
    const key = `${this.id(volume)}|${place.toFixed(3)}|${look.shown}|${look.map}|${look.least}|${look.opacity}|${top}|${look.wash}|${look.lines}`;
    if (key !== this.doseKey) {
      this.doseKey = key;
      if (this.values.length !== rows * columns) {
        this.values = new Float32Array(rows * columns);
        this.spare = new Float32Array(rows * columns);
      }
      this.dosePicture = buffer(this.dosePicture, columns, rows);
      if (!cutBetween(volume, this.plane, place, this.values, this.spare)) this.values.fill(NaN);
      this.colourDose(store, rows, columns, top);
      this.levels = { key: "", paths: [] };
    }
    if (look.wash && this.dosePicture) this.place(context, this.dosePicture, volume.grid, frame);
    if (look.lines && look.shown === "dose") this.drawLevels(store, context, volume, frame, rows, columns);
  }

  private colourDose(store: Store, rows: number, columns: number, top: number): void {
    const { look } = store;
    if (this.colourKey !== look.map) {
      this.colourKey = look.map;
      const rgb = table(look.map);
      for (let k = 0; k < 256; k++)
        this.colours[k] = (rgb[3 * k + 2]! << 16) | (rgb[3 * k + 1]! << 8) | rgb[3 * k]!;
    }
    const alpha = 255 * look.opacity;
    const least = (look.least / 100) * top;
    const flip = AXES[this.plane].flip;
    const { pixels, image, canvas } = this.dosePicture!;
    for (let j = 0; j < rows; j++) {
      const to = (flip ? rows - 1 - j : j) * columns;
      for (let i = 0; i < columns; i++) {
        const value = this.values[j * columns + i]!;
        let pixel = 0;
        if (look.shown === "dose") {
          if (value > least) {
            const share = Math.min((value - least) / (0.5 * least + 1e-6), 1); // no hard edge where the wash begins
            pixel = (Math.round(alpha * share) << 24) | this.colours[Math.min(Math.round((255 * value) / top), 255)]!;
          }
        } else if (look.shown === "gamma") {
          if (value > 0.02) pixel = gammaColour(value, look.opacity);
        } else if (Math.abs(value) > 0.004 * top) pixel = differenceColour(value / top, look.opacity);
        pixels[to + i] = pixel;
      }
    }
    canvas.getContext("2d")!.putImageData(image, 0, 0);
  }

  private drawLevels(
    store: Store, context: CanvasRenderingContext2D, volume: Volume, frame: Frame, rows: number, columns: number,
  ): void {
    const axes = AXES[this.plane];
    const asked = store.state.plan?.prescription || volume.highest;
    if (!this.levels.key) {
      this.levels.key = this.doseKey;
      const toX = (i: number) => volume.grid.origin[axes.across]! + i * step(volume.grid, axes.across);
      const toY = (j: number) => volume.grid.origin[axes.down]! + j * step(volume.grid, axes.down);
      for (const { percent, colour } of LEVELS) {
        const level = (percent / 100) * asked;
        if (level > volume.highest) continue;
        const path = new Path2D();
        addLine(path, this.values, rows, columns, level, toX, toY);
        this.levels.paths.push({ path, colour });
      }
    }
    const ratio = canvasRatio(context);
    inPatient(context, frame);
    for (const { path, colour } of this.levels.paths) {
      context.setLineDash([]);
      context.strokeStyle = "rgb(0 0 0 / 60%)";
      context.lineWidth = (2.8 * ratio) / frame.scale;
      context.stroke(path);
      context.strokeStyle = colour;
      context.lineWidth = (1.3 * ratio) / frame.scale;
      context.stroke(path);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  private drawOutlines(store: Store, context: CanvasRenderingContext2D, grid: Grid, frame: Frame): void {
    const { masks } = store.volumes;
    if (this.outlinesOf !== masks) {
      this.outlinesOf = masks;
      this.outlines.clear();
    }
    const axes = AXES[this.plane];
    const index = clampIndex(grid, axes.normal, toIndex(grid, axes.normal, store.cross[axes.normal]!));
    const ratio = canvasRatio(context);
    inPatient(context, frame);
    for (const info of store.case?.structures ?? []) {
      const mask = masks.get(info.name);
      if (!mask || store.hidden.has(info.name)) continue;
      const path = this.outline(info.name, mask, grid, index);
      if (!path) continue;
      context.setLineDash(info.role === "organ" ? [(6 * ratio) / frame.scale, (2.5 * ratio) / frame.scale] : []);
      context.strokeStyle = "rgb(0 0 0 / 55%)";
      context.lineWidth = ((info.role === "target" ? 3.4 : 2.6) * ratio) / frame.scale;
      context.stroke(path);
      context.strokeStyle = info.colour;
      context.lineWidth = ((info.role === "target" ? 2 : 1.4) * ratio) / frame.scale;
      context.stroke(path);
    }
    context.setLineDash([]);
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  private outline(name: string, mask: Mask, grid: Grid, index: number): Path2D | null {
    const axes = AXES[this.plane];
    const first = mask.first[2 - axes.normal]!;
    const stride = mask.step[2 - axes.normal]!;
    const inMask = Math.floor((index - first) / stride);
    if (inMask < 0 || inMask >= mask.shape[2 - axes.normal]!) return null;
    const key = `${name}|${inMask}`;
    let path = this.outlines.get(key);
    if (path) return path;
    if (this.outlines.size > 3000) this.outlines.clear();
    path = new Path2D();
    const [rows, columns] = sliceShape(mask.shape, this.plane);
    const slice = new Uint8Array(rows * columns);
    cut(mask.inside, mask.shape, this.plane, inMask, slice);
    const place = (axis: 0 | 1 | 2) => {
      const by = mask.step[2 - axis]! * step(grid, axis);
      const from = grid.origin[axis]! + (mask.first[2 - axis]! + (mask.step[2 - axis]! - 1) / 2) * step(grid, axis);
      return (k: number) => from + k * by;
    };
    addLine(path, slice, rows, columns, 0.5, place(axes.across), place(axes.down));
    this.outlines.set(key, path);
    return path;
  }

  /** Axes of beams and the edges of their fields, as far as they lie near the slice. */
  private drawBeams(store: Store, context: CanvasRenderingContext2D, frame: Frame): void {
    const axes = AXES[this.plane];
    const ratio = canvasRatio(context);
    (store.state.beams ?? []).forEach((beam, k) => {
      const inPlane = Math.hypot(beam.direction[axes.across]!, beam.direction[axes.down]!);
      if (inPlane < 0.2) return;
      const chosen = k === store.selectedBeam;
      const at = (along: number, aside: number): [number, number] => {
        const point = [0, 1, 2].map(
          (axis) => beam.isocentre[axis]! - along * beam.direction[axis]! + aside * beam.across[axis]!,
        );
        return toCanvas(frame, point[axes.across]!, point[axes.down]!);
      };
      const far = 420;
      const sad = beam.source ? Math.hypot(...[0, 1, 2].map((a) => beam.source![a]! - beam.isocentre[a]!)) : Infinity;
      const across = Math.abs(beam.across[axes.normal]!) > 0.9 ? beam.halfWidth[1] : beam.halfWidth[0];
      context.lineWidth = (chosen ? 1.6 : 1) * ratio;
      context.strokeStyle = chosen ? "rgb(255 217 120 / 90%)" : "rgb(255 255 255 / 40%)";
      context.setLineDash([5 * ratio, 4 * ratio]);
      stroke(context, at(far, 0), at(0, 0));
      context.setLineDash([]);
      if (chosen)
        for (const side of [-1, 1])
          stroke(context, at(far, side * across * (1 - far / sad)), at(-40, side * across * (1 + 40 / sad)));
    });
  }
}

/** Highest value of the colours: the prescription's, or of a difference. */
export function topOf(store: Store, volume: Volume): number {
  if (store.look.shown === "dose") return Math.max(1.1 * (store.state.plan?.prescription ?? 0), 1e-6) || volume.highest;
  if (store.look.shown === "difference")
    return Math.max(0.1 * (store.state.plan?.prescription || volume.highest), 1e-6);
  return 2;
}

/** Blue for less, orange for more; differ for all kinds of colour vision. */
export function differenceColour(share: number, opacity: number): number {
  const s = Math.min(Math.abs(share), 1);
  const [r, g, b] = share > 0 ? [255, 200 - 110 * s, 90 - 90 * s] : [120 - 110 * s, 200 - 90 * s, 255];
  return pack(r!, g!, b!, opacity * (0.25 + 0.75 * s));
}
/** Passing in quiet blue by size, failing in orange to yellow. */
export function gammaColour(value: number, opacity: number): number {
  if (value <= 1) return pack(40 + 40 * value, 80 + 80 * value, 150 + 60 * value, opacity * 0.75);
  const s = Math.min(value - 1, 1);
  return pack(255, 130 + 110 * s, 30 + 60 * s, Math.min(1, opacity * 1.4));
}
function pack(r: number, g: number, b: number, alpha: number): number {
  return ((Math.round(255 * Math.min(alpha, 1)) << 24) | (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r)) >>> 0;
}

function stroke(context: CanvasRenderingContext2D, from: [number, number], to: [number, number]): void {
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(...to);
  context.stroke();
}
function inPatient(context: CanvasRenderingContext2D, frame: Frame): void {
  context.setTransform(frame.scale, 0, 0, frame.flip ? -frame.scale : frame.scale, frame.fromX, frame.fromY);
}
function canvasRatio(context: CanvasRenderingContext2D): number {
  return Math.max(context.canvas.width / Math.max(context.canvas.clientWidth, 1), 1);
}
function buffer(old: Buffer | null, width: number, height: number): Buffer {
  const key = `${width}x${height}`;
  if (old?.key === key) return old;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  return { key, canvas, image, pixels: new Uint32Array(image.data.buffer) };
}
