"""Patients, their media and dose grids."""

import numpy as np
import pytest

from dosegrad import CT, Grid, Patient, Structure, phantom
from dosegrad.errors import PatientError, TargetError, UnknownNameError
from dosegrad.patient.calibration import Calibration
from dosegrad.patient.records import ObjectiveRecord
from dosegrad.patient.structures import MaskShape, resolve_overlaps

SPACING = (3.0, 2.0, 2.5)


def cube(**options):
    hu = np.full((6, 8, 10), -1000.0)
    hu[1:5, 1:7, 1:9] = 0.0
    body = hu > -500
    target = np.zeros_like(body)
    target[2:4, 3:5, 4:7] = True
    return Patient.from_arrays(
        hu,
        spacing=SPACING,
        origin=(-10.0, 5.0, 7.0),
        structures={"Body": body, "PTV": target},
        roles={"Body": "external", "PTV": "target"},
        **options,
    )


def test_structures_volumes_and_roles():
    patient = cube()
    assert patient.structures["PTV"].role == "target"
    assert patient.structures["PTV"].volume_cc == pytest.approx(12 * 15.0 / 1000)
    assert patient.external is patient.structures["Body"]


def test_repr_names_no_person():
    patient = Patient(cube().ct, {}, Calibration.of("schneider"), name="Jane Doe")
    assert "Jane" not in repr(patient)


def test_medium_keeps_the_mass_on_any_dose_grid():
    patient = cube(calibration="schneider-water")
    fine = patient.medium()
    mass = fine.density.sum() * fine.grid.voxel_volume_cc
    for spacing in ((6.0, 4.0, 5.0), (1.5, 1.0, 1.25), (2.0, 3.2, 2.5)):
        coarse = patient.medium(patient.dose_grid(spacing))
        assert coarse.density.sum() * coarse.grid.voxel_volume_cc == pytest.approx(mass, rel=2e-3)


def test_outside_the_body_is_air_unless_the_ct_counts():
    hu = cube().ct.hu.copy()
    hu[0, 0, 0] = 1000.0
    patient = cube()
    couch = Patient(CT(patient.ct.grid, hu), dict(patient.structures), patient.calibration)
    assert couch.medium().density[0, 0, 0] < 0.01
    assert couch.medium(outside_body="ct").density[0, 0, 0] > 1.5


def test_dose_grid_is_the_cts_unless_that_is_fine():
    patient = cube()
    assert patient.dose_grid() == patient.ct.grid
    fine = Patient.from_arrays(np.zeros((8, 8, 8)), spacing=(3.0, 1.0, 1.0))
    assert fine.dose_grid().spacing == (3.0, 2.5, 2.5)
    assert patient.dose_grid((5.0, 5.0, 5.0)).spacing == (5.0, 5.0, 5.0)


def test_body_without_outline_is_found_and_filled():
    hu = np.full((5, 20, 22), -1000.0)
    hu[:, 3:17, 3:19] = 0.0
    hu[:, 8:12, 8:12] = -800.0  # a lung
    hu[:, 0, 0] = 100.0  # a speck of couch
    body = Patient.from_arrays(hu, spacing=SPACING).body_mask()
    assert body[:, 3:17, 3:19].all()
    assert body.sum() == 5 * 14 * 16


def test_overlaps_go_to_the_lower_priority_number():
    patient = cube()
    masks = resolve_overlaps(patient.structures, patient.ct.grid)
    assert not (masks["Body"] & masks["PTV"]).any()
    assert masks["PTV"].sum() == 12


def test_mask_on_another_grid_goes_by_voxel_centres():
    grid = Grid((4, 6, 8), (2.0, 3.0, 1.5), (0.0, 0.0, 0.0))
    inside = np.zeros(grid.shape, dtype=bool)
    inside[1, 2, 3] = True
    finer = Grid((8, 12, 16), (1.0, 1.5, 0.75), (-0.375, -0.75, -0.5))
    assert MaskShape(grid, inside).mask(finer).sum() == 8


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (
            lambda: Patient.from_arrays(np.full((3, 3, 3), np.nan), spacing=SPACING),
            PatientError,
            "27 voxels that are NaN",
        ),
        (lambda: Patient.from_arrays(np.zeros((3, 3)), spacing=SPACING), PatientError, "no volume"),
        (
            lambda: Patient.from_arrays(np.zeros((3, 3, 3)), spacing=(1, -1, 1)),
            ValueError,
            "not possible",
        ),
        (
            lambda: Patient.from_arrays(
                np.zeros((3, 3, 3)), spacing=SPACING, structures={"A": np.ones((2, 3, 3))}
            ),
            PatientError,
            "'A' has shape",
        ),
        (
            lambda: Patient.from_arrays(
                np.zeros((3, 3, 3)), spacing=SPACING, structures={"A": np.full((3, 3, 3), 2)}
            ),
            PatientError,
            "other than 0 and 1",
        ),
        (
            lambda: Patient.from_arrays(
                np.zeros((3, 3, 3)), spacing=SPACING, roles={"B": "target"}
            ),
            UnknownNameError,
            "no structure 'B'",
        ),
        (
            lambda: Patient.from_arrays(
                np.zeros((3, 3, 3)),
                spacing=SPACING,
                structures={"A": np.ones((3, 3, 3))},
                roles={"A": "tumour"},
            ),
            UnknownNameError,
            "no role 'tumour'",
        ),
        (lambda: cube(position="HFX"), UnknownNameError, "no patient position 'HFX'"),
        (lambda: phantom("c-shape").structure("Traget"), UnknownNameError, "Did you mean 'Target'"),
    ],
)
def test_what_cannot_be_is_refused(build, error, words):
    with pytest.raises(error, match=words):
        build()


def test_empty_and_distant_targets_are_told_apart():
    patient = cube()
    empty = Structure(
        "T", MaskShape(patient.ct.grid, np.zeros(patient.ct.grid.shape, bool)), "target"
    )
    away_grid = Grid((2, 2, 2), (2.0, 2.0, 2.0), (900.0, 0.0, 0.0))
    away = Structure("T", MaskShape(away_grid, np.ones((2, 2, 2), bool)), "target")
    for structure, words in ((empty, "is empty"), (away, "no voxel inside the CT")):
        other = Patient(patient.ct, {"T": structure}, patient.calibration)
        with pytest.raises(TargetError, match=words):
            other.mask("T")


def test_two_outlines_and_unknown_objectives_are_refused():
    patient = cube()
    two = {name: s.with_role("external") for name, s in patient.structures.items()}
    with pytest.raises(PatientError, match=r"one\s+outline"):
        Patient(patient.ct, two, patient.calibration)
    with pytest.raises(UnknownNameError, match="no structure 'Rectum'"):
        Patient(patient.ct, {}, patient.calibration, {"Rectum": (ObjectiveRecord("mean-dose"),)})
