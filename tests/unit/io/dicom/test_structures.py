import numpy as np
import pytest

from dosegrad.errors import FileFormatError
from dosegrad.io.dicom import limits, structures
from dosegrad.io.dicom.structures import read_structures

HEIGHTS = (30.0, 33.0, 36.0, 39.0)


@pytest.fixture
def stack(dicom):
    def make(x=-2.0, y=13.0, size=4.0):
        return [dicom.square(x, y, z, size) for z in HEIGHTS]

    return make


def test_structures_have_shape_role_and_colour(tmp_path, dicom, stack):
    rois = [
        dicom.roi("Boost", stack(), interpreted="PTV"),
        dicom.roi("Outline", stack(-4.0, 11.0, 9.0), interpreted="EXTERNAL"),
        dicom.roi("Cord", stack(), interpreted="ORGAN"),
    ]
    found = read_structures(dicom.write_structures(tmp_path / "rs.dcm", rois))
    roles = {name: s.role for name, s in found.structures.items()}
    assert roles == {"Boost": "target", "Outline": "external", "Cord": "organ"}
    assert found.structures["Boost"].volume_cc == pytest.approx(16 * 9 / 1000)
    assert found.structures["Boost"].colour == (1.0, 0.0, 0.2)
    assert found.warnings == ()


@pytest.mark.parametrize("refer", [True, False])
def test_optional_sequences_may_be_missing(tmp_path, dicom, stack, refer):
    path = dicom.write_structures(tmp_path / "rs.dcm", [dicom.roi("A", stack())], refer=refer)
    assert list(read_structures(path).structures) == ["A"]


def test_roles_come_from_names_where_no_type_is_given(tmp_path, dicom, stack):
    rois = [dicom.roi(n, stack()) for n in ("PTV_60", "gtv", "BODY", "Rectum-PTV", "ITV 2")]
    found = read_structures(dicom.write_structures(tmp_path / "rs.dcm", rois))
    assert [s.role for s in found.structures.values()] == [
        *("target", "target", "external", "organ", "target")
    ]
    assert found.warnings == (
        "roles taken from names: 'PTV_60' target, 'gtv' target, 'BODY' external, 'ITV 2' target",
    )


def test_only_one_outline_stays_external(tmp_path, dicom, stack):
    rois = [dicom.roi("BODY", stack()), dicom.roi("Skin 2", stack(), interpreted="EXTERNAL")]
    found = read_structures(dicom.write_structures(tmp_path / "rs.dcm", rois))
    assert {n: s.role for n, s in found.structures.items()} == {
        "BODY": "organ",
        "Skin 2": "external",
    }
    assert any("'BODY' is a second outline" in w for w in found.warnings)


def test_roi_without_contours_is_told_and_left_out(tmp_path, dicom, stack):
    rois = [dicom.roi("Areola", None), dicom.roi("Empty", []), dicom.roi("A", stack())]
    found = read_structures(dicom.write_structures(tmp_path / "rs.dcm", rois))
    assert list(found.structures) == ["A"]
    assert "without closed contours, left out: 'Areola', 'Empty'" in found.warnings


def test_points_and_open_lines_are_ignored_with_a_warning(tmp_path, dicom, stack):
    rois = [
        dicom.roi("Iso", [[(0, 0, 30)]], kind="POINT"),
        dicom.roi("Wire", stack(), kind="OPEN_PLANAR"),
        dicom.roi("Short", [*stack(), [(0, 0, 30), (1, 0, 30)]]),
        dicom.roi("Xor", stack(), kind="CLOSEDPLANAR_XOR"),
    ]
    found = read_structures(dicom.write_structures(tmp_path / "rs.dcm", rois))
    assert list(found.structures) == ["Short", "Xor"]
    text = "\n".join(found.warnings)
    assert "'Iso': 1 points ignored" in text
    assert "'Wire': 4 open lines ignored" in text
    assert "'Short': 1 contours with fewer than 3 points left out" in text


def test_names_become_unique_and_printable(tmp_path, dicom, stack):
    rois = [dicom.roi(n, stack()) for n in ("PTV", "PTV", "", "a\x07b")]
    found = read_structures(dicom.write_structures(tmp_path / "rs.dcm", rois))
    assert list(found.structures) == ["PTV", "PTV (2)", "ROI 3", "ab"]


def test_order_of_contours_means_nothing(tmp_path, dicom, stack):
    rois = [dicom.roi("A", stack()), dicom.roi("B", [stack()[k] for k in (2, 0, 3, 1)])]
    found = read_structures(dicom.write_structures(tmp_path / "rs.dcm", rois)).structures
    masks = [found[name].mask(dicom.GRID) for name in "AB"]
    assert masks[0].any()
    assert (masks[0] == masks[1]).all()


def test_lone_planes_take_the_spacing_of_the_images(tmp_path, dicom):
    rois = [dicom.roi("A", [dicom.square(0, 13, 30)])]
    path = dicom.write_structures(tmp_path / "rs.dcm", rois)
    assert read_structures(path, spacing=2.5).structures["A"].volume_cc == pytest.approx(0.04)
    assert any("1 mm was taken" in w for w in read_structures(path).warnings)


def test_structure_on_skewed_planes_is_left_out_not_the_set(tmp_path, dicom, stack):
    skewed = [[(0, 13, 30), (4, 13, 35), (4, 17, 31), (0, 17, 39)]]
    rois = [dicom.roi("Skewed", skewed), dicom.roi("A", stack())]
    found = read_structures(dicom.write_structures(tmp_path / "rs.dcm", rois))
    assert list(found.structures) == ["A"]
    assert any(w.startswith("'Skewed' left out: contours of one structure") for w in found.warnings)


def spoil_contour(keyword, vr, value):
    def change(data):
        contour = data.ROIContourSequence[0].ContourSequence[1]
        contour.add_new(keyword, vr, value)

    return change


@pytest.mark.parametrize(
    "change",
    [
        spoil_contour("ContourData", "DS", ["1", "2", "3", "4"]),
        spoil_contour("ContourData", "LO", "nan\\0\\0\\1\\1\\0\\2\\2\\0\\3\\3\\0"),
        spoil_contour("ContourData", "LO", "here"),
        spoil_contour("ContourData", "FD", [0.0, 1.0]),
        spoil_contour("NumberOfContourPoints", "IS", 9),
        spoil_contour("NumberOfContourPoints", "LO", "many"),
        lambda data: data.add_new("ROIContourSequence", "LO", "gone"),
        lambda data: delattr(data, "ROIContourSequence"),
        lambda data: delattr(data.ROIContourSequence[0], "ReferencedROINumber"),
        lambda data: setattr(data.StructureSetROISequence[1], "ROINumber", 1),
    ],
)
def test_impossible_sets_give_one_error_that_names_the_file(tmp_path, dicom, stack, change):
    rois = [dicom.roi("A", stack()), dicom.roi("B", None)]
    path = dicom.write_structures(tmp_path / "rs.dcm", rois, change=change)
    with pytest.raises(FileFormatError, match=r"rs\.dcm"):
        read_structures(path)


def test_truncation_anywhere_is_refused(tmp_path, dicom, stack):
    path = dicom.write_structures(tmp_path / "rs.dcm", [dicom.roi("A", stack())])
    content = path.read_bytes()
    for n_bytes in range(140, len(content) - 1, 61):
        path.write_bytes(content[:n_bytes])
        with pytest.raises(FileFormatError):
            read_structures(path)


def test_random_damage_gives_our_error_or_structures(tmp_path, dicom, stack):
    path = dicom.write_structures(tmp_path / "rs.dcm", [dicom.roi("A", stack())])
    content = path.read_bytes()
    random = np.random.default_rng(11)
    for _ in range(300):
        spoiled = bytearray(content)
        for place in random.integers(132, len(content), 3):
            spoiled[place] = random.integers(256)
        path.write_bytes(bytes(spoiled))
        try:
            read_structures(path)
        except FileFormatError as error:
            assert dicom.SENTINEL not in str(error)


@pytest.mark.parametrize("limit", ["MAX_ROIS", "MAX_CONTOUR_POINTS"])
def test_limits_hold(tmp_path, dicom, stack, monkeypatch, limit):
    assert getattr(limits, limit) >= 10_000
    monkeypatch.setattr(structures, limit, 1)
    rois = [dicom.roi("A", stack()), dicom.roi("B", stack())]
    path = dicom.write_structures(tmp_path / "rs.dcm", rois)
    with pytest.raises(FileFormatError, match="more than 1"):
        read_structures(path)


def test_ct_is_no_structure_set(tmp_path, dicom):
    dicom.write_ct(tmp_path)
    with pytest.raises(FileFormatError, match="no RT structure set; give the RTSTRUCT file"):
        read_structures(tmp_path / "000.dcm")


def test_missing_file_gives_our_error(tmp_path):
    with pytest.raises(FileFormatError, match=r"gone\.dcm: cannot be opened"):
        read_structures(tmp_path / "gone.dcm")
