from dataclasses import replace

import numpy as np
import pytest

from dosegrad.machine.library import load_machine
from dosegrad.physics.bortfeld import bragg_curve
from dosegrad.plot.layers import axis_doses, layer_weights
from dosegrad.plot.machine_curves import _distal_points, analytic_twin


def test_layer_weights_add_up(planned):
    plan = planned.plan
    sums = [layer_weights(plan, beam)[1].sum() for beam in range(2)]
    assert sum(sums) == pytest.approx(plan.weights.sum(), rel=1e-12)
    energies, _ = layer_weights(plan, 0)
    assert (np.diff(energies) > 0).all()


def test_dose_along_the_axis_is_that_of_the_field(planned):
    """With equal weights the layers add up to the field; both fields to the plan's dose."""
    found = [
        axis_doses(planned.patient, planned.plan, planned.dose, beam=b, target="Target")
        for b in range(2)
    ]
    for doses in found:
        np.testing.assert_allclose(200.0 * doses.layers.sum(axis=0), doses.in_plan, rtol=1e-9)
        # the plan's own grid is coarser and rounds the peaks off
        assert (doses.in_plan <= doses.all_fields + 0.15 * doses.all_fields.max()).all()
    along_y, along_x = found
    grid = planned.patient.ct.grid
    assert along_y.depths[-1] == pytest.approx(grid.shape[1] * grid.spacing[1], abs=1.0)
    assert along_x.depths[-1] == pytest.approx(grid.shape[2] * grid.spacing[2], abs=1.0)
    assert along_y.depths[along_y.in_target][[0, -1]] == pytest.approx([60.0, 90.0], abs=1.5)


def test_flat_weights_make_a_plateau(planned):
    doses = axis_doses(planned.patient, planned.plan, planned.dose, beam=0, target="Target")
    weights = doses.flat_weights()
    assert (weights >= 0).all()
    plateau = (weights @ doses.layers)[doses.in_target]
    assert plateau.mean() == pytest.approx(1.0, abs=0.02)
    assert plateau.std() < 0.1


def test_analytic_twin_has_the_range_and_width_of_its_machine():
    data = load_machine("generic-protons").at_energy(70.0)
    ours, theirs = (_distal_points(data.depths, c) for c in (data.dose, analytic_twin(data)))
    assert theirs == pytest.approx(ours, abs=0.03)


def test_analytic_twin_of_an_analytic_curve_is_that_curve(toy_machine):
    depths = np.linspace(0.0, 180.0, 1801)
    curve = bragg_curve(depths, mean_range=150.0, range_std=1.8)
    one = toy_machine.data[0]
    data = replace(
        one, depths=depths, dose=curve, sigmas=np.zeros((1, 1801)), weights=np.ones((1, 1801)),
        let=np.empty(0),
    )  # fmt: skip
    np.testing.assert_allclose(analytic_twin(data), curve, atol=0.02 * curve.max())


def test_a_curve_without_fall_off_has_no_twin(toy_machine):
    one = toy_machine.data[0]
    cut = replace(one, dose=np.linspace(1.0, 2.0, one.depths.size))
    assert not analytic_twin(cut).any()
