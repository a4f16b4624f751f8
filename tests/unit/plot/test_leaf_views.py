"""Pictures of fluence, leaves and arcs show what the plan holds."""

import matplotlib.patches as mpatches
import numpy as np
import pytest

from dosegrad import plot
from dosegrad.beams.apertures import Apertures
from dosegrad.errors import PlanError
from dosegrad.machine.library import load_machine
from dosegrad.optimisation.sequencing.sequence import sequence
from dosegrad.plan import Plan


@pytest.fixture(scope="module")
def plan():
    x, y = (v.ravel() for v in np.meshgrid(5.0 * np.arange(6) - 12.5, 5.0 * np.arange(5) - 7.5))
    weights = np.random.default_rng(1).uniform(0.0, 90.0, 2 * x.size)
    return Plan.from_bixels(
        load_machine("generic-6mv"),
        gantry=np.repeat([0, 90], x.size),
        isocentre=(0, 0, 0),
        x=np.tile(x, 2),
        y=np.tile(y, 2),
        width=5.0,
        weight=weights,
    )


def test_fluence_is_drawn_bixel_by_bixel(plan):
    figure = plot.fluence(plan)
    panels = [ax for ax in figure.axes if ax.get_title("left")]
    assert [ax.get_title("left") for ax in panels] == ["0°", "90°"]
    drawn = panels[1].collections[0].get_array()
    assert np.array_equal(drawn, plan.weights[30:])


def test_every_segment_has_its_panel(plan):
    delivered = sequence(plan, levels=4)
    figure = plot.leaf_sequence(delivered, beam=1)
    titles = [ax.get_title("left") for ax in figure.axes if ax.get_title("left")]
    assert titles[0] == "fluence opened"
    assert len(titles) == 1 + len(delivered.apertures.of_beam(1))
    assert all(title.endswith(" MU") for title in titles[1:])
    assert any(isinstance(p, mpatches.Rectangle) for p in figure.axes[1].patches)


def test_an_arc_is_drawn_with_its_limits():
    linac = load_machine("generic-6mv")
    plan = Plan.from_bixels(
        linac, gantry=[0, 4, 8], isocentre=(0, 0, 0), x=0, y=2.5, width=5.0, weight=1.0
    )
    opening = Apertures.open_field(linac.collimator, width=40.0, height=40.0, monitor_units=5.0)
    arc = Plan(
        plan.beams, plan.weights, apertures=Apertures.of([0, 1, 2], [opening[0]] * 3, [5.0] * 3)
    )
    figure = plot.arc(arc)
    assert len(figure.axes) == 4
    assert "3 control points" in figure.get_suptitle()


def test_plans_that_cannot_be_drawn_are_told(plan):
    with pytest.raises(PlanError, match="no apertures to draw"):
        plot.leaf_sequence(plan)
    with pytest.raises(PlanError, match="no beam 7 with segments"):
        plot.leaf_sequence(sequence(plan), beam=7)
