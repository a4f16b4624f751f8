"""Spots that are wider along x than along y keep both widths, whatever the gantry angle."""

import numpy as np
import pytest

from dosegrad import Patient, Plan, compute_dose, engines
from dosegrad.io.beam_model import read_beam_model

TABLE = """#"BMODPOS 500.0 mm",,,,,,,,,
120,120.0,0.8,3000000,3.0,5.0,0.003,0.002,0.3,-0.4
140,140.0,0.8,3000000,3.0,5.0,0.003,0.002,0.3,-0.4
"""
SIZE, ANGLE, CORRELATION = np.array([3.0, 5.0]), np.array([3e-3, 2e-3]), np.array([0.3, -0.4])
DISTANCE = 500.0


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.csv"
    path.write_text(TABLE, encoding="utf-8")
    return read_beam_model(path, energies=[120.0])


@pytest.fixture(scope="module")
def water():
    """1 mm voxels whose faces are the planes x, y, z = 0 among others."""
    shape = (70, 70, 70)
    return Patient.from_arrays(
        np.zeros(shape), spacing=(1.0,) * 3, origin=(0.5, 0.5, -34.5), calibration="schneider-water"
    )


def variances(dose, axes):
    """Of the dose in the first 2 mm of water along two array axes, mm2."""
    (along,) = {0, 1, 2} - set(axes)
    first = np.take(dose.array, [0, 1], axis=along).sum(axis=along)
    across = [axis - (axis > along) for axis in axes]
    found = []
    for axis in across:
        profile = first.sum(axis=1 - axis)
        places = np.arange(profile.size)
        mean = np.average(places, weights=profile)
        found.append(np.average((places - mean) ** 2, weights=profile))
    return np.array(found)


@pytest.mark.parametrize(
    ("gantry", "couch", "isocentre", "axes"),
    [
        (0.0, 0.0, (35.0, 0.0, 0.0), (2, 0)),  # gantry x, y along patient x, z
        (0.0, 90.0, (35.0, 0.0, 0.0), (0, 2)),
        (270.0, 0.0, (0.0, 35.0, 0.0), (1, 0)),  # along patient y, z
    ],
)
def test_both_widths_of_a_spot_are_those_of_the_beam_model(
    machine, water, gantry, couch, isocentre, axes
):
    plan = Plan.from_spots(
        machine, gantry=gantry, couch=couch, isocentre=isocentre, x=0.0, y=0.0,
        energy=machine.energies[0], weight=1.0,
    )  # fmt: skip
    dose = compute_dose(water, plan, engine=engines.Yoda(nuclear=False), grid=water.ct.grid)
    vacuum = SIZE**2 + 2 * CORRELATION * SIZE * ANGLE * DISTANCE + (ANGLE * DISTANCE) ** 2
    found = variances(dose, axes)
    scattered = found - vacuum  # in air, alike along both axes
    assert scattered[0] == pytest.approx(scattered[1], abs=0.05)
    assert 0.3 < scattered.mean() < 1.5
    assert found[1] > 1.2 * found[0]
