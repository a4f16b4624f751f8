"""Pictures of fronts."""

import numpy as np
import pytest

from dosegrad import plot
from dosegrad.optimisation.pareto_front import FrontShape, ParetoFront


@pytest.fixture
def front(planned):
    plans = (planned.plan, planned.plan, planned.plan)
    values = np.array([[1.0, 9.0], [4.0, 4.0], [9.0, 1.0]])
    normals = np.array([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]])
    bounds = (normals * values).sum(axis=1) - 0.1
    shape = FrontShape(("coverage", "core"), values, normals, bounds, np.array([8.0, 8.0]))
    return ParetoFront(plans, shape, 0.02)


def test_two_objectives_with_band_choice_and_histograms(front, planned):
    choice = front.navigate(limits={"core": 5.0}, prefer="coverage")
    figure = plot.pareto(front, choice=choice, patient=planned.patient)
    trade, histograms = figure.axes
    assert trade.get_xlabel() == "coverage"
    labels = [text.get_text() for text in trade.get_legend().get_texts()]
    assert labels == ["mixtures", "where the front is", "plans", "choice"]
    assert len(histograms.get_lines()) == sum(
        s.role != "external" for s in planned.patient.structures.values()
    )
    low = trade.collections[0].get_paths()[0].vertices[:, 1]
    assert low.min() >= 0.0


def test_a_panel_for_each_pair(front):
    shape = FrontShape(
        ("a", "b", "c"),
        np.column_stack([front.shape.values, [3.0, 2.0, 1.0]]),
        np.column_stack([front.shape.normals, np.full(3, 0.1)]),
        front.shape.bounds,
        np.array([8.0, 8.0, 2.0]),
    )
    figure = plot.pareto(ParetoFront(front.plans, shape, 0.02))
    assert [(ax.get_xlabel(), ax.get_ylabel()) for ax in figure.axes] == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    ]
