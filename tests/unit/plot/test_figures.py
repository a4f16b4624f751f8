import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.table import Cell
from matplotlib.text import Text

from dosegrad import plot
from dosegrad.errors import PlanError
from dosegrad.machine.particle import ParticleMachine
from dosegrad.plot.style import structure_colours


def texts(figure):
    """All words in a figure: its subfigures, legends and tables included."""
    found = [*figure.findobj(Text), *(cell.get_text() for cell in figure.findobj(Cell))]
    return [t.get_text() for t in found if t.get_text()]


def overhang(figure):
    """How far what is drawn reaches beyond the page, inch; texts, ticks and legends included."""
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return max(-box.x0, -box.y0, box.x1 - width, box.y1 - height)


@pytest.fixture(scope="module")
def figures(planned, toy_machine):
    return {
        "overview": plot.overview(planned.patient, planned.plan),
        "dvh": plot.dvh(planned.dose, planned.patient),
        "phantom": plot.phantom(planned.patient),
        "machine": plot.machine(toy_machine),
        "impt_summary": plot.impt_summary(planned.patient, planned.plan, planned.report),
    }


@pytest.mark.parametrize("name", ["overview", "dvh", "phantom", "machine", "impt_summary"])
def test_figures_hold_all_their_words(figures, name):
    figure = figures[name]
    assert isinstance(figure, Figure)
    assert overhang(figure) < 0.01


def test_pictures_leave_pyplot_alone(figures):
    assert figures
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_overview_tells_the_key_figures(figures, planned):
    words = texts(figures["overview"])
    assert {"Target", "Body", "0°", "90°", "dose (Gy)", "x (mm)", "y (mm)", "z (mm)"} <= set(words)
    inside = planned.dose.array[planned.patient.structure("Target").mask(planned.dose.grid)]
    assert f"{inside.mean():.1f}" in words


def test_summary_has_six_lettered_panels(figures):
    words = texts(figures["impt_summary"])
    for letter in "abcdef":
        assert sum(w.startswith(f"({letter}) ") for w in words) == 1


def test_summary_marks_goals_and_says_which_are_missed(figures):
    words = " | ".join(texts(figures["impt_summary"]))
    assert "Target: D95% ≥ 1 Gy" in words
    assert "Body: Dmax ≤ 0.001 Gy" in words
    assert words.count("not met") >= 1
    assert "Dmean" not in words  # no point of the histogram


def test_a_plan_without_dose_is_refused(planned):
    bare = replace(planned.plan, dose=None)
    with pytest.raises(PlanError, match="has no dose to draw; compute it with compute_dose"):
        plot.overview(planned.patient, bare)


def test_summary_of_a_patient_without_target_is_refused(planned):
    body = planned.patient.structures["Body"]
    patient = replace(planned.patient, structures={"Body": body})
    with pytest.raises(PlanError, match="no target; give one of its structures"):
        plot.impt_summary(patient, planned.plan, planned.report)


def test_a_patient_without_structures_can_be_drawn(planned):
    figure = plot.phantom(replace(planned.patient, structures={}))
    assert overhang(figure) < 0.01


def test_a_machine_without_let_says_so(toy_machine):
    data = tuple(replace(d, let=np.empty(0)) for d in toy_machine.data[:3])
    figure = plot.machine(ParticleMachine("bare", "carbon", None, 500.0, data))
    words = texts(figure)
    assert "no LET in these data" in words
    assert "energy (MeV/u)" in words
    assert not any("Bortfeld" in w for w in words)


def test_colours_differ_and_are_dark_enough_for_white_paper(planned):
    names = [f"organ {k}" for k in range(9)]
    body = planned.patient.structures["Body"]
    organs = [replace(body, name=n, role="organ") for n in names]
    bright = replace(body, name="bright", role="organ", colour=(1.0, 1.0, 0.0))
    colours = structure_colours([*organs, bright])
    assert len(set(colours.values())) == len(colours)
    for red, green, blue in colours.values():
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.63
