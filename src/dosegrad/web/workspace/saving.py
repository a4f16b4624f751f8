"""What a workspace writes: plans with what is needed to go on with them, reports, DICOM studies."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from dosegrad.errors import OutputError, PlanError
from dosegrad.plan import Plan
from dosegrad.web.security import confined
from dosegrad.web.workspace.case import Case, with_case
from dosegrad.web.workspace.desk import Desk
from dosegrad.web.workspace.files import holds_dicom
from dosegrad.web.workspace.schemas import JobRequest, PlanSettings

__all__ = ["keep_aside", "save_plan", "settings_of", "write_page", "write_study"]

#: Where a plan file holds what was wanted when it was saved, and what its plan was made for.
_HELD: Final = {"settings": "workspace", "planned_for": "workspace_planned_for"}
#: What some systems do not take in a name.
_ODD: Final = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]')


def save_plan(case: Case, desk: Desk, folder: Path, request: JobRequest) -> None:
    """The plan in one file, which tells its patient, objectives and goals."""
    if case.plan is None:
        raise PlanError("there is no plan to be saved; optimise one first.")
    place = _place(desk, folder, request, ".npz")
    _for_keeping(case).save(place)
    case.saved = case.plan
    desk.state(unsaved=False)
    _tell(case, desk, f"saved {_below(place, folder)}")
    desk.send(kind="saved", path=_below(place, folder))


def write_page(case: Case, desk: Desk, folder: Path, request: JobRequest) -> None:
    """The report on the plan."""
    from dosegrad.evaluation.clinical_goals import evaluate
    from dosegrad.report.plan_page import PlanSummary
    from dosegrad.report.write import write_report

    if case.plan is None or case.dose is None:
        raise PlanError("there is no plan to report on; optimise one first.")
    place = _place(desk, folder, request, ".html")
    desk.progress("report", 0.2, "drawing")
    goals = [g for g in case.settings.goals if g.rpartition(":")[0] in case.patient.structures]
    summary = PlanSummary(
        case.patient, case.plan, case.dose, evaluate(case.dose, case.patient, goals)
    )
    page, _ = write_report(place, summary)
    _tell(case, desk, f"report {_below(page, folder)}")
    desk.send(kind="saved", path=_below(page, folder))


def write_study(case: Case, desk: Desk, folder: Path, request: JobRequest) -> None:
    """CT, structures, plan and dose as a DICOM study."""
    from dosegrad.io.dicom.writing.study import write_dicom

    if case.plan is None:
        raise PlanError("there is no plan to be exported; optimise one first.")
    place = _place(desk, folder, request, "")
    desk.progress("DICOM", 0.2, "writing")
    write_dicom(place, patient=case.patient, plan=case.plan)
    _tell(case, desk, f"DICOM study in {_below(place, folder)}")
    desk.send(kind="saved", path=_below(place, folder))


def keep_aside(case: Case, place: Path) -> None:
    """Save the plan where it survives the end of this process."""
    if case.plan is not None:
        _for_keeping(case).save(place)


def settings_of(
    plan: Plan | None, which: Literal["settings", "planned_for"]
) -> PlanSettings | None:
    """Settings that a saved plan tells: those of the tables, or those that it was made for.

    Raises
    ------
    PlanError
        If they are not understood.
    """
    told = None if plan is None else plan.provenance.get(_HELD[which])
    if told is None:
        return None
    try:
        return PlanSettings.model_validate(told)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise PlanError(
            f"the plan tells settings of a workspace that are not understood ({where}); expected "
            "those that a workspace writes. Open its patient instead, and plan again."
        ) from None


def _for_keeping(case: Case) -> Plan:
    """The plan with what a workspace needs to go on with it."""
    assert case.plan is not None
    told = with_case(case.plan, case.source)
    held = {_HELD["settings"]: case.settings.model_dump(mode="json")}
    if case.planned_for is not None:
        held[_HELD["planned_for"]] = case.planned_for.model_dump(mode="json")
    return replace(told, provenance={**told.provenance, **held})


def _place(desk: Desk, folder: Path, request: JobRequest, ending: str) -> Path:
    """Where to write; what is there already is replaced only if the user said so."""
    given = (request.path or f"plan{ending}").strip()
    name = given if given.lower().endswith(ending) else given + ending
    place = confined(folder, name)
    inside = _below(place, folder)
    _check_name(inside, ending)
    if ending and place.parent.is_dir() and holds_dicom(place.parent):
        raise OutputError(
            f"{inside!r} would lie among the files of a DICOM study; choose a name outside it."
        )
    if place.exists() and not request.replace:
        desk.send(kind="exists", job=request.job, path=inside)
        raise OutputError(
            f"{inside!r} is there already and was left as it is; choose another name, or let it be "
            "replaced."
        )
    return place


def _check_name(name: str, ending: str) -> None:
    """Refuse names that hide, that look empty, or that cannot be copied elsewhere."""
    for part in Path(name).parts or ("",):
        stem = part[: -len(ending)] if ending and part.lower().endswith(ending) else part
        if _ODD.search(part) or part.startswith(".") or stem != stem.strip() or not stem:
            raise OutputError(
                f"{name!r} cannot be a name to save under; it may not be empty, begin with a dot, "
                'begin or end with a blank, or hold any of < > : " | ? * \\. Choose another.'
            )


def _tell(case: Case, desk: Desk, text: str) -> None:
    """A line of the log, and another where the tables differ from the plan."""
    desk.log(text)
    changes = case.changes()
    if changes:
        desk.log(f"note: this plan is of other {', '.join(changes)} than the tables show")


def _below(place: Path, folder: Path) -> str:
    return str(place.relative_to(folder.resolve()))
