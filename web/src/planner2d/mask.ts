// Where the patient is in a picture, with its skin and what its tissue looks like without dose.
import type { Section } from "./plan";

/** For pixels of the picture, a byte each, and for the dose's pixels beside the skin. */
export interface Mask {
  key: string;
  of: Uint8Array | null;
  /** How much of a pixel lies in the patient, and how much of it the skin takes. */
  cover: Uint8Array;
  skin: Uint8Array;
  grey: Uint8Array;
  /** Dose pixels outside beside some inside: which, and from which of those (at most 8) they take. */
  outer: Int32Array;
  from: Int32Array;
}

const WATER = 76; // grey of water

/** The mask of a section for ``m`` x ``m`` pixels over ``n`` x ``n`` of the dose; the old one if it fits. */
export function maskOf(old: Mask | null, section: Section, n: number, m: number, image: Uint8Array | null): Mask {
  const key = `${section.kind}|${section.semi_x}|${section.semi_y}|${n}|${m}`;
  if (old?.key === key && old.of === image) return old;
  const mask: Mask = {
    key,
    of: image,
    cover: new Uint8Array(m * m),
    skin: new Uint8Array(m * m),
    grey: new Uint8Array(m * m),
    outer: new Int32Array(0),
    from: new Int32Array(0),
  };
  if (image) fromImage(mask, image, n, m);
  else fromEllipse(mask, section, m);
  edges(mask, insideOf(section, image, n), n);
  return mask;
}

/** Give pixels just outside the dose beside them, so that nothing fades towards the skin. */
export function blurEdge(values: Float32Array, mask: Mask): void {
  const { outer, from } = mask;
  for (let k = 0; k < outer.length; k++) {
    let sum = 0;
    let count = 0;
    for (let i = 8 * k; i < 8 * k + 8 && from[i]! >= 0; i++, count++) sum += values[from[i]!]!;
    values[outer[k]!] = sum / count;
  }
}

function fromEllipse(mask: Mask, section: Section, m: number): void {
  const { semi_x, semi_y } = section;
  const pitch = (2 * Math.max(semi_x, semi_y)) / m;
  const line = Math.max(1.4, m / 360);
  for (let j = 0, k = 0; j < m; j++) {
    const y = (j + 0.5 - m / 2) * pitch;
    for (let i = 0; i < m; i++, k++) {
      const x = (i + 0.5 - m / 2) * pitch;
      const [u, v] = [x / semi_x, y / semi_y];
      const size = u * u + v * v;
      // first order distance to the ellipse, in pixels, positive inside
      const away = (1 - size) / (2 * Math.hypot(u / semi_x, v / semi_y) + 1e-9) / pitch;
      mask.cover[k] = 255 * Math.min(Math.max(away + 0.5, 0), 1);
      mask.skin[k] = 255 * Math.min(Math.max(line + 0.5 - away, 0), 1);
      mask.grey[k] = WATER;
    }
  }
}

function fromImage(mask: Mask, image: Uint8Array, n: number, m: number): void {
  const scale = n / m;
  for (let j = 0, k = 0; j < m; j++) {
    const y = Math.min(Math.max((j + 0.5) * scale - 0.5, 0), n - 1.001);
    const row = Math.floor(y);
    for (let i = 0; i < m; i++, k++) {
      const x = Math.min(Math.max((i + 0.5) * scale - 0.5, 0), n - 1.001);
      const column = Math.floor(x);
      let [cover, shade, total] = [0, 0, 0];
      for (const [dj, di] of [[0, 0], [0, 1], [1, 0], [1, 1]] as const) {
        const weight = (dj ? y - row : 1 - y + row) * (di ? x - column : 1 - x + column);
        const value = image[(row + dj) * n + column + di]!;
        if (value === 0) continue;
        cover += weight;
        shade += weight * greyOf(value);
        total += weight;
      }
      mask.cover[k] = 255 * cover;
      mask.grey[k] = total > 0 ? shade / total : 0;
    }
  }
}

/** Grey of a relative electron density, 100 for water; bone is stretched less. */
const greyOf = (shade: number): number => (shade <= 100 ? 14 + 0.62 * shade : 76 + 1.1 * (shade - 100));

function insideOf(section: Section, image: Uint8Array | null, n: number): Uint8Array {
  if (image) return image;
  const { semi_x, semi_y } = section;
  const pitch = (2 * Math.max(semi_x, semi_y)) / n;
  const half = (n - 1) / 2;
  return Uint8Array.from({ length: n * n }, (_, k) => {
    const u = (((k % n) - half) * pitch) / semi_x;
    const v = ((Math.floor(k / n) - half) * pitch) / semi_y;
    return u * u + v * v <= 1 ? 1 : 0;
  });
}

function edges(mask: Mask, inside: Uint8Array, n: number): void {
  const outer: number[] = [];
  const from: number[] = [];
  for (let k = 0; k < n * n; k++) {
    if (inside[k]) continue;
    const [j, i] = [Math.floor(k / n), k % n];
    const near: number[] = [];
    for (let dj = -1; dj <= 1; dj++)
      for (let di = -1; di <= 1; di++) {
        const [y, x] = [j + dj, i + di];
        if (y >= 0 && x >= 0 && y < n && x < n && inside[y * n + x]) near.push(y * n + x);
      }
    if (near.length === 0) continue;
    outer.push(k);
    for (let q = 0; q < 8; q++) from.push(near[q] ?? -1);
  }
  mask.outer = Int32Array.from(outer);
  mask.from = Int32Array.from(from);
}
