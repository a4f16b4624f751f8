"""What must not change the dose does not: moving, turning, storing the same patient otherwise."""

import numba
import numpy as np
import pytest

import dosegrad as dg
from dosegrad import engines

SHAPE, SPACING = (11, 29, 29), (4.0, 3.0, 3.0)
ENGINES = {
    "pencil-beam": engines.PencilBeam(),
    "yoda": engines.Yoda(mode="wet"),
    "photon-kernel": engines.PhotonKernel(),
}


def volume():
    """A round section of water with bone and air in places that no symmetry maps to others."""
    z, y, x = np.meshgrid(*((np.arange(n) - (n - 1) / 2) for n in SHAPE), indexing="ij")
    hu = np.where(x**2 + y**2 < 13.2**2, 0.0, -1000.0)
    hu[(x > 3) & (x < 8) & (np.abs(y) < 3)] = 900.0
    hu[(y > 5) & (y < 9) & (x < 0) & (z > 0)] = -700.0
    return hu


def patient_of(hu, origin, position="HFS"):
    body = hu > -999.0
    target = np.zeros(hu.shape, dtype=bool)
    target[4:7, 12:17, 12:17] = True
    return dg.Patient.from_arrays(
        hu,
        **{"spacing": SPACING, "origin": origin, "position": position},
        structures={"Target": target, "Body": body},
        roles={"Target": "target", "Body": "external"},
    )


ORIGIN = tuple(-(n - 1) / 2 * s for n, s in zip(SHAPE[::-1], SPACING[::-1], strict=True))


def dose_of(patient, kind, gantry, isocentre, couch=0.0):
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-12, 12, (2, 6))
    common = {"gantry": gantry, "couch": couch, "isocentre": isocentre, "x": x, "y": y}
    common["position"] = patient.ct.position
    if kind == "photon-kernel":
        machine = dg.load_machine("generic-6mv")
        plan = dg.Plan.from_bixels(machine, **common, width=5.0, weight=1.0)
    else:
        machine = dg.load_machine("generic-protons")
        plan = dg.Plan.from_spots(machine, **common, energy=machine.energies[0], weight=1.0)
    found = dg.compute_dose(patient, plan, engine=ENGINES[kind], grid=patient.ct.grid).array
    assert found.max() > 0
    return found


def assert_same(found, expected, tolerance=1e-6):
    assert np.abs(found - expected).max() <= tolerance * expected.max()


@pytest.mark.parametrize("kind", ENGINES)
def test_a_shift_of_patient_and_isocentre_changes_nothing(kind):
    hu = volume()
    here = dose_of(patient_of(hu, ORIGIN), kind, 40.0, (0.0, 0.0, 0.0))
    shift = np.array([313.7, -82.1, 1005.3])
    there = patient_of(hu, tuple(np.array(ORIGIN) + shift))
    assert_same(dose_of(there, kind, 40.0, tuple(shift)), here)


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turn_of_patient_and_gantry_turns_the_dose(kind, quarters):
    hu = volume()
    before = dose_of(patient_of(hu, ORIGIN), kind, 20.0, (0.0, 0.0, 0.0))
    # seen from the feet, gantry angles grow clockwise, as does a turn from rows to columns
    turned = patient_of(np.rot90(hu, -quarters, axes=(1, 2)), ORIGIN)
    after = dose_of(turned, kind, 20.0 + 90.0 * quarters, (0.0, 0.0, 0.0))
    assert_same(after, np.rot90(before, -quarters, axes=(1, 2)), 1e-5)


@pytest.mark.parametrize("kind", ENGINES)
def test_angles_a_full_turn_apart_are_the_same_beam(kind):
    patient = patient_of(volume(), ORIGIN)
    one = dose_of(patient, kind, 0.0, (0.0, 0.0, 0.0), couch=360.0)
    other = dose_of(patient, kind, 360.0, (0.0, 0.0, 0.0))
    assert_same(other, one)


@pytest.mark.parametrize("fractions", [1, 7, 33])
def test_fractions_change_no_dose_of_the_course(fractions):
    patient = patient_of(volume(), ORIGIN)
    machine = dg.load_machine("generic-protons")
    beams = dg.steer(patient, machine, target="Target", gantry=[30.0], spot_spacing=8.0)
    influence = dg.compute_influence(patient, beams)
    wish = {"Target": [dg.objectives.SquaredDeviation(50.0)]}
    plans = [dg.optimise(influence, wish, fractions=n, max_iterations=30) for n in (1, fractions)]
    np.testing.assert_allclose(plans[1].weights, plans[0].weights)
    assert plans[1].fractions == fractions


@pytest.mark.slow
def test_the_same_input_gives_the_same_plan_on_one_thread_and_on_all():
    patient = dg.phantom("impt-2d")
    machine = dg.load_machine("generic-protons")
    wish = {"PTV": [dg.objectives.SquaredDeviation(60.0, weight=100)]}
    threads, weights = numba.get_num_threads(), []
    try:
        for n in (1, threads, threads):
            numba.set_num_threads(n)
            beams = dg.steer(patient, machine, target="PTV", gantry=[60, 300], spot_spacing=10.0)
            influence = dg.compute_influence(patient, beams)
            weights.append(dg.optimise(influence, wish, max_iterations=40).weights)
    finally:
        numba.set_num_threads(threads)
    np.testing.assert_array_equal(weights[1], weights[2])
    assert np.abs(weights[0] - weights[1]).max() <= 1e-6 * weights[1].max()
