"""A chest with lungs, ribs, spine and heart, and a target in the left lung.

Sizes are those of an ordinary adult; HU are usual CT values of the tissues.
"""

from __future__ import annotations

import numpy as np

from dosegrad.patient.patient import Patient
from dosegrad.patient.phantoms._shapes import AIR, Canvas, Region, assemble, centred_grid

__all__ = ["thorax"]

_FAT, _MUSCLE, _LUNG, _SPONGY, _COMPACT, _BLOOD = -95.0, 45.0, -740.0, 250.0, 700.0, 40.0
_EDGE = 2.5


def thorax() -> Patient:
    """A chest with Target, LungL, LungR, Heart, Cord and Body.

    40 x 96 x 156 voxels of 4 mm x 2.75 mm x 2.5 mm (z, y, x), centred on (0, 0, 0). The target is
    a sphere of radius 20 mm at (78, -8, 0) mm; all else but the heart runs along all of z.
    """
    canvas = Canvas(centred_grid((40, 96, 156), (4.0, 2.75, 2.5)))
    body = canvas.ellipse((0.0, 0.0), (180.0, 118.0), power=2.4)
    values = canvas.filled(AIR)
    canvas.paint(values, body, _FAT, edge=_EDGE)
    wall = canvas.ellipse((0.0, 0.0), (164.0, 104.0), power=2.4)
    canvas.paint(values, wall, _MUSCLE, edge=_EDGE)
    cage = canvas.ellipse((0.0, 0.0), (146.0, 92.0), power=2.4)
    gaps = 0.35 - np.abs(np.sin(5.0 * np.arctan2(canvas.y, canvas.x)))
    ribs = np.maximum(np.maximum(cage - 8.0, -cage), 20.0 * gaps)
    canvas.paint(values, ribs, _COMPACT, edge=_EDGE)
    heart = canvas.ellipsoid((22.0, -46.0, -10.0), (42.0, 34.0, 60.0))
    lungs = {}
    for name, side in (("LungL", 1.0), ("LungR", -1.0)):
        lobe = canvas.ellipse((side * 78.0, 0.0), (58.0, 78.0), power=2.3)
        lungs[name] = np.maximum(np.maximum(lobe, cage + 4.0), 4.0 - heart)
        canvas.paint(values, lungs[name], _LUNG, edge=_EDGE)
    canvas.paint(values, heart, _BLOOD, edge=_EDGE)
    spine = canvas.ellipse((0.0, 42.0), (21.0, 17.0))
    arch = canvas.ellipse((0.0, 68.0), (24.0, 20.0))
    cord = canvas.ellipse((0.0, 66.0), (8.0, 8.0))
    canvas.paint(values, np.minimum(spine, arch), _COMPACT, edge=_EDGE)
    canvas.paint(values, np.minimum(spine, arch) + 4.0, _SPONGY, edge=_EDGE)
    canvas.paint(values, cord - 2.0, _MUSCLE, edge=_EDGE)
    canvas.paint(values, canvas.ellipse((0.0, -92.0), (20.0, 6.0)), _SPONGY, edge=_EDGE)
    target = canvas.ellipsoid((78.0, -8.0, 0.0), (20.0, 20.0, 20.0))
    canvas.paint(values, target, _MUSCLE, edge=_EDGE)
    regions = {
        "Target": Region(canvas.inside(target), "target"),
        **{name: Region(canvas.inside(np.maximum(v, -target))) for name, v in lungs.items()},
        "Heart": Region(canvas.inside(heart)),
        "Cord": Region(canvas.inside(cord)),
        "Body": Region(canvas.inside(body), "external"),
    }
    return assemble("thorax", canvas.grid, values, regions)
