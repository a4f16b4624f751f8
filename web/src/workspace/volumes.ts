// Volumes as the server sends them, and slices cut from them.
export type Plane = "axial" | "coronal" | "sagittal";
export const PLANES: Plane[] = ["axial", "coronal", "sagittal"];

/** A grid along the patient's axes: shape and spacing (z, y, x), origin (x, y, z), mm. */
export interface Grid {
  shape: [number, number, number];
  spacing: [number, number, number];
  origin: [number, number, number];
}
export interface VolumeHeader extends Grid {
  type: "int16" | "uint16" | "float32" | "bits";
  scale?: number;
  lowest?: number;
  highest?: number;
  rows?: number;
  columns?: number;
  structures?: MaskEntry[];
}
interface MaskEntry {
  name: string;
  offset: number;
  first: [number, number, number];
  shape: [number, number, number];
  step: [number, number, number];
}
export interface Mask extends MaskEntry {
  inside: Uint8Array;
}
export interface Volume<T extends Int16Array | Float32Array = Float32Array> {
  grid: Grid;
  values: T;
  lowest: number;
  highest: number;
}

/** Where the axes of the patient go in a slice: index of the axis (x 0, y 1, z 2), and whether up is more. */
export const AXES: Record<Plane, { across: 0 | 1 | 2; down: 0 | 1 | 2; normal: 0 | 1 | 2; flip: boolean }> = {
  axial: { across: 0, down: 1, normal: 2, flip: false },
  coronal: { across: 0, down: 2, normal: 1, flip: true },
  sagittal: { across: 1, down: 2, normal: 0, flip: true },
};
/** What lies to the left, right, top and bottom of a slice. */
export const LETTERS: Record<Plane, [string, string, string, string]> = {
  axial: ["R", "L", "A", "P"],
  coronal: ["R", "L", "S", "I"],
  sagittal: ["A", "P", "S", "I"],
};

export function size(grid: Grid, axis: 0 | 1 | 2): number {
  return grid.shape[2 - axis]!;
}
export function step(grid: Grid, axis: 0 | 1 | 2): number {
  return grid.spacing[2 - axis]!;
}
export function toIndex(grid: Grid, axis: 0 | 1 | 2, mm: number): number {
  return (mm - grid.origin[axis]!) / step(grid, axis);
}
export function toPlace(grid: Grid, axis: 0 | 1 | 2, index: number): number {
  return grid.origin[axis]! + index * step(grid, axis);
}
export function clampIndex(grid: Grid, axis: 0 | 1 | 2, index: number): number {
  return Math.min(Math.max(Math.round(index), 0), size(grid, axis) - 1);
}

/** Copies slice ``index`` of a volume into ``out``, rows from low to high of the second axis. */
export function cut<T extends Int16Array | Float32Array | Uint8Array>(
  values: T,
  shape: readonly [number, number, number],
  plane: Plane,
  index: number,
  out: T,
): void {
  const [nz, ny, nx] = shape;
  if (plane === "axial") {
    out.set(values.subarray(index * ny * nx, (index + 1) * ny * nx) as T & ArrayLike<number>);
  } else if (plane === "coronal") {
    for (let z = 0; z < nz; z++) {
      const from = (z * ny + index) * nx;
      out.set(values.subarray(from, from + nx) as T & ArrayLike<number>, z * nx);
    }
  } else {
    let at = 0;
    for (let z = 0; z < nz; z++) {
      let from = z * ny * nx + index;
      for (let y = 0; y < ny; y++, from += nx) out[at++] = values[from]!;
    }
  }
}

export function sliceShape(shape: readonly [number, number, number], plane: Plane): [number, number] {
  const [nz, ny, nx] = shape;
  return plane === "axial" ? [ny, nx] : plane === "coronal" ? [nz, nx] : [nz, ny];
}

/** Values of a volume halfway between its slices where ``index`` is not whole. */
export function cutBetween(volume: Volume, plane: Plane, index: number, out: Float32Array, spare: Float32Array): boolean {
  const n = size(volume.grid, AXES[plane].normal);
  if (index < -0.5 || index > n - 0.5) return false;
  const low = Math.min(Math.max(Math.floor(index), 0), n - 1);
  const high = Math.min(low + 1, n - 1);
  const share = Math.min(Math.max(index - low, 0), 1);
  cut(volume.values, volume.grid.shape, plane, low, out);
  if (share > 1e-3 && high !== low) {
    cut(volume.values, volume.grid.shape, plane, high, spare);
    for (let k = 0; k < out.length; k++) out[k] = out[k]! * (1 - share) + spare[k]! * share;
  }
  return true;
}

export async function fetchBytes(address: string): Promise<ArrayBuffer | null> {
  const answer = await fetch(address);
  return answer.ok ? answer.arrayBuffer() : null;
}

/** int16 as it is; the other packed values as floats, NaN where nothing is known. */
export function readVolume(bytes: ArrayBuffer, header: VolumeHeader): Volume<Int16Array> | Volume {
  const grid = { shape: header.shape, spacing: header.spacing, origin: header.origin };
  if (header.type === "int16")
    return { grid, values: new Int16Array(bytes), lowest: -1024, highest: 3000 };
  const packed = new Uint16Array(bytes);
  const values = new Float32Array(packed.length);
  const scale = header.scale ?? 1;
  const lowest = header.lowest ?? 0;
  for (let k = 0; k < packed.length; k++) values[k] = packed[k] === 65535 ? NaN : lowest + scale * packed[k]!;
  return { grid, values, lowest, highest: header.highest ?? 1 };
}

export function readMasks(bytes: ArrayBuffer, header: VolumeHeader): Map<string, Mask> {
  const bits = new Uint8Array(bytes);
  const found = new Map<string, Mask>();
  for (const entry of header.structures ?? []) {
    const n = entry.shape[0] * entry.shape[1] * entry.shape[2];
    const inside = new Uint8Array(n);
    for (let k = 0; k < n; k++) inside[k] = (bits[entry.offset + (k >> 3)]! >> (k & 7)) & 1;
    found.set(entry.name, { ...entry, inside });
  }
  return found;
}
