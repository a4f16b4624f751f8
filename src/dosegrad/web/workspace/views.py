"""What the page is shown of a case: volumes, beams, histograms, goals, fronts, comparisons."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.dose import Dose
from dosegrad.evaluation.gamma_index import GammaMap
from dosegrad.geometry.grid import Grid
from dosegrad.patient.patient import Patient
from dosegrad.web.workspace.beams_eye import beam_content, spot_table
from dosegrad.web.workspace.case import Case, structure_content
from dosegrad.web.workspace.curves import (
    bands,
    curve_content,
    goal_content,
    histograms,
    quick_goals,
    top_dose,
)
from dosegrad.web.workspace.desk import Desk
from dosegrad.web.workspace.schemas import PhantomSource, Source
from dosegrad.web.workspace.volumes import (
    grid_content,
    pack_ct,
    pack_floats,
    pack_masks,
    pack_scaled,
)

__all__ = [
    "saving_name",
    "show_all",
    "show_beams",
    "show_case",
    "show_comparison",
    "show_front",
    "show_goals",
    "show_navigation",
    "spot_onlooker",
    "staleness",
]

#: Time between two pictures of spots that move, s, and how many spots each has at most.
_PAUSE: Final = 0.3
_MOST_SPOTS: Final = 4000


def show_case(case: Case, desk: Desk) -> None:
    """CT and structures, and what is known of the case."""
    patient = case.patient
    ct = patient.ct
    packed = pack_ct(ct.hu, ct.grid)
    desk.show("ct", packed)
    desk.show("structures", pack_masks(patient.structures.values(), ct.grid))
    source = case.source
    is_phantom = isinstance(source, PhantomSource)
    content = {
        "source": source.model_dump(mode="json"),
        "title": source.name if isinstance(source, PhantomSource) else "Patient",
        "isPhantom": is_phantom,
        "saveAs": saving_name(source),
        "pseudonym": patient.name,
        "position": ct.position,
        "grid": {key: packed.header[key] for key in ("shape", "spacing", "origin")},
        "centre": _centre(case),
        "structures": structure_content(patient),
    }
    desk.state(case=content, settings=case.settings.model_dump(mode="json"))


def saving_name(source: Source) -> str:
    """A name to save a case's plans under: that of a phantom, or one that tells nobody's name."""
    if isinstance(source, PhantomSource):
        return source.name
    digest = hashlib.sha256(source.model_dump_json().encode())
    return f"plan-{digest.hexdigest()[:4]}"


def show_all(case: Case, desk: Desk) -> None:
    """Beams, plan, dose, histograms and goals as they stand; what there is not is taken away."""
    beams, plan, dose = case.beams, case.plan, case.dose
    desk.drop("difference", "gamma", "other")
    parts: dict[str, Any] = {"front": None, "comparison": None, "stale": staleness(case)}
    parts["unsaved"] = case.is_unsaved
    if beams is None:
        desk.drop("spots", "dose")
        parts.update(beams=None)
    else:
        parts.update(beams=beam_content(case.patient, beams, case.settings.target))
        desk.show("spots", pack_floats(spot_table(beams, None if plan is None else plan.weights)))
    if plan is None or dose is None:
        desk.drop("dose")
        parts.update(plan=None, dvh=None, goals=None, bands=None)
    else:
        parts.update(_plan_parts(case, dose, desk))
    desk.state(**parts)


def show_beams(case: Case, desk: Desk) -> None:
    """New beams on the way to a plan; the plan from before stays until there is another one."""
    assert case.beams is not None
    desk.state(beams=beam_content(case.patient, case.beams, case.settings.target))
    desk.show("spots", pack_floats(spot_table(case.beams, None)))


def show_goals(case: Case, desk: Desk) -> None:
    """The goals of the plan's dose, judged again."""
    if case.dose is not None:
        desk.state(goals=goal_content(case.dose, case.patient, case.settings.goals))


def staleness(case: Case) -> dict[str, Any]:
    """What must be made again before the next plan, and what the plan shown has otherwise."""
    return {
        "beams": case.needs("beams"),
        "influence": case.needs("influence"),
        "plan": case.changes(),
    }


def show_front(case: Case, desk: Desk) -> None:
    """Names and ranges of a front, and its plans."""
    front = case.front
    assert front is not None
    ranges = front.ranges
    desk.state(
        front={
            "names": list(ranges),
            "low": [ranges[n][0] for n in ranges],
            "high": [ranges[n][1] for n in ranges],
            "plans": [[row[n] for n in ranges] for row in front.values],
            "gap": front.gap,
        }
    )


def show_navigation(case: Case, desk: Desk, values: Mapping[str, float]) -> None:
    """The dose and histograms of a choice on the front, quickly made."""
    dose, plan = case.dose, case.plan
    assert dose is not None
    assert plan is not None
    top = top_dose(dose, case.prescription())
    curves = {
        name: _quick_curve(dose, mask) for name, mask in _masks(case.patient, dose.grid).items()
    }
    desk.show("dose", pack_scaled(dose.array, dose.grid))
    desk.state(
        plan=_plan_content(case),
        dvh=curve_content(curves, top),
        goals=quick_goals(curves, dose, case.patient, case.settings.goals),
        choice=dict(values),
        stale=staleness(case),
        unsaved=case.is_unsaved,
    )


def show_comparison(case: Case, desk: Desk, title: str, difference: Dose, found: GammaMap) -> None:
    """Another dose beside the plan's: their difference, gamma, and both histograms."""
    other, dose = case.comparison, case.dose
    assert other is not None
    assert dose is not None
    reach = float(np.nanmax(np.abs(difference.array), initial=1e-6))
    desk.show("difference", pack_scaled(difference.array, difference.grid, lowest=-reach))
    desk.show("gamma", pack_scaled(found.map, found.grid))
    top = top_dose(dose, case.prescription())
    desk.state(
        comparison={
            "title": title,
            "passRate": found.pass_rate,
            "percent": found.settings.percent,
            "distance": found.settings.distance,
            "evaluated": found.n_evaluated,
            "mean": float(np.nanmean(np.abs(difference.array))),
            "max": reach,
            "dvh": curve_content(histograms(other, case.patient), top),
        }
    )


def spot_onlooker(desk: Desk) -> Callable[[Array], None]:
    """Shows spots while they move: (beam, x, y, weight) by and by."""
    last = 0.0

    def look(spots: Array) -> None:
        nonlocal last
        desk.check()
        now = time.monotonic()
        if now - last < _PAUSE:
            return
        last = now
        step = max(len(spots) // _MOST_SPOTS, 1)
        weight, x, y = spots[::step].T
        share = weight / max(float(weight.max(initial=0.0)), 1e-30)
        desk.send(
            kind="spots",
            step=step,
            x=np.round(x, 1).tolist(),
            y=np.round(y, 1).tolist(),
            share=np.round(share, 3).tolist(),
        )

    return look


def _plan_parts(case: Case, dose: Dose, desk: Desk) -> dict[str, Any]:
    plan = case.plan
    assert plan is not None
    desk.show("dose", pack_scaled(dose.array, dose.grid))
    curves = histograms(dose, case.patient)
    top = top_dose(dose, case.prescription())
    found = None
    if plan.scenario_doses:
        found = bands(plan.scenario_doses, case.patient, top)
    return {
        "plan": _plan_content(case),
        "dvh": curve_content(curves, top),
        "goals": goal_content(dose, case.patient, case.settings.goals),
        "bands": found,
        "choice": None,
    }


def _plan_content(case: Case) -> dict[str, Any]:
    plan, dose = case.plan, case.dose
    assert plan is not None
    assert dose is not None
    return {
        "machine": plan.beams.machine.name,
        "modality": plan.beams.machine.modality,
        "spots": plan.n_spots,
        "columns": plan.beams.n_columns,
        "objective": plan.objective,
        "fractions": plan.fractions,
        "message": plan.message,
        "iterations": max(len(plan.history) - 2, 0),
        "history": [float(v) for v in plan.history[-400:]],
        "unit": dose.unit,
        "max": float(np.nanmax(dose.array)),
        "prescription": case.prescription(),
        "scenarios": len(plan.scenario_doses),
        "grid": grid_content(dose.grid),
    }


_known_masks: dict[str, Any] = {}


def _masks(patient: Patient, grid: Grid) -> Mapping[str, Any]:
    """Voxels of all structures on a grid; those of the last grid are kept."""
    key = (id(patient), grid)
    if _known_masks.get("key") != key:
        _known_masks["key"] = key
        _known_masks["masks"] = {
            name: np.flatnonzero(s.mask(grid)) for name, s in patient.structures.items()
        }
    masks: Mapping[str, Any] = _known_masks["masks"]
    return masks


def _quick_curve(dose: Dose, voxels: Any) -> Any:
    from dosegrad.evaluation.dose_volume import DVH

    values = dose.array.ravel()[voxels[:: max(voxels.size // 20_000, 1)]]
    return DVH(values[np.isfinite(values)], dose.grid.voxel_volume_cc)


def _centre(case: Case) -> list[float]:
    """Where the crosshair stands first: in the middle of the target, or of the CT."""
    grid = case.patient.ct.grid
    target = case.patient.structures.get(case.settings.target or "")
    if target is not None:
        inside = np.flatnonzero(target.mask(grid))
        if inside.size:
            return [round(float(v), 2) for v in grid.voxel_points(inside).mean(axis=0)]
    return [float(v) for v in grid.to_point([(n - 1) / 2 for n in grid.shape])]
