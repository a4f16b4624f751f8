"""Choice of beam angles: what is chosen, its worth, and what cannot be."""

import numpy as np
import pytest

from dosegrad import objectives as obj
from dosegrad import optimise, optimise_angles, plot
from dosegrad.beams.steering import steer
from dosegrad.errors import CapabilityError, SettingsError
from dosegrad.influence.build import compute_influence
from dosegrad.optimisation.beam_angles import _Search
from dosegrad.optimisation.candidate_angles import list_angles, spread_evenly

GOALS = {
    "Target": [obj.SquaredDeviation(50.0, weight=100)],
    "Body": [obj.MeanDose(weight=5)],
}
OPTIONS = {"spot_spacing": 9.0, "layer_spacing": 6.0}


@pytest.fixture(scope="module")
def choice(water_box, toy_machine):
    return optimise_angles(
        water_box, toy_machine, GOALS, n=2, target="Target", candidates=range(0, 360, 45), **OPTIONS
    )


def test_the_chosen_set_is_the_best_of_those_tried(choice):
    assert len(choice.chosen) == 2
    assert set(choice.chosen) <= set(choice.candidates)
    assert len(choice.plan.beams) == 2
    assert [beam.gantry for beam in choice.plan.beams] == list(choice.gantry)
    assert set(choice.worth) == set(choice.candidates)
    least = min(choice.worth.values())
    assert all(choice.worth[angle] < 1.5 * least for angle in choice.chosen)
    assert choice.n_sets >= 8
    assert "of 8 candidates" in repr(choice)


def test_it_is_no_worse_than_the_evenly_spread_set(choice, water_box, toy_machine):
    beams = steer(water_box, toy_machine, target="Target", gantry=[0, 180], **OPTIONS)
    spread = optimise(compute_influence(water_box, beams), GOALS)
    assert choice.evenly_spread == pytest.approx(spread.objective, rel=1e-3)
    assert choice.plan.objective <= choice.evenly_spread


def test_a_search_that_errs_gives_the_evenly_spread_set(water_box, toy_machine, monkeypatch):
    monkeypatch.setattr(_Search, "_best_of_finalists", lambda *_: [1])
    angles = {"n": 1, "target": "Target", "candidates": [0, 90, 180, 270]}
    choice = optimise_angles(water_box, toy_machine, GOALS, **angles, **OPTIONS)
    assert choice.gantry == (0.0,)
    assert choice.plan.objective == choice.evenly_spread


def test_full_turns_make_no_other_candidate():
    assert list_angles([90, (90, -350), 450], [0, 360, 10, 370]) == ((90.0, 0.0), (90.0, 10.0))
    angles = list_angles([0.0, (0.0, 350.0)], 180.0)
    assert spread_evenly(angles, 1) == [1]


def test_the_search_finds_the_best_pair_of_few(choice, water_box, toy_machine):
    """Against all pairs, each optimised."""
    best = np.inf
    for first in range(0, 360, 45):
        for second in range(first + 45, 360, 45):
            beams = steer(
                water_box, toy_machine, target="Target", gantry=[first, second], **OPTIONS
            )
            plan = optimise(compute_influence(water_box, beams), GOALS)
            best = min(best, plan.objective)
    assert choice.plan.objective <= 1.03 * best


def test_the_couch_may_turn(water_box, toy_machine):
    choice = optimise_angles(
        water_box,
        toy_machine,
        GOALS,
        n=1,
        target="Target",
        candidates=[0.0, (90.0, 0.0)],
        couch=[0.0, 20.0],
        iterations=20,
        **OPTIONS,
    )
    assert choice.candidates == ((0.0, 0.0), (0.0, 20.0), (90.0, 0.0))
    figure = plot.angles(choice)
    figure.draw_without_rendering()
    assert [ax.get_title() for ax in figure.axes] == [
        "Worth of gantry angles, couch 0°",
        "Worth of gantry angles, couch 20°",
    ]


def test_the_figure_shows_every_candidate(choice):
    figure = plot.angles(choice)
    figure.draw_without_rendering()
    (dial,) = figure.axes
    assert len(dial.patches) == 8
    assert max(bar.get_height() for bar in dial.patches) == pytest.approx(1.0)


def test_wrong_settings_are_told(water_box, toy_machine):
    with pytest.raises(SettingsError, match="3 beams cannot be chosen from 2"):
        optimise_angles(water_box, toy_machine, GOALS, n=3, target="Target", candidates=[0, 90])
    with pytest.raises(SettingsError, match="no angle"):
        optimise_angles(
            water_box, toy_machine, GOALS, n=1, target="Target", candidates=[(0, 90, 1)]
        )
    with pytest.raises(SettingsError, match="no angle"):
        optimise_angles(water_box, toy_machine, GOALS, n=1, target="Target", candidates=["a"])
    with pytest.raises(SettingsError, match="no whole number"):
        optimise_angles(water_box, toy_machine, GOALS, n=2.5, target="Target")
    with pytest.raises(SettingsError, match="as candidates="):
        optimise_angles(water_box, toy_machine, GOALS, n=1, target="Target", gantry=90)
    for wish in (GOALS["Body"][0].robust(), GOALS["Body"][0].of("let")):
        with pytest.raises(CapabilityError, match="by which beam angles are chosen"):
            optimise_angles(water_box, toy_machine, {"Body": wish}, n=1, target="Target")
