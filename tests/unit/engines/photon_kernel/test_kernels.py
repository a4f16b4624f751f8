"""Compiled photon loops against their plain twins, and what the engine promises."""

import numpy as np
import pytest
from pytest import approx

from dosegrad.engines.pencil_beam.engine import PencilBeam
from dosegrad.engines.photon_kernel import _kernels, _reference
from dosegrad.engines.photon_kernel.engine import PhotonKernel
from dosegrad.engines.photon_kernel.model import convolved_bixel, depth_components
from dosegrad.errors import BeamError, CapabilityError, SettingsError, UnknownNameError
from dosegrad.geometry.grid import Grid
from dosegrad.influence.build import compute_influence
from dosegrad.machine.photon import HeadScatter, PhotonMachine
from dosegrad.plan import Plan
from dosegrad.plan_dose import compute_dose


@pytest.fixture(scope="module")
def linac():
    """Small photon machine made of plain formulas, one raster of 1 mm."""
    radii = np.concatenate([np.arange(0.0, 20.0, 1.0), np.geomspace(20.0, 120.0, 20)])
    shapes = [np.exp(-radii / length) / length**2 for length in (2.0, 15.0, 30.0)]
    kernels = np.array([shapes, [1.1 * s for s in shapes]])
    return PhotonMachine(
        *("toy", 6.0, 1000.0, np.array([0.3, 0.02, 0.005]), 0.005),
        ssds=np.array([800.0, 1000.0]),
        radii=radii,
        kernels=kernels,
        raster=1.0,
        head_scatter=HeadScatter(0.1, 12.0),
        primary_fluence=np.array([[0.0, 1.0], [200.0, 1.1]]),
    )


class Water:
    def __init__(self):
        self.grid = Grid((12, 30, 25), (5.0, 4.0, 6.0), (-72.0, -58.0, -27.5))
        generator = np.random.default_rng(1)
        self.electron_density = 0.8 + 0.4 * generator.random(self.grid.shape)


def bixels(linac, widths=(10.0,), gantry=40.0):
    x, y = (v.ravel() for v in np.meshgrid([-15.0, -5.0, 5.0], [-5.0, 5.0]))
    width = np.resize(widths, x.size)
    return Plan.from_bixels(
        *(linac,),
        gantry=gantry,
        couch=20.0,
        isocentre=(3.0, -2.0, 1.0),
        x=x,
        y=y,
        width=width,
        weight=1.0 + np.arange(x.size),
    )


SETTINGS = [
    {},
    {"lateral_plane": "ray"},
    {"lateral_cutoff": 20.0, "primary_fluence": "machine"},
    {"relative_cutoff": 0.01},
]


def prepared(linac, settings, widths=(10.0,)):
    medium = Water()
    voxels = np.arange(0, medium.grid.n_voxels, 2)
    return PhotonKernel(**settings).prepare(medium, bixels(linac, widths).beams, 0, voxels)


@pytest.mark.parametrize("settings", SETTINGS)
def test_kernels_equal_their_twins(linac, settings):
    columns = prepared(linac, settings, widths=(10.0, 7.0))
    scene, bixel, profiles = columns.scene, columns.bixels, columns.profiles
    n = bixel.kinds.size
    counts, maxima = np.zeros((2, n), dtype=np.int64), np.zeros((2, n))
    for k, module in enumerate((_kernels, _reference)):
        module.count_entries(scene, bixel, profiles, 0, n, counts[k])
        module.find_maxima(scene, bixel, profiles, 0, n, maxima[k])
    assert np.array_equal(*counts)
    assert maxima[0] == approx(maxima[1], rel=1e-12)
    heads = np.concatenate([[0], np.cumsum(counts[0])])
    indices = np.zeros((2, heads[-1]), dtype=np.int32)
    dose = np.zeros((2, heads[-1]), dtype=np.float32)
    whole = np.zeros((2, 9000))
    parts = np.array([0, 7, len(scene.blocks)])
    weights = np.linspace(0.0, 1.0, n)
    for k, module in enumerate((_kernels, _reference)):
        module.fill_entries(scene, bixel, profiles, 0, n, heads, indices[k], dose[k])
        module.add_dose(scene, bixel, profiles, weights, parts, 0, n, whole[k])
    assert np.array_equal(*indices)
    assert dose[0] == approx(dose[1], rel=1e-6)
    assert whole[0] == approx(whole[1], rel=1e-10, abs=1e-14)
    for column in range(n):
        assert (np.diff(indices[0][heads[column] : heads[column + 1]]) > 0).all()


def test_a_relative_cutoff_leaves_out_the_weak_entries_only(linac):
    all_, strong = prepared(linac, {}), prepared(linac, {"relative_cutoff": 0.01})
    heads = [np.concatenate([[0], np.cumsum(c.count())]) for c in (all_, strong)]
    doses = []
    for columns, head in zip((all_, strong), heads, strict=True):
        indices, dose = np.zeros(head[-1], dtype=np.int32), np.zeros(head[-1], dtype=np.float32)
        columns.fill(head, indices, {"dose": dose})
        doses.append(dose[: head[1]])
    assert 0 < doses[1].size < doses[0].size
    assert np.sort(doses[1]) == approx(np.sort(doses[0][doses[0] >= 0.01 * doses[0].max()]))


def test_neighbouring_bixels_add_up_to_a_wide_one(linac):
    medium, voxels = Water(), np.arange(9000)
    engine = PhotonKernel(lateral_cutoff=200.0)
    doses = []
    for x, y, width in (
        ([-5.0, 5.0, -5.0, 5.0], [-5.0, -5.0, 5.0, 5.0], 10.0),
        ([0.0], [0.0], 20.0),
    ):
        plan = Plan.from_bixels(
            *(linac,), gantry=70, isocentre=(0.0, 0.0, 0.0), x=x, y=y, width=width, weight=1.0
        )
        doses.append(engine.forward(medium, plan.beams, plan.weights, voxels))
    assert doses[0] == approx(doses[1], rel=1e-10)


def test_a_plan_s_dose_is_its_influence_times_weights(linac, water_box):
    plan = bixels(linac, gantry=0.0)
    influence = compute_influence(water_box, plan.beams)
    assert influence.provenance["engine"] == "PhotonKernel"
    dose = compute_dose(water_box, plan)
    assert dose.array.max() > 0
    expected = influence.dose(plan.weights).array
    assert dose.array == approx(expected, rel=1e-5, abs=1e-9 * expected.max())


def test_kernels_are_interpolated_between_ssds(linac):
    assert linac.kernels_at(900.0) == approx(1.05 * linac.kernels[0])
    with pytest.raises(BeamError, match="800 to 1000 mm"):
        linac.kernels_at(700.0)


def test_depth_components_where_beta_equals_attenuation(linac):
    depth = np.array([0.0, 10.0, 200.0])
    found = depth_components(linac, depth)
    assert found[:, 2] == approx(0.005 * depth * np.exp(-0.005 * depth), rel=1e-12)
    assert found[:, 0] == approx(0.3 / 0.295 * (np.exp(-0.005 * depth) - np.exp(-0.3 * depth)))


@pytest.mark.parametrize("width", [10.0, 7.0, 8.4])
def test_a_convolved_bixel_keeps_the_product_of_the_integrals(linac, width):
    bixel = convolved_bixel(linac, 800.0, width, 180.0)
    share = np.full(len(bixel.values), 4.0)
    lines = np.where((np.arange(share.size) == 0) & (bixel.first == 0.0), 0.5, 1.0)
    total = (bixel.values * np.multiply.outer(lines, lines)[:, :, None]).sum(axis=(0, 1)) * 4.0
    nodes = np.arange(-120.0, 121.0)
    distance = np.hypot(nodes[:, None], nodes)
    for k in range(3):
        kernel = np.interp(distance, linac.radii, linac.kernels[0, k], right=0.0)
        assert total[k] == approx(kernel.sum() * width**2, rel=1e-4)


def test_engines_refuse_machines_of_the_other_kind(linac, water_box, toy_machine):
    with pytest.raises(CapabilityError, match="delivers photons"):
        compute_influence(water_box, bixels(linac).beams, engine=PencilBeam())
    spots = Plan.from_spots(
        *(toy_machine,), gantry=0, isocentre=(0.0, 0.0, 0.0), x=0.0, y=0.0, energy=100.0, weight=1.0
    )
    with pytest.raises(CapabilityError, match="is for photons"):
        compute_influence(water_box, spots.beams, engine="photon-kernel")


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="lateral cut-off"):
        PhotonKernel(lateral_cutoff=0.0)
    with pytest.raises(SettingsError, match="relative cut-off"):
        PhotonKernel(relative_cutoff=0.9)
    with pytest.raises(UnknownNameError, match="lateral plane"):
        PhotonKernel(lateral_plane="sky")
    with pytest.raises(UnknownNameError, match="primary fluence"):
        PhotonKernel(primary_fluence="horns")
