"""The published-style case of moving spots: a C-shaped target around a core in a water cylinder.

Cylinder of 21 cm, target of radii 15 and 37 mm over 270° and 50 mm long, core of 10 mm radius and
70 mm long, 3 mm voxels, two parallel beams at 135° and 225° with spots of 4 mm, hexagonal lattice,
4 mm between layers. Prescribed are 60 Gy.
"""

from __future__ import annotations

import numpy as np

from dosegrad import Patient, load_machine, steer
from dosegrad import objectives as obj

SHAPE, SPACING = (40, 74, 74), 3.0
GANTRY = [135.0, 225.0]
GOALS = {
    "Target": [
        obj.SquaredUnderdose(60.0, weight=100),
        obj.SquaredOverdose(60.0, weight=100),
    ],
    "Core": [obj.SquaredOverdose(20.0, weight=30), obj.MeanDose(weight=1)],
    "Ring": [obj.SquaredOverdose(40.0, weight=10), obj.MeanDose(weight=0.3)],
    "Body": [obj.SquaredOverdose(35.0, weight=5), obj.MeanDose(weight=0.3)],
}


def patient(heterogeneous=False):
    """The cylinder, by choice with a bony rod and two cavities."""
    z, y, x = (SPACING * (np.arange(n) - 0.5 * (n - 1)) for n in SHAPE)
    radius = np.hypot(y[:, None], x[None, :])
    angle = np.degrees(np.arctan2(x[None, :], -y[:, None]))  # 0 away from the table
    arc = np.abs(angle) <= 135.0
    body = np.broadcast_to(radius <= 105.0, SHAPE)
    target = ((radius >= 15.0) & (radius <= 37.0) & arc)[None] & (np.abs(z) <= 25.0)[:, None, None]
    core = (radius <= 10.0)[None] & (np.abs(z) <= 35.0)[:, None, None]
    near = (radius >= 11.0) & (radius <= 52.0)
    ring = near[None] & (np.abs(z) <= 40.0)[:, None, None] & ~target & ~core & body
    hu = np.where(body, 0.0, -1000.0)
    if heterogeneous:
        for centre, value in (
            ((-45.0, 50.0), 900.0),
            ((55.0, 30.0), -700.0),
            ((-60.0, 5.0), -700.0),
        ):
            rod = np.hypot(y[:, None] - centre[1], x[None, :] - centre[0]) <= 9.0
            hu[:, rod] = value
    return Patient.from_arrays(
        hu,
        spacing=(SPACING,) * 3,
        origin=tuple(float(axis[0]) for axis in (x, y, z)),
        structures={"Target": target, "Core": core, "Ring": ring, "Body": body},
        roles={"Target": "target", "Core": "organ", "Ring": "organ", "Body": "external"},
        calibration="schneider-water",
    )


def beams(subject, spacing, sigma=4.0):
    """Hexagonal spots so many mm apart."""
    machine = load_machine("research-protons", energy_std=1.0, spot_sigma=sigma, sad=None)
    return steer(
        subject, machine, target="Target", gantry=GANTRY, spot_spacing=spacing,
        lattice="hexagonal", layer_spacing=4.0, margin=4.0,
    )  # fmt: skip
