import numpy as np
import pytest

from dosegrad import objectives as obj
from dosegrad.errors import SettingsError, UnknownNameError
from dosegrad.optimisation.optimise import optimise
from dosegrad.optimisation.single_field import SFUD, field_influence

GOALS = {
    "Target": [obj.SquaredDeviation(50.0, weight=100)],
    "Organ": [obj.SquaredOverdose(20.0, weight=10)],
}


@pytest.fixture(scope="module")
def influence(toy):
    return toy.influence(60)


def spread(dose, influence):
    inside = dose.array[influence.patient.structures["Target"].mask(influence.grid)]
    return float(inside.std() / inside.mean()), float(inside.mean())


def of_field(influence, weights, number):
    alone = np.zeros_like(weights)
    part = influence.beams.columns_of(number)
    alone[part] = weights[part]
    return influence.dose(alone)


@pytest.mark.parametrize("mode", ["sfud", SFUD(shares=(3, 1))])
def test_each_field_gives_its_share_of_a_uniform_dose(influence, mode):
    plan = optimise(influence, GOALS, mode=mode)
    shares = (0.5, 0.5) if mode == "sfud" else (0.75, 0.25)
    together = optimise(influence, GOALS)
    for number, share in enumerate(shares):
        uneven, mean = spread(of_field(influence, plan.weights, number), influence)
        assert mean == pytest.approx(50.0 * share, rel=0.03)
        assert uneven < spread(of_field(influence, together.weights, number), influence)[0]
    assert spread(plan.dose, influence)[1] == pytest.approx(50.0, rel=0.03)
    assert plan.objective >= together.objective * (1 - 1e-3)
    assert plan.provenance["mode"].startswith("SFUD(")
    assert plan.message.startswith("fields one by one: field 1 converged")


def test_no_convex_objective_is_worse_than_the_mean_of_the_fields(influence):
    plan = optimise(influence, GOALS, mode="sfud")
    assert plan.history[-1] == plan.objective
    assert plan.objective <= plan.history[-2] * (1 + 1e-9)


def test_a_single_field_is_a_field_alone(toy, influence):
    part = field_influence(influence, 1)
    columns = influence.beams.columns_of(1)
    assert len(part.beams) == 1
    assert part.beams[0] == influence.beams[1]
    np.testing.assert_array_equal(part.matrix.toarray(), influence.matrix.toarray()[:, columns])
    alone = optimise(part, GOALS)
    same = optimise(part, GOALS, mode="sfud")
    np.testing.assert_allclose(same.weights, alone.weights)


def test_weights_to_start_from_are_those_of_the_plan(influence):
    plan = optimise(influence, GOALS, mode="sfud")
    again = optimise(influence, GOALS, mode="sfud", initial=plan.weights)
    assert again.objective == pytest.approx(plan.objective, rel=1e-3)
    assert len(again.history) < len(plan.history)


def test_wrong_modes_are_told(influence):
    with pytest.raises(UnknownNameError, match=r"no mode of planning 'sfup'.*Did you mean 'sfud'"):
        optimise(influence, GOALS, mode="sfup")
    with pytest.raises(SettingsError, match="3 shares do not fit 2 fields"):
        optimise(influence, GOALS, mode=SFUD(shares=(1, 1, 1)))
    with pytest.raises(SettingsError, match="give a positive number for each field"):
        SFUD(shares=(1, 0))
