from dataclasses import replace

import numpy as np
import pytest

from dosegrad import load_plan, rbe
from dosegrad import objectives as obj
from dosegrad.errors import CapabilityError, PlanError, UnknownNameError
from dosegrad.optimisation.optimise import optimise
from dosegrad.optimisation.quantities import remark_on
from dosegrad.optimisation.wishes import make_terms
from dosegrad.rbe.tissue import TissueMap

TISSUE = rbe.Tissue(alpha=0.1, beta=0.05)
GOALS = {"Target": [obj.SquaredDeviation(50.0, weight=100)], "Body": [obj.MeanDose(weight=1)]}


def biological(influence, model=None):
    """The toy influence with LET, and alpha and beta columns that rise with it."""
    matrix = influence.matrix
    rng = np.random.default_rng(5)
    let = np.repeat(rng.uniform(1.0, 10.0, matrix.shape[1]), np.diff(matrix.indptr))
    let = let.astype(np.float32)
    alpha = 0.1 * (1.0 + 0.2 * let)
    return replace(
        influence,
        extra={
            "let_dose": let * matrix.data,
            "alpha_dose": alpha * matrix.data,
            "sqrt_beta_dose": np.float32(np.sqrt(0.05)) * matrix.data,
        },
        rbe=model or rbe.LinearQuadratic(other=TISSUE),
        tissue=TissueMap((TISSUE,), np.zeros(matrix.shape[0], dtype=np.int32)),
    )


@pytest.fixture(scope="module")
def influence(toy):
    return biological(toy.influence())


@pytest.fixture(scope="module")
def plan(influence):
    return optimise(influence, GOALS, fractions=20)


def mean(dose, influence, name):
    return dose.mean(influence.patient.structures[name])


def test_objectives_act_on_rbe_weighted_dose(influence, plan):
    assert mean(plan.rbe_dose, influence, "Target") == pytest.approx(50.0, rel=0.02)
    assert mean(plan.dose, influence, "Target") < 40.0
    assert plan.let.quantity == "let"
    assert plan.provenance["objectives"][0].startswith("Target: SquaredDeviation(dose=50.0")


def test_the_value_is_that_of_the_maps(influence, plan):
    by_hand = influence.dose(plan.weights, quantity="rbe_dose", fractions=20)
    np.testing.assert_allclose(plan.rbe_dose.array, by_hand.array)
    grid = influence.grid
    target = influence.patient.structures["Target"].mask(grid)
    body = ~target & ~influence.patient.structures["Organ"].mask(grid)
    value = 100 * np.mean((by_hand.array[target] - 50) ** 2) + by_hand.array[body].mean()
    assert plan.objective == pytest.approx(value, rel=1e-6)


def test_more_dose_is_needed_in_more_fractions(influence, plan):
    few = optimise(influence, GOALS, fractions=2)
    # the share of alpha, which ions raise, is greater in small fractions
    assert mean(few.dose, influence, "Target") > mean(plan.dose, influence, "Target")


@pytest.mark.parametrize("quantity", ["dose", "rbe_dose", "effect", "bed", "eqd2"])
def test_every_quantity_can_be_prescribed(influence, quantity):
    wanted = {"effect": 12.0, "bed": 80.0}.get(quantity, 50.0)
    goals = {"Target": [obj.SquaredDeviation(wanted, weight=100).of(quantity)]}
    made = optimise(influence, goals, fractions=20)
    found = influence.dose(made.weights, quantity=quantity, fractions=20)
    assert mean(found, influence, "Target") == pytest.approx(wanted, rel=0.02)


def test_an_objective_lowers_the_let_of_an_organ(influence, plan):
    goals = {**GOALS, "Organ": [obj.SquaredOverdose(3.0, weight=300).of("let")]}
    lower = optimise(influence, goals, fractions=20)
    assert mean(lower.let, influence, "Organ") < mean(plan.let, influence, "Organ") - 0.2
    assert mean(lower.rbe_dose, influence, "Target") == pytest.approx(50.0, rel=0.05)
    dirty = {**GOALS, "Organ": [obj.MeanDose(weight=2.0).of("let_dose")]}
    less = optimise(influence, dirty, fractions=20)
    before, after = (p.let.array * p.dose.array for p in (plan, less))
    organ = influence.patient.structures["Organ"].mask(influence.grid)
    assert after[organ].mean() < before[organ].mean()


def test_sequences_of_objectives_name_quantities_too(influence):
    wishes = [
        obj.SquaredDeviation(50.0, weight=100).of("dose").on("Target"),
        obj.MeanDose(weight=1).on("Body"),
    ]
    made = optimise(influence, wishes, fractions=20)
    assert mean(made.dose, influence, "Target") == pytest.approx(50.0, rel=0.02)
    with pytest.raises(UnknownNameError, match="no quantity to optimise 'lett'"):
        obj.MeanDose().of("lett")


def test_what_is_missing_is_told(toy, influence):
    plain = toy.influence()
    with pytest.raises(PlanError, match="'let' needs columns of LET times dose"):
        optimise(plain, {**GOALS, "Organ": obj.MeanDose().of("let")})
    with pytest.raises(PlanError, match="'rbe_dose' needs an RBE model"):
        optimise(plain, {"Target": obj.SquaredDeviation(50.0).of("rbe_dose")})
    constant = replace(influence, rbe=rbe.ConstantRBE(1.1), tissue=None)
    with pytest.raises(PlanError, match="'eqd2' needs tissues"):
        optimise(constant, {"Target": obj.SquaredDeviation(50.0).of("eqd2")})


def test_a_constant_rbe_is_a_scaled_plan(toy):
    plain = toy.influence()
    constant = replace(plain, rbe=rbe.ConstantRBE(1.1))
    goals = {**GOALS, "Organ": [obj.SquaredOverdose(20.0, weight=30)]}
    plan = optimise(constant, goals, tolerance=1e-8, max_iterations=2000)
    scaled = {
        "Target": [obj.SquaredDeviation(50.0 / 1.1, weight=100 * 1.1**2)],
        "Organ": [obj.SquaredOverdose(20.0 / 1.1, weight=30 * 1.1**2)],
        "Body": [obj.MeanDose(weight=1.1)],
    }
    same = optimise(plain, scaled, tolerance=1e-8, max_iterations=2000)
    assert plan.objective == pytest.approx(same.objective, rel=1e-4)
    np.testing.assert_allclose(plan.rbe_dose.array, 1.1 * plan.dose.array)


def test_effect_of_a_constant_rbe_counts_as_that_of_photons(influence):
    constant = replace(influence, rbe=rbe.ConstantRBE(1.1, other=TISSUE))
    goals = {"Target": [obj.SquaredDeviation(60.0, weight=100).of("eqd2")]}
    plan = optimise(constant, goals, fractions=10)
    assert mean(plan.rbe_dose, influence, "Target") < 60.0
    found = constant.dose(plan.weights, quantity="eqd2", fractions=10)
    assert mean(found, influence, "Target") == pytest.approx(60.0, rel=0.02)


def test_plans_are_saved_with_their_quantities(plan, tmp_path):
    plan.save(tmp_path / "plan.npz")
    again = load_plan(tmp_path / "plan.npz")
    assert set(again.quantities) == {"rbe_dose", "let"}
    np.testing.assert_array_equal(again.rbe_dose.array, plan.rbe_dose.array)
    assert again.let.unit == "keV/µm"
    assert again.fractions == 20


def test_moving_spots_refuse_other_quantities(water_box, toy_machine):
    from dosegrad import optimise_spots, steer

    beams = steer(water_box, toy_machine, target="Target", gantry=[0.0], spot_spacing=12.0)
    with pytest.raises(CapabilityError, match="spots move by objectives of dose alone"):
        optimise_spots(
            water_box, beams, {"Target": obj.SquaredDeviation(50.0).of("let")}, max_shift=3.0
        )


def test_a_highest_dose_where_nobody_looks_is_told(toy):
    influence = toy.influence()
    target = influence.patient.structures["Target"].mask(influence.grid)
    terms = make_terms(influence, {"Target": [obj.SquaredDeviation(50.0)]})
    hot = influence.on_grid(np.where(target, 50.0, 80.0).ravel(), quantity="rbe_dose")
    words = "; the highest dose, 80 Gy (RBE), lies in no structure with an objective"
    assert remark_on(influence, terms, hot).startswith(words)
    even = influence.on_grid(np.where(target, 50.0, 52.0).ravel())
    assert remark_on(influence, terms, even) == ""
    whole = make_terms(influence, GOALS | {"Organ": [obj.MeanDose()]})
    assert remark_on(influence, whole, hot) == ""


def test_a_dose_far_above_the_prescription_is_told(toy):
    influence = toy.influence()
    target = influence.patient.structures["Target"].mask(influence.grid)
    terms = make_terms(
        influence, {"Target": [obj.SquaredDeviation(50.0)], "Organ": [obj.MeanDose()]}
    )
    every = [*terms, replace(terms[1], rows=np.arange(influence.voxels.size))]
    hot = influence.on_grid(np.where(target, 80.0, 50.0).ravel())
    assert "80 Gy, is 1.6 times the highest prescription" in remark_on(influence, every, hot)
    warm = influence.on_grid(np.where(target, 70.0, 50.0).ravel())
    assert remark_on(influence, every, warm) == ""
    # where nothing is prescribed, nothing is too much
    assert remark_on(influence, every[1:], hot) == ""
