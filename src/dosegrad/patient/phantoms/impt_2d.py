"""The section of the IMPT teaching example, drawn out along z for a dose in three dimensions.

Coordinates (X, Y) of the section in cm count from its upper left corner, X to the right of the
picture, Y downwards. They become patient LPS as x = 10 X - 200 and y = 10 Y - 200 mm: the right of
the picture is the patient's left, its bottom the back, and its middle (20, 20) cm the origin.
"""

from __future__ import annotations

from dosegrad.patient.patient import Patient
from dosegrad.patient.phantoms._shapes import AIR, Canvas, Region, assemble, centred_grid

__all__ = ["impt_2d"]

#: The PTV is this long, mm; well beyond the range of lateral scattering at its depth.
PTV_LENGTH = 64.0


def impt_2d() -> Patient:
    """A 40 cm x 40 cm section of water with PTV, Cord, Brainstem and Body, 160 mm along z.

    40 x 82 x 84 voxels of 4 mm x 5 mm x 5 mm (z, y, x): the section's 80 x 80 voxels with a margin
    of air, one voxel at front and back, two at the sides. PTV: ellipse at (20, 20) cm with
    semi-axes 3 x 2 cm, 64 mm along z. Cord: X 18 to 22, Y 28 to 32 cm. Brainstem: circle at
    (20, 10) cm of radius 2 cm. Both run along all of z, so that neither field nor target ends at
    the place where their dose is judged.
    """
    canvas = Canvas(centred_grid((40, 82, 84), (4.0, 5.0, 5.0)))
    length = PTV_LENGTH / 2
    whole = 80.0
    body = canvas.box((-200.0, -200.0, -whole), (200.0, 200.0, whole))
    ptv = canvas.inside(canvas.ellipse((0.0, 0.0), (30.0, 20.0))) & (
        canvas.slab(-length, length) <= 0
    )
    hu = canvas.filled(AIR)
    canvas.paint(hu, body, 0.0)
    regions = {
        "PTV": Region(ptv, "target"),
        "Cord": Region(canvas.inside(canvas.box((-20.0, 80.0, -whole), (20.0, 120.0, whole)))),
        "Brainstem": Region(canvas.inside(canvas.ellipse((0.0, -100.0), (20.0, 20.0)))),
        "Body": Region(canvas.inside(body), "external"),
    }
    return assemble("impt-2d", canvas.grid, hu, regions, calibration="schneider-water")
