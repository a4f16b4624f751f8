// The page's plan, its past and future, and the line to the server that keeps its dose.
import { useEffect, useState } from "preact/hooks";
import { Line, type Status } from "../shared/socket";
import { asPlan, firstPlan, type Plan } from "./plan";
import { readAddress, type Found } from "./share";

export interface Verdict {
  text: string;
  value: number | null;
  unit: string;
  met: boolean;
}
export interface StructureDose {
  name: string;
  mean: number | null;
  min: number | null;
  max: number | null;
  dvh: number[];
}
export interface DoseHeader {
  id: number;
  width: number;
  pixels: number;
  max: number;
  dvhTop: number;
  structures: StructureDose[];
  goals: Verdict[];
  rules: Verdict[];
  done: boolean;
  ms: number;
}
/** What a dose tells when the page did not ask what it is worth. */
export type BriefHeader = Pick<DoseHeader, "id" | "width" | "pixels" | "max" | "ms">;
export interface DosePicture {
  header: DoseHeader;
  values: Float32Array;
  /** Whether it is no step on the way to another one. */
  final: boolean;
}
export interface Curves {
  beam: number;
  depth: [number[], number[]];
  profile: [number[], number[]];
}
export interface Probe {
  point: [number, number];
  inside: boolean;
  dose: number;
  beams: { mu: number; dose: number; factors: { symbol: string; value: number; note: string }[] }[];
}
const NOTHING_KNOWN = { dvhTop: 1, structures: [], goals: [], rules: [], done: false };
export type Painter = (picture: DosePicture) => void;

interface Reply {
  kind: string;
  id: number;
  message?: string;
  mu?: number[];
  text?: string;
}

const MOST_STEPS = 200;
/** While something is dragged, histograms and goals follow after so many milliseconds. */
const FACTS_EVERY = 110;
const KEPT = "dosegrad-planner2d";

/** Milliseconds from an input to the drawn, and to the shown, picture; for measuring. */
export const latency: { drawn: number[]; shown: number[]; server: number[] } = {
  drawn: [],
  shown: [],
  server: [],
};
declare global {
  interface Window {
    dosegradLatency: typeof latency;
  }
}
window.dosegradLatency = latency;

export class Store {
  plan: Plan;
  picture: DosePicture | null = null;
  curves: Curves | null = null;
  probe: Probe | null = null;
  probePoint: [number, number] | null = null;
  status: Status = "connecting";
  selectedBeam = 0;
  selectedStructure = 0;
  notice = "";
  busy = false;
  painter: Painter | null = null;

  private past: Plan[] = [];
  private future: Plan[] = [];
  private settled: Plan;
  private listeners = new Set<() => void>();
  private movers = new Set<() => void>();
  private moving = false;
  private facts: Plan | null = null;
  private factsTime = 0;
  private curvesOf = "";
  private curvesSent = "";
  private numbered: Plan | null = null;
  private planNumber = 0;
  private line: Line;
  private number = 0;
  private doseOut = false;
  private doseWanted = false;
  private inputTime = 0;
  private sentTime = 0;
  private sentPlan: Plan | null = null;
  private sentFacts = true;
  private probeOut = false;
  private probeWanted = false;
  private curvesTimer = 0;
  private laterTimer = 0;
  private noticeTimer = 0;
  private waiting = new Map<number, (reply: Reply) => void>();

  constructor() {
    this.plan = this.settled = kept() ?? firstPlan();
    this.line = new Line("/api/planner2d/live", {
      onOpen: () => {
        this.doseOut = this.probeOut = false;
        this.waiting.clear();
        this.busy = false;
        this.facts = null;
        this.curvesOf = "";
        this.askDose();
        this.askCurves();
        if (this.probePoint) this.askProbe();
      },
      onText: (text) => this.take(JSON.parse(text) as Reply),
      onBytes: (bytes) => this.takeDose(bytes),
      onStatus: (status) => {
        this.status = status;
        this.tell();
      },
    });
    void readAddress().then((found) => this.adopt(found));
  }

  // --- the plan ---------------------------------------------------------------------------

  /** Another plan. While something is dragged the steps between are not kept. */
  change(plan: Plan, how: { keep: boolean; at?: number }): void {
    this.plan = plan;
    this.selectedBeam = Math.min(this.selectedBeam, Math.max(plan.beams.length - 1, 0));
    this.selectedStructure = Math.min(
      this.selectedStructure,
      Math.max(plan.structures.length - 1, 0),
    );
    this.inputTime = how.at ?? performance.now();
    this.moving = !how.keep;
    if (how.keep) this.settle();
    this.askDose();
    this.askCurves();
    if (this.probePoint) this.askProbe();
    if (how.keep) this.tell();
    else this.tellMovers();
  }

  /** A plan from elsewhere, if it is one, and what there is to say about it. */
  adopt({ plan, remark }: Found): void {
    if (plan) this.change(plan, { keep: true });
    if (remark) this.say(remark);
  }

  /** The plan as it is becomes a step that can be undone. */
  settle(): void {
    this.moving = false;
    if (this.plan === this.settled) return;
    this.past = [...this.past.slice(-MOST_STEPS), this.settled];
    this.future = [];
    this.settled = this.plan;
    keep(this.plan);
    this.askDose();
    this.tell();
  }

  /** Whether the page shows all that belongs to its plan. */
  get isSettled(): boolean {
    return (
      this.status === "open" &&
      !this.busy &&
      this.facts === this.plan &&
      this.curvesOf === this.curvesKey() &&
      !(this.doseOut || this.doseWanted || this.probeOut || this.probeWanted)
    );
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }
  get canRedo(): boolean {
    return this.future.length > 0;
  }

  undo(): void {
    const before = this.past.pop();
    if (!before) return;
    this.future.push(this.settled);
    this.restore(before);
  }

  redo(): void {
    const next = this.future.pop();
    if (!next) return;
    this.past.push(this.settled);
    this.restore(next);
  }

  private restore(plan: Plan): void {
    this.settled = plan;
    keep(plan);
    this.change(plan, { keep: true });
  }

  select(what: { beam?: number; structure?: number }): void {
    if (what.beam !== undefined) this.selectedBeam = what.beam;
    if (what.structure !== undefined) this.selectedStructure = what.structure;
    this.askCurves();
    this.tell();
  }

  setProbe(point: [number, number] | null): void {
    this.probePoint = point;
    if (point) this.askProbe();
    else {
      this.probe = null;
      this.probeWanted = false;
    }
    this.tell();
  }

  say(notice: string): void {
    this.notice = notice;
    clearTimeout(this.noticeTimer);
    this.noticeTimer = window.setTimeout(() => {
      this.notice = "";
      this.tell();
    }, 6000);
    this.tell();
  }

  // --- the server ----------------------------------------------------------------------------

  async optimise(): Promise<void> {
    this.busy = true;
    this.tell();
    const reply = await this.ask("optimise");
    this.busy = false;
    if (reply?.mu) {
      const mu = reply.mu;
      const beams = this.plan.beams.map((beam, k) => ({ ...beam, mu: mu[k] ?? beam.mu }));
      this.change({ ...this.plan, beams }, { keep: true });
      this.say("Weights optimised. Undo brings the old ones back.");
    } else {
      this.tell();
    }
  }

  async toml(): Promise<string | null> {
    return (await this.ask("toml"))?.text ?? null;
  }

  private ask(kind: string): Promise<Reply | null> {
    const id = ++this.number;
    return new Promise((done) => {
      this.waiting.set(id, (reply) => done(reply.kind === "error" ? null : reply));
      if (!this.line.send({ kind, id, state: this.plan })) {
        this.waiting.delete(id);
        this.say("There is no connection to the server.");
        done(null);
      }
    });
  }

  /** Asks for the dose unless it is there; while something moves, mostly without histograms. */
  private askDose(): void {
    if (this.facts === this.plan) {
      this.doseWanted = false;
      return;
    }
    if (this.doseOut) {
      const enough = this.sentPlan === this.plan && (this.sentFacts || this.moving);
      this.doseWanted = !enough;
      return;
    }
    this.doseWanted = false;
    const facts = !this.moving || performance.now() - this.factsTime > FACTS_EVERY;
    this.sentTime = this.sentPlan === this.plan ? 0 : this.inputTime;
    this.sentPlan = this.plan;
    this.sentFacts = facts;
    this.doseOut = this.line.send({ kind: "dose", id: ++this.number, facts, state: this.plan });
  }

  private askCurves(): void {
    clearTimeout(this.curvesTimer);
    this.curvesTimer = window.setTimeout(() => {
      if (this.doseOut) this.askCurves();
      else
        this.line.send({
          kind: "curves",
          id: ++this.number,
          state: this.plan,
          beam: this.selectedBeam,
        }) && (this.curvesSent = this.curvesKey());
    }, 60);
  }

  /** What curves depend on: a number for the plan, and the beam. */
  private curvesKey(): string {
    if (this.plan !== this.numbered) {
      this.numbered = this.plan;
      this.planNumber++;
    }
    return `${this.planNumber}|${this.selectedBeam}`;
  }

  private askProbe(): void {
    if (this.probeOut || this.doseOut) {
      this.probeWanted = true;
      return;
    }
    this.probeWanted = false;
    this.probeOut = this.line.send({
      kind: "probe",
      id: ++this.number,
      state: this.plan,
      point: this.probePoint,
    });
  }

  private takeDose(bytes: ArrayBuffer): void {
    const length = new DataView(bytes).getUint32(0, true);
    const told = JSON.parse(
      new TextDecoder().decode(new Uint8Array(bytes, 4, length)),
    ) as DoseHeader | BriefHeader;
    const before = this.picture?.header ?? NOTHING_KNOWN;
    this.picture = {
      header: { ...before, ...told },
      values: new Float32Array(bytes, 4 + length),
      final: this.sentPlan === this.plan && this.sentFacts,
    };
    this.doseOut = false;
    const from = this.sentTime;
    if (this.sentFacts) {
      this.facts = this.sentPlan;
      this.factsTime = performance.now();
    }
    const shown = this.sentFacts;
    if (this.doseWanted) this.askDose();
    this.painter?.(this.picture);
    note(from, told.ms);
    if (this.probeWanted) this.askProbe();
    if (!this.doseOut && this.facts !== this.plan) this.askLater();
    if (shown) this.tell();
  }

  /** Histograms of what is drawn, if nothing moves on for a moment. */
  private askLater(): void {
    clearTimeout(this.laterTimer);
    this.laterTimer = window.setTimeout(() => {
      if (this.facts === this.plan) return;
      this.factsTime = 0;
      this.askDose();
    }, FACTS_EVERY);
  }

  private take(reply: Reply): void {
    if (reply.kind === "curves") {
      this.curves = reply as unknown as Curves;
      this.curvesOf = this.curvesSent;
    } else if (reply.kind === "probe") {
      this.probeOut = false;
      if (this.probePoint) this.probe = reply as unknown as Probe;
      if (this.probeWanted) this.askProbe();
    } else if (reply.kind === "error") {
      if (this.doseOut) this.facts = this.sentPlan; // nothing better comes until the plan changes
      this.curvesOf = this.curvesSent;
      this.doseOut = this.probeOut = false;
      this.busy = false;
      if (this.doseWanted) this.askDose();
      this.say(reply.message ?? "The server could not do that.");
    }
    this.waiting.get(reply.id)?.(reply);
    this.waiting.delete(reply.id);
    this.tell();
  }

  // --- who looks on --------------------------------------------------------------------------

  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Called at once when something is dragged; all else is told when there is more to say. */
  listenToMoves(mover: () => void): () => void {
    this.movers.add(mover);
    return () => this.movers.delete(mover);
  }

  private tell(): void {
    unsettle();
    for (const listener of this.listeners) listener();
  }

  private tellMovers(): void {
    unsettle();
    for (const mover of this.movers) mover();
  }
}

let shared: Store | null = null;

/** The page's one store; components that use it are drawn again when it changes. */
export function useStore(): Store {
  const store = (shared ??= new Store());
  useTold((listener) => store.listen(listener), store);
  return store;
}

/** Draws a component again for each step of what is dragged. */
export function useMoves(store: Store): void {
  useTold((mover) => store.listenToMoves(mover), store);
}

function useTold(listen: (listener: () => void) => () => void, store: Store): void {
  const [, redraw] = useState(0);
  useEffect(() => {
    let asked = 0;
    const stop = listen(() => {
      if (!asked)
        asked = requestAnimationFrame(() => {
          asked = 0;
          redraw((n) => n + 1);
        });
    });
    redraw((n) => n + 1); // what was told before there was a listener
    return () => {
      cancelAnimationFrame(asked);
      stop();
    };
  }, [store]);
}

/** Declares that the page does not yet show its plan; useSettled in Page.tsx takes it back. */
function unsettle(): void {
  const main = document.querySelector<HTMLElement>("main.planner");
  if (main) main.dataset["state"] = "changing";
}

function note(from: number, server: number): void {
  if (!from) return;
  const last = (list: number[], value: number) => {
    list.push(value);
    if (list.length > 2000) list.shift();
  };
  last(latency.drawn, performance.now() - from);
  last(latency.server, server);
  requestAnimationFrame(() => {
    const after = new MessageChannel();
    after.port1.onmessage = () => last(latency.shown, performance.now() - from);
    after.port2.postMessage(0);
  });
}

function kept(): Plan | null {
  try {
    return asPlan(JSON.parse(sessionStorage.getItem(KEPT) ?? "null"));
  } catch {
    return null;
  }
}

function keep(plan: Plan): void {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(plan));
  } catch {
    // without storage a reload begins anew
  }
}
