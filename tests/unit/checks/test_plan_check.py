from dataclasses import replace

import numpy as np
import pytest

from dosegrad import CT, Dose, Grid
from dosegrad.checks.plan_check import check_plan
from dosegrad.checks.subjects import covering, part_of
from dosegrad.errors import (
    CapabilityError,
    FileFormatError,
    MachineError,
    PatientError,
    PlanError,
    UnknownNameError,
)
from dosegrad.io.dicom.study import Study
from dosegrad.progress import listening


def test_a_plan_recomputed_by_the_same_engine_passes(small):
    heard = []
    with listening(lambda stage, fraction, remark: heard.append(stage)):
        found = check_plan(small.study, engine=small.quick, goals=["CTV: Dmean >= 39 Gy"])
    assert found.verdict == "pass"
    assert found.passed
    assert found.gamma.pass_rate == 1.0
    assert [(g.settings.percent, g.settings.distance) for g in found.gammas] == [
        (3.0, 2.0), (2.0, 2.0), (1.0, 1.0)
    ]  # fmt: skip
    assert {s.name for s in found.structures} == {"CTV", "Cord", "Body"}
    ctv = next(s for s in found.structures if s.name == "CTV")
    assert ctv.before.mean == pytest.approx(40.0)
    assert ctv.after.mean == pytest.approx(40.0, rel=1e-6)
    assert {"dose", "comparing"} <= set(heard)


def test_a_dose_that_is_off_fails_and_says_why(small):
    hotter = replace(small.dose, array=1.2 * small.dose.array)
    found = check_plan(
        replace(small.study, dose=hotter), engine=small.quick, goals=["CTV: Dmean >= 42 Gy"]
    )
    assert found.verdict == "fail"
    assert "below the action level of 90 %" in found.reasons[0]
    assert found.reasons[1] == (
        "goal CTV: Dmean >= 42 Gy is missed by the recomputed dose (the plan's dose meets it)"
    )


def test_between_action_and_tolerance_it_asks_to_investigate(small):
    hotter = replace(small.dose, array=1.08 * small.dose.array)
    found = check_plan(replace(small.study, dose=hotter), engine=small.quick)
    assert found.verdict == "investigate"
    assert "below the tolerance level of 95 %" in found.reasons[0]
    assert not found.passed


def test_a_dose_weighted_by_rbe_is_divided_by_1_1(small):
    weighted = replace(small.dose, array=1.1 * small.dose.array, quantity="rbe_dose")
    found = check_plan(replace(small.study, dose=weighted), engine=small.quick)
    assert found.passed
    assert any("RBE-weighted; it was divided by 1.1" in w for w in found.warnings)


def test_a_dose_grid_that_cuts_the_body_still_sees_all_of_it(small):
    cut = part_of(small.dose, small.dose.grid.part((3, 9, 4), (11, 20, 16)))
    found = check_plan(replace(small.study, dose=cut), engine=small.quick)
    assert found.recomputed.grid == cut.grid
    assert found.gamma.pass_rate > 0.99


def test_the_covering_grid_keeps_the_voxels(small):
    grid = Grid((4, 5, 6), (3.0, 2.0, 4.0), (-10.0, -5.0, 1.0))
    whole = covering(grid, small.patient)
    index = whole.to_index(grid.origin)
    assert index == pytest.approx(np.rint(index))
    body = np.argwhere(small.patient.body_mask())
    points = small.patient.ct.grid.to_point(body)
    places = whole.to_index(points)
    assert (places > -0.5).all()
    assert (places < np.array(whole.shape) - 0.5).all()
    filled = Dose(whole, np.arange(float(whole.n_voxels)).reshape(whole.shape))
    assert part_of(filled, grid).at(grid.origin) == pytest.approx(filled.at(grid.origin))


def test_what_cannot_be_checked_is_told(small):
    study = small.study
    with pytest.raises(FileFormatError, match="holds no CT"):
        check_plan(Study(None, study.plan, study.dose))
    with pytest.raises(FileFormatError, match="holds no plan"):
        check_plan(replace(study, plan=None))
    with pytest.raises(FileFormatError, match="holds no dose to compare with"):
        check_plan(replace(study, dose=None))
    with pytest.raises(UnknownNameError, match="structure 'Cordd'"):
        check_plan(study, goals=["Cordd: Dmax <= 3 Gy"])
    with pytest.raises(PlanError, match="goal 'Cord Dmax'"):
        check_plan(study, goals=["Cord Dmax"])
    with pytest.raises(PlanError, match="cannot be compared"):
        check_plan(replace(study, dose=replace(study.dose, quantity="let")))
    away = replace(study.plan, beams=_moved(study.plan.beams, 500.0))
    with pytest.raises(ValueError, match=r"reach|miss"):
        check_plan(replace(study, plan=away), engine=small.quick)


def _moved(beams, by):
    return replace(beams, fields=tuple(replace(b, isocentre=(by, by, by)) for b in beams))


def test_plans_without_a_machine_or_for_photons_are_refused(small, data):
    from dosegrad import read_dicom

    ions = read_dicom(data / "dicom" / "opentps_simple_phantom")
    with pytest.raises(MachineError, match="read without a machine"):
        check_plan(ions)
    photons = read_dicom(data / "dicom" / "dicompyler_breast")
    with pytest.raises(CapabilityError, match="photons or electrons"):
        check_plan(replace(photons, patient=small.patient))


def test_metal_is_refused_or_clipped(small):
    hu = np.array(small.patient.ct.hu)
    hu[7, 12, 8:12] = 8000.0
    metal = replace(small.patient, ct=CT(small.patient.ct.grid, hu))
    with pytest.raises(PatientError, match="4 voxels of the CT are above 3071 HU"):
        check_plan(replace(small.study, patient=metal), engine=small.quick)
    found = check_plan(replace(small.study, patient=metal), engine=small.quick, metal="clip")
    assert any("count as its upper end" in w for w in found.warnings)
    with pytest.raises(UnknownNameError, match="treatment of metal"):
        check_plan(small.study, metal="melt")


def test_another_patient_position_is_told(small):
    turned = replace(small.patient, ct=CT(small.patient.ct.grid, small.patient.ct.hu, "FFS"))
    with pytest.raises(ValueError, match="made for a patient in position HFS"):
        check_plan(replace(small.study, patient=turned), engine=small.quick)
