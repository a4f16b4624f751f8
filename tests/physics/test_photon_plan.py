"""A nine-field photon plan on the prostate phantom, from bixels to dose."""

import numpy as np
import pytest
from pytest import approx

import dosegrad as dg
from dosegrad import objectives as obj


@pytest.mark.slow
def test_nine_fields_on_the_prostate():
    patient = dg.phantom("prostate")
    machine = dg.load_machine("generic-6mv")
    beams = dg.steer(patient, machine, target="PTV", gantry=range(0, 360, 40), bixel=5.0)
    influence = dg.compute_influence(patient, beams)
    plan = dg.optimise(
        influence,
        {
            "PTV": [obj.SquaredDeviation(76.0, weight=100)],
            "Rectum": [obj.MaxDVH(dose=50.0, volume=0.30, weight=20), obj.EUD(0.0, a=8, weight=5)],
            "Bladder": [obj.MeanDose(weight=2)],
        },
    )
    curves = dg.dvh(plan.dose, patient)
    assert curves["PTV"].mean == approx(76.0, abs=0.5)
    assert curves["CTV"].dose_at(0.95) > 73.0
    assert curves["Rectum"].volume_at(50.0) < 0.30
    assert curves["Bladder"].mean < 15.0
    # the phantom and the angles are symmetric about its middle, and so is the plan
    heads = [curves[f"FemoralHead{side}"].mean for side in "LR"]
    assert heads[0] == approx(heads[1], rel=1e-3)
    again = dg.compute_dose(patient, plan)
    assert np.abs(again.difference(plan.dose).array).max() < 1e-3


def test_turning_patient_and_gantry_together_changes_nothing():
    """A square tank of water: the dose from the side is the dose from the front, turned."""
    n = 41
    body = np.ones((5, n, n), dtype=bool)
    patient = dg.Patient.from_arrays(
        np.zeros((5, n, n)),
        spacing=(4.0, 3.0, 3.0),
        origin=(-60.0, -60.0, -8.0),
        structures={"Body": body},
        roles={"Body": "external"},
        calibration="schneider-water",
    )
    doses = []
    for gantry in (0, 90):
        plan = dg.Plan.from_bixels(
            dg.load_machine("generic-6mv"),
            gantry=gantry,
            isocentre=(0.0, 0.0, 0.0),
            x=[-5.0, 0.0, 10.0],
            y=[0.0, 5.0, -5.0],
            width=5.0,
            weight=[100.0, 200.0, 50.0],
        )
        doses.append(dg.compute_dose(patient, plan).array)
    # gantry 90 stands at the patient's left: what came along +y now comes along -x
    turned = np.rot90(doses[0], k=-1, axes=(1, 2))
    assert np.abs(doses[1] - turned).max() < 1e-5 * doses[1].max()
