"""Responses of beams: kernels against their twins, the engine's dose, and differences of it."""

from dataclasses import replace

import numpy as np
import pytest
from pytest import approx

from dosegrad import Patient, Plan, load_machine
from dosegrad.engines import Yoda
from dosegrad.engines.yoda import (
    _pull_kernels,
    _pull_reference,
    _response_kernels,
    pulled_scoring,
    scoring,
)
from dosegrad.engines.yoda import _response_reference as reference
from dosegrad.engines.yoda._scoring_arrays import Pencils, Profiles, Voxels
from dosegrad.engines.yoda._scoring_kernels import add_dose
from dosegrad.engines.yoda.response import trace_lines
from dosegrad.engines.yoda.response_builder import prepare_response
from dosegrad.engines.yoda.splitting import split_on_rings
from dosegrad.engines.yoda.spot_gradient import PARAMETERS, differentiate_spots

MACHINE = load_machine("research-protons", energy_std=0.8, spot_sigma=3.0, divergence=0.2, sad=2e3)


def medium(seed=1):
    """Bone and air in tissue, no two voxels alike."""
    rng = np.random.default_rng(seed)
    hu = rng.normal(0.0, 15.0, (14, 20, 17))
    hu[4:9, 3:6] = 600.0
    hu[:, 9:11, 4:8] = -700.0
    patient = Patient.from_arrays(hu, spacing=(3.0, 2.2, 2.6), origin=(-20.0, -20.0, -19.5))
    return patient.medium()


def beams():
    return Plan.from_spots(
        MACHINE, gantry=20.0, couch=10.0, isocentre=(0.0, 0.0, 0.0), x=[0.0, 3.0], y=[1.0, -2.0],
        energy=[58.0, 52.0], weight=1.0,
    ).beams  # fmt: skip


def gradient(grid, seed=2):
    values = np.zeros(grid.shape)
    values[4:11, 5:15, 4:13] = np.random.default_rng(seed).uniform(0.5, 1.5, (7, 10, 9))
    return values.ravel()


def engine(**options):
    chosen = {"mode": "wet", "splitting": split_on_rings((1, 6)), **options}
    return Yoda(**chosen)


@pytest.fixture(scope="module", params=[True, False], ids=["nuclear", "electromagnetic"])
def prepared(request):
    body = medium()
    goals = np.stack([gradient(body.grid), gradient(body.grid, 3) ** 2])
    chosen = engine(nuclear=request.param, dose_to="water" if request.param else "medium")
    weights = np.array([1.0, 0.6])
    return body, chosen, weights, goals, prepare_response(chosen, body, beams(), 0, weights, goals)


def kernel_arguments(prepared, moved=0.03):
    """Arguments of the kernels in an anatomy other than that planned."""
    body, *_, response = prepared
    part = response.parts[0]
    other = replace(body, density=body.density * (1.0 + moved))
    anatomy = response.observe(other)
    entries = trace_lines(anatomy.scene, part.lines)
    arguments = (anatomy.course, anatomy.media, response.bank, part.rays, entries)
    return arguments, part


def test_responses_equal_their_twin(prepared):
    arguments, part = kernel_arguments(prepared)
    found, expected = np.zeros((2, 2, 2))
    _response_kernels.respond(*arguments, part.lateral, part.most, found)
    reference.respond(*arguments, part.lateral, part.most, expected)
    assert np.abs(expected).min() > 0
    assert found == approx(expected, rel=1e-10)


def test_gradients_equal_their_twin(prepared):
    arguments, part = kernel_arguments(prepared)
    entries = arguments[-1]
    few = np.zeros_like(entries.mass)
    goal = np.array([1.0, -0.4])
    _response_kernels.pull_back(*arguments, part.lateral, part.most, goal, few)
    whole, shift = entries, 1e-5
    for b, e in ((0, 0), (0, 7), (3, 12), (9, 5)):
        sides = []
        for sign in (1.0, -1.0):
            mass = whole.mass.copy()
            mass[b, e] *= 1.0 + sign * shift
            out = np.zeros((2, 2))
            changed = (*arguments[:-1], whole._replace(mass=mass))
            reference.respond(*changed, part.lateral, part.most, out)
            sides.append(float((out @ goal).sum()))
        twin = (sides[0] - sides[1]) / (2.0 * shift * whole.mass[b, e])
        assert few[b, e] == approx(twin, rel=1e-5, abs=1e-8 * np.abs(few).max())


def test_surveys_and_classes_equal_their_twin(prepared):
    chosen = prepared[1]
    arguments, part = kernel_arguments(prepared)
    n = part.rays.family.size + (5 * part.spots.size if chosen.nuclear else 0)
    shape = (3, n, part.most)
    found, expected = np.zeros(shape), np.zeros(shape)
    _response_kernels.survey(*arguments, part.most, *found)
    reference.survey(*arguments, part.most, *expected)
    assert found == approx(expected, rel=1e-9, abs=1e-12)
    course, media, _, rays, entries = arguments
    rng = np.random.default_rng(4)
    half_way = rng.uniform(0.9, 1.1, (len(media.values), course.full.size))
    limit = 0.7 * course.full
    kinds, plain = np.zeros((2, rays.family.size, 4))
    _response_kernels.classify(course, media, rays, entries, half_way, limit, kinds)
    reference.classify(course, media, rays, entries, half_way, limit, plain)
    assert kinds == approx(plain, rel=1e-9)


def pencils_and_profiles(seed=5):
    rng = np.random.default_rng(seed)
    axis = np.array([0.4, 0.9, -0.2]) / np.linalg.norm([0.4, 0.9, -0.2])
    across = np.cross(axis, [1.0, 0.0, 0.0])
    across /= np.linalg.norm(across)
    n = 3
    pencils = Pencils(
        origin=rng.uniform(5.0, 15.0, (n, 3)) * [1.0, 0.0, 1.0],
        axis=np.tile(axis, (n, 1)),
        across_x=np.tile(across, (n, 1)),
        across_y=np.tile(np.cross(axis, across), (n, 1)),
        weight=rng.uniform(0.5, 1.0, n),
        profile=np.arange(n, dtype=np.int32),
    )
    values = rng.uniform(0.5, 1.5, (n, 30, 4))
    values[:, :, 1:3] *= 0.05
    reach = np.tile([29.0, 18.0], (n, 1))
    return pencils, Profiles(1.0, values, np.array([0.3, 0.4]), reach, 8.0)


VOXELS = Voxels(np.array([9, 12, 11]), np.array([2.5, 2.0, 3.0]))
BOX = np.array([[0, 9], [0, 12], [0, 11]])


def test_scoring_passes_the_dot_test():
    pencils, profiles = pencils_and_profiles()
    given = np.random.default_rng(6).normal(size=9 * 12 * 11)
    dose = np.zeros(given.size)
    add_dose(VOXELS, pencils, profiles, np.array([0, 9]), dose, np.empty(0))
    pulled = np.zeros((3, 30, 5))
    _pull_kernels.pull_profiles(VOXELS, pencils, profiles, BOX, given, pulled)
    assert (pulled[:, :, 0] * profiles.values[:, :, 0]).sum() == approx(given @ dose, rel=1e-12)


@pytest.mark.parametrize("name", ["pull_profiles", "pull_geometry"])
def test_pulled_scoring_equals_its_twin(name):
    pencils, profiles = pencils_and_profiles()
    given = np.random.default_rng(6).normal(size=9 * 12 * 11)
    shape = (3, 30, 5) if name == "pull_profiles" else (3, 4, 3)
    found, expected = np.zeros(shape), np.zeros(shape)
    getattr(_pull_kernels, name)(VOXELS, pencils, profiles, BOX, given, found)
    getattr(_pull_reference, name)(VOXELS, pencils, profiles, BOX, given, expected)
    assert found == approx(expected, rel=1e-9, abs=1e-11 * np.abs(expected).max())


def test_gradient_of_scoring_against_differences():
    pencils, profiles = pencils_and_profiles()
    given = np.random.default_rng(6).normal(size=9 * 12 * 11)
    by_place = np.zeros((3, 4, 3))
    _pull_kernels.pull_geometry(VOXELS, pencils, profiles, BOX, given, by_place)
    pulled = np.zeros((3, 30, 5))
    _pull_kernels.pull_profiles(VOXELS, pencils, profiles, BOX, given, pulled)

    def response(**changes):
        dose = np.zeros(given.size)
        parts = pencils._replace(**{k: v for k, v in changes.items() if k != "values"})
        moved = profiles._replace(values=changes.get("values", profiles.values))
        add_dose(VOXELS, parts, moved, np.array([0, 9]), dose, np.empty(0))
        return given @ dose

    delta = 1e-6
    for number, name in enumerate(("origin", "axis", "across_x", "across_y")):
        sides = []
        for sign in (1.0, -1.0):
            vectors = getattr(pencils, name).copy()
            vectors[1, 2] += sign * delta
            sides.append(response(**{name: vectors}))
        derivative = (sides[0] - sides[1]) / (2 * delta)
        assert by_place[1, number, 2] == approx(derivative, rel=1e-6)
    dose, sides = profiles.values[1, :, 0], []
    for sign in (1.0, -1.0):
        values = profiles.values.copy()
        values[1, 12, 2] += sign * delta
        sides.append(response(values=values))
    expected = (sides[0] - sides[1]) / (2 * delta)
    by_factor = pulled[1, 12, 3] * dose[12]
    by_factor += pulled[1, 12, 4] * dose[13] + pulled[1, 11, 4] * dose[11]
    assert -by_factor == approx(expected, rel=1e-6)


def test_planned_responses_are_those_of_the_dose(prepared):
    body, chosen, weights, goals, response = prepared
    dose = chosen.forward(body, beams(), weights, np.arange(body.grid.n_voxels))
    found = response.respond(body).sum(axis=0)
    assert found == approx(goals @ dose, rel=2e-6)


@pytest.mark.parametrize("mode", ["range-frame", "energy-grid"])
def test_gradient_with_kept_solves_is_nearly_that_of_the_engine(mode):
    """What kept solves leave out, and the kinks of reading them between depths: 1.5 %."""
    body, chosen, weights = medium(), engine(mode=mode), np.array([1.0, 0.6])
    goal, voxels = gradient(body.grid), np.arange(body.grid.n_voxels)
    response = prepare_response(chosen, body, beams(), 0, weights, goal[None])
    direction = body.density * np.random.default_rng(7).uniform(0.5, 1.5, body.density.shape)
    doses = [
        chosen.forward(
            replace(body, density=body.density + sign * 1e-3 * direction), beams(), weights, voxels
        )
        for sign in (1.0, -1.0)
    ]
    derivative = goal @ (doses[0] - doses[1]) / 2e-3
    found = response.by_density(body, np.ones(1)) @ direction.ravel()
    assert found == approx(derivative, rel=0.015)


PARAMETER_TOLERANCES = {
    "x": 0.02, "y": 0.06, "energy": 1e-3, "energy_std": 0.01, "size": 0.01, "angle": 0.02,
    "patient_x": 0.02, "patient_y": 0.02, "patient_z": 0.03,
}  # fmt: skip


def changed_beams(name, change):
    """The beams with one parameter of all spots changed; the patient moves against them."""
    fields = beams()
    if name in ("x", "y", "energy"):
        columns = fields.columns.copy()
        columns[name] += change
        return replace(fields, columns=columns)
    if name.startswith("patient_"):
        shift = np.zeros(3)
        shift["xyz".index(name[-1])] = change
        moved = [replace(f, isocentre=tuple(np.asarray(f.isocentre) - shift)) for f in fields]
        return replace(fields, fields=tuple(moved))
    beam = {"energy_std": 0.8, "spot_sigma": 3.0, "divergence": 0.2}
    field = {"energy_std": "energy_std", "size": "spot_sigma", "angle": "divergence"}[name]
    beam[field] += np.degrees(change) if name == "angle" else change
    return replace(fields, machine=load_machine("research-protons", sad=2e3, **beam))


@pytest.mark.parametrize("name", list(PARAMETERS))
def test_derivatives_by_spots_against_differences_of_the_engine(name, monkeypatch):
    for module in (scoring, pulled_scoring):
        monkeypatch.setattr(module, "FARTHEST", 40.0)
    body, chosen = medium(), engine(splitting=split_on_rings())
    weights, goal = np.array([1.0, 0.6]), gradient(body.grid)
    found = differentiate_spots(chosen, body, beams(), 0, weights, goal, (name,))[name]
    voxels, step = np.arange(body.grid.n_voxels), PARAMETERS[name]
    doses = [
        chosen.forward(body, changed_beams(name, sign * step), weights, voxels)
        for sign in (1.0, -1.0)
    ]
    derivative = goal @ (doses[0] - doses[1]) / (2.0 * step)
    assert found.sum() == approx(derivative, rel=PARAMETER_TOLERANCES[name])


def test_gradient_against_differences_of_the_engine(prepared, monkeypatch):
    # The engine ends profiles where their dose is negligible, and Gaussians at four standard
    # deviations, which single voxels feel.
    monkeypatch.setattr(scoring, "_NEGLIGIBLE", 0.0)
    for module in (scoring, pulled_scoring):
        monkeypatch.setattr(module, "FARTHEST", 40.0)
    body, chosen, weights, goals, _ = prepared
    response = prepare_response(chosen, body, beams(), 0, weights, goals)
    found = response.by_density(body, np.array([1.0, 0.0]))
    direction = np.random.default_rng(7).uniform(0.5, 1.5, body.density.shape)
    sides = []
    for sign in (1.0, -1.0):
        moved = replace(body, density=body.density + sign * 2e-8 * direction)
        dose = chosen.forward(moved, beams(), weights, np.arange(body.grid.n_voxels))
        sides.append(goals[0] @ dose)
    derivative = (sides[0] - sides[1]) / 4e-8
    assert found @ direction.ravel() == approx(derivative, rel=1e-6)
    # That of the response itself is exact to rounding.
    sides = [
        response.respond(replace(body, density=body.density + s * 2e-8 * direction)).sum(axis=0)[0]
        for s in (1.0, -1.0)
    ]
    assert found @ direction.ravel() == approx((sides[0] - sides[1]) / 4e-8, rel=1e-6)
