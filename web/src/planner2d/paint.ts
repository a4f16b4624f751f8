// The picture of a dose: section, wash and isodose lines, pixel by pixel in one pass.
import { table, type MapName } from "../shared/colours";
import { blurEdge, maskOf, type Mask } from "./mask";
import type { Plan } from "./plan";
import type { DosePicture } from "./store";

export interface Look {
  map: MapName;
  opacity: number;
  wash: boolean;
  lines: boolean;
}

/** Isodose lines, % of the prescription, from the highest. */
export const LEVELS: { percent: number; colour: string }[] = [
  { percent: 110, colour: "#ff5fd2" },
  { percent: 105, colour: "#ff9d6e" },
  { percent: 100, colour: "#ffffff" },
  { percent: 95, colour: "#ffe45e" },
  { percent: 80, colour: "#8fe388" },
  { percent: 50, colour: "#66c7ff" },
  { percent: 20, colour: "#b9a5ff" },
];

/** How much wider the view is than the pixels of the dose: room for the beams' handles. */
export const VIEW = 1.38;
/** Pixels along a side while something is dragged; larger pictures are drawn once it rests. */
const QUICK = 560;
const LOWEST = 0.04; // of the prescription: below it the wash shows nothing
const STEPS = 1024; // of the tables over dose

/** The top of the wash, Gy. */
export const topDose = (plan: Plan, picture: DosePicture): number =>
  Math.max(1.1 * plan.prescription, Math.min(picture.header.max, 2 * plan.prescription));

/** What a dose looks like: tables over dose in steps, and places of the next line. */
interface Shades {
  key: string;
  perGy: number;
  red: Float32Array;
  green: Float32Array;
  blue: Float32Array;
  share: Float32Array;
  level: Float32Array;
  line: Uint8Array;
}

export class DosePainter {
  private shades: Shades | null = null;
  private mask: Mask | null = null;
  private image: ImageData | null = null;
  private values = new Float32Array(0);
  private readonly small = document.createElement("canvas");

  /** Draws on the middle of ``canvas``; quick pictures may have fewer pixels than it. */
  paint(
    canvas: HTMLCanvasElement, plan: Plan, picture: DosePicture, section: Uint8Array | null,
    look: Look, quick: boolean,
  ): void {
    const context = canvas.getContext("2d");
    if (!context) return;
    const side = Math.round(canvas.width / VIEW);
    const m = quick ? Math.min(side, QUICK) : side;
    const { pixels: n } = picture.header;
    this.shades = shadesOf(this.shades, plan, topDose(plan, picture), look);
    this.mask = maskOf(this.mask, plan.section, n, m, section);
    if (this.values.length !== n * n) this.values = new Float32Array(n * n);
    this.values.set(picture.values);
    blurEdge(this.values, this.mask);
    if (this.image?.width !== m) this.image = new ImageData(m, m);
    const width = (Math.max(1.3, canvas.width / 560) * m) / side;
    fill(new Uint32Array(this.image.data.buffer), m, n, this.values, this.mask, this.shades, look.lines, width);

    const from = Math.round((canvas.width - side) / 2);
    if (m === side) {
      context.putImageData(this.image, from, from);
      return;
    }
    if (this.small.width !== m) this.small.width = this.small.height = m;
    this.small.getContext("2d")?.putImageData(this.image, 0, 0);
    context.imageSmoothingEnabled = true;
    context.clearRect(from, from, side, side);
    context.drawImage(this.small, from, from, side, side);
  }
}

function shadesOf(old: Shades | null, plan: Plan, top: number, look: Look): Shades {
  const key = `${plan.prescription}|${top}|${look.map}|${look.opacity}|${look.wash}`;
  if (old?.key === key) return old;
  const colours = table(look.map);
  const highest = Math.max(1.3 * plan.prescription, top);
  const made: Shades = {
    key,
    perGy: (STEPS - 1) / highest,
    red: new Float32Array(STEPS),
    green: new Float32Array(STEPS),
    blue: new Float32Array(STEPS),
    share: new Float32Array(STEPS),
    level: new Float32Array(STEPS),
    line: new Uint8Array(STEPS),
  };
  const lowest = LOWEST * plan.prescription;
  for (let k = 0; k < STEPS; k++) {
    const dose = k / made.perGy;
    const c = 3 * Math.max(0, Math.min(255, Math.round((255 * dose) / top)));
    made.red[k] = colours[c]!;
    made.green[k] = colours[c + 1]!;
    made.blue[k] = colours[c + 2]!;
    if (look.wash && dose > lowest) made.share[k] = look.opacity * Math.min((dose - lowest) / (2 * lowest), 1);
    let nearest = 0;
    LEVELS.forEach(({ percent }, i) => {
      const gap = Math.abs((percent / 100) * plan.prescription - dose);
      if (gap < Math.abs((LEVELS[nearest]!.percent / 100) * plan.prescription - dose)) nearest = i;
    });
    made.line[k] = nearest;
    made.level[k] = (LEVELS[nearest]!.percent / 100) * plan.prescription;
  }
  return made;
}

const LINES = LEVELS.map(({ colour }) => [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16)));
const LINE_RED = Uint8Array.from(LINES, (c) => c[0]!);
const LINE_GREEN = Uint8Array.from(LINES, (c) => c[1]!);
const LINE_BLUE = Uint8Array.from(LINES, (c) => c[2]!);

/** Pixels of the picture: dose between the dose's pixels, and how far the nearest line is from each. */
function fill(
  out: Uint32Array, m: number, n: number, values: Float32Array, mask: Mask, shades: Shades,
  lines: boolean, width: number,
): void {
  const { cover, skin, grey } = mask;
  const { red, green, blue, share, level, line, perGy } = shades;
  const scale = n / m;
  const core = width / 2 + 0.5;
  const halo = 1.1 * width + 0.5;
  for (let j = 0, k = 0; j < m; j++) {
    const y = Math.min(Math.max((j + 0.5) * scale - 0.5, 0), n - 1.001);
    const row = Math.floor(y);
    const fy = y - row;
    for (let i = 0; i < m; i++, k++) {
      const alpha = cover[k]!;
      if (alpha === 0) {
        out[k] = 0;
        continue;
      }
      const x = Math.min(Math.max((i + 0.5) * scale - 0.5, 0), n - 1.001);
      const column = Math.floor(x);
      const fx = x - column;
      const at = row * n + column;
      const a = values[at]!, b = values[at + 1]!, c = values[at + n]!, d = values[at + n + 1]!;
      const upper = a + fx * (b - a);
      const lower = c + fx * (d - c);
      const dose = upper + fy * (lower - upper);
      const step = Math.min((dose * perGy + 0.5) | 0, STEPS - 1);
      const s = share[step]!;
      const g = grey[k]!;
      let r = g + s * (red[step]! - g);
      let v = g + s * (green[step]! - g);
      let u = g + 4 + s * (blue[step]! - g - 4);
      if (lines) {
        const gap = Math.abs(dose - level[step]!);
        const alongX = b - a + fy * (d - c - b + a);
        const alongY = lower - upper;
        const slope = scale * Math.sqrt(alongX * alongX + alongY * alongY);
        if (gap < halo * slope) {
          const away = gap / slope;
          const dark = 1 - 0.55 * Math.min(halo - away, 1);
          const bright = Math.max(Math.min(core - away, 1), 0);
          const kind = line[step]!;
          r = r * dark * (1 - bright) + LINE_RED[kind]! * bright;
          v = v * dark * (1 - bright) + LINE_GREEN[kind]! * bright;
          u = u * dark * (1 - bright) + LINE_BLUE[kind]! * bright;
        }
      }
      const edge = skin[k]! * 0.00294; // at most three quarters of the skin's own colour
      if (edge > 0) {
        r += edge * (225 - r);
        v += edge * (233 - v);
        u += edge * (242 - u);
      }
      out[k] = (alpha << 24) | (u << 16) | (v << 8) | r;
    }
  }
}
