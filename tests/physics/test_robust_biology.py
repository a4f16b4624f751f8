"""Robust plans in RBE-weighted dose by a variable RBE, and such a dose without a matrix."""

from dataclasses import replace

import numpy as np
import pytest
from pytest import approx

from dosegrad import Scenarios, compute_dose, compute_influence, load_machine, optimise, rbe, steer
from dosegrad import objectives as obj
from dosegrad.engines import PencilBeam
from dosegrad.errors import CapabilityError
from dosegrad.influence.scenario_doses import scenario_rbe_doses
from dosegrad.influence.scenarios import Scenario
from dosegrad.optimisation.robust_course import RobustCourse

CARBON = rbe.LinearQuadratic(
    {"Target": rbe.Tissue(alpha=0.1, beta=0.05)}, other=rbe.Tissue(alpha=0.05, beta=0.025)
)
MCNAMARA = rbe.McNamara(other=rbe.Tissue(alpha=0.1, beta=0.05))
CASES = Scenarios((Scenario(), Scenario(shift=(4.0, 0.0, 0.0)), Scenario(range_percent=3.5)))
GOALS = {"Target": [obj.SquaredDeviation(60.0, weight=100)]}


@pytest.fixture(scope="module")
def patient(water_box):
    kept = {name: s for name, s in water_box.structures.items() if name != "Nothing"}
    return replace(water_box, structures=kept)


@pytest.fixture(scope="module", params=["generic-carbon", "generic-protons"])
def shaken(patient, request):
    machine = load_machine(request.param)
    model = CARBON if "carbon" in request.param else MCNAMARA
    beams = steer(patient, machine, target="Target", gantry=0.0, spot_spacing=6.0)
    return compute_influence(patient, beams, rbe=model, scenarios=CASES)


def weights_of(influence):
    return 1.0 + np.random.default_rng(5).random(influence.beams.n_columns)


def test_maps_of_scenarios_have_exact_derivatives(shaken):
    held, tissue = shaken.scenarios, shaken.tissue
    rows = held.rows[::3]
    weights, moves = weights_of(shaken), weights_of(shaken) - 1.5
    # a course whose dose is some Gy a fraction
    weights *= 60.0 / shaken.dose(weights).array.max()
    found = held.rbe_maps(None, rows, tissue.alpha[rows], tissue.beta[rows], 20)
    assert found[0] is None
    for line in found[1:]:
        dose, pullback = line.linearise(weights)
        share = np.random.default_rng(6).random(dose.size)
        step = 1e-4
        values = [
            share @ line.linearise(weights + k * step * weights * moves)[0] for k in (-2, -1, 1, 2)
        ]
        slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
        assert pullback(share) @ (weights * moves) == approx(slope, rel=1e-7)


def test_scenario_maps_agree_with_doses_without_a_matrix(shaken, patient):
    """Moved beams and longer ranges, in the scenario's matrices and computed anew."""
    held, tissue = shaken.scenarios, shaken.tissue
    weights = weights_of(shaken)
    weights *= 60.0 / shaken.dose(weights).array.max()
    plan = optimise(shaken, GOALS, fractions=20, max_iterations=2)
    plan = replace(plan, weights=weights)
    alpha, beta = tissue.alpha[held.rows], tissue.beta[held.rows]
    maps = held.rbe_maps(None, held.rows, alpha, beta, 20)
    again = compute_dose(patient, plan, rbe=shaken.rbe)
    assert again.quantity == "rbe_dose"
    planned = shaken.dose(weights, quantity="rbe_dose", fractions=20)
    assert again.array == approx(planned.array, abs=1e-5 * planned.array.max())
    for case, line in list(zip(CASES, maps, strict=True))[1:]:
        moved = replace(plan, beams=case.apply(plan.beams), dose=planned)
        engine = PencilBeam(range_percent=case.range_percent)
        dose = compute_dose(patient, moved, rbe=shaken.rbe, engine=engine)
        rows = dose.array.ravel()[shaken.voxels][held.rows]
        assert np.abs(rows - planned.array.ravel()[shaken.voxels][held.rows]).max() > 1.0
        assert line.linearise(weights)[0] == approx(rows, abs=1e-4 * rows.max())


def test_a_robust_plan_is_better_where_it_is_worst(shaken, patient):
    robust = optimise(shaken, GOALS, fractions=20, robust="minimax", max_iterations=150)
    nominal = optimise(shaken, GOALS, fractions=20, max_iterations=150)
    target = patient.structures["Target"]
    assert [dose.quantity for dose in robust.scenario_doses] == ["rbe_dose"] * 3
    assert robust.rbe_dose.mean(target) == approx(60.0, rel=0.05)

    def worst(plan):
        inside = target.mask(shaken.grid)
        doses = scenario_rbe_doses(shaken, plan.weights, 20)
        return max(float(((d.array[inside] - 60.0) ** 2).mean()) for d in doses)

    assert worst(robust) < 0.9 * worst(nominal)
    assert robust.objective == approx(100.0 * worst(robust), rel=0.02)


def test_the_gradient_of_a_robust_objective_is_exact(shaken):
    plan = optimise(shaken, GOALS, fractions=20, robust="expected", max_iterations=3)
    course = _course(shaken)
    softness = (0.0,)
    moves = weights_of(shaken) - 1.5
    step = 1e-4
    _, slope = course.robust.value_and_gradient(plan.weights, softness)
    values = [
        course.robust.value_and_gradient(plan.weights * (1 + k * step * moves), softness)[0]
        for k in (-2, -1, 1, 2)
    ]
    found = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    assert slope @ (plan.weights * moves) == approx(found, rel=1e-6)


def _course(influence) -> RobustCourse:
    """The course that :func:`optimise` runs, before it runs."""
    made = []
    of = RobustCourse.of

    def keep(*args, **kwargs):
        made.append(of(*args, **kwargs))
        return made[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RobustCourse, "of", keep)
        optimise(influence, GOALS, fractions=20, robust="expected", max_iterations=1)
    return made[0]


def test_dose_and_a_variable_rbe_do_not_mix_in_scenarios(shaken):
    goals = {"Target": [obj.SquaredDeviation(60.0), obj.MeanDose().of("dose")]}
    with pytest.raises(CapabilityError, match="all objectives must be about dose, or all about"):
        optimise(shaken, goals, fractions=20, robust="minimax", max_iterations=2)


def test_a_constant_rbe_scales_the_dose_of_a_plan(patient):
    machine = load_machine("generic-protons")
    beams = steer(patient, machine, target="Target", gantry=0.0, spot_spacing=8.0)
    influence = compute_influence(patient, beams)
    plan = optimise(influence, GOALS, max_iterations=5)
    plain, weighted = (compute_dose(patient, plan, rbe=m) for m in (None, rbe.ConstantRBE(1.1)))
    assert weighted.array == approx(1.1 * plain.array)
    assert (plain.quantity, weighted.quantity) == ("dose", "rbe_dose")
    with pytest.raises(CapabilityError, match="has no tables for"):
        compute_dose(patient, plan, rbe=CARBON)
