"""Laws of the ion beams that machines are made from."""

import numpy as np
import pytest

from dosegrad.commissioning.ion_base_data import depth_curves, range_spread
from dosegrad.commissioning.ion_transport import march_fragments, survival
from dosegrad.physics.ions import IONS, ion_range


@pytest.fixture(scope="module")
def carbon():
    ion = IONS["12C"]
    return depth_curves(200.0, ion, width=range_spread(200.0, ion, filter_std=1.0), betas=(0.05,))


@pytest.mark.parametrize(("name", "energy"), [("12C", 200.0), ("4He", 150.0)])
def test_energy_is_conserved(name, energy):
    """Primaries, fragments, struck nuclei, what still flies and neutrals: the beam's energy."""
    ion = IONS[name]
    curves = depth_curves(energy, ion, width=1.0, betas=())
    total = curves.deposited + curves.field.charged + curves.field.neutral
    assert total == pytest.approx(ion.nucleons * energy, rel=2e-4)
    assert 0.02 < curves.field.neutral / total < 0.2
    parts = [curves.primary[0], curves.fragments[0], curves.local[0]]
    in_tables = sum(float(np.trapezoid(p, curves.depths)) for p in parts)
    assert in_tables == pytest.approx(curves.deposited, rel=5e-3)


def test_survivors_and_fragments_of_carbon():
    """Shares at the peak of 200 and 400 MeV/u, measured: about 70 % and 30 % [Haettner2013]_."""
    ion = IONS["12C"]
    for energy, expected in ((200.0, 0.70), (400.0, 0.30)):
        left = float(survival(ion_range(energy, ion), energy, ion))
        assert left == pytest.approx(expected, abs=0.08)


def test_lighter_fragments_reach_farther(carbon):
    """Behind the peak boron goes first, hydrogen last."""
    numbers, depths = carbon.field.numbers, carbon.field.depths[:-1]
    ends = [depths[numbers[:, z] > 0.05 * numbers[:, z].max()].max() for z in (1, 2, 5)]
    assert ends[0] >= ends[1] > ends[2] > 86.0


def test_fragments_spread_wider_than_primaries(carbon):
    narrow, wide = carbon.sigmas
    inside = (carbon.depths > 20.0) & (carbon.depths < 80.0)
    assert (wide[inside] > 2.0 * narrow[inside]).all()
    assert (np.diff(narrow) >= 0).all()


def test_let_rises_to_the_peak(carbon):
    energy, let = carbon.total[:2]
    mean = let / energy
    top = int(energy.argmax())
    assert 14.0 < mean[0] < 20.0
    assert mean[top] > 3.0 * mean[0]
    assert mean[-1] < mean[0]


def test_a_wider_spread_keeps_the_energy():
    ion = IONS["12C"]
    at = np.linspace(0.0, 110.0, 2201)
    sharp, soft = (depth_curves(200.0, ion, width=w, betas=(), depths=at) for w in (0.6, 1.5))
    totals = [np.trapezoid(c.primary[0], at) for c in (sharp, soft)]
    assert totals[0] == pytest.approx(totals[1], rel=2e-3)
    assert sharp.total[0].max() > 1.3 * soft.total[0].max()


def test_finer_steps_change_little():
    ion = IONS["12C"]
    full = float(ion_range(150.0, ion))
    totals = []
    for steps in (120, 240):
        step = full / steps
        field = march_fragments(
            *(150.0, ion),
            step=step,
            depth=1.6 * full,
            moments=np.zeros((4 * steps, 3)),
            betas=(),
        )
        middle = 0.5 * (field.depths[1:] + field.depths[:-1])
        totals.append(np.interp([0.5 * full, 1.3 * full], middle, field.scores[:, 0]))
    np.testing.assert_allclose(*totals, rtol=0.05)
