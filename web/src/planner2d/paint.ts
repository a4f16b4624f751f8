// The picture of a dose: section, wash and isodose lines on a canvas.
import { table, type MapName } from "../shared/colours";
import { addContour } from "../shared/contours";
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
const LOWEST = 0.04; // of the prescription: below it the wash shows nothing
const scratch = document.createElement("canvas");
const tables = new Map<MapName, Uint8ClampedArray>();

/** The top of the wash, Gy. */
export const topDose = (plan: Plan, picture: DosePicture): number =>
  Math.max(1.1 * plan.prescription, Math.min(picture.header.max, 2 * plan.prescription));

export function paint(
  canvas: HTMLCanvasElement,
  plan: Plan,
  picture: DosePicture,
  section: Uint8Array | null,
  look: Look,
): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  const n = picture.header.pixels;
  scratch.width = scratch.height = n;
  const small = scratch.getContext("2d");
  if (!small) return;
  const image = small.createImageData(n, n);
  fill(image.data, plan, picture, section, look);
  small.putImageData(image, 0, 0);

  const size = canvas.width;
  const side = size / VIEW;
  const from = (size - side) / 2;
  context.clearRect(0, 0, size, size);
  context.imageSmoothingEnabled = true;
  const skin = skinOf(plan, picture, size, side);
  context.save();
  if (skin) context.clip(skin);
  context.drawImage(scratch, from, from, side, side);
  context.restore();
  if (skin) {
    context.strokeStyle = "rgb(225 233 242 / 75%)";
    context.lineWidth = Math.max(1.4, size / 500);
    context.stroke(skin);
  }
  if (look.lines) strokeLines(context, plan, picture, from, side, n);
}

/** The skin of a section of water, so that its edge is smooth; null for phantoms. */
function skinOf(plan: Plan, picture: DosePicture, size: number, side: number): Path2D | null {
  if (plan.section.kind !== "water") return null;
  const unit = side / picture.header.width;
  const path = new Path2D();
  const { semi_x, semi_y } = plan.section;
  path.ellipse(size / 2, size / 2, semi_x * unit, semi_y * unit, 0, 0, 2 * Math.PI);
  return path;
}

function fill(
  data: Uint8ClampedArray,
  plan: Plan,
  picture: DosePicture,
  section: Uint8Array | null,
  look: Look,
): void {
  const { values } = picture;
  const { pixels: n, width } = picture.header;
  const colours = tables.get(look.map) ?? table(look.map);
  tables.set(look.map, colours);
  const top = topDose(plan, picture);
  const lowest = LOWEST * plan.prescription;
  const { semi_x, semi_y } = plan.section;
  const half = (n - 1) / 2;
  const pitch = width / n;
  for (let j = 0, k = 0; j < n; j++) {
    const v = ((j - half) * pitch) / semi_y;
    for (let i = 0; i < n; i++, k++) {
      let shade = 0;
      if (section) shade = section[k] ?? 0;
      else {
        const u = ((i - half) * pitch) / semi_x;
        if (u * u + v * v <= 1.06) shade = 100; // a little beyond the skin, which is clipped
      }
      const at = 4 * k;
      if (shade === 0) {
        data[at + 3] = 0;
        continue;
      }
      const grey = shade <= 100 ? 14 + 0.62 * shade : 76 + 1.1 * (shade - 100);
      const dose = values[k] ?? 0;
      let share = 0;
      if (look.wash && dose > lowest) share = look.opacity * Math.min((dose - lowest) / (2 * lowest), 1);
      const c = 3 * Math.max(0, Math.min(255, Math.round((255 * dose) / top)));
      data[at] = grey + share * ((colours[c] ?? 0) - grey);
      data[at + 1] = grey + share * ((colours[c + 1] ?? 0) - grey);
      data[at + 2] = grey + 4 + share * ((colours[c + 2] ?? 0) - grey - 4);
      data[at + 3] = 255;
    }
  }
}

function strokeLines(
  context: CanvasRenderingContext2D,
  plan: Plan,
  picture: DosePicture,
  from: number,
  side: number,
  n: number,
): void {
  const to = (index: number) => from + ((index + 0.5) * side) / n;
  const width = Math.max(1.3, context.canvas.width / 560);
  context.lineCap = "butt"; // thousands of short pieces: round ends would cost more than the rest
  for (const { percent, colour } of LEVELS) {
    const level = (percent / 100) * plan.prescription;
    if (level > picture.header.max) continue;
    const path = new Path2D();
    addContour(path, picture.values, n, level, to, to);
    context.strokeStyle = "rgb(0 0 0 / 55%)";
    context.lineWidth = 2.2 * width;
    context.stroke(path);
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke(path);
  }
}
