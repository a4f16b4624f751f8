"""Tasks and shards on Dask workers do what they do in one process."""

import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest

from dosegrad import Scenarios, compute_influence, optimise, steer
from dosegrad import objectives as obj
from dosegrad.errors import PlanError, SettingsError
from dosegrad.executor import Executor, Serial, resolve_executor
from dosegrad.progress import listening

distributed = pytest.importorskip("distributed")

GOALS = {
    "Target": [obj.SquaredDeviation(50.0, weight=100), obj.MinDVH(dose=45.0, volume=0.9)],
    "Body": [obj.MeanDose(weight=1)],
}


@pytest.fixture(scope="module")
def client():
    """Two workers in threads of this process."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as one,
    ):
        yield one


@pytest.fixture(scope="module")
def beams(toy_machine, water_box):
    return steer(water_box, toy_machine, target="Target", gantry=[0, 90], spot_spacing=8.0)


def influence(water_box, beams, cluster=None, **options):
    cases = Scenarios.worst_case(setup=(3.0, 0.0, 0.0), range_percent=3.5)
    return compute_influence(water_box, beams, scenarios=cases, cluster=cluster, **options)


@pytest.fixture(scope="module")
def both(client, water_box, beams):
    """The same influence here, and with scenarios on the workers."""
    return [influence(water_box, beams, cluster) for cluster in (None, client)]


def scale(shard, factor, power):
    return (shard * factor) ** power


def test_executors_run_functions_alike(client):
    for executor in (Serial(), resolve_executor(client)):
        assert isinstance(executor, Executor)
        assert executor.map(pow, [2, 3], 2) == [4, 9]
        assert executor.map(pow, [], 2) == []
        shards = executor.hold(pow, [2, 3, 4], 2)
        assert len(shards) == 3
        assert shards.begin(scale, {2: 10, 0: 1}, 2)() == [160**2, 16]
        assert shards.derive(scale, 2, 1).begin(scale, {1: 1}, 1)() == [18]
        assert shards.join(sum, [[0, 2], [1]]).begin(scale, {0: 1, 1: 1}, 1)() == [20, 9]


def test_progress_of_tasks_is_told(client):
    heard = []
    with listening(lambda *report: heard.append(report)):
        resolve_executor(client).map(pow, [1, 2], 2, stage="squares")
    assert heard[-1][:2] == ("squares", 1.0)


def test_errors_of_tasks_come_back(client):
    with pytest.raises(ZeroDivisionError):
        resolve_executor(client).map(divmod, [1], 0)


def test_what_is_no_cluster_is_told():
    with pytest.raises(SettingsError, match="neither a Dask client nor the address"):
        resolve_executor(3)
    with pytest.raises(SettingsError, match="is a class"):
        resolve_executor(Serial)


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch):
    monkeypatch.setattr("dosegrad.cluster.dask_executor._PATIENCE", 0.5)
    with pytest.raises(SettingsError, match="no Dask scheduler answers"):
        resolve_executor("tcp://127.0.0.1:9")


@pytest.mark.parametrize("address", ["no such host", "tcp://no-such-host.invalid:8786", ""])
def test_an_address_that_nobody_has_is_told_at_once(address, caplog):
    start = time.monotonic()
    with pytest.raises(SettingsError, match="no Dask scheduler answers"):
        resolve_executor(address)
    assert time.monotonic() - start < 10.0
    assert not caplog.records


def test_a_closed_client_is_told():
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        one = distributed.Client(cluster, set_as_default=False)
        one.close()
        with pytest.raises(SettingsError, match="client given as cluster is closed"):
            resolve_executor(one)


def test_a_task_whose_workers_were_killed_stops_no_other(client):
    def killing(item):
        if item == 1:
            raise distributed.KilledWorker("a task", SimpleNamespace(address="tcp://a:1"), 3)
        return item

    found = dict(resolve_executor(client).each(killing, [0, 1, 2]))
    assert (found[0], found[2]) == (0, 2)
    assert isinstance(found[1], PlanError)
    assert "more of them" in str(found[1])


def test_beams_computed_by_tasks_are_those_of_one_process(client, water_box, beams):
    options = {"quantities": ("dose", "let_dose")}
    here = compute_influence(water_box, beams, **options)
    there = compute_influence(water_box, beams, cluster=client, **options)
    for name in here.quantities:
        assert (here.quantity(name) != there.quantity(name)).nnz == 0


@pytest.mark.parametrize("how", ["expected", "minimax", "objective-wise", "voxel-wise", "cvar"])
def test_a_robust_plan_is_that_of_one_process(both, how):
    plans = [optimise(one, GOALS, robust=how, max_iterations=12) for one in both]
    np.testing.assert_array_equal(plans[0].weights, plans[1].weights)
    assert plans[0].objective == plans[1].objective
    assert plans[0].history == plans[1].history
    for here, there in zip(plans[0].scenario_doses, plans[1].scenario_doses, strict=True):
        np.testing.assert_array_equal(here.array, there.array)


def test_ways_may_differ_between_objectives(both):
    goals = {
        "Target": [
            obj.SquaredDeviation(50.0, weight=100).robust("minimax"),
            obj.SquaredUnderdose(48.0, weight=20).robust("voxel-wise"),
            obj.SquaredOverdose(55.0, weight=5).robust("expected"),
        ]
    }
    plans = [optimise(one, goals, max_iterations=12) for one in both]
    assert plans[1].objective == pytest.approx(plans[0].objective, rel=1e-9)


def test_shards_tell_their_size_and_lack_of_rows(client, water_box, beams):
    held = influence(water_box, beams, client, robust_structures=["Target"]).scenarios
    here = influence(water_box, beams, robust_structures=["Target"]).scenarios
    assert (held.nnz, held.n_bytes) == (here.nnz, here.n_bytes)
    assert "DaskExecutor" in repr(held)
    np.testing.assert_array_equal(held.rows, here.rows)
    weights = np.ones(beams.n_columns)
    np.testing.assert_array_equal(held.forward(4, weights), here.forward(4, weights))
    with pytest.raises(PlanError, match="robust_structures"):
        held.places(np.array([0, 1]))


@pytest.mark.slow
def test_a_lost_worker_changes_nothing_but_time(water_box, beams):
    expected = optimise(influence(water_box, beams), GOALS, robust="minimax", max_iterations=40)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as one,
    ):
        spread = influence(water_box, beams, one)
        processes = one.run(os.getpid)
        told = []

        def kill(stage, fraction, remark):
            told.append(remark)
            if remark.startswith("iteration 8,"):
                os.kill(next(iter(processes.values())), signal.SIGKILL)
                time.sleep(0.5)

        with listening(kill):
            plan = optimise(spread, GOALS, robust="minimax", max_iterations=40)
        assert any(remark.startswith("iteration 8,") for remark in told)
        assert set(one.run(os.getpid).values()) != set(processes.values())
    np.testing.assert_array_equal(plan.weights, expected.weights)
    assert plan.objective == expected.objective
