import numpy as np
import pytest

from dosegrad.engines.protocols import ForwardEngine
from dosegrad.errors import BeamError, CapabilityError, PlanError
from dosegrad.io.archive import load_plan
from dosegrad.plan import Plan
from dosegrad.plan_dose import compute_dose


class Even:
    """An engine that gives every voxel the sum of weights."""

    outside_body = "air"

    def forward(self, medium, beams, weights, voxels):
        return np.full(len(voxels), weights.sum())


class MatrixOnly:
    def quantities(self, machine):
        return ("dose",)

    def prepare(self, medium, beams, beam_index, voxels):
        raise NotImplementedError


def test_spots_above_zero_count(toy):
    plan = Plan(toy.beams(4), [0.0, 1e-9, 2.0, 0.0], objective=1.5, fractions=3)
    assert plan.n_spots == 2
    assert repr(plan) == "Plan(toy, 2 beams, 2 spots, 3 fractions, objective 1.5)"
    with pytest.raises(ValueError, match="read-only"):
        plan.weights[0] = 1.0


@pytest.mark.parametrize(
    ("weights", "options", "text"),
    [
        ([1.0], {}, "1 weights do not fit 4 columns"),
        ([1.0, -1.0, 0.0, 0.0], {}, "not negative"),
        ([1.0, np.nan, 0.0, 0.0], {}, "finite"),
        (np.ones(4), {"fractions": 0}, "course of 0 fractions"),
    ],
)
def test_plans_that_cannot_be(toy, weights, options, text):
    with pytest.raises(PlanError, match=text):
        Plan(toy.beams(4), weights, **options)


def test_plan_of_explicit_spots(toy):
    plan = Plan.from_spots(
        toy.machine(),
        gantry=[90, 0, 90],
        isocentre=(1.0, 2.0, 3.0),
        x=[10.0, 20.0, 30.0],
        y=0.0,
        energy=[100.0, 120.0, 120.0],
        weight=[1.0, 2.0, 3.0],
    )
    assert [b.gantry for b in plan.beams] == [90, 0]
    assert plan.beams.columns["x"].tolist() == [10.0, 30.0, 20.0]
    assert plan.weights.tolist() == [1.0, 3.0, 2.0]
    with pytest.raises(BeamError, match="2 weights do not fit 3 spots"):
        Plan.from_spots(
            toy.machine(),
            gantry=0,
            isocentre=(0.0, 0.0, 0.0),
            x=[1.0, 2.0, 3.0],
            y=0.0,
            energy=100.0,
            weight=[1.0, 2.0],
        )


def test_dose_by_an_engine_of_ones_own(toy, tmp_path):
    patient = toy.patient()
    plan = Plan(toy.beams(4), [1.0, 2.0, 0.0, 0.5])
    engine = Even()
    assert isinstance(engine, ForwardEngine)
    dose = compute_dose(patient, plan, engine=engine)
    assert dose.grid == patient.dose_grid()
    assert np.unique(dose.array).tolist() == [3.5]
    assert dose.provenance["engine"] == "Even"
    coarse = compute_dose(patient, plan, engine=engine, dose_spacing=(6.0, 6.0, 6.0))
    assert coarse.grid.spacing == (6.0, 6.0, 6.0)
    with_dose = Plan(plan.beams, plan.weights, dose=coarse)
    assert compute_dose(patient, with_dose, engine=engine).grid == coarse.grid
    with_dose.save(tmp_path / "plan.npz")
    assert (
        compute_dose(patient, load_plan(tmp_path / "plan.npz"), engine=engine).grid == coarse.grid
    )


def test_engines_that_need_a_matrix(toy):
    with pytest.raises(CapabilityError, match="no dose without a matrix"):
        compute_dose(toy.patient(), Plan(toy.beams(2), [1.0, 1.0]), engine=MatrixOnly())


def test_patient_in_another_position(toy):
    from dataclasses import replace

    patient = toy.patient()
    turned = replace(patient, ct=replace(patient.ct, position="FFP"))
    with pytest.raises(BeamError, match="position HFS, but this one lies FFP"):
        compute_dose(turned, Plan(toy.beams(2), [1.0, 1.0]), engine=Even())
