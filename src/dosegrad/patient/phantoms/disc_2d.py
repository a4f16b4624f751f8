"""A round section with a target and an organ, for planning in two dimensions."""

from __future__ import annotations

from dosegrad.patient.patient import Patient
from dosegrad.patient.phantoms._shapes import AIR, Canvas, Region, assemble, centred_grid

__all__ = ["disc_2d"]


def disc_2d() -> Patient:
    """A water cylinder of radius 100 mm with Target, Organ and Body, 60 mm along z.

    12 x 88 x 110 voxels of 5 mm x 2.5 mm x 2 mm (z, y, x), centred on (0, 0, 0). The target is a
    circle of radius 25 mm at the centre, the organ one of radius 15 mm at (45, 20) mm.
    """
    canvas = Canvas(centred_grid((12, 88, 110), (5.0, 2.5, 2.0)))
    body = canvas.ellipse((0.0, 0.0), (100.0, 100.0))
    values = canvas.filled(AIR)
    canvas.paint(values, body, 0.0)
    regions = {
        "Target": Region(canvas.inside(canvas.ellipse((0.0, 0.0), (25.0, 25.0))), "target"),
        "Organ": Region(canvas.inside(canvas.ellipse((45.0, 20.0), (15.0, 15.0)))),
        "Body": Region(canvas.inside(body), "external"),
    }
    return assemble("disc-2d", canvas.grid, values, regions, calibration="schneider-water")
