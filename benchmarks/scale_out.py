"""Objective and gradient of a robust plan on two Dask workers against one process.

``python benchmarks/scale_out.py`` takes the head phantom with nine scenarios, prints the time of
each, and what a round trip without any work costs.
"""

from __future__ import annotations

import time

import numpy as np
from dask.distributed import Client, LocalCluster

from dosegrad import Scenarios, compute_influence, load_machine, phantom, steer
from dosegrad import objectives as obj
from dosegrad.optimisation.problem import Term
from dosegrad.optimisation.robust import Minimax
from dosegrad.optimisation.robust_problem import RobustProblem, form_groups
from dosegrad.optimisation.robust_shards import ShardedProblem

REPEATS = 20


def nothing(shard, item):
    return item


def best_of(function):
    """Least and mean seconds of a call."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times), float(np.mean(times))


def main():
    import numba

    patient = phantom("head")
    margins = {"setup_margin": 3.0, "range_margin_percent": 3.5}
    machine = load_machine("generic-protons")
    beams = steer(patient, machine, target="CTV", gantry=[60, 300], **margins)
    cases = Scenarios.worst_case(setup=3.0, range_percent=3.5)
    rng = np.random.default_rng(0)

    def weights():
        return rng.uniform(0.005, 0.02, beams.n_columns)  # fresh ones: nothing is remembered

    def problem(cluster=None):
        begun = time.perf_counter()
        influence = compute_influence(patient, beams, scenarios=cases, cluster=cluster)
        print(f"{influence.scenarios}: built in {time.perf_counter() - begun:.1f} s", flush=True)
        rows = np.flatnonzero(
            patient.structure("CTV").mask(influence.grid).ravel()[influence.voxels]
        )
        term = Term("CTV", obj.SquaredDeviation(60.0, weight=100), np.arange(rows.size))
        groups = form_groups([term], [Minimax()], [True])
        if cluster is not None:
            return ShardedProblem.of(influence.scenarios, influence.matrix, rows, groups)
        chances = np.asarray(cases.probabilities)
        return RobustProblem(influence.scenarios.maps(influence.matrix, rows), chances, groups)

    here = problem()
    found = {}
    for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
        numba.set_num_threads(threads)
        here.value_and_gradient(weights(), [1e9])
        found[threads] = best_of(lambda: here.value_and_gradient(weights(), [1e9]))
        print(f"one process, {threads} threads: {1e3 * found[threads][0]:.1f} ms at best")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        there = problem(client)
        at = weights()
        assert there.value_and_gradient(at, [1e9])[0] == here.value_and_gradient(at, [1e9])[0]
        least, mean = best_of(lambda: there.value_and_gradient(weights(), [1e9]))
        own = dict.fromkeys(range(len(there.shards)))
        trip, _ = best_of(lambda: there.shards.begin(nothing, own)())  # noqa: PLW0108 - begins anew
    print(f"two workers of one thread: {1e3 * least:.1f} ms at best, {1e3 * mean:.1f} on average")
    print(f"round trip without work: {1e3 * trip:.1f} ms; an evaluation takes two")
    for threads, (one, _) in found.items():
        print(
            f"two workers are {one / least:.2f} times as fast as one process of {threads} threads"
        )


if __name__ == "__main__":
    main()
