"""Carbon and helium columns against a plain twin that reads matRad's files by itself.

The twin is matRad's formula written out over all voxels with its stored depths: linear in the
tables, dose Z L, LET and alpha times dose, and the root of beta times dose. Rows differ from
matRad's own along the rim of the cut-off only, which the twin has from its definition.
"""

import numpy as np
import pytest
from scipy.io import loadmat

from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams
from dosegrad.engines.pencil_beam import engine as engine_module
from dosegrad.engines.pencil_beam._setup import rays_of
from dosegrad.errors import CapabilityError, SettingsError
from dosegrad.geometry.grid import Grid
from dosegrad.io.matrad_machine import read_matrad_machine
from dosegrad.patient.water import WaterMedium

PencilBeam = engine_module.PencilBeam
ENERGIES = {"carbon": (208.56, 233.79), "helium": (114.3, 129.32787)}
SPOTS = ((0.0, 0.0), (20.0, -10.0))
GY = 0.016021766


@pytest.fixture(scope="module")
def phantom(data):
    """Medium, body voxels, matRad's depths of them at gantry 0, and its skin."""
    found = np.load(data / "matrad_reference/proton_single.npz", allow_pickle=True)
    geometry = np.load(data / "matrad_reference/geom.npz", allow_pickle=True)
    grid = Grid((60, 80, 100), (3.0, 3.0, 3.0), (-148.5, -118.5, -88.5))
    hlut = geometry["hlut"]
    density = np.interp(geometry["hu"].astype(float), hlut[:, 0], hlut[:, 1])
    body = np.zeros(grid.n_voxels, dtype=bool)
    body[geometry["body"]] = True
    density[~body.reshape(grid.shape)] = 0.0
    voxels = np.flatnonzero(body)
    depths = np.nan_to_num(found["radDepth/0"].ravel()[voxels].astype(float), nan=1e9)
    return WaterMedium(grid, density), voxels, depths


def raw_entries(data, modality):
    """Entries of the file nearest to the energies wanted, as MATLAB has them."""
    machine = loadmat(
        data / f"machines/{modality}_Generic.mat", squeeze_me=True, struct_as_record=False
    )["machine"]
    energies = np.array([d.energy for d in machine.data])
    nearest = [int(np.abs(energies - e).argmin()) for e in ENERGIES[modality]]
    return [machine.data[i] for i in nearest]


def beams_of(machine, entries):
    columns = np.zeros(4, dtype=COLUMN_DTYPE)
    columns["ray"] = [0, 0, 1, 1]
    columns["x"], columns["y"] = np.repeat(SPOTS, 2, axis=0).T
    columns["energy"] = [e.energy for e in entries] * 2
    return Beams(machine, (Beam(0.0, 0.0, (0.0, 0.0, 0.0), 10000.0),), columns)


def filled(columns, n, names):
    """Dense columns (4, n) of each quantity."""
    heads = np.concatenate([[0], np.cumsum(columns.count())])
    indices = np.empty(heads[-1], dtype=np.int32)
    values = {name: np.empty(heads[-1], dtype=np.float32) for name in names}
    columns.fill(heads, indices, values)
    dense = {name: np.zeros((4, n)) for name in names}
    for name in names:
        for k in range(4):
            part = slice(heads[k], heads[k + 1])
            dense[name][k, indices[part]] = values[name][part]
    return dense


def twin(entry, spot, points, depths, ssd, tissue):
    """All quantities of one spot at gantry 0 by matRad's formula; ``points`` LPS, mm."""
    sad = 10000.0
    source = np.array([0.0, -sad, 0.0])
    # at gantry 0 the gantry frame's x is the patient's x and its y the patient's z
    direction = np.array([spot[0], 0.0, spot[1]]) - source
    direction /= np.linalg.norm(direction)
    away = points - source
    r2 = (away**2).sum(axis=1) - (away @ direction) ** 2
    # 1.1 ‰ of the air between nozzle and skin: tables in vacuum
    depth = depths + 0.0011 * (ssd - (sad - 2000.0))

    def at(table):
        return np.interp(depth, entry.depths, table, right=0.0)

    air = np.interp(ssd, entry.initFocus.dist, entry.initFocus.sigma)
    if hasattr(entry, "sigma1"):
        share = at(entry.weight)
        gaussians = [(at(entry.sigma1), 1.0 - share), (at(entry.sigma2), share)]
    else:
        gaussians = [(at(entry.sigma), np.ones_like(depth))]
    variances = [s**2 + air**2 for s, _ in gaussians]
    lateral = sum(
        w / (2 * np.pi * v) * np.exp(-r2 / (2 * v))
        for (_, w), v in zip(gaussians, variances, strict=True)
    )
    dose = GY * at(entry.Z) * lateral / 0.995
    found = {"dose": dose}
    if hasattr(entry, "LET"):
        found["let_dose"] = at(entry.LET) * dose
    if hasattr(entry, "alpha"):
        alpha = np.stack([at(entry.alpha[:, k]) for k in range(2)])
        beta = np.stack([at(entry.beta[:, k]) for k in range(2)])
        here = np.arange(depth.size)
        found["alpha_dose"] = alpha[tissue, here] * dose
        found["sqrt_beta_dose"] = np.sqrt(beta[tissue, here]) * dose
    return found


@pytest.mark.parametrize("modality", ["carbon", "helium"])
def test_columns_with_stored_depths(data, phantom, modality):
    medium, voxels, depths = phantom
    machine = read_matrad_machine(data / f"machines/{modality}_Generic.mat")
    entries = raw_entries(data, modality)
    beams = beams_of(machine, entries)
    engine = PencilBeam()
    names = engine.quantities(machine)
    second = ("alpha_dose", "sqrt_beta_dose") if modality == "carbon" else ("let_dose",)
    assert names == ("dose", *second)
    points = medium.grid.voxel_points(voxels)
    tissue = (points[:, 0] > 5.0).astype(np.int64) if modality == "carbon" else None
    skins = 10000.0 - np.array([9895.0, 9896.5])
    columns = engine.prepare(
        *(medium, beams, 0, voxels), tissue=tissue, depths=depths, skin_heights=skins
    )
    ours = filled(columns, voxels.size, names)
    order = [tuple(s) for s in rays_of(beams, 0)[0]]
    for k in range(4):
        spot = SPOTS[k // 2]
        ssd = 10000.0 - skins[order.index(spot)]
        plain = twin(entries[k % 2], spot, points, depths, ssd, tissue)
        reached = ours["dose"][k] > 0
        assert reached.sum() > 500
        for name in names:
            worst = np.abs(ours[name][k] - plain[name])[reached].max()
            assert worst < 1e-6 * plain[name].max(), name
        # the rim of the cut-off
        assert plain["dose"][~reached].max() < 0.012 * plain["dose"].max()


@pytest.mark.parametrize("modality", ["carbon", "helium"])
def test_columns_with_own_depths(data, phantom, modality):
    """matRad's depths are those at mid-chord of the nearest ray; ours are exact."""
    medium, voxels, depths = phantom
    machine = read_matrad_machine(data / f"machines/{modality}_Generic.mat")
    beams = beams_of(machine, raw_entries(data, modality))
    skins = 10000.0 - np.array([9895.0, 9896.5])
    engine = PencilBeam()
    stored, own = (
        filled(
            engine.prepare(medium, beams, 0, voxels, skin_heights=skins, depths=given),
            *(voxels.size, ("dose",)),
        )["dose"]
        for given in (depths, None)
    )
    for a, b in zip(stored, own, strict=True):
        rows = (a > 0) & (b > 0)
        rms = np.sqrt(np.mean((a - b)[rows] ** 2))
        assert rms < 0.006 * a.max()


def test_tissues_are_checked(data, phantom):
    medium, voxels, _ = phantom
    machine = read_matrad_machine(data / "machines/carbon_Generic.mat")
    beams = beams_of(machine, raw_entries(data, "carbon"))
    zeros = np.zeros(voxels.size, dtype=np.int32)
    with pytest.raises(SettingsError, match=r"0 to 2 is outside those of machine 'carbon_Generic'"):
        PencilBeam().prepare(medium, beams, 0, voxels, tissue=zeros + 2 * (voxels > 90000))
    with pytest.raises(SettingsError, match="give one class for each voxel"):
        PencilBeam().prepare(medium, beams, 0, voxels, tissue=zeros[:5])
    columns = PencilBeam().prepare(medium, beams, 0, voxels)
    with pytest.raises(SettingsError, match="no tissue class was given"):
        filled(columns, voxels.size, ("dose", "alpha_dose"))
    helium = read_matrad_machine(data / "machines/helium_Generic.mat")
    others = beams_of(helium, raw_entries(data, "helium"))
    with pytest.raises(CapabilityError, match="has no alpha and beta tables"):
        PencilBeam().prepare(medium, others, 0, voxels, tissue=zeros)
