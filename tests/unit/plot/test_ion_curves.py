"""Pictures of ion machines."""

import numpy as np
import pytest

from dosegrad import load_machine, plot
from dosegrad.errors import MachineError


def test_machine_of_ions_shows_biology():
    figure = plot.machine(load_machine("generic-carbon"))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert len(titles) == 6
    assert {"Alpha", "Share of the wide Gaussian", "Dose-averaged LET"} <= set(titles)


def test_comparison_draws_both_machines():
    """A machine beside physics that it was made from: the curves lie on each other."""
    machine = load_machine("generic-carbon")
    energy = float(machine.energies[10])
    figure = plot.ion_comparison(machine, [energy])
    ours, theirs = figure.axes[0].get_lines()[:2]
    at = np.linspace(0.0, machine.data[10].range, 100)
    a, b = (np.interp(at, *line.get_data()) for line in (ours, theirs))
    np.testing.assert_allclose(a, b, atol=0.02)


def test_protons_have_no_comparison(toy_machine):
    with pytest.raises(MachineError, match="delivers protons"):
        plot.ion_comparison(toy_machine, [100.0])
