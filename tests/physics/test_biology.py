"""What biology does to plans: laws, not numbers."""

import numpy as np
import pytest

from dosegrad import compute_influence, load_machine, optimise, rbe, steer
from dosegrad import objectives as obj

TISSUE = rbe.Tissue(alpha=0.1, beta=0.05)
GOALS = {"Target": [obj.SquaredDeviation(60.0, weight=100)], "Body": [obj.MeanDose(weight=0.5)]}


@pytest.fixture(scope="module")
def patient(water_box):
    from dataclasses import replace

    kept = {name: s for name, s in water_box.structures.items() if name != "Nothing"}
    return replace(water_box, structures=kept)


@pytest.fixture(scope="module")
def carbon(patient):
    machine = load_machine("generic-carbon")
    beams = steer(patient, machine, target="Target", gantry=0.0, spot_spacing=4.0)
    model = rbe.LinearQuadratic(other=TISSUE)
    influence = compute_influence(patient, beams, rbe=model, quantities=("let_dose",))
    return influence, optimise(influence, GOALS, fractions=20, max_iterations=150)


def along(dose, patient):
    """Mean over each depth layer (y) of the target's inner part."""
    inside = patient.structures["Target"].mask(dose.grid)
    core = inside & np.roll(inside, 2, 0) & np.roll(inside, -2, 0)
    core &= np.roll(inside, 3, 2) & np.roll(inside, -3, 2)
    layers = np.flatnonzero(core.any(axis=(0, 2)))[2:-2]
    return np.array([dose.array[:, y][core[:, y]].mean() for y in layers])


def proximal(layers):
    return float(layers[:3].mean())


def distal(layers):
    return float(layers[-3:].mean())


def test_a_uniform_effect_takes_less_dose_where_let_is_high(carbon, patient):
    _, plan = carbon
    weighted, dose, let = (along(d, patient) for d in (plan.rbe_dose, plan.dose, plan.let))
    np.testing.assert_allclose(weighted, 60.0, rtol=0.05)
    # layer by layer there are ripples of single peaks; where LET is high, dose is low
    assert distal(let) > 1.1 * proximal(let)
    assert distal(dose) < 0.9 * proximal(dose)
    assert np.corrcoef(let, dose)[0, 1] < -0.5


def test_small_fractions_have_a_higher_rbe(carbon, patient):
    influence, plan = carbon
    target = patient.structures["Target"]
    found = [
        influence.dose(plan.weights, quantity="rbe", fractions=n).mean(target)
        for n in (1, 5, 20, 40)
    ]
    assert found == sorted(found)
    # it ends at alpha over alpha of photons
    alpha = influence.quantity("alpha_dose") @ plan.weights
    limit = influence.on_grid(alpha / 0.1 / np.maximum(influence.matrix @ plan.weights, 1e-9))
    many = influence.dose(plan.weights, quantity="rbe", fractions=10**6).mean(target)
    assert many == pytest.approx(limit.mean(target), rel=1e-3)
    assert found[-1] < many


def test_late_tissue_has_the_higher_rbe_in_protons(patient):
    """RBE rises with LET, so to the distal end, and more where alpha over beta is small."""
    machine = load_machine("generic-protons")
    beams = steer(patient, machine, target="Target", gantry=0.0, spot_spacing=8.0)
    found = {}
    for tissue in (rbe.Tissue(0.06, 0.03), rbe.Tissue(0.3, 0.03)):
        influence = compute_influence(patient, beams, rbe=rbe.McNamara(other=tissue))
        ratio = influence.dose(np.full(beams.n_columns, 30.0), quantity="rbe", fractions=30)
        layers = along(ratio, patient)
        assert distal(layers) > 1.03 * proximal(layers)
        found[tissue.ratio] = layers
    assert (found[2.0] > found[10.0]).all()


def test_the_derivative_of_a_real_plan(carbon):
    """Every quantity by weight, on the target's voxels, against differences of fourth order."""
    from dosegrad.influence.sources import QuantitySource

    influence, plan = carbon
    weights = np.maximum(plan.weights, 0.01 * plan.weights.max())
    target = influence.patient.structures["Target"].mask(influence.grid).ravel()
    rows = np.flatnonzero(target[influence.voxels])
    rng = np.random.default_rng(0)
    direction = weights * rng.standard_normal(weights.size)
    worst = {}
    for name in ("dose", "rbe_dose", "effect", "bed", "eqd2", "let", "let_dose"):
        dose_map = QuantitySource(influence, (name,), 20).following(rows)
        g = rng.standard_normal(rows.size)
        _, pullback = dose_map.linearise(weights)

        def slope(step, dose_map=dose_map, g=g):
            ends = (dose_map.linearise(weights + s * step * direction)[0] for s in (1, -1))
            above, below = ends
            return float((above - below) @ g) / (2 * step)

        difference = (4 * slope(1e-3) - slope(2e-3)) / 3
        worst[name] = abs(pullback(g) @ direction - difference) / abs(difference)
    print({name: f"{error:.1e}" for name, error in worst.items()})
    assert max(worst.values()) < 1e-7
