// The plan and its dose as files.
import { LEVELS, VIEW } from "./paint";
import { axesOf, handleDistance, outline, turned } from "./plan";
import { addressOf, download } from "./share";
import type { Store } from "./store";

export const EXPORTS = [
  { name: "png", title: "Picture (PNG)" },
  { name: "csv", title: "DVH (CSV)" },
  { name: "dose", title: "Dose (CSV)" },
  { name: "json", title: "Plan (JSON)" },
  { name: "toml", title: "Plan file (plan.toml)" },
  { name: "link", title: "Copy a link" },
] as const;
export type ExportName = (typeof EXPORTS)[number]["name"];

export async function exportAs(store: Store, name: ExportName): Promise<void> {
  switch (name) {
    case "json":
      download("planner-2d.json", JSON.stringify(store.plan, null, 2), "application/json");
      return;
    case "csv":
      download("dvh.csv", histogramText(store), "text/csv");
      return;
    case "dose":
      download("dose.csv", doseText(store), "text/csv");
      return;
    case "toml": {
      const text = await store.toml();
      if (text) download("plan.toml", text, "application/toml");
      return;
    }
    case "png": {
      const blob = await picture(store);
      if (blob) download("planner-2d.png", blob);
      return;
    }
    case "link":
      await copyLink(store);
  }
}

async function copyLink(store: Store): Promise<void> {
  const address = await addressOf(store.plan);
  history.replaceState(null, "", address);
  try {
    await navigator.clipboard.writeText(address);
    store.say("The link is on the clipboard; it holds the whole plan.");
  } catch {
    store.say("The address of this page now holds the whole plan; copy it.");
  }
}

function histogramText(store: Store): string {
  const header = store.picture?.header;
  if (!header) return "";
  const shown = header.structures.filter((s) => s.dvh.length > 0);
  const quoted = shown.map((s) => `"${s.name} (% of volume)"`);
  const n = shown[0]?.dvh.length ?? 0;
  const rows = Array.from({ length: n }, (_, k) =>
    [((header.dvhTop * k) / (n - 1)).toFixed(4), ...shown.map((s) => s.dvh[k]?.toFixed(2))].join(","),
  );
  return `${['"dose (Gy)"', ...quoted].join(",")}\n${rows.join("\n")}\n`;
}

function doseText(store: Store): string {
  const picture = store.picture;
  if (!picture) return "";
  const { pixels: n, width } = picture.header;
  const axis = Array.from({ length: n }, (_, k) => (((k + 0.5) / n - 0.5) * width).toFixed(2));
  const rows = axis.map((y, j) => [y, ...Array.from(picture.values.slice(j * n, (j + 1) * n), (v) => v.toFixed(5))].join(","));
  return `"dose (Gy): y (mm) down, x (mm) across",${axis.join(",")}\n${rows.join("\n")}\n`;
}

/** The canvas with outlines and beams on it. */
function picture(store: Store): Promise<Blob | null> {
  const source = document.querySelector<HTMLCanvasElement>(".stage canvas");
  const header = store.picture?.header;
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  if (!source || !context || !header) return Promise.resolve(null);
  const size = 1200;
  canvas.width = size;
  canvas.height = size + 70;
  context.fillStyle = "#101820";
  context.fillRect(0, 0, size, size + 70);
  context.drawImage(source, 0, 0, size, size);
  const unit = size / (header.width * VIEW);
  const at = (p: [number, number]): [number, number] => [size / 2 + p[0] * unit, size / 2 + p[1] * unit];
  for (const structure of store.plan.structures) {
    context.beginPath();
    outline(structure.shape).forEach((p) => context.lineTo(...at(p)));
    context.closePath();
    context.setLineDash(structure.role === "organ" ? [12, 7] : []);
    context.strokeStyle = structure.role === "target" ? "#ff5c5c" : "#2fd0ff";
    context.lineWidth = 4;
    context.stroke();
  }
  context.setLineDash([]);
  context.font = "600 22px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  store.plan.beams.forEach((beam, k) => {
    const back = handleDistance(store.plan, beam.gantry, 0.625 * header.width);
    const { along } = axesOf(beam.gantry);
    const [x, y] = store.plan.isocentre;
    const head = at([x - along[0] * back, y - along[1] * back]);
    context.beginPath();
    context.arc(...head, 20, 0, 2 * Math.PI);
    context.fillStyle = "#f4f7fa";
    context.fill();
    context.fillStyle = "#12202e";
    context.fillText(`${k + 1}`, ...head);
  });
  context.textAlign = "left";
  context.fillStyle = "#e8eef5";
  context.font = "20px system-ui, sans-serif";
  const beams = store.plan.beams.map((b, k) => `${k + 1}: ${turned(b.gantry).toFixed(0)}° ${b.mu.toFixed(0)} MU`);
  context.fillText(beams.join("   "), 18, size + 20, size - 36);
  let left = 18;
  for (const { percent, colour } of LEVELS) {
    context.fillStyle = colour;
    context.fillRect(left, size + 46, 28, 6);
    context.fillStyle = "#e8eef5";
    context.fillText(`${percent} %`, left + 36, size + 50);
    left += 125;
  }
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
