"""Scenarios with CTs of their own: where dose is computed, and what they equal."""

from dataclasses import replace

import numpy as np
import pytest

from dosegrad import objectives as obj
from dosegrad.beams.steering import steer
from dosegrad.errors import CapabilityError, PatientError, SettingsError
from dosegrad.influence.build import compute_influence
from dosegrad.influence.phases import CTPhase
from dosegrad.influence.scenario_doses import scenario_doses
from dosegrad.influence.scenarios import Scenario, Scenarios
from dosegrad.optimisation.optimise import optimise
from dosegrad.optimisation.spot_positions import optimise_spots
from dosegrad.patient.ct import CT
from dosegrad.patient.registration import Registration

MOVED = np.array([-4.0, 5.0, 6.0])  # whole voxels, (x, y, z), away from where beams enter


def displaced(patient, by):
    """The patient's CT moved as a whole, with the registration that says so."""
    grid = replace(patient.ct.grid, origin=tuple(np.add(patient.ct.grid.origin, by).tolist()))
    moved = CT(grid, patient.ct.hu, patient.ct.position)
    registration = Registration(
        fixed=patient.ct.grid,
        moving=grid,
        rotation=np.eye(3),
        shift=np.asarray(by),
        displacement=None,
        difference=(0.0, 0.0),
    )
    return CTPhase(moved, registration, "moved")


@pytest.fixture(scope="module")
def beams(toy_machine, water_box):
    return steer(water_box, toy_machine, target="Target", gantry=[0, 90], spot_spacing=10.0)


def test_a_phase_that_moved_as_a_whole_is_a_set_up_error(water_box, beams):
    """To rounding, since tissue moved by whole voxels."""
    cases = Scenarios(
        (
            Scenario(),
            Scenario(phase=displaced(water_box, MOVED)),
            Scenario(shift=tuple((-MOVED).tolist())),
        )
    )
    influence = compute_influence(water_box, beams, scenarios=cases, robust_structures=["Target"])
    held = influence.scenarios
    phase, shift = (held.matrices[k].to_csc().toarray() for k in (1, 2))
    assert np.abs(phase - shift).max() < 2e-3 * shift.max()
    weights = np.ones(beams.n_columns)
    doses = scenario_doses(influence, weights)
    rows = influence.voxels[held.rows]
    for number in (1, 2):
        of_matrix = held.forward(number, weights)
        computed = doses[number].array.ravel()[rows]
        assert np.abs(computed - of_matrix).max() < 1e-3 * of_matrix.max()
    assert [d.provenance["scenario"] for d in doses][1] == "moved"


def test_tissue_between_voxels_has_the_dose_between_them(water_box, beams):
    phase = displaced(water_box, (1.0, 0.0, 0.0))  # half a voxel
    voxels = np.flatnonzero(water_box.structure("Target").mask(water_box.ct.grid).ravel())
    needed, shares = phase.places(water_box.ct.grid, voxels)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert set(np.round(shares.data, 6)) == {0.5}
    assert (np.diff(needed) > 0).all()


def test_without_a_registration_tissue_stays(water_box):
    phase = CTPhase(water_box.ct)
    voxels = np.array([5, 9])
    needed, shares = phase.places(water_box.ct.grid, voxels)
    np.testing.assert_array_equal(needed, voxels)
    assert shares is None


def test_phases_are_crossed_with_errors(water_box):
    first, second = (CTPhase(water_box.ct, name=name) for name in ("inhale", "exhale"))
    cases = Scenarios.of_phases([first, second])
    assert cases.names == ("nominal", "inhale", "exhale")
    assert cases.probabilities == pytest.approx([1 / 3] * 3)
    crossed = Scenarios.of_phases(
        [first], errors=Scenarios((Scenario(), Scenario((3, 0, 0))), (0.8, 0.2)), with_nominal=False
    )
    assert crossed.names == ("inhale", "inhale, x +3 mm")
    assert crossed.probabilities == pytest.approx([0.8, 0.2])
    assert not crossed[0].is_nominal


def test_a_plan_is_optimised_over_phases(water_box, beams):
    cases = Scenarios.of_phases([displaced(water_box, (0.0, 0.0, 6.0))])
    influence = compute_influence(water_box, beams, scenarios=cases, robust_structures=["Target"])
    goals = {"Target": [obj.SquaredDeviation(20.0, weight=100)]}
    nominal = optimise(influence, goals, max_iterations=40)
    robust = optimise(influence, goals, robust="minimax", max_iterations=40)
    target = water_box.structure("Target")
    before, after = (
        min(d.array[target.mask(d.grid)].min() for d in doses)
        for doses in (scenario_doses(influence, nominal.weights), robust.scenario_doses)
    )
    assert after > before


def test_what_cannot_be_is_told(water_box, beams):
    turned = CT(water_box.ct.grid, water_box.ct.hu, "FFS")
    with pytest.raises(PatientError, match="position FFS"):
        CTPhase(turned).patient(water_box)
    with pytest.raises(SettingsError, match="needs a name"):
        CTPhase(water_box.ct, name="")
    goals = {"Target": [obj.SquaredDeviation(20.0)]}
    with pytest.raises(CapabilityError, match="CT of its own"):
        optimise_spots(
            *(water_box, beams, goals),
            max_shift=4.0,
            scenarios=Scenarios.of_phases([CTPhase(water_box.ct)]),
            robust="expected",
        )
