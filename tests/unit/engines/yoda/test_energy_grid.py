"""Energy grid: compiled march against its twin, adjoint, bad input."""

import numpy as np
import pytest
from pytest import approx

from dosegrad.engines.yoda import _energy_grid_kernels as kernels
from dosegrad.engines.yoda import _energy_grid_reference as reference
from dosegrad.engines.yoda._energy_grid_arrays import Record
from dosegrad.engines.yoda.energy_grid import BeamletPaths, EnergyGrid
from dosegrad.errors import EnergyError, GeometryError, SettingsError
from dosegrad.physics.materials import MATERIALS, WATER

BONE = MATERIALS["schneider-20"]


def prepared(**settings):
    grid = EnergyGrid(**settings)
    return grid.prepare([WATER, BONE], energy=[30.0, 25.0], energy_std=[1.0, 0.8])


def mixed_paths(seed=1, n_beamlets=3, n_steps=9):
    """Two materials, any densities; one step of no length, one long enough for substeps."""
    rng = np.random.default_rng(seed)
    length = rng.uniform(0.5, 1.5, (n_beamlets, n_steps))
    length[1, 3], length[:, 5] = 0.0, 3.0
    return BeamletPaths(
        rng.integers(0, 2, (n_beamlets, n_steps)),
        rng.uniform(0.2, 2.0, (n_beamlets, n_steps)),
        length,
        family=np.arange(n_beamlets) % 2,
    )


def changed(paths, beamlet, step, **values):
    """``paths`` with other values in one step."""
    fields = {name: getattr(paths, name).copy() for name in ("material", "density", "length")}
    for name, value in values.items():
        fields[name][beamlet, step] = value
    return BeamletPaths(**fields, family=paths.family)


def random_gradients(paths, seed=2):
    shape = paths.depth.shape
    lost, absorbed, power = np.random.default_rng(seed).normal(size=(3, *shape))
    return {"energy_lost": lost, "energy_absorbed": absorbed, "scattering_power": 1e3 * power}


def response(grid, paths, gradients):
    transport = grid.solve(paths)
    return sum(float((g * getattr(transport, name)).sum()) for name, g in gradients.items())


@pytest.fixture(scope="module")
def grid():
    return prepared()


@pytest.mark.parametrize("window", [1e-6, 0.0])
def test_march_equals_its_twin(window):
    grid, paths = prepared(window=window), mixed_paths()
    transport = grid.solve(paths, keep_states=True)
    twin = Record(*(np.zeros_like(field) for field in transport.record))
    twin.states[:, 0] = transport.record.states[:, 0]
    reference.march(grid.operators, grid._arrays(paths), twin)
    for name in Record._fields:
        expected = getattr(twin, name)
        tolerance = 1e-11 * np.abs(expected).max()
        np.testing.assert_allclose(
            getattr(transport.record, name), expected, rtol=0, atol=tolerance, err_msg=name
        )


def test_pull_back_equals_its_twin(grid):
    paths = mixed_paths()
    record = grid.solve(paths, keep_states=True).record
    gradients = np.random.default_rng(3).normal(size=(3, *paths.depth.shape))
    results = []
    for module in (kernels, reference):
        adjoints, by_depth = np.zeros_like(record.states), np.zeros(paths.depth.shape)
        module.pull_back(grid.operators, grid._arrays(paths), record, gradients, adjoints, by_depth)
        results.append((adjoints, by_depth))
    (adjoints, by_depth), (expected, expected_by_depth) = results
    scale = np.abs(expected).max()
    np.testing.assert_allclose(adjoints, expected, rtol=0, atol=1e-12 * scale)
    # The twin takes a central difference.
    scale = np.abs(expected_by_depth).max()
    np.testing.assert_allclose(by_depth, expected_by_depth, rtol=0, atol=1e-6 * scale)


def test_keeping_states_changes_nothing(grid):
    paths = mixed_paths()
    kept, newest = grid.solve(paths, keep_states=True), grid.solve(paths)
    for name in ("lost", "absorbed", "scattering", "let", "number", "windows"):
        assert (getattr(kept.record, name) == getattr(newest.record, name)).all()
    assert (kept.record.states[:, -1] == newest.record.states[:, 0]).all()


def test_adjoint_passes_the_dot_test(grid):
    paths = mixed_paths()
    gradients = random_gradients(paths) | {"scattering_power": np.zeros(paths.depth.shape)}
    transport = grid.solve(paths, keep_states=True)
    adjoint = grid.pull_back(transport, **gradients)
    initial = grid.initial_states()[paths.family]
    forward = gradients["energy_lost"] * transport.energy_lost
    forward += gradients["energy_absorbed"] * transport.energy_absorbed
    # Losses are linear in the spectrum, so their adjoint state gives them back.
    backward = (adjoint.states[:, 0] * initial).sum(axis=(1, 2))
    np.testing.assert_allclose(backward, forward.sum(axis=1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("beamlet", "step"), [(0, 0), (0, 5), (1, 4), (2, 1)])
@pytest.mark.parametrize("name", ["density", "length"])
def test_path_gradient_against_differences(grid, name, beamlet, step):
    paths = mixed_paths()
    gradients = random_gradients(paths)
    adjoint = grid.pull_back(grid.solve(paths, keep_states=True), **gradients)
    value, d = getattr(paths, name)[beamlet, step], 1e-5
    sides = [
        response(grid, changed(paths, beamlet, step, **{name: value + s * d}), gradients)
        for s in (1, -1)
    ]
    derivative = (sides[0] - sides[1]) / (2 * d)
    assert getattr(adjoint, f"by_{name}")[beamlet, step] == approx(derivative, rel=1e-6)


@pytest.mark.parametrize("name", ["energy", "energy_std"])
def test_beam_gradient_against_differences(grid, name):
    paths = mixed_paths()
    gradients = random_gradients(paths)
    transport = grid.solve(paths, keep_states=True)
    adjoint = grid.pull_back(transport, **gradients)
    d, sides = 1e-4, []
    for s in (1, -1):
        moved = {"energy": grid.energy[0], "energy_std": grid.energy_std[0]}
        moved[name] += s * d
        record = transport.record._replace(
            **{n: np.zeros_like(getattr(transport.record, n)) for n in Record._fields}
        )
        record.states[:, 0] = grid.mesh.project(moved["energy"], moved["energy_std"])
        kernels.march(grid.operators, grid._arrays(paths), record)
        out = type(transport)(paths, record)
        sides.append(sum((g * getattr(out, n)).sum(axis=1) for n, g in gradients.items()))
    derivative = (sides[0] - sides[1])[0] / (2 * d)
    # Windows differ a little between the two sides, hence no better than their tolerance.
    assert getattr(adjoint, f"by_{name}")[0] == approx(derivative, rel=1e-4)


@pytest.mark.parametrize(("beamlet", "step"), [(0, 0), (1, 4), (2, 2)])
def test_change_of_one_step_is_exact(beamlet, step):
    grid, paths = prepared(window=0.0), mixed_paths()
    gradients = random_gradients(paths) | {"scattering_power": np.zeros(paths.depth.shape)}
    transport = grid.solve(paths, keep_states=True)
    other = BeamletPaths(1 - paths.material, 0.5 * paths.density, paths.length, paths.family)
    changes = grid.step_changes(transport, grid.pull_back(transport, **gradients), other)
    moved = changed(
        paths,
        beamlet,
        step,
        material=other.material[beamlet, step],
        density=other.density[beamlet, step],
    )
    expected = response(grid, moved, gradients) - response(grid, paths, gradients)
    assert changes[beamlet, step] == approx(expected, rel=1e-9)


def test_margin_opens_the_adjoint_to_finite_changes():
    paths = mixed_paths()
    gradients = {"energy_lost": random_gradients(paths)["energy_lost"]}
    other = BeamletPaths(paths.material, 0.5 * paths.density, paths.length, paths.family)
    exact, narrow, wide = (
        grid.step_changes(solved, grid.pull_back(solved, **gradients), other)
        for grid in (prepared(window=0.0), prepared(), prepared(margin=8))
        for solved in [grid.solve(paths, keep_states=True)]
    )
    assert np.abs(wide - exact).max() < 0.02 * np.abs(narrow - exact).max()


def test_density_only_scales_the_step(grid):
    thin = BeamletPaths(np.zeros((1, 8)), np.full((1, 8), 0.5), np.full((1, 8), 1.0))
    short = BeamletPaths(np.zeros((1, 8)), np.full((1, 8), 1.0), np.full((1, 8), 0.5))
    assert grid.solve(thin).energy_lost == approx(grid.solve(short).energy_lost, rel=1e-13)


def test_steps_of_no_length_do_nothing(grid):
    paths = BeamletPaths(np.zeros((1, 3)), np.ones((1, 3)), np.array([[1.0, 0.0, 1.0]]))
    packed = BeamletPaths(np.zeros((1, 2)), np.ones((1, 2)), np.ones((1, 2)))
    lost = grid.solve(paths).energy_lost[0]
    assert abs(lost[1]) < 1e-5  # what the window cuts off
    assert lost[[0, 2]] == approx(grid.solve(packed).energy_lost[0], abs=1e-5)


def test_adjoint_asks_for_the_states(grid):
    with pytest.raises(SettingsError, match="keep_states=True"):
        grid.pull_back(grid.solve(mixed_paths()))


@pytest.mark.parametrize(
    ("energy", "energy_std"), [(100.0, 0.0), (2.0, 1.0), (299.0, 1.0), (np.nan, 1.0)]
)
def test_beams_outside_the_tables(energy, energy_std):
    with pytest.raises(EnergyError, match="do not fit between"):
        EnergyGrid().prepare([WATER], energy=energy, energy_std=energy_std)


def test_settings_that_cannot_be_solved():
    with pytest.raises(SettingsError, match="penalty at least 3"):
        EnergyGrid(penalty=1.0)


def test_paths_that_cannot_be(grid):
    ones = np.ones((1, 2))
    with pytest.raises(GeometryError, match=r"give \(beamlets, steps\)"):
        BeamletPaths(np.zeros((1, 3)), ones, ones)
    with pytest.raises(GeometryError, match="density along the beamlets"):
        BeamletPaths(np.zeros((1, 2)), ones * np.nan, ones)
    with pytest.raises(GeometryError, match="material indices"):
        grid.solve(BeamletPaths(np.full((1, 2), 2), ones, ones))
    with pytest.raises(GeometryError, match="family indices"):
        grid.solve(BeamletPaths(np.zeros((1, 2)), ones, ones, family=np.array([2])))
