"""Results appear whole or not at all, and never in place of somebody else's files."""

import pytest
from matplotlib.figure import Figure

from dosegrad.cli.output import MARKER, check_picture, output_folder, save_picture
from dosegrad.errors import OutputError


def write_into(path, **files):
    with output_folder(path) as folder:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")


def names(path):
    return sorted(p.name for p in path.iterdir())


def test_the_folder_appears_when_the_work_is_done(tmp_path):
    out = tmp_path / "plan"
    with output_folder(out) as folder:
        (folder / "dose").write_text("1", encoding="utf-8")
        assert not out.exists()
    assert names(out) == sorted(["dose", MARKER])
    assert names(tmp_path) == ["plan"]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_nothing_remains_of_work_that_stopped(tmp_path, stop):
    out = tmp_path / "plan"
    with pytest.raises(stop), output_folder(out) as folder:
        (folder / "dose").write_text("1", encoding="utf-8")
        raise stop
    assert names(tmp_path) == []


def test_an_earlier_result_is_replaced_as_a_whole(tmp_path):
    out = tmp_path / "plan"
    write_into(out, old="1", both="1")
    write_into(out, new="2", both="2")
    assert names(out) == sorted(["both", "new", MARKER])
    assert (out / "both").read_text(encoding="utf-8") == "2"
    assert names(tmp_path) == ["plan"]


def test_an_earlier_result_stays_when_the_next_work_stops(tmp_path):
    out = tmp_path / "plan"
    write_into(out, dose="1")
    with pytest.raises(KeyboardInterrupt), output_folder(out):
        raise KeyboardInterrupt
    assert (out / "dose").read_text(encoding="utf-8") == "1"
    assert names(tmp_path) == ["plan"]


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "plan").mkdir()
    write_into(tmp_path / "plan", dose="1")
    assert names(tmp_path / "plan") == sorted(["dose", MARKER])


@pytest.mark.parametrize("ours", [True, False])
def test_a_folder_with_other_files_is_refused_before_the_work(tmp_path, ours):
    out = tmp_path / "plan"
    if ours:
        write_into(out, dose="1")
    else:
        out.mkdir()
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    with (
        pytest.raises(OutputError, match=r"holds 'notes\.txt', not written by"),
        output_folder(out),
    ):
        pytest.fail("the work began")
    assert (out / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_damaged_marker_protects_the_folder(tmp_path):
    out = tmp_path / "plan"
    write_into(out, dose="1")
    (out / MARKER).write_text("{", encoding="utf-8")
    with pytest.raises(OutputError, match="holds 'dose'"), output_folder(out):
        pytest.fail("the work began")


def test_a_file_in_the_place_is_refused(tmp_path):
    (tmp_path / "plan").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="is a file"), output_folder(tmp_path / "plan"):
        pytest.fail("the work began")


def test_a_missing_parent_is_told(tmp_path):
    place = tmp_path / "no" / "plan"
    with pytest.raises(OutputError, match=r"does not exist\. Make it first"), output_folder(place):
        pytest.fail("the work began")


def test_a_place_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("dosegrad.cli.output.tempfile.mkdtemp", refuse)
    place = tmp_path / "plan"
    with pytest.raises(OutputError, match="Permission denied"), output_folder(place):
        pytest.fail("the work began")
    with pytest.raises(OutputError, match="Permission denied"):
        check_picture(tmp_path / "a.png")


def test_a_picture_is_written_in_place(tmp_path):
    save_picture(Figure(figsize=(1, 1)), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert names(tmp_path) == ["a.png"]


@pytest.mark.parametrize("name", ["a.doc", "a"])
def test_an_unknown_picture_format_is_told(tmp_path, name):
    with pytest.raises(OutputError, match=r"end its name in \.png, \.pdf, \.svg"):
        check_picture(tmp_path / name)


def test_a_folder_is_no_picture(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        check_picture(tmp_path / "a.png")
