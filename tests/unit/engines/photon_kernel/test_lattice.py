"""Bixels on a lattice: the same matrix as bixel by bixel, and when there is no lattice."""

from dataclasses import replace

import numpy as np
import pytest
from pytest import approx

from dosegrad.engines.photon_kernel import _lattice_kernels, _lattice_reference
from dosegrad.engines.photon_kernel.engine import PhotonKernel
from dosegrad.geometry.grid import Grid
from dosegrad.machine.library import load_machine
from dosegrad.plan import Plan


class Phantom:
    def __init__(self):
        self.grid = Grid((14, 24, 30), (4.0, 5.0, 6.0), (-87.0, -57.5, -26.0))
        self.electron_density = 0.8 + 0.4 * np.random.default_rng(2).random(self.grid.shape)


def prepared(x, y, *, width=5.0, shift=0.0, **settings):
    """Columns of a beam; not all voxels of the grid have rows."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    plan = Plan.from_bixels(
        *(load_machine("generic-6mv"),),
        gantry=70.0,
        couch=15.0,
        isocentre=(4.0, -3.0, 2.0),
        x=x,
        y=y,
        width=width,
        weight=np.ones(x.size),
    )
    medium = Phantom()
    voxels = np.flatnonzero(np.random.default_rng(3).random(medium.grid.n_voxels) < 0.7)
    engine = PhotonKernel(**{"lateral_cutoff": 30.0, **settings})
    return engine.prepare(medium, plan.beams, 0, voxels, raster_shift=shift)


def rugged(spacing=5.0):
    """Places of a target with a hole and a gap."""
    kept = np.ones((9, 12), dtype=bool)
    kept[3:5, 4:8] = kept[7] = kept[0, :5] = False
    rows, columns = np.nonzero(kept)
    order = np.random.default_rng(4).permutation(rows.size)
    return spacing * (columns[order] - 5.5), spacing * (rows[order] - 4.0)


def matrix(columns):
    counts = columns.count()
    heads = np.concatenate([[0], np.cumsum(counts)])
    indices, dose = np.zeros(heads[-1], dtype=np.int32), np.zeros(heads[-1], dtype=np.float32)
    columns.fill(heads[:-1], indices, {"dose": dose})
    return counts, indices, dose


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"width": 4.5},  # an odd number of rasters
        {"primary_fluence": "machine"},
        {"shift": 0.2},
        {"lateral_cutoff": 3.0},
    ],
)
def test_a_lattice_gives_the_matrix_of_single_bixels(case):
    columns = prepared(*rugged(case.get("width", 5.0)), **case)
    assert columns.lattice is not None
    fast, slow = matrix(columns), matrix(replace(columns, lattice=None))
    assert np.array_equal(fast[0], slow[0])
    assert np.array_equal(fast[1], slow[1])
    assert fast[2] == approx(slow[2], rel=2e-6, abs=1e-7 * float(slow[2].max()))


def test_its_kernels_equal_their_twins():
    columns = prepared(*rugged()).lattice
    length = 1000
    inputs = (columns.scene, columns.lattice, length)
    n_runs, n_places = -(-columns.scene.rows.size // length), columns.lattice.scales.size
    assert n_runs > 3
    counts = np.zeros((2, n_runs, n_places), dtype=np.int64)
    for k, module in enumerate((_lattice_kernels, _lattice_reference)):
        module.count_runs(*inputs, 0, n_runs, counts[k])
    assert np.array_equal(*counts)
    ends = np.cumsum(counts[0].T.ravel()).reshape(n_places, n_runs).T
    heads = ends - counts[0]
    heads[:, np.setdiff1d(np.arange(n_places), columns.places)] = -1
    moved = heads.copy(), heads.copy()
    indices = np.full((2, ends[-1, -1]), -1, dtype=np.int32)
    dose = np.zeros(indices.shape, dtype=np.float32)
    for k, module in enumerate((_lattice_kernels, _lattice_reference)):
        module.fill_runs(*inputs, 0, n_runs, moved[k], indices[k], dose[k])
    assert np.array_equal(*moved)
    assert np.array_equal(*indices)
    assert dose[0] == approx(dose[1], rel=2e-6, abs=1e-7 * float(dose[1].max()))


@pytest.mark.parametrize(
    "case",
    [
        {"x": [0.0, 5.0, 11.0], "y": [0.0, 0.0, 0.0]},  # off the lattice
        {"x": [0.0, 0.0], "y": [0.0, 0.0]},  # twice at the same place
        {"x": [0.0, 500.0], "y": [0.0, 500.0]},  # too far apart
        {"x": [0.0, 5.3], "y": [0.0, 0.0], "width": 5.3},  # no whole number of rasters
        {"x": [0.0, 5.0], "y": [0.0, 0.0], "width": [5.0, 7.0]},
        {"x": [0.0, 5.0], "y": [0.0, 0.0], "lateral_plane": "ray"},
        {"x": [0.0, 5.0], "y": [0.0, 0.0], "relative_cutoff": 0.01},
        {"x": [0.0, 5.0], "y": [0.0, 0.0], "primary_fluence": "exact"},
    ],
)
def test_where_there_is_no_lattice_bixels_are_taken_one_by_one(case):
    columns = prepared(**case)
    assert columns.lattice is None
    assert matrix(columns)[1].size > 0
