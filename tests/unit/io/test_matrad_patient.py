"""Patients from matRad's files."""

import numpy as np
import pytest
from scipy.io import savemat

from dosegrad import read_patient
from dosegrad.errors import FileFormatError


def test_tg119(data):
    patient = read_patient(data / "phantoms/TG119.mat")
    grid = patient.ct.grid
    assert grid.shape == (129, 167, 167)
    assert grid.spacing == (2.5, 3.0, 3.0)
    assert grid.origin == (-250.0, -250.0, -160.0)
    counts = {n: int(s.mask(grid).sum()) for n, s in patient.structures.items()}
    assert counts == {"Core": 1320, "OuterTarget": 7458, "BODY": 601736}
    roles = {n: s.role for n, s in patient.structures.items()}
    assert roles == {"Core": "organ", "OuterTarget": "target", "BODY": "external"}
    target = patient.objectives["OuterTarget"][0]
    assert (target.kind, target.weight, dict(target.settings)) == (
        "squared-deviation",
        1000.0,
        {"dose": 50.0},
    )
    assert "Eclipse" not in repr(patient) + patient.name
    # Tissue lies inside the outline: rows and columns are not exchanged.
    body = patient.external.mask(grid)
    assert np.median(patient.ct.hu[body]) > -200
    assert np.mean(patient.ct.hu[~body] < -500) > 0.95


def test_box_phantom_without_coordinates_and_with_turned_hlut(data):
    patient = read_patient(data / "phantoms/BOXPHANTOM.mat")
    assert patient.ct.grid.shape == (160, 160, 160)
    assert patient.ct.grid.origin == (-238.5, -238.5, -238.5)
    assert patient.calibration.stopping_power_ratio(0.0) == pytest.approx(1.0)


def small_patient(path, **changes):
    cube = np.arange(2 * 3 * 4, dtype=float).reshape(2, 3, 4)  # y, x, z
    cst = np.empty((1, 6), dtype=object)
    voxels = np.empty((1, 1), dtype=object)
    voxels[0, 0] = np.array([1, 8])
    cst[0] = [
        0,
        "PTV",
        "TARGET",
        voxels,
        {"Priority": 1},
        {
            "className": "DoseObjectives.matRad_MaxDVH",
            "parameters": np.array([30.0, 40.0], dtype=object),
            "penalty": 7.0,
        },
    ]
    content = {
        "ct": {"cubeHU": cube, "resolution": {"x": 1.0, "y": 2.0, "z": 3.0}},
        "cst": cst,
    }
    content.update(changes)
    savemat(path, content)
    return path


def test_axes_indices_and_parameters(tmp_path):
    patient = read_patient(small_patient(tmp_path / "p.mat"))
    assert patient.ct.grid.shape == (4, 2, 3)
    assert patient.ct.hu[3, 1, 2] == 23.0
    inside = np.argwhere(patient.structures["PTV"].mask(patient.ct.grid))
    # linear index 1 is (y, x, z) = (0, 0, 0); 8 is (1, 0, 1) with y fastest
    assert inside.tolist() == [[0, 0, 0], [1, 1, 0]]
    record = patient.objectives["PTV"][0]
    assert (record.kind, dict(record.settings)) == ("max-dvh", {"dose": 30.0, "volume": 0.4})


def test_truncated_and_foreign_files_are_refused(tmp_path, data):
    whole = (data / "phantoms/BOXPHANTOM.mat").read_bytes()
    for n in (0, 100, 5000, len(whole) - 1000):
        part = tmp_path / "part.mat"
        part.write_bytes(whole[:n])
        with pytest.raises(FileFormatError, match=r"part\.mat"):
            read_patient(part)
    savemat(tmp_path / "other.mat", {"x": 1.0})
    with pytest.raises(FileFormatError, match="holds no matRad patient"):
        read_patient(tmp_path / "other.mat")
    with pytest.raises(FileFormatError, match="no patient at"):
        read_patient(tmp_path / "missing.mat")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FileFormatError, match="no patient that can be read"):
        read_patient(tmp_path / "notes.txt")


def test_garbled_fields_are_one_error(tmp_path):
    for ct in ({"cubeHU": np.zeros((2, 2, 2))}, {"resolution": 3.0, "cubeHU": np.zeros((2, 2, 2))}):
        with pytest.raises(FileFormatError, match="lacks or garbles"):
            read_patient(small_patient(tmp_path / "bad.mat", ct=ct))
