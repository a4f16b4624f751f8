// The planning workspace: slices in the middle, the case to the left, the plan to the right.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { TopBar } from "../shared/TopBar";
import { BeamsEye } from "./BeamsEye";
import { ComparisonPanel, FrontPanel } from "./ChoicePanels";
import { DvhPanel } from "./DvhPanel";
import { CasePanel, LookPanel, StructurePanel } from "./LeftPanels";
import { OpenPanel } from "./OpenPanel";
import { PlanPanel } from "./PlanPanels";
import { RunPanel } from "./RunPanel";
import { SliceView } from "./SliceView";
import { useStore, type Store } from "./store";
import type { Permission, Question } from "./types";
import "./workspace.css";

export function WorkspacePage() {
  const store = useStore();
  useLayoutEffect(() => store.drawn());
  const [opening, setOpening] = useState(false);
  const opened = store.case !== null;
  const height = useChartHeight();
  return (
    <>
      <TopBar page="/workspace" status={store.status} />
      <main id="main" data-page="workspace" class={opened ? "workspace" : "ws-start"} data-ready={store.ready ? "" : undefined} tabIndex={-1}>
        <h1 class="visually-hidden">Planning workspace</h1>
        {store.refused && <p class="panel" role="alert">{store.refused}</p>}
        {!opened && !store.refused && (
          <section class="panel ws-welcome" aria-labelledby="welcome-title">
            <h2 id="welcome-title">Open a case</h2>
            {store.job ? (
              <p role="status">Opening … {store.job.remark}</p>
            ) : (
              <OpenPanel store={store} />
            )}
          </section>
        )}
        {opened && (
          <>
            <div class="ws-left">
              <CasePanel store={store} onOpen={() => setOpening(true)} />
              <StructurePanel store={store} />
              <LookPanel store={store} />
            </div>
            <div class="ws-middle">
              <SliceView store={store} plane="axial" />
              <SliceView store={store} plane="sagittal" />
              <SliceView store={store} plane="coronal" />
              <BeamsEyePanel store={store} />
              <section class="panel ws-curves" aria-label="Histograms">
                <DvhPanel store={store} height={height} />
              </section>
            </div>
            <div class="ws-right">
              <RunPanel store={store} />
              <FrontPanel store={store} />
              <ComparisonPanel store={store} />
              <PlanPanel store={store} />
            </div>
          </>
        )}
      </main>
      {opening && (
        <Dialog title="Open a case" onClose={() => setOpening(false)}>
          <OpenPanel store={store} onDone={() => setOpening(false)} />
        </Dialog>
      )}
      {store.question && <QuestionDialog store={store} question={store.question} />}
      {store.permission && <PermissionDialog store={store} wanted={store.permission} />}
      <div aria-live="assertive">{store.notice && <div class="toast">{store.notice}</div>}</div>
    </>
  );
}

/** Histograms fill their place on wide pages, where they stand beside the slices. */
function useChartHeight(): number {
  const measure = () => (innerWidth >= 1900 ? Math.max(Math.round(innerHeight / 2) - 240, 220) : 210);
  const [height, setHeight] = useState(measure());
  useEffect(() => {
    const follow = () => setHeight(measure());
    addEventListener("resize", follow);
    return () => removeEventListener("resize", follow);
  }, []);
  return height;
}

function BeamsEyePanel({ store }: { store: Parameters<typeof BeamsEye>[0]["store"] }) {
  return (
    <section class="panel ws-eye-panel" aria-label="Beam’s-eye view">
      <BeamsEye store={store} />
    </section>
  );
}

/** Which of several things in a folder is meant. */
function QuestionDialog({ store, question }: { store: Store; question: Question }) {
  const close = () => {
    store.question = null;
    store.tell();
  };
  return (
    <Dialog title={`Choose a ${question.what}`} onClose={close}>
      <p>{`The folder holds more than one ${question.what} that could be meant.`}</p>
      <ul class="ws-list">
        {question.choices.map(([value, title]) => (
          <li key={value}>
            <button class="quiet" onClick={() => store.open({ ...question.source, [question.option]: value })}>
              {title}
            </button>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

/** Whether something may be done that cannot be undone. */
function PermissionDialog({ store, wanted }: { store: Store; wanted: Permission }) {
  const close = () => store.ask(null);
  return (
    <Dialog title={wanted.title} onClose={close}>
      <p>{wanted.text}</p>
      <div class="row wrap">
        <button onClick={close}>{wanted.no}</button>
        <button class="primary" onClick={() => { close(); wanted.go(); }}>{wanted.yes}</button>
      </div>
    </Dialog>
  );
}

function Dialog(props: { title: string; onClose: () => void; children: preact.ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="ws-dialog" aria-labelledby="dialog-title" onClose={props.onClose} onClick={(event) => event.target === dialog.current && props.onClose()}>
      <header class="row">
        <h2 id="dialog-title" class="grow">{props.title}</h2>
        <button class="quiet" aria-label="Close" onClick={props.onClose}>✕</button>
      </header>
      {props.children}
    </dialog>
  );
}
