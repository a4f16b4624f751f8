"""Pictures: figures of matplotlib, made without its global state."""

from dosegrad.plot.angle_worth import angles
from dosegrad.plot.biology_maps import biology
from dosegrad.plot.check_views import compare_dvh, difference_slices, dose_slices
from dosegrad.plot.delivery import meterset_deviations, spot_deviations
from dosegrad.plot.dvh_curves import dvh
from dosegrad.plot.gamma_maps import gamma
from dosegrad.plot.impt import impt_summary
from dosegrad.plot.machine_curves import machine
from dosegrad.plot.patient_views import phantom
from dosegrad.plot.plan_views import overview
from dosegrad.plot.robust_bands import robust_bands
from dosegrad.plot.spot_moves import spot_moves

__all__ = [
    "angles",
    "biology",
    "compare_dvh",
    "difference_slices",
    "dose_slices",
    "dvh",
    "gamma",
    "impt_summary",
    "machine",
    "meterset_deviations",
    "overview",
    "phantom",
    "robust_bands",
    "spot_deviations",
    "spot_moves",
]
