"""CPU seconds, wall seconds and growth of resident memory of one call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True)
class Cost:
    """What a call cost."""

    cpu_s: float
    wall_s: float
    growth_mb: float


def measure(function: Callable[[], Any]) -> tuple[Any, Cost]:
    """Result of ``function`` and what it cost; memory is sampled every 2 ms."""
    process = psutil.Process()
    before = process.memory_info().rss
    highest = before
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.002):
            highest = max(highest, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    cpu, wall = time.process_time(), time.perf_counter()
    result = function()
    cost = time.process_time() - cpu, time.perf_counter() - wall
    done.set()
    watcher.join()
    highest = max(highest, process.memory_info().rss)
    return result, Cost(*cost, (highest - before) / 1e6)


def highest_memory() -> float:
    """Highest resident memory of this process so far, MB (Linux)."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) * 1.024e-3
