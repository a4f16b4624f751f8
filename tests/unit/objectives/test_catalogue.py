import numpy as np
import pytest

from dosegrad import objectives as obj
from dosegrad import optimise, phantom
from dosegrad.dose import Dose
from dosegrad.errors import PlanError, UnknownNameError
from dosegrad.objectives.mean_tail import mean_tail, soft_mean_tail
from dosegrad.objectives.sparsity import layer_numbers
from dosegrad.objectives.voxel_limits import distance_from
from dosegrad.patient.records import ObjectiveRecord


def even(n):
    return np.full(n, 1.0 / n)


@pytest.fixture(scope="module")
def influence(toy):
    return toy.influence(120)


def test_values_by_hand():
    dose = np.array([10.0, 20.0, 30.0, 40.0])
    cases = {
        obj.UpperMeanTail(25.0, volume=0.5): 10.0**2,
        obj.LowerMeanTail(25.0, volume=0.5): 10.0**2,
        obj.UpperMeanTail(40.0, volume=0.5): 0.0,
        obj.Homogeneity(): 125.0,
        obj.LymanNTCP(td50=25.0, m=0.2, n=1.0): 0.5,
        obj.LogisticNTCP(td50=25.0, gamma50=2.0, a=1.0): 0.5,
        obj.SoftMaximum(30.0, softness=1e-3): 100.0,
        obj.SoftMinimum(30.0, softness=1e-3): 400.0,
    }
    for objective, value in cases.items():
        assert objective.value_and_gradient(dose, even(4))[0] == pytest.approx(value), objective


def test_control_needs_hardly_a_cell_alive():
    objective = obj.TCP(alpha=0.3, beta=0.0, clonogens=1e6)
    dose = np.full(5, 50.0)
    alive = 1e6 * np.exp(-15.0)
    assert objective.value_and_gradient(dose, even(5))[0] == pytest.approx(alive)
    assert objective.probability(dose, even(5)) == pytest.approx(np.exp(-alive))


@pytest.mark.parametrize("coldest", [False, True])
def test_mean_of_a_tail_bounds_the_dose_of_the_part(coldest):
    rng = np.random.default_rng(2)
    dose, share = rng.uniform(10.0, 70.0, 400), even(400)
    value, slope = mean_tail(dose, share, 0.05, coldest=coldest)
    assert slope.sum() == pytest.approx(1.0)
    edge = np.sort(dose)[20] if coldest else np.sort(dose)[-20]
    assert value <= edge if coldest else value >= edge
    soft, share_of_each = soft_mean_tail(dose, share, 0.05, 1.0, coldest=coldest)
    assert share_of_each.sum() == pytest.approx(1.0)
    assert 0.0 <= (value - soft if coldest else soft - value) < 0.5
    # the slope of the soft one is among those over which the tail is the extreme
    assert (share_of_each <= share / 0.05 * (1 + 1e-12)).all()
    step = 1e-5
    direction = rng.standard_normal(400)
    ends = [
        soft_mean_tail(dose + s * step * direction, share, 0.05, 1.0, coldest=coldest)[0]
        for s in (1, -1)
    ]
    assert share_of_each @ direction == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-5)


def test_records_come_and_go():
    for objective in (
        obj.UpperMeanTail(25.0, volume=0.5, weight=3.0),
        obj.SoftMinimum(50.0, softness=1.0),
        obj.TCP(),
        obj.LymanNTCP(td50=50.0, m=0.1, n=0.2),
        obj.DoseFallOff("PTV", 50.0, 20.0, 30.0, weight=2.0),
    ):
        assert obj.from_record(obj.to_record(objective)) == objective
    with pytest.raises(UnknownNameError, match="dose-fall-off"):
        obj.from_record(ObjectiveRecord("dose-falloff"))


def test_settings_out_of_range_say_what_to_give():
    with pytest.raises(PlanError, match="softness 0 Gy"):
        obj.SoftMaximum(10.0, softness=0)
    with pytest.raises(PlanError, match=r"Write 5 % as 0\.05"):
        obj.UpperMeanTail(10.0, volume=5)
    with pytest.raises(PlanError, match="td50 = -1"):
        obj.LymanNTCP(td50=-1, m=0.1, n=0.1)
    with pytest.raises(PlanError, match="clonogens"):
        obj.TCP(clonogens=0)
    with pytest.raises(PlanError, match="positive and finite"):
        obj.TCP(beta=float("inf"))
    with pytest.raises(PlanError, match="positive distance"):
        obj.DoseFallOff("PTV", 50.0, 20.0, 0.0)
    with pytest.raises(PlanError, match="positive weight"):
        obj.SpotSparsity(scale=0.0)
    with pytest.raises(PlanError, match="placed"):
        obj.DoseFallOff("PTV", 50.0, 20.0, 10.0).value_and_gradient(np.ones(2), even(2))


def test_limits_fall_off_with_the_distance_from_the_target():
    patient = phantom("c-shape")
    grid = patient.dose_grid()
    distance = distance_from(patient, "Target", grid)
    voxels = np.flatnonzero(patient.structures["Core"].mask(grid))
    penalty = obj.DoseFallOff("Target", 50.0, 10.0, 20.0).placed(patient, grid, voxels)
    expected = 50.0 - 40.0 * np.minimum(distance.ravel()[voxels] / 20.0, 1.0)
    np.testing.assert_allclose(penalty.limits, expected)
    assert distance.ravel()[voxels].min() > 0
    kept = np.arange(voxels.size) % 2 == 0
    np.testing.assert_array_equal(penalty.keeping(kept).limits, penalty.limits[kept])


def test_limits_from_a_dose_are_those_of_its_voxels():
    patient = phantom("c-shape")
    grid = patient.dose_grid()
    limits = np.arange(grid.n_voxels, dtype=float).reshape(grid.shape) / grid.n_voxels
    voxels = np.array([100, 5000, 70000])
    penalty = obj.VoxelLimit(Dose(grid, limits), side="below").placed(patient, grid, voxels)
    np.testing.assert_allclose(penalty.limits, limits.ravel()[voxels])
    with pytest.raises(UnknownNameError, match="above"):
        obj.VoxelLimit(Dose(grid, limits), side="over")


def test_a_fall_off_shapes_the_dose(influence):
    target = [obj.SquaredDeviation(50.0, weight=100)]
    plain = optimise(influence, {"Target": target}, max_iterations=60)
    goals = {"Target": target, "Body": [obj.DoseFallOff("Target", 40.0, 5.0, 20.0, weight=50)]}
    shaped = optimise(influence, goals, max_iterations=60)
    body = influence.patient.structures["Body"]
    assert shaped.dose.mean(body) < plain.dose.mean(body)


def test_sparsity_leaves_fewer_spots_and_lighter_layers(influence):
    goals = {"Target": [obj.SquaredDeviation(50.0, weight=100)]}
    plain = optimise(influence, goals, max_iterations=100)
    scale = 0.01 * plain.weights.max()
    few = optimise(
        influence,
        goals,
        max_iterations=100,
        initial=plain.weights,
        penalties=[obj.SpotSparsity(scale, weight=20.0)],
    )
    layers = optimise(
        influence,
        goals,
        max_iterations=100,
        initial=plain.weights,
        penalties=[obj.LayerSparsity(scale, weight=200.0)],
    )
    numbers = layer_numbers(influence.beams)
    assert few.n_spots < plain.n_spots
    lightest = [np.bincount(numbers, p.weights).min() for p in (layers, plain)]
    assert lightest[0] < lightest[1]
