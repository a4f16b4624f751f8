import json
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from dosegrad import rbe
from dosegrad.beams.steering import steer
from dosegrad.errors import (
    CapabilityError,
    FileFormatError,
    OutputError,
    PatientError,
    PlanError,
    UnknownNameError,
)
from dosegrad.influence.build import compute_influence
from dosegrad.influence.scenarios import Scenarios
from dosegrad.io.influence import load_influence, save_influence

ENDINGS = [".npz", ".zarr"]


@pytest.fixture(scope="module")
def influence(water_box, toy_machine):
    beams = steer(water_box, toy_machine, target="Target", gantry=[0.0, 90.0], spot_spacing=12.0)
    model = rbe.McNamara({"Target": rbe.Tissue(0.3, 0.03)}, other=rbe.Tissue(0.1, 0.05))
    return compute_influence(water_box, beams, rbe=model, voxels=["Target"])


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("rows", ["voxels", "grid"])
def test_what_is_saved_is_loaded(influence, tmp_path, ending, rows):
    path = tmp_path / f"influence{ending}"
    save_influence(influence, path, rows=rows)
    again = load_influence(path, influence.patient)
    np.testing.assert_array_equal(again.voxels, influence.voxels)
    assert again.grid == influence.grid
    assert again.quantities == influence.quantities
    for name in influence.quantities:
        one, other = again.quantity(name), influence.quantity(name)
        assert one.data.dtype == np.float32
        assert one.indices.dtype == np.int32
        assert (one != other).nnz == 0
    assert again.rbe == influence.rbe
    np.testing.assert_array_equal(again.tissue.alpha, influence.tissue.alpha)
    np.testing.assert_array_equal(again.beams.columns, influence.beams.columns)
    assert again.beams.fields == influence.beams.fields
    assert not again.covers_body
    weights = np.ones(again.beams.n_columns)
    one, other = (x.dose(weights, quantity="rbe_dose", fractions=5) for x in (again, influence))
    np.testing.assert_array_equal(one.array, other.array)
    save_influence(again, path, rows=rows)  # an old one is replaced


@pytest.mark.parametrize("rows", ["voxels", "grid"])
def test_scipy_reads_the_file(influence, tmp_path, rows):
    path = tmp_path / "influence.npz"
    save_influence(influence, path, rows=rows)
    matrix = sparse.load_npz(path)
    with np.load(path) as file:
        voxels = file["voxels"]
        let = file["quantities/let_dose"]
    if rows == "voxels":
        assert (matrix != influence.matrix).nnz == 0
    else:
        assert matrix.shape == (influence.grid.n_voxels, influence.beams.n_columns)
        assert (matrix.tocsr()[voxels] != influence.matrix.tocsr()).nnz == 0
    np.testing.assert_array_equal(let, influence.extra["let_dose"])


def test_zarr_reads_the_folder(influence, tmp_path):
    import zarr

    save_influence(influence, tmp_path / "influence.zarr")
    group = zarr.open_group(str(tmp_path / "influence.zarr"), mode="r")
    parts = tuple(group[name][...] for name in ("data", "indices", "indptr"))
    matrix = sparse.csc_array(parts, shape=tuple(group["shape"][...]))
    assert (matrix != influence.matrix).nnz == 0
    assert group.attrs["format"] == "csc"
    assert json.loads(group.attrs["manifest"])["kind"] == "influence"


@pytest.mark.parametrize("kind", ["csc", "csr", "coo"])
def test_matrices_of_other_programs(influence, tmp_path, kind):
    """A row for every voxel, in our order or matRad's; those outside the body are dropped."""
    whole = compute_influence(influence.patient, influence.beams)
    grid = whole.grid
    dense = np.zeros((grid.n_voxels, whole.beams.n_columns), dtype=np.float32)
    dense[whole.voxels] = whole.matrix.toarray()
    path = tmp_path / "dij.npz"
    sparse.save_npz(path, sparse.csc_matrix(dense).asformat(kind))
    found = load_influence(path, whole.patient, beams=whole.beams, grid=grid)
    np.testing.assert_array_equal(found.voxels, whole.voxels)
    assert (found.matrix != whole.matrix).nnz == 0
    # matRad: cubes (y, x, z), the first axis fastest
    cubes = dense.reshape(*grid.shape, -1).transpose(1, 2, 0, 3)
    theirs = cubes.reshape(-1, dense.shape[1], order="F")
    theirs = np.stack([c.ravel(order="F") for c in np.moveaxis(cubes, -1, 0)], axis=1)
    sparse.save_npz(path, sparse.csc_array(theirs).asformat(kind))
    found = load_influence(path, whole.patient, beams=whole.beams, grid=grid, order="matrad")
    assert (found.matrix != whole.matrix).nnz == 0


def test_what_does_not_fit_is_told(influence, tmp_path, monkeypatch):
    patient, path = influence.patient, tmp_path / "influence.npz"
    save_influence(influence, path)
    hu = patient.ct.hu.copy()
    hu[0, 0, 0] = 50
    with pytest.raises(PatientError, match="was computed for another CT"):
        load_influence(path, replace(patient, ct=replace(patient.ct, hu=hu)))
    with pytest.raises(PlanError, match="holds beams and grid of its own"):
        load_influence(path, patient, grid=influence.grid)
    with pytest.raises(FileFormatError, match=r"ends in '\.mat'; use \.npz"):
        save_influence(influence, tmp_path / "influence.mat")
    with pytest.raises(UnknownNameError, match="no choice of rows 'voxel'"):
        save_influence(influence, path, rows="voxel")
    with pytest.raises(FileFormatError, match="does not exist"):
        load_influence(tmp_path / "none.zarr", patient)
    with pytest.raises(OutputError, match="cannot be written"):
        save_influence(influence, tmp_path / "no" / "folder.npz")
    with pytest.raises(OutputError, match="cannot be written"):
        save_influence(influence, tmp_path / "no" / "folder.zarr")
    (tmp_path / "mine.zarr").mkdir()
    with pytest.raises(OutputError, match="is no Zarr folder"):
        save_influence(influence, tmp_path / "mine.zarr")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(CapabilityError, match=r"pip install 'dosegrad\[zarr\]'"):
        save_influence(influence, tmp_path / "influence.zarr")


def test_plain_matrices_need_grid_and_beams(influence, tmp_path):
    path = tmp_path / "dij.npz"
    sparse.save_npz(path, sparse.csc_array((3, 4)))
    with pytest.raises(PlanError, match="give grid= and beams="):
        load_influence(path, influence.patient)
    with pytest.raises(PlanError, match="is 3 x 4, but the grid has"):
        load_influence(path, influence.patient, grid=influence.grid, beams=influence.beams)


def test_damage_is_told(influence, tmp_path):
    path = tmp_path / "influence.npz"
    save_influence(influence, path)
    broken = tmp_path / "broken.npz"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(broken, "w") as new:
        for entry in old.namelist():
            if entry != "voxels.npy":
                new.writestr(entry, old.read(entry))
    with pytest.raises(FileFormatError, match="is no influence file, or is damaged"):
        load_influence(broken, influence.patient)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FileFormatError, match="is no influence file, or is damaged"):
        load_influence(path, influence.patient)


def test_scenarios_are_not_written(influence, tmp_path):
    robust = compute_influence(
        influence.patient,
        influence.beams,
        voxels=["Target"],
        scenarios=Scenarios.worst_case(setup=3.0),
        robust_structures=["Target"],
    )
    with pytest.raises(CapabilityError, match=r"replace\(influence, scenarios=None\)"):
        save_influence(robust, tmp_path / "influence.npz")
