"""Rays and frames against matRad (e0404/matRad, commit c014dc82, run in GNU Octave 7.3).

Lengths agree to 1e-10 mm: both codes are exact, so only round-off of coordinates of about 1000 mm
remains (2e-13 mm each, amplified where a ray is nearly parallel to a plane).
"""

import numpy as np
import pytest

from dosegrad.geometry.depth import water_equivalent_depth
from dosegrad.geometry.frames import gantry_to_patient
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.rays import path_integrals, trace_ray

RAYS = range(10)
GRID = Grid(shape=(60, 80, 100), spacing=(3.0, 3.0, 3.0), origin=(-148.5, -118.5, -88.5))


@pytest.fixture(scope="module")
def geometry(data):
    with np.load(data / "matrad_reference" / "geom.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def density(geometry):
    """Density by the table of the few HU that occur; 0 outside the body."""
    table = dict(zip(geometry["hu_values"], geometry["density_of_hu"], strict=True))
    found = np.vectorize(table.__getitem__)(geometry["hu"]).astype(float)
    body = np.zeros(GRID.n_voxels, dtype=bool)
    body[geometry["body"]] = True
    return found, np.where(body.reshape(GRID.shape), found, 0.0)


def ends_of(geometry, ray):
    return (geometry["iso"] + geometry[name][ray] for name in ("src", "tgt"))


@pytest.mark.parametrize("ray", RAYS)
def test_chords_voxels_and_crossings(geometry, density, ray):
    start, end = ends_of(geometry, ray)
    path = trace_ray(GRID, start, end)
    assert path.voxels.tolist() == geometry[f"S/{ray}/ix"].tolist()
    np.testing.assert_allclose(path.lengths, geometry[f"S/{ray}/l"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(path.alphas, geometry[f"S/{ray}/alphas"], rtol=0, atol=1e-13)
    np.testing.assert_allclose(
        density[0].ravel()[path.voxels], geometry[f"S/{ray}/rho"], rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("ray", RAYS)
def test_integrals(geometry, density, ray):
    start, end = ends_of(geometry, ray)
    expected = geometry[f"S/{ray}/l"] @ geometry[f"S/{ray}/rho"]
    assert path_integrals(GRID, density[0], start, [end])[0] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("beam", range(6))
def test_frames(geometry, beam):
    """matRad's view has its source at -y and z along the couch: (x, y, z) of IEC is (x, z, -y)."""
    view_of_gantry = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    gantry, couch = geometry["angles"][beam]
    expected = geometry["rot"][:, :, beam] @ view_of_gantry
    np.testing.assert_allclose(gantry_to_patient(gantry, couch), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("file", "distance", "beam", "bias", "spread"),
    [
        # Rays almost along y: matRad's depth at mid-chord is then nearly that of the centre.
        ("proton_single", 10000.0, 0, 1e-4, 2e-4),
        # Elsewhere matRad takes the nearest traced ray, which may enter the stepped surface one
        # voxel (3 mm) earlier or later: no bias, but a spread of a part of a voxel.
        ("proton_single", 10000.0, 1, 0.1, 0.7),
        ("photon", 1000.0, 0, 0.1, 0.7),
        ("photon", 1000.0, 1, 0.1, 0.7),
    ],
)
def test_depths_in_the_target(data, geometry, density, file, distance, beam, bias, spread):
    with np.load(data / "matrad_reference" / f"{file}.npz", allow_pickle=False) as stored:
        expected = stored[f"radDepth/{beam}"].ravel()[geometry["target"]]
    source = distance * gantry_to_patient(*geometry["angles"][beam])[:, 2]
    points = GRID.voxel_points(geometry["target"])
    difference = water_equivalent_depth(GRID, density[1], points, source=source) - expected
    assert abs(difference.mean()) < bias
    assert difference.std() < spread
