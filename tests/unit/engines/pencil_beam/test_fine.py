"""Fine sampling: spots as sums of sub-beams with paths of their own."""

import itertools

import numpy as np
import pytest

from dosegrad.beams.beam import RangeShifter
from dosegrad.beams.spots import spots_to_beams
from dosegrad.engines.pencil_beam import _kernels, _reference
from dosegrad.engines.pencil_beam.engine import PencilBeam
from dosegrad.engines.pencil_beam.fine import FineColumns
from dosegrad.errors import SettingsError, UnknownNameError
from dosegrad.influence.build import compute_influence
from dosegrad.patient.patient import Patient
from dosegrad.patient.water import water_medium

SPOTS = {"gantry": 20.0, "couch": 10.0, "isocentre": (1.0, -2.0, 3.0)}


def spots(machine, **changes):
    settings = {"x": [0.0, 0.0, 7.5], "y": [0.0, 0.0, 2.0], "energy": [100.0, 80.0, 95.0]}
    return spots_to_beams(machine, **SPOTS | settings | changes)


def dose(patient, beams, engine):
    return compute_influence(patient, beams, engine=engine, grid=patient.ct.grid).matrix


def half_slab(spacing=2.0):
    """Water with 40 mm of bone on one side of the axis, 20 mm deep."""
    shape = tuple(int(v / spacing) for v in (50.0, 130.0, 60.0))
    hu = np.zeros(shape)
    hu[:, int(20 / spacing) : int(60 / spacing), shape[2] // 2 :] = 900.0
    return Patient.from_arrays(
        hu,
        spacing=(spacing,) * 3,
        origin=tuple(-0.5 * spacing * (n - 1) for n in shape[::-1]),
        structures={"Body": np.ones(shape, dtype=bool)},
        roles={"Body": "external"},
        calibration="schneider-water",
    )


@pytest.mark.parametrize("shifter", [None, RangeShifter(20.0, 150.0)])
def test_water_does_not_care(water_box, toy_machine, shifter):
    """In water with a flat surface all paths are alike, and the sum is the spot."""
    beams = spots(toy_machine, gantry=0.0, couch=0.0, range_shifter=shifter)
    plain = dose(water_box, beams, PencilBeam(lateral_cutoff=0.9995)).toarray()
    fine = dose(water_box, beams, PencilBeam(lateral_cutoff=0.9995, fine_sampling="rings-61"))
    difference = np.abs(fine.toarray() - plain).max(axis=0) / plain.max(axis=0)
    assert difference.max() < 5e-3
    np.testing.assert_allclose(fine.sum(axis=0), plain.sum(axis=0), rtol=5e-3)


def test_rows_ascend_and_all_quantities_share_them(water_box, toy_machine):
    engine = PencilBeam(fine_sampling=(1, 6))
    influence = compute_influence(
        water_box, spots(toy_machine), engine=engine, quantities=("dose", "let_dose")
    )
    matrix = influence.matrix
    for a, b in itertools.pairwise(matrix.indptr):
        assert (np.diff(matrix.indices[a:b]) > 0).all()
    let = influence.extra["let_dose"] / matrix.data
    assert let.min() > 0.9
    assert let.max() < 14.0


def test_forward_dose_is_that_of_the_matrix(water_box, toy_machine):
    beams = spots(toy_machine)
    engine = PencilBeam(fine_sampling="rings-25", range_percent=3.0, range_mm=1.0)
    influence = compute_influence(water_box, beams, engine=engine)
    weights = np.array([1.0, 0.0, 2.5])
    medium = water_medium(water_box, influence.grid)
    direct = engine.forward(medium, beams, weights, influence.voxels)
    np.testing.assert_allclose(direct, influence.matrix @ weights, rtol=1e-5, atol=1e-9)


def test_kernels_with_profiles_equal_their_twins(toy_machine):
    patient = half_slab()
    medium = water_medium(patient, patient.ct.grid)
    voxels = np.arange(patient.ct.grid.n_voxels)
    fine = PencilBeam(fine_sampling=(1, 6)).prepare(medium, spots(toy_machine), 0, voxels)
    assert isinstance(fine, FineColumns)
    _, _, columns, _ = next(fine._sub_beams())
    scene, rays, tables = columns.scene, columns.rays, columns.tables
    n, k = rays.bounds.size, rays.columns.size
    counts, plain = np.zeros((2, k), dtype=np.int64)
    _kernels.count_entries(scene, rays, tables, 0, n, counts)
    _reference.count_entries(scene, rays, tables, 0, n, plain)
    assert counts.tolist() == plain.tolist()
    weights, parts = np.linspace(0.5, 1.5, k), np.array([0, scene.blocks.shape[0]])
    sums = np.zeros((2, voxels.size))
    _kernels.add_dose(scene, rays, tables, weights, parts, 0, n, sums[0])
    _reference.add_dose(scene, rays, tables, weights, parts, 0, n, sums[1])
    np.testing.assert_allclose(*sums, rtol=1e-9, atol=1e-15)


def test_each_half_of_a_spot_stops_where_its_path_says(toy_machine):
    """Behind a half slab there are two peaks, as far apart as the slab takes range."""
    patient = half_slab()
    beams = spots_to_beams(
        toy_machine, gantry=0.0, isocentre=(0.0, 0.0, 0.0), x=[0.0], y=[0.0], energy=[100.0]
    )
    engine = PencilBeam(fine_sampling="rings-61")
    found = dose(patient, beams, engine).toarray().reshape(patient.ct.grid.shape)
    depth_dose = found.sum(axis=0)  # (depth, x)
    middle = depth_dose.shape[1] // 2
    water = int(depth_dose[:, middle - 5].argmax()) * 2.0
    bone = int(depth_dose[:, middle + 5].argmax()) * 2.0
    ratio = water_medium(patient, patient.ct.grid).stopping_power_ratio.max()
    assert water - bone == pytest.approx(40.0 * (ratio - 1.0), abs=4.0)


def test_settings_are_checked(water_box, toy_machine):
    with pytest.raises(UnknownNameError, match="fine sampling 'rings'"):
        PencilBeam(fine_sampling="rings")
    with pytest.raises(SettingsError, match="traces depths along its own sub-beams"):
        PencilBeam(fine_sampling="rings-25").prepare(
            water_medium(water_box, water_box.ct.grid),
            *(spots(toy_machine), 0, np.arange(10)),
            depths=np.zeros(10),
        )
    with pytest.raises(SettingsError, match="make no scheme"):
        PencilBeam(fine_sampling=(0, 6)).prepare(
            water_medium(water_box, water_box.ct.grid), spots(toy_machine), 0, np.arange(10)
        )
