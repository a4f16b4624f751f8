// What the server offers: lessons, phantoms' slices and their images.
import { useEffect, useState } from "preact/hooks";
import { asPlan, type Plan, type SectionKind, type Structure } from "./plan";

export interface Lesson {
  name: string;
  title: string;
  idea: string;
  task: string;
  hint: string;
  rules: string[];
  start: Plan;
}
export interface SliceChoice {
  name: SectionKind;
  title: string;
  structures: Structure[];
}
export interface Choices {
  lessons: Lesson[];
  sections: SliceChoice[];
}

export function useChoices(): Choices | null {
  const [choices, setChoices] = useState<Choices | null>(null);
  useEffect(() => {
    let stopped = false;
    const load = () =>
      fetch("/api/planner2d/choices")
        .then((answer) => answer.json() as Promise<Choices>)
        .then((found) => {
          if (stopped) return;
          for (const lesson of found.lessons) lesson.start = asPlan(lesson.start) ?? lesson.start;
          setChoices(found);
        })
        .catch(() => setTimeout(() => !stopped && load(), 2000));
    void load();
    return () => {
      stopped = true;
    };
  }, []);
  return choices;
}

/** Electron density of a phantom's slice, a byte a pixel; null for water, or until it is there. */
export function useSection(kind: SectionKind): Uint8Array | null {
  const [image, setImage] = useState<{ kind: string; bytes: Uint8Array } | null>(null);
  useEffect(() => {
    if (kind === "water") return;
    let stopped = false;
    fetch(`/api/planner2d/sections/${kind}`)
      .then((answer) => (answer.ok ? answer.arrayBuffer() : Promise.reject(new Error(kind))))
      .then((bytes) => !stopped && setImage({ kind, bytes: new Uint8Array(bytes) }))
      .catch(() => undefined);
    return () => {
      stopped = true;
    };
  }, [kind]);
  return image?.kind === kind ? image.bytes : null;
}
