"""The picture of moved spots."""

import numpy as np
import pytest

from dosegrad.errors import PlanError
from dosegrad.plan import Plan
from dosegrad.plot.spot_moves import spot_moves


def test_layers_are_drawn_with_their_numbers_of_spots(planned):
    beams = planned.plan.beams
    figure = spot_moves(beams, planned.plan, beam=1)
    figure.draw_without_rendering()
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert 1 <= len(titles) <= 4
    n = np.count_nonzero(
        (beams.columns["beam"] == 1) & (beams.columns["energy"] == float(titles[0].split()[0]))
    )
    assert titles[0].endswith(f"MeV: {n} → {n} spots")
    assert "gantry 90°" in figure.get_suptitle()


def test_beams_without_spots_are_refused(planned):
    beams = planned.plan.beams
    with pytest.raises(PlanError, match="counted from 0"):
        spot_moves(beams, planned.plan, beam=2)
    with pytest.raises(PlanError, match="in common"):
        spot_moves(beams, Plan(beams, np.zeros(beams.n_columns)))
