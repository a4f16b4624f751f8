"""A study that is written and read is the same study."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import dosegrad as dg
from dosegrad.dose import Dose
from dosegrad.geometry.frames import PATIENT_POSITIONS
from dosegrad.geometry.grid import Grid
from dosegrad.io.dicom.writing.outlines import join_holes, outlines
from dosegrad.patient.contours import ContourShape
from dosegrad.patient.patient import Patient

MACHINE = dg.load_machine("generic-protons")


def numbers(low, high):
    return st.floats(low, high, allow_nan=False, width=32)


@st.composite
def studies(draw):
    """A small patient, a plan for it, and a dose on a grid of its own."""
    shape = draw(st.tuples(*[st.integers(2, 6)] * 3))
    spacing = draw(st.tuples(*[numbers(0.5, 5.0)] * 3))
    origin = draw(st.tuples(*[numbers(-500.0, 500.0)] * 3))
    mask = draw(arrays.arrays(bool, shape))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    position = draw(st.sampled_from(sorted(PATIENT_POSITIONS)))
    patient = Patient.from_arrays(
        random.integers(-1024, 3000, shape),
        **{"spacing": spacing, "origin": origin, "position": position},
        structures={"S": mask, "Body": np.ones(shape, dtype=bool)},
        roles={"Body": "external"},
    )
    n = draw(st.integers(1, 12))
    plan = dg.Plan.from_spots(
        MACHINE,
        gantry=random.choice([0.0, 33.3, 359.9], n),
        couch=random.choice([0.0, 350.0], n),
        isocentre=tuple(random.normal(0, 100, 3)),
        x=random.normal(0, 50, n),
        y=random.normal(0, 50, n),
        energy=MACHINE.energies[random.integers(0, MACHINE.energies.size, n)],
        weight=10 ** random.uniform(-6, 6, n),
        fractions=draw(st.integers(1, 40)),
        position=position,
    )
    size = draw(st.tuples(*[st.integers(1, 5)] * 3))
    grid = Grid(size, draw(st.tuples(*[numbers(0.5, 8.0)] * 3)), tuple(random.normal(0, 300, 3)))
    return patient, plan, Dose(grid, random.random(size) * 10 ** random.uniform(-6, 6))


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(studies())
def test_a_study_comes_back(study):
    patient, plan, dose = study
    with tempfile.TemporaryDirectory() as place:
        dg.write_dicom(Path(place) / "study", patient=patient, plan=plan, dose=dose)
        found = dg.read_dicom(Path(place) / "study", machine=MACHINE)
    grid = patient.ct.grid
    assert np.array_equal(found.patient.ct.hu, patient.ct.hu)
    np.testing.assert_allclose(found.patient.ct.grid.origin, grid.origin, atol=1e-6)
    np.testing.assert_allclose(found.patient.ct.grid.spacing, grid.spacing, rtol=1e-6)
    for name, structure in found.patient.structures.items():
        assert np.array_equal(structure.mask(grid), patient.structures[name].mask(grid))
    missing = set(patient.structures) - set(found.patient.structures)
    assert not any(patient.structures[name].mask(grid).any() for name in missing)
    np.testing.assert_allclose(found.dose.grid.origin, dose.grid.origin, atol=1e-6)
    assert np.abs(found.dose.array - dose.array).max() <= 1e-6 * dose.array.max()
    assert found.plan.fractions == plan.fractions
    assert [(b.gantry, b.couch) for b in found.plan.beams] == [
        (b.gantry, b.couch) for b in plan.beams
    ]
    for k in range(len(plan.beams)):
        before, after = (_spots(p, k) for p in (plan, found.plan))
        np.testing.assert_allclose(after[:, :2], before[:, :2], rtol=1e-7)  # energy, weight
        np.testing.assert_allclose(after[:, 2:], before[:, 2:], rtol=1e-7, atol=1e-9)


def _spots(plan, beam):
    """Energy, weight, x, y of the spots of a beam, (n, 4), sorted by energy and weight."""
    part = plan.beams.columns_of(beam)
    columns = plan.beams.columns[part]
    table = np.column_stack([columns["energy"], plan.weights[part], columns["x"], columns["y"]])
    return table[np.lexsort((table[:, 1], table[:, 0]))]


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_outlines_hold_the_pixels_they_were_drawn_around(mask):
    loops = outlines(mask)
    areas = [np.sum(a[:, 0] * np.roll(a[:, 1], -1) - a[:, 1] * np.roll(a[:, 0], -1)) for a in loops]
    assert np.sum(areas) / 2 == mask.sum()
    if not loops:
        return
    polygons = [np.column_stack([p, np.zeros(len(p))]) for p in join_holes(loops)]
    shape = ContourShape.from_polygons(polygons, spacing=1.0)
    ny, nx = mask.shape
    assert np.array_equal(shape.mask(Grid((1, ny, nx), (1, 1, 1), (0.5, 0.5, 0.0)))[0], mask)
    assert abs(shape.volume_cc * 1000 - mask.sum()) < 1e-9 * mask.size
