"""Proton columns of matRad (c014dc82), single Gaussian, 0.995 cut-off compensated.

Numbers: matRad's own depths, spot sizes and radii give the same values to float32. matRad cuts a
column off at radii that it finds by summing shells at 35 depths for the widest spot of an energy,
and interpolates between those; ours are exact at every knot and for every spot. So the sets of
rows differ along the rim, by voxels below 1 % of a column's maximum. matRad also leaves out the
outermost layer of the body seen from the beam; ours has it.
"""

import numpy as np
import pytest

from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams
from dosegrad.engines.pencil_beam._setup import rays_of
from dosegrad.engines.pencil_beam.engine import PencilBeam
from dosegrad.geometry.grid import Grid
from dosegrad.io.matrad_machine import read_matrad_machine
from dosegrad.patient.water import WaterMedium


@pytest.fixture(scope="module")
def case(data):
    """Reference, medium, body voxels and beams."""
    found = dict(np.load(data / "matrad_reference/proton_single.npz", allow_pickle=True))
    geometry = np.load(data / "matrad_reference/geom.npz", allow_pickle=True)
    machine = read_matrad_machine(data / "machines/protons_Generic.mat", gaussians="single")
    grid = Grid((60, 80, 100), (3.0, 3.0, 3.0), (-148.5, -118.5, -88.5))
    hlut = geometry["hlut"]
    density = np.interp(geometry["hu"].astype(float), hlut[:, 0], hlut[:, 1])
    body = np.zeros(grid.n_voxels, dtype=bool)
    body[geometry["body"]] = True
    density[~body.reshape(grid.shape)] = 0.0
    fields, columns = [], []
    for b in (0, 1):
        fields.append(
            Beam(
                *(float(found[f"stf/{b}/gantry"]), float(found[f"stf/{b}/couch"])),
                *((0.0, 0.0, 0.0), float(found["SAD"])),
            )
        )
        ray = found[f"stf/{b}/rayOfBixel"]
        part = np.zeros(ray.size, dtype=COLUMN_DTYPE)
        part["beam"], part["ray"] = b, ray
        part["x"], part["y"] = found[f"stf/{b}/rayPos_bev"][ray][:, [0, 2]].T
        part["energy"] = found[f"stf/{b}/energies"]
        columns.append(part)
    beams = Beams(machine, tuple(fields), np.concatenate(columns))
    return found, WaterMedium(grid, density), np.flatnonzero(body), beams


def prepared(case, beam, *, stored):
    found, medium, voxels, beams = case
    settings = {}
    if stored:
        positions = found[f"stf/{beam}/rayPos_bev"][:, [0, 2]]
        ssd = found[f"SSD/{beam}"]
        at = [np.flatnonzero((positions == s).all(axis=1))[0] for s in rays_of(beams, beam)[0]]
        depths = np.nan_to_num(found[f"radDepth/{beam}"].ravel()[voxels].astype(float), nan=1e9)
        settings = {"depths": depths, "skin_heights": float(found["SAD"]) - ssd[at]}
    return PencilBeam().prepare(medium, beams, beam, voxels, **settings)


def columns_of(case, *, stored):
    """Pairs of ours and matRad's dose and LET-dose over all voxels, for the stored columns."""
    found, medium, voxels, _beams = case
    columns = prepared(case, 0, stored=stored)
    heads = np.concatenate([[0], np.cumsum(columns.count())])
    indices = np.empty(heads[-1], dtype=np.int32)
    values = {name: np.empty(heads[-1], dtype=np.float32) for name in ("dose", "let_dose")}
    columns.fill(heads, indices, values)
    pairs = []
    for k, column in enumerate(found["sel"]):
        assert found["beamNum"][column] == 0
        rows = voxels[indices[heads[column] : heads[column + 1]]]
        for ours, theirs in (("dose", "physicalDose"), ("let_dose", "mLETDose")):
            a, b = np.zeros((2, medium.grid.n_voxels))
            a[rows] = values[ours][heads[column] : heads[column + 1]]
            b[found[f"physicalDose/{k}/ix"]] = found[f"{theirs}/{k}/v"]
            pairs.append((a, b))
    return pairs


def test_columns_with_stored_depths(case):
    for ours, matrad in columns_of(case, stored=True):
        both = (ours > 0) & (matrad > 0)
        assert both.sum() > 4700
        assert np.abs(ours - matrad)[both].max() < 1e-6 * matrad.max()
        # the rim of the cut-off
        assert matrad[ours == 0].max() < 0.01 * matrad.max()
        assert np.count_nonzero((matrad > 0) & (ours == 0)) < 0.03 * both.sum()


def test_columns_with_exact_depths(case):
    for ours, matrad in columns_of(case, stored=False):
        rows = matrad > 0
        rms = np.sqrt(np.mean((ours - matrad)[rows] ** 2))
        assert rms < 0.005 * matrad.max()


def test_whole_oblique_beam(case):
    """Unit weights at gantry 40, couch 20, where matRad's depths are off by up to 0.7 mm."""
    found, _medium, voxels, _beams = case
    matrad = found["dose/1"].ravel()[voxels].astype(float)
    for stored, limit in ((True, 0.003), (False, 0.01)):
        columns = prepared(case, 1, stored=stored)
        ours = np.zeros(voxels.size)
        columns.add_dose(np.ones(columns.rays.columns.size), ours)
        rows = (matrad > 0) & (ours > 0)
        rms = np.sqrt(np.mean((ours - matrad)[rows] ** 2))
        assert rms < limit * matrad.max()
