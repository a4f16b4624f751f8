"""Tasks on the workers of a Dask cluster, and shards in their memory.

Every shard is the result of a task whose arguments the scheduler keeps. If a worker is lost, Dask
runs these tasks again elsewhere, and the shards are what they were: nothing here is random, and
no sum depends on where it is made. What a step asks of the shards of one worker goes out as one
task, so that a step costs few messages.

A worker runs one task at a time, on as many threads as Dask gave the worker: kernels are parallel
themselves, and Numba's plainest threads may not be started twice at once.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import cloudpickle
import dask
import distributed

from dosegrad.errors import PlanError, SettingsError
from dosegrad.executor import Shards
from dosegrad.progress import report

__all__ = ["DaskExecutor", "DaskShards", "connect"]

#: Seconds to wait for a scheduler to answer.
_PATIENCE: Final = 20
#: Seconds after which it is asked again where shards are.
_LOOK_EVERY: Final = 5.0
#: Tasks for each worker that are sent out before the first of them has ended.
_AHEAD: Final = 2
_ONE_AT_A_TIME: Final = threading.Lock()


def connect(cluster: Any) -> DaskExecutor:
    """Executor on a Dask client, or on the scheduler at an address.

    Raises
    ------
    SettingsError
        If it is neither, or nobody answers.
    """
    if isinstance(cluster, distributed.Client):
        if cluster.status != "running":
            raise SettingsError(
                f"the Dask client given as cluster is {cluster.status}; connect a new one to the "
                "scheduler, and keep it open while it is used."
            )
        return DaskExecutor(cluster)
    if not isinstance(cluster, str):
        raise SettingsError(
            f"cluster {cluster!r} is neither a Dask client nor the address of a scheduler; give "
            'one of these, such as "tcp://10.0.0.5:8786".'
        )
    _wait_for_answer(cluster)
    try:
        return DaskExecutor(distributed.Client(cluster, timeout=_PATIENCE, set_as_default=False))
    except (OSError, ValueError) as error:
        raise _no_answer(cluster, error) from error


def _wait_for_answer(address: str) -> None:
    """Wait until something listens at an address; Dask itself would log what fails meanwhile."""
    try:
        scheme, host, port = re.fullmatch(r"(?:(\w+)://)?(.+?)(?::(\d+))?/*", address).groups()  # type: ignore[union-attr]
    except AttributeError as error:
        raise _no_answer(address, "it is no address") from error
    if scheme not in (None, "tcp", "tls"):
        return  # another protocol, which Dask knows or refuses at once
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection((host, int(port or 8786)), timeout=_PATIENCE).close()
            return
        except socket.gaierror as error:  # no such name: waiting does not help
            raise _no_answer(address, error) from error
        except (OSError, OverflowError) as error:
            if time.monotonic() > until:
                raise _no_answer(address, error) from error
            time.sleep(0.2)


def _no_answer(address: str, reason: object) -> SettingsError:
    return SettingsError(
        f"no Dask scheduler answers at {address!r} ({reason}); start one with 'dask scheduler' and "
        'give the address that it prints, such as "tcp://10.0.0.5:8786".'
    )


@dataclass(frozen=True, slots=True, eq=False)
class DaskExecutor:
    """Runs tasks on the workers that a Dask client knows.

    Parameters
    ----------
    client
        A ``distributed.Client``.
    """

    client: Any

    def __repr__(self) -> str:
        return f"DaskExecutor({self.client.scheduler.address})"

    def map(
        self, function: Callable[..., Any], items: Sequence[Any], *shared: Any, stage: str = ""
    ) -> list[Any]:
        """Results ``function(item, *shared)``, in the order of ``items``, each a task."""
        futures = self._submit(function, items, shared)
        for number, _ in enumerate(_ended(self.client, futures), 1):
            if stage:
                report(stage, number / len(futures))
        found: list[Any] = _gathered(self.client, futures)
        return found

    def each(self, function: Callable[..., Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Number and result ``function(item)`` of every item, as they come, or its error."""
        waiting = enumerate(items)
        numbers: dict[Any, int] = {}
        running = _ended(self.client, [])

        def start() -> None:
            for number, item in itertools.islice(waiting, 1):
                with _large_tasks():
                    future = self.client.submit(_make, function, _pack(item), (), pure=False)
                numbers[future.key] = number
                running.add(future)

        for _ in range(_AHEAD * max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))):
            start()
        for future in running:
            error = _error_of(future)
            yield numbers[future.key], future.result() if error is None else error
            start()

    def hold(self, function: Callable[..., Any], items: Sequence[Any], *shared: Any) -> Shards:
        """Shards ``function(item, *shared)`` in the workers' memory; does not wait for them."""
        return DaskShards(self.client, tuple(self._submit(function, items, shared)))

    def _submit(
        self, function: Callable[..., Any], items: Sequence[Any], shared: tuple[Any, ...]
    ) -> list[Any]:
        if not items:
            return []
        with _large_tasks():
            packed = self.client.submit(_unpack, _pack(shared), pure=False)
            return [
                self.client.submit(_make, function, _pack(item), packed, pure=False)
                for item in items
            ]


@dataclass(slots=True, eq=False)
class DaskShards:
    """Shards in the memory of Dask workers.

    Parameters
    ----------
    client
        A ``distributed.Client``.
    futures
        Of the shards.
    """

    client: Any
    futures: tuple[Any, ...]
    places: dict[str, str] = field(default_factory=dict)
    looked: float = -1e9

    def __len__(self) -> int:
        return len(self.futures)

    def derive(self, function: Callable[..., Any], *shared: Any) -> DaskShards:
        """Shards ``function(shard, *shared)``, each where its source is."""
        with _large_tasks():
            packed = self.client.submit(_unpack, _pack(shared), pure=False)
            made = [
                self.client.submit(_derive, function, one, packed, pure=False)
                for one in self.futures
            ]
        return DaskShards(self.client, tuple(made))

    def join(self, function: Callable[..., Any], members: Sequence[Sequence[int]]) -> DaskShards:
        """Shards ``function([shard, ...])`` of the ``members``, numbers of shards."""
        groups = [[self.futures[k] for k in group] for group in members]
        made = [self.client.submit(_join, function, group, pure=False) for group in groups]
        return DaskShards(self.client, tuple(made))

    def begin(
        self, function: Callable[..., Any], own: Mapping[int, Any], *shared: Any
    ) -> Callable[[], list[Any]]:
        """Start ``function(shard, argument, *shared)``: one task for each worker that has some."""
        numbers = list(own)
        by_worker: dict[str, list[int]] = {}
        for k in numbers:
            by_worker.setdefault(self._place(k), []).append(k)
        groups = list(by_worker.values())
        with _large_tasks():
            futures = [
                self.client.submit(
                    _ask,
                    *(function, [self.futures[k] for k in group]),
                    _pack(([own[k] for k in group], shared)),
                    pure=False,
                    workers=[place] if place else None,
                    allow_other_workers=bool(place),
                )
                for place, group in by_worker.items()
            ]

        def wait() -> list[Any]:
            found = dict(
                zip(
                    (k for group in groups for k in group),
                    (value for part in _gathered(self.client, futures) for value in part),
                    strict=True,
                )
            )
            return [found[k] for k in numbers]

        return wait

    def _place(self, number: int) -> str:
        """Address of the worker that has a shard; empty if that is not known."""
        now = time.monotonic()
        if now - self.looked > _LOOK_EVERY:
            list(_ended(self.client, self.futures))
            known = self.client.who_has(self.futures)
            self.places = {key: min(held) for key, held in known.items() if held}
            self.looked = now
        return self.places.get(self.futures[number].key, "")


def _error_of(future: Any) -> Exception | None:
    """Why a task that has ended gave no result; ``None`` if it gave one."""
    try:
        error: Exception | None = future.exception()
    except distributed.CancelledError as lost:
        return PlanError(
            f"the connection to the cluster was lost ({lost}); see whether its scheduler still "
            "runs, then start the work again."
        )
    return _killed(error) if isinstance(error, distributed.KilledWorker) else error


def _killed(error: Exception) -> PlanError:
    return PlanError(
        f"the cluster lost workers on the same task until it gave up ({error}); they most likely "
        "ran out of memory. Start workers with more of it, or use more of them."
    )


def _ended(client: Any, futures: Sequence[Any]) -> Any:
    """Futures one by one, each when it has ended."""
    return distributed.as_completed(futures, loop=client.loop)


def _gathered(client: Any, futures: list[Any]) -> list[Any]:
    """Results of all futures.

    Raises
    ------
    PlanError
        If workers were lost again and again.
    """
    try:
        found: list[Any] = client.gather(futures)
    except distributed.KilledWorker as error:
        raise _killed(error) from error
    return found


def _pack(values: Any) -> bytes:
    """Values as bytes; classes of a script, which workers cannot import, travel along."""
    packed: bytes = cloudpickle.dumps(values, protocol=5)
    return packed


def _unpack(packed: bytes) -> Any:
    return pickle.loads(packed)


def _make(function: Callable[..., Any], item: bytes, shared: tuple[Any, ...]) -> Any:
    with _own_threads():
        return function(_unpack(item), *shared)


def _derive(function: Callable[..., Any], shard: Any, shared: tuple[Any, ...]) -> Any:
    with _own_threads():
        return function(shard, *shared)


def _join(function: Callable[..., Any], shards: list[Any]) -> Any:
    with _own_threads():
        return function(shards)


def _ask(function: Callable[..., Any], shards: list[Any], packed: bytes) -> list[Any]:
    own, shared = _unpack(packed)
    with _own_threads():
        return [function(shard, item, *shared) for shard, item in zip(shards, own, strict=True)]


@contextlib.contextmanager
def _own_threads() -> Iterator[None]:
    """Context in which this process runs no other task, and kernels use the worker's threads."""
    import numba

    with _ONE_AT_A_TIME:
        allowed = int(distributed.get_worker().state.nthreads)
        numba.set_num_threads(max(1, min(allowed, int(numba.config.NUMBA_NUM_THREADS))))
        yield


def _large_tasks() -> Any:
    """Context in which Dask does not warn that a task's arguments are large: some are."""
    return dask.config.set({"distributed.admin.large-graph-warning-threshold": "4 GiB"})
