"""Differentiable planning objectives."""

from dosegrad.objectives.dose_volume_penalty import MaxDVH, MinDVH
from dosegrad.objectives.equivalent_uniform_dose import EUD
from dosegrad.objectives.mean import MeanDose, SquaredMeanDeviation
from dosegrad.objectives.protocols import Objective
from dosegrad.objectives.records import from_record, to_record
from dosegrad.objectives.smoothness import SpotSmoothness
from dosegrad.objectives.squared import SquaredDeviation, SquaredOverdose, SquaredUnderdose
from dosegrad.objectives.structure_objective import StructureObjective

__all__ = [
    "EUD",
    "MaxDVH",
    "MeanDose",
    "MinDVH",
    "Objective",
    "SpotSmoothness",
    "SquaredDeviation",
    "SquaredMeanDeviation",
    "SquaredOverdose",
    "SquaredUnderdose",
    "StructureObjective",
    "from_record",
    "to_record",
]
