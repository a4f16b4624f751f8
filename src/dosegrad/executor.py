"""Where tasks run: here and now by default, on a cluster where one is handed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

__all__ = ["Executor", "SerialExecutor"]

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Runs independent tasks and gives their results back in order."""

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """Results of ``function`` for each task, in the order of ``tasks``."""
        ...


class SerialExecutor:
    """Runs tasks one after another in this process; kernels use all threads by themselves."""

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """Results of ``function`` for each task, in the order of ``tasks``."""
        return map(function, tasks)
