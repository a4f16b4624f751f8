import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the usual name
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import compress
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
    generate_uid,
)

from dosegrad.errors import FileFormatError
from dosegrad.geometry.frames import PATIENT_POSITIONS
from dosegrad.io.dicom import pixels as pixels_module
from dosegrad.io.dicom.ct import read_ct

JPEG_SYNTAX = {"JPEG": JPEGLosslessSV1, "JPEG2000": JPEG2000Lossless}


def assert_is_phantom(found, dicom, tolerance=1e-6):
    grid = found.ct.grid
    assert grid.is_axial
    assert grid.shape == dicom.GRID.shape
    assert grid.spacing == pytest.approx(dicom.GRID.spacing, abs=tolerance)
    assert grid.origin == pytest.approx(dicom.GRID.origin, abs=tolerance)
    assert np.array_equal(found.ct.hu, dicom.phantom_hu())


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_every_patient_position_gives_the_same_volume(tmp_path, dicom, position):
    dicom.write_ct(tmp_path, position=position)
    found = read_ct(tmp_path)
    assert_is_phantom(found, dicom)
    assert found.ct.position == position
    assert found.warnings == ()


@pytest.mark.parametrize(
    "axes",
    [
        [[0, 0, 1], [1, 0, 0], [0, -1, 0]],  # sagittal: rows to the back, columns to the feet
        [[1, 0, 0], [0, 0, 1], [0, -1, 0]],  # coronal
        [[0, 1, 0], [1, 0, 0], [0, 0, -1]],  # transposed axial
    ],
    ids=["sagittal", "coronal", "transposed"],
)
def test_any_orthogonal_orientation_gives_the_same_volume(tmp_path, dicom, axes):
    dicom.write_ct(tmp_path, axes=np.array(axes, dtype=float))
    found = read_ct(tmp_path)
    assert_is_phantom(found, dicom)
    assert any("image axes are not those usual" in w for w in found.warnings)


@pytest.mark.parametrize("order", [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3]], ids=["reversed", "mixed"])
def test_names_of_files_mean_nothing(tmp_path, dicom, order):
    dicom.write_ct(tmp_path, order=order)
    assert_is_phantom(read_ct(tmp_path), dicom)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian],
    ids=["implicit", "deflated"],
)
def test_any_encoding_gives_the_same_volume(tmp_path, dicom, syntax):
    dicom.write_ct(tmp_path, syntax=syntax)
    assert_is_phantom(read_ct(tmp_path), dicom)


def test_big_endian_gives_the_same_volume(tmp_path, dicom):
    def swap(data, k):
        data.PixelData = np.frombuffer(data.PixelData, "<i2").astype(">i2").tobytes()

    dicom.write_ct(tmp_path, change=swap, syntax=ExplicitVRBigEndian)
    assert_is_phantom(read_ct(tmp_path), dicom)


def test_run_length_encoding_gives_the_same_volume(tmp_path, dicom):
    def pack(data, k):
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        compress(data, RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)

    dicom.write_ct(tmp_path, change=pack, syntax=RLELossless)
    assert_is_phantom(read_ct(tmp_path), dicom)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_jpeg_without_loss_gives_the_same_volume(tmp_path, dicom, kind):
    def pack(data, k):
        data.PixelData, data.file_meta = jpeg_pixels(data, tmp_path / "jpeg", kind)
        data["PixelData"].VR = "OB"
        syntaxes.append(data.file_meta.TransferSyntaxUID)

    syntaxes = []
    dicom.write_ct(tmp_path / "ct", change=pack, syntax=JPEG_SYNTAX[kind])
    assert set(syntaxes) == {JPEG_SYNTAX[kind]}
    assert_is_phantom(read_ct(tmp_path / "ct"), dicom)


def test_damaged_jpeg_gives_our_error(tmp_path, dicom):
    def pack(data, k):
        data.PixelData, _ = jpeg_pixels(data, tmp_path / "jpeg", "JPEG2000")
        if k == 2:
            data.PixelData = data.PixelData[:60] + bytes(len(data.PixelData) - 60)
        data["PixelData"].VR = "OB"

    dicom.write_ct(tmp_path / "ct", change=pack, syntax=JPEG_SYNTAX["JPEG2000"])
    with pytest.raises(FileFormatError, match=r"cannot be decoded|damaged"):
        read_ct(tmp_path / "ct")


def jpeg_pixels(data, folder, kind):
    """Pixels of a slice compressed without loss, and the header of the file they come from."""
    folder.mkdir(exist_ok=True)
    shape = data.Rows, data.Columns
    image = sitk.GetImageFromArray(np.frombuffer(data.PixelData, "<i2").reshape(1, *shape))
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(folder / "one.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor(kind)
    writer.Execute(image)
    packed = dcmread(folder / "one.dcm")
    return packed.PixelData, packed.file_meta


def test_unsigned_pixels_and_other_scale_give_the_same_volume(tmp_path, dicom):
    def unsigned(data, k):
        values = np.frombuffer(data.PixelData, "<i2").astype(float) * 2 - 1024
        data.PixelRepresentation = 0
        data.RescaleSlope, data.RescaleIntercept = "0.5", "-2000"
        data.PixelData = ((values + 2000) * 2).astype("<u2").tobytes()

    dicom.write_ct(tmp_path, change=unsigned)
    assert_is_phantom(read_ct(tmp_path), dicom)


def test_tiny_noise_in_the_orientation_is_ignored(tmp_path, dicom):
    def noise(data, k):
        data.ImageOrientationPatient = ["1", "0.0", "-1.224647e-16", "2e-6", "0.999999", "0"]

    dicom.write_ct(tmp_path, change=noise)
    assert_is_phantom(read_ct(tmp_path), dicom)


def test_file_without_preamble_is_read(tmp_path, dicom):
    dicom.write_ct(tmp_path)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        path.write_bytes(content[132:])
    assert_is_phantom(read_ct(tmp_path), dicom)


def test_enhanced_ct_gives_the_same_volume(tmp_path, dicom):
    slices = list(dicom.stored_slices(dicom.image_axes("HFS")))
    data = Dataset()
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    data.SOPInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.FrameOfReferenceUID, data.PatientPosition = generate_uid(), "HFS"
    data.Rows, data.Columns, data.NumberOfFrames = 7, 9, len(slices)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    measures, scale, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [2.0, 1.5], 3.0
    scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 1, 0, "HU"
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PixelValueTransformationSequence = Sequence([scale])
    shared.PlaneOrientationSequence = Sequence([plane])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    order = [3, 0, 4, 1, 2]
    data.PerFrameFunctionalGroupsSequence = Sequence()
    for k in order:
        place, frame = Dataset(), Dataset()
        place.ImagePositionPatient = list(slices[k][0])
        frame.PlanePositionSequence = Sequence([place])
        data.PerFrameFunctionalGroupsSequence.append(frame)
    data.PixelData = np.stack([slices[k][3] for k in order]).astype("<i2").tobytes()
    dicom.save(data, tmp_path / "all.dcm")
    assert_is_phantom(read_ct(tmp_path), dicom)


def test_oblique_ct_keeps_its_direction(tmp_path, dicom):
    angle = np.deg2rad(12.0)
    turn = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )

    def lean(data, k):
        axes = turn @ np.eye(3)
        data.ImageOrientationPatient = [f"{v:.10f}" for v in (*axes[:, 0], *axes[:, 1])]
        place = turn @ np.array([float(v) for v in data.ImagePositionPatient])
        data.ImagePositionPatient = [f"{v:.10f}" for v in place]

    dicom.write_ct(tmp_path, change=lean)
    grid = read_ct(tmp_path).ct.grid
    assert np.allclose(grid.direction, turn, atol=1e-9)
    corner = grid.to_point(np.array(grid.shape) - 1)
    assert corner == pytest.approx(turn @ dicom.GRID.to_point(np.array(dicom.GRID.shape) - 1))


def test_gantry_tilt_is_refused_with_a_remedy(tmp_path, dicom):
    def shift(data, k):
        x, y, z = data.ImagePositionPatient
        data.ImagePositionPatient = [x, float(y) + 0.6 * k, z]

    dicom.write_ct(tmp_path, change=shift)
    with pytest.raises(FileFormatError, match=r"gantry tilt.*correct the tilt"):
        read_ct(tmp_path)


def test_slices_at_the_same_place_are_refused(tmp_path, dicom):
    def same(data, k):
        if k == 3:
            x, y, z = data.ImagePositionPatient
            data.ImagePositionPatient = [x, y, float(z) - 3.0]

    dicom.write_ct(tmp_path, change=same)
    with pytest.raises(FileFormatError, match=r"different slices at the same place"):
        read_ct(tmp_path)


def test_the_same_file_twice_is_read_once(tmp_path, dicom):
    dicom.write_ct(tmp_path)
    (tmp_path / "copy.dcm").write_bytes((tmp_path / "002.dcm").read_bytes())
    found = read_ct(tmp_path)
    assert_is_phantom(found, dicom)
    assert any("in the folder twice" in w for w in found.warnings)


def test_irregular_slices_are_interpolated_to_the_smallest_gap(tmp_path, dicom):
    heights = [30.0, 32.0, 34.0, 38.0, 42.0]

    def move(data, k):
        x, y, _ = data.ImagePositionPatient
        data.ImagePositionPatient = [x, y, heights[k]]
        data.RescaleSlope, data.RescaleIntercept = 1, 0
        data.PixelData = np.full((7, 9), round(10 * heights[k]), "<i2").tobytes()

    dicom.write_ct(tmp_path, change=move)
    found = read_ct(tmp_path)
    assert found.ct.grid.spacing[0] == pytest.approx(2.0)
    assert found.ct.hu[:, 0, 0] == pytest.approx(10 * np.arange(30.0, 43.0, 2.0))
    assert any("2 to 4 mm apart" in w for w in found.warnings)


def test_one_missing_slice_is_filled_and_told(tmp_path, dicom):
    dicom.write_ct(tmp_path)
    (tmp_path / "002.dcm").unlink()
    found = read_ct(tmp_path)
    assert found.ct.grid.shape == dicom.GRID.shape
    assert any("3 to 6 mm apart" in w for w in found.warnings)


def test_a_large_hole_is_refused(tmp_path, dicom):
    def far(data, k):
        if k == 4:
            x, y, z = data.ImagePositionPatient
            data.ImagePositionPatient = [x, y, float(z) + 30]

    dicom.write_ct(tmp_path, change=far)
    with pytest.raises(FileFormatError, match=r"slices are missing: 33 mm between"):
        read_ct(tmp_path)


def test_single_slice_uses_its_thickness(tmp_path, dicom):
    dicom.write_ct(tmp_path)
    for k in range(4):
        (tmp_path / f"{k:03d}.dcm").unlink()
    found = read_ct(tmp_path)
    assert found.ct.grid.shape == (1, 7, 9)
    assert found.ct.grid.spacing[0] == 3.0
    assert any("single slice" in w for w in found.warnings)


def test_single_slice_without_thickness_is_refused(tmp_path, dicom):
    def thin(data, k):
        del data.SliceThickness

    dicom.write_ct(tmp_path, change=thin)
    for k in range(4):
        (tmp_path / f"{k:03d}.dcm").unlink()
    with pytest.raises(FileFormatError, match="put the whole series"):
        read_ct(tmp_path)


def test_several_series_need_a_choice(tmp_path, dicom):
    first = dicom.write_ct(tmp_path / "a")
    dicom.write_ct(tmp_path / "b")
    with pytest.raises(FileFormatError, match=r"2 CT series \(.*with 5 slices.*series='"):
        read_ct(tmp_path)
    assert_is_phantom(read_ct(tmp_path, series=first.series[-12:]), dicom)


def test_localisers_are_left_out(tmp_path, dicom):
    ids = dicom.write_ct(tmp_path)

    def scout(data, k):
        data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    dicom.write_ct(tmp_path / "scout", ids=ids, change=scout)
    assert_is_phantom(read_ct(tmp_path), dicom)


def test_padding_becomes_air(tmp_path, dicom):
    def pad(data, k):
        values = np.frombuffer(data.PixelData, "<i2").copy()
        values[:4] = -2000
        data.PixelData = values.tobytes()
        data.add_new("PixelPaddingValue", "SS", -2000)

    dicom.write_ct(tmp_path, change=pad)
    found = read_ct(tmp_path)
    assert (found.ct.hu[:, 0, :4] == -1000).all()
    assert any(w.startswith("20 pixels marked as padding") for w in found.warnings)


def test_missing_patient_position_is_told(tmp_path, dicom):
    def forget(data, k):
        data.PatientPosition = ""

    dicom.write_ct(tmp_path, change=forget)
    found = read_ct(tmp_path)
    assert found.ct.position == "HFS"
    assert any("head first supine was taken" in w for w in found.warnings)


@pytest.mark.parametrize(
    "keyword",
    [
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "Rows",
        "RescaleSlope",
        "RescaleIntercept",
        "PixelData",
        "PhotometricInterpretation",
        "BitsAllocated",
    ],
)
def test_missing_attribute_gives_one_error_that_names_the_file(tmp_path, dicom, keyword):
    def forget(data, k):
        if k == 2:
            del data[keyword]

    dicom.write_ct(tmp_path, change=forget)
    with pytest.raises(FileFormatError, match=r"002\.dcm"):
        read_ct(tmp_path)


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("ImagePositionPatient", "LO", "here"),
        ("ImagePositionPatient", "US", [1, 2, 3, 4]),
        ("ImageOrientationPatient", "DS", ["1", "0", "0", "1", "0", "0"]),
        ("PixelSpacing", "LO", "0\\-1"),
        ("Rows", "LO", "many"),
        ("RescaleSlope", "LO", "nan"),
        ("RescaleSlope", "DS", "0"),
        ("ImagePositionPatient", "LO", "nan\\0\\0"),
        ("PixelSpacing", "LO", "inf\\1"),
        ("Rows", "US", 60000),
        ("PatientPosition", "CS", "SITTING"),
        ("NumberOfFrames", "IS", 10**7),
    ],
)
def test_impossible_values_give_one_error(tmp_path, dicom, keyword, vr, value):
    def spoil(data, k):
        data.add_new(keyword, vr, value)

    dicom.write_ct(tmp_path, change=spoil)
    with pytest.raises(FileFormatError, match=r"\.dcm"):
        read_ct(tmp_path)


def test_truncated_slice_is_refused(tmp_path, dicom):
    dicom.write_ct(tmp_path)
    path = tmp_path / "001.dcm"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileFormatError, match=r"001\.dcm: is damaged: it was cut off"):
        read_ct(tmp_path)


def test_truncation_anywhere_gives_our_error_or_the_volume(tmp_path, dicom):
    dicom.write_ct(tmp_path)
    path = tmp_path / "001.dcm"
    content = path.read_bytes()
    for n_bytes in range(132, len(content) - 1, 37):
        path.write_bytes(content[:n_bytes])
        with pytest.raises(FileFormatError):
            read_ct(tmp_path)


def test_random_damage_gives_our_error_or_a_volume(tmp_path, dicom):
    dicom.write_ct(tmp_path)
    path = tmp_path / "001.dcm"
    content = path.read_bytes()
    random = np.random.default_rng(7)
    for _ in range(150):
        spoiled = bytearray(content)
        for place in random.integers(0, len(content), 3):
            spoiled[place] = random.integers(256)
        path.write_bytes(bytes(spoiled))
        try:
            read_ct(tmp_path)
        except FileFormatError as error:
            assert dicom.SENTINEL not in str(error)


class PanicException(BaseException):
    """Like what a decoder written in another language raises."""


def test_panic_of_a_decoder_becomes_our_error(tmp_path, dicom, monkeypatch):
    def panic(*_, **__):
        raise PanicException(dicom.SENTINEL)

    monkeypatch.setattr("pydicom.pixels.pixel_array", panic)
    dicom.write_ct(tmp_path)
    with pytest.raises(FileFormatError, match=r"000\.dcm.*PanicException") as caught:
        read_ct(tmp_path)
    assert dicom.SENTINEL not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_interruption_is_not_swallowed(tmp_path, dicom, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pixels_module, "decode", interrupt)
    dicom.write_ct(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        read_ct(tmp_path)
