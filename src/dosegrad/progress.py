"""Progress of long work, told to whoever listens.

Libraries do not print. A kernel loop or an optimiser says ``report(...)``; a command line or a
notebook that wants to see it says ``with listening(callback): ...``. Nobody listening costs
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

__all__ = ["ProgressListener", "listening", "report"]

#: Called with the name of a stage, the fraction done (0 to 1), and a short remark.
ProgressListener: TypeAlias = Callable[[str, float, str], None]

_listener: ContextVar[ProgressListener | None] = ContextVar("dosegrad_progress", default=None)


def report(stage: str, fraction: float, remark: str = "") -> None:
    """Tell the listener, if there is one, that ``fraction`` of ``stage`` is done."""
    listener = _listener.get()
    if listener is not None:
        listener(stage, min(max(fraction, 0.0), 1.0), remark)


@contextmanager
def listening(listener: ProgressListener) -> Iterator[None]:
    """Within this context ``listener`` hears every report.

    Examples
    --------
    >>> heard = []
    >>> with listening(lambda stage, fraction, remark: heard.append((stage, fraction))):
    ...     report("influence", 0.5)
    >>> heard
    [('influence', 0.5)]
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
