"""What pages on plans and checks share: who, with which beams, by which engine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from dosegrad import __version__
from dosegrad.checks.structure_doses import FIGURES, StructureDoses
from dosegrad.dose import Dose
from dosegrad.geometry.grid import Grid
from dosegrad.machine.particle import ParticleMachine
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.report.page import Table
from dosegrad.units import PARTICLES_PER_WEIGHT

__all__ = [
    "SCHEMA",
    "as_json",
    "beam_table",
    "beams_content",
    "common_content",
    "facts",
    "footer",
    "number",
    "structure_table",
    "subject_name",
]

#: Name and version of what the JSON files hold; the version rises when a key changes its meaning.
SCHEMA: Final = "dosegrad-report/1"

_NOBODY: Final = "not named"


def subject_name(patient: Patient, name: str | None) -> str:
    """What the report calls the patient: the name asked for, else the pseudonym."""
    return name or patient.name or _NOBODY


def number(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """A figure for a table; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace("-", "−")


def facts(patient: Patient, plan: Plan, dose: Dose, name: str | None) -> list[tuple[str, str]]:
    """Pairs that head every page."""
    beams = plan.beams
    noun = "bixels" if beams.machine.modality == "photons" else "spots"
    course = f"{plan.fractions} fraction{'s' if plan.fractions > 1 else ''}"
    means = [(s.name, dose.mean(s)) for s in _targets(patient, dose)]
    prescribed = [(f"Mean dose, {n}", f"{number(v)} {dose.unit} in {course}") for n, v in means]
    return [
        ("Patient", subject_name(patient, name)),
        ("Machine", beams.machine.name),
        ("Beams", f"{len(beams)} of {beams.machine.modality}, {plan.n_spots} {noun}"),
        *(prescribed or [("Course", course)]),
        ("Dose grid", _grid_in_words(dose.grid)),
    ]


def _targets(patient: Patient, dose: Dose) -> list[Any]:
    return [
        s for s in patient.structures.values() if s.role == "target" and s.mask(dose.grid).any()
    ][:3]


def _grid_in_words(grid: Grid) -> str:
    sizes = " × ".join(map(str, grid.shape))
    return f"{sizes} voxels of {' × '.join(f'{s:g}' for s in grid.spacing)} mm (z, y, x)"


def beams_content(plan: Plan) -> list[dict[str, Any]]:
    """Every beam as what JSON knows; particles and MU are of one fraction."""
    found = []
    for index, beam in enumerate(plan.beams):
        part = plan.beams.columns_of(index)
        columns, weights = plan.beams.columns[part], plan.weights[part]
        used = weights > 0
        content: dict[str, Any] = {
            "number": index + 1,
            "gantry": float(beam.gantry),
            "couch": float(beam.couch),
            "isocentre_mm": [float(v) for v in beam.isocentre],
            "n_spots": int(np.count_nonzero(used)),
        }
        machine = plan.beams.machine
        if isinstance(machine, ParticleMachine) and used.any():
            content |= _delivery(machine, columns["energy"][used], weights[used] / plan.fractions)
            slab = beam.range_shifter
            content["range_shifter_mm"] = 0.0 if slab is None else float(slab.thickness)
        found.append(content)
    return found


def _delivery(machine: ParticleMachine, energies: Any, weights: Any) -> dict[str, Any]:
    levels = np.unique(energies)
    monitor = machine.monitor
    per_mu = [monitor.particles_per_mu(monitor.nominal_energy(float(e))) for e in levels]
    which = np.searchsorted(levels, energies)
    mu = weights * PARTICLES_PER_WEIGHT / np.asarray(per_mu)[which]
    return {
        "energy_min_mev": float(levels[0]),
        "energy_max_mev": float(levels[-1]),
        "n_layers": int(levels.size),
        "particles": float(weights.sum() * PARTICLES_PER_WEIGHT),
        "monitor_units": float(mu.sum()),
    }


def beam_table(plan: Plan) -> Table:
    """Beams for people."""
    header = ["beam", "gantry", "couch", "isocentre (mm)", "spots"]
    particles = isinstance(plan.beams.machine, ParticleMachine)
    if particles:
        header += ["energy (MeV)", "layers", "10⁹ particles", "MU", "shifter (mm)"]
    rows = []
    for beam in beams_content(plan):
        iso = ", ".join(number(v, 1) for v in beam["isocentre_mm"])
        row = [str(beam["number"]), f"{beam['gantry']:g}°", f"{beam['couch']:g}°", iso]
        row.append(str(beam["n_spots"]))
        if particles:
            low, high = beam.get("energy_min_mev"), beam.get("energy_max_mev")
            row += [f"{number(low, 1)}–{number(high, 1)}", str(beam.get("n_layers", 0))]
            row += [number(beam.get("particles", 0.0) / 1e9), number(beam.get("monitor_units"), 1)]
            row.append(number(beam.get("range_shifter_mm"), 1))
        rows.append(row)
    return Table(
        "Isocentre (x, y, z) in the patient frame; particles and MU of one fraction; range "
        "shifters in mm of water.",
        header,
        rows,
    )


def structure_table(
    structures: Sequence[StructureDoses], *, labels: tuple[str, str], unit: str
) -> Table:
    """Two lines for each structure, by two doses."""
    header = ["structure", "cm³", "dose", *FIGURES.values()]
    rows = []
    for each in structures:
        for label, figures in zip(labels, (each.before, each.after), strict=True):
            values = [number(getattr(figures, name)) for name in FIGURES]
            rows.append([each.name, number(each.volume_cc, 1), label, *values])
    return Table(f"Dose in {unit}, whole course.", header, rows)


def footer(doses: Iterable[Dose]) -> list[str]:
    """Where the figures come from."""
    lines = []
    for dose in doses:
        engine = dose.provenance.get("engine")
        if engine:
            settings = dose.provenance.get("settings", {})
            lines.append(f"Computed by engine {engine}: {_settings_in_words(settings)}.")
    made = f"dosegrad {__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    return [*dict.fromkeys(lines), f"{made} Not a medical device; not for clinical decisions."]


def _settings_in_words(settings: object) -> str:
    if not isinstance(settings, Mapping) or not settings:
        return "default settings"
    words = []
    for key, value in settings.items():
        shown = "…" if isinstance(value, Mapping) else value
        words.append(f"{key} {shown}")
    return ", ".join(words)


def common_content(kind: str, patient: Patient, plan: Plan, name: str | None) -> dict[str, Any]:
    """What every JSON report begins with."""
    return {
        "schema": SCHEMA,
        "kind": kind,
        "program": f"dosegrad {__version__}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "patient": {
            "name": subject_name(patient, name),
            "position": patient.ct.position,
            "structures": {
                n: {"role": s.role, "volume_cc": s.volume_cc} for n, s in patient.structures.items()
            },
        },
        "plan": {
            "machine": plan.beams.machine.name,
            "modality": plan.beams.machine.modality,
            "fractions": plan.fractions,
            "n_spots": plan.n_spots,
            "beams": beams_content(plan),
        },
    }


def as_json(value: Any) -> Any:
    """The value as what JSON knows: no NaN, no arrays, no tuples as keys."""
    if isinstance(value, Mapping):
        return {str(k): as_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(v) for v in value]
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)
