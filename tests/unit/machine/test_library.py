"""Machines by name and by file, and their archive."""

import json

import numpy as np
import pytest

from dosegrad.errors import FileFormatError, OutputError, UnknownNameError
from dosegrad.machine.archive import FORMAT, read_machine_archive, write_machine_archive
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.library import load_machine
from dosegrad.machine.particle import ParticleMachine


def made_up(energy, depths, *, let=True, tissues=0):
    n = len(depths)
    return PencilBeamData(
        energy=energy,
        depths=depths,
        dose=np.linspace(1.0, 2.0, n),
        sigmas=np.ones((2, n)),
        weights=np.array([[0.75] * n, [0.25] * n]),
        let=np.full(n, 3.0) if let else np.empty(0),
        range=depths[-2],
        peak=depths[1],
        focus_distance=[0.0, 400.0, 900.0],
        focus_sigma=[3.0, 4.0, 6.0],
        offset=0.5,
        energy_spread=0.7,
        alpha=np.full((tissues, n if tissues else 0), 0.25),
        beta=np.full((tissues, n if tissues else 0), 0.0625),
    )


def machine(*, let=True, tissues=0):
    data = (
        made_up(70.0, [0.0, 10.0, 20.0], let=let, tissues=tissues),
        made_up(90.5, [0.0, 30.0, 40.0, 50.0]),
    )
    if tissues:
        data = data[:1]
    return ParticleMachine(
        name="made-up",
        modality="protons",
        sad=None,
        nozzle_distance=350.0,
        data=data,
        air_offset=2.5,
        tissues=[[0.5, 0.25]],
        description={"use": "a test"},
    )


@pytest.mark.parametrize("options", [{}, {"let": False}, {"tissues": 2}])
def test_archive_gives_back_what_was_written(tmp_path, options):
    written = machine(**options)
    write_machine_archive(written, tmp_path / "m.npz")
    read = read_machine_archive(tmp_path / "m.npz")
    for name in ("name", "modality", "sad", "nozzle_distance", "air_offset", "description"):
        assert getattr(read, name) == getattr(written, name)
    np.testing.assert_array_equal(read.tissues, written.tissues)
    for ours, theirs in zip(read.data, written.data, strict=True):
        for name in PencilBeamData.__slots__:
            # Tables are stored as float32.
            stored, given = getattr(ours, name), getattr(theirs, name)
            np.testing.assert_allclose(stored, given, rtol=1e-7, err_msg=name)


def test_newer_and_foreign_archives_are_refused(tmp_path):
    header = {"format": FORMAT, "version": 99}
    np.savez(tmp_path / "new.npz", header=np.array(json.dumps(header)))
    with pytest.raises(FileFormatError, match="version 99; this dosegrad reads up to 1"):
        read_machine_archive(tmp_path / "new.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(2))
    with pytest.raises(FileFormatError, match="no dosegrad particle machine file"):
        read_machine_archive(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(FileFormatError, match="no dosegrad particle machine file"):
        load_machine(tmp_path / "text.npz")


def test_archive_with_a_table_missing_is_refused(tmp_path):
    write_machine_archive(machine(), tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as file:
        content = {name: file[name] for name in file.files if name != "dose"}
    np.savez(tmp_path / "short.npz", **content)
    with pytest.raises(FileFormatError, match="dose"):
        read_machine_archive(tmp_path / "short.npz")


def test_archive_cannot_be_written_into_nowhere(tmp_path):
    with pytest.raises(OutputError, match="choose a folder"):
        write_machine_archive(machine(), tmp_path / "nowhere" / "m.npz")


def test_machine_loads_once():
    assert load_machine("generic-protons") is load_machine("generic-protons")


def test_machine_of_a_file_follows_the_file(tmp_path):
    path = tmp_path / "m.npz"
    write_machine_archive(machine(), path)
    first = load_machine(path)
    assert load_machine(str(path)) is first
    assert len(first.data) == 2


def test_unknown_machine_is_told_with_a_guess():
    with pytest.raises(UnknownNameError, match="Did you mean 'generic-protons'"):
        load_machine("generic-proton")


def test_missing_and_unknown_files_are_told(tmp_path):
    with pytest.raises(FileFormatError, match="no machine file"):
        load_machine(tmp_path / "none.npz")
    (tmp_path / "m.xyz").write_text("")
    with pytest.raises(FileFormatError, match=r"ends in '\.xyz'"):
        load_machine(tmp_path / "m.xyz")
