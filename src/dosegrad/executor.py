"""Where tasks run, and where what they make is kept: here, one after the other, or on a cluster.

Work that can be spread is written against two small protocols. :class:`Serial` runs it in this
process; the executor of :mod:`dosegrad.cluster` runs the same functions on Dask workers. Functions
and arguments must be such that :mod:`pickle` can send them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from dosegrad.errors import CapabilityError, SettingsError
from dosegrad.progress import report
from dosegrad.registry import EXECUTORS, load_object

__all__ = ["Executor", "Serial", "Shards", "resolve_executor"]


class Shards(Protocol):
    """Values that stay where they were made; only results of functions of them travel."""

    def __len__(self) -> int:
        """Number of shards."""
        ...

    def derive(self, function: Callable[..., Any], *shared: Any) -> Shards:
        """Shards ``function(shard, *shared)``, each kept where its source is."""
        ...

    def join(self, function: Callable[..., Any], members: Sequence[Sequence[int]]) -> Shards:
        """Shards ``function([shard, ...])`` of the ``members``, numbers of shards."""
        ...

    def begin(
        self, function: Callable[..., Any], own: Mapping[int, Any], *shared: Any
    ) -> Callable[[], list[Any]]:
        """Start ``function(shard, argument, *shared)`` for shards by number and own argument.

        What is returned waits for the results, in the order of ``own``, and gives them.
        """
        ...


@runtime_checkable
class Executor(Protocol):
    """Runs tasks."""

    def map(
        self, function: Callable[..., Any], items: Sequence[Any], *shared: Any, stage: str = ""
    ) -> list[Any]:
        """Results ``function(item, *shared)``, in the order of ``items``.

        Each is a task of its own; ``shared`` is sent once. Progress is reported as ``stage``.
        """
        ...

    def each(self, function: Callable[..., Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Number and result ``function(item)`` of every item, as they come.

        ``items`` are taken only a few at a time. An error of a task is given as its result.
        """
        ...

    def hold(self, function: Callable[..., Any], items: Sequence[Any], *shared: Any) -> Shards:
        """Shards ``function(item, *shared)``, kept where they are made.

        A shard that is lost with its keeper is made again from the same arguments.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Here:
    """Shards in this process."""

    values: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.values)

    def derive(self, function: Callable[..., Any], *shared: Any) -> _Here:
        return _Here(tuple(function(value, *shared) for value in self.values))

    def join(self, function: Callable[..., Any], members: Sequence[Sequence[int]]) -> _Here:
        return _Here(tuple(function([self.values[k] for k in group]) for group in members))

    def begin(
        self, function: Callable[..., Any], own: Mapping[int, Any], *shared: Any
    ) -> Callable[[], list[Any]]:
        return lambda: [function(self.values[k], item, *shared) for k, item in own.items()]


@dataclass(frozen=True, slots=True)
class Serial:
    """Runs tasks in this process, one after the other.

    Examples
    --------
    >>> Serial().map(pow, [2, 3], 2)
    [4, 9]
    >>> Serial().hold(str, [7]).begin(lambda shard, mark: shard + mark, {0: "!"})()
    ['7!']
    """

    def map(
        self, function: Callable[..., Any], items: Sequence[Any], *shared: Any, stage: str = ""
    ) -> list[Any]:
        """Results ``function(item, *shared)``, in the order of ``items``."""
        found = []
        for number, item in enumerate(items):
            if stage:
                report(stage, number / len(items))
            found.append(function(item, *shared))
        return found

    def each(self, function: Callable[..., Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Number and result ``function(item)`` of every item, or the error that it raised."""
        for number, item in enumerate(items):
            try:
                yield number, function(item)
            except Exception as error:
                yield number, error

    def hold(self, function: Callable[..., Any], items: Sequence[Any], *shared: Any) -> Shards:
        """Shards ``function(item, *shared)`` in this process."""
        return _Here(tuple(function(item, *shared) for item in items))


_HERE: Final = Serial()


def resolve_executor(cluster: object | None) -> Executor:
    """Where tasks run for an option ``cluster=``.

    Parameters
    ----------
    cluster
        ``None`` for this process; an executor; a Dask client, or the address of a Dask scheduler
        such as ``"tcp://10.0.0.5:8786"``.

    Raises
    ------
    CapabilityError
        If Dask is not installed.
    SettingsError
        If it is something else, or nobody answers at the address.
    """
    if cluster is None:
        return _HERE
    if isinstance(cluster, type):
        raise SettingsError(f"cluster {cluster!r} is a class; give an object of it.")
    if isinstance(cluster, Executor):
        return cluster
    try:
        connect = load_object("executor", EXECUTORS, "dask")
    except ImportError as error:
        raise CapabilityError(
            f"work cannot be sent to a cluster: {error}. Install the Dask part with "
            "pip install 'dosegrad[dask]', or leave out cluster=."
        ) from error
    made: Executor = connect(cluster)
    return made
