"""The C-shape of AAPM TG-119: a target around three sides of a core.

Dimensions of target and core are those of the report (Ezzell et al. 2009, Med. Phys. 36, 5359
[Ezzell2009]_): core a cylinder of radius 10 mm and length 100 mm, target from 15 to 37 mm around
it, 80 mm long. As in the CORT data set the C opens towards the back.
"""

from __future__ import annotations

import numpy as np

from dosegrad.patient.patient import Patient
from dosegrad.patient.phantoms._shapes import AIR, Canvas, Region, assemble, centred_grid

__all__ = ["c_shape"]


def c_shape() -> Patient:
    """An elliptical water body of 300 mm x 210 mm with Target, Core and Body.

    45 x 96 x 108 voxels of 4 mm x 2.5 mm x 3 mm (z, y, x); body along all of z (180 mm), centred
    on (0, 0, 0). The target is the part of the ring in front of y = 6 mm.
    """
    canvas = Canvas(centred_grid((45, 96, 108), (4.0, 2.5, 3.0)))
    body = canvas.ellipse((0.0, 0.0), (150.0, 105.0))
    distance = np.hypot(canvas.x, canvas.y)
    ring = np.maximum(np.maximum(15.0 - distance, distance - 37.0), canvas.y - 6.0)
    target = np.maximum(ring, canvas.slab(-40.0, 40.0))
    core = np.maximum(distance - 10.0, canvas.slab(-50.0, 50.0))
    hu = canvas.filled(AIR)
    canvas.paint(hu, body, 0.0)
    regions = {
        "Target": Region(canvas.inside(target), "target"),
        "Core": Region(canvas.inside(core)),
        "Body": Region(canvas.inside(body), "external"),
    }
    return assemble("c-shape", canvas.grid, hu, regions, calibration="schneider-water")
