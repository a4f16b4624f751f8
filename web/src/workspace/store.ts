// The page's side of a workspace: what the server tells, volumes, and how things are looked at.
import { useEffect, useState } from "preact/hooks";
import { Line, type Status } from "../shared/socket";
import type { MapName } from "../shared/colours";
import type {
  CaseInfo, Choices, Job, JobName, Live, MovingSpots, Permission, Question, ServerState, Settings, Source,
  VolumeEntry,
} from "./types";
import {
  AXES, clampIndex, fetchBytes, readMasks, readVolume, step, toIndex, toPlace,
  type Mask, type Plane, type Volume,
} from "./volumes";

export type Shown = "dose" | "difference" | "gamma" | "none";
export interface Look {
  window: number;
  level: number;
  shown: Shown;
  wash: boolean;
  lines: boolean;
  beams: boolean;
  opacity: number;
  map: MapName;
  least: number;
}
export interface Volumes {
  ct: Volume<Int16Array> | null;
  dose: Volume | null;
  difference: Volume | null;
  gamma: Volume | null;
  masks: Map<string, Mask>;
  spots: { table: Float32Array; rows: number } | null;
}

const KEPT = "dosegrad-workspace";
const MOST_LINES = 200;

/** Times of frames, for measuring. */
export const frames: number[] = [];
export const drawing: number[] = [];
declare global {
  interface Window {
    dosegradFrames: number[];
    dosegradDrawing: number[];
    dosegradNavigation: number[];
    dosegradMoves: number;
  }
}
window.dosegradFrames = frames;
window.dosegradDrawing = drawing;
window.dosegradNavigation = [];
window.dosegradMoves = 0;

interface Kept {
  session: string;
  source: Source | null;
  settings: Settings | null;
}

export class Store {
  state: ServerState = {};
  volumes: Volumes = emptyVolumes();
  job: Job | null = null;
  live: Live | null = null;
  moving: MovingSpots | null = null;
  lines: string[] = [];
  status: Status = "connecting";
  refused = "";
  notice = "";
  watchers = 1;
  written: string[] = [];
  question: Question | null = null;
  permission: Permission | null = null;
  choices: Choices | null = null;
  look: Look = {
    window: 500, level: 20, shown: "dose", wash: true, lines: true, beams: true, opacity: 0.6,
    map: "inferno", least: 10,
  };
  hidden = new Set<string>();
  cross: [number, number, number] = [0, 0, 0];
  zoom: Record<Plane, number> = { axial: 1, coronal: 1, sagittal: 1 };
  selectedBeam = 0;
  nameShown = false;
  /** Counts changes of anything but the crosshair, so that pictures know whether they are still right. */
  revision = 0;
  readonly session: string;

  private versions = new Map<string, number>();
  private listeners = new Set<() => void>();
  private painters = new Set<() => void>();
  private line: Line;
  private noticeTimer = 0;
  private settingsTimer = 0;
  private kept: Kept;
  private painting = 0;
  private navigateSent = 0;
  private navigateNext: { limits: Record<string, number>; prefer: string | null } | null = null;
  private greeted = false;
  private asked = false; // something that the server has not yet begun or refused
  private fetching = 0;
  private settingsOut = 0;
  private shown = -1;
  private wantsRestore = false;
  private caseShown = "";

  constructor() {
    this.kept = readKept();
    this.session = this.kept.session;
    this.keep();
    this.line = new Line(`/api/workspace/live?session=${this.session}`, {
      onOpen: () => {
        this.greeted = false;
      },
      onText: (text) => this.take(JSON.parse(text) as Message),
      onBytes: () => undefined,
      onStatus: (status) => {
        this.status = status;
        this.tell();
      },
    });
    this.fetchChoices();
  }

  private fetchChoices(): void {
    fetch("/api/workspace/choices")
      .then((answer) => answer.json() as Promise<Choices>)
      .then((choices) => {
        this.choices = choices;
        this.tell();
      })
      .catch(() => setTimeout(() => this.fetchChoices(), 2000));
  }

  /** Whether nothing is on its way that would change what the page shows. */
  get isSettled(): boolean {
    const waits = !this.greeted || this.asked || this.job !== null || this.navigateSent > 0 || this.navigateNext !== null;
    const sends = this.settingsTimer !== 0 || this.settingsOut > 0;
    const loads = this.fetching > 0 || this.choices === null;
    const draws = this.painting !== 0 || this.soon !== 0 || this.shown !== this.revision;
    return this.status === "open" && !(waits || sends || loads || draws);
  }
  /** To be called once components have been drawn. */
  drawn(): void {
    this.shown = this.revision;
    this.declare();
  }
  /** Says on the page's main element whether it is settled. */
  private declare(): void {
    const main = document.querySelector<HTMLElement>("main[data-page=workspace]");
    if (main) main.dataset["state"] = this.isSettled ? "settled" : "changing";
  }

  close(): void {
    this.line.close();
  }
  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
  /** Called before each picture while anything that pictures show changes. */
  onPaint(painter: () => void): () => void {
    this.painters.add(painter);
    return () => this.painters.delete(painter);
  }
  tell(): void {
    this.revision++;
    for (const listener of this.listeners) listener();
    this.paint();
    this.declare();
  }
  paint(): void {
    if (this.painting) return;
    this.painting = requestAnimationFrame((time) => {
      this.painting = 0;
      const start = performance.now();
      for (const painter of this.painters) painter();
      this.declare();
      frames.push(time);
      drawing.push(performance.now() - start);
      if (frames.length > 5000) {
        frames.splice(0, 2500);
        drawing.splice(0, 2500);
      }
    });
  }
  say(text: string): void {
    this.notice = text;
    clearTimeout(this.noticeTimer);
    this.noticeTimer = window.setTimeout(() => {
      this.notice = "";
      this.tell();
    }, 8000);
    this.tell();
  }

  /** Whether CT and structures are there. */
  get ready(): boolean {
    return this.volumes.ct !== null && this.volumes.masks.size > 0;
  }
  get case(): CaseInfo | null {
    return this.state.case ?? null;
  }
  get settings(): Settings | null {
    return this.state.settings ?? null;
  }

  /** Open another case; what is open stays until that one is there, and is not thrown away unasked. */
  open(source: Source, sure = false): void {
    this.question = null;
    if (this.state.unsaved && !sure) {
      this.ask({
        title: "The plan is not saved",
        text: "Opening another case closes this one, and its plan is lost.",
        yes: "Open without saving",
        no: "Stay here",
        go: () => this.open(source, true),
      });
      return;
    }
    this.flushSettings();
    this.asked = this.send({ kind: "open", source });
    this.declare();
  }
  ask(permission: Permission | null): void {
    this.permission = permission;
    this.tell();
  }
  start(job: JobName, path: string | null = null, replace = false): void {
    this.flushSettings();
    this.asked = this.send({ kind: "job", job, path, replace });
    this.declare();
  }
  cancel(): void {
    this.send({ kind: "cancel" });
  }
  /** Settings change here at once; the server hears of them a little later, and says if they are wrong. */
  change(part: Partial<Settings>): void {
    if (!this.state.settings) return;
    if (this.job?.name === "open") {
      this.say("A case is being opened; change settings once it is there, or cancel.");
      return;
    }
    this.state.settings = { ...this.state.settings, ...part };
    this.kept.settings = this.state.settings;
    this.keep();
    clearTimeout(this.settingsTimer);
    this.settingsTimer = window.setTimeout(() => this.flushSettings(), 400);
    this.tell();
  }
  navigate(limits: Record<string, number>, prefer: string | null): void {
    this.navigateNext = { limits, prefer };
    this.declare();
    if (!this.navigateSent) this.sendNavigation();
  }
  setLook(part: Partial<Look>): void {
    this.look = { ...this.look, ...part };
    this.tell();
  }
  toggleStructure(name: string): void {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    this.tell();
  }
  /** Move the crosshair; only pictures follow at once, and the rest of the page by and by. */
  setCross(cross: [number, number, number]): void {
    this.cross = cross;
    this.paint();
    this.tellSoon();
    this.declare();
  }
  scroll(plane: Plane, slices: number): void {
    const grid = this.case?.grid;
    if (!grid) return;
    const { normal } = AXES[plane];
    const cross = [...this.cross] as [number, number, number];
    const index = clampIndex(grid, normal, toIndex(grid, normal, cross[normal]!) + slices);
    cross[normal] = toPlace(grid, normal, index);
    this.setCross(cross);
  }
  shift(plane: Plane, across: number, down: number): void {
    const grid = this.case?.grid;
    if (!grid) return;
    const axes = AXES[plane];
    const cross = [...this.cross] as [number, number, number];
    cross[axes.across] += across * step(grid, axes.across);
    cross[axes.down] += (axes.flip ? -down : down) * step(grid, axes.down);
    for (const axis of [0, 1, 2] as const)
      cross[axis] = toPlace(grid, axis, clampIndex(grid, axis, toIndex(grid, axis, cross[axis]!)));
    this.setCross(cross);
  }

  private soon = 0;
  private tellSoon(): void {
    if (this.soon) return;
    this.soon = window.setTimeout(() => {
      this.soon = 0;
      for (const listener of this.listeners) listener();
    }, 80);
  }

  private send(message: unknown): boolean {
    const sent = this.line.send(message);
    if (!sent) this.say("There is no connection to the server; try again when it is back.");
    return sent;
  }
  private flushSettings(): void {
    clearTimeout(this.settingsTimer);
    if (!this.settingsTimer || !this.state.settings) return;
    this.settingsTimer = 0;
    if (this.send({ kind: "settings", settings: this.state.settings })) this.settingsOut++;
  }
  private sendNavigation(): void {
    const next = this.navigateNext;
    this.navigateNext = null;
    if (!next || this.job) return;
    this.navigateSent = performance.now();
    this.send({ kind: "navigate", ...next });
  }

  private take(message: Message): void {
    switch (message.kind) {
      case "hello":
        this.greet(message.new);
        break;
      case "everything":
        this.state = message.state;
        this.job = message.job;
        this.live = message.live;
        this.lines = message.lines;
        this.asked = false;
        this.settingsOut = 0;
        this.volumes = emptyVolumes();
        this.versions.clear();
        clearTimeout(this.settingsTimer); // what was being changed belongs to what was shown before
        this.settingsTimer = 0;
        this.adopt(message.volumes);
        this.enterCase();
        this.settleLook();
        break;
      case "noted":
        this.settingsOut = message.all ? 0 : Math.max(this.settingsOut - 1, 0);
        break;
      case "state":
        this.merge(message.parts);
        break;
      case "volumes":
        this.adopt(message.volumes);
        break;
      case "job":
        this.asked = false;
        this.job = message.job.name === "navigate" ? null : message.job;
        if (message.job.stage !== "moving spots") this.moving = null;
        break;
      case "live":
        this.live = message;
        break;
      case "spots":
        this.moving = message;
        window.dosegradMoves++;
        break;
      case "lines":
        this.lines = [...this.lines, ...message.lines].slice(-MOST_LINES);
        break;
      case "watchers":
        this.watchers = message.n;
        break;
      case "saved":
        this.written = [message.path, ...this.written.filter((p) => p !== message.path)].slice(0, 5);
        break;
      case "exists":
        this.permission = {
          title: "Replace it?",
          text: `${message.path} is there already.`,
          yes: "Replace",
          no: "Keep it",
          go: () => this.start(message.job, message.path, true),
        };
        break;
      case "choose":
        this.question = message;
        break;
      case "ended":
        this.ended(message);
        break;
      case "error":
        this.asked = false;
        this.settingsOut = 0;
        this.say(message.message);
        break;
      case "refused":
        this.refused = message.message;
        this.line.close();
        break;
    }
    this.tell();
  }

  /** A new workspace on the server: either the first, or the server has begun anew. */
  private greet(isNew: boolean): void {
    const { source, settings } = this.kept;
    this.greeted = true;
    if (!isNew || !source) return;
    this.wantsRestore = true;
    this.asked = this.send({ kind: "open", source, settings });
    this.declare();
  }

  private ended(message: { job: string; state: string; message: string }): void {
    this.job = null;
    this.live = null;
    this.moving = null;
    if (message.job === "navigate") {
      if (this.navigateSent) window.dosegradNavigation.push(performance.now() - this.navigateSent);
      this.navigateSent = 0;
      if (this.navigateNext) this.sendNavigation();
    }
    if (message.state === "failed") this.question ?? this.permission ?? this.say(message.message);
    else if (message.state === "cancelled") this.say("Cancelled. The plan from before is as it was.");
    else if (message.job === "open" && this.wantsRestore)
      this.say("The server had begun anew: the case and its settings were opened again. Plans that were saved can be opened; others must be optimised again.");
    this.wantsRestore = false;
  }

  private merge(parts: ServerState): void {
    const editing = this.settingsTimer !== 0;
    const mine = this.state.settings;
    this.state = { ...this.state, ...parts };
    if (editing && mine && !parts.case) this.state.settings = mine;
    if (parts.settings) {
      this.kept.settings = this.state.settings ?? null;
      this.keep();
    }
    if (parts.case) this.enterCase();
    if (parts.comparison) this.look = { ...this.look, shown: "gamma" };
    if (parts.comparison === null && this.look.shown !== "none") this.look = { ...this.look, shown: "dose" };
    this.settleLook();
  }

  /** Show and choose only what there is. */
  private settleLook(): void {
    const { shown } = this.look;
    if (!this.state.comparison && (shown === "difference" || shown === "gamma")) this.look = { ...this.look, shown: "dose" };
    const beams = this.state.beams?.length ?? 0;
    this.selectedBeam = Math.max(Math.min(this.selectedBeam, beams - 1), 0);
  }

  private enterCase(): void {
    const found = this.state.case;
    if (!found) return;
    this.kept.source = found.source;
    this.kept.settings = this.state.settings ?? null;
    this.keep();
    const key = JSON.stringify(found.source);
    if (key === this.caseShown) return;
    this.caseShown = key;
    this.cross = [...found.centre];
    this.hidden = new Set();
    this.zoom = { axial: 1, coronal: 1, sagittal: 1 };
  }

  private adopt(entries: Record<string, VolumeEntry | null>): void {
    for (const [name, entry] of Object.entries(entries)) {
      if (entry === null) {
        this.versions.delete(name);
        if (name === "dose" || name === "difference" || name === "gamma" || name === "spots")
          this.volumes[name] = null;
        continue;
      }
      this.versions.set(name, entry.version);
      this.fetching++;
      void this.fetchVolume(name, entry).finally(() => {
        this.fetching--;
        this.tell();
      });
    }
  }

  private async fetchVolume(name: string, entry: VolumeEntry): Promise<void> {
    const bytes = await fetchBytes(`/api/workspace/${this.session}/volumes/${name}?v=${entry.version}`).catch(() => null);
    if (!bytes || this.versions.get(name) !== entry.version) return;
    const { header } = entry;
    if (header.type === "bits") this.volumes.masks = readMasks(bytes, header);
    else if (name === "spots") this.volumes.spots = { table: new Float32Array(bytes), rows: header.rows ?? 0 };
    else if (name === "ct") this.volumes.ct = readVolume(bytes, header) as Volume<Int16Array>;
    else if (name === "dose" || name === "difference" || name === "gamma")
      this.volumes[name] = readVolume(bytes, header) as Volume;
    this.volumes = { ...this.volumes };
  }

  private keep(): void {
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(this.kept));
    } catch {
      // storage may be forbidden; a reload then begins anew
    }
  }
}

type Message =
  | { kind: "hello"; new: boolean }
  | {
      kind: "everything"; state: ServerState; volumes: Record<string, VolumeEntry>; job: Job | null;
      live: Live | null; lines: string[];
    }
  | { kind: "state"; parts: ServerState }
  | { kind: "volumes"; volumes: Record<string, VolumeEntry | null> }
  | { kind: "job"; job: Job }
  | ({ kind: "live" } & Live)
  | ({ kind: "spots" } & MovingSpots)
  | { kind: "lines"; lines: string[] }
  | { kind: "watchers"; n: number }
  | { kind: "noted"; all?: boolean }
  | { kind: "saved"; path: string }
  | { kind: "exists"; job: JobName; path: string }
  | ({ kind: "choose" } & Question)
  | { kind: "ended"; job: string; state: string; message: string }
  | { kind: "error" | "refused"; message: string };

function emptyVolumes(): Volumes {
  return { ct: null, dose: null, difference: null, gamma: null, masks: new Map(), spots: null };
}

function readKept(): Kept {
  const named = /^#([0-9a-f]{16,40})$/.exec(location.hash)?.[1];
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null") as Kept | null;
    if (kept && /^[0-9a-f]{16,40}$/.test(kept.session) && (!named || named === kept.session)) return kept;
  } catch {
    // what is kept cannot be read; begin anew
  }
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  const session = named ?? [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
  return { session, source: null, settings: null };
}

export function useStore(): Store {
  const [store] = useState(() => new Store());
  const [, redraw] = useState(0);
  useEffect(() => {
    let asked = 0; // many messages may come between two pictures
    const stop = store.listen(() => {
      if (!asked)
        asked = requestAnimationFrame(() => {
          asked = 0;
          redraw((n) => n + 1);
        });
    });
    return () => {
      cancelAnimationFrame(asked);
      stop();
      store.close();
    };
  }, [store]);
  return store;
}
