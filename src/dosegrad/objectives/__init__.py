"""Differentiable planning objectives."""

from dosegrad.objectives import limits
from dosegrad.objectives.complication import LogisticNTCP, LymanNTCP
from dosegrad.objectives.dose_volume_penalty import MaxDVH, MinDVH
from dosegrad.objectives.equivalent_uniform_dose import EUD
from dosegrad.objectives.extremes import SoftMaximum, SoftMinimum
from dosegrad.objectives.homogeneity import Homogeneity
from dosegrad.objectives.mean import MeanDose, SquaredMeanDeviation
from dosegrad.objectives.mean_tail import LowerMeanTail, UpperMeanTail
from dosegrad.objectives.protocols import Objective
from dosegrad.objectives.records import from_record, to_record
from dosegrad.objectives.smoothness import SpotSmoothness
from dosegrad.objectives.sparsity import LayerSparsity, SpotSparsity
from dosegrad.objectives.squared import SquaredDeviation, SquaredOverdose, SquaredUnderdose
from dosegrad.objectives.structure_objective import StructureObjective
from dosegrad.objectives.tumour_control import TCP
from dosegrad.objectives.voxel_limits import DoseFallOff, VoxelLimit

__all__ = [
    "EUD",
    "TCP",
    "DoseFallOff",
    "Homogeneity",
    "LayerSparsity",
    "LogisticNTCP",
    "LowerMeanTail",
    "LymanNTCP",
    "MaxDVH",
    "MeanDose",
    "MinDVH",
    "Objective",
    "SoftMaximum",
    "SoftMinimum",
    "SpotSmoothness",
    "SpotSparsity",
    "SquaredDeviation",
    "SquaredMeanDeviation",
    "SquaredOverdose",
    "SquaredUnderdose",
    "StructureObjective",
    "UpperMeanTail",
    "VoxelLimit",
    "from_record",
    "limits",
    "to_record",
]
