"""The deterministic engine against MCsquare: half slab, water with nuclear events, thorax.

MCsquare mixes the mean excitation energies of pure elements; where tissues matter the engine does
so too. Thorax beams cross (+52, -8, 0) mm in the grid of the file.
"""

import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from pytest import approx
from scipy.interpolate import CubicSpline

from dosegrad import Dose, Patient, Plan, compute_dose, load_machine
from dosegrad.engines import Yoda
from dosegrad.engines.yoda.engine import Mode
from dosegrad.engines.yoda.splitting import split_on_lattice, split_on_rings
from dosegrad.evaluation.gamma_index import gamma

MEV_TO_GRAY = 1.602176634e-13 * 1e6  # of 10^6 protons, J; over kg
#: Percent, mm and whether percent are of the local dose: what the paper's table and ours list.
CRITERIA = (
    (1.0, 1.0, False),
    (1.0, 2.0, False),
    (2.0, 1.0, False),
    (2.0, 2.0, False),
    (3.0, 3.0, False),
    (2.0, 2.0, True),
)
CASES = {"g90_90": (90.0, 90.0), "g40_100": (40.0, 100.0), "g320_130_nuc": (320.0, 130.0)}


def machine():
    return load_machine(
        "research-protons", energy_std=1.0, spot_sigma=3.0, divergence=0.0, sad=None
    )


def tell(name, reference, dose):
    """Print the pass rates by six criteria, and give them by percent and distance."""
    rates = {}
    for percent, distance, local in CRITERIA:
        result = gamma(
            reference, dose, percent=percent, distance=distance, threshold=10, local=local
        )
        rates[percent, distance, local] = result.pass_rate
        kind = "local" if local else "global"
        print(f"{name}: {result.pass_rate:.2%} at {percent:g} %/{distance:g} mm, {kind}")
    return rates


def tank(hu):
    return Patient.from_arrays(
        hu, spacing=(1.0, 1.0, 1.0), origin=(-49.5, -49.5, -49.5), calibration="schneider-water"
    )


def spot(gantry, energy, isocentre=(0.0, 0.0, 0.0)):
    return Plan.from_spots(
        machine(),
        gantry=gantry,
        isocentre=isocentre,
        x=[0.0],
        y=[0.0],
        energy=[energy],
        weight=[1.0],
    )


@pytest.mark.parametrize("mode", ["range-frame", "energy-grid", "wet"])
def test_half_slab_of_bone(data, mode):
    deposit = np.load(data / "monte_carlo/mcsq_bone_nucoff_sE1.000.npz")["edep"]
    hu = np.zeros((100, 100, 100))
    hu[50:, 20:30, :] = 1000.0
    patient = tank(hu)
    density = np.where(hu > 0, 1.609, 1.0)
    reference = Dose(patient.ct.grid, deposit.transpose(1, 2, 0) * MEV_TO_GRAY / (density * 1e-6))
    engine = Yoda(mode=mode, nuclear=False, water_i_value=78.0)
    dose = compute_dose(patient, spot(0.0, 100.0), engine=engine)
    rates = tell(f"half slab of bone, {mode}", reference, dose)
    assert rates[1.0, 1.0, False] >= 0.996


def test_half_slab_of_air_by_all_solvers_and_more_beamlets():
    """No Monte Carlo at hand: the solvers agree, and more beamlets change little."""
    hu = np.zeros((100, 100, 100))
    hu[50:, 20:30, :] = -1000.0
    patient = tank(hu)
    finest = Yoda(nuclear=False, water_i_value=78.0, splitting=split_on_lattice(0.2))
    reference = compute_dose(patient, spot(0.0, 100.0), engine=finest)
    others = {
        **{m: Yoda(mode=m, nuclear=False, water_i_value=78.0) for m in get_args(Mode)},
        "61 beamlets on rings": replace(finest, splitting=split_on_rings()),
        "lattice of half a sigma": replace(finest, splitting=split_on_lattice(0.5)),
    }
    for name, engine in others.items():
        dose = compute_dose(patient, spot(0.0, 100.0), engine=engine)
        rates = tell(f"half slab of air, {name}", reference, dose)
        least = 0.99 if name in get_args(Mode) else 0.97
        assert rates[1.0, 1.0, False] >= least, name


@pytest.fixture(scope="module")
def water(data):
    """Monte Carlo and engine in water with nuclear events, MeV per proton per mm3 (z, y, x)."""
    deposit = np.load(data / "monte_carlo/mcsq_water_nucon_sE1.000.npz")["edep"]
    patient = tank(np.zeros((100, 100, 100)))
    dose = compute_dose(patient, spot(0.0, 100.0), engine=Yoda(water_i_value=78.0))
    return deposit.transpose(1, 2, 0).astype(float), dose.array * 1e-6 / MEV_TO_GRAY


def test_gamma_in_water(water):
    """99.9 %; the paper has 99.93 % without nuclear interactions."""
    grid = tank(np.zeros((100, 100, 100))).ct.grid
    expected, found = (Dose(grid, np.ascontiguousarray(d)) for d in water)
    assert tell("water", expected, found)[1.0, 1.0, False] >= 0.999


def test_depth_dose_in_water(water):
    """Within 1 % of the peak up to the distal 80 % point, after a shift of at most 0.1 mm."""
    expected, found = (d.sum(axis=(0, 2)) for d in water)
    depth = np.arange(100) + 0.5
    carried = CubicSpline(np.arange(101.0), np.concatenate([[0.0], np.cumsum(found)]))
    top = int(expected.argmax())
    last = top + int(np.argmax(expected[top:] < 0.8 * expected[top]))
    deviations = [
        abs(carried(depth + 0.5 - s) - carried(np.maximum(depth - 0.5 - s, 0.0)) - expected)[1:last]
        for s in np.arange(-0.1, 0.101, 0.02)
    ]
    best = min(d.max() for d in deviations) / expected.max()
    print(f"depth dose in water: within {best:.2%} of the peak")
    assert best < 0.01


def test_core_and_halo_in_water(water):
    """Core width within 2 %; dose in a ring at 20 mm within 20 %, from 10 mm of depth on."""
    expected, found = water
    x = np.arange(100) - 49.5
    radius = np.hypot(*np.meshgrid(x, x))
    ring = (radius >= 19.0) & (radius < 21.0)
    for start in range(10, 80, 10):
        means = [
            d[:, start : start + 10].transpose(1, 0, 2)[:, ring].mean() for d in (expected, found)
        ]
        assert means[1] == approx(means[0], rel=0.2), start
        widths = [_core_width(d[:, start : start + 10].sum(axis=(0, 1))) for d in (expected, found)]
        assert widths[1] == approx(widths[0], rel=0.02), start
        of_ring, of_width = (b / a - 1.0 for a, b in (means, widths))
        print(f"water, {start} mm: core width {of_width:+.2%}, ring at 20 mm {of_ring:+.1%}")


def _core_width(profile):
    x = np.arange(100) - 49.5
    near = profile > 0.3 * profile.max()
    curve = np.polyfit(x[near], np.log(profile[near]), 2, w=np.sqrt(profile[near]))
    return np.sqrt(-0.5 / curve[0])


@pytest.mark.parametrize(
    ("case", "least_1", "least_2"),
    [("g90_90", 0.99, 0.999), ("g40_100", 0.99, 0.999), ("g320_130_nuc", 0.985, 0.995)],
)
def test_thorax(data, case, least_1, least_2):
    """Dose in the body; gamma 1 %/1 mm and 2 %/2 mm."""
    facts = json.loads((data / "monte_carlo/mcsq_thorax.json").read_text())
    arrays = np.load(data / "monte_carlo/mcsq_thorax.npz")
    hu = arrays["hu"].astype(float)
    patient = Patient.from_arrays(
        hu, spacing=(2.0, 2.0, 2.0), origin=tuple(facts["origin_xyz_mm"]), calibration="schneider"
    )
    density = np.interp(hu, *np.array(facts["density_nodes"]).T)
    gray = arrays[case] * MEV_TO_GRAY / (density * 8e-6)
    reference = Dose(patient.ct.grid, gray * patient.body_mask())
    gantry, energy = CASES[case]
    engine = Yoda(nuclear="nuc" in case, water_i_value=78.0, tissue_i_values="elements")
    dose = compute_dose(patient, spot(gantry, energy, (52.0, -8.0, 0.0)), engine=engine)
    rates = tell(case, reference, dose)
    assert rates[1.0, 1.0, False] >= least_1
    assert rates[2.0, 2.0, False] >= least_2
