"""Small planning cases whose influence is made up, as fixture ``toy``."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csc_array

from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams
from dosegrad.influence.matrix import Influence
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.particle import ParticleMachine
from dosegrad.patient.patient import Patient


def machine(name="toy", energies=(100.0, 120.0)):
    depths = np.array([0.0, 50.0, 80.0, 90.0])
    data = tuple(
        PencilBeamData(
            energy=e,
            depths=depths,
            dose=np.array([1.0, 1.5, 4.0, 0.0]),
            sigmas=np.full((1, 4), 3.0),
            weights=np.ones((1, 4)),
            let=np.array([1.0, 1.2, 4.0, 9.0]),
            range=85.0,
            peak=80.0,
            focus_distance=np.array([0.0, 100.0]),
            focus_sigma=np.array([4.0, 4.0]),
        )
        for e in energies
    )
    return ParticleMachine(name, "protons", 2000.0, 400.0, data)


def beams(n_columns, n_beams=2):
    columns = np.zeros(n_columns, dtype=COLUMN_DTYPE)
    columns["beam"] = np.sort(np.arange(n_columns) % n_beams)
    for beam in range(n_beams):
        here = np.flatnonzero(columns["beam"] == beam)
        side = int(np.ceil(np.sqrt(here.size)))
        columns["x"][here] = 5.0 * (np.arange(here.size) % side)
        columns["y"][here] = 5.0 * (np.arange(here.size) // side)
    columns["ray"] = np.arange(n_columns)
    columns["energy"] = 100.0
    fields = tuple(Beam(90.0 * b, 0.0, (0.0, 0.0, 0.0), 2000.0) for b in range(n_beams))
    return Beams(machine(), fields, columns)


def patient(shape=(6, 9, 12), spacing=(4.0, 3.0, 2.5), **roles):
    nz, ny, nx = shape
    z, y, x = np.mgrid[:nz, :ny, :nx]
    target = (abs(z - 2.5) < 2) & (abs(y - 4) < 2) & (abs(x - 6) < 2.5)
    organ = (abs(z - 2.5) < 2) & (abs(y - 4) < 3) & (x >= 8) & (x < 11)
    structures = {"Target": target, "Organ": organ, "Body": np.ones(shape, bool)}
    return Patient.from_arrays(
        np.zeros(shape),
        spacing=spacing,
        structures=structures,
        roles={"Target": "target", "Body": "external", **roles},
    )


def influence(n_columns=40, seed=0, of=None):
    """Gaussian blobs at random places in the body."""
    subject = of or patient()
    grid = subject.ct.grid
    rng = np.random.default_rng(seed)
    points = grid.voxel_points(np.arange(grid.n_voxels))
    target = points[subject.structures["Target"].mask(grid).ravel()]
    centres = target[rng.integers(len(target), size=n_columns)]
    centres = centres + rng.normal(size=(n_columns, 3)) * 2.0
    squared = ((points[:, None] - centres[None]) ** 2).sum(axis=-1)
    dense = np.exp(-squared / (2 * 5.0**2))
    dense[dense < 1e-3] = 0.0
    matrix = csc_array(dense.astype(np.float32))
    return Influence(subject, beams(n_columns), grid, np.arange(grid.n_voxels), matrix)


@pytest.fixture(scope="session")
def toy():
    """Makers of a small machine, beams, patient and influence."""
    return SimpleNamespace(machine=machine, beams=beams, patient=patient, influence=influence)
