"""A head with skull, air cavities, a CTV beside the brainstem, and a later, swollen anatomy.

Sizes are those of an ordinary adult head; HU are usual CT values of the tissues. Swelling lifts the
skin off the unchanged bones by so many millimetres, and the mucosa into the sinuses by 40 % of it;
brain, brainstem and CTV stay, so that doses of one structure can be followed over time.
"""

from __future__ import annotations

import numpy as np

from dosegrad.arrays import Array
from dosegrad.errors import SettingsError
from dosegrad.patient.patient import Patient
from dosegrad.patient.phantoms._shapes import AIR, Canvas, Region, assemble, centred_grid

__all__ = ["head"]

_SCALP, _BONE, _SPONGY, _BRAIN, _FLUID = 30.0, 1000.0, 450.0, 35.0, 8.0
_SINUS, _CELLS = -950.0, -350.0
_EDGE = 2.5
_MUCOSA_SHARE = 0.4
_LARGEST_SWELLING = 10.0


def head(swelling: float = 0.0) -> Patient:
    """A head with CTV, Brainstem, Brain, EyeL, EyeR and Body.

    72 x 96 x 104 voxels of 3 mm x 2.5 mm x 2 mm (z, y, x), centred on (0, 0, 0). CTV and brainstem
    are 1.5 mm apart, with voxel centres of both within 5 mm.

    Parameters
    ----------
    swelling
        By how much the soft tissue has swollen since the planning CT, 0 to 10 mm.

    Raises
    ------
    SettingsError
        If the swelling is outside that.
    """
    if not 0.0 <= swelling <= _LARGEST_SWELLING:
        raise SettingsError(
            f"swelling of {swelling:g} mm is outside what the phantom models; give 0 to "
            f"{_LARGEST_SWELLING:g} mm."
        )
    canvas = Canvas(centred_grid((72, 96, 104), (3.0, 2.5, 2.0)))
    body = _outline(canvas) - swelling
    values = canvas.filled(AIR)
    canvas.paint(values, body, _SCALP, edge=_EDGE)
    brain = _paint_skull(canvas, values)
    eyes = {f"Eye{s}": canvas.ellipsoid((x, -74.0, -22.0), (12.0, 12.0, 12.0)) for s, x in _SIDES}
    for eye in eyes.values():
        canvas.paint(values, eye, _FLUID, edge=_EDGE)
    cavities = _paint_cavities(canvas, values, _MUCOSA_SHARE * swelling)
    ctv = canvas.ellipsoid((34.5, 12.0, -20.0), (20.0, 22.0, 20.0))
    brainstem = canvas.tube((0.0, 20.0, -75.0), (0.0, 14.0, -6.0), 13.0)
    regions = {
        "CTV": Region(canvas.inside(ctv), "target"),
        "Brainstem": Region(canvas.inside(brainstem) & ~canvas.inside(ctv)),
        "Brain": Region(canvas.inside(np.maximum(brain, 5.0 - cavities)), "organ", 3),
        **{name: Region(canvas.inside(eye)) for name, eye in eyes.items()},
        "Body": Region(canvas.inside(body), "external"),
    }
    return assemble("head", canvas.grid, values, regions)


_SIDES = (("L", 32.0), ("R", -32.0))


def _outline(canvas: Canvas) -> Array:
    """Level of the skin before any swelling: a head upon a neck."""
    skull = canvas.ellipsoid((0.0, 0.0, 0.0), (78.0, 98.0, 96.0), power=2.3)
    neck = np.maximum(canvas.ellipse((0.0, 25.0), (60.0, 62.0)), canvas.z + 40.0)
    face = np.maximum(canvas.ellipse((0.0, -30.0), (58.0, 64.0)), np.abs(canvas.z + 50.0) - 44.0)
    level: Array = np.minimum(np.minimum(skull, neck), face)
    return level


def _paint_skull(canvas: Canvas, values: Array) -> Array:
    """Draw skull, brain, ventricles and spine in place; the level of the brain."""
    outer = canvas.ellipsoid((0.0, 2.0, 4.0), (71.0, 89.0, 84.0), power=2.3)
    base = (-32.0 - 0.35 * canvas.y - canvas.z) / np.hypot(1.0, 0.35)
    cranium = np.maximum(outer, base)
    canvas.paint(values, cranium, _BONE, edge=_EDGE)
    canvas.paint(values, np.maximum(cranium + 2.5, -4.5 - cranium), _SPONGY, edge=_EDGE)
    brain: Array = cranium + 7.0
    canvas.paint(values, brain, _BRAIN, edge=_EDGE)
    for side in (-1.0, 1.0):
        ventricle = canvas.ellipsoid((side * 12.0, -5.0, 22.0), (6.0, 28.0, 9.0))
        canvas.paint(values, ventricle, _FLUID, edge=_EDGE)
        petrous = canvas.tube((side * 26.0, 6.0, -48.0), (side * 54.0, 22.0, -44.0), 9.0)
        canvas.paint(values, petrous, _BONE, edge=_EDGE)
    spine = canvas.tube((0.0, 24.0, -110.0), (0.0, 20.0, -56.0), 22.0)
    canvas.paint(values, spine, _SPONGY, edge=_EDGE)
    canal = canvas.tube((0.0, 20.0, -110.0), (0.0, 16.0, -40.0), 14.0)
    canvas.paint(values, canal, _BRAIN, edge=_EDGE)
    return brain


def _paint_cavities(canvas: Canvas, values: Array, mucosa: float) -> Array:
    """Draw sinuses, nasal cavity, throat and mastoid cells in place; the level of all but cells.

    ``mucosa`` mm of swollen lining makes the cavities narrower, not their walls.
    """
    hollow = [
        canvas.ellipsoid((0.0, -58.0, -20.0), (9.0, 24.0, 12.0)),
        canvas.ellipsoid((0.0, -80.0, 22.0), (18.0, 6.0, 10.0)),
        canvas.tube((0.0, -22.0, -110.0), (0.0, -28.0, -50.0), 9.0),
    ]
    for side in (-1.0, 1.0):
        hollow.append(canvas.ellipsoid((side * 27.0, -58.0, -42.0), (15.0, 18.0, 17.0)))
        cells = canvas.ellipsoid((side * 58.0, 26.0, -44.0), (9.0, 12.0, 12.0))
        canvas.paint(values, cells, _CELLS, edge=_EDGE)
    for level in hollow:
        canvas.paint(values, level - 2.5, _BONE * 0.4, edge=_EDGE)
    for level in hollow:
        canvas.paint(values, level, _BRAIN, edge=_EDGE)
        canvas.paint(values, level + mucosa, _SINUS, edge=_EDGE)
    union: Array = np.minimum.reduce(hollow)
    return union
