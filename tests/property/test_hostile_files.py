"""Damaged and hostile files: every reader says what is wrong in one error of its own, and soon.

2,000 files are made from sound ones by chance and read in the default run. The long run::

    DOSEGRAD_HOSTILE_FILES=100000 pytest -s tests/property/test_hostile_files.py
"""

import math
import os
import shutil
import signal
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import dosegrad as dg
from dosegrad.cli.plan_file import read_plan_file
from dosegrad.errors import DosegradError
from dosegrad.io.beam_model import read_beam_model_table
from dosegrad.io.matrad_machine import read_matrad_machine
from dosegrad.io.matrad_patient import read_matrad_patient

N_FILES = int(os.environ.get("DOSEGRAD_HOSTILE_FILES", "2000"))
#: Longest time for one file, s, and most memory that the reading adds, GB.
LONGEST, LARGEST = 5.0, 2.0
#: Sample files above this size only make the run slow, bytes.
SMALL = 300_000

PLAN_TOML = b"""\
[patient]
phantom = "c-shape"

[beams]
machine = "generic-protons"
target = "Target"
gantry = [45, 315]
spot_spacing = 5.0

[[objective]]
structure = "Target"
kind = "squared-deviation"
dose = 50.0
weight = 100

[check]
goals = ["Target: D95% >= 47.5 Gy", "Core: Dmax <= 40 Gy"]
"""

READERS = {
    ".dcm": lambda path: dg.read_dicom(path.parent),
    ".npz": dg.load_plan,
    ".machine.npz": dg.load_machine,
    ".toml": read_plan_file,
    ".csv": read_beam_model_table,
    ".patient.mat": read_matrad_patient,
    ".machine.mat": read_matrad_machine,
}


class TooLongError(BaseException):
    """Not an Exception, so that no reader can swallow it."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Sound files: (ending, content), small ones of every kind that the package writes."""
    folder = tmp_path_factory.mktemp("sound")
    shape = (3, 6, 7)
    patient = dg.Patient.from_arrays(
        np.arange(126).reshape(shape) - 60,
        **{"spacing": (3.0, 2.0, 2.0), "origin": (0.0, 0.0, 0.0)},
        structures={"Body": np.ones(shape, dtype=bool)},
        roles={"Body": "external"},
    )
    machine = dg.load_machine("generic-protons")
    plan = dg.Plan.from_spots(
        machine,
        **{"gantry": 90.0, "isocentre": (6.0, 5.0, 3.0)},
        **{"x": [0.0, 1.0], "y": [0.0, 2.0], "energy": machine.energies[3], "weight": 1.0},
    )
    dose = dg.Dose(patient.ct.grid, np.ones(shape))
    dg.write_dicom(folder / "study", patient=patient, plan=plan, dose=dose)
    plan.save(folder / "plan.npz")
    sound = [(".dcm", p.read_bytes()) for p in sorted((folder / "study").glob("*.dcm"))]
    sound += [(".npz", (folder / "plan.npz").read_bytes()), (".toml", PLAN_TOML)]
    sound.append((".machine.npz", _few_energies(machine, folder / "machine.npz")))
    return sound


def _few_energies(machine, path):
    from dosegrad.machine.archive import write_machine_archive
    from dosegrad.machine.particle import ParticleMachine

    few = ParticleMachine(machine.name, machine.modality, 2000.0, 400.0, machine.data[:2])
    write_machine_archive(few, path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def samples(corpus, request):
    """The corpus, with small files of other systems where they are there."""
    try:
        data = request.getfixturevalue("data")
    except pytest.skip.Exception:
        return corpus
    from dosegrad.io.dicom.stream import is_dicom

    files = sorted(p for p in (data / "dicom").rglob("*") if p.is_file())
    small = [p for p in files if p.stat().st_size < SMALL]
    found = [(".dcm", p.read_bytes()) for p in small if is_dicom(p)]
    # the CT slices of one series are all alike
    found = [each for k, each in enumerate(found) if k % max(1, len(found) // 60) == 0]
    found += [(".csv", p.read_bytes()) for p in small if p.suffix == ".csv" and "model" in p.name]
    return corpus + found


def mutated(content, rng):
    """``content`` with some bytes changed, cut off, doubled, moved, or set to telling values."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        kind, at = int(rng.integers(8)), int(rng.integers(max(len(data), 1)))
        width = int(rng.integers(1, 9))
        if kind == 0 and data:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at : at + width] = rng.bytes(width)
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + int(rng.integers(1, 200))]
        elif kind == 4:
            data[at:at] = data[at : at + int(rng.integers(1, 400))]
        elif kind == 5:  # lengths and counts at their limits
            data[at : at + 4] = int(rng.choice([0, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFF])).to_bytes(
                4, "little"
            )
        elif kind == 6:
            text = [
                b"NaN",
                b"1e999",
                b"-1",
                b"0",
                b"999999999",
                b"\\\\",
                b"../../x",
                b"[[",
                b"\x00",
            ]
            data[at : at + width] = text[int(rng.integers(len(text)))]
        else:
            other = int(rng.integers(max(len(data), 1)))
            data[at : at + width] = data[other : other + width]
    return bytes(data)


@contextmanager
def within(seconds):
    def stop(*_):
        raise TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def resident(field):
    """GB that this process holds (``VmRSS``) or has held at most (``VmHWM``)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.split(f"{field}:")[1].split()[0]) / 1e6


def peak_from_now():
    """GB held now, with the peak counted anew; None where the system cannot do that.

    Tests share processes, so the peak since the start belongs to whichever test ran before.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    return resident("VmRSS")


def read_one(ending, content, folder):
    """``"read"`` or the name of our error; anything else is raised."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / f"file.{ending.rsplit('.', 1)[1]}"
    path.write_bytes(content)
    try:
        with within(LONGEST):
            READERS[ending](path)
    except DosegradError as error:
        assert str(error), "an error without words"
        return type(error).__name__
    return "read"


@pytest.mark.filterwarnings("ignore")
def test_every_reader_survives_files_changed_by_chance(samples, tmp_path_factory):
    rng = np.random.default_rng(20)
    base = Path("/dev/shm") if Path("/dev/shm").is_dir() else tmp_path_factory.mktemp("hostile")
    folder = base / f"dosegrad-hostile-{os.getpid()}"
    outcomes, longest = Counter(), 0.0
    held = peak_from_now()
    try:
        for number in range(N_FILES):
            ending, sound = samples[int(rng.integers(len(samples)))]
            content = mutated(sound, rng)
            start = time.monotonic()
            try:
                outcomes[read_one(ending, content, folder)] += 1
            except (KeyboardInterrupt, pytest.fail.Exception):
                raise
            except BaseException as error:
                kept = tmp_path_factory.mktemp("failed") / f"file{ending}"
                kept.write_bytes(content)
                pytest.fail(
                    f"file {number} ({ending}): {type(error).__name__}: {error}; see {kept}"
                )
            longest = max(longest, time.monotonic() - start)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    memory = math.nan if held is None else resident("VmHWM") - held
    print(f"\n{N_FILES} files: {dict(outcomes)}; longest {longest:.2f} s; memory {memory:.2f} GB")
    assert len(outcomes) >= 2, "changes that change nothing are no test"
    assert held is None or memory < LARGEST


def test_sound_files_are_read(corpus, tmp_path):
    for ending, content in corpus:
        assert read_one(ending, content, tmp_path / "one") in {"read", "FileFormatError"}
    assert read_one(".toml", PLAN_TOML, tmp_path / "one") == "read"
