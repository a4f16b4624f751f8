"""One plan of a batch: what a worker is sent, and what it sends back."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dosegrad.cli.console import working
from dosegrad.cli.plan import write_results
from dosegrad.cli.plan_file import PlanFile, read_plan_file
from dosegrad.cli.planning import carry_out, choose_machine, choose_patient
from dosegrad.errors import DosegradError

if TYPE_CHECKING:
    from dosegrad.machine.kinds import Machine
    from dosegrad.patient.patient import Patient

__all__ = ["Job", "Made", "carry_out_job", "prepare_job"]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A plan file read where the files are; a worker needs none.

    Parameters
    ----------
    text
        Of the plan file.
    request
        What it states.
    patient, machine
        Those that it names; no patient if that is a phantom, which the worker makes.
    error
        Why the files cannot be used, instead of all this.
    """

    text: bytes = b""
    request: PlanFile | None = None
    patient: Patient | None = None
    machine: Machine | None = None
    error: DosegradError | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Results of a plan: its files by name, and how long it took."""

    files: Mapping[str, bytes]
    seconds: float


def prepare_job(path: Path) -> Job:
    """The plan file at ``path`` with what it names; an error is kept, for the batch goes on."""
    try:
        request = read_plan_file(path)
        is_phantom = request.patient.phantom is not None
        return Job(
            path.read_bytes(),
            request,
            None if is_phantom else choose_patient(request, path.parent, None),
            choose_machine(request, path.parent),
        )
    except DosegradError as error:
        return Job(error=error)


def carry_out_job(job: Job) -> Made | Exception:
    """The plan of a job, as files; or why it cannot be planned, which is no failure of the worker.

    Only what nobody foresaw is raised.
    """
    try:
        return _carried_out(job)
    except (DosegradError, OSError, MemoryError) as error:
        return error


def _carried_out(job: Job) -> Made:
    start = time.monotonic()
    if job.error is not None:
        raise job.error
    assert job.request is not None
    assert job.machine is not None
    patient = job.patient or choose_patient(job.request, Path(), None)
    with tempfile.TemporaryDirectory(prefix="dosegrad-") as name, working(silent=True) as bars:
        folder = Path(name)
        write_results(carry_out(job.request, job.machine, patient, bars), folder)
        (folder / "plan.toml").write_bytes(job.text)
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return Made(files, time.monotonic() - start)
