"""Plan files carried out: errors to stand, and spots that move."""

import json

import pytest

from dosegrad.cli.console import working
from dosegrad.cli.plan import write_results
from dosegrad.cli.plan_file import read_plan_file
from dosegrad.cli.planning import carry_out, choose_machine, choose_patient
from dosegrad.cli.results import as_text
from dosegrad.errors import PlanError, UnknownNameError

TEXT = """
[patient]
phantom = "c-shape"

[beams]
machine = "generic-protons"
target = "Target"
gantry = [45]
spot_spacing = 14.0
layer_spacing = 14.0

[dose]
spacing = [8.0, 8.0, 8.0]

[[objective]]
structure = "Target"
kind = "squared-deviation"
dose = 50.0
weight = 100

[optimisation]
max_iterations = 12

[check]
goals = ["Target: D95% >= 30 Gy"]
"""


@pytest.fixture
def carry(tmp_path):
    def run(more, text=TEXT):
        path = tmp_path / "plan.toml"
        path.write_text(text + more, encoding="utf-8")
        request = read_plan_file(path)
        patient = choose_patient(request, tmp_path, None)
        with working(silent=True) as bars:
            return carry_out(request, choose_machine(request, tmp_path), patient, bars)

    return run


def test_a_robust_plan_is_judged_in_its_scenarios(carry, tmp_path):
    plain, robust = carry(""), carry("[robust]\nsetup = 5.0\nrange_percent = 3.5\n")
    assert plain.in_scenarios is None
    assert "scenarios" not in as_text(plain)
    assert len(robust.plan.scenario_doses) == 9
    assert robust.plan.objective != pytest.approx(plain.plan.objective, rel=1e-3)
    worst = robust.in_scenarios.worst().rows[0].value
    assert worst <= robust.report.rows[0].value
    assert "the worst of 9 scenarios" in as_text(robust)
    write_results(robust, tmp_path)
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["n_scenarios"] == 9
    assert len(told["in_scenarios"]["goals"]) == 9
    assert told["goals_met_in_scenarios"] == robust.in_scenarios.all_met


def test_spots_of_a_plan_file_move(carry):
    still, moved = carry(""), carry("[spots]\nmax_shift = 8.0\n")
    assert moved.plan.objective < still.plan.objective
    assert moved.plan.dose is not None


def test_tables_that_do_not_go_together_are_refused(carry):
    photons = TEXT.replace("generic-protons", "generic-6mv")
    photons = photons.replace("spot_spacing = 14.0\nlayer_spacing = 14.0\n", "bixel = 20.0\n")
    with pytest.raises(PlanError, match="moves spots of particles"):
        carry("[spots]\nmax_shift = 8.0\n", photons)
    with pytest.raises(PlanError, match="neither"):
        carry('[spots]\nmax_shift = 8.0\n[biology]\nmodel = "constant"\n')
    with pytest.raises(UnknownNameError, match="Target"):
        carry('[robust]\nstructures = ["Targit"]\n')
