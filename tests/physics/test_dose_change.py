"""Predicted dose changes against recomputation: half slabs, a swollen and a shrunken body."""

from dataclasses import replace

import numpy as np
import pytest
from pytest import approx
from scipy.special import ndtr

from dosegrad import Patient, Plan, compute_dose, load_machine, prepare_dose_change
from dosegrad import objectives as obj
from dosegrad.dose_change.range_map import range_aware
from dosegrad.engines import Yoda
from dosegrad.engines.yoda.energy_grid import BeamletPaths, EnergyGrid
from dosegrad.engines.yoda.fermi_eyges import propagate
from dosegrad.engines.yoda.splitting import split_on_rings
from dosegrad.patient.calibration import Calibration
from dosegrad.physics.materials import MATERIALS, WATER

HUS = (-1000.0, -600.0, -200.0, 200.0, 600.0, 1000.0)
MACHINE = load_machine("research-protons", energy_std=1.0, spot_sigma=3.0)


@pytest.fixture(scope="module")
def slab_changes():
    """Planned, true, linear and step-wise energy deeper than 6 cm behind a slab at 2 to 3 cm.

    Half of a 100 MeV beam crosses the slab: the response is the mean of both halves.
    """
    tissue = Calibration.of("schneider-water").tissue(np.array(HUS))
    names = [Calibration.of("schneider-water").materials[int(i)] for i in tissue.material]
    materials = [WATER, *(MATERIALS[name] for name in dict.fromkeys(names))]
    # The adjoint must be open to where a changed step moves the spectrum.
    grid = EnergyGrid(margin=30).prepare(materials, energy=100.0, energy_std=1.0)
    flat = np.ones((1, 100))
    planned = BeamletPaths(np.zeros((1, 100)), flat, flat)
    deep = (np.arange(100) >= 60) * flat
    gradients = {"energy_lost": deep, "energy_absorbed": -0.4 * deep}
    transport = grid.solve(planned, keep_states=True)
    adjoint = grid.pull_back(transport, **gradients)

    def response(solved):
        return float(sum((g * getattr(solved, name)).sum() for name, g in gradients.items()))

    rows = []
    for name, density in zip(names, tissue.density, strict=True):
        material, densities = np.zeros((1, 100), int), flat.copy()
        material[0, 20:30] = materials.index(MATERIALS[name])
        densities[0, 20:30] = density
        changed = BeamletPaths(material, densities, flat)
        linear = float((adjoint.by_density * (densities - 1.0)).sum())
        steps = float(grid.step_changes(transport, adjoint, changed)[0, 20:30].sum())
        rows.append((response(transport), response(grid.solve(changed)), linear, steps))
    return np.array(rows).T


def test_half_slab_by_the_adjoint(slab_changes):
    """2.0 % with step differences, 0.5 % with the range-aware map; the paper reports 2.2 %."""
    planned, true, linear, steps = slab_changes
    total = planned + 0.5 * (true - planned)
    mapped, used = range_aware(planned, steps)
    errors = [0.5 * (c - (true - planned)) / total for c in (linear, steps, mapped)]
    for name, error in zip(("linear", "steps", "range-aware"), errors, strict=True):
        print(f"half slab, {name}: {100 * np.abs(error).max():.2f} %")
    assert used.all()
    assert np.abs(errors[1]).max() <= 0.02
    assert np.abs(errors[2]).max() <= 0.005


class HalfSlab:
    """61 beamlets of a 100 MeV spot; those beside its axis cross a slab 2 to 3 cm deep.

    The response is the energy left deeper than 6 cm and within 8 mm of the axis along x and y.
    """

    def __init__(self, materials):
        # The adjoint must be open to where a changed step moves the spectrum.
        self.grid = EnergyGrid(margin=30).prepare(materials, energy=100.0, energy_std=1.0)
        spot = split_on_rings().turned(7.0)
        self.places = 3.0 * np.stack([spot.x, spot.y], axis=1)
        self.weight = spot.weight[:, None]
        self.initial = (3.0 * spot.spread)[:, None] ** 2 * np.array([1.0, 0.0, 0.0])
        self.crosses = spot.x > 0
        self.deep = np.arange(100) >= 60

    def paths(self, material=0, density=1.0):
        """Water, with a slab for the beamlets that cross it."""
        shape = (self.crosses.size, 100)
        kinds, densities = np.zeros(shape, int), np.ones(shape)
        kinds[self.crosses, 20:30], densities[self.crosses, 20:30] = material, density
        return BeamletPaths(kinds, densities, np.ones(shape))

    def inside(self, variance):
        """Lateral share (beamlets, steps) within the region, and its slope by the variance."""
        sigma = np.sqrt(variance)
        shares, slopes = [], []
        for place in self.places.T:
            ends = [(8.0 + sign * place[:, None]) / sigma for sign in (1.0, -1.0)]
            shares.append(sum(ndtr(end) for end in ends) - 1.0)
            density = sum(end * np.exp(-0.5 * end**2) for end in ends) / np.sqrt(2.0 * np.pi)
            slopes.append(-0.5 * density / variance)
        return shares[0] * shares[1], shares[0] * slopes[1] + slopes[0] * shares[1]

    def solve(self, paths):
        """Transport, pullback of the moments, what is left in each step, share and its slope."""
        transport = self.grid.solve(paths, keep_states=True)
        moments, pull = propagate(self.initial, paths.length, transport.scattering_power)
        left = self.deep * self.weight * transport.deposit(0.6)
        return transport, pull, left, *self.inside(moments.mid_variance)

    def response(self, paths):
        """Of beamlets (61,)."""
        *_, left, share, _ = self.solve(paths)
        return (left * share).sum(axis=1)

    def adjoint(self, paths):
        """Responses of beamlets, their transport, and its adjoint."""
        transport, pull, left, share, slope = self.solve(paths)
        counted = self.deep * self.weight * share
        by_power = pull(np.zeros((len(share), 101)), left * slope).scattering_power
        adjoint = self.grid.pull_back(
            transport,
            energy_lost=counted, energy_absorbed=-0.4 * counted, scattering_power=by_power,
        )  # fmt: skip
        return (left * share).sum(axis=1), transport, adjoint


def test_half_slab_in_three_dimensions_by_the_adjoint():
    """2.0 % with step differences, 0.5 % with the range-aware map; the paper reports 2.2 %."""
    tissue = Calibration.of("schneider-water").tissue(np.array(HUS))
    names = [Calibration.of("schneider-water").materials[int(i)] for i in tissue.material]
    materials = [WATER, *(MATERIALS[name] for name in dict.fromkeys(names))]
    case = HalfSlab(materials)
    planned, transport, adjoint = case.adjoint(case.paths())
    crossing, total = planned[case.crosses].sum(), planned.sum()
    for hu, name, density in zip(HUS, names, tissue.density, strict=True):
        changed = case.paths(materials.index(MATERIALS[name]), density)
        today = case.response(changed).sum()
        steps = case.grid.step_changes(transport, adjoint, changed)[case.crosses, 20:30].sum()
        mapped, used = range_aware(crossing, steps)
        errors = [100.0 * (total + c - today) / today for c in (steps, float(mapped))]
        print(f"{hu:+.0f} HU: true {100 * (today / total - 1):+.2f} %, step differences "
              f"{errors[0]:+.2f} %, range-aware {errors[1]:+.2f} %")  # fmt: skip
        assert used
        assert abs(errors[0]) <= 2.0
        assert abs(errors[1]) <= 0.5


def tank(hu=0.0):
    values = np.zeros((50, 50, 50))
    values[25:, 10:15] = hu
    deep = np.zeros(values.shape, bool)
    deep[:, 30:] = True
    return Patient.from_arrays(
        values, spacing=(2.0, 2.0, 2.0), origin=(-49.0, -49.0, -49.0),
        structures={"Deep": deep}, calibration="schneider-water",
    )  # fmt: skip


def spot(gantry=0.0, energy=100.0, x=0.0, isocentre=(0.0, 0.0, 0.0), machine=MACHINE):
    return Plan.from_spots(
        machine, gantry=gantry, isocentre=isocentre, x=np.atleast_1d(x), y=0.0, energy=energy,
        weight=100.0,
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["range-frame", "wet"])
def test_half_slab_in_three_dimensions(mode):
    engine = Yoda(mode=mode, splitting=split_on_rings())
    response = obj.MeanDose().on("Deep")
    predict = prepare_dose_change(tank(), spot(), response=response, engine=engine)
    planned = predict.planned_value
    for hu in HUS:
        changed = tank(hu)
        found = predict(changed.ct)
        dose = compute_dose(changed, spot(), engine=engine)
        true = dose.mean(changed.structure("Deep")) - planned
        print(f"{mode}, {hu:+.0f} HU: {100 * (found.value - true) / (planned + true):+.3f} %")
        assert found.value == approx(true, abs=0.005 * (planned + true))


def ball(radius):
    """A water ball with a target on the far side and a structure behind it."""
    z, y, x = np.meshgrid(*(3.0 * (np.arange(36) - 17.5) for _ in range(3)), indexing="ij")
    distance = np.sqrt(x**2 + y**2 + z**2)
    hu = -1000.0 + 1030.0 * np.clip((radius - distance) / 3.0 + 0.5, 0.0, 1.0)
    masks = {
        "Target": x**2 + (y + 5.0) ** 2 + z**2 < 12.0**2,
        "Behind": (x**2 + z**2 < 12.0**2) & (y > 10.0) & (y < 24.0),
        "Body": distance < radius,
    }
    roles = {"Target": "target", "Body": "external"}
    return Patient.from_arrays(
        hu, spacing=(3.0, 3.0, 3.0), origin=(-52.5, -52.5, -52.5), structures=masks, roles=roles
    )


@pytest.fixture(scope="module")
def followed():
    plan = spot(15.0, 85.0, x=[-8.0, -2.0, 4.0, 10.0])
    engine = Yoda(splitting=split_on_rings((1, 6, 6)))
    response = obj.MeanDose().on("Behind")
    return (
        plan,
        engine,
        prepare_dose_change(
            ball(45.0), plan, response=response, engine=engine, structures=["Target"]
        ),
    )


@pytest.mark.parametrize("radius", [42.0, 44.0, 46.0, 48.0])
def test_a_body_that_grows_or_shrinks(followed, radius):
    """Mean doses as recomputed, though nobody contours the CT of the day."""
    plan, engine, predict = followed
    found = predict(ball(radius).ct)
    planned, today = (compute_dose(ball(r), plan, engine=engine) for r in (45.0, radius))
    for name, value, spread in (
        ("Behind", found.value, found.uncertainty),
        ("Target", found.by_structure["Target"], found.uncertainty_by_structure["Target"]),
    ):
        structure = ball(45.0).structure(name)
        true = today.mean(structure) - planned.mean(structure)
        assert value == approx(true, abs=max(0.1 * abs(true), 0.003 * planned.mean(structure)))
        assert abs(value - true) < 2.0 * spread


def test_no_change_is_no_change(followed):
    _, _, predict = followed
    found = predict(ball(45.0).ct)
    assert (found.value, found.uncertainty, found.linear) == (0.0, 0.0, 0.0)
    assert found.by_structure["Target"] == 0.0


def test_small_changes_follow_the_adjoint(followed):
    """Doubling a small change doubles it, and the linear term is all of it."""
    plan, _, _ = followed
    patient = ball(45.0)
    engine = Yoda(mode="wet", splitting=split_on_rings((1, 6, 6)))
    predict = prepare_dose_change(
        patient, plan, response=obj.MeanDose().on("Behind"), engine=engine
    )
    medium = predict.medium
    for size in (1e-4, 1e-5):
        moved = replace(medium, density=medium.density * (1.0 + size))
        found = predict.predict_in(moved)
        assert found.value == approx(found.linear, rel=30 * size)
