"""Starting, hearing and ending a work process, from the server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from dosegrad.web.workspace.channel import Channel

__all__ = ["ASIDE", "WorkProcess", "memory_for_work"]

#: How the names of folders begin in which workspaces keep plans aside.
ASIDE: Final = "dosegrad-workspace-"

#: Share of the machine's memory that one work process may take.
_SHARE: Final = 0.6
_UNKNOWN: Final = 8000


def memory_for_work() -> int:
    """Megabytes that one work process may take."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN
    return int(_SHARE * total / 1e6)


class WorkProcess:
    """A process with one case.

    Parameters
    ----------
    folder
        Below which it may open and save files.
    kept
        Where it keeps the last plan aside.
    hear
        Called in a thread of its own with each message and its bytes.
    gone
        Called there once the process has ended.
    megabytes
        Memory that it may take.
    """

    def __init__(
        self,
        folder: Path,
        kept: Path,
        *,
        hear: Callable[[dict[str, Any], bytes], None],
        gone: Callable[[WorkProcess], None],
        megabytes: int,
    ) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dosegrad.web.workspace.worker"),
                *(str(folder), str(kept), str(megabytes)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._channel = Channel(self._process.stdout, self._process.stdin)
        self._hear = hear
        self._gone = gone
        threading.Thread(target=self._listen, name="workspace", daemon=True).start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def send(self, content: dict[str, Any]) -> None:
        """Hand over a request; one that has ended hears nothing."""
        with suppress(OSError, ValueError):
            self._channel.send(content)

    def kill(self) -> None:
        """End it at once."""
        with suppress(OSError):
            self._process.kill()

    def _listen(self) -> None:
        with suppress(OSError, ValueError):
            while (message := self._channel.receive()) is not None:
                self._hear(*message)
        self.kill()
        self._process.wait()
        self._gone(self)
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()
