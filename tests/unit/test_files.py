"""Archives within limits, and files written whole or not at all."""

import io
import zipfile

import numpy as np
import pytest

from dosegrad import files
from dosegrad.errors import FileFormatError
from dosegrad.files import contents_of, read_archive, replacing

WORDS = ("plan", "save it again")


def archive(path, **entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(name.replace("_", "."), content)
    return path


def array_bytes(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_arrays_and_text_come_back(tmp_path):
    turned = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    place = archive(tmp_path / "a.zip", x_npy=array_bytes(turned), note_txt=b"hello")
    plain, arrays = read_archive(place, *WORDS)
    assert plain == {"note.txt": b"hello"}
    np.testing.assert_array_equal(arrays["x"], turned)


def test_pickles_are_refused(tmp_path):
    content = io.BytesIO()
    np.save(content, np.array([{}], dtype=object), allow_pickle=True)
    place = archive(tmp_path / "a.zip", x_npy=content.getvalue())
    with pytest.raises(FileFormatError, match="not what the entry holds"):
        read_archive(place, *WORDS)


def test_an_array_that_claims_more_than_it_holds_is_refused(tmp_path):
    honest = array_bytes(np.zeros(10))
    for claimed in (b"(99,)", b"(-1,)", b"(9**9,)"):
        place = archive(tmp_path / "a.zip", x_npy=honest.replace(b"(10,)", claimed))
        with pytest.raises(FileFormatError, match="is no plan, or is damaged"):
            read_archive(place, *WORDS)


def test_bombs_are_refused_before_they_unpack(tmp_path, monkeypatch):
    bomb = archive(tmp_path / "bomb.zip", x_npy=bytes(50_000_000), y_txt=b"")
    monkeypatch.setattr(files, "_MAX_GROWTH", 500)
    with pytest.raises(FileFormatError, match="would unpack from"):
        read_archive(bomb, *WORDS)
    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 1_000_000)
    with pytest.raises(FileFormatError, match="would unpack to"):
        read_archive(bomb, *WORDS)
    monkeypatch.setattr(files, "MAX_ENTRIES", 1)
    with pytest.raises(FileFormatError, match="in 2 entries"):
        read_archive(bomb, *WORDS)


def test_names_in_an_archive_never_become_paths(tmp_path):
    place = tmp_path / "a.zip"
    with zipfile.ZipFile(place, "w") as file:
        file.writestr("../../outside.txt", b"x")
    plain, _ = read_archive(place, *WORDS)
    assert plain == {"../../outside.txt": b"x"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "result"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_whatever_goes_wrong_inside_is_one_error():
    for cause in (KeyError("x"), OSError("seek"), MemoryError(), ZeroDivisionError()):
        with (
            pytest.raises(FileFormatError, match="'f' is no plan, or is damaged"),
            contents_of("f", *WORDS),
        ):
            raise cause
    with pytest.raises(KeyboardInterrupt), contents_of("f", *WORDS):
        raise KeyboardInterrupt
