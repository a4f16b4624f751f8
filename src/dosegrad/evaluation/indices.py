"""Indices of conformity and homogeneity."""

from __future__ import annotations

import numpy as np

from dosegrad.dose import Dose, Region
from dosegrad.errors import PlanError
from dosegrad.evaluation.dose_volume import DVH

__all__ = ["homogeneity", "paddick_conformity", "rtog_conformity"]


def homogeneity(curve: DVH) -> float:
    r"""Spread of dose in a target, 0 where it is uniform.

    .. math:: \mathrm{HI} = (D_{2\%} - D_{98\%}) / D_{50\%}

    NaN where the median dose is 0.

    References
    ----------
    ICRU Report 83 (2010), section 3.7.1.
    """
    median = curve.dose_at(0.50)
    return (curve.dose_at(0.02) - curve.dose_at(0.98)) / median if median > 0 else float("nan")


def paddick_conformity(dose: Dose, target: Region, reference: float) -> float:
    r"""How well an isodose fits a target: 1 at best, 0 where it misses.

    .. math:: \mathrm{CI} = \frac{V_{T,\mathrm{ref}}^2}{V_T\,V_\mathrm{ref}}

    with the volumes of the target, of the isodose ``reference`` (Gy), and of both, by voxels of
    the dose grid.

    References
    ----------
    Paddick 2000, J. Neurosurg. 93 (suppl. 3), 219.
    """
    target_volume, isodose_volume, common = _volumes(dose, target, reference)
    if isodose_volume == 0:
        return 0.0
    return common**2 / (target_volume * isodose_volume)


def rtog_conformity(dose: Dose, target: Region, reference: float) -> float:
    r"""Volume of an isodose over that of the target, :math:`V_\mathrm{ref} / V_T`.

    By voxels of the dose grid; ``reference`` in Gy. From 1 to 2 counts as conformal.

    References
    ----------
    Shaw et al. 1993, Int. J. Radiat. Oncol. Biol. Phys. 27, 1231.
    """
    target_volume, isodose_volume, _ = _volumes(dose, target, reference)
    return isodose_volume / target_volume


def _volumes(dose: Dose, target: Region, reference: float) -> tuple[float, float, float]:
    """Numbers of voxels of the target, of the isodose, and of both."""
    if not reference > 0:
        raise PlanError(f"reference dose {reference} Gy must be positive; give the prescription.")
    inside = target.mask(dose.grid)
    reached = dose.array >= reference
    n_target = float(np.count_nonzero(inside))
    if n_target == 0:
        raise PlanError(
            f"{target!r} has no voxel centre on the dose grid, so that its conformity is not "
            "known. Use a finer or larger grid."
        )
    return n_target, float(np.count_nonzero(reached)), float(np.count_nonzero(inside & reached))
