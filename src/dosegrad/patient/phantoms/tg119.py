"""The IMRT test cases of AAPM TG-119 [Ezzell2009]_, drawn from their description.

The report gives sizes, not coordinates; where it leaves room, the choice is stated. All lie in a
slab of water 300 mm wide, 180 mm thick and 220 mm long, with their middle at the isocentre
(0, 0, 0).
"""

from __future__ import annotations

import numpy as np

from dosegrad.arrays import Array
from dosegrad.patient.patient import Patient
from dosegrad.patient.phantoms._shapes import AIR, Canvas, Region, assemble, centred_grid

__all__ = ["tg119_c_shape", "tg119_head_neck", "tg119_multi_target", "tg119_prostate"]

_SLAB = (150.0, 90.0, 110.0)


def tg119_multi_target() -> Patient:
    """Three cylinders along the axis, 40 mm wide and 40 mm long: Centre, Superior, Inferior.

    To 50, 25 and 12.5 Gy.
    """
    canvas = _canvas()
    tube = canvas.ellipse((0.0, 0.0), (20.0, 20.0))
    parts = {"Superior": (20.0, 60.0), "Centre": (-20.0, 20.0), "Inferior": (-60.0, -20.0)}
    regions = {
        name: Region(canvas.inside(np.maximum(tube, canvas.slab(low, high))), "target")
        for name, (low, high) in parts.items()
    }
    return _in_slab("tg119-multi-target", canvas, regions)


def tg119_prostate() -> Patient:
    """Prostate of 40 mm x 26 mm x 65 mm with 6 mm as PTV, Rectum of 15 mm across, Bladder.

    The rectum runs behind the prostate, whose back it dents, a third of it in the PTV where that is
    widest; the bladder, 50 mm x 40 mm x 50 mm, lies on its upper end.
    """
    canvas = _canvas()
    rectum = canvas.tube((0.0, 17.5, -70.0), (0.0, 17.5, 70.0), 7.5)
    prostate = np.maximum(canvas.ellipsoid((0.0, 0.0, 0.0), (20.0, 13.0, 32.5)), -rectum)
    ptv = np.maximum(canvas.ellipsoid((0.0, 0.0, 0.0), (26.0, 19.0, 38.5)), _not_behind(canvas))
    bladder = canvas.ellipsoid((0.0, -12.0, 50.0), (25.0, 20.0, 25.0))
    regions = {
        "PTV": Region(canvas.inside(ptv), "target"),
        "Prostate": Region(canvas.inside(prostate), "target"),
        "Rectum": Region(canvas.inside(rectum)),
        "Bladder": Region(canvas.inside(bladder)),
    }
    return _in_slab("tg119-prostate", canvas, regions)


def tg119_head_neck() -> Patient:
    """A PTV around the front and sides of the neck, 15 mm off the Cord, and both parotids.

    The PTV, 110 mm wide and 120 mm long, keeps 6 mm from the skin; parotids touch its upper part.
    """
    canvas = _canvas()
    cord = canvas.tube((0.0, 25.0, -100.0), (0.0, 25.0, 100.0), 8.0)
    neck = canvas.ellipse((0.0, 0.0), (55.0, 48.0), power=2.3)
    ptv = np.maximum(np.maximum(neck, canvas.slab(-60.0, 60.0)), 15.0 - cord)
    ptv = np.maximum(ptv, canvas.y - 40.0)
    parotids = {
        name: canvas.ellipsoid((side * 52.0, 8.0, 38.0), (11.0, 16.0, 20.0))
        for name, side in (("ParotidL", 1.0), ("ParotidR", -1.0))
    }
    for each in parotids.values():
        ptv = np.maximum(ptv, -each)
    regions = {
        "PTV": Region(canvas.inside(ptv), "target"),
        "Cord": Region(canvas.inside(cord)),
        **{name: Region(canvas.inside(level)) for name, level in parotids.items()},
    }
    return _in_slab("tg119-head-neck", canvas, regions)


def tg119_c_shape() -> Patient:
    """A C of 37 mm outer and 15 mm inner radius, 80 mm long, around a Core of 10 mm radius."""
    canvas = _canvas()
    outer, inner, core = (canvas.ellipse((0.0, 0.0), (r, r)) for r in (37.0, 15.0, 10.0))
    behind = np.abs(canvas.x) - canvas.y * np.tan(np.deg2rad(45.0))  # open towards the back
    ring = np.maximum(np.maximum(outer, -inner), canvas.slab(-40.0, 40.0))
    target = np.maximum(ring, -behind)
    regions = {
        "Target": Region(canvas.inside(target), "target"),
        "Core": Region(canvas.inside(np.maximum(core, canvas.slab(-50.0, 50.0)))),
    }
    return _in_slab("tg119-c-shape", canvas, regions)


def _canvas() -> Canvas:
    return Canvas(centred_grid((76, 80, 160), (3.0, 2.5, 2.0)))


def _not_behind(canvas: Canvas) -> Array:
    """All in front of a line that leaves a third of the rectum's section before it."""
    return canvas.y - 15.5


def _in_slab(name: str, canvas: Canvas, regions: dict[str, Region]) -> Patient:
    width, thickness, length = _SLAB
    slab = canvas.box((-width, -thickness, -length), (width, thickness, length))
    values = canvas.filled(AIR)
    canvas.paint(values, slab, 0.0)
    regions = {**regions, "Body": Region(canvas.inside(slab), "external")}
    return assemble(name, canvas.grid, values, regions, calibration="schneider-water")
