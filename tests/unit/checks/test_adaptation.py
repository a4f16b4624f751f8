import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dosegrad import CT, engines
from dosegrad.checks import adaptation, forecasts
from dosegrad.checks.adaptation import adapt
from dosegrad.checks.forecasts import with_ct
from dosegrad.errors import CapabilityError, PatientError, PlanError, UnknownNameError
from dosegrad.patient.registration import Registration


@pytest.fixture
def predicting(monkeypatch):
    """Lets the adjoint say what a test wants: changes and uncertainties by structure."""

    def say(**changes):
        def prepare(patient, plan, *, response, engine, structures, grid):
            assert response.structure in structures

            def predict(ct):
                assert ct.grid == patient.ct.grid
                return SimpleNamespace(
                    by_structure={n: changes.get(n, (0.0, 0.0))[0] for n in structures},
                    uncertainty_by_structure={n: changes.get(n, (0.0, 0.1))[1] for n in structures},
                    method="as the test says",
                )

            return predict

        monkeypatch.setattr(forecasts, "_adjoint", lambda: prepare)

    return say


def run(small, today=None, **options):
    ct = small.patient.ct if today is None else today
    return adapt(small.study, ct, engine=small.quick, alignment="none", **options)


def test_no_change_passes(small, predicting):
    predicting(CTV=(0.1, 0.05), Cord=(0.0, 0.1))
    found = run(small)
    assert found.verdict == "pass"
    assert [c.name for c in found.changes] == ["CTV", "Cord"]
    assert found.changes[0].after == pytest.approx(40.1)
    assert found.method == "as the test says"


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        (
            {"CTV": (-1.5, 0.1)},
            "re-plan",
            r"mean dose of CTV changes by -1\.50 Gy, more than 1\.20",
        ),
        ({"Cord": (2.0, 0.1)}, "re-plan", r"mean dose of Cord changes by \+2\.00 Gy"),
        ({"Cord": (-2.0, 0.1)}, "pass", None),
        ({"CTV": (1.1, 0.2)}, "undecided", r"\+1\.10 Gy ± 0\.20 Gy; the limit is 1\.20 Gy"),
    ],
)
def test_without_goals_changes_of_mean_doses_decide(small, predicting, changes, verdict, reason):
    predicting(**changes)
    found = run(small)
    assert found.verdict == verdict
    assert not reason or re.search(reason, found.reasons[0])


@pytest.mark.parametrize(
    ("goal", "change", "standing", "verdict"),
    [
        ("CTV: Dmean >= 38 Gy", (-1.0, 0.2), "met", "pass"),
        ("CTV: Dmean >= 38 Gy", (-1.8, 0.2), "unclear", "undecided"),
        ("CTV: Dmean >= 38 Gy", (-3.0, 0.2), "missed", "re-plan"),
    ],
)
def test_goals_on_means_follow_from_the_adjoint(small, predicting, goal, change, standing, verdict):
    predicting(CTV=change)
    found = run(small, goals=[goal])
    (told,) = found.goals
    assert (told.standing, told.how, found.verdict) == (standing, "adjoint", verdict)
    assert told.predicted == pytest.approx(40.0 + change[0])


def test_other_goals_follow_from_a_quick_dose(small, predicting):
    predicting()
    goals = ["CTV: D95% >= 1 Gy", "Cord: V10Gy <= 100 %", "CTV: Dmean >= 1 Gy"]
    found = run(small, small.ball(swelling=8.0).ct, goals=goals)
    assert [g.how for g in found.goals] == ["quick dose", "quick dose", "adjoint"]
    first = found.goals[0]
    assert first.predicted != pytest.approx(first.before, abs=0.05)
    # the adjoint of this test says that nothing changes, which the quick dose does not
    assert first.uncertainty > 0.1


def test_goals_on_the_body_are_predicted_too(small, predicting):
    predicting(Body=(0.5, 0.01))
    found = run(small, goals=["Body: Dmean <= 100 Gy"])
    assert found.goals[0].predicted == pytest.approx(found.goals[0].before + 0.5)
    assert found.verdict == "pass"


def test_the_recomputed_dose_decides_when_asked_for(small, predicting):
    predicting(CTV=(-10.0, 0.1))
    today = small.ball(swelling=8.0).ct
    found = run(small, today, goals=["CTV: Dmean >= 1 Gy"], recompute=True)
    assert found.verdict == "pass"
    assert found.recomputed.grid == small.dose.grid
    assert found.goals[0].recomputed > 1.0
    assert found.changes[0].recomputed == pytest.approx(
        next(s for s in found.structures if s.name == "CTV").after.mean
        - next(s for s in found.structures if s.name == "CTV").before.mean
    )
    body = found.patient_today.body_mask()
    assert np.count_nonzero(body) > 1.02 * np.count_nonzero(small.patient.body_mask())


def test_a_study_without_dose_gets_one(small, predicting):
    predicting()
    found = adapt(
        replace(small.study, dose=None), small.patient.ct, engine=small.quick, alignment="none"
    )
    assert found.planned.mean(small.patient.structure("CTV")) == pytest.approx(40.0, rel=1e-3)
    assert any("that of the plan was computed" in w for w in found.warnings)


def test_todays_body_is_that_of_todays_ct_without_couch(small):
    today = small.ball(swelling=8.0)
    hu = np.array(today.ct.hu)
    hu[:, -1, :] = 200.0  # a couch top, apart from the body
    found = with_ct(small.patient, CT(today.ct.grid, hu)).body_mask()
    truth = today.body_mask()
    both = np.count_nonzero(found & truth)
    assert 2 * both / (np.count_nonzero(found) + np.count_nonzero(truth)) > 0.97
    assert not found[:, -1, :].any()


def test_lung_that_opens_to_the_outside_is_body_in_the_recomputed_dose_too(small):
    ct, before = small.patient.ct, small.patient.body_mask()
    hu = np.array(ct.hu)
    top = np.argwhere(before)[:, 1].min()
    k, i = (n // 2 for n in (ct.grid.shape[0], ct.grid.shape[2]))
    open_lung = np.zeros(hu.shape, dtype=bool)
    open_lung[k - 3 : k + 4, : top + 8, i - 3 : i + 4] = True
    hu[open_lung & before] = -700.0
    found = with_ct(small.patient, CT(ct.grid, hu)).body_mask()
    assert np.count_nonzero(open_lung & before) > 100
    assert np.count_nonzero(before & ~found) < 0.05 * np.count_nonzero(open_lung & before)


def test_what_cannot_be_is_told(small):
    ct = small.patient.ct
    with pytest.raises(PatientError, match=r"today's CT shows .* position FFS"):
        adapt(small.study, CT(ct.grid, ct.hu, "FFS"))
    with pytest.raises(CapabilityError, match="no adjoint"):
        adapt(small.study, ct, engine=engines.PencilBeam())
    with pytest.raises(UnknownNameError, match="alignment 'elastic'"):
        adapt(small.study, ct, alignment="elastic")
    with pytest.raises(PlanError, match="tolerance of 0 %"):
        adapt(small.study, ct, tolerance_percent=0)
    with pytest.raises(UnknownNameError, match="structure 'Cordd'"):
        adapt(small.study, ct, goals=["Cordd: Dmax <= 3 Gy"])
    hu = np.array(ct.hu)
    hu[5, 5, :8] = 9000.0
    with pytest.raises(PatientError, match="8 voxels of the CT"):
        adapt(small.study, CT(ct.grid, hu))


@pytest.mark.parametrize(
    ("shift", "apart", "words"),
    [(10.0, 345.0, []), (60.0, 100.0, ["shifted by 60 mm"]), (10.0, 605.0, ["differs by 605 HU"])],
)
def test_cts_that_may_be_of_something_else_are_told(
    small, predicting, monkeypatch, shift, apart, words
):
    predicting()
    grid = small.patient.ct.grid
    away = np.array([shift, 0.0, 0.0])
    found = Registration(grid, grid, np.eye(3), away, None, (700.0, apart))
    monkeypatch.setattr(adaptation, "register", lambda *_: found)
    case = adapt(small.study, small.patient.ct, engine=small.quick)
    told = [w for w in case.warnings if w.startswith("today's CT")]
    assert len(told) == len(words)
    assert all(word in text for word, text in zip(words, told, strict=True))
