"""Pictures of splitting schemes and of sensitivities."""

import numpy as np
import pytest

from dosegrad import Dose, phantom, plot
from dosegrad.engines.yoda.splitting import RINGS_25, split_on_lattice, split_on_rings
from dosegrad.errors import GeometryError


@pytest.mark.parametrize("scheme", [split_on_rings(RINGS_25), split_on_lattice(0.75)])
def test_schemes_are_drawn_with_their_error(scheme):
    figure = plot.splitting(scheme)
    figure.draw_without_rendering()
    titles = [ax.get_title(loc="left") for ax in figure.axes[:2]]
    assert titles[0].startswith(f"{scheme.n_beamlets} beamlets")
    assert f"J = {scheme.mismatch:.1e}" in titles[1]


def test_sensitivities_are_drawn_on_three_planes():
    patient = phantom("prostate")
    values = np.zeros(patient.ct.grid.shape)
    with pytest.raises(GeometryError, match="0 everywhere"):
        plot.sensitivity(patient, Dose(patient.ct.grid, values, quantity="sensitivity"))
    values[patient.structure("PTV").mask(patient.ct.grid)] = -1e-5
    figure = plot.sensitivity(patient, Dose(patient.ct.grid, values, quantity="sensitivity"))
    figure.draw_without_rendering()
    assert len(figure.axes) == 4
    assert "per HU" in figure.axes[-1].get_ylabel()
