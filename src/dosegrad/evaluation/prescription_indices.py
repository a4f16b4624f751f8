"""Indices of conformity, homogeneity and fall-off for what was prescribed, level by level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dosegrad.arrays import Mask
from dosegrad.dose import Dose
from dosegrad.errors import PlanError
from dosegrad.evaluation.dose_volume import DVH
from dosegrad.patient.patient import Patient

__all__ = ["LevelIndices", "PrescriptionReport", "gradient_index", "prescription_indices"]


@dataclass(frozen=True, slots=True)
class LevelIndices:
    r"""What became of one prescribed dose.

    Parameters
    ----------
    dose
        The prescription, Gy.
    structures
        Targets that it is prescribed to.
    coverage
        Share of the level's own volume that gets at least 95 % of it. Own is what belongs to no
        target of a higher prescription.
    homogeneity
        :math:`(D_{2\%} - D_{98\%}) / D_\mathrm{prescribed}` in the own volume, 0 at best.
    near_minimum, median, near_maximum
        :math:`D_{98\%}`, :math:`D_{50\%}` and :math:`D_{2\%}` of the own volume, Gy.
    conformity
        Paddick's index of the isodose of 95 % of the prescription, for all targets of this or a
        higher prescription together: 1 at best.
    gradient
        Volume that gets half the prescription over the volume that gets the prescription: small
        where dose falls off steeply. NaN where nothing gets the prescription.
    """

    dose: float
    structures: tuple[str, ...]
    coverage: float
    homogeneity: float
    near_minimum: float
    median: float
    near_maximum: float
    conformity: float
    gradient: float


@dataclass(frozen=True, slots=True)
class PrescriptionReport:
    """Indices of all prescribed doses, the highest first; printed as a table.

    Parameters
    ----------
    levels
        One for each dose.
    unit
        Of the doses.
    """

    levels: tuple[LevelIndices, ...]
    unit: str = "Gy"

    def __iter__(self) -> Iterator[LevelIndices]:
        return iter(self.levels)

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, index: int) -> LevelIndices:
        return self.levels[index]

    def __str__(self) -> str:
        heads = ["prescription", "targets", "V95%", "D98%", "D50%", "D2%", "HI", "CI", "GI"]
        rows = [_cells(level, self.unit) for level in self.levels]
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        lines = [heads, ["-" * width for width in widths], *rows]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )


def prescription_indices(
    dose: Dose, patient: Patient, prescriptions: Mapping[str, float]
) -> PrescriptionReport:
    """Indices of a plan with one prescribed dose, or several at once (integrated boost).

    Where a target of a higher prescription lies in one of a lower, its voxels belong to the
    higher: the lower level is judged on the rest. Conformity is judged on both together.

    Parameters
    ----------
    dose
        Of the plan, such as ``plan.dose`` or ``plan.rbe_dose``.
    patient
        Whose targets they are.
    prescriptions
        Dose, Gy for the whole course, by target.

    Raises
    ------
    PlanError
        If there is none, one is not positive, or a target has no voxel of its own.
    UnknownNameError
        If the patient has no such structure.

    References
    ----------
    Paddick and Lippitz 2006, J. Neurosurg. 105 (suppl.), 194 [Paddick2006]_; ICRU Report 83
    (2010), section 3.7.1.
    """
    if not prescriptions:
        raise PlanError('there is no prescription; give some, such as {"PTV": 60.0}.')
    for name, wanted in prescriptions.items():
        if not 0 < wanted < np.inf:
            raise PlanError(
                f"the prescription of {name!r} is {wanted} Gy; give a positive dose for the whole "
                "course."
            )
    masks = {name: patient.mask(name, dose.grid) for name in prescriptions}
    levels, above = [], np.zeros(dose.grid.shape, dtype=bool)
    for wanted in sorted(set(prescriptions.values()), reverse=True):
        names = tuple(name for name, d in prescriptions.items() if d == wanted)
        own = _union([masks[name] for name in names]) & ~above
        above = above | own
        if not own.any():
            raise PlanError(
                f"{' and '.join(names)} with {wanted:g} Gy lie wholly inside targets of higher "
                "prescription; leave them out."
            )
        levels.append(_level(dose, wanted, names, own, above))
    return PrescriptionReport(tuple(levels), dose.unit)


def gradient_index(dose: Dose, prescription: float) -> float:
    r"""Steepness of the fall-off, :math:`V_{50\%} / V_{100\%}`, by voxels of the dose grid.

    Volumes of the isodoses of half the ``prescription`` (Gy) and of all of it; 2.5 to 3 is usual
    for single targets of radiosurgery. NaN where no voxel gets the prescription.

    References
    ----------
    Paddick and Lippitz 2006, J. Neurosurg. 105 (suppl.), 194 [Paddick2006]_.
    """
    n_full = int(np.count_nonzero(dose.array >= prescription))
    n_half = int(np.count_nonzero(dose.array >= 0.5 * prescription))
    return n_half / n_full if n_full else float("nan")


def _level(
    dose: Dose, wanted: float, names: tuple[str, ...], own: Mask, all_targets: Mask
) -> LevelIndices:
    curve = DVH(dose.array[own], dose.grid.voxel_volume_cc)
    reached = dose.array >= 0.95 * wanted
    n_reached = np.count_nonzero(reached)
    common = np.count_nonzero(reached & all_targets)
    conformity = common**2 / (np.count_nonzero(all_targets) * n_reached) if n_reached else 0.0
    low, median, high = (curve.dose_at(share) for share in (0.98, 0.5, 0.02))
    return LevelIndices(
        dose=wanted,
        structures=names,
        coverage=float(curve.volume_at(0.95 * wanted)),
        homogeneity=(high - low) / wanted,
        near_minimum=low,
        median=median,
        near_maximum=high,
        conformity=float(conformity),
        gradient=gradient_index(dose, wanted),
    )


def _union(masks: Sequence[Mask]) -> Mask:
    union: Mask = np.logical_or.reduce(masks)
    return union


def _cells(level: LevelIndices, unit: str) -> list[str]:
    doses = (level.near_minimum, level.median, level.near_maximum)
    indices = (level.homogeneity, level.conformity, level.gradient)
    return [
        f"{level.dose:g} {unit}",
        ", ".join(level.structures),
        f"{100 * level.coverage:.1f} %",
        *(f"{value:.2f}" for value in doses),
        *(f"{value:.3f}" for value in indices),
    ]
