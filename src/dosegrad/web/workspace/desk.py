"""What work says while it goes on, and how it hears that it should end."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from dosegrad.web.workspace.channel import Channel
from dosegrad.web.workspace.volumes import Packed

__all__ = ["CancelledError", "Desk"]

#: Time between two words on progress, s.
_PAUSE: Final = 0.08


class CancelledError(Exception):
    """The user has ended the work."""


class Desk:
    """The work process's side of the conversation with the page."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._cancelled = threading.Event()
        self._told = 0.0
        self._stage = ""

    def cancel(self) -> None:
        """Let the work end at the next occasion."""
        self._cancelled.set()

    def begin(self) -> None:
        """Forget that earlier work was to end."""
        self._cancelled.clear()
        self._stage = ""

    def check(self) -> None:
        """End here if that was asked for."""
        if self._cancelled.is_set():
            raise CancelledError

    def progress(self, stage: str, fraction: float, remark: str = "") -> None:
        """How far a stage is; to be given to :func:`dosegrad.progress.listening`."""
        self.check()
        now = time.monotonic()
        if stage == self._stage and fraction < 1 and now - self._told < _PAUSE:
            return
        self._told, self._stage = now, stage
        self.send(kind="progress", stage=stage, fraction=round(fraction, 4), remark=remark)

    def log(self, text: str) -> None:
        """A line of the log."""
        self.send(kind="log", text=text)

    def state(self, **parts: Any) -> None:
        """Parts of the page's state, each replaced as a whole."""
        self.send(kind="state", parts=parts)

    def show(self, name: str, packed: Packed) -> None:
        """A volume that the page may fetch."""
        self._channel.send({"kind": "volume", "name": name, "header": packed.header}, packed.data)

    def drop(self, *names: str) -> None:
        """Volumes that no longer belong to what is shown."""
        self.send(kind="drop", names=names)

    def send(self, **content: Any) -> None:
        """Any message."""
        self._channel.send(content)
