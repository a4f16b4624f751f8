"""Where the body ends in a CT that nobody has contoured: lung that opens, skin that moves."""

import numpy as np
import pytest
from pytest import approx
from scipy.ndimage import gaussian_filter

from dosegrad import CT, Patient, Plan, compute_dose, load_machine, prepare_dose_change
from dosegrad import objectives as obj
from dosegrad.dose_change.anatomy import body_today
from dosegrad.engines import Yoda


def trunk(lung=None, *, opening=20.0):
    """A block of tissue behind 15 mm of air; ``lung`` HU in 20 mm below its open skin."""
    shape, spacing = (24, 36, 22), (3.0, 2.5, 3.5)
    values = np.full(shape, 30.0)
    values[:, :6] = -1000.0
    body, deep = np.zeros((2, *shape), dtype=bool)
    body[:, 6:], deep[6:18, 22:30, 5:17] = True, True
    if lung is not None:
        # Slices and columns of 20 mm, 20 mm deep.
        half = round(0.5 * opening / 3.0), round(0.5 * opening / 3.5)
        values[12 - half[0] : 12 + half[0], 6:14, 11 - half[1] : 11 + half[1]] = lung
    return Patient.from_arrays(
        values, spacing=spacing, origin=(-36.75, -43.75, -34.5),
        structures={"Deep": deep, "Body": body}, roles={"Body": "external"},
    )  # fmt: skip


@pytest.mark.parametrize("lung", [-850.0, -700.0, -550.0])
def test_lung_that_opens_to_the_outside_is_lung(lung):
    planned, today = trunk(), trunk(lung)
    assert np.array_equal(body_today(planned, today.ct), today.body_mask())


def test_air_that_opens_to_the_outside_is_air():
    planned, today = trunk(), trunk(-990.0)
    assert np.array_equal(body_today(planned, today.ct), today.body_mask() & (today.ct.hu > -900))


def test_lung_at_the_border_of_the_ct_goes_on_beyond_it():
    planned = trunk()
    hu = planned.ct.hu.copy()
    hu[:3, 6:14, :3] = -700.0
    today = CT(planned.ct.grid, hu)
    assert np.array_equal(body_today(planned, today), planned.body_mask())


def followed(energy):
    """Recomputed changes of a mean dose behind 20 mm of lung and of air, and those foretold."""
    machine = load_machine("research-protons", energy_std=0.8, spot_sigma=3.0)
    plan = Plan.from_spots(
        machine, gantry=0.0, isocentre=(0.0, 0.0, 0.0), x=[-2.0, 2.0], y=0.0, energy=energy,
        weight=100.0,
    )  # fmt: skip
    planned, engine = trunk(), Yoda(mode="wet")
    response = obj.MeanDose().on("Deep")
    predict = prepare_dose_change(planned, plan, response=response, engine=engine)

    def mean(patient):
        dose = compute_dose(patient, plan, engine=engine, grid=predict.grid)
        return dose.mean(planned.structure("Deep"))

    true = [mean(trunk(hu)) - mean(planned) for hu in (-700.0, -1000.0)]
    return mean(planned), true, [predict(trunk(hu).ct).value for hu in (-700.0, -1000.0)]


def test_dose_behind_a_lung_that_opens_is_foretold():
    """For air in its place the change has the other sign."""
    planned, true, found = followed(80.0)
    assert true[0] > 0.05 * planned
    assert true[1] < -0.05 * planned
    assert found == approx(true, rel=0.05)


def test_beams_may_reach_far_behind_their_planned_range():
    """By 14 and by 20 mm, to where next to no dose was planned."""
    planned, true, found = followed(70.0)
    assert true[1] > true[0] > 15.0 * planned
    assert found == approx(true, rel=0.02)


def ball(radius, spacing, blur):
    """A ball of tissue whose rim is filled in part, and blurred (voxels)."""
    shape = [int(np.ceil(56.0 / s)) for s in spacing]
    places = np.meshgrid(
        *(s * (np.arange(n) - 0.5 * (n - 1)) for n, s in zip(shape, spacing, strict=True)),
        indexing="ij",
    )
    distance = np.sqrt(sum(p**2 for p in places))
    filled = np.clip((radius - distance) / max(spacing) + 0.5, 0.0, 1.0)
    hu = -1000.0 + 1030.0 * gaussian_filter(filled, blur)
    body = {"Body": distance < 24.0}
    return Patient.from_arrays(hu, spacing=spacing, structures=body, roles={"Body": "external"})


@pytest.mark.parametrize("spacing", [(3.0, 3.0, 3.0), (2.0, 1.0, 1.2), (3.0, 0.9, 0.9)])
@pytest.mark.parametrize("blur", [0.0, 0.8])
@pytest.mark.parametrize("radius", [18.0, 21.0, 23.0])
def test_the_rim_of_a_body_that_shrank_is_no_lung(radius, blur, spacing):
    planned, today = ball(24.0, spacing, blur), ball(radius, spacing, blur)
    emptied = (planned.ct.hu > -500.0) & (today.ct.hu <= -500.0)
    assert emptied.any()
    assert not body_today(planned, today.ct)[emptied].any()
