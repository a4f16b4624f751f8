"""Pictures: figures of matplotlib, made without its global state."""

from dosegrad.plot.angle_worth import angles
from dosegrad.plot.arc_views import arc
from dosegrad.plot.biology_maps import biology
from dosegrad.plot.check_views import compare_dvh, difference_slices, dose_slices
from dosegrad.plot.delivery import leaf_deviations, meterset_deviations, spot_deviations
from dosegrad.plot.dvh_curves import dvh
from dosegrad.plot.gamma_maps import gamma
from dosegrad.plot.impt import impt_summary
from dosegrad.plot.ion_curves import ion_comparison
from dosegrad.plot.leaf_views import fluence, leaf_sequence
from dosegrad.plot.machine_curves import machine
from dosegrad.plot.pareto import pareto
from dosegrad.plot.patient_views import phantom
from dosegrad.plot.plan_views import overview
from dosegrad.plot.robust_bands import robust_bands
from dosegrad.plot.sensitivity_maps import sensitivity
from dosegrad.plot.splitting_views import splitting
from dosegrad.plot.spot_moves import spot_moves

__all__ = [
    "angles",
    "arc",
    "biology",
    "compare_dvh",
    "difference_slices",
    "dose_slices",
    "dvh",
    "fluence",
    "gamma",
    "impt_summary",
    "ion_comparison",
    "leaf_deviations",
    "leaf_sequence",
    "machine",
    "meterset_deviations",
    "overview",
    "pareto",
    "phantom",
    "robust_bands",
    "sensitivity",
    "splitting",
    "spot_deviations",
    "spot_moves",
]
