import numpy as np
import pytest

from dosegrad.dose import Dose
from dosegrad.errors import PlanError, UnknownNameError
from dosegrad.evaluation.prescription_indices import gradient_index, prescription_indices
from dosegrad.patient.patient import Patient

SHAPE = (12, 20, 30)


def box(z, y, x):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[slice(*z), slice(*y), slice(*x)] = True
    return mask


HIGH, LOW = box((4, 8), (6, 14), (10, 16)), box((2, 10), (4, 16), (8, 24))
HALF = box((1, 11), (3, 17), (7, 25))


@pytest.fixture(scope="module")
def patient():
    structures = {"PTV70": HIGH, "PTV56": LOW, "Body": np.ones(SHAPE, bool)}
    roles = {"PTV70": "target", "PTV56": "target", "Body": "external"}
    spacing = (3.0, 2.5, 2.0)
    return Patient.from_arrays(np.zeros(SHAPE), spacing=spacing, structures=structures, roles=roles)


def dose_of(patient, values, quantity="dose"):
    return Dose(patient.ct.grid, values, quantity)


def test_the_perfect_boost_is_perfect(patient):
    values = np.where(HIGH, 70.0, np.where(LOW, 56.0, np.where(HALF, 30.0, 5.0)))
    first, second = prescription_indices(
        dose_of(patient, values), patient, {"PTV56": 56.0, "PTV70": 70.0}
    )
    assert (first.dose, first.structures) == (70.0, ("PTV70",))
    for level in (first, second):
        assert level.coverage == 1.0
        assert level.homogeneity == 0.0
        assert level.median == level.dose
        assert level.conformity == 1.0
    # half of 70 Gy is in all of the low target; half of 56 Gy reaches one voxel farther
    assert first.gradient == pytest.approx(LOW.sum() / HIGH.sum())
    assert second.gradient == pytest.approx(HALF.sum() / LOW.sum())


def test_voxels_of_the_boost_do_not_spoil_the_lower_level(patient):
    values = np.where(HIGH, 70.0, np.where(LOW, 56.0, 0.0))
    low_alone = prescription_indices(dose_of(patient, values), patient, {"PTV56": 56.0})[0]
    with_boost = prescription_indices(
        dose_of(patient, values), patient, {"PTV56": 56.0, "PTV70": 70.0}
    )[1]
    assert low_alone.homogeneity == pytest.approx((70 - 56) / 56)
    assert with_boost.homogeneity == 0.0


def test_spill_costs_conformity(patient):
    values = np.where(HALF, 70.0, 0.0)
    level = prescription_indices(dose_of(patient, values), patient, {"PTV56": 70.0})[0]
    assert level.conformity == pytest.approx(LOW.sum() / HALF.sum())


def test_targets_of_one_dose_are_one_level(patient):
    values = np.full(SHAPE, 60.0)
    report = prescription_indices(
        dose_of(patient, values, "rbe_dose"), patient, {"PTV70": 60.0, "PTV56": 60.0}
    )
    assert len(report) == 1
    assert report[0].structures == ("PTV70", "PTV56")
    table = str(report)
    assert "60 Gy (RBE)" in table
    assert "PTV70, PTV56" in table


def test_nothing_reaches_the_prescription(patient):
    dose = dose_of(patient, np.full(SHAPE, 10.0))
    level = prescription_indices(dose, patient, {"PTV70": 70.0})[0]
    assert (level.coverage, level.conformity) == (0.0, 0.0)
    assert np.isnan(level.gradient)
    assert np.isnan(gradient_index(dose, 70.0))


def test_wrong_prescriptions_are_told(patient):
    dose = dose_of(patient, np.zeros(SHAPE))
    with pytest.raises(PlanError, match="there is no prescription; give some"):
        prescription_indices(dose, patient, {})
    with pytest.raises(PlanError, match="'PTV70' is -1 Gy; give a positive dose"):
        prescription_indices(dose, patient, {"PTV70": -1})
    with pytest.raises(PlanError, match="PTV70 with 50 Gy lie wholly inside targets of higher"):
        prescription_indices(dose, patient, {"PTV70": 50.0, "PTV56": 56.0})
    with pytest.raises(UnknownNameError, match="Did you mean 'PTV70'"):
        prescription_indices(dose, patient, {"PTV7": 50.0})
