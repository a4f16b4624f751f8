"""Pictures of photon machines."""

from dosegrad.machine.library import load_machine
from dosegrad.plot import machine


def test_a_photon_machine_is_drawn():
    figure = machine(load_machine("generic-10mv"))
    assert "TPR20,10 = 0.735" in figure.get_suptitle()
    depth_doses, profiles, output, components = figure.axes
    assert [len(ax.lines) for ax in figure.axes] == [4, 4, 1, 3]
    assert depth_doses.get_ylabel() == "dose (% of maximum)"
    assert profiles.get_xlabel() == "distance from the axis (mm)"
    assert output.lines[0].get_ydata()[7] == 1.0
    assert components.get_title(loc="left") or components.get_title()
