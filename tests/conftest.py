"""Fixtures that tests share."""

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of sample data that is not part of the project; skips where it is missing."""
    places = [Path(__file__).parents[2] / "shared" / "data"]
    if "DOSEGRAD_DATA" in os.environ:
        places.insert(0, Path(os.environ["DOSEGRAD_DATA"]))
    for place in places:
        if place.is_dir():
            return place
    pytest.skip("sample data not found; set DOSEGRAD_DATA to its folder")


@pytest.fixture(scope="session")
def toy_machine():
    """Small proton machine with two Gaussians and LET, made of plain formulas, for tests."""
    from dosegrad.machine.beam_data import PencilBeamData
    from dosegrad.machine.particle import ParticleMachine

    def one(energy: float) -> PencilBeamData:
        peak = 0.022 * energy**1.77
        depths = np.concatenate(
            [np.linspace(0.0, 0.85 * peak, 40), np.linspace(0.86, 1.12, 80) * peak]
        )
        fall = 0.5 - 0.5 * np.tanh((depths - peak) / (0.012 * peak))
        dose = (
            4.0 + 2.0 * depths / peak + 40.0 * np.exp(-(((depths - peak) / (0.03 * peak)) ** 2))
        ) * fall
        share = 0.05 + 0.05 * depths / peak
        return PencilBeamData(
            energy=energy,
            depths=depths,
            dose=dose,
            sigmas=np.stack([0.02 * depths, 6.0 + 0.03 * depths]),
            weights=np.stack([1.0 - share, share]),
            let=1.0 + 8.0 * (depths / peak) ** 4,
            range=peak,
            peak=float(depths[np.argmax(dose)]),
            focus_distance=np.array([0.0, 500.0, 1500.0]),
            focus_sigma=np.array([4.0, 4.5, 6.0]) * 100.0 / energy,
        )

    energies = np.arange(60.0, 171.0, 5.0)
    return ParticleMachine("toy", "protons", 2000.0, 500.0, tuple(one(float(e)) for e in energies))


@pytest.fixture(scope="session")
def water_box():
    """A block of water (60 x 150 x 90 mm) with a target, with three sizes and spacings."""
    from dosegrad.patient.patient import Patient

    shape, spacing = (20, 60, 45), (3.0, 2.5, 2.0)
    target = np.zeros(shape, dtype=bool)
    target[7:13, 24:36, 15:30] = True
    body = np.ones(shape, dtype=bool)
    return Patient.from_arrays(
        np.zeros(shape),
        spacing=spacing,
        origin=(-44.0, -73.75, -28.5),
        structures={"Target": target, "Body": body, "Nothing": np.zeros(shape, dtype=bool)},
        roles={"Target": "target", "Body": "external", "Nothing": "target"},
        calibration="schneider-water",
    )
