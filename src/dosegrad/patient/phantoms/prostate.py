"""A pelvis with a prostate target between bladder and rectum.

Sizes are those of an ordinary adult; HU are usual CT values of the tissues. The PTV is the CTV
with 8 mm all round, 5 mm towards the rectum, which it overlaps.
"""

from __future__ import annotations

import numpy as np

from dosegrad.arrays import Array
from dosegrad.patient.patient import Patient
from dosegrad.patient.phantoms._shapes import AIR, Canvas, Region, assemble, centred_grid

__all__ = ["prostate"]

_FAT, _MUSCLE, _SPONGY, _COMPACT, _URINE, _GAS = -95.0, 45.0, 250.0, 900.0, 8.0, -800.0


def prostate() -> Patient:
    """A pelvis with CTV, PTV, Bladder, Rectum, two FemoralHeads and Body.

    40 x 88 x 156 voxels of 4 mm x 3 mm x 2.5 mm (z, y, x), centred on the prostate at (0, 0, 0).
    """
    canvas = Canvas(centred_grid((40, 88, 156), (4.0, 3.0, 2.5)))
    body = canvas.ellipse((0.0, 5.0), (178.0, 112.0), power=2.4)
    values = canvas.filled(AIR)
    canvas.paint(values, body, _FAT, edge=2.5)
    canvas.paint(values, canvas.ellipse((0.0, 5.0), (155.0, 90.0), power=2.4), _MUSCLE, edge=2.5)
    canvas.paint(values, canvas.ellipsoid((0.0, 10.0, 5.0), (70.0, 75.0, 120.0)), _FAT, edge=2.5)
    _paint_bones(canvas, values)
    ctv = canvas.ellipsoid((0.0, 0.0, 0.0), (24.0, 19.0, 22.0))
    ptv = canvas.ellipsoid((0.0, -1.5, 0.0), (32.0, 25.5, 30.0))
    bladder = canvas.ellipsoid((0.0, -24.0, 42.0), (36.0, 30.0, 26.0))
    rectum = _rectum(canvas, 16.0)
    canvas.paint(values, ctv, _MUSCLE, edge=2.5)
    canvas.paint(values, bladder, _URINE, edge=2.5)
    canvas.paint(values, rectum, _MUSCLE, edge=2.5)
    canvas.paint(values, canvas.ellipsoid((0.0, 40.0, 30.0), (9.0, 8.0, 18.0)), _GAS, edge=2.5)
    regions = {
        "PTV": Region(canvas.inside(ptv), "target"),
        "CTV": Region(canvas.inside(ctv), "target"),
        "Bladder": Region(canvas.inside(bladder)),
        "Rectum": Region(canvas.inside(rectum)),
        "FemoralHeadL": Region(canvas.inside(_femoral_head(canvas, 1.0))),
        "FemoralHeadR": Region(canvas.inside(_femoral_head(canvas, -1.0))),
        "Body": Region(canvas.inside(body), "external"),
    }
    return assemble("prostate", canvas.grid, values, regions)


def _femoral_head(canvas: Canvas, side: float) -> Array:
    return canvas.ellipsoid((side * 96.0, -8.0, 12.0), (25.0, 25.0, 25.0))


def _rectum(canvas: Canvas, radius: float) -> Array:
    return canvas.tube((0.0, 37.0, -70.0), (0.0, 41.0, 70.0), radius)


def _paint_bones(canvas: Canvas, values: Array) -> None:
    """Femoral heads and shafts, pubic bones, ischia and sacrum, in place."""
    for side in (-1.0, 1.0):
        shaft = canvas.tube((side * 96.0, -8.0, 12.0), (side * 128.0, -2.0, -80.0), 17.0)
        for level in (_femoral_head(canvas, side), shaft):
            canvas.paint(values, level, _COMPACT, edge=2.5)
            canvas.paint(values, level + 4.0, _SPONGY, edge=2.5)
        socket = canvas.ellipsoid((side * 82.0, 2.0, 42.0), (20.0, 34.0, 34.0))
        away = np.maximum(socket, 4.0 - _femoral_head(canvas, side))
        canvas.paint(values, away, _COMPACT * 0.6, edge=2.5)
        pubis = canvas.tube((side * 8.0, -42.0, -18.0), (side * 58.0, -36.0, 10.0), 9.0)
        canvas.paint(values, pubis, _COMPACT * 0.6, edge=2.5)
    canvas.paint(values, canvas.ellipsoid((0.0, 78.0, 40.0), (40.0, 15.0, 45.0)), _SPONGY, edge=2.5)
