"""Specific energy of domains against published curves."""

import numpy as np
import pytest

from dosegrad.physics.track_structure import (
    DOMAIN_RADIUS,
    domain_dose,
    saturated_specific_energy,
    saturation_dose,
)

# Plateau, b of 0.1 to 0.26 µm, and two distances outside the domain, µm: Gy at 50 MeV/u, read
# off figure 1 of Inaniwa et al. 2010 (domain 0.32 µm, saturated with beta = 0.0615/Gy2).
PUBLISHED = {
    1: (0.485, (0.42498, 1.05e-2), (1.2202, 8.1e-4)),
    2: (2.00, (0.55441, 2.03e-2), (1.2790, 3.10e-3)),
    3: (4.25, (0.55883, 4.40e-2), (1.6426, 4.17e-3)),
    5: (11.6, (0.56332, 1.25e-1), (1.0361, 3.07e-2)),
    6: (17.6, (0.65351, 1.29e-1), (1.8473, 1.33e-2)),
}


@pytest.mark.parametrize("charge", list(PUBLISHED))
def test_domain_dose_of_published_tracks(charge):
    """To the 12 % that reading points off a logarithmic figure allows."""
    plateau, *points = PUBLISHED[charge]
    limit = saturation_dose(0.0615)

    def saturated(b):
        z = domain_dose(np.array([b]), 50.0, charge)
        return float(np.sqrt(-(limit**2) * np.expm1(-((z / limit) ** 2)))[0])

    assert saturated(0.15) == pytest.approx(plateau, rel=0.05)
    for distance, dose in points:
        assert saturated(distance) == pytest.approx(dose, rel=0.12)


def test_all_energy_of_a_track_meets_domains():
    """The integral of z over the plane is LET over the density."""
    energy, charge = 20.0, 6
    farthest = 0.0616 * energy**1.7 + DOMAIN_RADIUS
    b = np.union1d(np.geomspace(1e-4, farthest, 1500), DOMAIN_RADIUS * np.linspace(0.9, 1.1, 800))
    z = domain_dose(b, energy, charge)
    total = 2.0 * np.pi * np.trapezoid(z * b, b)
    from dosegrad.physics.ions import IONS, ion_stopping_power

    let = 0.1 * float(ion_stopping_power(energy, IONS["12C"]))
    assert total == pytest.approx(0.1602177 * let, rel=2e-3)


def test_overkill_bends_the_curve():
    """Specific energy rises towards the end of range, and falls in the last millimetres."""
    z = saturated_specific_energy([400.0, 100.0, 30.0, 12.0, 3.0, 0.5], 6, 0.05)
    assert z.argmax() == 3
    assert 20.0 < z.max() < 35.0
    protons = saturated_specific_energy([200.0, 50.0, 5.0], 1, 0.05)
    assert (np.diff(protons) > 0).all()


def test_more_sensitive_tissues_saturate_earlier():
    assert saturation_dose(0.1) < saturation_dose(0.025)
    low, high = (float(saturated_specific_energy(12.0, 6, b)) for b in (0.025, 0.1))
    assert high < low
