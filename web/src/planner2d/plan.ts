// The plan that a page holds: the same words as the server's checks in planner2d/state.py.

export type Energy = "6 MV" | "10 MV" | "protons";
export type SectionKind = "water" | "thorax" | "head" | "prostate";

export interface Section {
  kind: SectionKind;
  semi_x: number;
  semi_y: number;
}
export interface EllipseShape {
  kind: "ellipse";
  x: number;
  y: number;
  rx: number;
  ry: number;
}
export interface PolygonShape {
  kind: "polygon";
  points: [number, number][];
}
export type Shape = EllipseShape | PolygonShape;
export interface Structure {
  name: string;
  role: "target" | "organ";
  shape: Shape;
}
export interface Beam {
  gantry: number;
  width: number;
  length: number;
  mu: number;
  energy: Energy;
  wedge: number;
  range: number;
  modulation: number;
}
export interface Plan {
  section: Section;
  structures: Structure[];
  beams: Beam[];
  goals: string[];
  prescription: number;
  isocentre: [number, number];
  depth: "ray" | "axis";
  lesson: string | null;
}

export const MAX_BEAMS = 12;
export const ENERGIES: Energy[] = ["6 MV", "10 MV", "protons"];
export const WEDGES = [-60, -45, -30, -15, 0, 15, 30, 45, 60];
export const LIMITS = {
  semi: [50, 250],
  side: [10, 300],
  mu: [0, 2000],
  range: [30, 350],
  modulation: [5, 250],
  prescription: [0.1, 100],
  position: [-500, 500],
  radius: [3, 250],
} as const satisfies Record<string, readonly [number, number]>;

const SENTENCE =
  /^[^:<>]{1,24}:\s*(?:D(?:max|min|mean|(\d{1,3}(?:\.\d{1,3})?)%)\s*(?:>=|<=|≥|≤|>|<)\s*\d{1,4}(?:\.\d{1,6})?\s*Gy|V\d{1,4}(?:\.\d{1,6})?Gy\s*(?:>=|<=|≥|≤|>|<)\s*\d{1,3}(?:\.\d{1,6})?\s*%|HI\s*(?:>=|<=|≥|≤|>|<)\s*\d{1,4}(?:\.\d{1,6})?)$/i;

/** Whether a goal is one that the server understands. */
export const isSentence = (text: string): boolean => {
  const found = text.length <= 80 ? SENTENCE.exec(text.trim()) : null;
  const percent = found?.[1];
  return found !== null && (percent === undefined || (Number(percent) > 0 && Number(percent) <= 100));
};

export const clamp = (value: number, [low, high]: readonly [number, number]): number =>
  Math.min(Math.max(value, low), high);

export const turned = (angle: number): number => ((angle % 360) + 360) % 360;

export const newBeam = (gantry: number, like?: Beam): Beam => ({
  gantry,
  width: like?.width ?? 80,
  length: like?.length ?? 80,
  mu: like?.mu ?? 100,
  energy: like?.energy ?? "6 MV",
  wedge: 0,
  range: like?.range ?? 180,
  modulation: like?.modulation ?? 60,
});

/** What the page begins with: a round patient with four beams. */
export function firstPlan(): Plan {
  return {
    section: { kind: "water", semi_x: 150, semi_y: 115 },
    structures: [
      { name: "Target", role: "target", shape: { kind: "ellipse", x: 0, y: 0, rx: 32, ry: 28 } },
      { name: "Organ", role: "organ", shape: { kind: "ellipse", x: 0, y: 58, rx: 18, ry: 15 } },
    ],
    beams: [0, 90, 180, 270].map((gantry) => newBeam(gantry, { ...newBeam(0), mu: 75 })),
    goals: ["Target: D95% >= 1.9 Gy", "Target: Dmax <= 2.2 Gy", "Organ: Dmean <= 1 Gy"],
    prescription: 2,
    isocentre: [0, 0],
    depth: "ray",
    lesson: null,
  };
}

/** A plan from somebody else's text, made to fit; null where it is no plan. */
export function asPlan(value: unknown): Plan | null {
  if (!isRecord(value) || !Array.isArray(value["beams"]) || !Array.isArray(value["structures"]))
    return null;
  const section = isRecord(value["section"]) ? value["section"] : {};
  const kind = oneOf(section["kind"], ["water", "thorax", "head", "prostate"] as const, "water");
  const structures = value["structures"].slice(0, 6).map(asStructure);
  if (structures.some((s) => s === null)) return null;
  const names = new Set(structures.map((s) => s?.name));
  if (names.size < structures.length || names.has("Body")) return null;
  const iso = Array.isArray(value["isocentre"]) ? value["isocentre"] : [0, 0];
  const goals = Array.isArray(value["goals"]) ? value["goals"] : [];
  return {
    section: {
      kind,
      semi_x: within(section["semi_x"], LIMITS.semi, 150),
      semi_y: within(section["semi_y"], LIMITS.semi, 150),
    },
    structures: structures as Structure[],
    beams: value["beams"].slice(0, MAX_BEAMS).filter(isRecord).map(asBeam),
    goals: goals.filter((g): g is string => typeof g === "string" && isSentence(g)).slice(0, 12),
    prescription: within(value["prescription"], LIMITS.prescription, 2),
    isocentre: [within(iso[0], LIMITS.position, 0), within(iso[1], LIMITS.position, 0)],
    depth: oneOf(value["depth"], ["ray", "axis"] as const, "ray"),
    lesson: typeof value["lesson"] === "string" ? value["lesson"].slice(0, 40) : null,
  };
}

function asBeam(value: Record<string, unknown>): Beam {
  return {
    gantry: turned(within(value["gantry"], [-1e6, 1e6], 0)),
    width: within(value["width"], LIMITS.side, 80),
    length: within(value["length"], LIMITS.side, 80),
    mu: within(value["mu"], LIMITS.mu, 100),
    energy: oneOf(value["energy"], ENERGIES, "6 MV"),
    wedge: WEDGES.includes(value["wedge"] as number) ? (value["wedge"] as number) : 0,
    range: within(value["range"], LIMITS.range, 180),
    modulation: within(value["modulation"], LIMITS.modulation, 60),
  };
}

function asStructure(value: unknown): Structure | null {
  if (!isRecord(value) || typeof value["name"] !== "string" || !isRecord(value["shape"])) return null;
  const name = value["name"].replace(/[<>:\n\r\t]/g, "").slice(0, 24);
  const role = oneOf(value["role"], ["target", "organ"] as const, "organ");
  const shape = value["shape"];
  if (name === "") return null;
  if (shape["kind"] === "polygon" && Array.isArray(shape["points"])) {
    const points = shape["points"]
      .filter((p): p is [number, number] => Array.isArray(p) && p.length === 2)
      .slice(0, 200)
      .map(([x, y]): [number, number] => [
        within(x, LIMITS.position, 0),
        within(y, LIMITS.position, 0),
      ]);
    return points.length < 3 ? null : { name, role, shape: { kind: "polygon", points } };
  }
  return {
    name,
    role,
    shape: {
      kind: "ellipse",
      x: within(shape["x"], LIMITS.position, 0),
      y: within(shape["y"], LIMITS.position, 0),
      rx: within(shape["rx"], LIMITS.radius, 20),
      ry: within(shape["ry"], LIMITS.radius, 20),
    },
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const within = (value: unknown, limits: readonly [number, number], otherwise: number): number =>
  typeof value === "number" && Number.isFinite(value) ? clamp(value, limits) : otherwise;

const oneOf = <T extends string>(value: unknown, known: readonly T[], otherwise: T): T =>
  known.includes(value as T) ? (value as T) : otherwise;

// --- shapes ---------------------------------------------------------------------------------

/** Whether a plan from elsewhere holds all that ``plan`` does, as it stands. */
export function isWhole(value: unknown, plan: unknown): boolean {
  if (Array.isArray(plan))
    return Array.isArray(value) && value.length === plan.length && plan.every((p, k) => isWhole(value[k], p));
  if (isRecord(plan))
    return isRecord(value) && Object.entries(plan).every(([key, part]) => isWhole(value[key], part));
  return value === plan;
}

export function boxOf(shape: Shape): { x: number; y: number; rx: number; ry: number } {
  if (shape.kind === "ellipse") return shape;
  const xs = shape.points.map((p) => p[0]);
  const ys = shape.points.map((p) => p[1]);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  return {
    x: (left + right) / 2,
    y: (top + bottom) / 2,
    rx: Math.max((right - left) / 2, 1),
    ry: Math.max((bottom - top) / 2, 1),
  };
}

/** The shape with its middle and half sides changed. */
export function placed(shape: Shape, to: { x: number; y: number; rx: number; ry: number }): Shape {
  const box = {
    x: clamp(to.x, [-240, 240]),
    y: clamp(to.y, [-240, 240]),
    rx: clamp(to.rx, LIMITS.radius),
    ry: clamp(to.ry, LIMITS.radius),
  };
  const round = (v: number) => Math.round(v * 10) / 10;
  if (shape.kind === "ellipse")
    return {
      kind: "ellipse",
      x: round(box.x),
      y: round(box.y),
      rx: round(box.rx),
      ry: round(box.ry),
    };
  const old = boxOf(shape);
  return {
    kind: "polygon",
    points: shape.points.map(([x, y]): [number, number] => [
      round(box.x + ((x - old.x) * box.rx) / old.rx),
      round(box.y + ((y - old.y) * box.ry) / old.ry),
    ]),
  };
}

export function outline(shape: Shape): [number, number][] {
  if (shape.kind === "polygon") return shape.points;
  return Array.from({ length: 72 }, (_, k): [number, number] => {
    const angle = (k * Math.PI) / 36;
    return [shape.x + shape.rx * Math.cos(angle), shape.y + shape.ry * Math.sin(angle)];
  });
}

// --- beams in the picture -----------------------------------------------------------------------

export const sadOf = (beam: Beam): number => (beam.energy === "protons" ? 2000 : 1000);

/** Unit vectors of a beam: from source to isocentre, and across it (to the right at gantry 0). */
export function axesOf(gantry: number): { along: [number, number]; across: [number, number] } {
  const angle = (gantry * Math.PI) / 180;
  const [s, c] = [Math.sin(angle), Math.cos(angle)];
  return { along: [-s, c], across: [c, s] };
}

/** Distance before the isocentre at which a beam's axis leaves the circle of ``radius``. */
export function handleDistance(plan: Plan, gantry: number, radius: number): number {
  const { along } = axesOf(gantry);
  const [x, y] = plan.isocentre;
  const b = -(along[0] * x + along[1] * y);
  const c = x * x + y * y - radius * radius;
  return -b + Math.sqrt(Math.max(b * b - c, 0));
}
