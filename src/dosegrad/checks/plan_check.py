"""A plan's dose computed again by an engine of its own, and compared with that of the plan."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from dosegrad.checks.structure_doses import StructureDoses, compare_structures
from dosegrad.checks.subjects import (
    Metal,
    calibrated,
    check_metal,
    covering,
    part_of,
    physical_dose,
    subject,
)
from dosegrad.dose import Dose
from dosegrad.engines.protocols import ForwardEngine, InfluenceEngine
from dosegrad.errors import FileFormatError, PlanError
from dosegrad.evaluation.clinical_goals import evaluate
from dosegrad.evaluation.gamma_index import TG218, GammaMap, GammaProtocol, gamma
from dosegrad.evaluation.goals import Goal
from dosegrad.evaluation.report import Report
from dosegrad.io.dicom.study import Study
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.plan_dose import compute_dose
from dosegrad.progress import report as tell

__all__ = ["PlanCheck", "Verdict", "check_plan"]

#: What a check says in the end.
Verdict: TypeAlias = Literal["pass", "investigate", "fail"]

#: Criteria (percent, mm) at which gamma is told beside that of the protocol.
_MORE_CRITERIA: Final = ((2.0, 2.0), (1.0, 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class PlanCheck:
    """What :func:`check_plan` found.

    Parameters
    ----------
    patient, plan
        As read.
    planned, recomputed
        The plan's own dose and that of the engine, on one grid, whole course, without RBE.
    protocol
        By which gamma was judged.
    gammas
        Recomputed against planned: first by the protocol, then at 2 %/2 mm and 1 %/1 mm.
    structures
        Dose figures, before: planned, after: recomputed.
    planned_goals, goals
        Clinical goals by the planned and by the recomputed dose; empty where none were given.
    verdict
        ``"pass"``, ``"investigate"`` or ``"fail"``.
    reasons
        Why it is not ``"pass"``, one sentence each.
    warnings
        On reading, computing and comparing.
    """

    patient: Patient
    plan: Plan
    planned: Dose
    recomputed: Dose
    protocol: GammaProtocol
    gammas: tuple[GammaMap, ...]
    structures: tuple[StructureDoses, ...]
    planned_goals: Report
    goals: Report
    verdict: Verdict
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return f"PlanCheck({self.verdict}, {self.gamma!r}, {self.goals!r})"

    @property
    def gamma(self) -> GammaMap:
        """Gamma by the protocol."""
        return self.gammas[0]

    @property
    def passed(self) -> bool:
        """Whether there is nothing to object to."""
        return self.verdict == "pass"


def check_plan(
    study: Study,
    *,
    engine: str | InfluenceEngine | ForwardEngine = "yoda",
    goals: Iterable[str | Goal] = (),
    protocol: GammaProtocol = TG218,
    metal: Metal = "refuse",
) -> PlanCheck:
    """Recompute the proton plan of a study and compare it with the plan's own dose.

    The dose is computed on the grid of the plan's dose, enlarged to hold the body, and compared
    within the body. The check fails where gamma is below the protocol's action level or the
    recomputed dose misses a goal; between action and tolerance level it asks to investigate.

    Parameters
    ----------
    study
        CT, structures, ion plan and dose, read with a machine.
    engine
        What computes; the deterministic engine needs no tabulated depth doses.
    goals
        Clinical goals, such as ``"CTV: D95% >= 57 Gy"``, of the dose without RBE.
    protocol
        Gamma criteria and limits; by default AAPM TG-218's.
    metal
        Whether voxels above the HU calibration are refused, or count as its upper end.

    Raises
    ------
    FileFormatError
        If the study lacks CT, plan or dose.
    CapabilityError
        If the plan is not for protons.
    MachineError
        If the study was read without a machine.
    PatientError
        If the CT holds metal.
    PlanError
        If a goal cannot be understood, or no spot reaches the patient.
    """
    patient, plan = subject(study)
    if study.dose is None:
        raise FileFormatError(
            "the study holds no dose to compare with; add the RT Dose of the plan, or of all of "
            "its beams."
        )
    parsed = [goal if isinstance(goal, Goal) else Goal.parse(goal) for goal in goals]
    for goal in parsed:
        patient.structure(goal.structure)
    highest = float(patient.calibration.edges[-1])
    notes = [*study.warnings, *check_metal(patient.ct, highest, metal)]
    patient = replace(patient, ct=calibrated(patient.ct, highest))
    planned, more = physical_dose(study.dose)
    notes += more
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        recomputed = _recompute(patient, plan, planned, engine)
        tell("comparing", 0.0)
        gammas = _gammas(patient, planned, recomputed, protocol)
    notes += [str(warning.message) for warning in heard]
    structures = compare_structures(patient, planned, recomputed)
    before, after = (evaluate(dose, patient, parsed) for dose in (planned, recomputed))
    notes += [*before.warnings, *after.warnings]
    tell("comparing", 1.0)
    verdict, reasons = _judge(protocol, gammas[0], before, after)
    return PlanCheck(
        patient, plan, planned, recomputed, protocol, gammas, structures, before, after, verdict,
        reasons, tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _recompute(
    patient: Patient, plan: Plan, planned: Dose, engine: str | InfluenceEngine | ForwardEngine
) -> Dose:
    """Dose on the grid of the planned one."""
    bare = replace(plan, dose=None)
    whole = compute_dose(patient, bare, engine=engine, grid=covering(planned.grid, patient))
    if not whole.array.max() > 0:
        raise PlanError(
            "no spot of the plan reaches the patient; check that plan and CT belong together and "
            "that the isocentre lies in the body."
        )
    return part_of(whole, planned.grid)


def _gammas(
    patient: Patient, planned: Dose, recomputed: Dose, protocol: GammaProtocol
) -> tuple[GammaMap, ...]:
    body = patient.body_mask(planned.grid)
    found = [protocol.compare(planned, recomputed, mask=body)]
    for number, (percent, distance) in enumerate(_MORE_CRITERIA, 1):
        tell("comparing", number / (len(_MORE_CRITERIA) + 1))
        if (percent, distance) != (protocol.percent, protocol.distance):
            made = gamma(
                planned, recomputed, percent=percent, distance=distance,
                threshold=protocol.threshold, local=protocol.local, mask=body,
            )  # fmt: skip
            found.append(made)
    return tuple(found)


def _judge(
    protocol: GammaProtocol, result: GammaMap, before: Report, after: Report
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and why it is not ``"pass"``."""
    reasons = []
    judged = protocol.verdict(result)
    if judged != "pass":
        level = ("tolerance", protocol.tolerance)
        if judged == "act":
            level = ("action", protocol.action)
        reasons.append(
            f"gamma {protocol.percent:g} %/{protocol.distance:g} mm passes in "
            f"{100 * result.pass_rate:.1f} % of the voxels, below the {level[0]} level of "
            f"{100 * level[1]:g} %"
        )
    missed = _missed(before, after)
    verdict: Verdict = "pass" if judged == "pass" else "investigate"
    if judged == "act" or missed:
        verdict = "fail"
    return verdict, (*reasons, *missed)


def _missed(before: Report, after: Report) -> Sequence[str]:
    """A sentence for each goal that the recomputed dose misses."""
    return [
        f"goal {second.goal} is missed by the recomputed dose "
        + ("(the plan's dose meets it)" if first.met else "(and by the plan's dose)")
        for first, second in zip(before, after, strict=True)
        if not second.met
    ]
