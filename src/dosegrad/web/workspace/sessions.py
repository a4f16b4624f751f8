"""All workspaces of a server, and how many of them there may be."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dosegrad.errors import SettingsError
from dosegrad.web.workspace.processes import memory_for_work
from dosegrad.web.workspace.session import Session

__all__ = ["Sessions"]

#: Workspaces that are kept with all they hold, and jobs that run at a time, over all of them.
MOST_SESSIONS: Final = 6
MOST_JOBS: Final = 2
#: Workspaces besides these of which only the case and its plan are kept, on disk.
MOST_RESTING: Final = 40


class Sessions:
    """All workspaces of a server."""

    def __init__(self, folder: Path, *, megabytes: int | None = None) -> None:
        self._folder = folder
        self._all: dict[str, Session] = {}
        self.megabytes = memory_for_work() if megabytes is None else megabytes

    def get(self, name: str) -> Session | None:
        """The workspace of that name, if there is one."""
        return self._all.get(name)

    def enter(self, name: str) -> tuple[Session, bool]:
        """The workspace of that name, and whether it is new.

        Raises
        ------
        SettingsError
            If there are as many as can be, and all are being looked at.
        """
        found = self._all.get(name)
        if found is None or found.rests:
            self._make_room()
        if found is not None:
            found.wake()
            return found, False
        made = self._all[name] = Session(name, self._folder, self)
        return made, True

    def _make_room(self) -> None:
        """Let the workspace rest that nobody has looked at for longest; none loses its plan."""
        awake = [s for s in self._all.values() if not s.rests]
        if len(awake) >= MOST_SESSIONS:
            idle = [s for s in awake if not s.is_watched and not s.is_busy]
            if not idle:
                raise SettingsError(
                    f"{MOST_SESSIONS} workspaces are open already; close a page that shows one."
                )
            oldest = min(idle, key=lambda s: s.used)
            oldest.rest()
            if not oldest.rests:  # nothing had been opened in it
                self._forget(oldest)
        resting = [s for s in self._all.values() if s.rests and not s.is_watched]
        if len(resting) > MOST_RESTING:
            self._forget(min(resting, key=lambda s: s.used))

    def _forget(self, session: Session) -> None:
        session.end()
        del self._all[session.name]

    def check_jobs(self) -> None:
        """Whether one more job may start.

        Raises
        ------
        SettingsError
            If as many as may run do.
        """
        if sum(s.is_busy for s in self._all.values()) >= MOST_JOBS:
            raise SettingsError(
                f"{MOST_JOBS} other workspaces are at work; wait until one is done."
            )

    def end(self) -> None:
        """End all."""
        for session in self._all.values():
            session.end()
        self._all.clear()
