"""dosegrad: open radiotherapy treatment planning; every dose brings its gradient.

The names below load on first use, so that importing the package is quick and pulls in no
compiler, plotting, DICOM or web library. Not a medical device.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from dosegrad._version import __version__

_PLACES: Final[dict[str, str]] = {
    "Beam": "dosegrad.beams.beam",
    "Beams": "dosegrad.beams.beam",
    "CT": "dosegrad.patient.ct",
    "CTPhase": "dosegrad.influence.phases",
    "Dose": "dosegrad.dose",
    "DosegradError": "dosegrad.errors",
    "Grid": "dosegrad.geometry.grid",
    "Influence": "dosegrad.influence.matrix",
    "ParticleMachine": "dosegrad.machine.particle",
    "Patient": "dosegrad.patient.patient",
    "PhotonMachine": "dosegrad.machine.photon",
    "Plan": "dosegrad.plan",
    "Scenario": "dosegrad.influence.scenarios",
    "Scenarios": "dosegrad.influence.scenarios",
    "Structure": "dosegrad.patient.structures",
    "adapt": "dosegrad.checks.adaptation",
    "check_plan": "dosegrad.checks.plan_check",
    "compute_dose": "dosegrad.plan_dose",
    "compute_influence": "dosegrad.influence.build",
    "dvh": "dosegrad.evaluation.dose_volume",
    "evaluate": "dosegrad.evaluation.clinical_goals",
    "gamma": "dosegrad.evaluation.gamma_index",
    "load_machine": "dosegrad.machine.library",
    "load_plan": "dosegrad.io.archive",
    "optimise": "dosegrad.optimisation.optimise",
    "optimise_angles": "dosegrad.optimisation.beam_angles",
    "optimise_apertures": "dosegrad.optimisation.apertures",
    "optimise_arc": "dosegrad.optimisation.arcs",
    "optimise_lexicographic": "dosegrad.optimisation.lexicographic",
    "optimise_spots": "dosegrad.optimisation.spot_positions",
    "pareto_front": "dosegrad.optimisation.pareto",
    "phantom": "dosegrad.patient.phantoms",
    "prepare_dose_change": "dosegrad.dose_change.prepare",
    "read_dicom": "dosegrad.io.dicom.study",
    "read_patient": "dosegrad.io.patients",
    "register": "dosegrad.patient.registration",
    "sequence": "dosegrad.optimisation.sequencing.sequence",
    "steer": "dosegrad.beams.steering",
    "write_dicom": "dosegrad.io.dicom.writing.study",
    "write_report": "dosegrad.report.write",
}
_MODULES: Final = ("engines", "objectives", "plot", "rbe")

if TYPE_CHECKING:
    from dosegrad import engines, objectives, plot, rbe
    from dosegrad.beams.beam import Beam, Beams
    from dosegrad.beams.steering import steer
    from dosegrad.checks.adaptation import adapt
    from dosegrad.checks.plan_check import check_plan
    from dosegrad.dose import Dose
    from dosegrad.dose_change.prepare import prepare_dose_change
    from dosegrad.errors import DosegradError
    from dosegrad.evaluation.clinical_goals import evaluate
    from dosegrad.evaluation.dose_volume import dvh
    from dosegrad.evaluation.gamma_index import gamma
    from dosegrad.geometry.grid import Grid
    from dosegrad.influence.build import compute_influence
    from dosegrad.influence.matrix import Influence
    from dosegrad.influence.phases import CTPhase
    from dosegrad.influence.scenarios import Scenario, Scenarios
    from dosegrad.io.archive import load_plan
    from dosegrad.io.dicom.study import read_dicom
    from dosegrad.io.dicom.writing.study import write_dicom
    from dosegrad.io.patients import read_patient
    from dosegrad.machine.library import load_machine
    from dosegrad.machine.particle import ParticleMachine
    from dosegrad.machine.photon import PhotonMachine
    from dosegrad.optimisation.apertures import optimise_apertures
    from dosegrad.optimisation.arcs import optimise_arc
    from dosegrad.optimisation.beam_angles import optimise_angles
    from dosegrad.optimisation.lexicographic import optimise_lexicographic
    from dosegrad.optimisation.optimise import optimise
    from dosegrad.optimisation.pareto import pareto_front
    from dosegrad.optimisation.sequencing.sequence import sequence
    from dosegrad.optimisation.spot_positions import optimise_spots
    from dosegrad.patient.ct import CT
    from dosegrad.patient.patient import Patient
    from dosegrad.patient.phantoms import phantom
    from dosegrad.patient.registration import register
    from dosegrad.patient.structures import Structure
    from dosegrad.plan import Plan
    from dosegrad.plan_dose import compute_dose
    from dosegrad.report.write import write_report

__all__ = [  # noqa: RUF022 - sorted as people look names up
    "__version__",
    "CT",
    "CTPhase",
    "Beam",
    "Beams",
    "Dose",
    "DosegradError",
    "Grid",
    "Influence",
    "ParticleMachine",
    "Patient",
    "PhotonMachine",
    "Plan",
    "Scenario",
    "Scenarios",
    "Structure",
    "adapt",
    "check_plan",
    "compute_dose",
    "compute_influence",
    "dvh",
    "engines",
    "evaluate",
    "gamma",
    "load_machine",
    "load_plan",
    "objectives",
    "optimise",
    "optimise_angles",
    "optimise_apertures",
    "optimise_arc",
    "optimise_lexicographic",
    "optimise_spots",
    "pareto_front",
    "phantom",
    "plot",
    "prepare_dose_change",
    "rbe",
    "read_dicom",
    "read_patient",
    "register",
    "sequence",
    "steer",
    "write_dicom",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        value = getattr(import_module(_PLACES[name]), name)
    elif name in _MODULES:
        value = import_module(f"dosegrad.{name}")
    else:
        raise AttributeError(f"module 'dosegrad' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
