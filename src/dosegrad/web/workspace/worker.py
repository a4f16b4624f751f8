"""A work process: it holds one case, does one job at a time, and may fail without harm.

Started as ``python -m dosegrad.web.workspace.worker FOLDER KEPT MEGABYTES``; messages come by its
standard input and go by its standard output.
"""

from __future__ import annotations

import logging
import os
import queue
import shutil
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from dosegrad.errors import ChoiceError, DosegradError, PlanError
from dosegrad.progress import listening
from dosegrad.web.workspace.case import Case
from dosegrad.web.workspace.channel import Channel
from dosegrad.web.workspace.desk import CancelledError, Desk
from dosegrad.web.workspace.processes import ASIDE
from dosegrad.web.workspace.schemas import (
    REQUESTS,
    JobRequest,
    NavigateRequest,
    OpenRequest,
    SettingsRequest,
)

__all__ = ["main"]

_log = logging.getLogger("dosegrad.web")
_NO_MEMORY = (
    "this needs more memory than work may take here; choose a coarser dose grid, wider spots, or "
    "fewer beams."
)
_WHICH = "the folder holds more than one {} that could be meant; choose one."
#: What the options are called by which one of several is chosen.
_MEANT = {"structure_set": "structure set", "series": "CT series"}


def main() -> None:
    """Work until the server has gone."""
    folder, kept, megabytes = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed must not come between messages
    source = os.fdopen(os.dup(0), "rb")
    _limit_memory(megabytes)
    channel = Channel(source, sink)
    desk = Desk(channel)
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(channel, desk, waiting, kept), daemon=True)
    listener.start()
    bench = _Bench(desk, folder, kept)
    with suppress(BrokenPipeError):  # the server has gone
        while True:
            bench.carry_out(waiting.get())


def _listen(
    channel: Channel, desk: Desk, waiting: queue.SimpleQueue[dict[str, Any]], kept: Path
) -> None:
    """Hand on requests as they come; an end of work is heard at once.

    Once the server has gone, whatever the reason, nothing of this workspace is left behind.
    """
    while True:
        message = channel.receive()
        if message is None:
            if kept.parent.name.startswith(ASIDE):
                shutil.rmtree(kept.parent, ignore_errors=True)
            os._exit(0)
        content, _ = message
        if content.get("kind") == "cancel":
            desk.cancel()
        else:
            waiting.put(content)


class _Bench:
    """Carries out requests one after the other."""

    def __init__(self, desk: Desk, folder: Path, kept: Path) -> None:
        self._desk = desk
        self._folder = folder
        self._kept = kept
        self._case: Case | None = None

    def carry_out(self, content: dict[str, Any]) -> None:
        """Do what is asked for, and tell how it ended."""
        self._desk.begin()
        ticket, message = content.pop("ticket", 0), ""
        try:
            with listening(self._desk.progress):
                self._do(content)
            state = "done"
        except CancelledError:
            state, message = "cancelled", "cancelled"
        except MemoryError:
            state, message = "failed", _NO_MEMORY
        except ChoiceError as error:
            state, message = "failed", _WHICH.format(_MEANT[error.option])
            self._desk.send(
                kind="choose",
                source=content["source"],
                option=error.option,
                what=_MEANT[error.option],
                choices=error.choices,
            )
        except DosegradError as error:
            state, message = "failed", self._without_folder(str(error))
        except Exception:
            _log.exception("work failed")
            state, message = "failed", "that failed by a fault of ours; the log of the server tells"
        self._desk.send(kind="ended", ticket=ticket, state=state, message=message)

    def _without_folder(self, text: str) -> str:
        """A message with paths as they are below the folder."""
        for folder in (self._folder, self._folder.resolve()):
            text = text.replace(f"{folder}{os.sep}", "").replace(str(folder), "the start folder")
        return text

    def _do(self, content: dict[str, Any]) -> None:
        from dosegrad.web.workspace import saving, work

        recover = bool(content.pop("recover", False))
        request = REQUESTS.validate_python(content)
        if isinstance(request, OpenRequest):
            kept = self._kept if recover else None
            if not recover:
                self._kept.unlink(missing_ok=True)
            self._case = work.open_case(request, self._folder, self._desk, kept)
            return
        case = self._case
        if case is None:
            raise PlanError("the case could not be opened again; open it anew.")
        if isinstance(request, SettingsRequest):
            work.settle(case, request.settings, self._desk)
        elif isinstance(request, NavigateRequest):
            work.navigate(case, self._desk, request)
        elif isinstance(request, JobRequest):
            work.carry_out(request, case, self._desk, self._folder)
            if request.job in ("optimise", "front"):
                with suppress(DosegradError):
                    saving.keep_aside(case, self._kept)


def _limit_memory(megabytes: int) -> None:
    """Let this process have so much memory of its own, where the system can limit it."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        limit = megabytes * 1_000_000
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


if __name__ == "__main__":
    main()
