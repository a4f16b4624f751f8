import zipfile
from dataclasses import replace

import numpy as np
import pytest

from dosegrad.beams.beam import COLUMN_DTYPE, Beam, Beams, RangeShifter
from dosegrad.dose import Dose
from dosegrad.errors import FileFormatError, OutputError
from dosegrad.geometry.grid import Grid
from dosegrad.io.archive import load_dose, load_plan, save_dose, save_plan
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.monitor import Monitor
from dosegrad.machine.particle import ParticleMachine
from dosegrad.plan import Plan

GRID = Grid((3, 4, 5), (3.0, 2.5, 1.1), (-1.7, 0.3, 12.0))


def energy(value, n):
    depths = np.linspace(0, 80, n)
    return PencilBeamData(
        energy=value,
        depths=depths,
        dose=np.exp(depths / 80) / 3,
        sigmas=np.stack([depths / 30 + 2, depths / 10 + 5]),
        weights=np.stack([np.full(n, 0.9), np.full(n, 0.1)]),
        let=depths / 7,
        range=75.0 + 1 / 3,
        peak=74.0,
        focus_distance=np.array([0.0, 50.0]),
        focus_sigma=np.array([4.0, 5.0]),
        offset=0.1,
    )


@pytest.fixture
def plan():
    machine = ParticleMachine(
        "mine",
        "protons",
        2000.0,
        400.0,
        (energy(100.1, 7), energy(120.7, 9)),
        description={"a": 1},
        monitor=Monitor([100.0, 120.0], [100.1, 120.7], [1e6, 2e6]),
    )
    columns = np.zeros(4, dtype=COLUMN_DTYPE)
    columns["beam"] = [0, 0, 1, 1]
    columns["x"] = [0.1, 1 / 3, -5, 5]
    columns["energy"] = [100.1, 120.7, 100.1, 120.7]
    fields = (
        Beam(10.0, 0.0, (1.0, 2.0, 3.0), 2000.0, range_shifter=RangeShifter(50.0, 200.0)),
        Beam(100.0, 20.0, (1.0, 2.0, 3.0), None, position="FFP"),
    )
    dose = Dose(GRID, np.random.default_rng(1).random(GRID.shape), provenance={"engine": "x"})
    return Plan(
        Beams(machine, fields, columns),
        np.array([1 / 3, 0.0, 2.0, 7.1]),
        dose=dose,
        objective=1 / 7,
        history=(3.0, 1 / 7),
        fractions=30,
        message="converged",
        provenance={"solver": "LBFGSB", "seed": np.int64(3), "shape": (1, 2)},
    )


def test_plan_comes_back_with_the_same_numbers(plan, tmp_path):
    path = tmp_path / "plan.npz"
    plan.save(path)
    back = load_plan(path)
    np.testing.assert_array_equal(back.weights, plan.weights)
    np.testing.assert_array_equal(back.beams.columns, plan.beams.columns)
    np.testing.assert_array_equal(back.dose.array, plan.dose.array)
    assert back.dose.grid == plan.dose.grid
    assert back.beams.fields == plan.beams.fields
    assert (back.objective, back.history, back.fractions) == (1 / 7, (3.0, 1 / 7), 30)
    assert (back.message, back.provenance["solver"]) == ("converged", "LBFGSB")
    machine, was = back.beams.machine, plan.beams.machine
    assert (machine.name, machine.sad, dict(machine.description)) == ("mine", 2000.0, {"a": 1})
    np.testing.assert_array_equal(machine.monitor.particles, [1e6, 2e6])
    for one, other in zip(machine.data, was.data, strict=True):
        np.testing.assert_array_equal(one.sigmas, other.sigmas)
        np.testing.assert_array_equal(one.let, other.let)
        assert (one.range, one.offset, one.alpha.shape) == (other.range, 0.1, (0, 0))
    assert repr(back) == repr(plan)


def test_a_plan_without_dose_and_a_dose_alone(plan, tmp_path):
    bare = Plan(plan.beams, plan.weights)
    bare.save(tmp_path / "bare")
    assert load_plan(tmp_path / "bare").dose is None
    assert load_plan(tmp_path / "bare").objective is None
    save_dose(plan.dose, tmp_path / "dose.npz")
    back = load_dose(tmp_path / "dose.npz")
    np.testing.assert_array_equal(back.array, plan.dose.array)
    assert dict(back.provenance) == {"engine": "x"}
    with pytest.raises(FileFormatError, match=r"holds a dose, not a plan; read it with load_dose"):
        load_plan(tmp_path / "dose.npz")


def test_files_that_cannot_be_read(plan, tmp_path):
    with pytest.raises(FileFormatError, match="does not exist"):
        load_plan(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(FileFormatError, match="no plan file of dosegrad, or is damaged"):
        load_plan(tmp_path / "text.npz")
    plan.save(tmp_path / "plan.npz")
    whole = (tmp_path / "plan.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match="damaged"):
        load_plan(tmp_path / "cut.npz")
    with (
        zipfile.ZipFile(tmp_path / "plan.npz") as full,
        zipfile.ZipFile(tmp_path / "part.npz", "w") as part,
    ):
        for name in full.namelist():
            if name != "columns/x.npy":
                part.writestr(name, full.read(name))
    with pytest.raises(FileFormatError, match="columns/x"):
        load_plan(tmp_path / "part.npz")


def test_an_interrupted_write_leaves_the_old_file(plan, tmp_path, monkeypatch):
    path = tmp_path / "plan.npz"
    plan.save(path)
    before = path.read_bytes()

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("dosegrad.io.archive.npy.write_array", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_plan(plan, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["plan.npz"]


def test_a_folder_that_is_not_there(plan, tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        plan.save(tmp_path / "none" / "plan.npz")


def test_doses_of_scenarios_come_back_in_order(plan, tmp_path):
    doses = [
        Dose(GRID, np.full(GRID.shape, float(k)), provenance={"scenario": f"case {k}"})
        for k in range(3)
    ]
    replace(plan, scenario_doses=doses).save(tmp_path / "robust.npz")
    back = load_plan(tmp_path / "robust.npz").scenario_doses
    assert [d.array.max() for d in back] == [0.0, 1.0, 2.0]
    assert [d.provenance["scenario"] for d in back] == ["case 0", "case 1", "case 2"]
    assert back[2].grid == GRID
