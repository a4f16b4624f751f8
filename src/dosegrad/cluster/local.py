"""A cluster on this computer, for as long as it is wanted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import distributed

from dosegrad.cluster.dask_executor import DaskExecutor
from dosegrad.errors import SettingsError

__all__ = ["local_workers"]


@contextmanager
def local_workers(n: int) -> Iterator[DaskExecutor]:
    """An executor on ``n`` fresh processes of this computer, which share its processors.

    Raises
    ------
    SettingsError
        If ``n`` is below 1.
    """
    if n < 1:
        raise SettingsError(f"{n} workers cannot work; ask for 1 or more.")
    threads = max(1, (os.cpu_count() or 1) // n)
    with (
        distributed.LocalCluster(
            n_workers=n, threads_per_worker=threads, dashboard_address=":0", silence_logs=40
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield DaskExecutor(client)
