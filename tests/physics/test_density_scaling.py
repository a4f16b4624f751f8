"""Photons in lung and bone: kernels scaled across the ray by density."""

from dataclasses import replace

import numpy as np
import pytest
from pytest import approx

from dosegrad.beams.apertures import Apertures
from dosegrad.engines.photon_kernel.density_scaling import mean_density, scaled_machine
from dosegrad.engines.photon_kernel.engine import PhotonKernel
from dosegrad.engines.photon_kernel.model import convolved_bixel
from dosegrad.geometry.grid import Grid
from dosegrad.machine.library import load_machine
from dosegrad.machine.photon import HeadScatter
from dosegrad.plan import Plan

SCALED = PhotonKernel(lateral_cutoff=150.0, density_scaling="lateral")
PLAIN = replace(SCALED, density_scaling="none")


class Medium:
    """Voxels of 2 mm across the beam and 5 mm along it; the skin 100 mm above the isocentre."""

    def __init__(self, density, shape=(60, 40, 60)):
        self.grid = Grid(shape, (2.0, 5.0, 2.0), (-59.0, -97.5, -59.0))
        self.electron_density = np.broadcast_to(density, shape).astype(float)


@pytest.fixture(scope="module")
def pencil():
    """The 6 MV machine without blur by its sources, so that kernels alone make penumbras."""
    machine = load_machine("generic-6mv")
    return replace(machine, penumbra_fwhm=0.0, head_scatter=HeadScatter())


def field(machine, width):
    return Plan.from_bixels(
        machine, gantry=0.0, isocentre=(0.0, 0.0, 0.0), x=[0.0], y=[0.0], width=width, weight=[1.0]
    )


def line(machine, engine, density, width):
    """Dose across a field 50 mm below the isocentre, whatever the density, mm and Gy."""
    medium = Medium(density)
    plan = field(machine, width)
    voxels = np.ravel_multi_index((np.full(60, 30), np.full(60, 30), np.arange(60)), (60, 40, 60))
    columns = engine.prepare(medium, plan.beams, 0, voxels, depths=np.full(60, 100.0), ssd=900.0)
    dose = np.zeros(60)
    columns.add_dose(np.ones(1), dose)
    return np.arange(60) * 2.0 - 59.0, dose


def penumbra(x, dose):
    """From 80 to 20 % of the dose on the axis, mm."""
    right = x > 0
    ends = np.interp([-0.8 * dose.max(), -0.2 * dose.max()], -dose[right], x[right])
    return float(ends[1] - ends[0])


def test_water_is_water(pencil):
    plain = line(pencil, PLAIN, 1.0, 20.0)[1]
    assert line(pencil, SCALED, 1.0, 20.0)[1] == approx(plain, rel=1e-12)


def test_a_field_in_lung_is_a_narrower_one_in_water(pencil):
    """O'Connor: four times the field in a quarter of the density, seen four times nearer."""
    lung = convolved_bixel(scaled_machine(pencil, 900.0, 0.25), 900.0, 40.0, 100.0)
    water = convolved_bixel(pencil, 900.0, 10.0, 25.0)
    place = (lung.first + np.arange(len(lung.values))) * pencil.raster
    nodes = (water.first + np.arange(len(water.values))) * pencil.raster
    for k in range(3):
        # along the middle of the field, beside its edge by more than a pixel in water
        there = (place < 95.0) & (np.abs(place - 20.0) > 4.0)
        scaled = np.interp(place[there] / 4.0, nodes, water.values[0, :, k])
        assert lung.values[0, there, k] == approx(scaled, abs=0.01 * water.values[0, 0, k])


@pytest.mark.parametrize("density", [0.25, 0.5])
def test_a_penumbra_widens_by_the_ratio_of_densities(pencil, density):
    wide = penumbra(*line(pencil, SCALED, density, 60.0))
    narrow = convolved_bixel(pencil, 900.0, 60.0 * density, 30.0)
    assert wide == approx(penumbra(*_axis(pencil, narrow)) / density, rel=0.06)
    assert wide > 1.5 * penumbra(*line(pencil, PLAIN, density, 60.0))


def _axis(machine, bixel):
    """Profile along the middle at the depth of :func:`line`, in the plane of its voxels."""
    from dosegrad.engines.photon_kernel.model import depth_components

    factors = depth_components(machine, np.array([100.0]))[0]
    x = (bixel.first + np.arange(len(bixel.values))) * machine.raster * 1.0525
    return x, bixel.values[0] @ factors


def test_narrow_fields_lose_dose_in_lung_and_broad_ones_keep_it(pencil):
    for width, low, high in ((20.0, 0.6, 0.8), (100.0, 0.85, 0.95)):
        doses = [line(pencil, engine, 0.25, width)[1][30] for engine in (SCALED, PLAIN)]
        assert low < doses[0] / doses[1] < high
    # all there is, whatever the density
    for density in (0.15, 0.45, 1.4):
        scaled = scaled_machine(pencil, 900.0, density)
        sums = [_volume(m, 900.0, r) for m, r in ((scaled, 40.0 / density), (pencil, 40.0))]
        assert sums[0] == approx(sums[1], rel=2e-3)


def _volume(machine, ssd, radius):
    """Integral of each kernel over a disk, but for the raster at its rim."""
    step = machine.raster
    x = np.arange(-np.ceil(radius / step), np.ceil(radius / step) + 1) * step
    distance = np.hypot(x[:, None], x)
    kernels = machine.kernels_at(ssd)
    return np.array(
        [np.interp(distance, machine.radii, k)[distance < radius].sum() * step**2 for k in kernels]
    )


def test_mixed_densities_lie_between_their_kernels(pencil):
    doses = [line(pencil, SCALED, d, 20.0)[1][30] for d in (0.22, 0.26, 0.32, 1.0, 1.2, 1.4)]
    assert (np.diff(doses) > 0).all()


def test_the_mean_density_neither_sees_air_nor_the_skin():
    grid = Grid((10, 20, 12), (2.0, 3.0, 4.0), (0.0, 0.0, 0.0))
    density = np.zeros(grid.shape)
    density[:, 8:] = 1.0
    found = mean_density(grid, density)
    assert (found[:, 8:] == 1.0).all()
    assert found[5, 0, 5] == 0.0
    density[:, 14:] = 0.3
    found = mean_density(grid, density)[5, :, 5]
    assert found[8] == approx(1.0, abs=0.02)
    assert (np.diff(found[9:]) <= 0).all()
    assert found[-1] == approx(0.3, abs=0.02)


@pytest.mark.parametrize("fluence", ["uniform", pytest.param("exact", marks=pytest.mark.slow)])
def test_an_open_field_is_the_sum_of_its_bixels_in_lung_too(fluence):
    machine = load_machine("generic-6mv")
    density = np.ones((60, 40, 60))
    density[:, 12:] = 0.3
    medium = Medium(density)
    engine = replace(SCALED, primary_fluence=fluence)
    x, y = (v.ravel() for v in np.meshgrid([-15.0, -5.0, 5.0, 15.0], [-15.0, -5.0, 5.0, 15.0]))
    plan = Plan.from_bixels(
        *(machine,), gantry=0.0, isocentre=(0.0, 0.0, 0.0), x=x, y=y, width=10.0, weight=1.0
    )
    voxels = np.flatnonzero(medium.electron_density.ravel() > 0)[::7]
    bixels = engine.forward(medium, plan.beams, plan.weights, voxels)
    plain = replace(engine, density_scaling="none")
    unscaled = plain.forward(medium, plan.beams, plan.weights, voxels)
    assert np.abs(bixels - unscaled).max() > 0.03 * bixels.max()
    leaves = replace(
        machine.collimator, transmission=0.0, jaw_transmission=0.0, leaf_end_offset=0.0
    )
    bare = replace(machine, collimator=leaves)
    field = Apertures.open_field(
        leaves, width=40.0, height=40.0, monitor_units=machine.mu_per_weight
    )
    whole = engine.forward_apertures(medium, replace(plan.beams, machine=bare), field, voxels)
    assert whole == approx(bixels, abs=1e-3 * float(bixels.max()))
