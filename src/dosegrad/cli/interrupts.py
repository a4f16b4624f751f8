"""Ctrl-C that no code on the way can lose."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["keeping_interrupts"]


@contextmanager
def keeping_interrupts() -> Iterator[Callable[[], None]]:
    """While this lasts, Ctrl-C is remembered; at the end, and by the call given, it is raised.

    The exception of Ctrl-C is lost where it arises in code that cannot pass it on: a callback of
    compiled code, a finaliser. Outside the main thread nothing is remembered.
    """
    pressed = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.default_int_handler(number, frame)

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield check
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield check
        check()
    finally:
        signal.signal(signal.SIGINT, before)
