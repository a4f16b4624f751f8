import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import compress
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from dosegrad.errors import FileFormatError
from dosegrad.geometry.frames import PATIENT_POSITIONS
from dosegrad.io.dicom.doses import read_dose

SCALING = 1e-4


def phantom_dose(grid):
    """Doses that differ in every voxel, whole multiples of the scaling."""
    return np.arange(grid.n_voxels, dtype=float).reshape(grid.shape) * 3 * SCALING


@pytest.fixture
def write(tmp_path, dicom):
    """Writes the phantom's dose, stored along any axes; ``change`` may spoil it."""

    def make(*, axes=None, offsets=None, bits=32, syntax=ExplicitVRLittleEndian, change=None):
        axes = np.eye(3) if axes is None else axes
        slices = list(dicom.stored_slices(axes, phantom_dose(dicom.GRID)))
        corner, spacing, thickness, _ = slices[0]
        dtype = {16: "u2", 32: "u4"}[bits]
        stored = np.array([np.rint(pixels / SCALING) for *_, pixels in slices]).astype("<" + dtype)
        data = Dataset()
        data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.2"
        data.SOPInstanceUID = generate_uid()
        data.Modality = "RTSTRUCT"  # wrong, and of no account
        data.PatientName = dicom.SENTINEL
        data.ImagePositionPatient = list(corner)
        data.ImageOrientationPatient = [*axes[:, 0], *axes[:, 1]]
        data.PixelSpacing = list(spacing)
        data.NumberOfFrames, data.Rows, data.Columns = stored.shape
        relative = np.arange(len(stored)) * thickness
        data.GridFrameOffsetVector = list(relative if offsets is None else offsets(relative))
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = bits
        data.HighBit, data.PixelRepresentation = bits - 1, 0
        data.DoseUnits, data.DoseType, data.DoseSummationType = "GY", "PHYSICAL", "PLAN"
        data.DoseGridScaling = SCALING
        big = syntax == ExplicitVRBigEndian
        data.PixelData = (stored.byteswap() if big else stored).tobytes()
        data["PixelData"].VR = "OW"
        if change:
            change(data)
        if syntax != RLELossless:
            return dicom.save(data, tmp_path / "rd.dcm", syntax)
        path = dicom.save(data, tmp_path / "rd.dcm")
        compress(data, RLELossless, encoding_plugin="pydicom")
        data.save_as(path, enforce_file_format=True)
        return path

    return make


def assert_is_phantom(found, dicom):
    grid = found.dose.grid
    assert grid.is_axial
    assert grid.shape == dicom.GRID.shape
    assert grid.spacing == pytest.approx(dicom.GRID.spacing)
    assert grid.origin == pytest.approx(dicom.GRID.origin)
    assert found.dose.array == pytest.approx(phantom_dose(dicom.GRID), abs=1e-12)


@pytest.mark.parametrize(
    ("syntax", "bits"),
    [
        (ImplicitVRLittleEndian, 16),
        (ImplicitVRLittleEndian, 32),
        (ExplicitVRLittleEndian, 16),
        (ExplicitVRLittleEndian, 32),
        (ExplicitVRBigEndian, 16),
        (ExplicitVRBigEndian, 32),
        (RLELossless, 16),  # 32 bits are among the samples; pydicom does not encode them
    ],
)
def test_any_encoding_gives_the_same_dose(write, dicom, bits, syntax):
    assert_is_phantom(read_dose(write(bits=bits, syntax=syntax)), dicom)


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_any_orientation_gives_the_same_dose(write, dicom, position):
    found = read_dose(write(axes=dicom.image_axes(position)))
    assert_is_phantom(found, dicom)
    assert found.warnings == ("rd.dcm: refers to no plan",)


def test_absolute_offsets_are_heights(write, dicom):
    bottom = dicom.GRID.origin[2]
    assert_is_phantom(read_dose(write(offsets=lambda r: r + bottom)), dicom)


@pytest.mark.parametrize("position", ["HFP", "FFS", "FFP"])
def test_absolute_offsets_are_heights_for_flipped_images_too(write, dicom, position):
    axes = dicom.image_axes(position)
    z = [corner[2] for corner, *_ in dicom.stored_slices(axes)]
    assert_is_phantom(read_dose(write(axes=axes, offsets=lambda _: z)), dicom)


@pytest.mark.parametrize("absolute", [False, True])
def test_descending_offsets_turn_the_dose_over(write, dicom, absolute):
    top = dicom.GRID.origin[2] if absolute else 0.0
    found = read_dose(write(offsets=lambda r: top - r))
    assert found.dose.array == pytest.approx(phantom_dose(dicom.GRID)[::-1])
    lowest = dicom.GRID.origin[2] - 3.0 * 4
    assert found.dose.grid.origin == pytest.approx((*dicom.GRID.origin[:2], lowest))


def test_permuted_frames_are_sorted(write, dicom):
    order = [2, 0, 1, 4, 3]
    found = read_dose(write(offsets=lambda r: r[order] - r[order][0]))
    assert found.dose.array == pytest.approx(phantom_dose(dicom.GRID)[np.argsort(order)])


def test_unequal_gaps_are_interpolated_with_a_warning(write, dicom):
    found = read_dose(write(offsets=lambda _: [0.0, 3.0, 6.0, 12.0, 15.0]))
    assert found.dose.grid.shape == (6, *dicom.GRID.shape[1:])
    assert found.dose.grid.spacing[0] == 3.0
    truth = phantom_dose(dicom.GRID)
    assert found.dose.array[[0, 1, 2, 4, 5]] == pytest.approx(truth)
    assert found.dose.array[3] == pytest.approx((truth[2] + truth[3]) / 2)
    assert any("interpolated linearly to 3 mm" in w for w in found.warnings)


def test_a_missing_frame_is_refused(write):
    with pytest.raises(FileFormatError, match=r"rd\.dcm: frames of the dose are 3 to 33 mm apart"):
        read_dose(write(offsets=lambda _: [0.0, 3.0, 6.0, 9.0, 42.0]))


def keep_one(data):
    n = data.Rows * data.Columns * 4
    data.NumberOfFrames, data.PixelData = 1, data.PixelData[:n]
    del data.GridFrameOffsetVector
    data.SliceThickness = 2.5


def test_a_single_plane_is_as_thick_as_its_file_says(write):
    found = read_dose(write(change=keep_one))
    assert found.dose.grid.shape[0] == 1
    assert found.dose.grid.spacing[0] == 2.5
    assert any("single plane; 2.5 mm (its SliceThickness)" in w for w in found.warnings)


def change_to(**values):
    def change(data):
        for keyword, value in values.items():
            if value is None:
                delattr(data, keyword)
            else:
                setattr(data, keyword, value)

    return change


@pytest.mark.parametrize(
    ("values", "quantity"),
    [
        ({"DoseType": "EFFECTIVE"}, "rbe_dose"),
        ({"DoseType": "ERROR"}, "dose_error"),
        ({"DoseUnits": "RELATIVE"}, "relative_dose"),
        ({"DoseType": None}, "dose"),
    ],
)
def test_units_and_type_decide_what_the_dose_is(write, values, quantity):
    assert read_dose(write(change=change_to(**values))).dose.quantity == quantity


def test_references_and_summation_are_kept(write):
    def refer(data):
        beam, group, plan = Dataset(), Dataset(), Dataset()
        beam.ReferencedBeamNumber = 3
        group.ReferencedBeamSequence, group.ReferencedFractionGroupNumber = Sequence([beam]), 1
        plan.ReferencedSOPInstanceUID = "1.2.3"
        plan.ReferencedFractionGroupSequence = Sequence([group])
        data.ReferencedRTPlanSequence = Sequence([plan])
        data.DoseSummationType = "BEAM"

    found = read_dose(write(change=refer))
    assert found.plans == {"1.2.3"}
    assert found.beams == {3}
    assert (found.summation, found.fraction_group, found.warnings) == ("BEAM", 1, ())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"DoseUnits": None}, "no known meaning"),
        ({"DoseUnits": "CGY"}, "no known meaning"),
        ({"DoseGridScaling": None}, "DoseGridScaling is missing"),
        ({"DoseGridScaling": 0}, "DoseGridScaling must be positive"),
        ({"PixelRepresentation": 1}, "signed ones of 32"),
        ({"GridFrameOffsetVector": [0, 3, 6]}, "5 frames but 3 offsets"),
        ({"GridFrameOffsetVector": None}, "5 frames but 0 offsets"),
        ({"GridFrameOffsetVector": [7, 10, 13, 16, 19]}, "neither with 0 nor with the height"),
        ({"GridFrameOffsetVector": [0, 3, 3, 6, 9]}, "at the same place"),
        ({"PixelSpacing": [0, 1]}, "PixelSpacing must be positive"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "perpendicular"),
        ({"NumberOfFrames": 2 * 10**9}, "is not possible"),
        ({"PixelData": None}, "no PixelData"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.5"}, "no RT dose"),
    ],
)
def test_what_has_no_meaning_is_refused(write, dicom, values, message):
    with pytest.raises(FileFormatError, match=message) as caught:
        read_dose(write(change=change_to(**values)))
    assert "rd.dcm" in str(caught.value)
    assert dicom.SENTINEL not in str(caught.value)


def test_truncation_and_damage_give_our_error(write, tmp_path):
    content = write().read_bytes()
    for n_bytes in range(140, len(content) - 1, 97):
        (tmp_path / "rd.dcm").write_bytes(content[:n_bytes])
        with pytest.raises(FileFormatError):
            read_dose(tmp_path / "rd.dcm")
    random = np.random.default_rng(3)
    for _ in range(200):
        spoiled = bytearray(content)
        for place in random.integers(132, len(content), 3):
            spoiled[place] = random.integers(256)
        (tmp_path / "rd.dcm").write_bytes(bytes(spoiled))
        try:
            read_dose(tmp_path / "rd.dcm")
        except FileFormatError as error:
            assert "rd.dcm" in str(error)
