import numpy as np
import pytest

from dosegrad.beams.steering import steer
from dosegrad.engines import PencilBeam
from dosegrad.errors import (
    CapabilityError,
    PatientError,
    PlanError,
    SettingsError,
    UnknownNameError,
)
from dosegrad.influence.build import compute_influence
from dosegrad.influence.scenario_build import engine_in
from dosegrad.influence.scenario_doses import scenario_doses
from dosegrad.influence.scenarios import Scenario, Scenarios


def test_worst_case_is_nine():
    cases = Scenarios.worst_case(setup=3.0, range_percent=3.5)
    assert len(cases) == 9
    assert cases[0].is_nominal
    assert sorted(c.shift for c in cases[1:7]) == [
        (-3.0, 0.0, 0.0), (0.0, -3.0, 0.0), (0.0, 0.0, -3.0),
        (0.0, 0.0, 3.0), (0.0, 3.0, 0.0), (3.0, 0.0, 0.0),
    ]  # fmt: skip
    assert [c.range_percent for c in cases[7:]] == [3.5, -3.5]
    assert sum(cases.probabilities) == pytest.approx(1.0)
    assert cases.names[0] == "nominal"
    assert repr(cases).startswith("Scenarios(9: nominal; x +3 mm")


def test_worst_case_by_axis_and_in_mm():
    cases = Scenarios.worst_case(setup=(5.0, 0.0, 2.0), range_percent=3.0, range_mm=1.0)
    assert len(cases) == 7
    assert cases.names[-1] == "range -3 %, range -1 mm"
    assert [c.shift for c in cases[1:5]] == [(5, 0, 0), (-5, 0, 0), (0, 0, 2), (0, 0, -2)]


@pytest.mark.parametrize(
    ("points", "n"), [("faces", 21), ("corners", 27), ("faces-and-corners", 45), ("full", 81)]
)
def test_grids(points, n):
    cases = Scenarios.grid(setup=3.0, range_percent=3.5, setup_points=points)
    assert len(cases) == n
    assert sum(c.is_nominal for c in cases) == 1


def test_grid_of_range_alone_and_normal_probabilities():
    cases = Scenarios.grid(setup=0.0, range_percent=3.5, deviations=1.5)
    assert [c.range_percent for c in cases] == [0.0, 3.5, -3.5]
    p = cases.probabilities
    assert p[1] / p[0] == pytest.approx(np.exp(-(1.5**2) / 2))
    assert sum(p) == pytest.approx(1.0)
    whole = Scenarios.grid(setup=3.0, range_mm=1.0, deviations=1.0)
    last = whole.probabilities[-1] / whole.probabilities[0]
    assert last == pytest.approx(np.exp(-1.0))  # one shift and one range error


def test_random_draws_are_seeded():
    one = Scenarios.random(400, seed=1, setup_deviation=(1, 2, 3), range_percent_deviation=2.0)
    two = Scenarios.random(400, seed=1, setup_deviation=(1, 2, 3), range_percent_deviation=2.0)
    assert one == two
    assert one[0].is_nominal
    assert np.std([c.shift for c in one], axis=0) == pytest.approx([1, 2, 3], rel=0.1)
    assert np.std([c.range_percent for c in one]) == pytest.approx(2.0, rel=0.1)
    assert not Scenarios.random(2, seed=1, with_nominal=False)[0].is_nominal


def test_wrong_sets_are_told():
    with pytest.raises(SettingsError, match=r"sum to 0\.5 instead of 1"):
        Scenarios((Scenario(), Scenario((1, 0, 0))), (0.25, 0.25))
    with pytest.raises(SettingsError, match="appears twice"):
        Scenarios((Scenario(), Scenario(name="again")))
    with pytest.raises(SettingsError, match="at least one"):
        Scenarios(())
    with pytest.raises(SettingsError, match="one for each"):
        Scenarios((Scenario(),), (0.5, 0.5))
    with pytest.raises(SettingsError, match="above -100"):
        Scenario(range_percent=-100)
    with pytest.raises(SettingsError, match="three finite shifts"):
        Scenario((1.0, np.nan, 0.0))
    with pytest.raises(SettingsError, match="set-up error"):
        Scenarios.worst_case(setup=-1.0)
    with pytest.raises(SettingsError, match="range error of size -1"):
        Scenarios.worst_case(range_percent=-1.0)
    with pytest.raises(UnknownNameError, match="choice of set-up points"):
        Scenarios.grid(setup_points="edges")
    with pytest.raises(SettingsError, match="cannot be drawn"):
        Scenarios.random(0, seed=1)
    with pytest.raises(SettingsError, match="whole number"):
        Scenarios.random(2.5, seed=1)
    for size in (-2.0, float("nan")):
        with pytest.raises(SettingsError, match="range error of size"):
            Scenarios.random(3, seed=1, range_percent_deviation=size)


CASES = Scenarios(
    (
        Scenario((3.0, 0.0, -2.0)),
        Scenario(),
        Scenario(range_percent=3.5),
        Scenario((0.0, 1.0, 0.0), range_percent=-2.0, range_mm=1.5),
    ),
    (0.1, 0.6, 0.2, 0.1),
)


@pytest.fixture(scope="module")
def shaken(water_box, toy_machine):
    beams = steer(water_box, toy_machine, target="Target", gantry=[0.0, 90.0], spot_spacing=8.0)
    return compute_influence(water_box, beams, scenarios=CASES)


def test_matrices_are_those_of_changed_beams_and_depths(water_box, shaken):
    held = shaken.scenarios
    assert held.structures == tuple(
        n for n, s in water_box.structures.items() if s.role in ("target", "organ")
    )
    assert sorted(held.matrices) == [0, 2, 3]  # the nominal one is the influence matrix
    for number, case in enumerate(CASES):
        if case.is_nominal:
            continue
        engine = PencilBeam(range_percent=case.range_percent, range_mm=case.range_mm)
        direct = compute_influence(water_box, case.apply(shaken.beams), engine=engine)
        exact = direct.matrix.toarray()[held.rows]
        error = np.abs(held.matrices[number].to_csc().toarray() - exact)
        assert error.max() < 1e-5 * exact.max()
    assert "4 scenarios" in repr(shaken)
    assert "MB" in repr(held)
    assert held.nnz == sum(m.nnz for m in held.matrices.values())


def test_maps_act_on_the_rows_asked_for(shaken):
    held = shaken.scenarios
    rows = held.rows[::3]
    maps = held.maps(shaken.matrix, rows)
    weights = np.random.default_rng(0).random(shaken.beams.n_columns)
    nominal, _ = maps[1].linearise(weights)
    np.testing.assert_allclose(nominal, (shaken.matrix @ weights)[rows], rtol=1e-5)
    shifted, _ = maps[0].linearise(weights)
    np.testing.assert_allclose(shifted, held.matrices[0].forward(weights)[::3], rtol=1e-12)


def test_scenario_doses_cover_all_voxels(shaken):
    weights = np.random.default_rng(0).random(shaken.beams.n_columns)
    doses = scenario_doses(shaken, weights)
    held = shaken.scenarios
    assert [d.provenance["scenario"] for d in doses] == list(CASES.names)
    assert np.array_equal(doses[1].array, shaken.dose(weights).array)
    for number, matrix in held.matrices.items():
        rows = doses[number].array.ravel()[shaken.voxels]
        np.testing.assert_allclose(
            rows[held.rows], matrix.forward(weights), atol=2e-5 * rows.max(), rtol=0
        )
        outside = np.setdiff1d(np.arange(rows.size), held.rows)
        assert rows[outside].max() > 0


def test_a_range_error_moves_the_peak(water_box, toy_machine):
    beams = steer(water_box, toy_machine, target="Target", gantry=0.0, spot_spacing=8.0)
    grid = water_box.ct.grid
    depth_axis = grid.voxel_points(np.arange(grid.n_voxels)) @ np.array(beams[0].direction)

    def mean_depth(**error):
        engine = PencilBeam(**error)
        dose = compute_influence(water_box, beams, engine=engine).dose(np.ones(beams.n_columns))
        flat = dose.array.ravel()
        return depth_axis @ flat / flat.sum()

    assert mean_depth(range_percent=5.0) < mean_depth() < mean_depth(range_percent=-5.0)
    assert mean_depth(range_mm=2.0) < mean_depth() < mean_depth(range_mm=-2.0)


def test_requests_that_cannot_be(water_box, shaken):
    class Stubborn:
        pass

    assert engine_in(Stubborn(), Scenario((1.0, 0.0, 0.0))).__class__ is Stubborn
    with pytest.raises(CapabilityError, match="knows no range errors"):
        engine_in(Stubborn(), Scenario(range_mm=1.0))
    with pytest.raises(UnknownNameError, match="no structure 'Tumour'"):
        compute_influence(water_box, shaken.beams, scenarios=CASES, robust_structures=["Tumour"])
    with pytest.raises(PatientError, match="no row of the influence"):
        compute_influence(
            water_box, shaken.beams, scenarios=CASES, robust_structures=["Target"],
            voxels=~water_box.structure("Target").mask(water_box.ct.grid),
        )  # fmt: skip
    missing = np.setdiff1d(np.arange(shaken.voxels.size), shaken.scenarios.rows)[:1]
    with pytest.raises(PlanError, match="robust_structures="):
        shaken.scenarios.maps(shaken.matrix, missing)
    plain = compute_influence(water_box, shaken.beams)
    with pytest.raises(PlanError, match="holds no scenarios"):
        scenario_doses(plain, np.ones(shaken.beams.n_columns))
    with pytest.raises(SettingsError, match="range errors"):
        PencilBeam(range_percent=-100.0)
