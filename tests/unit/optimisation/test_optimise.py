import numpy as np
import pytest

from dosegrad import objectives as obj
from dosegrad.errors import PlanError, SettingsError, UnknownNameError
from dosegrad.influence.matrix import Influence
from dosegrad.optimisation.optimise import optimise
from dosegrad.optimisation.problem import PlanProblem, Term
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB
from dosegrad.optimisation.wishes import make_terms
from dosegrad.patient.records import ObjectiveRecord
from dosegrad.progress import listening

GOALS = {
    "Target": [obj.SquaredDeviation(50.0, weight=100)],
    "Organ": [obj.SquaredOverdose(20.0, weight=30)],
    "Body": [obj.MeanDose(weight=1)],
}


@pytest.fixture(scope="module")
def influence(toy):
    return toy.influence()


@pytest.fixture(scope="module")
def plan(influence):
    return optimise(influence, GOALS)


def by_hand(influence, weights):
    """The objective of GOALS from masks and the matrix alone."""
    grid, dose = influence.grid, influence.matrix.astype(float) @ weights
    masks = {n: s.mask(grid).ravel() for n, s in influence.patient.structures.items()}
    organ, body = masks["Organ"] & ~masks["Target"], masks["Body"] & ~masks["Target"]
    body &= ~masks["Organ"]
    return (
        100 * np.mean((dose[masks["Target"]] - 50) ** 2)
        + 30 * np.mean(np.maximum(dose[organ] - 20, 0) ** 2)
        + dose[body].mean()
    )


def test_plan_holds_what_it_says(influence, plan):
    assert plan.objective == pytest.approx(by_hand(influence, plan.weights), rel=1e-10)
    assert plan.history[-1] == plan.objective
    assert plan.history[0] > 3 * plan.objective
    assert plan.message.startswith("converged")
    assert (plan.weights >= 0).all()
    np.testing.assert_allclose(
        plan.dose.array.ravel(), influence.matrix.astype(float) @ plan.weights, rtol=1e-12
    )
    assert plan.provenance["solver"] == "LBFGSB"
    assert plan.provenance["objectives"][0] == ("Target: SquaredDeviation(dose=50.0, weight=100)")


def test_no_feasible_direction_descends_much(influence, plan):
    tight = optimise(influence, GOALS, tolerance=1e-9, max_iterations=3000)
    assert tight.objective <= plan.objective
    assert plan.objective <= tight.objective * (1 + 2e-3)
    for column in range(influence.matrix.shape[1]):
        for step in (1e-3, -1e-3):
            moved = tight.weights.copy()
            moved[column] = max(moved[column] + step, 0.0)
            assert by_hand(influence, moved) >= tight.objective * (1 - 1e-6)


def test_wishes_in_every_form_give_the_same_plan(influence, plan):
    listed = [o.on(name) for name, wishes in GOALS.items() for o in wishes]
    records = {
        "Target": (ObjectiveRecord("squared-deviation", 100.0, {"dose": 50.0}),),
        "Organ": (ObjectiveRecord("squared-overdose", 30.0, {"dose": 20.0}),),
        "Body": (ObjectiveRecord("mean-dose", 1.0),),
    }
    for wishes in (listed, records):
        np.testing.assert_array_equal(optimise(influence, wishes).weights, plan.weights)


def test_overlaps_go_to_the_lower_number(influence):
    terms = {t.structure: t.rows for t in make_terms(influence, GOALS)}
    assert np.intersect1d(terms["Target"], terms["Organ"]).size == 0
    assert np.intersect1d(terms["Target"], terms["Body"]).size == 0
    whole = np.count_nonzero(influence.patient.structures["Target"].mask(influence.grid))
    assert terms["Target"].size == whole


def test_left_out_voxels_do_not_change_the_optimum(influence, monkeypatch):
    goals = {**GOALS, "Body": [obj.SquaredOverdose(15.0, weight=20)]}
    few = optimise(influence, goals, tolerance=1e-8, max_iterations=2000)
    monkeypatch.setattr("dosegrad.optimisation.problem._IDLE_SHARE", 1e-9)
    every = optimise(influence, goals, tolerance=1e-8, max_iterations=2000)
    assert few.objective == pytest.approx(every.objective, rel=1e-5)


def test_overlooked_voxels_are_found(influence, monkeypatch):
    goals = {**GOALS, "Body": [obj.SquaredOverdose(15.0, weight=20)]}
    monkeypatch.setattr("dosegrad.optimisation.problem._IDLE_SHARE", 2.5)
    monkeypatch.setattr(
        "dosegrad.optimisation.problem.PlanProblem.overlooked",
        lambda self, followed, dose: bool((~followed & (dose > 2.5 * self.thresholds())).any()),
    )
    found = optimise(influence, goals)
    assert found.history[-1] == found.objective  # of all voxels, whatever was followed


def test_mean_terms_need_no_rows(influence):
    terms = make_terms(influence, {"Body": [obj.MeanDose(weight=2.0)]})
    problem = PlanProblem(influence.matrix, terms)
    function = problem.following(np.zeros(influence.voxels.size, dtype=bool))
    weights = np.linspace(0, 1, influence.matrix.shape[1])
    value, gradient = function.value_and_gradient(weights)
    dense = influence.matrix.toarray().astype(float)[terms[0].rows].mean(axis=0)
    assert value == pytest.approx(2.0 * dense @ weights)
    np.testing.assert_allclose(gradient, 2.0 * dense, rtol=1e-10)


def test_rows_are_left_out_without_the_matrix(influence):
    goals = {"Target": [obj.SquaredDeviation(50.0)], "Body": [obj.MeanDose(), obj.EUD(5.0, a=8)]}
    problem = PlanProblem(influence.matrix, make_terms(influence, goals))
    every = np.ones(influence.voxels.size, dtype=bool)
    kept = np.random.default_rng(5).random(every.size) < 0.5
    weights = np.linspace(0, 1, influence.matrix.shape[1])
    value, gradient = problem.following(every).keeping(kept).value_and_gradient(weights)
    expected, slope = problem.following(kept).value_and_gradient(weights)
    assert value == expected
    assert np.array_equal(gradient, slope)


def test_gradient_of_everything_together(influence):
    goals = {
        "Target": [obj.SquaredUnderdose(50.0, weight=10), obj.EUD(50.0, a=-8, weight=3)],
        "Organ": [obj.EUD(5.0, a=8, weight=2), obj.MeanDose(3.0), obj.SquaredMeanDeviation(2.0)],
    }
    smooth = obj.SpotSmoothness(weight=5.0).between(influence.beams)
    problem = PlanProblem(influence.matrix, make_terms(influence, goals), (smooth,))
    function = problem.following(problem.worth_following(np.ones(influence.voxels.size)))
    rng = np.random.default_rng(2)
    weights, along = rng.uniform(1, 3, 40), rng.standard_normal(40)
    value, gradient = function.value_and_gradient(weights)
    step = 1e-5
    above = function.value_and_gradient(weights + step * along)[0]
    below = function.value_and_gradient(weights - step * along)[0]
    assert gradient @ along == pytest.approx((above - below) / (2 * step), rel=1e-6)
    assert sum(problem.values(problem.dose(weights), weights)) == pytest.approx(value)


def test_smoothness_evens_weights_out(influence, plan):
    penalty = obj.SpotSmoothness().between(influence.beams)
    smooth = optimise(influence, GOALS, smoothness=obj.SpotSmoothness(weight=1e3))
    rough = penalty.value_and_gradient(plan.weights)[0]
    assert penalty.value_and_gradient(smooth.weights)[0] < 0.5 * rough


def test_start_and_stop(influence, plan):
    warm = optimise(influence, GOALS, initial=plan.weights)
    assert warm.objective <= plan.objective * (1 + 1e-9)
    assert len(warm.history) < len(plan.history)
    short = optimise(influence, GOALS, max_iterations=2)
    assert "stopped after 2 iterations" in short.message
    assert len(short.history) == 4
    enough = optimise(influence, GOALS, stop_below=2 * plan.objective)
    assert "below" in enough.message
    assert len(enough.history) < len(plan.history)


def test_fractions_change_nothing_but_themselves(influence, plan):
    course = optimise(influence, GOALS, fractions=30)
    assert course.fractions == 30
    np.testing.assert_array_equal(course.weights, plan.weights)


def test_progress_is_told(influence):
    heard = []
    with listening(lambda stage, fraction, remark: heard.append((stage, fraction, remark))):
        optimise(influence, GOALS)
    assert heard[0][0] == "optimisation"
    assert heard[-1][1] == 1.0
    assert "objective" in heard[-1][2]


def test_interruption_passes_through(influence):
    def interrupt(stage, fraction, remark):
        raise KeyboardInterrupt

    with listening(interrupt), pytest.raises(KeyboardInterrupt):
        optimise(influence, GOALS)


@pytest.mark.parametrize(
    ("goals", "options", "error", "text"),
    [
        ({}, {}, PlanError, "there is no objective"),
        ([], {}, PlanError, "there is no objective"),
        ({"Target": []}, {}, PlanError, "there is no objective"),
        ({"Tarqet": [obj.MeanDose()]}, {}, UnknownNameError, "Did you mean 'Target'"),
        ({"Target": [50.0]}, {}, PlanError, "is no objective"),
        ([obj.MeanDose()], {}, PlanError, "does not name its structure"),
        ({"Target": [obj.MeanDose(weight=0)]}, {}, PlanError, "weight 0"),
        (GOALS, {"fractions": 0}, PlanError, "course of 0 fractions"),
        (GOALS, {"fractions": 1.5}, PlanError, "course of 1.5 fractions"),
        (GOALS, {"initial": np.ones(3)}, PlanError, "give 40 finite numbers"),
        (GOALS, {"initial": -np.ones(40)}, PlanError, "none of them negative"),
        (GOALS, {"solver": "l-bfgs"}, UnknownNameError, "Did you mean 'l-bfgs-b'"),
        (GOALS, {"solver": LBFGSB}, SettingsError, "is no solver"),
        (GOALS, {"max_iterations": 0}, SettingsError, "at least 1"),
        (GOALS, {"max_iterations": 2.5}, SettingsError, "no whole number"),
        (GOALS, {"tolerance": -1.0}, SettingsError, "from 0 to below 1"),
    ],
)
def test_wrong_inputs(influence, goals, options, error, text):
    with pytest.raises(error, match=text):
        optimise(influence, goals, **options)


def test_structures_without_voxels(toy, influence):
    hidden = toy.patient(Organ="target")
    masks = dict(hidden.structures)
    masks["Inner"] = masks["Target"].with_role("organ")
    with pytest.raises(PlanError, match="no voxel centre of the dose grid"):
        optimise(
            changed(influence, {"Gone": np.zeros(influence.grid.shape, bool)}),
            {
                **GOALS,
                "Gone": [obj.MeanDose()],
            },
        )
    inner = np.zeros(influence.grid.shape, bool)
    inner[2, 4, 6] = True
    with pytest.raises(PlanError, match=r"higher priority \(Target\)"):
        optimise(changed(influence, {"Inner": inner}), {**GOALS, "Inner": [obj.MeanDose()]})


def changed(influence, more, roles=None, rows=None):
    """The influence with further structures, or fewer rows."""
    from dosegrad.patient.patient import Patient

    old = influence.patient
    masks = {n: s.mask(influence.grid) for n, s in old.structures.items()}
    parts = {n: s.role for n, s in old.structures.items()}
    subject = Patient.from_arrays(
        old.ct.hu,
        spacing=influence.grid.spacing,
        structures={**masks, **more},
        roles={**parts, **(roles or {})},
    )
    keep = np.arange(influence.voxels.size) if rows is None else rows
    return Influence(
        subject, influence.beams, influence.grid, influence.voxels[keep], influence.matrix[keep]
    )


def test_overlapping_prescriptions(influence):
    boost = np.zeros(influence.grid.shape, bool)
    boost[2:4, 3:6, 5:8] = True
    both = changed(influence, {"Boost": boost}, {"Boost": "target"})
    wishes = {**GOALS, "Boost": [obj.SquaredDeviation(60.0)]}
    with pytest.raises(PlanError, match="prescriptions overlap: 'Target' asks for 50 Gy and"):
        optimise(both, wishes)
    minima = {"Target": [obj.SquaredUnderdose(50.0)], "Boost": [obj.SquaredUnderdose(60.0)]}
    assert optimise(both, minima).objective < 1.0


def test_one_structure_has_one_exact_dose(influence):
    both = {"Target": [obj.SquaredDeviation(50.0), obj.SquaredDeviation(60.0)]}
    with pytest.raises(PlanError, match="'Target' asks for 50 Gy and for 60 Gy, each to be met"):
        optimise(influence, both)
    bounded = {"Target": [obj.SquaredUnderdose(50.0), obj.SquaredDeviation(60.0)]}
    assert optimise(influence, bounded, max_iterations=2).objective >= 0.0


def test_rows_that_are_missing(influence):
    target = influence.patient.structures["Target"].mask(influence.grid).ravel()
    inside = changed(influence, {}, rows=np.flatnonzero(target))
    with pytest.raises(PlanError, match="'Organ' has an objective, but the influence matrix has"):
        optimise(inside, GOALS)
    half = changed(influence, {}, rows=np.flatnonzero(target)[::2])
    with pytest.warns(UserWarning, match="has rows for"):
        optimise(half, {"Target": [obj.SquaredDeviation(50.0)]})


def test_values_that_are_not_finite(influence):
    broken = influence.matrix.copy()
    broken.data = broken.data.copy()
    broken.data[5] = np.nan
    parts = (influence.patient, influence.beams, influence.grid, influence.voxels)
    with pytest.raises(PlanError, match="not finite"):
        optimise(Influence(*parts, broken), GOALS)


def test_beams_that_miss(influence):
    nothing = influence.matrix.copy()
    nothing.data = np.zeros_like(nothing.data)
    parts = (influence.patient, influence.beams, influence.grid, influence.voxels)
    with pytest.raises(PlanError, match="no column gives dose"):
        optimise(Influence(*parts, nothing), GOALS)


def test_terms_tell_where_they_are_idle():
    rows = np.arange(3)
    assert Term("A", obj.SquaredOverdose(20.0), rows).idle_below == 20.0
    assert Term("A", obj.SquaredDeviation(20.0), rows).idle_below == -np.inf
    assert Term("A", obj.MeanDose(20.0), rows).depends_on_mean
