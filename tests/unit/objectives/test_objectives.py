import numpy as np
import pytest

from dosegrad import objectives as obj
from dosegrad.errors import PlanError, UnknownNameError
from dosegrad.objectives.equivalent_uniform_dose import equivalent_uniform_dose
from dosegrad.objectives.records import KINDS
from dosegrad.objectives.smoothness import NeighbourPenalty, neighbour_pairs
from dosegrad.patient.records import ObjectiveRecord


def even(n):
    return np.full(n, 1.0 / n)


def test_values_by_hand():
    dose = np.array([40.0, 50.0, 62.0, 70.0])
    cases = {
        obj.SquaredDeviation(60.0): (400 + 100 + 4 + 100) / 4,
        obj.SquaredOverdose(60.0): (4 + 100) / 4,
        obj.SquaredUnderdose(60.0): (400 + 100) / 4,
        obj.MeanDose(): 55.5,
        obj.MeanDose(60.0): 4.5,
        obj.SquaredMeanDeviation(60.0): 4.5**2,
        obj.MaxDVH(dose=45.0, volume=0.5): (5**2 + 17**2) / 4,
        obj.MinDVH(dose=60.0, volume=0.75): 10**2 / 4,
        obj.EUD(50.0, a=1): 5.5**2,
        obj.EUD(60.0, a=1, side="above"): 0.0,
    }
    for objective, value in cases.items():
        assert objective.value_and_gradient(dose, even(4))[0] == pytest.approx(value), objective


def test_dvh_penalties_end_where_the_point_is_met():
    dose = np.linspace(10.0, 60.0, 11)
    assert obj.MaxDVH(dose=50.0, volume=0.30).value_and_gradient(dose, even(11))[0] == 0.0
    assert obj.MaxDVH(dose=50.0, volume=0.10).value_and_gradient(dose, even(11))[0] > 0.0
    assert obj.MinDVH(dose=20.0, volume=0.80).value_and_gradient(dose, even(11))[0] == 0.0


def test_a_dvh_penalty_counts_the_voxel_at_the_edge_as_matrad_does():
    """One voxel in four may be hot, and one is: met, yet that one is asked for."""
    dose = np.array([10.0, 20.0, 20.0, 40.0])
    assert obj.MaxDVH(25.0, 0.25).value_and_gradient(dose, even(4))[0] == pytest.approx(15**2 / 4)
    assert obj.MaxDVH(25.0, 0.26).value_and_gradient(dose, even(4))[0] == 0.0


def test_shares_weigh_voxels():
    share = np.array([0.7, 0.2, 0.1])
    dose = np.array([1.0, 2.0, 3.0])
    assert obj.MeanDose().value_and_gradient(dose, share)[0] == pytest.approx(1.4)
    assert obj.SquaredDeviation(0.0).value_and_gradient(dose, share)[0] == pytest.approx(2.4)
    assert equivalent_uniform_dose(dose, share, 2.0)[0] == pytest.approx(np.sqrt(2.4))


def test_leaving_idle_voxels_out_changes_nothing():
    rng = np.random.default_rng(5)
    dose, share = rng.uniform(0, 80, 60), even(60)
    for objective in (obj.SquaredOverdose(50.0), obj.MaxDVH(dose=50.0, volume=0.1)):
        hot = dose > objective.idle_below
        value, slope = objective.value_and_gradient(dose, share)
        part, part_slope = objective.value_and_gradient(dose[hot], share[hot])
        assert part == pytest.approx(value, rel=1e-14)
        np.testing.assert_allclose(part_slope, slope[hot])
        assert not slope[~hot].any()


def test_means_alone_tell_mean_objectives():
    dose = np.array([10.0, 30.0])
    for objective in (obj.MeanDose(5.0), obj.MeanDose(25.0), obj.SquaredMeanDeviation(5.0)):
        value, slope = objective.of_mean(20.0)
        assert objective.value_and_gradient(dose, even(2))[0] == value
        np.testing.assert_allclose(objective.value_and_gradient(dose, even(2))[1], slope / 2)


@pytest.mark.parametrize("a", [-40.0, -1.0, 0.5, 1.0, 8.0, 300.0])
def test_eud_of_a_uniform_dose_and_of_extremes(a):
    uniform = np.full(5, 37.0)
    value, slope = equivalent_uniform_dose(uniform, even(5), a)
    assert value == pytest.approx(37.0)
    np.testing.assert_allclose(slope, 0.2)
    for dose in (np.zeros(5), np.array([0.0, 0.0, 0.0, 0.0, 80.0]), np.full(5, 1e6)):
        value, slope = equivalent_uniform_dose(dose, even(5), a)
        assert np.isfinite(value)
        assert np.isfinite(slope).all()
        assert dose.min() - 1e-5 <= value <= dose.max() + 1e-5


def test_large_exponents_come_near_the_maximum():
    dose = np.array([10.0, 20.0, 55.0])
    assert equivalent_uniform_dose(dose, even(3), 200.0)[0] == pytest.approx(55.0, rel=0.01)
    assert equivalent_uniform_dose(dose, even(3), -200.0)[0] == pytest.approx(10.0, rel=0.01)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: obj.SquaredDeviation(-1.0), "dose -1.0 Gy"),
        (lambda: obj.SquaredOverdose(float("nan")), "dose nan Gy"),
        (lambda: obj.MeanDose(weight=-2.0), "weight -2.0"),
        (lambda: obj.SquaredUnderdose(5.0, weight=float("inf")), "weight inf"),
        (lambda: obj.MaxDVH(dose=50.0, volume=30.0), "Write 30 % as 0.30"),
        (lambda: obj.SquaredDeviation("50"), "needs one number"),
        (lambda: obj.SquaredDeviation(np.full(3, 50.0)), "VoxelLimit"),
        (lambda: obj.MeanDose(weight="much"), "needs one number"),
        (lambda: obj.EUD(10.0, a=0.0), "exponent a = 0.0"),
        (lambda: obj.SpotSmoothness(weight=-1.0), "weight -1.0"),
    ],
)
def test_settings_out_of_range(make, text):
    with pytest.raises(PlanError, match=text.replace("(", r"\(")):
        make()


def test_side_is_a_name():
    with pytest.raises(UnknownNameError, match="Did you mean 'above'"):
        obj.EUD(10.0, a=8.0, side="abov")


def test_records_there_and_back():
    for cls in KINDS.values():
        settings = {"dose": 50.0, "volume": 0.3, "a": 8.0, "td50": 40.0, "m": 0.2, "n": 0.5}
        settings |= {"gamma50": 2.0, "target": "PTV", "start": 50.0, "end": 20.0, "distance": 30.0}
        names = cls.__dataclass_fields__
        record = ObjectiveRecord(cls.kind, 3.0, {k: v for k, v in settings.items() if k in names})
        objective = obj.from_record(record)
        assert isinstance(objective, cls)
        assert objective.weight == 3.0
        assert obj.from_record(obj.to_record(objective)) == objective


def test_records_that_cannot_be_read():
    with pytest.raises(UnknownNameError, match="Did you mean 'mean-dose'"):
        obj.from_record(ObjectiveRecord("mean-doze"))
    with pytest.raises(UnknownNameError, match="no setting of objective 'eud' 'exponent'"):
        obj.from_record(ObjectiveRecord("eud", 1.0, {"dose": 1.0, "exponent": 8.0}))
    with pytest.raises(PlanError, match="Add volume"):
        obj.from_record(ObjectiveRecord("max-dvh", 1.0, {"dose": 1.0}))


def test_objectives_know_their_structure():
    wish = obj.SquaredDeviation(50.0, weight=100).on("PTV")
    assert wish.structure == "PTV"
    assert repr(wish) == "SquaredDeviation(dose=50.0, weight=100).on('PTV')"


def test_neighbours_on_square_lattice(toy):
    found = toy.beams(18, 2)  # 3 x 3 spots a beam, one energy
    pairs = neighbour_pairs(found)
    assert len(pairs) == 2 * 12
    assert (found.columns["beam"][pairs[:, 0]] == found.columns["beam"][pairs[:, 1]]).all()


def test_smoothness_by_hand():
    penalty = NeighbourPenalty(np.array([[0, 1], [1, 2]]))
    value, slope = penalty.value_and_gradient(np.array([1.0, 3.0, 3.0]))
    assert value == 2.0
    assert slope.tolist() == [-2.0, 2.0, 0.0]
    none = NeighbourPenalty(np.empty((0, 2), dtype=int))
    assert none.value_and_gradient(np.ones(2))[0] == 0.0
