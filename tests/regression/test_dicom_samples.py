"""Every CT and structure set of the sample data loads; what may be refused stands here."""

import math

import pytest

from dosegrad.errors import FileFormatError
from dosegrad.io.dicom.ct import read_ct
from dosegrad.io.dicom.folder import STRUCTURE_SET
from dosegrad.io.dicom.slices import CT_IMAGE
from dosegrad.io.dicom.stream import is_dicom, read_data_set
from dosegrad.io.dicom.structures import read_structures
from dosegrad.io.dicom.study import read_dicom

#: Files that may be refused, and why. No CT and no structure set is among them: structure sets
#: with dangling references (invalid_reference_rt, non_existent_reference_rt) share the frame of
#: reference of their CT and are matched by it.
REFUSED = {"pydicom_rt/rtplan_truncated.dcm": "it was cut off"}

CT_FOLDERS = {
    # folder: shape (z, y, x), spacing mm, first voxel mm, lowest and highest HU
    "opentps_simple_phantom": ((200, 200, 200), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (50, 300)),
    "dicompyler_breast": (
        *((1, 512, 512), (3.0, 1.074219, 1.074219), (-275.0, -524.0, 168.5593)),
        (-1000, 1457),
    ),
    "rtutils_mock": (
        *((2, 512, 512), (5.0, 0.488281, 0.488281), (-125.0, -125.0, 60.0)),
        (-1008, 125),
    ),
}

STRUCTURE_SETS = {
    "dicompyler_breast/rtss.dcm": 9,
    "pydicom_rt/rtstruct.dcm": 1,
    "rtutils_mock/rt.dcm": 1,
    "rtutils_mock/invalid_reference_rt.dcm": 4,
    "rtutils_mock/non_existent_reference_rt.dcm": 4,
}


@pytest.fixture(scope="module")
def samples(data):
    return data / "dicom"


def test_every_file_is_read_or_stands_among_the_refused(samples):
    classes = {}
    for path in sorted(p for p in samples.rglob("*") if p.is_file() and is_dicom(p)):
        name = path.relative_to(samples).as_posix()
        if name in REFUSED:
            with pytest.raises(FileFormatError, match=REFUSED[name]):
                read_data_set(path)
        else:
            classes.setdefault(str(read_data_set(path).SOPClassUID), []).append(name)
    assert {name.split("/")[0] for name in classes[CT_IMAGE]} == set(CT_FOLDERS)
    named = {n for n in classes[STRUCTURE_SET] if not n.startswith("opentps")}
    assert named == set(STRUCTURE_SETS)


@pytest.mark.parametrize("folder", CT_FOLDERS)
def test_every_ct_loads(samples, folder):
    shape, spacing, origin, (lowest, highest) = CT_FOLDERS[folder]
    ct = read_ct(samples / folder).ct
    assert ct.grid.is_axial
    assert ct.grid.shape == shape
    assert ct.grid.spacing == pytest.approx(spacing, abs=1e-9)
    assert ct.grid.origin == pytest.approx(origin, abs=1e-9)
    assert (ct.hu.min(), ct.hu.max()) == (lowest, highest)


@pytest.mark.parametrize("name", STRUCTURE_SETS)
def test_every_structure_set_loads_by_itself(samples, name):
    found = read_structures(samples / name)
    assert len(found.structures) == STRUCTURE_SETS[name]
    assert all(s.volume_cc > 0 for s in found.structures.values())


def test_phantom_target_is_a_sphere(samples):
    patient = read_dicom(samples / "opentps_simple_phantom").patient
    target = patient.structures["TargetVolume"]
    assert target.role == "target"
    voxels = patient.mask("TargetVolume").sum() * patient.ct.grid.voxel_volume_cc
    assert target.volume_cc == pytest.approx(voxels, rel=0.01)
    low, high = target.shape.bounds
    diameter = (high - low).mean()
    # the file leaves out the two poles, which are single points
    assert target.volume_cc == pytest.approx(math.pi / 6 * diameter**3 / 1000, rel=0.1)


def test_breast_with_one_slice_tells_what_lies_outside(samples):
    study = read_dicom(samples / "dicompyler_breast")
    assert study.patient.external.name == "BODY"
    text = "\n".join(study.warnings)
    assert "single slice" in text
    assert "'Areola'" in text
    assert "wholly outside the CT, without any voxel: 'Borders'" in text


@pytest.mark.parametrize("name", [n for n in STRUCTURE_SETS if n.startswith("rtutils")])
def test_mock_sets_load_with_their_ct(samples, name):
    study = read_dicom(samples / "rtutils_mock", structure_set=name.split("/")[1])
    grid = study.patient.ct.grid
    assert all(s.mask(grid).any() for s in study.patient.structures.values())


def test_folder_with_three_sets_asks_for_one(samples):
    with pytest.raises(FileFormatError, match="3 structure sets belong to the CT"):
        read_dicom(samples / "rtutils_mock")
