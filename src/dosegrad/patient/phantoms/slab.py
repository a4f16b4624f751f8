"""A water tank with half a slab: the test of engines for lateral heterogeneity."""

from __future__ import annotations

import numpy as np

from dosegrad.errors import SettingsError
from dosegrad.patient.patient import Patient
from dosegrad.patient.phantoms._shapes import Canvas, Region, assemble, centred_grid

__all__ = ["slab"]

_DEPTH = 150.0
_TARGET_DEPTH = 80.0


def slab(hu: float = 1000.0, depth: float = 20.0, thickness: float = 10.0) -> Patient:
    """A tank of water with a slab of ``hu`` in the half x > 0, and Target, Slab and Tank.

    40 x 100 x 60 voxels of 2.5 mm x 1.5 mm x 2 mm (z, y, x), centred on (0, 0, 0); a beam of
    gantry 0 enters at y = -75 mm. The target lies from 80 to 110 mm below that face.

    Parameters
    ----------
    hu
        Of the slab, -1000 to 3000.
    depth, thickness
        Of the slab's front below the face of the tank, and of the slab, mm; it must end before
        the target.

    Raises
    ------
    SettingsError
        If the slab is outside the HU scale or does not fit in front of the target.
    """
    if not -1000.0 <= hu <= 3000.0:
        raise SettingsError(f"slab of {hu:g} HU is outside the scale; give -1000 to 3000 HU.")
    if not (depth >= 0 and thickness > 0 and depth + thickness <= _TARGET_DEPTH):
        raise SettingsError(
            f"a slab from {depth:g} to {depth + thickness:g} mm does not fit in front of the "
            f"target at {_TARGET_DEPTH:g} mm; choose a smaller depth or thickness."
        )
    canvas = Canvas(centred_grid((40, 100, 60), (2.5, 1.5, 2.0)))
    front = -_DEPTH / 2
    half = canvas.box((0.0, front + depth, -50.0), (60.0, front + depth + thickness, 50.0))
    target = canvas.box((-20.0, front + _TARGET_DEPTH, -20.0), (20.0, front + 110.0, 20.0))
    values = canvas.filled(0.0)
    canvas.paint(values, half, hu)
    regions = {
        "Target": Region(canvas.inside(target), "target"),
        "Slab": Region(canvas.inside(half)),
        "Tank": Region(np.ones(canvas.grid.shape, dtype=bool), "external"),
    }
    return assemble("slab", canvas.grid, values, regions, calibration="schneider-water")
