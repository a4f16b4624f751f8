// What the server says, and what is asked of it.
import type { Grid, VolumeHeader } from "./volumes";

export interface Objective {
  structure: string;
  kind: string;
  weight: number;
  settings: Record<string, number | string>;
}
export type RobustMode = "expected" | "minimax" | "objective-wise" | "voxel-wise" | "cvar";
export interface Robust {
  mode: RobustMode;
  setup: number;
  range_percent: number;
}
export interface Settings {
  machine: string;
  target: string | null;
  gantry: number[];
  couch: number[];
  spot_spacing: number;
  layer_spacing: number;
  bixel: number;
  margin: number | null;
  dose_spacing: number | null;
  fractions: number;
  max_iterations: number;
  spots: "fixed" | "moving";
  robust: Robust | null;
  objectives: Objective[];
  goals: string[];
}
export type Source = { kind: "phantom"; name: string } | FileSource;
export interface FileSource {
  kind: "file";
  path: string;
  series?: string | null;
  structure_set?: string | null;
}
/** Something that the user must allow first. */
export interface Permission {
  title: string;
  text: string;
  yes: string;
  no: string;
  go: () => void;
}
/** What the server asks where several things of a folder may be meant. */
export interface Question {
  source: FileSource;
  option: "series" | "structure_set";
  what: string;
  choices: [string, string][];
}
export interface StructureInfo {
  name: string;
  role: "target" | "organ" | "external";
  volume: number;
  colour: string;
}
export interface CaseInfo {
  source: Source;
  title: string;
  isPhantom: boolean;
  saveAs: string;
  pseudonym: string;
  position: string;
  grid: Grid;
  centre: [number, number, number];
  structures: StructureInfo[];
}
export interface BeamInfo {
  gantry: number;
  couch: number;
  isocentre: [number, number, number];
  direction: [number, number, number];
  source: [number, number, number] | null;
  across: [number, number, number];
  along: [number, number, number];
  columns: number;
  energies: [number, number];
  layers: number;
  shifter: number | null;
  halfWidth: [number, number];
  reach: number;
  outlines: { name: string; pixels: number; rows: string }[];
}
export interface PlanInfo {
  machine: string;
  modality: string;
  spots: number;
  columns: number;
  objective: number | null;
  fractions: number;
  message: string;
  iterations: number;
  history: number[];
  unit: string;
  max: number;
  prescription: number;
  scenarios: number;
}
export interface Curve {
  name: string;
  points: number[];
  mean: number | null;
  min: number | null;
  max: number | null;
}
export interface Curves {
  top: number;
  curves: Curve[];
}
export interface GoalRow {
  text: string;
  value: number | null;
  unit: string;
  met: boolean;
  mark: [number, number] | null;
  least: boolean;
  structure: string;
}
export interface Front {
  names: string[];
  low: number[];
  high: number[];
  plans: number[][];
  gap: number;
}
export interface Comparison {
  title: string;
  passRate: number;
  percent: number;
  distance: number;
  evaluated: number;
  mean: number;
  max: number;
  dvh: Curves;
}
export interface ServerState {
  case?: CaseInfo;
  settings?: Settings;
  beams?: BeamInfo[] | null;
  plan?: PlanInfo | null;
  dvh?: Curves | null;
  goals?: GoalRow[] | null;
  bands?: { name: string; low: number[]; high: number[] }[] | null;
  front?: Front | null;
  choice?: Record<string, number> | null;
  comparison?: Comparison | null;
  /** What must be made again before the next plan, and what the plan shown has otherwise than the tables. */
  stale?: { beams: boolean; influence: boolean; plan: string[] };
  unsaved?: boolean;
}
export interface Job {
  name: string;
  stage: string;
  fraction: number;
  remark: string;
  state: "running" | "cancelling";
}
export interface Live {
  objective: number;
  dvh: Curves;
  goals: GoalRow[];
}
export interface MovingSpots {
  step: number;
  x: number[];
  y: number[];
  share: number[];
}
export interface VolumeEntry {
  version: number;
  header: VolumeHeader;
}
export interface Choices {
  phantoms: { name: string; about: string }[];
  machines: string[];
  kinds: { name: string; about: string; settings: { name: string; default: number | string | null }[] }[];
}
export type JobName =
  | "steer" | "influence" | "optimise" | "front" | "compare" | "other" | "save" | "report" | "dicom";
