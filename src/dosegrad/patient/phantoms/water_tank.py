"""A tank of pure water with a box-shaped target."""

from __future__ import annotations

from dosegrad.patient.patient import Patient
from dosegrad.patient.phantoms._shapes import Canvas, Region, assemble, centred_grid

__all__ = ["water_tank"]

#: Depth of the tank along the beam of gantry 0, mm.
TANK_DEPTH = 400.0


def water_tank() -> Patient:
    """A tank of water, 150 mm x 400 mm x 140 mm (x, y, z), with Target and Tank.

    56 x 200 x 50 voxels of 2.5 mm x 2 mm x 3 mm (z, y, x), all water and centred on (0, 0, 0); a
    beam of gantry 0 enters at y = -200 mm. The target lies from 150 to 200 mm below that face and
    is 60 mm wide and long.
    """
    canvas = Canvas(centred_grid((56, 200, 50), (2.5, 2.0, 3.0)))
    front = -TANK_DEPTH / 2
    target = canvas.box((-30.0, front + 150.0, -30.0), (30.0, front + 200.0, 30.0))
    everything = canvas.box((-75.0, -200.0, -70.0), (75.0, 200.0, 70.0))
    regions = {
        "Target": Region(canvas.inside(target), "target"),
        "Tank": Region(canvas.inside(everything), "external"),
    }
    return assemble(
        "water-tank", canvas.grid, canvas.filled(0.0), regions, calibration="schneider-water"
    )
