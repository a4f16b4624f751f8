import struct
import zlib

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dosegrad.errors import FileFormatError
from dosegrad.io.dicom import stream
from dosegrad.io.dicom.stream import is_dicom, read_data_set


def header(syntax):
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    return b"\0" * 128 + b"DICM" + struct.pack("<HH2sH", 2, 0x10, b"UI", len(value)) + value


def test_nesting_without_end_is_refused_before_the_stack_ends(tmp_path):
    opened = struct.pack("<HHLHHL", 0x0040, 0xA730, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    path = tmp_path / "deep.dcm"
    path.write_bytes(header(stream.IMPLICIT_LITTLE) + opened * 400)
    with pytest.raises(FileFormatError, match="nested more than 32 deep"):
        read_data_set(path)


def test_deflated_bomb_is_refused_before_it_unfolds(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "MAX_INFLATED_BYTES", 1000)
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(b"\0" * 5000) + packer.flush()
    path = tmp_path / "bomb.dcm"
    path.write_bytes(header(DeflatedExplicitVRLittleEndian) + packed)
    with pytest.raises(FileFormatError, match="inflates to more than"):
        read_data_set(path)


def test_large_file_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "MAX_FILE_BYTES", 100)
    path = tmp_path / "large.dcm"
    path.write_bytes(header(stream.EXPLICIT_LITTLE) + b"\0" * 200)
    with pytest.raises(FileFormatError, match="is more than a file may have"):
        read_data_set(path)


def test_sequences_of_undefined_length_are_followed_to_their_end(tmp_path, dicom):
    inner, outer, data = Dataset(), Dataset(), Dataset()
    inner.ROIName = "inner"
    outer.StructureSetROISequence = Sequence([inner])
    outer["StructureSetROISequence"].is_undefined_length = True
    data.SOPClassUID, data.SOPInstanceUID = dicom.CT_CLASS, "1.2.3"
    data.ROIContourSequence = Sequence([outer])
    data["ROIContourSequence"].is_undefined_length = True
    path = dicom.save(data, tmp_path / "a.dcm")
    found = read_data_set(path)
    assert found.ROIContourSequence[0].StructureSetROISequence[0].ROIName == "inner"
    content = path.read_bytes()
    path.write_bytes(content[:-8])  # without the delimiter that ends the outer sequence
    with pytest.raises(FileFormatError, match="cut off"):
        read_data_set(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + b"\0" * 300, b"\0" * 500])
def test_other_files_are_not_taken_for_dicom(tmp_path, content):
    path = tmp_path / "other.bin"
    path.write_bytes(content)
    assert not is_dicom(path)
