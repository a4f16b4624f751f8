"""``dosegrad logcheck``: what was delivered against what was planned."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer

from dosegrad.cli.console import ExitCode, Json, Quiet, say, say_json, say_json_line, step, working
from dosegrad.cli.output import output_folder
from dosegrad.cli.patients import find_patient
from dosegrad.errors import FileFormatError, PlanError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dosegrad.checks.deliveries import DeliveryCheck
    from dosegrad.checks.delivery_watch import DeliveryWatch, LayerChange
    from dosegrad.checks.photon_deliveries import PhotonDeliveryCheck, PhotonTolerances
    from dosegrad.checks.spot_deviations import DeliveryTolerances
    from dosegrad.patient.patient import Patient
    from dosegrad.plan import Plan

__all__ = ["logcheck"]

#: How often a growing record is looked at, s.
_LOOK_EVERY: Final = 0.1
#: Tolerances that deliveries of spots and of photons have alike.
_OF_ANY_DOSE: Final = frozenset({"pass_rate", "excess_percent"})


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
    position_mean: Annotated[
        float | None, typer.Option(help="Tolerance of a layer's mean distance of spots, mm (1).")
    ] = None,
    position_max: Annotated[
        float | None, typer.Option(help="Tolerance of the distance of any spot, mm (2).")
    ] = None,
    mu_percent: Annotated[
        float | None, typer.Option(help="A spot is flagged if off by more, percent (1), and ...")
    ] = None,
    mu: Annotated[float | None, typer.Option(help="... by more than this, MU (0.01).")] = None,
    range_mm: Annotated[
        float | None, typer.Option("--range", help="Tolerance of ranges of energies, mm (1).")
    ] = None,
    pass_rate: Annotated[
        float | None, typer.Option(help="Voxels that must pass gamma at 2 %/2 mm, percent (95).")
    ] = None,
    excess: Annotated[
        float | None,
        typer.Option(help="Tolerated dose beyond that planned nearby, percent of maximum (5)."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Check a delivered fraction: spots or leaves, meterset, and the dose as it was given.

    Exit code 0 if all is within tolerance, 3 if not. With --follow, --json gives one line for each
    layer and one at the end.
    """
    from dosegrad.io.deliveries import is_photon_delivery

    photons = is_photon_delivery(record)
    if photons and follow:
        raise PlanError("trajectory logs are written when a beam has ended; leave out --follow.")
    limits = {
        "mean_position": position_mean,
        "any_position": position_max,
        "mu_percent": mu_percent,
        "mu": mu,
        "range": range_mm,
        "pass_rate": None if pass_rate is None else pass_rate / 100.0,
        "excess_percent": excess,
    }
    tolerances = _tolerances({k: v for k, v in limits.items() if v is not None}, photons=photons)
    chosen = machine or ("generic-6mv" if photons else "generic-protons")
    with working(silent=quiet or as_json) as bars, step(bars, "reading plan and patient"):
        subject, planned, notes = _plan_and_patient(plan, chosen, patient)
    check = partial(_check, subject, planned, record, engine, tolerances, out, name, notes)
    if not follow:
        found = check(silent=quiet or as_json)
        if as_json:
            say_json(found.to_json())
        elif not quiet:
            say(str(found))
        return ExitCode.DONE if found.passed else ExitCode.GOALS_NOT_MET
    teller = _Teller(quiet, as_json)
    for note in notes:
        teller.note(note)
    watched = partial(_watch, subject, planned, tolerances, silent=quiet or as_json)
    is_fine, missing = _follow(watched, record, teller, idle=idle)
    whole = None if out is None else check(silent=quiet or as_json)  # once it is complete
    is_fine &= whole is None or whole.passed
    teller.end(is_fine, missing, whole)
    return ExitCode.DONE if is_fine else ExitCode.GOALS_NOT_MET


def _check(
    subject: Patient,
    plan: Plan,
    record: Path,
    engine: str | None,
    tolerances: DeliveryTolerances | PhotonTolerances,
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
    from dosegrad.checks.photon_deliveries import PhotonTolerances, check_photon_delivery
    from dosegrad.io.deliveries import read_delivery, read_photon_delivery
    from dosegrad.report.write import write_report

    found: DeliveryCheck | PhotonDeliveryCheck

    with ExitStack() as stack:
        folder = None if out is None else stack.enter_context(output_folder(out))
        bars = stack.enter_context(working(silent=silent))
        if isinstance(tolerances, PhotonTolerances):
            logs = read_photon_delivery(record)
            found = check_photon_delivery(subject, plan, logs, engine=engine, tolerances=tolerances)
        else:
            found = check_delivery(
                subject, plan, read_delivery(record), engine=engine, tolerances=tolerances
            )
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


def _tolerances(
    given: Mapping[str, float], *, photons: bool
) -> DeliveryTolerances | PhotonTolerances:
    """The usual tolerances, but for those that were given.

    Raises
    ------
    PlanError
        If a tolerance of spots is given for photons.
    """
    from dosegrad.checks.photon_deliveries import PhotonTolerances
    from dosegrad.checks.spot_deviations import DeliveryTolerances

    if not photons:
        return DeliveryTolerances(**given)
    if given.keys() - _OF_ANY_DOSE:
        raise PlanError(
            "tolerances of positions, metersets and ranges are for spots, and the record is of "
            "photons; leave them out, or set PhotonTolerances in Python."
        )
    DeliveryTolerances(**given)  # the same values are impossible
    return PhotonTolerances(**given)


@dataclass(frozen=True, slots=True)
class _Teller:
    """Says what happens while a record is followed, to people or to programs."""

    quiet: bool
    as_json: bool

    def note(self, text: str) -> None:
        """Something to know; programs do not get it line by line."""
        if not (self.quiet or self.as_json):
            say(f"note: {text}")

    def ready(self, record: Path) -> None:
        """Beams are traced."""
        if not (self.quiet or self.as_json):
            say(f"ready; waiting for {record.name}")

    def layer(self, change: LayerChange) -> None:
        """A layer was judged."""
        if self.as_json:
            say_json_line({"kind": "layer", **change.to_json()})
        elif change.flags or not self.quiet:
            say(f"{change} [{1000 * change.seconds:.0f} ms]")

    def end(
        self, passed: bool, missing: str, whole: DeliveryCheck | PhotonDeliveryCheck | None
    ) -> None:
        """Nothing comes any more."""
        if self.as_json:
            content = None if whole is None else whole.to_json()
            say_json_line({"kind": "end", "passed": passed, "missing": missing, "check": content})
            return
        if missing:
            say(f"OUT OF TOLERANCE: {missing}")
        if whole is not None and not self.quiet:
            say(str(whole))


def _watch(
    subject: Patient,
    plan: Plan,
    tolerances: DeliveryTolerances | PhotonTolerances,
    *,
    silent: bool,
) -> DeliveryWatch:
    from dosegrad.checks.delivery_watch import DeliveryWatch
    from dosegrad.checks.photon_deliveries import PhotonTolerances

    assert not isinstance(tolerances, PhotonTolerances)
    with working(silent=silent) as bars, step(bars, "tracing beams"):
        return DeliveryWatch(subject, plan, tolerances)


def _follow(
    watched: Callable[[], DeliveryWatch], record: Path, teller: _Teller, *, idle: float
) -> tuple[bool, str]:
    """Judge every layer as soon as the next one begins or no more spots come.

    Returns
    -------
        Whether all was within tolerance, and what is missing in words.

    Raises
    ------
    FileFormatError
        If the record is a folder, or no spot came.
    """
    from dosegrad.io.delivery_table import DeliveryTail

    if record.is_dir():
        raise FileFormatError(f"'{record}' is a folder; name the .csv file that will grow.")
    watch = watched()
    teller.ready(record)
    tail = DeliveryTail(record)
    pending = tail.new_spots()
    last, is_fine, came = time.monotonic(), True, pending.size > 0
    while time.monotonic() - last < idle:
        added = tail.new_spots()
        if added.size:
            last, came = time.monotonic(), True
            pending = np.concatenate([pending, added])
        *whole, pending = watch.split(pending)
        for layer in whole:
            is_fine &= _judge(watch, layer, teller)
        time.sleep(_LOOK_EVERY)
    cut = ""
    try:
        pending = np.concatenate([pending, tail.last_spot()])
    except FileFormatError as error:
        cut = f"the last line was left out, {error}"
    if not (came or pending.size):
        raise FileFormatError(f"no delivered spot came in {idle:g} s; is '{record}' the record?")
    for layer in watch.split(pending):
        if layer.size:
            is_fine &= _judge(watch, layer, teller)
    missing = "; ".join(words for words in (watch.missing(), cut) if words)
    return is_fine and not missing, missing


def _judge(watch: DeliveryWatch, layer: NDArray[Any], teller: _Teller) -> bool:
    """Whether a layer is within tolerance; says so."""
    change = watch.layer(layer)
    teller.layer(change)
    return not change.flags
