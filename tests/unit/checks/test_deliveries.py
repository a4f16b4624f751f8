"""Delivered against planned spots: what is flagged, and what the dose becomes."""

import time

import numpy as np
import pytest

import dosegrad as dg
from dosegrad.beams.beam import Beams
from dosegrad.beams.deliveries import DELIVERED_DTYPE, Delivery, match_spots
from dosegrad.checks.deliveries import check_delivery
from dosegrad.checks.likely_causes import likely_causes
from dosegrad.checks.record_notes import record_notes
from dosegrad.checks.spot_deviations import (
    DeliveryTolerances,
    compare_spots,
    delivered_plan,
    not_in_plan,
    planned_spots,
)
from dosegrad.errors import BeamError, PlanError, SettingsError


@pytest.fixture(scope="module")
def patient():
    return dg.phantom("water-tank")


@pytest.fixture(scope="module")
def plan():
    machine = dg.load_machine("generic-protons")
    x, y = np.meshgrid(np.arange(-15.0, 16.0, 5.0), np.arange(-10.0, 11.0, 5.0))
    energies = machine.energies[[10, 12]]
    return dg.Plan.from_spots(
        machine,
        gantry=np.repeat([0.0, 90.0], x.size),
        isocentre=(0.0, 0.0, 0.0),
        x=np.tile(x.ravel(), 2),
        y=np.tile(y.ravel(), 2),
        energy=np.repeat(energies, x.size),
        weight=np.linspace(50.0, 100.0, 2 * x.size),
        fractions=5,
    )


def delivery(plan, **changes):
    spots = planned_spots(plan)
    for name, change in changes.items():
        spots[name] += change
    return Delivery(spots, "test")


def test_planned_spots_are_those_of_one_fraction(plan):
    spots = planned_spots(plan)
    np.testing.assert_allclose(spots["mu"] * plan.fractions, plan.weights)  # 1 MU is 10^6 particles
    assert np.unique(spots["beam"]).tolist() == [1, 2]
    assert np.unique(spots["layer"]).tolist() == [0]


def test_a_perfect_delivery_is_the_plan(plan):
    spots = compare_spots(plan, delivery(plan))
    assert spots.flags(DeliveryTolerances()) == ()
    assert spots.distances.max() == 0
    made = delivered_plan(plan, spots)
    np.testing.assert_allclose(made.weights, plan.weights)
    np.testing.assert_array_equal(made.beams.columns, plan.beams.columns)


def test_paintings_in_any_number_add_up(plan):
    once = planned_spots(plan)
    twice = np.concatenate([once, once])
    twice["mu"] /= 2
    rng = np.random.default_rng(1)
    for spots in (twice, rng.permutation(twice)):
        found = compare_spots(plan, Delivery(spots))
        np.testing.assert_allclose(found.mu_delivered, once["mu"])
        assert found.missing.size == 0


@pytest.mark.parametrize("shift", [0.0, 3.0, 5.0])
def test_the_order_of_rows_does_not_matter(plan, shift):
    """Spots are 5 mm apart, so that neighbours taken for each other would be 5 mm off."""
    once = planned_spots(plan)
    once["x"] += shift
    halves = np.repeat(once, 2)
    halves["mu"] /= 2
    swapped = once.copy()
    swapped[[7, 8]] = swapped[[8, 7]]
    for spots in (halves, swapped, np.random.default_rng(3).permutation(once)):
        found = compare_spots(plan, Delivery(spots))
        np.testing.assert_allclose(found.shifts, np.tile([shift, 0.0], (spots.size, 1)), atol=1e-9)
        np.testing.assert_allclose(found.mu_delivered, once["mu"])
        assert likely_causes(found, plan.fractions) == ()


def test_a_spot_in_two_parts_beside_a_missing_one_is_told_as_such(plan):
    spots = planned_spots(plan)
    spots = np.concatenate([spots[:1], spots[:20], spots[21:]])  # spot 0 twice, 20 never
    found = compare_spots(plan, Delivery(spots))
    assert found.missing.tolist() == [20]
    assert found.largest_distance == 0.0


def test_a_hot_spot_in_few_voxels_is_flagged(patient, plan):
    """300 MU where nothing was planned: too few voxels for a pass rate of 95 %."""
    spots = planned_spots(plan)
    extra = spots[:1].copy()
    extra["x"], extra["energy"], extra["mu"] = 60.0, plan.beams.particles.energies[0], 300.0
    found = check_delivery(patient, plan, Delivery(np.concatenate([spots, extra])))
    excess = found.doses.excess
    assert excess.planned < 0.1 * excess.delivered
    assert (
        found.gamma.n_evaluated > check_delivery(patient, plan, Delivery(spots)).gamma.n_evaluated
    )
    assert found.gamma.pass_rate < 1.0
    assert any("was planned nearby" in flag for flag in found.flags)
    assert f"highest dose {found.delivered_dose.array.max():.2f} Gy" in str(found)
    assert found.to_json()["excess_percent"] == pytest.approx(excess.percent)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("beam", 7, "no beam 7 in the plan"), ("energy", 71.234, "no data of the machine at 71.234")],
)
def test_spots_that_the_dose_lacks_are_told(patient, plan, name, value, words):
    spots = planned_spots(plan)
    extra = spots[:2].copy()
    extra[name], extra["mu"] = value, 150.0
    found = check_delivery(patient, plan, Delivery(np.concatenate([spots, extra])))
    (note,) = found.warnings
    assert "2 spots, 300 MU, are not in the delivered dose" in note
    assert words in note
    assert note in str(found)
    content = found.to_json()
    assert (content["n_not_in_dose"], content["meterset_not_in_dose"]) == (2, 300.0)


def test_recorded_energies_off_the_planned_ones_are_told(plan):
    spots = planned_spots(plan)
    assert record_notes(plan, compare_spots(plan, Delivery(spots))) == ()
    spots["energy"] += 0.4
    (note,) = record_notes(plan, compare_spots(plan, Delivery(spots)))
    assert "up to 0.40 MeV from the planned ones" in note
    spots["x"][0] = 300.0  # not planned, but of a planned energy: that goes into the dose
    found = compare_spots(plan, Delivery(spots))
    assert not_in_plan(plan, found).size == 0
    made = delivered_plan(plan, found)
    assert made.weights.sum() == pytest.approx(plan.weights.sum())


def test_layers_that_hold_several_energies_are_told():
    machine = dg.load_machine("generic-protons")
    two = dg.Plan.from_spots(
        machine, gantry=0.0, isocentre=(0.0, 0.0, 0.0), x=[0.0, 0.0], y=[0.0, 5.0],
        energy=machine.energies[[10, 12]], weight=[10.0, 10.0],
    )  # fmt: skip
    spots = planned_spots(two)
    spots["layer"] += 1  # they may count from 1
    assert record_notes(two, compare_spots(two, Delivery(spots))) == ()
    spots["layer"] = 99
    (note,) = record_notes(two, compare_spots(two, Delivery(spots)))
    assert "layer 99 of beam 1: 2" in note


@pytest.mark.parametrize("values", [{"mu": -1.0}, {"range": np.nan}, {"pass_rate": 95.0}])
def test_impossible_tolerances_are_refused(values):
    with pytest.raises(SettingsError, match="give"):
        DeliveryTolerances(**values)


def test_shifts_and_metersets_are_told_and_go_into_the_plan(plan):
    rng = np.random.default_rng(2)
    off = rng.normal(0, 0.3, planned_spots(plan).size)
    spots = compare_spots(plan, delivery(plan, x=off, mu=0.5))
    np.testing.assert_allclose(spots.shifts[:, 0], off, atol=1e-12)
    np.testing.assert_allclose(spots.mu_differences, 0.5)
    made = delivered_plan(plan, spots)
    np.testing.assert_allclose(made.beams.columns["x"], plan.beams.columns["x"] + off)
    np.testing.assert_allclose(made.weights, plan.weights + 0.5 * plan.fractions)


def test_every_kind_of_deviation_is_flagged(plan):
    within = DeliveryTolerances()
    n = planned_spots(plan).size
    one_far = np.zeros(n)
    one_far[7] = 2.5
    assert (
        "1 spots lie more than 2 mm off"
        in compare_spots(plan, delivery(plan, y=one_far)).flags(within)[0]
    )
    flags = compare_spots(plan, delivery(plan, x=1.2)).flags(within)
    assert len(flags) == 2  # one for each layer
    assert "1.20 mm off on average" in flags[0]
    (flag,) = compare_spots(plan, delivery(plan, mu=0.5)).flags(within)
    assert f"{n} spots got a meterset" in flag
    spots = planned_spots(plan)
    (flag,) = compare_spots(plan, Delivery(spots[:-3])).flags(within)
    assert flag == "3 planned spots were not delivered"
    extra = spots[:1].copy()
    extra["x"] = 300.0
    found = compare_spots(plan, Delivery(np.concatenate([spots, extra])))
    assert found.flags(within) == ("1 delivered spots were not planned",)
    assert delivered_plan(plan, found).beams.n_columns == n + 1


def test_small_metersets_may_be_off_by_more_than_their_share(plan):
    spots = planned_spots(plan)
    small = dg.Plan(plan.beams, np.full(spots.size, 0.01), fractions=1)
    assert compare_spots(small, delivery(small, mu=0.005)).flags(DeliveryTolerances()) == ()


def test_the_dose_of_a_shifted_delivery_is_shifted(patient, plan):
    near = check_delivery(patient, plan, delivery(plan, x=0.3))
    assert near.passed
    assert near.gamma.pass_rate == pytest.approx(1.0)
    far = check_delivery(patient, plan, delivery(plan, x=4.0, energy=1.0))
    assert not far.passed
    text = str(far)
    assert "ranges are up to" in text
    assert any(flag.startswith("gamma") for flag in far.flags)
    assert far.to_json()["largest_deviation_mm"] == pytest.approx(4.0)


def test_less_meterset_is_less_dose(patient, plan):
    spots = planned_spots(plan)
    spots["mu"] *= 0.97
    found = check_delivery(patient, plan, Delivery(spots))
    planned = found.planned_dose.mean(patient.external)
    assert found.dose_differences["Tank"]["mean"] == pytest.approx(-0.03 * planned, rel=1e-6)


def test_records_of_another_plan_and_impossible_spots_are_refused(plan):
    spots = planned_spots(plan)
    spots["beam"] += 10
    with pytest.raises(PlanError, match="no delivered spot belongs"):
        compare_spots(plan, Delivery(spots))
    for name, value in (("mu", -1.0), ("x", np.nan), ("energy", 0.0)):
        spots = planned_spots(plan)
        spots[name][3] = value
        with pytest.raises(BeamError):
            Delivery(spots)
    with pytest.raises(BeamError, match="no delivered spot"):
        Delivery(spots[:0])


def test_every_beam_has_its_share_of_the_change(patient, plan):
    spots = planned_spots(plan)
    spots["mu"][spots["beam"] == 2] *= 1.05
    found = check_delivery(patient, plan, Delivery(spots))
    first, second = found.doses.beams
    assert (first.number, second.number) == (1, 2)
    assert first.largest_change == pytest.approx(0.0, abs=1e-12)
    assert first.mean_changes["Tank"] == pytest.approx(0.0, abs=1e-12)
    total = found.dose_differences["Tank"]["mean"]
    assert second.mean_changes["Tank"] == pytest.approx(total, rel=1e-9)
    assert found.to_json()["beams"][1]["mean_changes_gy"]["Tank"] == pytest.approx(total)


def test_derivatives_predict_what_each_beam_changes():
    patient = dg.phantom("impt-2d")
    machine = dg.load_machine("generic-protons")
    beams = dg.steer(patient, machine, target="PTV", gantry=[60, 300], spot_spacing=12.0)
    course = dg.Plan(beams, np.full(beams.n_columns, 60.0), fractions=30)
    spots = planned_spots(course)
    rng = np.random.default_rng(5)
    spots["x"] += 1.0
    spots["y"] += rng.normal(0.0, 0.5, spots.size)
    spots["mu"] *= rng.normal(1.02, 0.01, spots.size)
    for beam in check_delivery(patient, course, Delivery(spots)).doses.beams:
        assert set(beam.predicted) == {"PTV", "Cord", "Brainstem"}
        largest = beam.mean_changes["PTV"]  # found: 0.4 % and 0.05 %
        for name, value in beam.predicted.items():
            assert value == pytest.approx(beam.mean_changes[name], abs=0.02 * abs(largest))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {"x": s["x"] / 10, "y": s["y"] / 10}, "in cm"),
        (lambda s: {"x": s["y"], "y": s["x"]}, "with x and y exchanged"),
        (lambda s: {"x": -s["x"]}, "with x of the other sign"),
        (lambda s: {"mu": 5 * s["mu"]}, "of the whole course"),
    ],
)
def test_a_record_in_another_unit_or_frame_is_told(plan, change, words):
    columns = plan.beams.columns.copy()
    columns["x"] += 4.0  # so that no mirror image is the plan
    course = dg.Plan(
        Beams(plan.beams.machine, plan.beams.fields, columns), plan.weights, fractions=5
    )
    spots = planned_spots(course)
    for name, values in change(spots.copy()).items():
        spots[name] = values
    (note,) = likely_causes(compare_spots(course, Delivery(spots)), course.fractions)
    assert words in note


def test_a_record_that_fits_is_not_doubted(plan):
    assert likely_causes(compare_spots(plan, delivery(plan, x=0.5)), plan.fractions) == ()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("energy", 1.5e5, "check its unit"), ("x", 5e4, "at most 1000 mm"), ("mu", 1e300, "MU")],
)
def test_values_far_out_of_range_are_refused(plan, name, value, words):
    spots = planned_spots(plan)
    spots[name][2] = value
    with pytest.raises(BeamError, match=words):
        Delivery(spots)


def test_large_layers_in_any_order_are_matched_at_once():
    """Least squares of so many rows would take minutes; nearest places share them out."""
    n = 60
    x, y = np.meshgrid(np.arange(n) * 4.0, np.arange(n) * 4.0)
    planned = np.zeros(n * n, dtype=DELIVERED_DTYPE)
    planned["beam"], planned["energy"], planned["mu"] = 1, 100.0, 1.0
    planned["x"], planned["y"] = x.ravel(), y.ravel()
    rng = np.random.default_rng(1)
    delivered = rng.permutation(np.repeat(planned, 2))
    delivered["x"] += rng.normal(0.0, 0.3, delivered.size)
    start = time.process_time()
    found, missing = match_spots(planned, delivered)
    assert time.process_time() - start < 2.0  # found: 0.02 s
    assert np.abs(delivered["x"] - planned["x"][found]).max() < 2.0
    assert missing.size == 0
