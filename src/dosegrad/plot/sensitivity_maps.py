"""Where a response feels the anatomy: change per Hounsfield unit of every voxel."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from dosegrad.dose import Dose
from dosegrad.errors import GeometryError
from dosegrad.patient.patient import Patient
from dosegrad.plot.patient_views import patient_planes, row_height, slice_row
from dosegrad.plot.planes import Plane
from dosegrad.plot.slices import draw_ct, draw_structures, structure_handles
from dosegrad.plot.style import new_figure, structure_colours

__all__ = ["sensitivity"]

_WIDTH: Final = 13.0
_TALLEST: Final = 6.0
_COLOURS: Final = "RdBu_r"
#: Percentile of what the planes show at which colours end, and from where they are seen.
_FULL, _CLEAR = 99.5, 0.03


def sensitivity(patient: Patient, values: Dose) -> Figure:
    """Three slices through the target with the change of a response per HU.

    Red where denser tissue gives more, blue where it gives less; per cm3 of tissue, so that voxels
    of all sizes look alike.

    Parameters
    ----------
    patient
        Whose CT it is.
    values
        Gy per HU of every voxel, as :meth:`PreparedDoseChange.sensitivity` gives it.

    Raises
    ------
    GeometryError
        If all values are 0.
    """
    if not np.abs(values.array).max() > 0:
        raise GeometryError("the sensitivity is 0 everywhere; give one that a response has.")
    per_volume = replace(values, array=1000.0 * values.array / values.grid.voxel_volume_cc)
    planes = patient_planes(patient)
    seen = np.concatenate([np.abs(plane.dose(per_volume)).ravel() for plane in planes])
    known = seen[seen > 0]
    limit = float(np.percentile(known if known.size else seen, _FULL)) or 1.0
    figure = new_figure(_WIDTH, min(row_height(planes, _WIDTH - 2.5), _TALLEST) + 1.1)
    row = slice_row(figure, planes)
    structures = list(patient.structures.values())
    colours = structure_colours(structures)
    for ax, plane in zip(row, planes, strict=True):
        draw_ct(ax, plane, patient)
        image = _draw(ax, plane, per_volume, limit)
        draw_structures(ax, plane, structures, colours)
    bar = figure.colorbar(image, ax=row, shrink=0.9, pad=0.012)
    bar.set_label("change of the response per HU and cm³ (10⁻³)", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    figure.legend(
        handles=structure_handles(structures, colours), loc="outside lower center",
        ncols=min(len(structures), 7) or 1, fontsize=9, frameon=False,
    )  # fmt: skip
    return figure


def _draw(ax: Axes, plane: Plane, values: Dose, limit: float) -> AxesImage:
    found = plane.dose(values)
    left, right, bottom, top = plane.limits
    return ax.imshow(
        found, cmap=_COLOURS, norm=TwoSlopeNorm(0.0, -limit, limit),
        alpha=np.clip(2.0 * (np.abs(found) / limit - _CLEAR), 0.0, 0.85),
        origin="upper" if bottom > top else "lower", extent=(left, right, bottom, top),
        interpolation="nearest", zorder=1,
    )  # fmt: skip
