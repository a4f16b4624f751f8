// Plans as addresses and files.
import { asPlan, isWhole, type Plan } from "./plan";

const MOST_TEXT = 200_000; // characters of a plan from elsewhere

const FITTED = "Some of it was missing or not possible; the nearest that is possible is shown.";

/** A plan from elsewhere, and what the user should know about it. */
export interface Found {
  plan: Plan | null;
  remark: string;
}

/** The page's address with the plan in it. */
export async function addressOf(plan: Plan): Promise<string> {
  const packed = await through(new TextEncoder().encode(JSON.stringify(plan)), new CompressionStream("deflate-raw"));
  const text = btoa(String.fromCharCode(...packed));
  const safe = text.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  return `${location.origin}${location.pathname}#plan=${safe}`;
}

/** The plan in the page's address; no remark where the address holds nothing. */
export async function readAddress(): Promise<Found> {
  if (!location.hash.startsWith("#plan=")) return { plan: null, remark: "" };
  const broken = { plan: null, remark: "The link holds no plan that can be read; copy the whole link." };
  const found = /^#plan=([\w-]{1,20000})$/.exec(location.hash);
  if (!found?.[1]) return broken;
  try {
    const text = atob(found[1].replace(/-/g, "+").replace(/_/g, "/"));
    const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
    const plain = await through(bytes, new DecompressionStream("deflate-raw"));
    const value: unknown = JSON.parse(new TextDecoder().decode(plain));
    const plan = asPlan(value);
    return plan ? { plan, remark: isWhole(value, plan) ? "" : FITTED } : broken;
  } catch {
    return broken;
  }
}

/** The plan of a file, or what is wrong with it. */
export async function readFile(file: File): Promise<Found> {
  const refused = (remark: string): Found => ({ plan: null, remark: `${file.name} ${remark}` });
  if (file.size > MOST_TEXT)
    return refused(
      `is too large for a plan (${Math.ceil(file.size / 1000)} kB; at most ${MOST_TEXT / 1000} kB).`,
    );
  try {
    const value: unknown = JSON.parse(await file.text());
    const plan = asPlan(value);
    return plan ? { plan, remark: isWhole(value, plan) ? "" : FITTED } : refused("holds no plan of Planner 2D.");
  } catch {
    return refused("is no JSON file.");
  }
}

export function download(name: string, content: Blob | string, type = "text/plain"): void {
  const blob = typeof content === "string" ? new Blob([content], { type }) : content;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 2000);
}

async function through(
  bytes: Uint8Array<ArrayBuffer>,
  stream: CompressionStream | DecompressionStream,
): Promise<Uint8Array> {
  const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
  const parts: Uint8Array[] = [];
  let total = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    total += value.length;
    if (total > MOST_TEXT) throw new Error("too long");
    parts.push(value);
  }
  const whole = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
