"""``dosegrad logcheck``: what was delivered against what was planned."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer

from dosegrad.cli.console import ExitCode, Json, Quiet, say, say_json, step, working
from dosegrad.cli.output import output_folder
from dosegrad.cli.patients import find_patient
from dosegrad.errors import FileFormatError, PlanError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dosegrad.checks.deliveries import DeliveryCheck
    from dosegrad.checks.delivery_watch import DeliveryWatch
    from dosegrad.checks.photon_deliveries import PhotonDeliveryCheck
    from dosegrad.patient.patient import Patient
    from dosegrad.plan import Plan

__all__ = ["logcheck"]

#: How often a growing record is looked at, s.
_LOOK_EVERY: Final = 0.1


def logcheck(
    plan: Annotated[Path, typer.Argument(help="A DICOM folder with a plan, or a saved plan.")],
    record: Annotated[
        Path,
        typer.Argument(
            help="RT Ion Beams Treatment Record, .csv table of spots, or trajectory log of photons "
            "(.bin, or a folder of them)."
        ),
    ],
    machine: Annotated[
        str | None,
        typer.Option(
            help="Machine or beam model that turns MU into particles or fluence; by default "
            "generic-protons, or generic-6mv for photons."
        ),
    ] = None,
    patient: Annotated[
        str | None, typer.Option(help="For a saved plan: a .mat file, DICOM folder, or phantom.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="Engine that computes both doses; else that of the machine.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for a report; it is replaced as a whole.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What the report calls the patient; else a pseudonym.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Read a .csv that grows, layer by layer, as it comes.")
    ] = False,
    idle: Annotated[
        float,
        typer.Option(min=0.1, help="With --follow: end after so many seconds without a new spot."),
    ] = 30.0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Check a delivered fraction: spots or leaves, meterset, and the dose as it was given.

    Exit code 0 if all is within tolerance, 3 if not.
    """
    from dosegrad.io.deliveries import is_photon_delivery

    photons = is_photon_delivery(record)
    if photons and follow:
        raise PlanError("trajectory logs are written when a beam has ended; leave out --follow.")
    chosen = machine or ("generic-6mv" if photons else "generic-protons")
    with working(silent=quiet or as_json) as bars, step(bars, "reading plan and patient"):
        subject, planned, notes = _plan_and_patient(plan, chosen, patient)
    if not follow:
        found = _check(subject, planned, record, engine, out, name, notes, silent=quiet or as_json)
        if as_json:
            say_json(found.to_json())
        elif not quiet:
            say(str(found))
        return ExitCode.DONE if found.passed else ExitCode.GOALS_NOT_MET
    for note in () if quiet else notes:
        say(f"note: {note}")
    is_fine = _follow(subject, planned, record, idle=idle, quiet=quiet)
    if out is not None:  # the whole record, once it is complete
        is_fine &= _check(subject, planned, record, engine, out, name, notes, silent=quiet).passed
    return ExitCode.DONE if is_fine else ExitCode.GOALS_NOT_MET


def _check(
    subject: Patient,
    plan: Plan,
    record: Path,
    engine: str | None,
    out: Path | None,
    name: str | None,
    notes: tuple[str, ...],
    *,
    silent: bool,
) -> DeliveryCheck | PhotonDeliveryCheck:
    """The check of a whole record, with its report if there is a folder for it.

    ``notes`` are those on the plan, which come first among the warnings.
    """
    from dosegrad.checks.deliveries import check_delivery
    from dosegrad.checks.photon_deliveries import check_photon_delivery
    from dosegrad.io.deliveries import is_photon_delivery, read_delivery, read_photon_delivery
    from dosegrad.report.write import write_report

    found: DeliveryCheck | PhotonDeliveryCheck

    with ExitStack() as stack:
        folder = None if out is None else stack.enter_context(output_folder(out))
        bars = stack.enter_context(working(silent=silent))
        if is_photon_delivery(record):
            logs = read_photon_delivery(record)
            found = check_photon_delivery(subject, plan, logs, engine=engine)
        else:
            found = check_delivery(subject, plan, read_delivery(record), engine=engine)
        found = replace(found, warnings=(*notes, *found.warnings))
        if folder is not None:
            with step(bars, "writing the report"):
                write_report(folder, found, name=name)
    return found


def _plan_and_patient(
    place: Path, machine: str, patient: str | None
) -> tuple[Patient, Plan, tuple[str, ...]]:
    """Who the plan is for, the plan as the machine delivers it, and notes on it."""
    from dosegrad.io.archive import load_plan
    from dosegrad.io.dicom.study import read_dicom
    from dosegrad.plan import Plan

    if not place.exists():
        raise FileFormatError(
            f"there is no plan at '{place}'; give a DICOM folder, or a plan that was saved."
        )
    if place.is_dir() and not (place / "plan.npz").is_file():
        study = read_dicom(place, machine=machine)
        if not isinstance(study.plan, Plan) or study.patient is None:
            raise PlanError(
                f"'{place}' does not hold both a CT and a plan; give the folder with both."
            )
        return study.patient, study.plan, study.warnings
    saved = load_plan(place / "plan.npz" if place.is_dir() else place)
    if patient is None:
        raise PlanError("a saved plan does not tell its patient; name it with --patient.")
    return find_patient(patient), saved, ()


def _follow(subject: Patient, plan: Plan, record: Path, *, idle: float, quiet: bool) -> bool:
    """Judge every layer as soon as the next one begins or no more spots come.

    Raises
    ------
    FileFormatError
        If the record is a folder, or no spot came.
    """
    from dosegrad.checks.delivery_watch import DeliveryWatch
    from dosegrad.io.delivery_table import DeliveryTail

    if record.is_dir():
        raise FileFormatError(f"'{record}' is a folder; name the .csv file that will grow.")
    with working(silent=quiet) as bars, step(bars, "tracing beams"):
        watch = DeliveryWatch(subject, plan)
    if not quiet:
        say(f"ready; waiting for {record.name}")
    tail = DeliveryTail(record)
    pending = tail.new_spots()
    last, is_fine, came = time.monotonic(), True, pending.size > 0
    while time.monotonic() - last < idle:
        added = tail.new_spots()
        if added.size:
            last, came = time.monotonic(), True
            pending = np.concatenate([pending, added])
        *whole, pending = _split(pending)
        for layer in whole:
            is_fine &= _judge(watch, layer, quiet)
        time.sleep(_LOOK_EVERY)
    if not came:
        raise FileFormatError(f"no delivered spot came in {idle:g} s; is '{record}' the record?")
    for layer in _split(pending):
        if layer.size:
            is_fine &= _judge(watch, layer, quiet)
    missing = watch.missing()
    if missing:
        say(f"OUT OF TOLERANCE: {missing}")
    return is_fine and not missing


def _split(spots: NDArray[Any]) -> list[NDArray[Any]]:
    """Spots by layer; the last layer may go on."""
    if spots.size == 0:
        return [spots]
    changes = (np.diff(spots["beam"]) != 0) | (np.diff(spots["layer"]) != 0)
    return np.split(spots, np.flatnonzero(changes) + 1)


def _judge(watch: DeliveryWatch, layer: NDArray[Any], quiet: bool) -> bool:
    """Whether a layer is within tolerance; says so."""
    change = watch.layer(layer)
    if not quiet or change.flags:
        say(f"{change} [{1000 * change.seconds:.0f} ms]")
    return not change.flags
