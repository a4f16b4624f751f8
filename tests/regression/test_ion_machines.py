"""Own ion curves beside matRad's generic machines, which are Monte Carlo beams.

Each energy is compared at equal distal 80 % depth and equal width of the peak, so that range and
energy spread drop out and what is left is attenuation, fragments, scattering and biology. Limits:
peak position 0.5 mm, entrance over peak 10 %, dose 20 mm behind the peak 30 %, lateral spread
20 %, alpha at entrance and peak 25 % (LEM in the file, the microdosimetric kinetic model here).

The narrow Gaussian of the helium file is half of what scattering theory gives at 114 MeV/u and
agrees with it at 205: it is what a fit left over beside a spot of 3 mm. There the whole spot is
compared.
"""

import numpy as np
import pytest

from dosegrad.commissioning.ion_base_data import distal_depth
from dosegrad.commissioning.ion_matching import match_ion_curves
from dosegrad.io.matrad_machine import read_matrad_machine
from dosegrad.physics.ions import IONS, ion_range

CASES = [
    ("carbon", 115.23), ("carbon", 208.58), ("carbon", 279.97), ("carbon", 342.07),
    ("carbon", 398.84), ("helium", 114.26), ("helium", 148.8), ("helium", 205.21),
]  # fmt: skip


@pytest.fixture(scope="module", params=CASES, ids=lambda c: f"{c[0]}-{c[1]:.0f}")
def pair(request, data):
    modality, energy = request.param
    machine = read_matrad_machine(data / f"machines/{modality}_Generic.mat")
    nearest = float(machine.energies[np.abs(machine.energies - energy).argmin()])
    assert nearest == pytest.approx(energy, abs=0.1)
    return machine, machine.at_energy(nearest), match_ion_curves(machine, nearest)


def at(depth, depths, values):
    return float(np.interp(depth, depths, values))


def test_depth_dose(pair):
    _, theirs, ours = pair
    depths = ours.curves.depths
    peak, r80 = distal_depth(theirs.depths, theirs.dose, 0.8)
    own_peak, own_r80 = distal_depth(depths, ours.dose, 0.8)
    assert own_r80 == pytest.approx(r80, abs=0.02)
    assert own_peak == pytest.approx(peak, abs=0.5)
    for wanted, limit in ((0.0, 0.10), (20.0, 0.30)):
        here = at(peak + 20.0 if wanted else 0.0, theirs.depths, theirs.dose) / theirs.dose.max()
        own = at(own_peak + 20.0 if wanted else 0.0, depths, ours.dose) / ours.dose.max()
        assert own == pytest.approx(here, rel=limit), f"at {wanted} mm"


def test_ranges_of_nominal_energies(pair):
    """All energies lose the same in front of the water (nozzle, ripple filter): 0.5 to 3 mm."""
    machine, theirs, ours = pair
    ion = IONS["12C" if machine.modality == "carbon" else "4He"]
    lost = float(ion_range(theirs.energy, ion)) - float(ion_range(ours.energy, ion))
    assert 0.5 < lost < 3.0


def test_lateral_spread(pair):
    machine, theirs, ours = pair
    peak = distal_depth(theirs.depths, theirs.dose, 0.8)[0]
    here = at(peak, theirs.depths, theirs.sigmas[0])
    own = at(peak, ours.curves.depths, ours.curves.sigmas[0])
    if machine.modality == "helium":
        air = theirs.spot_sigma(machine.nozzle_distance)
        here, own = np.hypot(here, air), np.hypot(own, air)
    assert own == pytest.approx(here, rel=0.20)


def test_alpha_of_carbon(pair):
    machine, theirs, ours = pair
    if machine.modality != "carbon":
        assert ours.let[0] == pytest.approx(theirs.let[0], rel=0.25)
        return
    assert machine.tissues[0].tolist() == [0.1, 0.05]
    peak = distal_depth(theirs.depths, theirs.dose, 0.8)[0]
    for depth in (0.0, peak):
        here = at(depth, theirs.depths, theirs.alpha[0])
        assert at(depth, ours.curves.depths, ours.alpha(0)) == pytest.approx(here, rel=0.25)
