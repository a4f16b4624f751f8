"""A workspace on the server: its state, who looks at it, and the process that works for it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dosegrad.errors import SettingsError
from dosegrad.web.workspace.processes import ASIDE, WorkProcess
from dosegrad.web.workspace.schemas import (
    CancelRequest,
    JobRequest,
    NavigateRequest,
    OpenRequest,
    PlanSettings,
    Request,
    SettingsRequest,
)

if TYPE_CHECKING:
    from dosegrad.web.workspace.sessions import Sessions

__all__ = ["Session", "Volume"]

#: Time after which work that was to end is ended, s.
PATIENCE: Final = 8.0
#: Lines of the log that are kept, and messages that wait for a slow page.
_LINES: Final = 200
_WAITING: Final = 400
#: Number of what asks for no job: new settings.
_SETTINGS: Final = -1
#: Messages of a work process that change what is shown.
_SHOWN: Final = frozenset({"state", "volume", "drop"})

_log = logging.getLogger("dosegrad.web")


@dataclass(frozen=True, slots=True)
class _Opening:
    """A case on its way: what it shows is held back until all of it is there."""

    request: OpenRequest
    process: WorkProcess
    kept: Path
    held: list[tuple[dict[str, Any], bytes]]


@dataclass(frozen=True, slots=True)
class Volume:
    """Bytes for the page, compressed by gzip, with their number."""

    version: int
    header: Mapping[str, Any]
    data: bytes


class Session:
    """One workspace. All methods are for the event loop's thread."""

    def __init__(self, name: str, folder: Path, shared: Sessions) -> None:
        self.name = name
        self.volumes: dict[str, Volume] = {}
        self.used = time.monotonic()
        self._folder = folder
        self._shared = shared
        self._state: dict[str, Any] = {}
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._job: dict[str, Any] | None = None
        self._live: dict[str, Any] | None = None
        self._listeners: set[asyncio.Queue[dict[str, Any]]] = set()
        self._process: WorkProcess | None = None
        self._opening: _Opening | None = None
        self._opened: OpenRequest | None = None
        self._loop = asyncio.get_running_loop()
        self._aside = Path(tempfile.mkdtemp(prefix=ASIDE))
        self._kept = self._aside / "plan-0.npz"
        self._number = self._ticket = 0
        self._ender: asyncio.TimerHandle | None = None

    # --- who looks ---------------------------------------------------------------------------

    def join(self) -> asyncio.Queue[dict[str, Any]]:
        """A queue of what changes, first of all everything."""
        waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(maxsize=_WAITING)
        waiting.put_nowait(self._everything())
        self._listeners.add(waiting)
        self._tell({"kind": "watchers", "n": len(self._listeners)})
        return waiting

    def leave(self, waiting: asyncio.Queue[dict[str, Any]]) -> None:
        """No longer tell this one."""
        self._listeners.discard(waiting)
        self.used = time.monotonic()
        self._tell({"kind": "watchers", "n": len(self._listeners)})

    @property
    def is_watched(self) -> bool:
        """Whether a page looks at it."""
        return bool(self._listeners)

    @property
    def is_busy(self) -> bool:
        """Whether work goes on."""
        return self._job is not None

    # --- what it is asked for ----------------------------------------------------------------

    def ask(self, request: Request) -> None:
        """Carry out a request of a page.

        Raises
        ------
        SettingsError
            If it cannot be carried out now.
        """
        self.used = time.monotonic()
        if isinstance(request, CancelRequest):
            self._cancel()
        elif isinstance(request, SettingsRequest):
            self._settle(request)
        elif self.is_busy:
            raise SettingsError("work is going on; wait for its end, or cancel it first.")
        elif isinstance(request, OpenRequest):
            self._open(request)
        elif self._opened is None:
            raise SettingsError("nothing is open yet; choose a phantom or a file first.")
        else:
            name = request.job if isinstance(request, JobRequest) else "navigate"
            self._begin(name, request)

    @property
    def rests(self) -> bool:
        """Whether it has a case, but neither a process nor pictures."""
        return "case" in self._state and not self.volumes

    def rest(self) -> None:
        """Give up process and pictures; :meth:`wake` opens the case again, with its plan."""
        if self._process is not None:
            old, self._process = self._process, None
            old.kill()
        self.volumes.clear()

    def wake(self) -> None:
        """Open the case of one that rests again."""
        if self.rests:
            self._running()

    def end(self) -> None:
        """End its process and forget what it kept."""
        if self._process is not None:
            self._process.kill()
        if self._opening is not None:
            self._opening.process.kill()
        self._process = self._opening = None
        shutil.rmtree(self._aside, ignore_errors=True)

    # --- inside ------------------------------------------------------------------------------

    def _begin(self, name: str, request: JobRequest | NavigateRequest) -> None:
        if name != "navigate":
            self._announce(name)
        process = self._running()
        self._start(name, request, process)

    def _open(self, request: OpenRequest) -> None:
        """Open a case in a process of its own; the one that is open stays until this is there."""
        self._announce("open")
        kept = self._aside / f"plan-{self._ticket + 1}.npz"
        process = self._launch(kept)
        self._opening = _Opening(request, process, kept, [])
        self._start("open", request, process)

    def _announce(self, name: str) -> None:
        self._shared.check_jobs()
        self._lines.append(f"{_NAMES.get(name, name)} …")
        self._tell({"kind": "lines", "lines": [self._lines[-1]]})

    def _start(
        self, name: str, request: OpenRequest | JobRequest | NavigateRequest, process: WorkProcess
    ) -> None:
        self._job = {"name": name, "stage": "", "fraction": 0.0, "remark": "", "state": "running"}
        self._live = None
        self._tell({"kind": "job", "job": self._job})
        self._ticket += 1
        process.send({**request.model_dump(mode="json"), "ticket": self._ticket})

    def _settle(self, request: SettingsRequest) -> None:
        self._state["settings"] = request.settings.model_dump(mode="json")
        self._tell({"kind": "state", "parts": {"settings": self._state["settings"]}})
        if self._process is None:
            self._tell({"kind": "noted"})
        else:
            self._process.send({**request.model_dump(mode="json"), "ticket": _SETTINGS})

    def _running(self) -> WorkProcess:
        """The process, started anew if it has ended; it then opens the case again."""
        if self._process is not None:
            return self._process
        process = self._process = self._launch(self._kept)
        if "case" in self._state and self._opened is not None:
            settings = PlanSettings.model_validate(self._state["settings"])
            again = self._opened.model_copy(update={"settings": settings})
            process.send({**again.model_dump(mode="json"), "recover": True})
        return process

    def _launch(self, kept: Path) -> WorkProcess:
        process = WorkProcess(
            self._folder,
            kept,
            hear=lambda *message: self._from_thread(self._hear, process, *message),
            gone=lambda one: self._from_thread(self._gone, one),
            megabytes=self._shared.megabytes,
        )
        return process

    def _swap(self, opening: _Opening) -> None:
        """Show the case that has been opened in place of the one that was open."""
        old, kept = self._process, self._kept
        if old is not None:
            old.kill()
        kept.unlink(missing_ok=True)
        self._process, self._kept, self._opened = opening.process, opening.kept, opening.request
        self._state.clear()
        self.volumes.clear()
        for content, data in opening.held:
            self._take(content, data)
        self._tell(self._everything())

    def _cancel(self) -> None:
        process = self._process if self._opening is None else self._opening.process
        if process is None or self._job is None or self._job["state"] == "cancelling":
            return
        self._job["state"] = "cancelling"
        self._tell({"kind": "job", "job": self._job})
        process.send({"kind": "cancel"})
        self._ender = self._loop.call_later(PATIENCE, self._end_if_same, process)

    def _end_if_same(self, process: WorkProcess) -> None:
        at_work = self._process if self._opening is None else self._opening.process
        if process is at_work and self._job and self._job["state"] == "cancelling":
            process.kill()

    def _from_thread(self, function: Any, *arguments: Any) -> None:
        if not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(function, *arguments)
            except RuntimeError:
                return  # the server is ending

    def _hear(self, process: WorkProcess, content: dict[str, Any], data: bytes) -> None:
        """A message of a process; what a new case shows waits until it has opened."""
        opening, kind = self._opening, content["kind"]
        if opening is not None and process is opening.process:
            if kind in _SHOWN:
                opening.held.append((content, data))
                return
            if kind == "ended":
                self._opening = None
                if content["state"] == "done":
                    self._swap(opening)
                else:
                    process.kill()
        elif process is not self._process:
            return
        if kind == "progress" and self._job is not None:
            self._job.update({k: content[k] for k in ("stage", "fraction", "remark")})
            self._tell({"kind": "job", "job": self._job})
        elif kind == "log":
            self._lines.append(content["text"])
            self._tell({"kind": "lines", "lines": [content["text"]]})
        elif kind in _SHOWN:
            self._tell(self._take(content, data))
        elif kind == "ended":
            self._ended(content)
        else:
            if kind == "live":
                self._live = content
            self._tell(content)

    def _take(self, content: dict[str, Any], data: bytes) -> dict[str, Any]:
        """Keep what is shown; gives what pages are told of it."""
        if content["kind"] == "state":
            self._state.update(content["parts"])
            return content
        if content["kind"] == "volume":
            self._number += 1
            volume = Volume(self._number, content["header"], data)
            self.volumes[content["name"]] = volume
            return {"kind": "volumes", "volumes": {content["name"]: _entry(volume)}}
        for name in content["names"]:
            self.volumes.pop(name, None)
        return {"kind": "volumes", "volumes": dict.fromkeys(content["names"])}

    def _ended(self, content: dict[str, Any]) -> None:
        """The end of what was asked for; that of settings, or of opening again, is none."""
        if content["ticket"] == _SETTINGS:
            self._tell({"kind": "noted"})
            if content["state"] == "failed":
                self._tell({"kind": "error", "message": content["message"]})
            return
        if self._job is not None and content["ticket"] == self._ticket:
            self._finish(str(self._job["name"]), content["state"], content["message"])

    def _finish(self, name: str, state: str, message: str) -> None:
        self._job, self._live = None, None
        if self._ender is not None:
            self._ender.cancel()
        if name not in ("navigate", "") or message:
            words = message or "done"
            self._lines.append(f"{_NAMES.get(name, name)}: {words}")
            self._tell({"kind": "lines", "lines": [self._lines[-1]]})
        self._tell({"kind": "ended", "job": name, "state": state, "message": message})

    def _gone(self, process: WorkProcess) -> None:
        """The process has ended, whatever the reason; the page keeps what it shows."""
        if self._opening is not None and process is self._opening.process:
            self._opening = None
        elif process is self._process:
            self._process = None
            self._tell({"kind": "noted", "all": True})
            if self._opening is not None:
                return  # a case is being opened, by another process
        else:
            return
        if self._job is None:
            return
        cancelled = self._job["state"] == "cancelling"
        name = str(self._job["name"])
        if cancelled:
            message = "cancelled; the work was ended, and what it had computed is gone"
        else:
            message = (
                "the work process ended unexpectedly, perhaps for lack of memory. Nothing that is "
                "shown is lost; try again with a coarser dose grid or fewer spots."
            )
            _log.warning("a work process of a workspace ended unexpectedly")
        self._finish(name, "cancelled" if cancelled else "failed", message)

    def _everything(self) -> dict[str, Any]:
        return {
            "kind": "everything",
            "session": self.name,
            "state": self._state,
            "volumes": {name: _entry(v) for name, v in self.volumes.items()},
            "job": self._job,
            "live": self._live,
            "lines": list(self._lines),
            "watchers": len(self._listeners),
        }

    def _tell(self, content: dict[str, Any]) -> None:
        for waiting in tuple(self._listeners):
            try:
                waiting.put_nowait(content)
            except asyncio.QueueFull:  # a page that reads nothing begins anew
                while not waiting.empty():
                    waiting.get_nowait()
                waiting.put_nowait(self._everything())


_NAMES: Final = {
    "open": "opening",
    "steer": "steering beams",
    "influence": "computing influence",
    "optimise": "optimising",
    "front": "exploring trade-offs",
    "compare": "comparing engines",
    "other": "comparing plans",
    "save": "saving",
    "report": "writing the report",
    "dicom": "writing DICOM",
}


def _entry(volume: Volume) -> dict[str, Any]:
    return {"version": volume.version, "header": volume.header}
