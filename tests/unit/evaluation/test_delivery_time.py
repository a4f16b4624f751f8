"""Delivery time: each part by hand."""

import numpy as np
import pytest

from dosegrad.errors import PlanError, SettingsError, UnknownNameError
from dosegrad.evaluation.delivery_time import DELIVERY_PRESETS, DeliveryModel, delivery_time
from dosegrad.plan import Plan


def plan(machine, weight=10.0, fractions=2):
    """Two layers in one field, one layer in another."""
    return Plan.from_spots(
        machine,
        gantry=[0, 0, 0, 90, 90],
        isocentre=(0.0, 0.0, 0.0),
        x=[0.0, 10.0, 0.0, 0.0, 0.0],
        y=[0.0, 0.0, 0.0, 0.0, 30.0],
        energy=[100.0, 100.0, 80.0, 120.0, 120.0],
        weight=weight,
        fractions=fractions,
    )


def test_parts_add_up(toy_machine):
    model = DeliveryModel(
        *(20.0, 1.0, 3.0, 0.01), speed_x=1000.0, speed_y=2000.0, rate=5.0, source="here"
    )
    found = delivery_time(plan(toy_machine), model=model)
    assert (found.n_beams, found.n_layers, found.n_spots) == (2, 3, 5)
    assert found.beams == 40.0
    assert found.layers == 1.0 + 3.0  # 100 down to 80, then up to 120
    assert found.spots == pytest.approx(0.05)
    assert found.scanning == pytest.approx(0.01 + 0.015)
    assert found.irradiation == pytest.approx(5 * 10.0 / 2 / 5.0)
    assert found.total == pytest.approx(40.0 + 4.0 + 0.05 + 0.025 + 5.0)
    assert str(found).startswith("49 s a fraction: 2 fields 40 s, 3 layers 4 s, 5 spots")


def test_spots_without_weight_take_no_time(toy_machine):
    found = delivery_time(plan(toy_machine, weight=[1.0, 0.0, 0.0, 0.0, 0.0]), model="cyclotron")
    assert (found.n_beams, found.n_layers, found.n_spots) == (1, 1, 1)
    assert found.layers == found.scanning == 0.0


def test_every_preset_says_its_source():
    assert all(model.source for model in DELIVERY_PRESETS.values())


def test_what_cannot_be_is_refused(toy_machine):
    with pytest.raises(UnknownNameError, match="synchrotron"):
        delivery_time(plan(toy_machine), model="synchroton")
    with pytest.raises(PlanError, match="nothing is delivered"):
        delivery_time(plan(toy_machine, weight=np.zeros(5)))
    with pytest.raises(SettingsError, match="positive"):
        DeliveryModel(rate=0.0)
