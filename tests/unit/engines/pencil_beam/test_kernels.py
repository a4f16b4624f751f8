"""The compiled loops against their plain twins, and the parts of the model."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams, RangeShifter
from dosegrad.engines.pencil_beam import _kernels, _reference
from dosegrad.engines.pencil_beam._arrays import Biology
from dosegrad.engines.pencil_beam.engine import PencilBeam
from dosegrad.engines.pencil_beam.model import range_shifter_variance, squared_reach
from dosegrad.errors import BeamError, EnergyError, SettingsError, UnknownNameError
from dosegrad.influence.build import choose_voxels
from dosegrad.patient.water import water_medium


def spots(machine, **beam):
    columns = np.zeros(6, dtype=COLUMN_DTYPE)
    columns["x"] = [0.0, 0.0, 0.0, 7.5, 7.5, -11.0]
    columns["y"] = [0.0, 0.0, 0.0, 2.0, 2.0, 5.0]
    columns["energy"] = [100.0, 80.0, 60.0, 95.0, 70.0, 120.0]
    settings = {"gantry": 25.0, "couch": 10.0, "isocentre": (1.0, -2.0, 3.0), "sad": machine.sad}
    return Beams(machine, (Beam(**settings | beam),), columns)


def prepared(patient, machine, engine=None, **beam):
    medium = water_medium(patient, patient.ct.grid)
    voxels = choose_voxels(patient, patient.ct.grid, "body")
    return (engine or PencilBeam()).prepare(medium, spots(machine, **beam), 0, voxels)


def two_tissues(tables, n):
    """Tables of two tissues that differ at every knot, and tissues that alternate."""
    knots = tables.depths.size
    values = np.sin(np.arange(4 * knots)).reshape(knots, 4) ** 2 + 0.1
    slopes = np.zeros((knots, 4))
    for first, last in itertools.pairwise(tables.starts):
        steps = np.diff(tables.depths[first:last])[:, None]
        slopes[first : last - 1] = np.diff(values[first:last], axis=0) / steps
    both = np.stack([values, slopes], axis=2).reshape(knots, 8)
    return both, (np.arange(n) % 2).astype(np.int32)


@pytest.mark.parametrize("sad", [2000.0, None])
@pytest.mark.parametrize("shifter", [None, RangeShifter(20.0, 150.0)])
def test_kernels_equal_their_twins(water_box, toy_machine, sad, shifter):
    columns = prepared(water_box, toy_machine, sad=sad, range_shifter=shifter)
    scene, rays, tables = columns.scene, columns.rays, columns.tables
    biology = Biology(*two_tissues(tables, water_box.ct.grid.n_voxels))
    n_rays = rays.bounds.size
    counts, plain_counts = np.zeros((2, 6), dtype=np.int64)
    _kernels.count_entries(scene, rays, tables, 0, n_rays, counts)
    _reference.count_entries(scene, rays, tables, 0, n_rays, plain_counts)
    assert counts.tolist() == plain_counts.tolist()
    assert counts.min() > 50

    heads = np.cumsum(counts) - counts
    made = []
    for module in (_kernels, _reference):
        indices = np.zeros(counts.sum(), dtype=np.int32)
        dose, let, alpha, root_beta = np.zeros((4, counts.sum()), dtype=np.float32)
        module.fill_entries(
            *(scene, rays, tables, 1.3, 0, n_rays, heads, indices, dose, let),
            *(biology, alpha, root_beta),
        )
        made.append((indices, dose, let, alpha, root_beta))
    assert made[0][0].tolist() == made[1][0].tolist()
    for ours, plain in zip(made[0][1:], made[1][1:], strict=True):
        np.testing.assert_allclose(ours, plain, rtol=2e-7)  # one rounding to float32

    weights = np.array([1.0, 0.5, 0.0, 2.0, 3.0, 0.1])
    parts = np.array([0, 5, scene.blocks.shape[0]])
    sums = np.zeros((2, water_box.ct.grid.n_voxels))
    _kernels.add_dose(scene, rays, tables, weights, parts, 0, n_rays, sums[0])
    _reference.add_dose(scene, rays, tables, weights, parts, 0, n_rays, sums[1])
    np.testing.assert_allclose(*sums, rtol=1e-9, atol=1e-15)


def test_three_gaussians(water_box, toy_machine):
    """A column of three Gaussians is the formula written out, inside the cut-off."""
    data = toy_machine.at_energy(100.0)
    shares = np.stack([0.7 - 0.1 * data.depths / data.peak, *np.full((2, data.depths.size), 0.15)])
    shares[2] += 0.1 * data.depths / data.peak
    wide = np.full(data.depths.size, 15.0)
    three = replace(data, sigmas=np.vstack([data.sigmas, wide]), weights=shares)
    machine = replace(toy_machine, data=(three,))
    columns = np.zeros(1, dtype=COLUMN_DTYPE)
    columns["energy"] = 100.0
    beams = Beams(machine, (Beam(0.0, 0.0, (0.0, 0.0, 0.0), None),), columns)
    medium = water_medium(water_box, water_box.ct.grid)
    voxels = np.arange(water_box.ct.grid.n_voxels)
    prepared = PencilBeam().prepare(medium, beams, 0, voxels)
    found = np.zeros(voxels.size)
    prepared.add_dose(np.ones(1), found)

    points = water_box.ct.grid.voxel_points(voxels)
    skin = water_box.ct.grid.voxel_points([0])[0, 1] - 1.25
    depth = points[:, 1] - skin + prepared.rays.axes[0, 5]
    air = three.spot_sigma(500.0 + skin)
    expected = np.zeros(voxels.size)
    for sigma, share in zip(three.sigmas, three.weights, strict=True):
        v = np.interp(depth, three.depths, sigma) ** 2 + air**2
        r2 = points[:, 0] ** 2 + points[:, 2] ** 2
        expected += np.interp(depth, three.depths, share) * np.exp(-0.5 * r2 / v) / (2 * np.pi * v)
    expected *= np.interp(depth, three.depths, three.dose, right=0.0) * 0.016021766 / 0.995
    inside = found > 0
    assert inside.sum() > 1000
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-6)


def test_decay_is_the_exponential():
    x = np.concatenate([np.linspace(0.0, 40.0, 4001), [40.1, 700.0]])
    found = np.array([_kernels.decay(v) for v in x])
    np.testing.assert_allclose(found, np.exp(-x), rtol=1e-10, atol=5e-18)


def test_rows_ascend_in_each_column(water_box, toy_machine):
    columns = prepared(water_box, toy_machine)
    counts = columns.count()
    heads = np.concatenate([[0], np.cumsum(counts)])
    indices, dose = np.empty(heads[-1], np.int32), np.empty(heads[-1], np.float32)
    columns.fill(heads, indices, {"dose": dose})
    for a, b in itertools.pairwise(heads):
        assert (np.diff(indices[a:b]) > 0).all()
    assert (dose > 0).all()


def test_cutoff_keeps_the_integral_of_each_depth():
    variances = np.array([[20.0, 30.0], [200.0, 90.0]])
    weights = np.array([[0.9, 1.0], [0.1, 0.0]])
    r2 = squared_reach(variances, weights, 0.99)
    left = (weights * np.exp(-0.5 * r2 / variances)).sum(axis=0)
    np.testing.assert_allclose(left, 0.01, rtol=1e-9)


def test_compensation_is_the_cutoff(water_box, toy_machine):
    with_factor = prepared(water_box, toy_machine, PencilBeam(lateral_cutoff=0.98))
    without = prepared(
        water_box, toy_machine, PencilBeam(lateral_cutoff=0.98, compensate_cutoff=False)
    )
    assert with_factor.factor * 0.98 == pytest.approx(without.factor, rel=1e-12)


def test_range_shifter_scatters_more_with_distance_and_less_with_energy():
    near, far = range_shifter_variance(100.0, modality="protons", thickness=40.0, gap=[50.0, 200.0])
    fast = range_shifter_variance(150.0, modality="protons", thickness=40.0, gap=200.0)
    carbon = range_shifter_variance(190.0, modality="carbon", thickness=40.0, gap=200.0)
    assert 0 < near < far
    assert 0 < carbon < fast < far
    # by hand: pv 190.4 MeV before and 127.1 MeV behind, 0.333 (1 + log10(0.1109) / 9) 14.1 / 155.6
    assert np.sqrt(far) == pytest.approx(0.02697 * 220.3, rel=2e-3)


def test_range_shifter_in_the_patient_is_refused(water_box, toy_machine):
    with pytest.raises(BeamError, match="into the patient; increase its distance"):
        prepared(water_box, toy_machine, range_shifter=RangeShifter(20.0, 10.0))


def test_patient_past_the_nozzle_is_refused(water_box, toy_machine):
    with pytest.raises(BeamError, match="past the nozzle exit"):
        prepared(water_box, toy_machine, gantry=0.0, couch=0.0, isocentre=(0.0, 500.0, 0.0))


def test_settings_are_checked():
    with pytest.raises(SettingsError, match=r"lateral cut-off 1\.0"):
        PencilBeam(lateral_cutoff=1.0)
    with pytest.raises(UnknownNameError, match="outside the body"):
        PencilBeam(outside_body="vacuum")


def test_foreign_energy_is_refused(water_box, toy_machine):
    beams = spots(toy_machine)
    columns = beams.columns.copy()
    columns["energy"][0] = 101.3
    other = Beams(toy_machine, beams.fields, columns)
    medium = water_medium(water_box, water_box.ct.grid)
    with pytest.raises(EnergyError, match=r"101\.30 MeV is not one of machine 'toy'"):
        PencilBeam().prepare(medium, other, 0, np.arange(10))
