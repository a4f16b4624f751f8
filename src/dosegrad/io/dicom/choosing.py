"""Which plan and which dose of a folder belong together, by their references."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import numpy as np

from dosegrad.dose import Dose
from dosegrad.errors import FileFormatError
from dosegrad.io.dicom.doses import DoseFile
from dosegrad.io.dicom.ion_plans import IonPlan
from dosegrad.io.dicom.photon_plans import PhotonPlan

__all__ = ["ChosenDoses", "PlanFile", "choose_doses", "choose_plan", "file_called", "in_frame"]

#: A plan as its file states it.
PlanFile: TypeAlias = IonPlan | PhotonPlan
Found = TypeVar("Found", IonPlan, PhotonPlan, IonPlan | PhotonPlan, DoseFile)

#: Sums that are the dose of the whole course, those that say so best first.
_TOTALS: Final = ("PLAN", "FRACTION", "MULTI_PLAN", "PLAN_OVERVIEW", "")
#: A dose this many times off the other reading settles which of two readings is meant.
_CLEARLY: Final = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class ChosenDoses:
    """The dose of a course, doses of its beams by number, and notes on all that was left out."""

    total: Dose | None = None
    by_beam: Mapping[int, Dose] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def in_frame(found: Mapping[Path, Found], frame: str) -> tuple[dict[Path, Found], list[str]]:
    """Those of ``found`` that may be in the frame of reference of the CT, and notes on others."""
    kept, notes = {}, []
    for path, each in found.items():
        if frame and each.frame_of_reference and each.frame_of_reference != frame:
            notes.append(f"{path.name}: is in another frame of reference than the CT, left out")
        else:
            kept[path] = each
    return kept, notes


def choose_plan(
    plans: Mapping[Path, PlanFile],
    doses: Mapping[Path, DoseFile],
    structure_set: str,
    *,
    named: str | None,
) -> tuple[Path | None, list[str]]:
    """The plan of a study: the one named, the only one, or the one that references lead to.

    ``structure_set`` is the SOPInstanceUID of the set that was chosen; a plan that refers to it
    goes before others, then one that a dose refers to.

    Raises
    ------
    FileFormatError
        If several remain, or none has the name.
    """
    if named is not None:
        return _named("plan", plans, named), []
    if not plans:
        return None, []
    left = list(plans)
    if len(left) > 1:
        left = [p for p in left if structure_set in plans[p].structure_sets] or left
    if len(left) > 1:
        with_dose = frozenset().union(*(dose.plans for dose in doses.values()))
        left = [p for p in left if plans[p].instance in with_dose] or left
    if len(left) > 1:
        raise FileFormatError(
            f"{len(left)} plans belong to the CT ({', '.join(p.name for p in left)}) and "
            "references do not tell which is meant; choose one with plan='...'."
        )
    chosen = left[0]
    notes = [f"{path.name}: another plan, left out" for path in plans if path != chosen]
    sets = plans[chosen].structure_sets
    if structure_set and sets and structure_set not in sets:
        notes.append(f"{chosen.name}: refers to a structure set that is not the one read")
    return chosen, notes


def choose_doses(
    doses: Mapping[Path, DoseFile], plan: PlanFile | None, *, named: str | None
) -> ChosenDoses:
    """The dose of the course and doses of beams, of the files that belong to ``plan``.

    Raises
    ------
    FileFormatError
        If several files hold a dose of the course: which one is meant must be said.
    """
    if named is not None:
        path = _named("dose", doses, named)
        found = doses[path]
        return ChosenDoses(found.dose, {}, (*found.warnings, *_about_fractions(path, found, plan)))
    notes: list[str] = []
    left = {}
    for path, found in doses.items():
        if plan is not None and found.plans and plan.instance not in found.plans:
            notes.append(f"{path.name}: refers to another plan, left out")
        else:
            left[path] = found
    by_beam = _beam_doses(left, notes)
    chosen = _total(left)
    if chosen is not None:
        found = left[chosen]
        notes += [*found.warnings, *_about_fractions(chosen, found, plan)]
        return ChosenDoses(found.dose, by_beam, tuple(notes))
    return ChosenDoses(_sum_of_beams(by_beam, plan, notes), by_beam, tuple(notes))


def file_called(name: str | Path, files: Iterable[Path]) -> Path | None:
    """The file of that name or path: the one with most folders in common, the first of equals."""
    wanted = Path(name).parts

    def agreement(path: Path) -> int:
        pairs = zip(reversed(path.parts), reversed(wanted), strict=False)
        return next((k for k, (a, b) in enumerate(pairs) if a != b), len(wanted))

    best = max(files, key=agreement, default=None)
    return best if best is not None and agreement(best) else None


def _named(kind: str, found: Mapping[Path, Found], name: str) -> Path:
    """The file called ``name``."""
    path = file_called(name, found)
    if path is not None:
        return path
    names = ", ".join(path.name for path in found) or "none"
    raise FileFormatError(f"no {kind} in file {Path(name).name} (have: {names}).")


def _total(doses: Mapping[Path, DoseFile]) -> Path | None:
    """The file with the dose of the course."""
    for summation in _TOTALS:
        paths = [path for path, found in doses.items() if found.summation == summation]
        if len(paths) > 1:
            listed = ", ".join(f"{p.name} ({doses[p].dose.quantity})" for p in paths)
            raise FileFormatError(
                f"{len(paths)} doses of the whole course ({listed}); choose one with dose='...'."
            )
        if paths:
            return paths[0]
    return None


def _beam_doses(doses: Mapping[Path, DoseFile], notes: list[str]) -> dict[int, Dose]:
    """Doses of single beams by number; notes on files that are neither these nor totals."""
    by_beam: dict[int, Dose] = {}
    for path, found in doses.items():
        if found.summation in _TOTALS:
            continue
        if found.summation == "BEAM" and len(found.beams) == 1:
            number = next(iter(found.beams))
            if number in by_beam:
                notes.append(f"{path.name}: a second dose of beam {number}, left out")
                continue
            by_beam[number] = found.dose
            notes += found.warnings
        else:
            kind = found.summation.lower().replace("_", " ")
            notes.append(f"{path.name}: a dose by {kind}, left out")
    return by_beam


def _sum_of_beams(
    by_beam: Mapping[int, Dose], plan: PlanFile | None, notes: list[str]
) -> Dose | None:
    """Sum of the doses of beams, if they are all there, of one quantity and on one grid."""
    if not by_beam or plan is None:
        return None
    missing = {f.number for f in plan.fields} - set(by_beam)
    first = next(iter(by_beam.values()))
    alike = all(d.quantity == first.quantity and d.grid == first.grid for d in by_beam.values())
    if missing or not alike:
        notes.append("doses of beams are not summed: some are missing, or they are not alike")
        return None
    notes.append(f"the dose of the course is the sum of {len(by_beam)} doses of beams")
    array = np.sum([dose.array for dose in by_beam.values()], axis=0)
    return Dose(first.grid, array, first.quantity, first.provenance)


def _about_fractions(path: Path, found: DoseFile, plan: PlanFile | None) -> list[str]:
    """A warning where a dose may be that of one fraction.

    By the standard PLAN and FRACTION both mean all fractions, but some systems write a single one
    as FRACTION. Doses of beams at their dose points can tell.
    """
    if plan is None or plan.fractions == 1 or found.dose.quantity not in {"dose", "rbe_dose"}:
        return []
    ratio = _to_one_fraction(found.dose, plan)
    if ratio is not None and ratio < plan.fractions / _CLEARLY and ratio < _CLEARLY:
        return [
            f"{path.name}: at the dose points it is {ratio:.3g} times the dose of one fraction, "
            f"but {plan.fractions} are planned; it seems to be the dose of a single fraction. It "
            "was read as that of the course, as the standard says"
        ]
    if found.summation == "FRACTION" and ratio is None:
        return [
            f"{path.name}: a dose by fraction group, read as that of all {plan.fractions} "
            "fractions, as the standard says; some systems write one fraction so"
        ]
    return []


def _to_one_fraction(dose: Dose, plan: PlanFile) -> float | None:
    """Dose at the dose point over that of one fraction by BeamDose; None where unknown."""
    group = plan.group
    points = [group.dose_points[n] for n in group.doses if n in group.dose_points]
    expected = sum(group.doses.values())
    if len(points) < len(group.doses) or not points or expected <= 0:
        return None
    if np.ptp(np.array(points), axis=0).max() > 0.1:
        return None
    return float(dose.at(points[0])) / expected
