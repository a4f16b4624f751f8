// Choosing what to open: a phantom, or something in the folder that the server was started in.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Store } from "./store";

interface Listing {
  path: string;
  kind: string;
  entries: { name: string; path: string; kind: string }[];
}
const KINDS: Record<string, string> = {
  folder: "folder", patient: "matRad patient", plan: "saved plan", dicom: "DICOM folder", results: "plan results",
};

export function OpenPanel({ store, onDone }: { store: Store; onDone?: () => void }) {
  const first = useRef<HTMLButtonElement>(null);
  useEffect(() => first.current?.focus(), [store.choices !== null]);
  const open = (path: string) => {
    store.open({ kind: "file", path });
    onDone?.();
  };
  return (
    <div class="ws-open">
      <section aria-labelledby="open-phantoms">
        <h3 id="open-phantoms">Phantoms</h3>
        <ul class="ws-cards">
          {store.choices?.phantoms.map((p, k) => (
            <li key={p.name}>
              <button
                ref={k === 0 ? first : undefined}
                onClick={() => {
                  store.open({ kind: "phantom", name: p.name });
                  onDone?.();
                }}
              >
                <strong>{p.name}</strong>
                <span class="muted small">{p.about}</span>
              </button>
            </li>
          ))}
        </ul>
      </section>
      <section aria-labelledby="open-files">
        <h3 id="open-files">Files of the server’s folder</h3>
        <FileList store={store} wanted={["patient", "plan", "dicom", "results"]} onChoose={open} />
      </section>
    </div>
  );
}

export function FileList(props: { store: Store; wanted: string[]; onChoose: (path: string) => void }) {
  const [path, setPath] = useState("");
  const [listing, setListing] = useState<Listing | null>(null);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    let current = true;
    void fetch(`/api/workspace/files?path=${encodeURIComponent(path)}`)
      .then(async (answer) => {
        const content = (await answer.json()) as Listing & { message?: string };
        if (!current) return;
        if (answer.ok) setListing(content);
        setFailure(answer.ok ? "" : (content.message ?? "This folder cannot be read."));
      })
      .catch(() => current && setFailure("There is no connection to the server."));
    return () => {
      current = false;
    };
  }, [path, props.store.written.length]);
  const above = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
  const shown = listing?.entries.filter((e) => e.kind === "folder" || e.kind === "dicom" || props.wanted.includes(e.kind)) ?? [];
  return (
    <div class="ws-files">
      <div class="row small">
        <button class="tiny" disabled={path === ""} onClick={() => setPath(above)} aria-label="To the folder above">
          ↑
        </button>
        <span class="grow muted">{path === "" ? "start folder" : path}</span>
        {listing?.kind === "dicom" && props.wanted.includes("dicom") && (
          <button class="primary" onClick={() => props.onChoose(path)}>Open this DICOM folder</button>
        )}
      </div>
      {failure && <p role="alert" class="ws-failure small">{failure}</p>}
      <ul class="ws-list">
        {shown.map((entry) => (
          <li key={entry.path}>
            <button
              class="quiet"
              onClick={() => (props.wanted.includes(entry.kind) ? props.onChoose(entry.path) : setPath(entry.path))}
            >
              <span class="ws-kind" aria-hidden="true">{entry.kind === "folder" ? "▸" : entry.kind === "plan" || entry.kind === "results" ? "◆" : "●"}</span>
              <span class="grow">{entry.name}</span>
              <span class="muted small">{KINDS[entry.kind]}</span>
            </button>
          </li>
        ))}
        {listing && shown.length === 0 && <li class="muted small">Nothing here that can be opened.</li>}
      </ul>
    </div>
  );
}
