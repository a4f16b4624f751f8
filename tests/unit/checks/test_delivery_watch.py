"""A delivery followed by layers predicts what the whole recomputation finds."""

import numpy as np
import pytest

import dosegrad as dg
from dosegrad.beams.deliveries import Delivery
from dosegrad.checks.deliveries import check_delivery
from dosegrad.checks.delivery_watch import DeliveryWatch
from dosegrad.checks.spot_deviations import planned_spots
from dosegrad.errors import PlanError


@pytest.fixture(scope="module")
def case():
    patient = dg.phantom("impt-2d")
    machine = dg.load_machine("generic-protons")
    beams = dg.steer(patient, machine, target="PTV", gantry=[60, 300], spot_spacing=12.0)
    rng = np.random.default_rng(3)
    plan = dg.Plan(beams, rng.uniform(1.0, 5.0, beams.n_columns), fractions=30)
    return patient, plan, DeliveryWatch(patient, plan)


def layers_of(spots):
    keys = np.column_stack([spots["beam"], spots["layer"]])
    return [spots[(keys == key).all(axis=1)] for key in np.unique(keys, axis=0)]


def strange_spot(layer):
    extra = layer[:1].copy()
    extra["x"], extra["mu"] = 300.0, 50.0
    return extra


def test_spots_are_cut_into_layers_by_energy_too(case):
    _, plan, watch = case
    layers = layers_of(planned_spots(plan))
    spots = np.concatenate(layers)
    spots["layer"] = 99  # a recorder that does not count
    spots["energy"] += np.random.default_rng(1).normal(0.0, 0.01, spots.size)
    assert [part.size for part in watch.split(spots)] == [layer.size for layer in layers]
    assert [part.size for part in watch.split(spots[:0])] == [0]


def test_a_perfect_layer_changes_nothing(case):
    _, plan, watch = case
    found = watch.layer(layers_of(planned_spots(plan))[0])
    assert found.flags == ()
    assert found.mu_delivered == pytest.approx(found.mu_planned)
    assert set(found.dose_changes.values()) == {0.0}


def test_the_sum_over_layers_is_the_change_of_the_whole_dose(case):
    patient, plan, _ = case
    watch = DeliveryWatch(patient, plan)
    rng = np.random.default_rng(4)
    spots = planned_spots(plan)
    spots["x"] += 1.0 + rng.normal(0, 0.3, spots.size)
    spots["mu"] *= rng.uniform(0.95, 1.1, spots.size)
    found = [watch.layer(layer) for layer in layers_of(spots)]
    whole = check_delivery(patient, plan, Delivery(spots)).dose_differences
    for name in ("PTV", "Cord"):
        expected = whole[name]["mean"] / plan.fractions
        # two forms of the same pencil beam; depth on the spot's ray against on the voxel's
        assert found[-1].total_changes[name] == pytest.approx(expected, rel=0.05, abs=2e-4)
    assert max(change.seconds for change in found[1:]) < 0.5


def test_deviations_are_flagged_as_they_come(case):
    _, plan, watch = case
    layer = layers_of(planned_spots(plan))[2]
    far = layer.copy()
    far["y"][0] += 3.0
    assert watch.layer(far).flags == ("a spot is 3.00 mm off",)
    short = watch.layer(layer[1:])
    assert short.flags == ("1 spots missing",)
    assert "OUT OF TOLERANCE" in str(short)
    (flag,) = watch.layer(np.concatenate([layer, strange_spot(layer)])).flags
    assert flag == "1 spots not planned, 50 MU that the change of the dose lacks"
    heavy = layer.copy()
    heavy["mu"] *= 1.5
    assert "wrong meterset" in watch.layer(heavy).flags[0]


def test_layers_of_other_plans_are_refused(case):
    _, plan, watch = case
    layer = layers_of(planned_spots(plan))[0]
    layer["beam"] = 9
    with pytest.raises(PlanError, match=r"names beam 9, the plan has 1, 2"):
        watch.layer(layer)
    with pytest.raises(PlanError, match="without any"):
        watch.layer(layer[:0])
